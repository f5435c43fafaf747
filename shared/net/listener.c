/*
 * Listening sockets, one per worker and port, and the way of a connection into the program:
 *
 *   accept -> descriptors left? -> limits of its address -> [PROXY header -> limits of the address
 *   it names] -> [TLS handshake] -> the protocol's accept handler
 *
 * A listener is touched by its worker only (and by main while no thread runs); closing comes as a
 * message.
 */
#include "net/listener_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/obj.h"
#include "core/clock.h"
#include "core/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define LISTEN_BACKLOG         4096
#define ACCEPTS_PER_TURN       64
#define ACCEPT_PAUSE_MS        100 /* after EMFILE and its like */
#define DESCRIPTORS_PERCENT    95  /* of RLIMIT_NOFILE, less limits.descriptors_reserve */
#define DESCRIPTORS_FREE_LIMIT 32  /* with fewer than this allowed, the share alone counts */

/* Accepting. */

void listener_limited(struct listener *l, const struct net_address *peer, enum limit which)
{
    char text[NET_ADDRESS_TEXT_MAX];
    METRIC_INC(l->worker->metrics.connections_refused_total);
    net_address_text(peer, text);
    limit_reached(l->worker, which, text);
}

void listener_refused(struct listener *l, const struct net_address *peer, const char *why)
{
    char text[NET_ADDRESS_TEXT_MAX];
    METRIC_INC(l->worker->metrics.connections_refused_total);
    if (!log_limit_pass(&l->refused_limit, clock_us(), &l->set->log))
        return;
    net_address_text(peer, text);
    log_warn(&l->set->log, "listen.refused name=%s peer=%s reason=%s", l->set->name, text, why);
}

static bool has_too_many(const struct worker *w)
{
    const struct workers *g = w->group;
    int64_t open = 0, max = w->config->limits.connections;
    if (max == 0)
        return false;
    for (int i = 0; i < g->count; i++)
        open += METRIC_GET(g->workers[i].metrics.connections_open);
    return open >= max;
}

static void admit(struct listener *l, int fd, struct net_address *peer)
{
    struct listener_set *set = l->set;
    struct admission_count count;
    net_address_unmap(peer);
    if (fd >= set->fd_max && !set->essential) {
        listener_limited(l, peer, LIMIT_DESCRIPTORS);
        close(fd);
        return;
    }
    if (!set->essential && has_too_many(l->worker)) {
        listener_limited(l, peer, LIMIT_CONNECTIONS);
        close(fd);
        return;
    }
    if (!admission_enter(set->admission, peer, &count)) {
        listener_limited(l, peer, count.refused);
        close(fd);
        return;
    }
    guest_take(l, io_accept(l->worker, fd, peer, NULL, NULL), &count);
}

static bool out_of_resources(int code)
{
    return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
}

static void accept_failed(struct listener *l, int code)
{
    if (!out_of_resources(code))
        return; /* the connection went away before it was taken */
    event_del(&l->accept_event);
    timer_set_ms(&l->pause_timer, ACCEPT_PAUSE_MS);
    if (log_limit_pass(&l->failed_limit, clock_us(), &l->set->log))
        log_warn(&l->set->log, "listen.paused ms=%d error=\"%s\"", ACCEPT_PAUSE_MS, strerror(code));
}

static void accept_turn(struct listener *l)
{
    for (int i = 0; i < ACCEPTS_PER_TURN && l->fd >= 0; i++) {
        struct net_address peer = {.len = sizeof peer.sa};
        int fd =
            accept4(l->fd, (struct sockaddr *)&peer.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            admit(l, fd, &peer);
            continue;
        }
        if (errno == EAGAIN)
            return;
        accept_failed(l, errno);
        if (timer_is_set(&l->pause_timer))
            return;
    }
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    struct listener *l = OBJ_CAST(struct listener, arg, LISTENER_MAGIC);
    int64_t start_us = clock_us();
    worker_enter(l->worker, "listener.accept", start_us);
    accept_turn(l);
    worker_watch(l->worker, "listener.accept", start_us);
}

static void on_pause_over(void *arg)
{
    struct listener *l = OBJ_CAST(struct listener, arg, LISTENER_MAGIC);
    if (l->fd >= 0)
        event_add(&l->accept_event, NULL);
}

/* Opening. */

static int make_socket(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1, off = 0;
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    return fd;
}

static int bind_to(struct listener_set *set, bool shared)
{
    int on = 1, fd = make_socket(set->bound.sa.ss_family);
    if (fd < 0)
        return -1;
    if ((!shared || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
        bind(fd, (const struct sockaddr *)&set->bound.sa, set->bound.len) == 0)
        return fd;
    int code = errno;
    close(fd);
    errno = code;
    return -1;
}

/* With SO_REUSEPORT a second program of the same user would quietly get half of the connections;
 * a first try without it finds the port taken. */
static int probe(struct listener_set *set)
{
    int fd = bind_to(set, false);
    if (fd < 0)
        return -1;
    close(fd);
    return 0;
}

static int listener_open(struct listener *l)
{
    struct listener_set *set = l->set;
    l->fd = bind_to(set, true);
    if (l->fd < 0)
        return -1;
    socklen_t len = sizeof set->bound.sa;
    if (getsockname(l->fd, (struct sockaddr *)&set->bound.sa, &len) < 0)
        return -1;
    if (listen(l->fd, LISTEN_BACKLOG) < 0)
        return -1;
    event_assign(&l->accept_event, l->worker->base, l->fd, EV_READ | EV_PERSIST, on_acceptable, l);
    event_add(&l->accept_event, NULL);
    return 0;
}

static int open_all(struct listener_set *set)
{
    if (net_address_port(&set->bound) != 0 && probe(set) < 0)
        return -1;
    for (int i = 0; i < set->count; i++) {
        if (listener_open(&set->listeners[i]) < 0)
            return -1;
    }
    return 0;
}

int listener_resolve(const char *address, struct net_address *out)
{
    struct listen_address listen;
    char text[sizeof listen.host + 16];
    if (config_listen_parse(address, &listen) < 0)
        return ERR_TYPE;
    if (listen.host[0] == '\0') {
        int fd = make_socket(AF_INET6);
        struct sockaddr_in6 any = {.sin6_family = AF_INET6};
        bool v6 = fd >= 0 && bind(fd, (const struct sockaddr *)&any, sizeof any) == 0;
        if (fd >= 0)
            close(fd);
        snprintf(text, sizeof text, "%s:%u", v6 ? "[::]" : "0.0.0.0", listen.port);
    } else if (strchr(listen.host, ':') != NULL) {
        snprintf(text, sizeof text, "[%s]:%u", listen.host, listen.port);
    } else {
        const char *host = strcmp(listen.host, "localhost") == 0 ? "127.0.0.1" : listen.host;
        snprintf(text, sizeof text, "%s:%u", host, listen.port);
    }
    return net_address_parse(text, out);
}

static int descriptor_limit(int64_t reserve)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT32_MAX)
        return INT32_MAX;
    int share = (int)(limit.rlim_cur * DESCRIPTORS_PERCENT / 100);
    int64_t rest = share - reserve;
    return rest >= DESCRIPTORS_FREE_LIMIT ? (int)rest : share;
}

static struct listener_set *set_new(struct workers *g, const struct listener_options *o)
{
    const struct config *c = g->config;
    struct listener_set *set = xcalloc(1, sizeof *set);
    set->name = xstrdup(o->name);
    set->proxy_protocol = o->proxy_protocol;
    set->essential = o->essential;
    set->tls = o->tls;
    set->on_accept = o->on_accept;
    set->arg = o->arg;
    set->log = (struct log_id){"listen", -1, 0};
    set->fd_max = descriptor_limit(c->limits.descriptors_reserve);
    set->admission = admission_new(o->essential ? 0 : c->limits.half_open_per_address,
                                   o->essential ? 0 : c->limits.connections_per_address,
                                   &(struct text_list){0}, NULL);
    listeners_set_trusted(set, &c->limits.trusted);
    set->count = g->count;
    set->listeners = xcalloc((size_t)g->count, sizeof *set->listeners);
    for (int i = 0; i < g->count; i++) {
        struct listener *l = &set->listeners[i];
        l->magic = LISTENER_MAGIC;
        l->set = set;
        l->worker = &g->workers[i];
        l->fd = -1;
        list_init(&l->waiting);
        timer_init(&l->pause_timer, l->worker, "listener.pause", on_pause_over, l);
    }
    return set;
}

void listeners_set_trusted(struct listener_set *s, const struct text_list *trusted)
{
    const char *bad;
    admission_set_trusted(s->admission, trusted, &bad);
    if (bad != NULL)
        log_warn(&s->log, "listen.trusted_ignored name=%s entry=\"%s\"", s->name, bad);
}

int listeners_open(struct listener_set **out, struct workers *g, const struct listener_options *o)
{
    struct listener_set *set = set_new(g, o);
    char text[NET_ADDRESS_TEXT_MAX];
    int err = listener_resolve(o->address, &set->bound);
    if (err < 0) {
        log_error(&set->log, "listen.failed name=%s address=\"%s\" error=\"not a numeric address\"",
                  set->name, o->address);
    } else if (open_all(set) < 0) {
        err = ERR_IO;
        log_error(&set->log, "listen.failed name=%s address=\"%s\" error=\"%s\"", set->name,
                  o->address, strerror(errno));
    }
    if (err < 0) {
        listeners_free(&set);
        return err;
    }
    listeners_address_text(set, text);
    log_debug(&set->log, "listen.open name=%s address=%s", set->name, text);
    *out = set;
    return 0;
}

uint16_t listeners_port(const struct listener_set *s)
{
    return net_address_port(&s->bound);
}

void listeners_address_text(const struct listener_set *s, char out[NET_ADDRESS_TEXT_MAX])
{
    net_address_text(&s->bound, out);
}

/* Closing. */

/* Who has not been admitted yet goes, too: nobody would end it later. */
static void listener_shut(struct listener *l)
{
    guests_leave(l);
    timer_stop(&l->pause_timer);
    if (l->fd < 0)
        return;
    event_del(&l->accept_event);
    close(l->fd);
    l->fd = -1;
}

static void on_close_message(struct message *m)
{
    struct listener *l = container_of(m, struct listener, close_message);
    OBJ_CHECK(l, LISTENER_MAGIC);
    if (l->fd >= 0)
        accept_turn(l); /* for these peers the connection exists already */
    listener_shut(l);
}

void listeners_close(struct listener_set *s)
{
    for (int i = 0; i < s->count; i++) {
        struct listener *l = &s->listeners[i];
        if (__atomic_exchange_n(&l->close_posted, true, __ATOMIC_ACQ_REL))
            continue;
        l->close_message.run = on_close_message;
        worker_post(l->worker, &l->close_message);
    }
}

void listeners_free(struct listener_set **sp)
{
    struct listener_set *s = *sp;
    if (s == NULL)
        return;
    for (int i = 0; i < s->count; i++) {
        struct listener *l = &s->listeners[i];
        listener_shut(l);
        timer_fini(&l->pause_timer);
        OBJ_POISON(l);
    }
    admission_unref(&s->admission);
    free(s->listeners);
    free(s->name);
    free(s);
    *sp = NULL;
}
