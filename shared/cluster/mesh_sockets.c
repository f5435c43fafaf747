/*
 * The sockets.  A group is heard on one that all nodes of a host share; everything is sent from,
 * and unicast comes to, another one that is this node's alone.  With static peers that one is all.
 *
 * A network that is away (no interface yet, no route) is tried again for ever.
 */
#include "cluster/mesh_internal.h"

#include "base/err.h"
#include "base/must.h"
#include "core/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void on_datagram(struct udp *u, const struct net_address *from, struct slice datagram,
                        void *owner)
{
    struct mesh *m = owner;
    if (gossip_input(m->gossip, from, datagram, clock_us()) == 0)
        mesh_heard(m);
    mesh_rearm(m);
}

static void close_sockets(struct mesh *m)
{
    udp_close(&m->own);
    udp_close(&m->group);
}

static int open_static(struct mesh *m)
{
    struct udp_options o = {.on_datagram = on_datagram, .owner = m};
    o.bind = m->group_address;
    return udp_open(&m->own, m->worker, &o);
}

static int open_multicast(struct mesh *m)
{
    const char *interface = m->config->cluster.multicast.interface;
    int ttl = (int)m->config->cluster.multicast.ttl;
    bool v6 = m->group_address.sa.ss_family == AF_INET6;
    struct udp_options o = {.on_datagram = on_datagram, .owner = m};
    must(net_address_parse(v6 ? "[::]:0" : "0.0.0.0:0", &o.bind) == 0);
    int err = udp_open(&m->own, m->worker, &o);
    if (err == 0)
        err = udp_send_by(m->own, &m->group_address, interface, ttl);
    o.bind = m->group_address;
    o.shared = true;
    if (err == 0)
        err = udp_open(&m->group, m->worker, &o);
    if (err == 0)
        err = udp_join(m->group, &m->group_address, interface);
    return err;
}

static int open_sockets(struct mesh *m)
{
    int err = m->kind == MESH_STATIC ? open_static(m) : open_multicast(m);
    if (err == 0)
        return 0;
    int code = errno;
    close_sockets(m);
    errno = code;
    return err;
}

/* --- coming and going --- */

static void told_open(struct mesh *m)
{
    char text[NET_ADDRESS_TEXT_MAX];
    struct net_address own;
    udp_address(m->own, &own);
    net_address_text(&own, text);
    log_info(m->log, "gossip.open addr=%s", text);
    m->is_open = true;
    m->reopen_told = false;
    m->events.on_open(true, m->arg);
}

static void away(struct mesh *m, int code)
{
    if (!m->reopen_told)
        log_warn(m->log, "gossip.away interface=\"%s\" error=\"%s\"",
                 m->kind == MESH_MULTICAST ? m->config->cluster.multicast.interface : "",
                 strerror(code));
    m->reopen_told = true;
    if (!timer_is_set(&m->reopen))
        timer_set_ms(&m->reopen, backoff_next_ms(&m->reopening));
    if (!m->is_open)
        return;
    m->is_open = false;
    m->events.on_open(false, m->arg);
}

static void on_reopen(void *arg)
{
    struct mesh *m = arg;
    close_sockets(m);
    if (open_sockets(m) < 0) {
        away(m, errno);
        return;
    }
    /* Of a group the heartbeat shows whether the way is there: mesh_sockets_send(). */
    if (m->kind == MESH_STATIC)
        told_open(m);
    gossip_touch(m->gossip, clock_us());
    mesh_rearm(m);
}

static void on_join(void *arg)
{
    struct mesh *m = arg;
    timer_set_ms(&m->join, MESH_JOIN_MS);
    if (m->group != NULL &&
        udp_join(m->group, &m->group_address, m->config->cluster.multicast.interface) < 0)
        away(m, errno);
}

void mesh_sockets_send(struct mesh *m, const struct net_address *to, struct slice datagram)
{
    if (m->own == NULL)
        return;
    /* A peer that cannot be reached is its own affair. */
    if (to != NULL) {
        udp_send(m->own, to, datagram);
        return;
    }
    must(m->kind == MESH_MULTICAST);
    if (udp_send(m->own, &m->group_address, datagram) < 0) {
        away(m, errno);
        return;
    }
    backoff_reset(&m->reopening);
    if (!m->is_open && !timer_is_set(&m->reopen))
        told_open(m);
}

/* --- life --- */

static int parse_addresses(struct mesh *m)
{
    const struct config *c = m->config;
    const char *text =
        m->kind == MESH_STATIC ? c->cluster.static_peers.listen : c->cluster.multicast.group;
    struct listen_address a;
    char numeric[sizeof a.host + 16];
    int err = config_listen_parse(text, &a);
    if (err < 0)
        return err;
    const char *host = strcmp(a.host, "localhost") == 0 ? "127.0.0.1" : a.host;
    if (host[0] == '\0')
        host = "::";
    bool v6 = strchr(host, ':') != NULL;
    snprintf(numeric, sizeof numeric, v6 ? "[%s]:%u" : "%s:%u", host, a.port);
    return net_address_parse(numeric, &m->group_address);
}

/* A machine without IPv6. */
static int open_v4_instead(struct mesh *m)
{
    uint16_t port = net_address_port(&m->group_address);
    must(net_address_parse("0.0.0.0:0", &m->group_address) == 0);
    net_address_set_port(&m->group_address, port);
    return open_sockets(m);
}

int mesh_sockets_init(struct mesh *m, char error[CONFIG_ERROR_MAX])
{
    timer_init(&m->reopen, m->worker, "gossip.reopen", on_reopen, m);
    timer_init(&m->join, m->worker, "gossip.join", on_join, m);
    backoff_init(&m->reopening, MESH_REOPEN_MS, MESH_REOPEN_MAX_MS);
    if (parse_addresses(m) < 0) {
        snprintf(error, CONFIG_ERROR_MAX, "cluster.static.listen: must be an address and a port");
        return ERR_TYPE;
    }
    int err = open_sockets(m);
    bool any = m->kind == MESH_STATIC && m->config->cluster.static_peers.listen[0] == ':';
    if (err < 0 && any && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
        err = open_v4_instead(m);
    if (err == 0 || udp_is_away(errno))
        return 0;
    snprintf(error, CONFIG_ERROR_MAX, "%s: %s",
             m->kind == MESH_STATIC ? "cluster.static.listen" : "cluster.multicast.group",
             strerror(errno));
    return err;
}

void mesh_sockets_start(struct mesh *m)
{
    if (m->kind == MESH_MULTICAST)
        timer_set_ms(&m->join, MESH_JOIN_MS);
    if (m->own == NULL)
        timer_set_us(&m->reopen, 0);
    else
        told_open(m);
}

void mesh_sockets_stop(struct mesh *m)
{
    timer_fini(&m->reopen);
    timer_fini(&m->join);
    close_sockets(m);
}
