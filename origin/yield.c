#include "origin/yield.h"

#include "base/mem.h"
#include "core/json.h"

#include <stdio.h>
#include <stdlib.h>

#define ANSWER_BYTES_MAX 1024

/* ---- asking ---- */

struct question {
    void (*done)(bool gone, void *arg);
    void *done_arg;
    bool yields;
};

static void on_head(struct relay_call *c, int status, void *owner)
{
    struct question *q = owner;
    q->yields = status == 404; /* the node knows no such stream */
}

static ssize_t on_body(struct relay_call *c, struct slice bytes, void *owner)
{
    struct question *q = owner;
    json_t *answer = json_parse(bytes);
    if (answer == NULL)
        return 0; /* cut short: it comes again with what follows */
    q->yields = q->yields || json_is_true(json_object_get(answer, "yields"));
    json_decref(answer);
    return (ssize_t)bytes.len;
}

static void on_end(enum close_reason why, void *owner)
{
    struct question *q = owner;
    bool gone = why == CLOSE_REFUSED || (why == CLOSE_FINISHED && q->yields);
    q->done(gone, q->done_arg);
    free(q);
}

static const struct relay_call_ops call_ops = {
    .on_head = on_head, .on_body = on_body, .on_end = on_end};

void yield_ask(struct worker *w, const char *name, const struct cluster_owner *owner,
               void (*done)(bool gone, void *arg), void *done_arg, void *yield)
{
    struct yield *y = yield;
    struct question *q = xcalloc(1, sizeof *q);
    q->done = done;
    q->done_arg = done_arg;
    char target[RELAY_CALL_TARGET_MAX];
    snprintf(target, sizeof target, "/relay/v1/%s/yield", name);
    const struct relay_call_options o = {.address = owner->address,
                                         .peer = owner->node,
                                         .method = "POST",
                                         .target = target,
                                         .head_deadline_ms = YIELD_DEADLINE_MS,
                                         .idle_ms = YIELD_DEADLINE_MS,
                                         .unread_max = ANSWER_BYTES_MAX};
    (void)relay_call_start(w, y->client, &o, &call_ops, q);
}

/* ---- answering ---- */

struct reply {
    struct http_exchange *x; /* NULL: the peer has gone */
};

static void on_gone(struct http_exchange *x, enum close_reason why, void *owner)
{
    ((struct reply *)owner)->x = NULL;
}

static void on_looked(bool yields, void *arg)
{
    struct reply *r = arg;
    if (r->x != NULL)
        http_respond_json(r->x, 200, json_pack("{s:b}", "yields", yields));
    free(r);
}

static void handle_yield(struct http_exchange *x, const struct http_request *req, void *arg)
{
    static const struct http_exchange_ops ops = {.on_gone = on_gone};
    struct yield *y = arg;
    struct relay_sender sender;
    char name[NAME_STREAM_MAX + 1];
    if (!relay_server_admit(y->relay, x, req, &sender))
        return;
    if (name_stream(req->captures[0], req->captures[1], name) < 0) {
        http_respond_error(x, 400, "bad_name", "not a valid stream name");
        return;
    }
    struct reply *r = xcalloc(1, sizeof *r);
    r->x = x;
    http_exchange_watch(x, &ops, r);
    ingest_yields(y->ingest, http_exchange_worker(x), name, on_looked, r);
}

void yield_routes(struct yield *y, struct http_route out[YIELD_ROUTES])
{
    out[0] = (struct http_route){
        .method = "POST", .pattern = "/relay/v1/*/*/yield", .handle = handle_yield, .arg = y};
}
