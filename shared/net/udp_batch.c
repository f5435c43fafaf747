#include "net/udp_batch_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BATCHES_PER_TURN   8       /* before others have their turn */
#define ARRIVAL_AGE_MAX_US 1000000 /* a wall clock that was set in between makes no sense */

/* --- receiving --- */

/* What the kernel says beside the bytes: when it came, and to which of our addresses. */
static void read_controls(struct msghdr *h, struct udp_way *way, int64_t *wall_us)
{
    struct timespec at;
    struct in_pktinfo to4;
    struct in6_pktinfo to6;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            memcpy(&at, CMSG_DATA(c), sizeof at);
            *wall_us = (int64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
            memcpy(&to4, CMSG_DATA(c), sizeof to4);
            memcpy(way->local, mapped, sizeof mapped);
            memcpy(way->local + sizeof mapped, &to4.ipi_addr, sizeof to4.ipi_addr);
            way->has_local = true;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            memcpy(&to6, CMSG_DATA(c), sizeof to6);
            memcpy(way->local, &to6.ipi6_addr, sizeof to6.ipi6_addr);
            way->has_local = true;
        }
    }
}

static void dispatch(struct udp_batch *u, int count)
{
    int64_t now_us = clock_us(), wall_ahead_us = clock_wall_us() - now_us;
    for (int i = 0; i < count; i++) {
        struct msghdr *h = &u->in_headers[i].msg_hdr;
        struct udp_way way = {.remote.len = h->msg_namelen};
        int64_t wall_us = 0;
        if ((h->msg_flags & MSG_TRUNC) != 0 || h->msg_namelen == 0 ||
            h->msg_namelen > sizeof u->in[i].name)
            continue;
        memcpy(&way.remote.sa, &u->in[i].name, h->msg_namelen);
        net_address_unmap(&way.remote);
        read_controls(h, &way, &wall_us);
        int64_t at_us = wall_us - wall_ahead_us;
        if (at_us > now_us || at_us < now_us - ARRIVAL_AGE_MAX_US)
            at_us = now_us;
        METRIC_INC(u->worker->metrics.rtc_datagrams_in_total);
        METRIC_ADD(u->worker->metrics.bytes_in_total, u->in_headers[i].msg_len);
        u->handler->on_datagram(&way, u->in[i].bytes, u->in_headers[i].msg_len, at_us, u->owner);
    }
}

static int receive(struct udp_batch *u)
{
    for (int i = 0; i < UDP_BATCH_MESSAGES; i++) {
        struct udp_in *in = &u->in[i];
        in->iov = (struct iovec){in->bytes, sizeof in->bytes};
        u->in_headers[i].msg_hdr = (struct msghdr){.msg_name = &in->name,
                                                   .msg_namelen = sizeof in->name,
                                                   .msg_iov = &in->iov,
                                                   .msg_iovlen = 1,
                                                   .msg_control = in->controls,
                                                   .msg_controllen = sizeof in->controls};
    }
    return recvmmsg(u->fd, u->in_headers, UDP_BATCH_MESSAGES, MSG_DONTWAIT, NULL);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct udp_batch *u = OBJ_CAST(struct udp_batch, arg, UDP_BATCH_MAGIC);
    int64_t start_us = clock_us();
    int count = UDP_BATCH_MESSAGES;
    worker_enter(u->worker, "udp_batch", start_us);
    for (int i = 0; i < BATCHES_PER_TURN && count == UDP_BATCH_MESSAGES; i++) {
        count = receive(u);
        dispatch(u, count);
    }
    worker_watch(u->worker, "udp_batch", start_us);
}

/* --- life --- */

/* More than the system's limit needs a privilege. */
static void set_buffer(int fd, int forced, int plain, int bytes)
{
    if (setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof bytes) < 0)
        setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof bytes);
}

static void set_options(struct udp_batch *u, int bytes)
{
    int on = 1, segment = 0;
    socklen_t len = sizeof segment;
    set_buffer(u->fd, SO_RCVBUFFORCE, SO_RCVBUF, bytes);
    set_buffer(u->fd, SO_SNDBUFFORCE, SO_SNDBUF, bytes);
    setsockopt(u->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    if (u->any && u->family == AF_INET6)
        setsockopt(u->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    if (u->any && u->family == AF_INET)
        setsockopt(u->fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    u->gso = getsockopt(u->fd, IPPROTO_UDP, UDP_SEGMENT, &segment, &len) == 0;
}

static int open_socket(const struct net_address *bind_to)
{
    int off = 0, fd = socket(bind_to->sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (bind_to->sa.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, (const struct sockaddr *)&bind_to->sa, bind_to->len) == 0)
        return fd;
    int code = errno;
    close(fd);
    errno = code;
    return -1;
}

int udp_batch_open(struct udp_batch **out, struct worker *w, const struct udp_batch_options *o)
{
    int fd = open_socket(&o->bind);
    if (fd < 0)
        return ERR_IO;
    struct udp_batch *u = xcalloc(1, sizeof *u);
    u->magic = UDP_BATCH_MAGIC;
    u->worker = w;
    u->fd = fd;
    u->family = o->bind.sa.ss_family;
    u->any = net_address_is_any(&o->bind);
    u->handler = o->handler;
    u->owner = o->owner;
    set_options(u, o->buffer_bytes);
    udp_batch_send_init(u);
    event_assign(&u->readable, w->base, fd, EV_READ | EV_PERSIST, on_readable, u);
    event_add(&u->readable, NULL);
    *out = u;
    return 0;
}

void udp_batch_close(struct udp_batch **up)
{
    struct udp_batch *u = *up;
    *up = NULL;
    if (u == NULL)
        return;
    OBJ_CHECK(u, UDP_BATCH_MAGIC);
    event_del(&u->readable);
    udp_batch_send_fini(u);
    close(u->fd);
    OBJ_POISON(u);
    free(u);
}

void udp_batch_address(const struct udp_batch *u, struct net_address *out)
{
    out->len = sizeof out->sa;
    must(getsockname(u->fd, (struct sockaddr *)&out->sa, &out->len) == 0);
}

bool udp_batch_segments(const struct udp_batch *u)
{
    return u->gso;
}
