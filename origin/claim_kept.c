/*
 * A worker that stood still: what its publishers send and say is kept until the cluster has told
 * whether their names are still ours, then it happens, or it never does.  On the home worker.
 */
#include "origin/claim_internal.h"

#include "base/mem.h"
#include "base/obj.h"

#include <stdlib.h>

struct claim_kept {
    struct frame **frames;
    size_t count, room, bytes;
    bool left, clean; /* the owner has gone */
};

static struct claim_kept *kept_of(struct claim *cl)
{
    if (cl->kept == NULL)
        cl->kept = xcalloc(1, sizeof *cl->kept);
    return cl->kept;
}

static void append_kept(struct claim *cl)
{
    struct claim_kept *k = cl->kept;
    if (k->count > 0)
        claim_append(cl, k->frames, k->count);
    k->count = k->bytes = 0;
}

bool claim_keep_frames(struct claim *cl, struct frame **frames, size_t count)
{
    struct claim_kept *k = kept_of(cl);
    if (k->bytes > CLAIM_KEPT_BYTES_MAX) {
        append_kept(cl);
        return false;
    }
    if (k->room - k->count < count) {
        k->room = 2 * (k->count + count);
        k->frames = xrealloc(k->frames, k->room * sizeof k->frames[0]);
    }
    for (size_t i = 0; i < count; i++) {
        k->bytes += sizeof *frames[i] + frames[i]->size;
        k->frames[k->count++] = frames[i];
    }
    return true;
}

void claim_keep_leave(struct claim *cl, bool clean)
{
    struct claim_kept *k = kept_of(cl);
    k->left = true;
    k->clean = clean;
}

void claim_drop_kept(struct claim *cl)
{
    struct claim_kept *k = cl->kept;
    cl->kept = NULL;
    if (k == NULL)
        return;
    for (size_t i = 0; i < k->count; i++)
        frame_unref(&k->frames[i]);
    free(k->frames);
    free(k);
}

void claim_replay_kept(struct claim *cl)
{
    struct claim_kept *k = cl->kept;
    if (k == NULL)
        return;
    append_kept(cl);
    bool left = k->left, clean = k->clean;
    claim_drop_kept(cl);
    if (left)
        claim_left(cl, clean);
}

static void go_on(const char *name, void *value, void *arg)
{
    struct claim *cl = OBJ_CAST(struct claim, value, CLAIM_MAGIC);
    claim_replay_kept(cl);
    claim_settle(cl);
}

static void on_checked(void *arg)
{
    struct claims *t = arg;
    t->checking = false;
    map_each(t->by_name, go_on, NULL);
}

void claims_after_gap(void *claims)
{
    struct claims *t = claims;
    if (t->checking || map_count(t->by_name) == 0)
        return;
    t->checking = true;
    cluster_revalidate(t->cluster, t->worker, on_checked, t);
}
