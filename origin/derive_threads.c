#include "origin/derive_threads.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "media/sample.h"
#include "origin/derive_codec.h"
#include "proto/flv.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CORES_PER_THREAD 2

struct derive_thread {
    pthread_t id;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct list work; /* struct work, the oldest first */
    bool stop;
};

struct derive_threads {
    int count;
    atomic_uint next;
    struct derive_thread threads[DERIVE_THREADS_MAX];
};

/* One frame on its way to the codec. */
struct work {
    struct list node;
    struct derive_job *job; /* held */
    struct frame *frame;    /* held */
};

/* Held by its owner, by each piece of work and by each answer under way. */
struct derive_job {
    atomic_uint refs, queued;
    atomic_bool cancelled;
    struct derive_thread *thread;
    struct derive_job_options o; /* .owner NULL: cancelled; the worker's only */
    /* The thread's only: */
    struct derive_codec *codec;
    struct frame *config; /* held */
    bool failed;
    uint8_t told[DERIVE_CONFIG_MAX]; /* the configuration that was given back last */
    size_t told_len;
};

/* Frames on their way back. */
struct made {
    struct message m;
    struct derive_job *job; /* held */
    struct frame *frame;    /* NULL: failed */
    int err;
};

static void job_unref(struct derive_job *j)
{
    if (atomic_fetch_sub(&j->refs, 1) > 1)
        return;
    derive_codec_free(&j->codec);
    frame_unref(&j->config);
    free(j);
}

static struct derive_job *job_ref(struct derive_job *j)
{
    atomic_fetch_add(&j->refs, 1);
    return j;
}

static void work_free(struct work *w)
{
    atomic_fetch_sub(&w->job->queued, 1);
    frame_unref(&w->frame);
    job_unref(w->job);
    free(w);
}

/* --- on the worker --- */

static void on_made(struct message *m)
{
    struct made *d = container_of(m, struct made, m);
    const struct derive_job_options *o = &d->job->o;
    if (o->owner != NULL && d->frame != NULL)
        o->ops->on_frame(o->owner, &d->frame);
    else if (o->owner != NULL)
        o->ops->on_failed(o->owner, d->err);
    frame_unref(&d->frame);
    job_unref(d->job);
    free(d);
}

struct derive_job *derive_job_new(struct derive_threads *t, const struct derive_job_options *o)
{
    struct derive_job *j = xcalloc(1, sizeof *j);
    must(o->owner != NULL);
    j->o = *o;
    j->thread = &t->threads[atomic_fetch_add(&t->next, 1) % (unsigned)t->count];
    atomic_init(&j->refs, 1);
    return j;
}

static unsigned queue_max(const struct derive_job *j)
{
    return j->o.kind == FRAME_VIDEO ? DERIVE_PICTURES_MAX : DERIVE_SOUNDS_MAX;
}

bool derive_job_push(struct derive_job *j, struct frame *f)
{
    struct derive_thread *t = j->thread;
    if (atomic_load(&j->queued) >= queue_max(j))
        return false;
    struct work *w = xcalloc(1, sizeof *w);
    w->job = job_ref(j);
    w->frame = frame_ref(f);
    atomic_fetch_add(&j->queued, 1);
    pthread_mutex_lock(&t->mutex);
    list_append(&t->work, &w->node);
    pthread_cond_signal(&t->cond);
    pthread_mutex_unlock(&t->mutex);
    return true;
}

void derive_job_cancel(struct derive_job **jp)
{
    struct derive_job *j = *jp;
    *jp = NULL;
    if (j == NULL)
        return;
    j->o.owner = NULL;
    atomic_store(&j->cancelled, true);
    job_unref(j);
}

/* --- on the thread --- */

static void give_back(struct derive_job *j, struct frame *f, int err)
{
    struct made *d = xcalloc(1, sizeof *d);
    d->m.run = on_made;
    d->job = job_ref(j);
    d->frame = f;
    d->err = err;
    worker_post(j->o.worker, &d->m);
}

#define BODY_HEAD_MAX 5 /* bytes before the payload of an FLV body */

/* The first bytes of an FLV body (proto/flv.h): AVC and AAC have a form of their own. */
static size_t body_head(uint32_t codec, uint8_t flags, uint8_t out[BODY_HEAD_MAX])
{
    bool config = (flags & FRAME_CONFIG) != 0;
    memset(out, 0, BODY_HEAD_MAX);
    switch (codec) {
    case FLV_CODEC_AVC:
        out[0] = config || (flags & FRAME_KEY) != 0 ? 0x17 : 0x27;
        out[1] = config ? 0 : 1;
        return BODY_HEAD_MAX; /* the composition time is 0 */
    case FLV_CODEC_AAC:
        out[0] = 0xaf;
        out[1] = config ? 0 : 1;
        return 2;
    }
    out[0] = (uint8_t)(0x90 | (config ? FLV_SEQUENCE_START : FLV_CODED_FRAMES));
    for (int i = 0; i < 4; i++)
        out[1 + i] = (uint8_t)(codec >> (24 - 8 * i));
    return BODY_HEAD_MAX;
}

static void give_frame(struct derive_job *j, uint8_t flags, struct slice payload, int64_t dts_us)
{
    uint8_t head[BODY_HEAD_MAX];
    size_t head_len = body_head(j->o.to, flags, head);
    struct frame *f = frame_new(j->o.kind, head_len + payload.len);
    if (f == NULL)
        return;
    memcpy(f->data, head, head_len);
    if (payload.len > 0)
        memcpy(f->data + head_len, payload.p, payload.len);
    f->codec = j->o.to;
    f->flags = flags;
    f->dts_us = dts_us;
    give_back(j, f, 0);
}

static void on_unit(const struct derive_unit *unit, void *arg)
{
    struct derive_job *j = arg;
    /* The encoder's first packet may be of the time before the run. */
    int64_t at_us = unit->dts_us > 0 ? unit->dts_us : 0;
    struct slice config = derive_codec_config(j->codec);
    if (!slice_eq(config, slice_of(j->told, j->told_len)) && config.len <= sizeof j->told) {
        memcpy(j->told, config.p, config.len);
        j->told_len = config.len;
        give_frame(j, FRAME_CONFIG, config, at_us);
    }
    bool key = j->o.kind == FRAME_VIDEO && unit->key;
    give_frame(j, key ? FRAME_KEY : 0, unit->bytes, at_us);
}

static void fail(struct derive_job *j, int err)
{
    j->failed = true;
    give_back(j, NULL, err);
}

static void take_config(struct derive_job *j, struct frame *f)
{
    if (j->config != NULL && slice_eq(frame_payload(j->config), frame_payload(f)))
        return;
    frame_unref(&j->config);
    j->config = frame_ref(f);
    derive_codec_free(&j->codec);
}

static void take_frame(struct derive_job *j, struct frame *f)
{
    struct slice config = j->config != NULL ? frame_coded(j->config) : slice_of(NULL, 0);
    const struct derive_unit unit = {frame_coded(f), f->dts_us, f->cts_us,
                                     (f->flags & FRAME_KEY) != 0};
    int err = j->codec != NULL ? 0 : derive_codec_open(&j->codec, f->codec, config, j->o.to);
    if (err == 0 && derive_codec_push(j->codec, &unit, on_unit, j) == ERR_UNSUPPORTED)
        err = ERR_UNSUPPORTED;
    if (err < 0)
        fail(j, err);
}

static void work_on(struct work *w)
{
    struct derive_job *j = w->job;
    bool over = j->failed || atomic_load(&j->cancelled);
    if (!over && (w->frame->flags & FRAME_CONFIG) != 0)
        take_config(j, w->frame);
    else if (!over)
        take_frame(j, w->frame);
    work_free(w);
}

static struct work *next_work(struct derive_thread *t)
{
    pthread_mutex_lock(&t->mutex);
    while (list_empty(&t->work) && !t->stop)
        pthread_cond_wait(&t->cond, &t->mutex);
    struct work *w = t->stop ? NULL : LIST_FIRST(&t->work, struct work, node);
    if (w != NULL)
        list_remove(&w->node);
    pthread_mutex_unlock(&t->mutex);
    return w;
}

static void *run_thread(void *arg)
{
    struct derive_thread *t = arg;
    struct work *w;
    while ((w = next_work(t)) != NULL)
        work_on(w);
    return NULL;
}

/* --- the threads --- */

static bool thread_start(struct derive_thread *t)
{
    sigset_t all, before;
    list_init(&t->work);
    must(pthread_mutex_init(&t->mutex, NULL) == 0 && pthread_cond_init(&t->cond, NULL) == 0);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool ok = pthread_create(&t->id, NULL, run_thread, t) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (ok)
        pthread_setname_np(t->id, "sluice-derive");
    return ok;
}

static void thread_stop(struct derive_thread *t)
{
    pthread_mutex_lock(&t->mutex);
    t->stop = true;
    pthread_cond_signal(&t->cond);
    pthread_mutex_unlock(&t->mutex);
    pthread_join(t->id, NULL);
    struct work *w;
    while ((w = LIST_FIRST(&t->work, struct work, node)) != NULL) {
        list_remove(&w->node);
        work_free(w);
    }
    pthread_mutex_destroy(&t->mutex);
    pthread_cond_destroy(&t->cond);
}

struct derive_threads *derive_threads_new(int count)
{
    derive_codec_quiet();
    struct derive_threads *t = xcalloc(1, sizeof *t);
    int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    int wanted = count > 0 ? count : cores / CORES_PER_THREAD;
    if (wanted < 1)
        wanted = 1;
    if (wanted > DERIVE_THREADS_MAX)
        wanted = DERIVE_THREADS_MAX;
    while (t->count < wanted && thread_start(&t->threads[t->count]))
        t->count++;
    if (t->count == 0) {
        free(t);
        return NULL;
    }
    return t;
}

int derive_threads_count(const struct derive_threads *t)
{
    return t->count;
}

void derive_threads_free(struct derive_threads **tp)
{
    struct derive_threads *t = *tp;
    *tp = NULL;
    if (t == NULL)
        return;
    for (int i = 0; i < t->count; i++)
        thread_stop(&t->threads[i]);
    free(t);
}
