/*
 * This node, and the nodes there are.
 */
#include "admin/api_internal.h"

#include "base/must.h"
#include "base/obj.h"
#include "core/version.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const roles[] = {
    [ROLE_NODE] = "node",
    [ROLE_ORIGIN] = "origin",
    [ROLE_EDGE] = "edge",
};

static json_t *listen_json(const struct api_listen *l)
{
    json_t *out = json_pack("{s:s,s:s,s:s,s:[],s:s}", "rtmp", l->rtmp, "http", l->http, "cluster",
                            l->cluster, "webrtc", "admin", l->admin);
    json_t *webrtc = json_object_get(out, "webrtc");
    for (size_t i = 0; i < l->webrtc.count; i++)
        json_array_append_new(webrtc, json_string(l->webrtc.items[i]));
    if (l->rtmps[0] != '\0')
        json_object_set_new(out, "rtmps", json_string(l->rtmps));
    if (l->https[0] != '\0')
        json_object_set_new(out, "https", json_string(l->https));
    return out;
}

static json_t *node_json(const struct api *a, size_t streams)
{
    const struct api_options *o = &a->o;
    char instance[17];
    snprintf(instance, sizeof instance, "%016" PRIx64, o->identity->instance);
    json_t *out =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:i,s:o,s:I,s:I}", "id", o->identity->node, "instance",
                  instance, "role", roles[o->config->node.role], "version", version_text(), "state",
                  o->is_draining(o->node) ? "drain" : "up", "workers", o->workers->count, "listen",
                  listen_json(o->listen(o->node)), "streams", (json_int_t)streams, "viewers",
                  (json_int_t)o->viewers(o->node));
    must(out != NULL);
    return out;
}

static void answer_node(const struct api_stream *rows, size_t count, void *arg)
{
    struct api_request *r = arg;
    struct api *a = r->api;
    struct http_exchange *x = api_request_end(r);
    if (x != NULL)
        http_respond_json(x, 200, node_json(a, count));
}

void api_get_node(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct api *a = OBJ_CAST(struct api, arg, API_MAGIC);
    struct api_request *r = api_request_new(a, x);
    api_gather(a, r->worker, "", answer_node, r);
}

static json_t *other_json(const struct cluster_node *n)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:i,s:I}", "id", n->id, "addr", n->address,
                     "http", n->http, "role", n->role, "zone", n->zone, "state", n->state,
                     "streams", (json_int_t)n->streams, "viewers", (json_int_t)n->viewers, "load",
                     n->load_percent, "age_ms", (json_int_t)n->age_ms);
}

static void answer_nodes(const struct cluster_node *nodes, size_t count, void *arg)
{
    struct http_exchange *x = api_request_end(arg);
    if (x == NULL)
        return;
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *node = other_json(&nodes[i]);
        /* Text that another node wrote and that is not UTF-8: the node is left out. */
        if (node != NULL)
            must(json_array_append_new(list, node) == 0);
    }
    http_respond_json(x, 200, json_pack("{s:o}", "nodes", list));
}

void api_get_nodes(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct api *a = OBJ_CAST(struct api, arg, API_MAGIC);
    struct api_request *r = api_request_new(a, x);
    cluster_nodes(a->o.cluster, r->worker, answer_nodes, r);
}
