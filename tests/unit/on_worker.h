#ifndef SLUICE_TESTS_UNIT_ON_WORKER_H
#define SLUICE_TESTS_UNIT_ON_WORKER_H

#include "core/worker.h"

/*
 * Runs a function of the test on a worker's thread and waits until it has.  ON_WORKER_CONTEXT is
 * the test's struct, with its workers in a member `group`; it is defined before this is included.
 */
struct errand {
    struct message m;
    void (*fn)(ON_WORKER_CONTEXT *n, struct worker *w, void *arg);
    ON_WORKER_CONTEXT *n;
    struct worker *w;
    void *arg;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool done;
};

static inline void errand_run(struct message *m)
{
    struct errand *e = container_of(m, struct errand, m);
    e->fn(e->n, e->w, e->arg);
    pthread_mutex_lock(&e->mutex);
    e->done = true;
    pthread_cond_signal(&e->cond);
    pthread_mutex_unlock(&e->mutex);
}

static inline void on_worker(ON_WORKER_CONTEXT *n, int index,
                             void (*fn)(ON_WORKER_CONTEXT *n, struct worker *w, void *arg),
                             void *arg)
{
    struct errand e = {.m.run = errand_run,
                       .fn = fn,
                       .n = n,
                       .w = &n->group.workers[index],
                       .arg = arg,
                       .mutex = PTHREAD_MUTEX_INITIALIZER,
                       .cond = PTHREAD_COND_INITIALIZER};
    worker_post(e.w, &e.m);
    pthread_mutex_lock(&e.mutex);
    while (!e.done)
        pthread_cond_wait(&e.cond, &e.mutex);
    pthread_mutex_unlock(&e.mutex);
}

#endif
