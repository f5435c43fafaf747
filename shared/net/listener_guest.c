/* A connection from accept() until it is given to its protocol, and what it counts for. */
#include "net/listener_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "proto/proxy.h"

#include <stdlib.h>

#define GUEST_MAGIC 0x67756573U

/* A connection that is counted, or waits for its PROXY header or handshake. */
struct guest {
    struct io_ticket ticket;
    uint32_t magic;
    struct io *io;
    struct listener *listener; /* only while it waits */
    struct admission *admission;
    struct admission_count count;
    struct list node;
    bool secure; /* the handshake is under way */
};

static void guest_on_close(struct io_ticket *t)
{
    struct guest *g = container_of(t, struct guest, ticket);
    OBJ_CHECK(g, GUEST_MAGIC);
    list_remove(&g->node);
    admission_leave(g->admission, &g->count);
    admission_unref(&g->admission);
    OBJ_POISON(g);
    free(g);
}

static struct guest *guest_new(struct listener *l, struct io *io,
                               const struct admission_count *count)
{
    struct guest *g = xcalloc(1, sizeof *g);
    g->magic = GUEST_MAGIC;
    g->ticket.on_close = guest_on_close;
    g->io = io;
    g->listener = l;
    g->admission = admission_ref(l->set->admission);
    g->count = *count;
    list_init(&g->node);
    io_set_ticket(io, &g->ticket);
    return g;
}

void listener_established(struct io *io)
{
    struct io_ticket *t = io_get_ticket(io);
    if (t == NULL)
        return;
    struct guest *g = container_of(t, struct guest, ticket);
    OBJ_CHECK(g, GUEST_MAGIC);
    admission_established(g->admission, &g->count);
}

static void guest_refuse(struct guest *g, const char *why)
{
    struct io *io = g->io;
    listener_refused(g->listener, io_peer(io), why);
    io_free(&io);
}

static void guest_limited(struct guest *g, enum limit which)
{
    struct io *io = g->io;
    listener_limited(g->listener, io_peer(io), which);
    io_free(&io);
}

/* The connection counts for the address the balancer names, no longer for the balancer's own. */
static bool guest_rename(struct guest *g, const struct proxy_header *h)
{
    struct net_address peer = {.sa = h->source, .len = h->source_len};
    net_address_unmap(&peer);
    admission_leave(g->admission, &g->count);
    io_set_peer(g->io, &peer);
    return admission_enter(g->admission, &peer, &g->count);
}

static void guest_start_tls(struct guest *g)
{
    g->secure = true;
    io_deadline(g->io, limit_handshake_ms(g->listener->worker));
    io_start_tls(g->io, g->listener->set->tls, NULL);
}

static void guest_admit(struct guest *g)
{
    struct listener *l = g->listener;
    if (l->set->tls != NULL && !g->secure) {
        guest_start_tls(g);
        return;
    }
    list_remove(&g->node);
    g->listener = NULL;
    io_deadline(g->io, 0);
    l->set->on_accept(l->worker, g->io, l->set->arg);
}

static void guest_read(struct guest *g)
{
    struct proxy_header h;
    struct slice in = io_data(g->io);
    ssize_t n = proxy_header_read(in.p, in.len, &h);
    if (n == 0)
        return;
    if (n < 0) {
        guest_refuse(g, "proxy_header");
        return;
    }
    io_consume(g->io, (size_t)n);
    if (h.has_source && !guest_rename(g, &h))
        guest_limited(g, g->count.refused);
    else
        guest_admit(g);
}

/* One that only looks whether the port is open is nothing to tell. */
static void guest_failed(struct guest *g)
{
    struct io *io = g->io;
    if (io_error(io) == ERR_TLS)
        guest_refuse(g, io_error_text(io));
    else
        io_free(&io);
}

static void on_guest(struct io *io, enum io_event ev, void *owner)
{
    struct guest *g = OBJ_CAST(struct guest, owner, GUEST_MAGIC);
    switch (ev) {
    case IO_DATA:
        guest_read(g);
        break;
    case IO_TIMEOUT:
        guest_limited(g, LIMIT_HANDSHAKE);
        break;
    case IO_FAILED:
        guest_failed(g);
        break;
    case IO_CLOSED:
        io_free(&io);
        break;
    case IO_CONNECTED:
        guest_admit(g);
        break;
    case IO_DRAINED:
        break;
    }
}

void guest_take(struct listener *l, struct io *io, const struct admission_count *count)
{
    const struct listener_set *set = l->set;
    struct guest *g = NULL;
    bool waits = set->proxy_protocol || set->tls != NULL;
    if (count->half_open || count->open || waits)
        g = guest_new(l, io, count);
    if (!waits) {
        set->on_accept(l->worker, io, set->arg);
        return;
    }
    io_set_handler(io, on_guest, g);
    list_append(&l->waiting, &g->node);
    if (set->proxy_protocol)
        io_deadline(io, limit_handshake_ms(l->worker));
    else
        guest_admit(g);
}

void guests_leave(struct listener *l)
{
    struct guest *g;
    while ((g = LIST_FIRST(&l->waiting, struct guest, node)) != NULL) {
        struct io *io = g->io;
        io_free(&io);
    }
}
