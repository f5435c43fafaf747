/*
 * What other nodes ask over the cluster port, signed:
 *
 *   GET  /cluster/v1/set      the streams that are ours; written on the cluster's worker
 *   POST /cluster/v1/request  {"verb","name"}: the same as a request through the directory
 */
#include "cluster/cluster_internal.h"

#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/obj.h"
#include "cluster/cluster_set.h"
#include "core/clock.h"
#include "core/json.h"

#include <stdlib.h>

#define ASKED_MAGIC 0x61736b64U

static bool admit(struct cluster *c, struct http_exchange *x, const struct http_request *req,
                  struct relay_sender *sender)
{
    must(c->self.client != NULL);
    return relay_admit(c->self.guard, c->self.client->self, x, req, clock_wall_us() / 1000, sender);
}

/* --- our set --- */

/* A request on its way to the cluster's worker and back to its own. */
struct asked {
    struct message message;
    uint32_t magic;
    struct cluster *cluster;
    struct worker *worker;
    struct http_exchange *x; /* NULL: the peer has gone */
    uint64_t instance, since;
    struct buf out;
    int err;
};

static void on_gone(struct http_exchange *x, enum close_reason why, void *owner)
{
    OBJ_CAST(struct asked, owner, ASKED_MAGIC)->x = NULL;
}

static void answer(struct asked *a)
{
    static const struct http_header type = {"Content-Type",
                                            {(const uint8_t *)"application/octet-stream", 24}};
    http_exchange_watch(a->x, NULL, NULL);
    if (a->err < 0)
        http_respond_error(a->x, 404, "not_found", "this node keeps no such set");
    else
        http_respond(a->x, 200, &type, 1, buf_slice(&a->out));
}

static void arrive_back(struct message *m)
{
    struct asked *a = container_of(m, struct asked, message);
    OBJ_CHECK(a, ASKED_MAGIC);
    if (a->x != NULL)
        answer(a);
    buf_fini(&a->out);
    OBJ_POISON(a);
    free(a);
}

static void arrive_cluster(struct message *m)
{
    struct asked *a = container_of(m, struct asked, message);
    struct cluster *c = a->cluster;
    a->err = c->backend->write_set != NULL
                 ? c->backend->write_set(c->state, a->instance, a->since, &a->out)
                 : ERR_NOT_FOUND;
    a->message.run = arrive_back;
    worker_post(a->worker, &a->message);
}

static bool read_instance(const struct http_request *req, uint64_t *out)
{
    char text[17];
    uint8_t bytes[8];
    if (!http_request_query(req, "instance", text, sizeof text) ||
        hex_decode(slice_text(text), bytes, sizeof bytes) < 0)
        return false;
    *out = 0;
    for (size_t i = 0; i < sizeof bytes; i++)
        *out = *out << 8 | bytes[i];
    return true;
}

static bool read_since(const struct http_request *req, uint64_t *out)
{
    char text[21];
    return http_request_query(req, "since", text, sizeof text) &&
           slice_u64(slice_text(text), UINT64_MAX, out) == 0;
}

static void get_set(struct http_exchange *x, const struct http_request *req, void *arg)
{
    static const struct http_exchange_ops ops = {.on_gone = on_gone};
    struct cluster *c = OBJ_CAST(struct cluster, arg, CLUSTER_MAGIC);
    struct relay_sender sender;
    uint64_t instance, since;
    if (!admit(c, x, req, &sender))
        return;
    if (!read_instance(req, &instance) || !read_since(req, &since)) {
        http_respond_error(x, 400, "bad_request", "instance and since are needed");
        return;
    }
    struct asked *a = xcalloc(1, sizeof *a);
    a->message.run = arrive_cluster;
    a->magic = ASKED_MAGIC;
    a->cluster = c;
    a->worker = http_exchange_worker(x);
    a->x = x;
    a->instance = instance;
    a->since = since;
    buf_init(&a->out, CLUSTER_SET_BYTES_MAX);
    http_exchange_watch(x, &ops, a);
    worker_post(c->worker, &a->message);
}

/* --- requests to us --- */

static void run_request(struct cluster_request *r)
{
    struct cluster *c = r->cluster;
    if (!c->closing)
        cluster_backend_request(c, r->word, r->claim.name);
    cluster_request_free(&r);
}

/* Posts it to the cluster's worker; false when it makes no sense. */
static bool take_request(struct cluster *c, json_t *j)
{
    const char *verb, *name;
    char checked[NAME_STREAM_MAX + 1] = "";
    if (json_unpack(j, "{s:s,s:s}", "verb", &verb, "name", &name) != 0)
        return false;
    if (name[0] != '\0' && name_stream_of(slice_text(name), checked) < 0)
        return false;
    struct cluster_request *r = cluster_request_new(c, checked, run_request);
    if (!slice_copy(slice_text(verb), r->word, sizeof r->word)) {
        cluster_request_free(&r);
        return false;
    }
    cluster_request_send(r);
    return true;
}

static void post_request(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct cluster *c = OBJ_CAST(struct cluster, arg, CLUSTER_MAGIC);
    struct relay_sender sender;
    if (!admit(c, x, req, &sender))
        return;
    json_t *j = json_parse(req->body);
    if (j != NULL && take_request(c, j))
        http_respond_json(x, 202, json_pack("{s:b}", "taken", 1));
    else
        http_respond_error(x, 400, "bad_request", "a verb and a name are needed");
    json_decref(j);
}

void cluster_serve_routes(struct cluster *c, struct http_route out[CLUSTER_ROUTES])
{
    out[0] = (struct http_route){
        .method = "GET", .pattern = CLUSTER_SET_PATH, .handle = get_set, .arg = c};
    out[1] = (struct http_route){
        .method = "POST", .pattern = CLUSTER_REQUEST_PATH, .handle = post_request, .arg = c};
}
