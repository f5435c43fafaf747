/*
 * The nodes of the cluster: the last list that the backend saw is what callers get, with this node
 * always in it.
 */
#include "cluster/cluster_internal.h"

#include "base/mem.h"
#include "core/clock.h"

#include <stdlib.h>
#include <string.h>

static void answer_known_nodes(struct cluster_request *r)
{
    struct cluster *c = r->cluster;
    int64_t since_ms = (clock_us() - c->nodes_us) / 1000;
    if (c->node_count == 0) {
        r->nodes = xcalloc(1, sizeof *r->nodes);
        r->node_count = 1;
        cluster_backend_self_node(c, r->nodes);
        cluster_request_answer(r);
        return;
    }
    r->nodes = xcalloc(c->node_count, sizeof *r->nodes);
    r->node_count = c->node_count;
    for (size_t i = 0; i < c->node_count; i++) {
        r->nodes[i] = c->nodes[i];
        if (strcmp(c->nodes[i].id, c->self.node) == 0)
            cluster_backend_self_node(c, &r->nodes[i]);
        else
            r->nodes[i].age_ms += since_ms;
    }
    cluster_request_answer(r);
}

static void run_nodes(struct cluster_request *r)
{
    if (r->cluster->closing || r->on)
        answer_known_nodes(r);
    else
        r->cluster->backend->nodes(r->cluster->state, r);
}

static void finish_nodes(struct cluster_request *r)
{
    r->done.nodes(r->nodes, r->node_count, r->arg);
}

static void send_nodes(struct cluster *c, struct worker *caller, bool known_only,
                       cluster_nodes_done *done, void *arg)
{
    struct cluster_request *r = cluster_request_new(c, NULL, run_nodes);
    r->caller = caller;
    r->finish = finish_nodes;
    r->done.nodes = done;
    r->arg = arg;
    r->on = known_only;
    cluster_request_send(r);
}

void cluster_nodes(struct cluster *c, struct worker *caller, cluster_nodes_done *done, void *arg)
{
    send_nodes(c, caller, false, done, arg);
}

void cluster_known_nodes(struct cluster *c, struct worker *caller, cluster_nodes_done *done,
                         void *arg)
{
    send_nodes(c, caller, true, done, arg);
}

void cluster_backend_self_node(struct cluster *c, struct cluster_node *out)
{
    static const char *const roles[] = {
        [ROLE_NODE] = "node", [ROLE_ORIGIN] = "origin", [ROLE_EDGE] = "edge"};
    const struct config *config = c->worker->config;
    struct cluster_load load = {0};
    cluster_backend_fill_load(c, &load);
    *out = (struct cluster_node){.instance = c->self.instance,
                                 .streams = load.streams,
                                 .viewers = load.viewers,
                                 .load_percent = load.load_percent};
    slice_copy(slice_text(c->self.node), out->id, sizeof out->id);
    slice_copy(slice_text(c->self.relay_address), out->address, sizeof out->address);
    slice_copy(slice_text(c->self.http_address), out->http, sizeof out->http);
    slice_copy(slice_text(roles[config->node.role]), out->role, sizeof out->role);
    slice_copy(slice_text(load.draining ? "drain" : "up"), out->state, sizeof out->state);
    slice_copy(slice_text(c->self.version), out->version, sizeof out->version);
    if (config->node.zone != NULL)
        slice_copy(slice_text(config->node.zone), out->zone, sizeof out->zone);
}

static void run_self_changed(struct cluster_request *r)
{
    struct cluster *c = r->cluster;
    if (!c->closing && c->backend->self_changed != NULL)
        c->backend->self_changed(c->state);
    cluster_request_free(&r);
}

void cluster_self_changed(struct cluster *c)
{
    cluster_request_send(cluster_request_new(c, NULL, run_self_changed));
}

static bool has_self(const struct cluster *c, const struct cluster_node *nodes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(nodes[i].id, c->self.node) == 0)
            return true;
    return false;
}

/* Remembers the list, completed by ourselves: a node may ask before its own heartbeat arrived. */
void cluster_backend_nodes_seen(struct cluster *c, const struct cluster_node *nodes, size_t count)
{
    bool complete = has_self(c, nodes, count);
    free(c->nodes);
    c->node_count = count + (complete ? 0 : 1);
    c->nodes = xcalloc(c->node_count, sizeof *c->nodes);
    if (count > 0)
        memcpy(c->nodes, nodes, count * sizeof *nodes);
    if (!complete)
        cluster_backend_self_node(c, &c->nodes[count]);
    c->nodes_us = clock_us();
}

void cluster_backend_answer_nodes(struct cluster_request *r)
{
    answer_known_nodes(r);
}
