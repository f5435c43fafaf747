/*
 * Requests of other nodes: admitted, read, and handed to what answers them.
 */
#include "origin/relay_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "core/clock.h"
#include "core/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct relay_server *relay_server_new(const struct relay_options *o)
{
    struct relay_server *s = xcalloc(1, sizeof *s);
    s->o = *o;
    for (size_t i = 0; i < WORKERS_MAX; i++)
        list_init(&s->locals[i].flows);
    return s;
}

void relay_server_free(struct relay_server **sp)
{
    free(*sp);
    *sp = NULL;
}

static int64_t wall_ms(const struct relay_server *s)
{
    return s->o.wall_ms != NULL ? s->o.wall_ms() : clock_wall_us() / 1000;
}

bool relay_server_admit(struct relay_server *s, struct http_exchange *x,
                        const struct http_request *req, struct relay_sender *sender)
{
    return relay_admit(s->o.guard, s->o.identity, x, req, wall_ms(s), sender);
}

enum path_verdict { PATH_OK, PATH_BAD, PATH_LOOP, PATH_LONG };

/* The nodes a request has passed, comma separated. */
static enum path_verdict judge_path(const struct relay_server *s, struct slice path)
{
    int hops = 0;
    while (path.len > 0) {
        struct slice node = slice_cut(path, ',', &path, NULL);
        if (!name_node_ok(node))
            return PATH_BAD;
        if (slice_is(node, s->o.identity->node))
            return PATH_LOOP;
        if (++hops > RELAY_HOPS_MAX)
            return PATH_LONG;
    }
    return PATH_OK;
}

static bool check_path(struct relay_server *s, struct http_exchange *x,
                       const struct http_request *req)
{
    switch (judge_path(s, http_request_header(req, RELAY_PATH_HEADER))) {
    case PATH_OK:
        return true;
    case PATH_BAD:
        http_respond_error(x, 400, "bad_path", "the path names something that is no node");
        return false;
    case PATH_LOOP:
        http_respond_error(x, 508, "loop", "the request has passed this node before");
        return false;
    case PATH_LONG:
        http_respond_error(x, 508, "too_many_hops", "the request has passed too many nodes");
        return false;
    }
    return false;
}

bool relay_open_request(struct relay_server *s, struct http_exchange *x,
                        const struct http_request *req, struct relay_request *q)
{
    struct relay_sender sender;
    *q = (struct relay_request){0};
    if (!relay_server_admit(s, x, req, &sender) || !check_path(s, x, req))
        return false;
    if (name_stream_or_derived(req->captures[0], req->captures[1], q->name) < 0) {
        http_respond_error(x, 400, "bad_name", "not the name of a stream");
        return false;
    }
    must(slice_copy(slice_text(sender.node), q->peer, sizeof q->peer));
    return true;
}

static bool number_of(const struct http_request *req, const char *key, uint64_t *out)
{
    char text[24];
    return http_request_query(req, key, text, sizeof text) &&
           slice_u64(slice_text(text), UINT64_MAX, out) == 0;
}

/* "EPOCH.SEQ" */
static bool place_of(const struct http_request *req, struct relay_request *q)
{
    char text[48];
    if (!http_request_query(req, "from", text, sizeof text))
        return true;
    struct slice seq, epoch = slice_cut(slice_text(text), '.', &seq, NULL);
    return slice_u64(epoch, UINT64_MAX, &q->epoch) == 0 &&
           slice_u64(seq, UINT64_MAX, &q->from) == 0;
}

static bool read_place(const struct http_request *req, struct relay_request *q)
{
    char text[24];
    q->finite = http_request_query(req, "before", text, sizeof text);
    if (q->finite)
        return number_of(req, "before", &q->before) && q->before != 0;
    q->finite = http_request_query(req, "to", text, sizeof text);
    if (!q->finite)
        return place_of(req, q);
    return number_of(req, "epoch", &q->epoch) && number_of(req, "from", &q->from) &&
           number_of(req, "to", &q->to) && q->from <= q->to;
}

static void handle_get(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct relay_server *s = arg;
    struct relay_request q;
    char text[8];
    if (!relay_open_request(s, x, req, &q))
        return;
    if (http_request_query(req, "probe", text, sizeof text)) {
        uint64_t before = 0;
        (void)number_of(req, "before", &before);
        relay_answer_probe(s, x, q.name, before);
        return;
    }
    if (!read_place(req, &q)) {
        http_respond_error(x, 400, "bad_query", "from, to or epoch is malformed");
        return;
    }
    char known[NAME_STREAM_MAX + 1];
    name_base(q.name, known);
    if (hub_home(s->o.hub, known) == NULL) {
        http_respond_error(x, 404, "not_found", "no such stream here");
        return;
    }
    relay_flow_open(s, x, &q);
}

static void handle_want(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct relay_server *s = arg;
    struct relay_request q;
    if (!relay_open_request(s, x, req, &q))
        return;
    json_t *body = json_parse(req->body);
    bool key = json_is_true(json_object_get(body, "key"));
    bool is_object = json_is_object(body);
    json_decref(body);
    if (!is_object)
        http_respond_error(x, 400, "bad_body", "a JSON object is expected");
    else if (key && !relay_answer_want_key(s, q.name))
        http_respond_error(x, 404, "not_found", "no such stream here");
    else
        http_respond(x, 204, NULL, 0, slice_of(NULL, 0));
}

static void handle_ping(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct relay_server *s = arg;
    struct relay_sender sender;
    char instance[24];
    if (!relay_server_admit(s, x, req, &sender))
        return;
    snprintf(instance, sizeof instance, "%016" PRIx64, s->o.identity->instance);
    http_respond_json(x, 200,
                      json_pack("{s:s,s:s}", "node", s->o.identity->node, "instance", instance));
}

void relay_server_routes(struct relay_server *s, struct http_route out[RELAY_ROUTES])
{
    const struct http_route routes[RELAY_ROUTES] = {
        {.method = "GET", .pattern = "/relay/v1/ping", .handle = handle_ping, .arg = s},
        {.method = "GET", .pattern = "/relay/v1/*/*", .handle = handle_get, .arg = s},
        {.method = "POST", .pattern = "/relay/v1/*/*/want", .handle = handle_want, .arg = s},
    };
    memcpy(out, routes, sizeof routes);
}
