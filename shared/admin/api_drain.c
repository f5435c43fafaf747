/*
 * Out of service and back, by an operator's word.
 */
#include "admin/api_internal.h"

#include "base/obj.h"

static json_t *drain_json(const struct api *a)
{
    const struct api_options *o = &a->o;
    int64_t publishers = 0;
    for (int i = 0; i < o->workers->count; i++)
        publishers += METRIC_GET(o->workers->workers[i].metrics.publishers);
    return json_pack("{s:s,s:I,s:I}", "state", o->is_draining(o->node) ? "drain" : "up",
                     "publishers", (json_int_t)publishers, "viewers",
                     (json_int_t)o->viewers(o->node));
}

static void on_drain(bool ok, void *arg)
{
    struct api_request *r = OBJ_CAST(struct api_request, arg, API_REQUEST_MAGIC);
    const struct api *a = r->api;
    struct http_exchange *x = api_request_end(r);
    if (x == NULL)
        return;
    if (ok)
        http_respond_json(x, 200, drain_json(a));
    else
        http_respond_error(x, 409, "ending", "the process is ending");
}

static void set_drain(struct http_exchange *x, struct api *a, bool on)
{
    struct api_request *r = api_request_new(a, x);
    a->o.drain(a->o.node, r->worker, on, on_drain, r);
}

void api_post_drain(struct http_exchange *x, const struct http_request *req, void *arg)
{
    set_drain(x, OBJ_CAST(struct api, arg, API_MAGIC), true);
}

void api_delete_drain(struct http_exchange *x, const struct http_request *req, void *arg)
{
    set_drain(x, OBJ_CAST(struct api, arg, API_MAGIC), false);
}
