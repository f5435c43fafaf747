#include "cluster/gossip_sim.h"

#include "core/clock.h"
#include "core/logline.h"

#include <malloc.h>

/*
 * What the directory without Redis costs: a simulated cluster (tests/unit/cluster/gossip_sim.h) in
 * which every node owns some streams and one in a hundred of them changes each second.
 *
 * usage: gossip-bench NODES STREAMS_PER_NODE group|unicast LOSS_PERCENT
 */
#define SECONDS 20

static bool all_known(struct sim *s, void *arg)
{
    size_t want = *(size_t *)arg * (s->count - 1);
    for (size_t i = 0; i < s->count; i++)
        if (sim_stats(s, (int)i).streams_known != want)
            return false;
    return true;
}

static void announce_some(struct sim *s, int i, int streams, int64_t round)
{
    for (int k = 0; k < streams; k++) {
        if (round > 0 && (k + round) % 100 != 0)
            continue;
        char name[64];
        snprintf(name, sizeof name, "live/n%d-%d", i, k);
        sim_announce(s, i, name, (uint64_t)round + 1);
    }
}

static void measure(struct sim *s, int streams)
{
    uint64_t bytes = 0, out = 0, in = 0, fetches = 0;
    for (size_t i = 0; i < s->count; i++) {
        bytes -= s->nodes[i].bytes_out;
        out -= s->nodes[i].datagrams_out;
        in -= s->nodes[i].datagrams_in;
        fetches -= sim_stats(s, (int)i).fetches;
    }
    int64_t cpu_us = clock_thread_cpu_us();
    for (int64_t second = 1; second <= SECONDS; second++) {
        for (size_t i = 0; i < s->count; i++)
            announce_some(s, (int)i, streams, second);
        sim_run(s, 1 * S);
    }
    cpu_us = clock_thread_cpu_us() - cpu_us;
    for (size_t i = 0; i < s->count; i++) {
        bytes += s->nodes[i].bytes_out;
        out += s->nodes[i].datagrams_out;
        in += s->nodes[i].datagrams_in;
        fetches += sim_stats(s, (int)i).fetches;
    }
    const double per = (double)s->count * SECONDS;
    printf("a node, a second: %.0f bytes and %.1f datagrams out, %.1f in, %.2f fetches, %.0f us of "
           "a processor\n",
           (double)bytes / per, (double)out / per, (double)in / per, (double)fetches / per,
           (double)cpu_us / per);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: %s NODES STREAMS_PER_NODE group|unicast LOSS_PERCENT\n", argv[0]);
        return 2;
    }
    log_setup(LOG_ERROR, false);
    static struct sim s;
    int streams = (int)strtol(argv[2], NULL, 10);
    sim_init(&s, strcmp(argv[3], "unicast") == 0, (size_t)strtol(argv[1], NULL, 10), 1);
    s.loss_percent = (int)strtol(argv[4], NULL, 10);
    size_t before = mallinfo2().uordblks;
    for (size_t i = 0; i < s.count; i++) {
        sim_start(&s, (int)i, (int)i / 2);
        announce_some(&s, (int)i, streams, 0);
    }
    size_t want = (size_t)streams;
    int64_t took_us = sim_until(&s, 60 * S, all_known, &want);
    printf("%zu nodes, %zu streams in all: all known everywhere after %lld ms, %zu KiB a node\n",
           s.count, s.count * want, (long long)(took_us / MS),
           (mallinfo2().uordblks - before) / s.count / 1024);
    measure(&s, streams);
    int failed = took_us < 0 || !sim_all_met(&s, NULL);
    sim_fini(&s);
    return failed;
}
