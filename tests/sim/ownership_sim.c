/*
 * The ownership protocol under random faults: publishers come, go, move and fight, nodes die and
 * freeze, Redis dies, forgets, falls back and stalls, links are cut and events lost.  Viewers check
 * every frame; after every calm the directory, the origins and all viewers must agree.
 *
 *     ownership_sim [--steps N] [--seed S] [--backend redis|multicast|static|both] [--tiers]
 * [--trace]
 *
 * The same words are the same run.
 */
#include "sim_node.h"

#include "base/err.h"
#include "core/logline.h"
#include "media/frame.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_MAX_US 700000
#define CALM_EVERY  150      /* steps */
#define CALM_US     40000000 /* a lease, the 15 s of the escape rule, and what reading takes */

static struct {
    uint64_t seed, step;
    uint64_t calms, owned, kills, freezes, redis_faults;
} run;

static const char *const backends[] = {"redis", "multicast", "static", "both"};

void sim_violation(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    fprintf(stderr, "VIOLATION seed=%" PRIu64 " step=%" PRIu64 " time=%.6f: ", run.seed, run.step,
            (double)sim_now_us() / 1e6);
    vfprintf(stderr, format, ap);
    fprintf(
        stderr,
        "\nreplay: ownership_sim --backend %s%s --seed %" PRIu64 " --steps %" PRIu64 " --trace\n",
        backends[sim_cluster.backend], sim_cluster.tiers ? " --tiers" : "", run.seed, run.step + 1);
    va_end(ap);
    exit(1);
}

/* --- what happens --- */

static int any_node(void)
{
    return (int)sim_random(SIM_NODES);
}

static int any_encoder(void)
{
    return (int)sim_random(SIM_ENCODERS);
}

static void publish(void)
{
    sim_encoder_publish(any_encoder(), any_node(), (int)sim_random(SIM_STREAMS));
}

static void unpublish(void)
{
    sim_encoder_leave(any_encoder(), true);
}

static void lose_publisher(void)
{
    sim_encoder_leave(any_encoder(), false);
}

/* The balancer sends an encoder that has lost its connection to another node. */
static void move_publisher(void)
{
    int e = any_encoder(), stream = sim_encoders[e].stream;
    sim_encoder_leave(e, false);
    sim_encoder_publish(e, any_node(), stream);
}

static void silence_publisher(void)
{
    struct sim_encoder *e = &sim_encoders[any_encoder()];
    e->silent = !e->silent;
}

static void kill_node(void)
{
    run.kills++;
    sim_node_kill(any_node());
}

static void start_node(void)
{
    int n = any_node();
    if (!sim_nodes[n].alive)
        sim_node_start(n);
}

static void freeze_node(void)
{
    run.freezes++;
    sim_freeze(any_node(), true);
}

static void thaw_node(void)
{
    sim_freeze(any_node(), false);
}

static void cut_link(void)
{
    sim_cut(any_node(), (int)sim_random(SIM_NODES + 1), true);
}

static void heal_link(void)
{
    sim_cut(any_node(), (int)sim_random(SIM_NODES + 1), false);
}

static void step_clock(void)
{
    static const int64_t steps_us[] = {0, 3600000000, -3600000000, 5000000, -5000000};
    sim_step_wall_clock(any_node(), steps_us[sim_random(5)]);
}

static void join(void)
{
    sim_viewer_join(any_node(), (int)sim_random(SIM_STREAMS));
}

static void leave(void)
{
    sim_viewer_leave(any_node(), (int)sim_random(SIM_STREAMS));
}

static void fault_redis(void)
{
    static const enum sim_redis_fault faults[] = {
        SIM_REDIS_KILL, SIM_REDIS_FREEZE,   SIM_REDIS_WIPE,  SIM_REDIS_SAVE,
        SIM_REDIS_SAVE, SIM_REDIS_ROLLBACK, SIM_REDIS_CLOCK, SIM_REDIS_EXPIRE};
    run.redis_faults++;
    sim_redis_fault(faults[sim_random(sizeof faults / sizeof faults[0])]);
}

static void mend_redis(void)
{
    sim_redis_fault(SIM_REDIS_THAW);
    sim_redis_fault(SIM_REDIS_RETURN);
}

static void lose_events(void)
{
    static const int percents[] = {0, 0, 30, 100};
    sim_redis_lose_events(percents[sim_random(4)]);
    sim_udp_lose(percents[sim_random(4)] / 2);
}

static const struct {
    int weight;
    void (*act)(void);
    const char *name;
} actions[] = {
    {18, publish, "publish"},
    {4, unpublish, "unpublish"},
    {5, lose_publisher, "lose"},
    {10, move_publisher, "move"},
    {3, silence_publisher, "silence"},
    {3, kill_node, "kill"},
    {9, start_node, "start"},
    {4, freeze_node, "freeze"},
    {10, thaw_node, "thaw"},
    {4, cut_link, "cut"},
    {12, heal_link, "heal"},
    {1, step_clock, "clock"},
    {12, join, "join"},
    {4, leave, "leave"},
    {3, fault_redis, "redis_fault"},
    {5, mend_redis, "redis_mend"},
    {2, lose_events, "lose_events"},
};

static void act(bool trace)
{
    int total = 0;
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
        total += actions[i].weight;
    int left = (int)sim_random((uint64_t)total);
    size_t i = 0;
    while (left >= actions[i].weight)
        left -= actions[i++].weight;
    if (trace)
        fprintf(stderr, "%.6f step %" PRIu64 " %s\n", (double)sim_now_us() / 1e6, run.step,
                actions[i].name);
    actions[i].act();
}

/* --- calm, and what must be true then --- */

static void heal_all(void)
{
    for (int i = 0; i < SIM_NODES; i++) {
        for (int j = 0; j <= SIM_NODES; j++)
            sim_cut(i, j, false);
        sim_freeze(i, false);
        if (!sim_nodes[i].alive)
            sim_node_start(i);
        for (int s = 0; s < SIM_STREAMS; s++)
            sim_viewer_join(i, s);
    }
    mend_redis();
    sim_redis_fault(SIM_REDIS_LATER);
    sim_redis_lose_events(0);
    sim_udp_lose(0);
}

struct holder {
    int node, count;
    uint64_t epoch;
};

static bool fills(const struct sim_node *n, const struct feed *f)
{
    return f != NULL && f->source != NULL && strcmp(f->source->kind, "publish") == 0 &&
           log_newest(f->log) != NULL;
}

/* The nodes that believe to own the stream. */
static struct holder find_holder(int stream)
{
    struct holder h = {.node = -1};
    for (int i = 0; i < SIM_NODES; i++) {
        struct sim_node *n = &sim_nodes[i];
        int before = sim_enter(i);
        const struct feed *f = feed_find(n->hub, n->workers.workers, sim_stream_names[stream]);
        sim_leave(before);
        if (!fills(n, f))
            continue;
        h.count++;
        h.node = i;
        h.epoch = log_newest(f->log)->epoch;
    }
    return h;
}

static void check_record(int stream, const struct holder *h)
{
    const char *name = sim_stream_names[stream];
    char node[16] = "", epoch[24] = "";
    bool found = sim_redis_stream(name, "node", node, sizeof node) &&
                 sim_redis_stream(name, "epoch", epoch, sizeof epoch);
    if (h->count == 0) {
        if (found)
            sim_violation("%s: Redis says %s, nobody has it", name, node);
        return;
    }
    if (!found || strcmp(node, sim_nodes[h->node].id) != 0 || strtoull(epoch, NULL, 10) != h->epoch)
        sim_violation("%s: Redis says '%s' %s, %s has it with %" PRIu64, name, node, epoch,
                      sim_nodes[h->node].id, h->epoch);
}

static void check_viewers(int stream, const struct holder *h)
{
    const char *name = sim_stream_names[stream];
    for (int i = 0; i < SIM_NODES; i++) {
        const struct sim_viewer *v = &sim_nodes[i].viewers[stream];
        const struct feed *f = v->joined ? v->reader.feed : NULL;
        const struct run *newest = f != NULL ? log_newest(f->log) : NULL;
        bool live = newest != NULL && f->state == FEED_LIVE;
        if (h->count == 1 && (!live || newest->epoch != h->epoch))
            sim_violation("%s: owned by %s with %" PRIu64 ", the viewer at %s has %s %" PRIu64,
                          name, sim_nodes[h->node].id, h->epoch, sim_nodes[i].id,
                          f != NULL ? feed_state_name(f->state) : "nothing",
                          newest != NULL ? newest->epoch : 0);
        if (h->count == 0 && live)
            sim_violation("%s: nobody has it, the viewer at %s believes it is live", name,
                          sim_nodes[i].id);
    }
}

static void calm(void)
{
    heal_all();
    for (int i = 0; i < SIM_ENCODERS; i++)
        sim_encoders[i].silent = false;
    sim_run_until(sim_now_us() + CALM_US);
    run.calms++;
    for (int s = 0; s < SIM_STREAMS; s++) {
        struct holder h = find_holder(s);
        if (h.count > 1)
            sim_violation("%s: %d nodes have it", sim_stream_names[s], h.count);
        if (sim_cluster.backend == SIM_BY_REDIS || sim_cluster.backend == SIM_BY_REDIS_AND_PEERS)
            check_record(s, &h);
        check_viewers(s, &h);
        run.owned += h.count == 1;
    }
}

static void prepare(uint64_t seed)
{
    static const char *const identities[SIM_ENCODERS] = {"anna", "anna", "bert", "", ""};
    sim_seed(seed);
    sim_redis_start();
    for (int i = 0; i < SIM_ENCODERS; i++)
        snprintf(sim_encoders[i].identity, sizeof sim_encoders[i].identity, "%s", identities[i]);
    for (int i = 0; i < SIM_NODES; i++)
        sim_node_start(i);
}

static void end(void)
{
    for (int i = 0; i < SIM_NODES; i++)
        sim_node_kill(i);
    mend_redis();
    sim_run_until(sim_now_us() + CALM_US);
    sim_redis_end();
    if (frames_alive() != 0)
        sim_violation("%" PRId64 " frames are left", frames_alive());
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: ownership_sim [--steps N] [--seed S] "
                    "[--backend redis|multicast|static|both] [--tiers] [--trace]\n");
    exit(64);
}

static uint64_t number(const char *text)
{
    uint64_t n;
    if (text == NULL || slice_u64(slice_text(text), UINT64_MAX, &n) < 0)
        usage();
    return n;
}

static enum sim_backend backend_of(const char *text)
{
    for (size_t i = 0; text != NULL && i < sizeof backends / sizeof backends[0]; i++)
        if (strcmp(text, backends[i]) == 0)
            return (enum sim_backend)i;
    usage();
}

int main(int argc, char **argv)
{
    uint64_t steps = 20000;
    bool trace = false;
    run.seed = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--steps") == 0)
            steps = number(argv[++i]);
        else if (strcmp(argv[i], "--seed") == 0)
            run.seed = number(argv[++i]);
        else if (strcmp(argv[i], "--backend") == 0)
            sim_cluster.backend = backend_of(argv[++i]);
        else if (strcmp(argv[i], "--tiers") == 0)
            sim_cluster.tiers = true;
        else if (strcmp(argv[i], "--trace") == 0)
            trace = true;
        else
            usage();
    }
    log_setup(trace ? LOG_DEBUG : LOG_ERROR, false);
    prepare(run.seed);
    if (trace)
        sim_trace();
    for (; run.step < steps; run.step++) {
        act(trace);
        sim_run_until(sim_now_us() + (int64_t)sim_random(STEP_MAX_US));
        if (run.step % CALM_EVERY == CALM_EVERY - 1)
            calm();
    }
    end();
    printf("backend=%s tiers=%d seed=%" PRIu64 " steps=%" PRIu64 " events=%" PRIu64
           " hours=%.1f calms=%" PRIu64 " owned=%" PRIu64 " kills=%" PRIu64 " freezes=%" PRIu64
           " redis_faults=%" PRIu64 " violations=0\n",
           backends[sim_cluster.backend], sim_cluster.tiers, run.seed, steps, sim_events_run(),
           (double)sim_now_us() / 3.6e9, run.calms, run.owned, run.kills, run.freezes,
           run.redis_faults);
    return 0;
}
