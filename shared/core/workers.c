#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "core/crash.h"
#include "core/watchdog.h"
#include "core/worker_internal.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* The workers of a node: made, started and stopped together, by the main thread. */

/* Turns of messages that answer messages after the threads have ended; more is a loop of ours. */
#define DRAIN_TURNS_MAX 10000

enum gate_state { GATE_SHUT, GATE_OPEN, GATE_ABORTED };

/* No loop runs before every thread exists: worker_is_current() reads the other workers' threads. */
struct worker_gate {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    enum gate_state state;
};

struct stop_message {
    struct message message;
    struct worker *worker;
};

static int core_count(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count > WORKERS_MAX ? WORKERS_MAX : count;
}

int workers_init(struct workers *g, const struct config *config, int count)
{
    if (count < 0 || count > WORKERS_MAX)
        return ERR_RANGE;
    *g = (struct workers){.config = config};
    int want = count > 0 ? count : core_count();
    g->workers = xcalloc((size_t)want, sizeof *g->workers);
    int err = 0;
    while (g->count < want && err == 0) {
        err = worker_init(&g->workers[g->count], g, g->count);
        g->count++;
    }
    if (err != 0)
        workers_fini(g);
    return err;
}

void workers_fini(struct workers *g)
{
    for (int i = 0; i < g->count; i++)
        worker_fini(&g->workers[i]);
    free(g->workers);
    *g = (struct workers){0};
}

static enum gate_state gate_wait(struct worker_gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    while (gate->state == GATE_SHUT)
        pthread_cond_wait(&gate->changed, &gate->mutex);
    enum gate_state state = gate->state;
    pthread_mutex_unlock(&gate->mutex);
    return state;
}

static void gate_set(struct worker_gate *gate, enum gate_state state)
{
    pthread_mutex_lock(&gate->mutex);
    gate->state = state;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->mutex);
}

static struct worker_gate *gate_new(void)
{
    struct worker_gate *gate = xcalloc(1, sizeof *gate);
    must(pthread_mutex_init(&gate->mutex, NULL) == 0);
    must(pthread_cond_init(&gate->changed, NULL) == 0);
    return gate;
}

static void gate_free(struct worker_gate **gp)
{
    if (*gp == NULL)
        return;
    pthread_cond_destroy(&(*gp)->changed);
    pthread_mutex_destroy(&(*gp)->mutex);
    free(*gp);
    *gp = NULL;
}

static void *thread_main(void *arg)
{
    struct worker *w = arg;
    if (gate_wait(w->group->gate) == GATE_OPEN)
        worker_loop(w);
    return NULL;
}

static int create_thread(struct worker *w)
{
    char name[16]; /* what the kernel keeps of it */
    if (pthread_create(&w->thread, NULL, thread_main, w) != 0)
        return ERR_IO;
    snprintf(name, sizeof name, "sluice-w%d", w->index);
    pthread_setname_np(w->thread, name);
    return 0;
}

static void join_first(struct workers *g, int count)
{
    for (int i = 0; i < count; i++)
        pthread_join(g->workers[i].thread, NULL);
    for (int i = 0; i < g->count; i++)
        g->workers[i].started = false;
    gate_free(&g->gate);
}

int workers_start(struct workers *g)
{
    sigset_t all, before;
    int made = 0;
    must(g->gate == NULL);
    g->gate = gate_new();
    for (int i = 0; i < g->count; i++)
        g->workers[i].started = true;
    sigfillset(&all);
    for (size_t i = 0; i < crash_signal_count; i++)
        sigdelset(&all, crash_signals[i]);
    sigdelset(&all, WATCHDOG_SIGNAL);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* threads inherit it: the rest is main's */
    while (made < g->count && create_thread(&g->workers[made]) == 0)
        made++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    gate_set(g->gate, made == g->count ? GATE_OPEN : GATE_ABORTED);
    if (made == g->count)
        return 0;
    join_first(g, made);
    return ERR_IO;
}

static void on_stop(struct message *m)
{
    struct stop_message *stop = container_of(m, struct stop_message, message);
    worker_end(stop->worker);
    free(stop);
}

static bool drain_turn(struct workers *g)
{
    bool any = false;
    for (int i = 0; i < g->count; i++)
        any = worker_drain_once(&g->workers[i]) || any;
    return any;
}

void workers_drain(struct workers *g)
{
    int turns = 0;
    while (drain_turn(g))
        must(++turns < DRAIN_TURNS_MAX);
}

void workers_stop(struct workers *g)
{
    if (g->gate == NULL)
        return;
    for (int i = 0; i < g->count; i++) {
        struct stop_message *stop = xcalloc(1, sizeof *stop);
        stop->message.run = on_stop;
        stop->worker = &g->workers[i];
        worker_post(&g->workers[i], &stop->message);
    }
    join_first(g, g->count);
    workers_drain(g);
}
