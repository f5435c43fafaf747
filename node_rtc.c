/* WHIP and WHEP of a node: who makes their sessions, and where the sessions of other nodes are. */
#include "node_internal.h"

#include "base/mem.h"

#include <netdb.h>
#include <stdlib.h>

/* ---- nodes by name ---- */

struct search {
    struct node *n;
    struct worker *worker;
    bool asked; /* the directory, too */
    char node[NAME_NODE_MAX + 1];
    void (*done)(const char *address, void *owner);
    void *owner;
};

/* A node that came a moment ago is known to the directory only. */
static void on_nodes(const struct cluster_node *nodes, size_t count, void *arg)
{
    struct search *s = arg;
    const char *address = NULL;
    for (size_t i = 0; i < count; i++)
        if (strcmp(nodes[i].id, s->node) == 0 && nodes[i].address[0] != '\0')
            address = nodes[i].address;
    if (address == NULL && !s->asked) {
        s->asked = true;
        cluster_nodes(s->n->cluster, s->worker, on_nodes, s);
        return;
    }
    s->done(address, s->owner);
    free(s);
}

static void find_node(void *arg, struct worker *w, const char *node,
                      void (*done)(const char *address, void *owner), void *owner)
{
    struct search *s = xcalloc(1, sizeof *s);
    must(slice_copy(slice_text(node), s->node, sizeof s->node));
    s->n = node_of(arg);
    s->worker = w;
    s->done = done;
    s->owner = owner;
    cluster_known_nodes(s->n->cluster, w, on_nodes, s);
}

/* ---- ports ---- */

/* Clients of WebRTC need an address where others may use a name. */
static void numeric_host(const char *host, char *out, size_t room)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *found = NULL;
    out[0] = '\0';
    if (host[0] == '\0' || getaddrinfo(host, NULL, &hints, &found) != 0)
        return;
    getnameinfo(found->ai_addr, found->ai_addrlen, out, (socklen_t)room, NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(found);
}

int node_open_rtc_ports(struct node *n)
{
    const struct config *c = n->config;
    struct text_list *listen = &n->listen.webrtc;
    char host[NI_MAXHOST], text[NET_ADDRESS_TEXT_MAX];
    if (c->webrtc.listen[0] == '\0')
        return 0;
    numeric_host(c->node.advertise, host, sizeof host);
    int err = rtc_ports_open(
        &n->rtc_ports, &n->workers,
        &(struct rtc_ports_options){.listen = c->webrtc.listen,
                                    .tcp_listen = c->webrtc.tcp_listen,
                                    .public_addresses = &c->webrtc.public_addresses,
                                    .advertise = host,
                                    .half_open_per_address = c->limits.half_open_per_address,
                                    .trusted = &c->limits.trusted});
    if (err < 0)
        return err;
    listen->items = xcalloc((size_t)n->workers.count, sizeof *listen->items);
    for (int i = 0; i < n->workers.count; i++) {
        rtc_port_text(rtc_port_of(n->rtc_ports, &n->workers.workers[i]), text);
        listen->items[listen->count++] = xstrdup(text);
    }
    return 0;
}

void node_free_rtc_ports(struct node *n)
{
    struct text_list *listen = &n->listen.webrtc;
    rtc_ports_free(&n->rtc_ports);
    for (size_t i = 0; i < listen->count; i++)
        free(listen->items[i]);
    free(listen->items);
}

/* ---- resources ---- */

void node_build_rtc(struct node *n)
{
    struct rtc_maker players = {0}, publishers = {0};
    const char *off = n->rtc_ports == NULL ? "WebRTC is off here (webrtc.listen)" : NULL;
    if (off == NULL && role_serves(n->config->node.role)) {
        n->whep = whep_new(&n->workers, n->hub, n->edge, n->rtc_ports);
        players = whep_maker(n->whep);
    }
    if (off == NULL && node_takes_publishers(n->config)) {
        n->whip = whip_new(&n->workers, n->ingest, n->rtc_ports);
        publishers = whip_maker(n->whip);
    }
    n->rtc = rtc_resources_new(&(struct rtc_resources_options){
        .workers = &n->workers,
        .identity = &n->identity,
        .guard = n->guard,
        .client = &n->client,
        .makers = {[RTC_WHIP] = publishers, [RTC_WHEP] = players},
        .refused_text = {off != NULL ? off : "this node takes players only: publish to an origin",
                         off != NULL ? off : "this node takes publishers only: play from an edge"},
        .find_node = find_node,
        .arg = n});
}
