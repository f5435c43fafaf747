/*
 * Many nodes of a cluster in one process, each with its own connections to one real Redis, without
 * media: what the directory itself costs and how soon it is known.  Prints one JSON line at the end
 * of each phase; the script `directory` beside this file reads Redis' own figures at these moments.
 */
#include "base/mem.h"
#include "base/must.h"
#include "base/slice.h"
#include "cluster/cluster.h"
#include "core/clock.h"
#include "core/logline.h"
#include "core/timer.h"

#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define NODES_MAX      2000
#define STREAMS_MAX    1000000
#define WATCHERS_MAX   8
#define UNDER_WAY_MAX  256 /* claims asked for at a time while the directory is filled */
#define PHASE_LIMIT_US 120000000LL
#define REST_US        12000000LL /* after filling: longer than what is done now and then */
#define SAMPLES_MAX    (1 << 20)
#define EXIT_USAGE     64

struct node {
    struct cluster *cluster;
    struct directory *directory;
    int number;
};

struct stream {
    struct directory *directory;
    char name[32];
    int owner;
    uint64_t epoch;
    int64_t asked_us; /* of the change that is measured; 0: none */
};

struct samples {
    int32_t *us;
    size_t count;
};

struct directory {
    int nodes, streams, watchers, seconds, rate;
    struct config config;
    struct workers group;
    struct node *node;
    struct stream *stream;
    struct timer tick;
    size_t under_way, granted, refused, heard, next;
    bool filling;
    struct samples grants, news;
    char url[64];
};

static int usage(void)
{
    fputs(
        "usage: sluice-directory -p PORT [-n NODES] [-s STREAMS] [-w WATCHERS] [-t S] [-r RATE]\n",
        stderr);
    return EXIT_USAGE;
}

static int64_t number_of(const char *text, int64_t min, int64_t max)
{
    uint64_t v = 0;
    if (slice_u64(slice_text(text), (uint64_t)max, &v) < 0 || (int64_t)v < min)
        exit(usage());
    return (int64_t)v;
}

/* --- samples --- */

static void samples_add(struct samples *s, int64_t us)
{
    if (s->count < SAMPLES_MAX)
        s->us[s->count++] = us < INT32_MAX ? (int32_t)us : INT32_MAX;
}

static int by_value(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static double samples_ms(struct samples *s, size_t percent)
{
    if (s->count == 0)
        return 0;
    qsort(s->us, s->count, sizeof *s->us, by_value);
    size_t rank = (s->count * percent + 99) / 100;
    return s->us[rank > 0 ? rank - 1 : 0] / 1000.0;
}

/* --- the loop --- */

static void on_tick(void *arg)
{
    struct directory *d = arg;
    timer_set_us(&d->tick, 1000);
}

static void turn(struct directory *d)
{
    event_base_loop(d->group.workers[0].base, EVLOOP_ONCE);
}

static double cpu_s(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

/* The script reads Redis' figures, then says that it goes on. */
static void tell(struct directory *d, const char *phase, int64_t began_us)
{
    printf("{\"phase\":\"%s\",\"seconds\":%.3f,\"cpu_s\":%.3f,\"granted\":%zu,\"refused\":%zu,"
           "\"heard\":%zu,\"grant_ms_p50\":%.3f,\"grant_ms_p99\":%.3f,\"known_ms_p50\":%.3f,"
           "\"known_ms_p99\":%.3f,\"known_ms_max\":%.3f}\n",
           phase, (double)(clock_us() - began_us) / 1e6, cpu_s(), d->granted, d->refused, d->heard,
           samples_ms(&d->grants, 50), samples_ms(&d->grants, 99), samples_ms(&d->news, 50),
           samples_ms(&d->news, 99), samples_ms(&d->news, 100));
    fflush(stdout);
    char go;
    while (read(STDIN_FILENO, &go, 1) < 0)
        ;
    d->grants.count = d->news.count = d->granted = d->refused = d->heard = 0;
}

static bool turn_until(struct directory *d, bool (*done)(struct directory *d))
{
    int64_t give_up_us = clock_us() + PHASE_LIMIT_US;
    while (!done(d) && clock_us() < give_up_us)
        turn(d);
    return done(d);
}

static void turn_for(struct directory *d, int64_t us)
{
    int64_t until_us = clock_us() + us;
    while (clock_us() < until_us)
        turn(d);
}

/* --- streams --- */

static struct stream *stream_of(struct directory *d, const char *name)
{
    int64_t number = number_of(name + sizeof "live/s" - 1, 0, STREAMS_MAX - 1);
    return &d->stream[number];
}

static void on_owner(const char *name, const struct cluster_owner *owner, void *arg)
{
    struct node *n = arg;
    struct stream *s = stream_of(n->directory, name);
    if (!owner->found || s->asked_us == 0 || owner->epoch <= s->epoch || s->owner == n->number)
        return;
    samples_add(&n->directory->news, clock_us() - s->asked_us);
    n->directory->heard++;
}

static void on_claimed(const struct cluster_claimed *claimed, void *arg)
{
    struct stream *s = arg;
    struct directory *d = s->directory;
    d->under_way--;
    samples_add(&d->grants, clock_us() - s->asked_us);
    if (claimed->verdict != CLAIM_GRANTED) {
        d->refused++;
        return;
    }
    d->granted++;
    /* The watchers may hear of it a little later: what they compare with is the epoch before. */
    if (d->filling)
        s->epoch = claimed->epoch;
}

static void claim(struct stream *s)
{
    struct directory *d = s->directory;
    struct cluster_claim claim = {.policy = TAKEOVER_SAME, .proto = "rtmp"};
    snprintf(claim.name, sizeof claim.name, "%s", s->name);
    snprintf(claim.session, sizeof claim.session, "%" PRIx64, (uint64_t)clock_us());
    snprintf(claim.publisher, sizeof claim.publisher, "%064d", 1);
    s->asked_us = clock_us();
    d->under_way++;
    cluster_acquire(d->node[s->owner].cluster, &d->group.workers[0], &claim, on_claimed, s);
}

/* --- phases --- */

static bool all_up(struct directory *d)
{
    for (int i = 0; i < d->nodes; i++)
        if (!cluster_is_up(d->node[i].cluster))
            return false;
    return true;
}

static void open_nodes(struct directory *d, uint16_t port)
{
    static char name[] = "bench", zone[] = "";
    static const struct cluster_events events = {.on_owner = on_owner};
    char error[CONFIG_ERROR_MAX];
    snprintf(d->url, sizeof d->url, "redis://127.0.0.1:%u/0", port);
    d->config.node.zone = zone;
    d->config.cluster.backend = CLUSTER_REDIS;
    d->config.cluster.name = name;
    d->config.cluster.heartbeat_ms = 2000;
    d->config.cluster.lease_ms = 10000;
    d->config.cluster.redis.url = d->url;
    must(workers_init(&d->group, &d->config, 1) == 0);
    timer_init(&d->tick, &d->group.workers[0], "bench", on_tick, d);
    timer_set_us(&d->tick, 0);
    for (int i = 0; i < d->nodes; i++) {
        struct cluster_self self = {.instance = 1 + (uint64_t)i, .since_us = clock_wall_us()};
        snprintf(self.node, sizeof self.node, "node%d", i);
        snprintf(self.relay_address, sizeof self.relay_address, "10.0.%d.%d:7000", i / 250,
                 i % 250);
        snprintf(self.http_address, sizeof self.http_address, "10.0.%d.%d:8080", i / 250, i % 250);
        snprintf(self.version, sizeof self.version, "bench");
        d->node[i].directory = d;
        d->node[i].number = i;
        if (cluster_open(&d->node[i].cluster, &d->group, &self, &events, &d->node[i], error) < 0)
            exit(EXIT_FAILURE);
    }
}

static bool filled(struct directory *d)
{
    while (d->next < (size_t)d->streams && d->under_way < UNDER_WAY_MAX)
        claim(&d->stream[d->next++]);
    return d->next == (size_t)d->streams && d->under_way == 0;
}

static void fill(struct directory *d)
{
    d->filling = true;
    for (int i = 0; i < d->streams; i++) {
        struct stream *s = &d->stream[i];
        s->directory = d;
        s->owner = i % d->nodes;
        snprintf(s->name, sizeof s->name, "live/s%d", i);
        for (int k = 1; k <= d->watchers; k++)
            cluster_watch(d->node[(s->owner + k) % d->nodes].cluster, s->name);
    }
    if (!turn_until(d, filled))
        exit(EXIT_FAILURE);
    d->filling = false;
}

/* A publisher comes back at another node, so many a second: the owner changes, all watchers hear
 * it. */
static void move_streams(struct directory *d)
{
    int64_t began_us = clock_us();
    int64_t count = (int64_t)d->rate * d->seconds;
    int64_t moved = 0;
    while (moved < count) {
        int64_t due = (clock_us() - began_us) * d->rate / 1000000;
        for (; moved < due && moved < count; moved++) {
            struct stream *s = &d->stream[moved % d->streams];
            s->owner = (s->owner + d->watchers + 1) % d->nodes;
            claim(s);
        }
        turn(d);
    }
    turn_for(d, 1000000);
}

static void run(struct directory *d, uint16_t port)
{
    int64_t began_us = clock_us();
    open_nodes(d, port);
    if (!turn_until(d, all_up))
        exit(EXIT_FAILURE);
    turn_for(d, 1000000);
    tell(d, "joined", began_us);
    began_us = clock_us();
    fill(d);
    tell(d, "filled", began_us);
    turn_for(d, d->seconds < 10 ? 1000000 : REST_US);
    began_us = clock_us();
    tell(d, "rested", began_us);
    turn_for(d, (int64_t)d->seconds * 1000000);
    tell(d, "steady", began_us);
    began_us = clock_us();
    move_streams(d);
    tell(d, "moving", began_us);
}

static void ignore_closed(void *arg)
{
}

static void end(struct directory *d)
{
    for (int i = 0; i < d->nodes; i++)
        cluster_close(d->node[i].cluster, ignore_closed, NULL);
    turn_for(d, 1200000);
    for (int i = 0; i < d->nodes; i++)
        cluster_free(&d->node[i].cluster);
    timer_fini(&d->tick);
    workers_fini(&d->group);
    free(d->node);
    free(d->stream);
    free(d->grants.us);
    free(d->news.us);
}

int main(int argc, char **argv)
{
    struct directory d = {
        .nodes = 100, .streams = 10000, .watchers = 1, .seconds = 20, .rate = 100};
    int64_t port = 0;
    int option;
    while ((option = getopt(argc, argv, "p:n:s:w:t:r:")) != -1) {
        switch (option) {
        case 'p':
            port = number_of(optarg, 1, UINT16_MAX);
            break;
        case 'n':
            d.nodes = (int)number_of(optarg, 1, NODES_MAX);
            break;
        case 's':
            d.streams = (int)number_of(optarg, 1, STREAMS_MAX);
            break;
        case 'w':
            d.watchers = (int)number_of(optarg, 0, WATCHERS_MAX);
            break;
        case 't':
            d.seconds = (int)number_of(optarg, 1, 3600);
            break;
        case 'r':
            d.rate = (int)number_of(optarg, 1, 10000);
            break;
        default:
            return usage();
        }
    }
    if (port == 0 || d.watchers >= d.nodes)
        return usage();
    signal(SIGPIPE, SIG_IGN);
    log_setup(LOG_ERROR, false);
    d.node = xcalloc((size_t)d.nodes, sizeof *d.node);
    d.stream = xcalloc((size_t)d.streams, sizeof *d.stream);
    d.grants.us = xcalloc(SAMPLES_MAX, sizeof *d.grants.us);
    d.news.us = xcalloc(SAMPLES_MAX, sizeof *d.news.us);
    run(&d, (uint16_t)port);
    end(&d);
    return EXIT_SUCCESS;
}
