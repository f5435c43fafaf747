/*
 * Time, chance and the loop: what is due in the order of its time, one thing after the other.  The
 * functions of core/worker.h, core/timer.h and core/clock.h are here in the place of the real ones.
 */
#include "sim.h"

#include "base/mem.h"
#include "base/must.h"
#include "core/clock.h"
#include "core/crypto.h"
#include "core/timer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START_US      1000000
#define START_WALL_US INT64_C(1795000000000000)
#define DELAY_MIN_US  50
#define DELAY_MAX_US  2000
#define TURN_MAX_US   40
#define CUT_LOOK_US   20000 /* how often a pipe that is cut looks again */
#define PLACES        (SIM_NODES + 1)

struct sim_event {
    int64_t due_us;
    uint64_t order; /* of those that are due at the same time */
    int node;
    size_t at; /* in the heap, or NOT_IN_HEAP */
    struct list node_stash;
    void (*run)(void *arg);
    void *arg;
};
#define NOT_IN_HEAP SIZE_MAX

static struct {
    int64_t now_us;
    uint64_t state, order, run;
    struct sim_event **heap;
    size_t count, room;
    int current, building, traced;
    bool tracing;
    struct {
        bool frozen;
        int64_t wall_us;
        struct list stash; /* what was due while it was frozen */
        struct worker *worker;
        struct sim_event *turn; /* its worker's */
        int64_t frozen_us;      /* since when, or 0 */
    } nodes[PLACES];
    bool cut[PLACES][PLACES];
} world;

/* --- chance --- */

void sim_seed(uint64_t seed)
{
    memset(&world, 0, sizeof world);
    world.now_us = START_US;
    world.state = seed;
    world.current = SIM_WORLD;
    for (int i = 0; i < PLACES; i++)
        list_init(&world.nodes[i].stash);
}

/* SplitMix64. */
static uint64_t next_random(void)
{
    uint64_t z = world.state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t sim_random(uint64_t below)
{
    return next_random() % below;
}

bool sim_chance(int percent)
{
    return sim_random(100) < (uint64_t)percent;
}

/* In the place of core/crypto's, by the linker's --wrap. */
void __wrap_crypto_random(void *dst, size_t len);
uint64_t __wrap_crypto_random_u64(void);

void __wrap_crypto_random(void *dst, size_t len)
{
    uint8_t *p = dst;
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)next_random();
}

uint64_t __wrap_crypto_random_u64(void)
{
    return next_random();
}

/* --- the heap --- */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->order < b->order;
}

static void put_at(struct sim_event *e, size_t i)
{
    world.heap[i] = e;
    e->at = i;
}

static void sift_up(struct sim_event *e, size_t i)
{
    while (i > 0 && before(e, world.heap[(i - 1) / 2])) {
        put_at(world.heap[(i - 1) / 2], i);
        i = (i - 1) / 2;
    }
    put_at(e, i);
}

static void sift_down(struct sim_event *e, size_t i)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= world.count)
            break;
        if (child + 1 < world.count && before(world.heap[child + 1], world.heap[child]))
            child++;
        if (!before(world.heap[child], e))
            break;
        put_at(world.heap[child], i);
        i = child;
    }
    put_at(e, i);
}

static void heap_add(struct sim_event *e)
{
    if (world.count == world.room) {
        world.room = world.room > 0 ? 2 * world.room : 64;
        world.heap = xrealloc(world.heap, world.room * sizeof world.heap[0]);
    }
    world.count++;
    sift_up(e, world.count - 1);
}

static void heap_remove(struct sim_event *e)
{
    size_t i = e->at;
    struct sim_event *last = world.heap[--world.count];
    e->at = NOT_IN_HEAP;
    if (last == e)
        return;
    if (i > 0 && before(last, world.heap[(i - 1) / 2]))
        sift_up(last, i);
    else
        sift_down(last, i);
}

/* --- events --- */

int64_t sim_now_us(void)
{
    return world.now_us;
}

uint64_t sim_events_run(void)
{
    return world.run;
}

struct sim_event *sim_after(int node, int64_t us, void (*run)(void *arg), void *arg)
{
    struct sim_event *e = xcalloc(1, sizeof *e);
    e->due_us = world.now_us + us;
    e->order = ++world.order;
    e->node = node;
    e->run = run;
    e->arg = arg;
    list_init(&e->node_stash);
    heap_add(e);
    return e;
}

void sim_cancel(struct sim_event **ep)
{
    struct sim_event *e = *ep;
    *ep = NULL;
    if (e == NULL)
        return;
    if (e->at != NOT_IN_HEAP)
        heap_remove(e);
    list_remove(&e->node_stash);
    free(e);
}

int sim_enter(int node)
{
    int previous = world.current;
    world.current = node;
    return previous;
}

void sim_leave(int previous)
{
    world.current = previous;
}

/* Log lines do not say whose they are. */
static void trace(int node)
{
    if (!world.tracing || node == world.traced)
        return;
    fprintf(stderr, "%.6f at n%d\n", (double)world.now_us / 1e6, node);
    world.traced = node;
}

void sim_trace(void)
{
    world.tracing = true;
}

/* As worker_enter() does in every handler. */
static void notice_gap(int node)
{
    int64_t since_us = node >= 0 ? world.nodes[node].frozen_us : 0;
    if (since_us == 0)
        return;
    world.nodes[node].frozen_us = 0;
    if (world.nodes[node].worker != NULL && world.now_us - since_us > WORKER_GAP_US)
        worker_after_gap(world.nodes[node].worker, world.now_us - since_us);
}

static void run_one(struct sim_event *e)
{
    heap_remove(e);
    world.now_us = e->due_us > world.now_us ? e->due_us : world.now_us;
    if (e->node >= 0 && world.nodes[e->node].frozen) {
        list_append(&world.nodes[e->node].stash, &e->node_stash);
        return;
    }
    void (*run)(void *arg) = e->run;
    void *arg = e->arg;
    int previous = sim_enter(e->node);
    notice_gap(e->node);
    world.run++;
    trace(e->node);
    free(e);
    run(arg);
    sim_leave(previous);
}

void sim_run_until(int64_t until_us)
{
    while (world.count > 0 && world.heap[0]->due_us <= until_us)
        run_one(world.heap[0]);
    world.now_us = until_us;
}

/* What was due meanwhile comes at once, in any order among different things, as after a SIGCONT:
 * timers do not wait for what lies in the sockets. */
void sim_freeze(int node, bool frozen)
{
    struct sim_event *e, *tmp;
    world.nodes[node].frozen = frozen;
    if (frozen && world.nodes[node].frozen_us == 0)
        world.nodes[node].frozen_us = world.now_us;
    if (frozen)
        return;
    LIST_EACH_SAFE (e, tmp, &world.nodes[node].stash, node_stash) {
        list_remove(&e->node_stash);
        e->due_us = world.now_us + (int64_t)sim_random(500);
        heap_add(e);
    }
}

bool sim_is_frozen(int node)
{
    return node >= 0 && world.nodes[node].frozen;
}

/* --- clocks --- */

int64_t clock_us(void)
{
    return world.now_us;
}

int64_t clock_wall_us(void)
{
    int64_t off_us = world.current >= 0 ? world.nodes[world.current].wall_us : 0;
    return START_WALL_US + world.now_us + off_us;
}

int64_t clock_thread_cpu_us(void)
{
    return 0;
}

void sim_step_wall_clock(int node, int64_t us)
{
    world.nodes[node].wall_us = us;
}

/* --- pipes --- */

struct parcel {
    struct list node;
    void *what;
};

void sim_cut(int a, int b, bool cut)
{
    world.cut[a][b] = world.cut[b][a] = cut;
}

bool sim_is_cut(int a, int b)
{
    return world.cut[a][b];
}

void sim_pipe_init(struct sim_pipe *p, int from, int to, void (*deliver)(void *what, void *arg),
                   void (*drop)(void *what), void *arg)
{
    *p = (struct sim_pipe){.from = from, .to = to, .deliver = deliver, .drop = drop, .arg = arg};
    list_init(&p->queue);
}

static void on_pipe(void *arg);

static void schedule_pipe(struct sim_pipe *p, int64_t us)
{
    if (p->event == NULL && !list_empty(&p->queue))
        p->event = sim_after(p->to, us, on_pipe, p);
}

static int64_t random_delay_us(void)
{
    return DELAY_MIN_US + (int64_t)sim_random(DELAY_MAX_US - DELAY_MIN_US);
}

/* The receiver may end the pipe. */
static void on_pipe(void *arg)
{
    struct sim_pipe *p = arg;
    p->event = NULL;
    if (world.cut[p->from][p->to]) {
        schedule_pipe(p, CUT_LOOK_US);
        return;
    }
    struct parcel *first = LIST_FIRST(&p->queue, struct parcel, node);
    void *what = first->what;
    list_remove(&first->node);
    free(first);
    schedule_pipe(p, random_delay_us() / 8);
    p->deliver(what, p->arg);
}

void sim_pipe_put(struct sim_pipe *p, void *what)
{
    struct parcel *parcel = xcalloc(1, sizeof *parcel);
    parcel->what = what;
    list_append(&p->queue, &parcel->node);
    schedule_pipe(p, random_delay_us());
}

void sim_pipe_fini(struct sim_pipe *p)
{
    struct parcel *parcel, *tmp;
    sim_cancel(&p->event);
    LIST_EACH_SAFE (parcel, tmp, &p->queue, node) {
        list_remove(&parcel->node);
        p->drop(parcel->what);
        free(parcel);
    }
}

/* --- workers --- */

/* The node's number is kept where the thread would be. */
static int node_of(const struct worker *w)
{
    return w->mailbox_fd;
}

static bool run_mailbox(struct worker *w)
{
    struct message *m = w->mailbox_first;
    bool any = m != NULL;
    w->mailbox_first = NULL;
    w->mailbox_last = &w->mailbox_first;
    while (m != NULL) {
        struct message *next = m->next;
        m->run(m);
        m = next;
    }
    return any;
}

static bool run_deferred(struct worker *w)
{
    struct list now = LIST_INIT(now);
    struct task *t;
    list_splice(&now, &w->deferred);
    bool any = !list_empty(&now);
    while ((t = LIST_FIRST(&now, struct task, node)) != NULL) {
        list_remove(&t->node);
        t->run(t->arg);
    }
    return any;
}

static void on_turn(void *arg);

static void want_turn(struct worker *w)
{
    struct sim_event **turn = &world.nodes[node_of(w)].turn;
    if (*turn == NULL)
        *turn = sim_after(node_of(w), 1 + (int64_t)sim_random(TURN_MAX_US), on_turn, w);
}

static void on_turn(void *arg)
{
    struct worker *w = arg;
    world.nodes[node_of(w)].turn = NULL;
    run_mailbox(w);
    run_deferred(w);
    if (!list_empty(&w->deferred))
        want_turn(w);
}

void worker_post(struct worker *w, struct message *m)
{
    m->next = NULL;
    *w->mailbox_last = m;
    w->mailbox_last = &m->next;
    want_turn(w);
}

bool worker_is_current(const struct worker *w)
{
    return world.current == node_of(w);
}

void task_init(struct task *t, void (*run)(void *arg), void *arg)
{
    list_init(&t->node);
    t->run = run;
    t->arg = arg;
}

void task_defer(struct worker *w, struct task *t)
{
    if (task_is_queued(t))
        return;
    list_append(&w->deferred, &t->node);
    want_turn(w);
}

void task_cancel(struct task *t)
{
    list_remove(&t->node);
}

int64_t worker_watch(struct worker *w, const char *what, int64_t start_us)
{
    return start_us;
}

void sim_building(int node)
{
    world.building = node;
}

int workers_init(struct workers *g, const struct config *config, int count)
{
    *g = (struct workers){.config = config, .count = 1};
    struct worker *w = g->workers = xcalloc(1, sizeof *w);
    w->group = g;
    w->config = config;
    w->mailbox_last = &w->mailbox_first;
    w->mailbox_fd = world.building;
    list_init(&w->deferred);
    world.nodes[world.building].worker = w;
    world.nodes[world.building].frozen_us = 0;
    return 0;
}

void workers_drain(struct workers *g)
{
    struct worker *w = g->workers;
    bool any = true;
    while (any) {
        any = run_mailbox(w);
        any = run_deferred(w) || any;
    }
}

void workers_fini(struct workers *g)
{
    struct worker *w = g->workers;
    must(w->mailbox_first == NULL && list_empty(&w->deferred));
    sim_cancel(&world.nodes[node_of(w)].turn);
    world.nodes[node_of(w)].worker = NULL;
    free(w);
    *g = (struct workers){0};
}

/* --- timers: the event that is to come is kept where libevent's would keep its argument --- */

static void on_timer(void *arg)
{
    struct timer *t = arg;
    t->event.ev_evcallback.evcb_arg = NULL;
    t->on_time(t->arg);
}

void timer_init(struct timer *t, struct worker *w, const char *what, void (*on_time)(void *arg),
                void *arg)
{
    memset(t, 0, sizeof *t);
    t->worker = w;
    t->on_time = on_time;
    t->arg = arg;
    t->what = what;
}

void timer_stop(struct timer *t)
{
    struct sim_event *e = t->event.ev_evcallback.evcb_arg;
    sim_cancel(&e);
    t->event.ev_evcallback.evcb_arg = NULL;
}

void timer_set_us(struct timer *t, int64_t us)
{
    must(us >= 0);
    timer_stop(t);
    t->due_us = world.now_us + us;
    t->event.ev_evcallback.evcb_arg = sim_after(node_of(t->worker), us, on_timer, t);
}

void timer_set_ms(struct timer *t, int64_t ms)
{
    timer_set_us(t, ms * 1000);
}

bool timer_is_set(const struct timer *t)
{
    return t->event.ev_evcallback.evcb_arg != NULL;
}

void timer_fini(struct timer *t)
{
    if (t->worker == NULL)
        return;
    timer_stop(t);
    t->worker = NULL;
}
