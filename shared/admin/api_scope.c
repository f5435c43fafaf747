/*
 * The streams of the whole cluster: our own rows, the list of nodes, then a signed request to every
 * other node.  All of it within SCOPE_MS; what has not answered by then is told as missing.
 *
 *   api_gather ─▶ cluster_nodes ─▶ relay_call per node ─▶ lines ─▶ scope_merge ─▶ answer
 *
 * On the exchange's worker.  A scope whose peer has gone ends at once, but not before the one
 * callback it waits for (gather, nodes), which cannot be taken back.
 */
#include "admin/api_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "core/clock.h"

#include <stdlib.h>

#define SCOPE_MAGIC     0x73636f70U
#define SCOPE_MS        2000        /* from the request to the answer */
#define SCOPES_MAX      8           /* questions under way on a node: each makes many of its own */
#define SCOPE_CALLS_MAX 32          /* nodes asked at a time */
#define SCOPE_LINE_MAX  (32 * 1024) /* bytes of one row */

struct scope;

enum ask_state { ASK_WAITING, ASK_RUNNING, ASK_DONE, ASK_FAILED };

/* The question to one node. */
struct scope_ask {
    struct scope *scope;
    struct relay_call *call;
    enum ask_state state;
    int status;
    char id[NAME_NODE_MAX + 1], address[CLUSTER_ADDRESS_MAX];
};

struct scope {
    uint32_t magic;
    struct api *api;
    struct worker *worker;
    struct http_exchange *x; /* NULL: answered, or the peer has gone */
    struct timer deadline;
    int64_t due_us;
    struct scope_merge *merge;
    struct scope_ask *asks;
    size_t ask_count, next, running;
    size_t bytes; /* of all answers */
    bool waiting; /* for a callback */
    bool has_own, has_nodes;
};

static void scope_free(struct scope **sp)
{
    struct scope *s = *sp;
    *sp = NULL;
    for (size_t i = 0; i < s->ask_count; i++)
        relay_call_cancel(&s->asks[i].call);
    timer_fini(&s->deadline);
    scope_merge_free(&s->merge);
    atomic_fetch_sub_explicit(&s->api->scopes, 1, memory_order_relaxed);
    OBJ_POISON(s);
    free(s->asks);
    free(s);
}

static void scope_end(struct scope *s)
{
    s->x = NULL;
    timer_stop(&s->deadline);
    if (!s->waiting)
        scope_free(&s);
}

static void on_gone(struct http_exchange *x, enum close_reason why, void *owner)
{
    scope_end(OBJ_CAST(struct scope, owner, SCOPE_MAGIC));
}

/* --- the answer --- */

static json_t *missing_json(const struct scope *s)
{
    json_t *out = json_array();
    if (!s->has_own)
        must(json_array_append_new(out, json_string(s->api->o.identity->node)) == 0);
    for (size_t i = 0; i < s->ask_count; i++)
        if (s->asks[i].state != ASK_DONE)
            must(json_array_append_new(out, json_string(s->asks[i].id)) == 0);
    return out;
}

static void scope_answer(struct scope *s)
{
    json_t *missing = missing_json(s);
    json_t *out = json_pack("{s:o}", "streams", scope_merge_json(s->merge));
    if (json_array_size(missing) > 0 || !s->has_nodes)
        must(json_object_set_new(out, "partial", json_true()) == 0 &&
             json_object_set(out, "missing", missing) == 0);
    json_decref(missing);
    http_exchange_watch(s->x, NULL, NULL);
    http_respond_json(s->x, 200, out);
    scope_end(s);
}

static void on_deadline(void *arg)
{
    scope_answer(OBJ_CAST(struct scope, arg, SCOPE_MAGIC));
}

/* --- asking a node --- */

static void on_head(struct relay_call *c, int status, void *owner)
{
    struct scope_ask *ask = owner;
    ask->status = status;
}

/* Whole lines; the rest comes again. */
static ssize_t take_rows(struct scope_ask *ask, struct slice bytes)
{
    bool whole;
    struct slice rest, line = slice_cut(bytes, '\n', &rest, &whole);
    size_t taken = 0;
    while (whole) {
        json_t *row = api_row_accept(line);
        if (row == NULL)
            return ERR_PROTOCOL;
        scope_merge_add(ask->scope->merge, ask->id, row);
        taken += line.len + 1;
        line = slice_cut(rest, '\n', &rest, &whole);
    }
    return (ssize_t)taken;
}

static ssize_t on_body(struct relay_call *c, struct slice bytes, void *owner)
{
    struct scope_ask *ask = owner;
    ssize_t taken = ask->status == 200 ? take_rows(ask, bytes) : (ssize_t)bytes.len;
    if (taken < 0)
        return taken;
    ask->scope->bytes += (size_t)taken;
    return ask->scope->bytes > API_ROWS_BYTES_MAX ? ERR_TOO_LARGE : taken;
}

static void ask_more(struct scope *s);

static void on_end(enum close_reason why, void *owner)
{
    struct scope_ask *ask = owner;
    struct scope *s = ask->scope;
    ask->call = NULL;
    ask->state = ask->status == 200 && why == CLOSE_FINISHED ? ASK_DONE : ASK_FAILED;
    s->running--;
    ask_more(s);
}

static void ask_start(struct scope_ask *ask, int64_t left_ms)
{
    static const struct relay_call_ops ops = {
        .on_head = on_head, .on_body = on_body, .on_end = on_end};
    struct scope *s = ask->scope;
    const struct relay_call_options o = {
        .address = ask->address,
        .peer = ask->id,
        .method = "GET",
        .target = API_CLUSTER_STREAMS,
        .head_deadline_ms = left_ms,
        .idle_ms = left_ms,
        .unread_max = SCOPE_LINE_MAX,
    };
    ask->state = ASK_RUNNING;
    s->running++;
    ask->call = relay_call_start(s->worker, s->api->o.client, &o, &ops, ask);
}

/* The next nodes, or the answer when all have been asked and have answered. */
static void ask_more(struct scope *s)
{
    int64_t left_ms = (s->due_us - clock_us()) / 1000;
    while (s->next < s->ask_count && s->running < SCOPE_CALLS_MAX && left_ms > 0)
        ask_start(&s->asks[s->next++], left_ms);
    if (s->running == 0)
        scope_answer(s);
}

/* --- whom to ask --- */

/* True when the callback that was waited for is of use. */
static bool scope_goes_on(struct scope *s)
{
    s->waiting = false;
    if (s->x != NULL)
        return true;
    scope_free(&s);
    return false;
}

static void on_nodes(const struct cluster_node *nodes, size_t count, void *arg)
{
    struct scope *s = OBJ_CAST(struct scope, arg, SCOPE_MAGIC);
    if (!scope_goes_on(s))
        return;
    s->has_nodes = true;
    s->asks = xcalloc(count + 1, sizeof *s->asks);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(nodes[i].id, s->api->o.identity->node) == 0)
            continue;
        struct scope_ask *ask = &s->asks[s->ask_count++];
        ask->scope = s;
        must(slice_copy(slice_text(nodes[i].id), ask->id, sizeof ask->id) &&
             slice_copy(slice_text(nodes[i].address), ask->address, sizeof ask->address));
    }
    ask_more(s);
}

static void on_own(const struct api_stream *rows, size_t count, void *arg)
{
    struct scope *s = OBJ_CAST(struct scope, arg, SCOPE_MAGIC);
    if (!scope_goes_on(s))
        return;
    s->has_own = true;
    for (size_t i = 0; i < count; i++)
        scope_merge_add(s->merge, s->api->o.identity->node, api_row_json(&rows[i]));
    s->waiting = true;
    cluster_nodes(s->api->o.cluster, s->worker, on_nodes, s);
}

static bool take_turn(struct api *a)
{
    if (atomic_fetch_add_explicit(&a->scopes, 1, memory_order_relaxed) < SCOPES_MAX)
        return true;
    atomic_fetch_sub_explicit(&a->scopes, 1, memory_order_relaxed);
    return false;
}

void api_scope_start(struct api *a, struct http_exchange *x)
{
    static const struct http_exchange_ops ops = {.on_gone = on_gone};
    if (!take_turn(a)) {
        const struct http_header retry = {"Retry-After", slice_text("1")};
        http_respond_error_with(x, 503, "busy", "too many such requests at once", &retry, 1);
        return;
    }
    struct scope *s = xcalloc(1, sizeof *s);
    s->magic = SCOPE_MAGIC;
    s->api = a;
    s->worker = http_exchange_worker(x);
    s->x = x;
    s->merge = scope_merge_new();
    s->due_us = clock_us() + SCOPE_MS * 1000;
    timer_init(&s->deadline, s->worker, "api.scope", on_deadline, s);
    timer_set_ms(&s->deadline, SCOPE_MS);
    http_exchange_watch(x, &ops, s);
    s->waiting = true;
    api_gather(a, s->worker, "", on_own, s);
}
