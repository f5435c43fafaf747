/*
 * Signed requests to other nodes, each one object from its start to its end.
 */
#include "cluster/mesh_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "cluster/cluster_set.h"
#include "core/clock.h"
#include "core/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CALL_MAGIC 0x6d63616cU

struct call {
    struct list node;
    uint32_t magic;
    struct mesh *mesh;
    struct relay_call *relay;
    const struct relay_call_ops *ops;
    struct timer deadline;
    char peer[NAME_NODE_MAX + 1];
    uint64_t instance; /* of a fetch */
    int status;
    struct buf body; /* of a fetch */
};

static void call_free(struct call *q)
{
    list_remove(&q->node);
    relay_call_cancel(&q->relay);
    timer_fini(&q->deadline);
    buf_fini(&q->body);
    OBJ_POISON(q);
    free(q);
}

static void on_head(struct relay_call *c, int status, void *owner)
{
    OBJ_CAST(struct call, owner, CALL_MAGIC)->status = status;
}

static void on_deadline(void *arg)
{
    struct call *q = OBJ_CAST(struct call, arg, CALL_MAGIC);
    relay_call_cancel(&q->relay);
    q->ops->on_end(CLOSE_TIMEOUT, q);
}

static struct call *call_start(struct mesh *m, const struct relay_call_options *o,
                               const struct relay_call_ops *ops)
{
    struct call *q = xcalloc(1, sizeof *q);
    q->magic = CALL_MAGIC;
    q->mesh = m;
    q->ops = ops;
    slice_copy(slice_text(o->peer), q->peer, sizeof q->peer);
    buf_init(&q->body, CLUSTER_SET_BYTES_MAX);
    timer_init(&q->deadline, m->worker, "gossip.call", on_deadline, q);
    timer_set_ms(&q->deadline, MESH_CALL_ALL_MS);
    list_append(&m->calls, &q->node);
    q->relay = relay_call_start(m->worker, cluster_self(m->cluster)->client, o, ops, q);
    return q;
}

/* --- sets --- */

static ssize_t on_set_bytes(struct relay_call *c, struct slice bytes, void *owner)
{
    struct call *q = OBJ_CAST(struct call, owner, CALL_MAGIC);
    if (q->status != 200)
        return (ssize_t)bytes.len;
    int err = buf_append(&q->body, bytes.p, bytes.len);
    return err < 0 ? err : (ssize_t)bytes.len;
}

static void on_set_end(enum close_reason why, void *owner)
{
    struct call *q = OBJ_CAST(struct call, owner, CALL_MAGIC);
    struct mesh *m = q->mesh;
    q->relay = NULL;
    bool whole = why == CLOSE_FINISHED && q->status == 200;
    if (!whole)
        log_debug(m->log, "gossip.fetch_failed node=%s status=%d reason=%s", q->peer, q->status,
                  close_reason_name(why));
    gossip_fetched(m->gossip, q->peer, q->instance, whole ? buf_slice(&q->body) : slice_of(NULL, 0),
                   clock_us());
    mesh_rearm(m);
    call_free(q);
}

void mesh_call_fetch(struct mesh *m, const char *node, uint64_t instance, const char *address,
                     uint64_t since)
{
    static const struct relay_call_ops ops = {
        .on_head = on_head, .on_body = on_set_bytes, .on_end = on_set_end};
    char target[RELAY_CALL_TARGET_MAX];
    snprintf(target, sizeof target, CLUSTER_SET_PATH "?instance=%016" PRIx64 "&since=%" PRIu64,
             instance, since);
    const struct relay_call_options o = {.address = address,
                                         .peer = node,
                                         .method = "GET",
                                         .target = target,
                                         .head_deadline_ms = MESH_CALL_MS,
                                         .idle_ms = MESH_CALL_MS};
    call_start(m, &o, &ops)->instance = instance;
}

/* --- requests --- */

static void on_request_end(enum close_reason why, void *owner)
{
    struct call *q = OBJ_CAST(struct call, owner, CALL_MAGIC);
    q->relay = NULL;
    if (why != CLOSE_FINISHED || q->status != 202)
        log_warn(q->mesh->log, "request.lost node=%s status=%d reason=%s", q->peer, q->status,
                 close_reason_name(why));
    call_free(q);
}

void mesh_call_request(struct mesh *m, const struct cluster_node *to, const char *verb,
                       const char *name)
{
    static const struct relay_call_ops ops = {.on_head = on_head, .on_end = on_request_end};
    json_t *j = json_pack("{s:s,s:s}", "verb", verb, "name", name);
    struct buf text;
    buf_init(&text, RELAY_CALL_BODY_MAX);
    if (j != NULL && json_print(j, &text) == 0) {
        const struct relay_call_options o = {.address = to->address,
                                             .peer = to->id,
                                             .method = "POST",
                                             .target = CLUSTER_REQUEST_PATH,
                                             .body = buf_slice(&text),
                                             .head_deadline_ms = MESH_CALL_MS,
                                             .idle_ms = MESH_CALL_MS};
        call_start(m, &o, &ops);
    }
    buf_fini(&text);
    json_decref(j);
}

void mesh_calls_stop(struct mesh *m)
{
    struct call *q, *tmp;
    LIST_EACH_SAFE (q, tmp, &m->calls, node)
        call_free(q);
}
