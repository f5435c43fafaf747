#ifndef SLUICE_ORIGIN_DERIVE_THREADS_H
#define SLUICE_ORIGIN_DERIVE_THREADS_H

#include "core/worker.h"
#include "media/frame.h"

/*
 * Codecs run on threads of their own: a job is one codec on one of them, given frames from a worker
 * and giving frames back to it.  What is under way is bounded; what is beyond it is left out.
 *
 *   worker ──frames──▶ job's queue ──thread: derive_codec──▶ frames ──message──▶ worker
 */
#define DERIVE_THREADS_MAX  16
#define DERIVE_SOUNDS_MAX   2048  /* frames of sound under way to one codec: some 40 s */
#define DERIVE_PICTURES_MAX 150   /* pictures: some 3 s */
#define DERIVE_CONFIG_MAX   16384 /* bytes of the configuration of what is made */

struct derive_threads;
struct derive_job;

/* count threads (0: one per two cores, at least one), started now; NULL when none could be. */
struct derive_threads *derive_threads_new(int count);
/* How many there are. */
int derive_threads_count(const struct derive_threads *t);
/* Joins them; what is queued is dropped.  Jobs may be cancelled afterwards. */
void derive_threads_free(struct derive_threads **tp);

/* What a job gives back, on its worker.  Frames have kind, codec, payload, flags, dts_us; the first
 * one is the configuration.  The callee takes the reference by clearing *f. */
struct derive_job_ops {
    void (*on_frame)(void *owner, struct frame **f);
    /* The codec does not do it; nothing more comes. */
    void (*on_failed)(void *owner, int err);
};

struct derive_job_options {
    struct worker *worker; /* where it is made, fed and cancelled, and where the ops are called */
    enum frame_kind kind;
    uint32_t to; /* FLV_CODEC_ */
    const struct derive_job_ops *ops;
    void *owner;
};
struct derive_job *derive_job_new(struct derive_threads *t, const struct derive_job_options *o);
/* One frame of the track (held once more): its configuration or media.  False: left out, since too
 * much is under way. */
bool derive_job_push(struct derive_job *j, struct frame *f);
/* No op is called afterwards. */
void derive_job_cancel(struct derive_job **jp);

#endif
