/*
 * The ports of all workers: opened one after the other before the threads run, ended after they
 * have stopped.
 */
#include "rtc/rtc_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "core/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SOCKET_BUFFER_BYTES (8 * 1024 * 1024)
#define RENEWAL_MS          (24 * 3600 * 1000)

static void on_datagram(const struct udp_way *from, uint8_t *datagram, size_t len,
                        int64_t arrival_us, void *owner)
{
    struct rtc_port *port = OBJ_CAST(struct rtc_port, owner, RTC_PORT_MAGIC);
    rtc_port_receive(port, &(struct ice_path){.way = *from}, NULL, datagram, len, arrival_us);
}

static void on_unsegmented(const struct net_address *remote, void *owner)
{
    struct rtc_port *port = OBJ_CAST(struct rtc_port, owner, RTC_PORT_MAGIC);
    struct rtc_peer *p = ice_find(port->ice, remote);
    if (p != NULL)
        ice_session_unsegment(p->ice, remote);
}

static const struct udp_batch_handler udp_handler_of_ports = {on_datagram, on_unsegmented};

/* A certificate that is known for long makes its node known; sessions keep what they began with. */
static void on_renewal(void *arg)
{
    struct rtc_port *port = OBJ_CAST(struct rtc_port, arg, RTC_PORT_MAGIC);
    struct dtls_identity *next = dtls_identity_new();
    timer_set_ms(&port->renewal, RENEWAL_MS);
    if (next == NULL)
        return;
    dtls_identity_unref(&port->identity);
    port->identity = next;
}

static void on_bury(void *arg)
{
    struct rtc_port *port = OBJ_CAST(struct rtc_port, arg, RTC_PORT_MAGIC);
    while (!list_empty(&port->dead_streams))
        rtc_stream_free(port->dead_streams.next);
    while (!list_empty(&port->dead_peers))
        rtc_peer_free(port->dead_peers.next);
}

static void port_init(struct rtc_port *port, struct rtc_ports *ports, struct worker *w)
{
    port->magic = RTC_PORT_MAGIC;
    port->ports = ports;
    port->worker = w;
    port->log = (struct log_id){"rtc", w->index, 0};
    port->ice = ice_agent_new(w->index);
    list_init(&port->peers);
    list_init(&port->streams);
    list_init(&port->handshakes);
    list_init(&port->dead_peers);
    list_init(&port->dead_streams);
    task_init(&port->handshake_task, rtc_handshake_run, port);
    task_init(&port->bury_task, on_bury, port);
    timer_init(&port->renewal, w, "rtc.renewal", on_renewal, port);
    timer_set_ms(&port->renewal, RENEWAL_MS);
}

/* Worker n at port + n, unless the system chooses. */
static bool port_of_worker(struct net_address *a, int worker)
{
    unsigned port = net_address_port(a);
    if (port != 0 && port + (unsigned)worker > UINT16_MAX)
        return false;
    if (port != 0)
        net_address_set_port(a, (uint16_t)(port + (unsigned)worker));
    return true;
}

static int open_udp(struct rtc_port *port, const struct rtc_ports_options *o,
                    const struct net_address *listen)
{
    struct udp_batch_options u = {.bind = *listen,
                                  .buffer_bytes = SOCKET_BUFFER_BYTES,
                                  .handler = &udp_handler_of_ports,
                                  .owner = port};
    struct net_address bound;
    if (!port_of_worker(&u.bind, port->worker->index)) {
        errno = ERANGE;
        return ERR_RANGE;
    }
    int err = udp_batch_open(&port->udp, port->worker, &u);
    if (err < 0)
        return err;
    udp_batch_address(port->udp, &bound);
    port->udp_port = net_address_port(&bound);
    rtc_addresses_find(&port->addresses, o, &bound);
    return 0;
}

/* A listener of this worker alone; it logs its own failures. */
static int open_tcp(struct rtc_port *port, struct workers *g, const struct net_address *listen)
{
    struct workers one = {
        .workers = &g->workers[port->worker->index], .count = 1, .config = g->config};
    struct net_address a = *listen;
    char text[NET_ADDRESS_TEXT_MAX];
    if (!port_of_worker(&a, port->worker->index))
        return ERR_RANGE;
    net_address_text(&a, text);
    int err = listeners_open(
        &port->tcp, &one,
        &(struct listener_options){
            .name = "rtc", .address = text, .on_accept = rtc_stream_accept, .arg = port});
    if (err == 0)
        port->tcp_port = listeners_port(port->tcp);
    return err;
}

static int open_port(struct rtc_port *port, struct workers *g, const struct rtc_ports_options *o)
{
    struct net_address udp, tcp;
    int err = listener_resolve(o->listen, &udp);
    if (err == 0)
        err = open_udp(port, o, &udp);
    if (err < 0) {
        log_error(&port->log, "listen.failed name=rtc address=\"%s\" error=\"%s\"", o->listen,
                  err == ERR_IO ? strerror(errno) : err_text(err));
        return err;
    }
    if (o->tcp_listen[0] != '\0') {
        err = listener_resolve(o->tcp_listen, &tcp);
        if (err == 0)
            err = open_tcp(port, g, &tcp);
    }
    port->identity = dtls_identity_new();
    return err < 0 ? err : port->identity != NULL ? 0 : ERR_NOMEM;
}

int rtc_ports_open(struct rtc_ports **out, struct workers *g, const struct rtc_ports_options *o)
{
    struct rtc_ports *p = xcalloc(1, sizeof *p);
    p->srtp = rtc_srtp_new();
    int err = p->srtp != NULL ? 0 : ERR_NOMEM;
    p->ports = xcalloc((size_t)g->count, sizeof *p->ports);
    p->log = (struct log_id){"rtc", -1, 0};
    p->half_open = admission_new(o->half_open_per_address, 0, o->trusted, NULL);
    for (int i = 0; i < g->count && err == 0; i++) {
        port_init(&p->ports[i], p, &g->workers[i]);
        p->count++;
        err = open_port(&p->ports[i], g, o);
    }
    if (err < 0)
        rtc_ports_free(&p);
    *out = p;
    return err;
}

static void port_fini(struct rtc_port *port)
{
    must(list_empty(&port->peers));
    if (port->udp != NULL)
        udp_batch_flush(port->udp); /* goodbyes */
    rtc_streams_free(port);
    task_cancel(&port->bury_task);
    on_bury(port);
    task_cancel(&port->handshake_task);
    timer_fini(&port->renewal);
    listeners_free(&port->tcp);
    udp_batch_close(&port->udp);
    ice_agent_free(&port->ice);
    dtls_identity_unref(&port->identity);
    OBJ_POISON(port);
}

void rtc_ports_free(struct rtc_ports **pp)
{
    struct rtc_ports *p = *pp;
    *pp = NULL;
    if (p == NULL)
        return;
    for (int i = 0; i < p->count; i++)
        port_fini(&p->ports[i]);
    admission_unref(&p->half_open);
    rtc_srtp_free(&p->srtp);
    free(p->ports);
    free(p);
}

void rtc_ports_set_trusted(struct rtc_ports *p, const struct text_list *trusted)
{
    admission_set_trusted(p->half_open, trusted, NULL);
}

struct rtc_port *rtc_port_of(struct rtc_ports *p, const struct worker *w)
{
    must(w->index < p->count);
    return &p->ports[w->index];
}

struct worker *rtc_port_worker(const struct rtc_port *port)
{
    return port->worker;
}

void rtc_port_text(const struct rtc_port *port, char out[NET_ADDRESS_TEXT_MAX])
{
    struct net_address bound;
    udp_batch_address(port->udp, &bound);
    net_address_text(&bound, out);
}

size_t rtc_port_peers(const struct rtc_port *port)
{
    return port->peer_count;
}

void rtc_port_flush(struct rtc_port *port)
{
    udp_batch_flush(port->udp);
}
