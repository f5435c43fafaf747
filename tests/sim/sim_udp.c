/*
 * Datagrams: net/udp.h and net/resolve_host.h without sockets.  Node n has the address 10.0.0.n;
 * datagrams are lost, doubled and overtake each other.
 */
#include "sim.h"

#include "base/mem.h"
#include "base/must.h"
#include "net/resolve_host.h"
#include "net/udp.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define SOCKETS_MAX     2 /* of a node: the group's, and its own */
#define OWN_PORT        7000
#define LATE_MAX_US     4000
#define DOUBLED_PERCENT 2

struct udp {
    int at;
    bool shared; /* hears the group */
    struct net_address bound;
    struct udp_options o;
};

struct datagram {
    int from, to;
    bool to_group;
    struct net_address sender;
    size_t len;
    uint8_t bytes[UDP_DATAGRAM_MAX];
};

static struct {
    struct udp *sockets[SIM_NODES][SOCKETS_MAX];
    int lose_percent;
} net;

void sim_udp_lose(int percent)
{
    net.lose_percent = percent;
}

static void address_of(int node, uint16_t port, struct net_address *out)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(0x0a000000U + (uint32_t)node + 1)};
    *out = (struct net_address){.len = sizeof in};
    memcpy(&out->sa, &in, sizeof in);
}

/* SIM_NODES when it is nobody's. */
static int node_at(const struct net_address *a)
{
    struct sockaddr_in in;
    memcpy(&in, &a->sa, sizeof in);
    uint32_t host = ntohl(in.sin_addr.s_addr);
    bool ours = a->sa.ss_family == AF_INET && host > 0x0a000000U && host <= 0x0a000000U + SIM_NODES;
    return ours ? (int)(host - 0x0a000000U - 1) : SIM_NODES;
}

int udp_open(struct udp **out, struct worker *w, const struct udp_options *o)
{
    struct udp *u = xcalloc(1, sizeof *u);
    u->at = w->mailbox_fd;
    u->shared = o->shared;
    u->o = *o;
    uint16_t port = net_address_port(&o->bind);
    address_of(u->at, port != 0 ? port : OWN_PORT, &u->bound);
    struct udp **place = net.sockets[u->at];
    while (*place != NULL)
        place++;
    must(place < net.sockets[u->at] + SOCKETS_MAX);
    *place = u;
    *out = u;
    return 0;
}

void udp_close(struct udp **up)
{
    struct udp *u = *up;
    *up = NULL;
    if (u == NULL)
        return;
    for (int i = 0; i < SOCKETS_MAX; i++)
        if (net.sockets[u->at][i] == u)
            net.sockets[u->at][i] = NULL;
    free(u);
}

void udp_address(const struct udp *u, struct net_address *out)
{
    *out = u->bound;
}

static void on_arrived(void *arg)
{
    struct datagram *d = arg;
    for (int i = 0; i < SOCKETS_MAX; i++) {
        struct udp *u = net.sockets[d->to][i];
        if (u == NULL || u->shared != d->to_group || sim_is_cut(d->from, d->to))
            continue;
        u->o.on_datagram(u, &d->sender, slice_of(d->bytes, d->len), u->o.owner);
        break;
    }
    free(d);
}

static void send_to(const struct udp *u, int to, bool to_group, struct slice bytes)
{
    if (sim_chance(net.lose_percent) || sim_is_cut(u->at, to))
        return;
    struct datagram *d = xmalloc(sizeof *d);
    must(bytes.len <= sizeof d->bytes);
    d->from = u->at;
    d->to = to;
    d->to_group = to_group;
    d->sender = u->bound;
    d->len = bytes.len;
    memcpy(d->bytes, bytes.p, bytes.len);
    sim_after(to, 50 + (int64_t)sim_random(LATE_MAX_US), on_arrived, d);
}

int udp_send(struct udp *u, const struct net_address *to, struct slice datagram)
{
    int times = sim_chance(DOUBLED_PERCENT) ? 2 : 1, node = node_at(to);
    for (int i = 0; i < times; i++) {
        if (node < SIM_NODES)
            send_to(u, node, false, datagram);
        for (int n = 0; node == SIM_NODES && n < SIM_NODES; n++)
            send_to(u, n, true, datagram);
    }
    return 0;
}

bool udp_is_away(int code)
{
    return false;
}

int udp_join(struct udp *u, const struct net_address *group, const char *interface)
{
    return 0;
}

int udp_send_by(struct udp *u, const struct net_address *group, const char *interface, int ttl)
{
    return 0;
}

/* --- names: there are none --- */

struct host_lookup {
    struct net_address found;
    host_lookup_all_done *done;
    void *arg;
    struct sim_event *event;
};

static void on_found(void *arg)
{
    struct host_lookup *h = arg;
    struct host_lookup copy = *h;
    free(h);
    copy.done(&copy.found, 1, copy.arg);
}

struct host_lookup *host_lookup_all_start(struct worker *w, const char *address,
                                          host_lookup_all_done *done, void *arg)
{
    struct host_lookup *h = xcalloc(1, sizeof *h);
    must(net_address_parse(address, &h->found) == 0);
    h->done = done;
    h->arg = arg;
    h->event = sim_after(w->mailbox_fd, 100, on_found, h);
    return h;
}

void host_lookup_cancel(struct host_lookup **hp)
{
    struct host_lookup *h = *hp;
    *hp = NULL;
    if (h == NULL)
        return;
    sim_cancel(&h->event);
    free(h);
}
