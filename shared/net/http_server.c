/*
 * Servers, and the protocol that a connection speaks: what the peer chose in the handshake of TLS,
 * else HTTP/1.1, which looks at the first bytes for those of HTTP/2.
 */
#include "net/http_server.h"

#include "base/mem.h"
#include "base/obj.h"
#include "net/http1_connection.h"
#include "net/http2_connection.h"

#include <stdlib.h>

struct http_server *http_server_new(const struct http_server_options *o)
{
    struct http_server *s = xcalloc(1, sizeof *s);
    s->magic = HTTP_SERVER_MAGIC;
    s->name = xstrdup(o->name);
    s->cors_origin =
        o->cors_origin != NULL && o->cors_origin[0] != '\0' ? xstrdup(o->cors_origin) : NULL;
    s->routes = o->routes;
    s->route_count = o->route_count;
    for (size_t i = 0; i < o->route_count; i++)
        s->has_early = s->has_early || o->routes[i].body_unread_max > 0;
    s->http2 = o->http2;
    s->arg = o->arg;
    s->on_request = o->on_request;
    s->times = (struct http_times){o->request_ms > 0 ? o->request_ms : LIMIT_REQUEST_MS,
                                   HTTP_IDLE_MS, HTTP_ANSWER_MS, HTTP_ANSWER_RATE_MIN};
    for (size_t i = 0; i < WORKERS_MAX; i++) {
        list_init(&s->locals[i].http1);
        list_init(&s->locals[i].http2);
    }
    return s;
}

void http_request_late(struct worker *w, const struct net_address *peer)
{
    char text[NET_ADDRESS_TEXT_MAX];
    net_address_text(peer, text);
    limit_reached(w, LIMIT_REQUEST, text);
}

void http_server_set_times(struct http_server *s, const struct http_times *times)
{
    s->times = *times;
}

int64_t http_answer_ms(const struct http_server *s, size_t len)
{
    const struct http_times *t = &s->times;
    return t->answer_ms + (int64_t)len / t->answer_rate * 1000;
}

void http_server_accept(struct worker *w, struct io *io, void *server)
{
    struct http_server *s = OBJ_CAST(struct http_server, server, HTTP_SERVER_MAGIC);
    if (s->http2 && slice_is(io_tls_protocol(io), "h2"))
        http2_accept(s, w, io);
    else
        http1_accept(s, w, io);
}

void http_server_retire(struct http_server *s, struct worker *w, bool on)
{
    s->locals[w->index].retired = on;
    if (!on)
        return;
    http1_retire(s, w);
    http2_retire(s, w);
}

void http_server_drain(struct http_server *s, struct worker *w)
{
    http1_drain(s, w);
    http2_drain(s, w);
}

void http_server_free(struct http_server **sp)
{
    struct http_server *s = *sp;
    if (s == NULL)
        return;
    for (size_t i = 0; i < WORKERS_MAX; i++) {
        http1_end_all(&s->locals[i]);
        http2_end_all(&s->locals[i]);
    }
    OBJ_POISON(s);
    free(s->name);
    free(s->cors_origin);
    free(s);
    *sp = NULL;
}
