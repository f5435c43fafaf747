/*
 * Ends a publisher: ours at once, another node's by a request to its owner.
 */
#include "admin/api_internal.h"

#include "base/obj.h"

static void respond_not_found(struct http_exchange *x)
{
    http_respond_error(x, 404, "not_found", "nobody publishes this stream");
}

static void send_kick(struct api *a, struct http_exchange *x, const char *name, const char *node)
{
    if (cluster_send(a->o.cluster, node, "kick", name) < 0) {
        http_respond_error(x, 503, "unreachable", "there is no way to the stream's owner");
        return;
    }
    log_info(&a->log, "api.kick stream=%s node=%s", name, node);
    http_respond_json(x, 202, json_pack("{s:b,s:s}", "sent", 1, "node", node));
}

static void on_owner(const struct cluster_owner *owner, void *arg)
{
    struct api_request *r = OBJ_CAST(struct api_request, arg, API_REQUEST_MAGIC);
    struct api *a = r->api;
    char name[NAME_STREAM_MAX + 1];
    must(slice_copy(slice_text(r->name), name, sizeof name));
    struct http_exchange *x = api_request_end(r);
    if (x == NULL)
        return;
    if (owner->found && strcmp(owner->node, a->o.identity->node) != 0)
        send_kick(a, x, name, owner->node);
    else
        respond_not_found(x);
}

static void on_kicked(bool found, void *arg)
{
    struct api_request *r = OBJ_CAST(struct api_request, arg, API_REQUEST_MAGIC);
    if (!found) {
        cluster_lookup(r->api->o.cluster, r->worker, r->name, on_owner, r);
        return;
    }
    log_info(&r->api->log, "api.kick stream=%s node=%s", r->name, r->api->o.identity->node);
    struct http_exchange *x = api_request_end(r);
    if (x != NULL)
        http_respond_json(x, 200, json_pack("{s:b}", "kicked", 1));
}

void api_delete_stream(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct api *a = OBJ_CAST(struct api, arg, API_MAGIC);
    struct api_request *r = api_request_named(a, x, req);
    if (r != NULL)
        a->o.kick(a->o.node, r->worker, r->name, on_kicked, r);
}
