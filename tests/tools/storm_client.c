/*
 * Sessions as fast as a node takes them: each connects, says one of the scripts (whole, or cut
 * anywhere), takes some of what comes, and leaves, by FIN or RST.  Knows no protocol: a script is a
 * file of bytes.
 *
 *   storm_client SESSIONS CONCURRENT SECONDS SEED < "PORT WEIGHT READ_BYTES HOLD_MS FILE" lines
 *
 * Ends after SESSIONS or SECONDS (0: no end).  Each second, and at the end, one line: sessions,
 * failed connects, bytes read.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SCRIPTS_MAX    64
#define CONCURRENT_MAX 4096
#define CONNECT_MS     5000
#define GIVE_UP_MS     5000 /* to take what is said */
#define SOURCES        200 /* addresses of loopback: of each, ports wait for a minute after a FIN */

struct script {
    int port;
    unsigned weight, read_bytes, hold_ms;
    uint8_t *bytes;
    size_t len;
};

struct session {
    int fd; /* -1: none */
    const struct script *script;
    size_t sent, pause_at, end; /* of its script */
    uint64_t got, read_max;
    int64_t until_ms;
    bool resets, said;
};

struct storm {
    struct script scripts[SCRIPTS_MAX];
    int script_count;
    unsigned weights;
    struct session sessions[CONCURRENT_MAX];
    int concurrent, epoll;
    uint64_t random, begun, done, failed, bytes, wanted;
};

static uint64_t draw(struct storm *s)
{
    uint64_t z = s->random += 0x9e3779b97f4a7c15ULL; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void load(struct storm *s)
{
    char path[512];
    struct script *c = s->scripts;
    while (s->script_count < SCRIPTS_MAX && scanf("%d %u %u %u %511s", &c->port, &c->weight,
                                                  &c->read_bytes, &c->hold_ms, path) == 5) {
        FILE *f = fopen(path, "rb");
        if (f == NULL || fseek(f, 0, SEEK_END) != 0)
            fail(path);
        c->len = (size_t)ftell(f);
        rewind(f);
        c->bytes = malloc(c->len + 1);
        if (c->bytes == NULL || fread(c->bytes, 1, c->len, f) != c->len)
            fail(path);
        fclose(f);
        s->weights += c->weight;
        s->script_count++;
        c++;
    }
    if (s->weights == 0) {
        fprintf(stderr, "no scripts\n");
        exit(1);
    }
}

static const struct script *choose(struct storm *s)
{
    unsigned at = (unsigned)(draw(s) % s->weights);
    const struct script *c = s->scripts;
    while (at >= c->weight)
        at -= (c++)->weight;
    return c;
}

static void leave(struct storm *s, struct session *n)
{
    struct linger reset = {.l_onoff = 1};
    if (n->resets)
        setsockopt(n->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(n->fd);
    n->fd = -1;
    s->done++;
}

static void begin(struct storm *s, struct session *n)
{
    int one = 1;
    const struct script *c = choose(s);
    uint64_t dice = draw(s);
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(0x7f000002 + (uint32_t)(dice % SOURCES))};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)c->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *n = (struct session){.script = c, .end = c->len, .until_ms = now_ms() + CONNECT_MS};
    if ((dice >> 16) % 4 == 0)
        n->end = draw(s) % (c->len + 1);
    n->pause_at = draw(s) % (n->end + 1);
    n->resets = (dice >> 24) % 2 == 0;
    n->read_max = draw(s) % (c->read_bytes + 1ULL);
    n->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(n->fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    s->begun++;
    if (n->fd < 0 || bind(n->fd, (void *)&from, sizeof from) < 0 ||
        (connect(n->fd, (void *)&to, sizeof to) < 0 && errno != EINPROGRESS)) {
        s->failed++;
        leave(s, n);
        return;
    }
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = n};
    epoll_ctl(s->epoll, EPOLL_CTL_ADD, n->fd, &e);
}

static void say(struct storm *s, struct session *n)
{
    size_t to = n->sent < n->pause_at ? n->pause_at : n->end;
    ssize_t sent = send(n->fd, n->script->bytes + n->sent, to - n->sent, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        s->failed += n->sent == 0;
        leave(s, n);
        return;
    }
    if (n->sent == 0)
        n->until_ms = now_ms() + GIVE_UP_MS;
    n->sent += sent > 0 ? (size_t)sent : 0;
    if (n->sent < n->end)
        return;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = n};
    epoll_ctl(s->epoll, EPOLL_CTL_MOD, n->fd, &e);
    n->said = true;
    n->until_ms = now_ms() + (int64_t)(draw(s) % (n->script->hold_ms + 1ULL));
}

static void take(struct storm *s, struct session *n)
{
    static uint8_t room[65536];
    ssize_t got = recv(n->fd, room, sizeof room, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got > 0) {
        n->got += (uint64_t)got;
        s->bytes += (uint64_t)got;
    }
    if (got <= 0 || (n->said && n->got >= n->read_max && n->read_max > 0))
        leave(s, n);
}

static void sweep(struct storm *s)
{
    int64_t now = now_ms();
    for (int i = 0; i < s->concurrent; i++) {
        struct session *n = &s->sessions[i];
        if (n->fd >= 0 && now >= n->until_ms)
            leave(s, n);
        if (n->fd < 0 && (s->wanted == 0 || s->begun < s->wanted))
            begin(s, n);
    }
}

static void tell(const struct storm *s)
{
    printf("sessions %llu failed %llu bytes %llu\n", (unsigned long long)s->done,
           (unsigned long long)s->failed, (unsigned long long)s->bytes);
    fflush(stdout);
}

static void turn(struct storm *s)
{
    struct epoll_event events[256];
    int count = epoll_wait(s->epoll, events, 256, 1);
    for (int i = 0; i < count; i++) {
        struct session *n = events[i].data.ptr;
        if (n->fd >= 0 && (events[i].events & EPOLLOUT) != 0 && !n->said)
            say(s, n);
        if (n->fd >= 0 && (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
            take(s, n);
    }
    sweep(s);
}

int main(int argc, char **argv)
{
    static struct storm s;
    if (argc != 5) {
        fprintf(stderr, "usage: storm_client SESSIONS CONCURRENT SECONDS SEED < scripts\n");
        return 2;
    }
    s.wanted = strtoull(argv[1], NULL, 10);
    s.concurrent = (int)strtol(argv[2], NULL, 10);
    int64_t seconds = strtoll(argv[3], NULL, 10), started = now_ms(), told = started;
    s.random = strtoull(argv[4], NULL, 10);
    if (s.concurrent < 1 || s.concurrent > CONCURRENT_MAX)
        return 2;
    load(&s);
    s.epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < s.concurrent; i++)
        s.sessions[i].fd = -1;
    while ((s.wanted == 0 || s.done < s.wanted) &&
           (seconds == 0 || now_ms() - started < seconds * 1000)) {
        turn(&s);
        if (now_ms() - told >= 1000) {
            told = now_ms();
            tell(&s);
        }
    }
    tell(&s);
    return 0;
}
