/*
 * The streams of this node, one stream wherever it is, and this node's streams for another one.
 */
#include "admin/api_internal.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"
#include "core/json.h"

#include <stdlib.h>

#define SCOPE_WORD_MAX 16 /* bytes of ?scope=, with the terminator */

/* --- the streams of this node --- */

static void answer_streams(const struct api_stream *rows, size_t count, void *arg)
{
    struct http_exchange *x = api_request_end(arg);
    if (x != NULL)
        http_respond_json(x, 200, json_pack("{s:o}", "streams", api_rows_json(rows, count)));
}

void api_get_streams(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct api *a = OBJ_CAST(struct api, arg, API_MAGIC);
    char scope[SCOPE_WORD_MAX] = "";
    bool given = http_request_query(req, "scope", scope, sizeof scope);
    if (given && strcmp(scope, "cluster") == 0) {
        api_scope_start(a, x);
        return;
    }
    if (given && strcmp(scope, "node") != 0) {
        http_respond_error(x, 400, "bad_query", "scope is node or cluster");
        return;
    }
    struct api_request *r = api_request_new(a, x);
    api_gather(a, r->worker, "", answer_streams, r);
}

/* --- one stream --- */

struct look {
    struct api_request *request;
    struct api_stream row;
};

static void answer_stream(const struct cluster_owner *owner, void *arg)
{
    struct look *l = arg;
    struct api_stream *row = &l->row;
    struct http_exchange *x = api_request_end(l->request);
    if (owner->found && (!row->described || owner->epoch > row->epoch)) {
        must(slice_copy(slice_text(owner->node), row->owner, sizeof row->owner));
        row->epoch = owner->epoch;
        row->described = true;
    }
    if (x != NULL && row->described)
        http_respond_json(x, 200, api_row_json(row));
    else if (x != NULL)
        http_respond_error(x, 404, "not_found", "no node has this stream");
    free(l);
}

static void look_up_owner(const struct api_stream *rows, size_t count, void *arg)
{
    struct api_request *r = arg;
    struct look *l = xcalloc(1, sizeof *l);
    l->request = r;
    l->row.local = "none";
    must(slice_copy(slice_text(r->name), l->row.name, sizeof l->row.name));
    if (count > 0)
        l->row = rows[0];
    cluster_lookup(r->api->o.cluster, r->worker, r->name, answer_stream, l);
}

void api_get_stream(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct api *a = OBJ_CAST(struct api, arg, API_MAGIC);
    struct api_request *r = api_request_named(a, x, req);
    if (r != NULL)
        api_gather(a, r->worker, r->name, look_up_owner, r);
}

/* --- for another node --- */

static int print_lines(const struct api_stream *rows, size_t count, struct buf *out)
{
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++) {
        json_t *row = api_row_json(&rows[i]);
        err = json_print(row, out);
        if (err == 0)
            err = buf_append(out, "\n", 1);
        json_decref(row);
    }
    return err;
}

static void answer_lines(const struct api_stream *rows, size_t count, void *arg)
{
    static const struct http_header headers[] = {
        {"Content-Type", {(const uint8_t *)"application/x-ndjson", 20}}};
    struct http_exchange *x = api_request_end(arg);
    if (x == NULL)
        return;
    struct buf text;
    buf_init(&text, API_ROWS_BYTES_MAX);
    if (print_lines(rows, count, &text) == 0)
        http_respond(x, 200, headers, 1, buf_slice(&text));
    else
        http_respond_error(x, 500, "too_large", "more streams than one answer can tell");
    buf_fini(&text);
}

void api_get_cluster_streams(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct api *a = OBJ_CAST(struct api, arg, API_MAGIC);
    struct relay_sender sender;
    if (!relay_admit(a->o.guard, a->o.identity, x, req, clock_wall_us() / 1000, &sender))
        return;
    struct api_request *r = api_request_new(a, x);
    api_gather(a, r->worker, "", answer_lines, r);
}
