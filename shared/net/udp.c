#include "net/udp.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UDP_MAGIC   0x75647073U
#define UDP_BATCH   32 /* datagrams of one recvmmsg */
#define UDP_BATCHES 8  /* of one turn, before others have theirs */

struct udp {
    uint32_t magic;
    struct worker *worker;
    int fd;
    int family;
    udp_handler *on_datagram;
    void *owner;
    struct event readable;
    bool reading; /* on the stack: freed when that returns */
    bool closed;
    struct mmsghdr messages[UDP_BATCH];
    struct iovec iovecs[UDP_BATCH];
    struct net_address from[UDP_BATCH];
    uint8_t room[UDP_BATCH][UDP_DATAGRAM_MAX];
};

static void udp_free(struct udp *u)
{
    OBJ_POISON(u);
    free(u);
}

/* --- receiving --- */

static void dispatch(struct udp *u, int count)
{
    for (int i = 0; i < count && !u->closed; i++) {
        const struct msghdr *h = &u->messages[i].msg_hdr;
        if ((h->msg_flags & MSG_TRUNC) != 0 || h->msg_namelen == 0)
            continue;
        u->from[i].len = h->msg_namelen;
        net_address_unmap(&u->from[i]);
        u->on_datagram(u, &u->from[i], slice_of(u->room[i], u->messages[i].msg_len), u->owner);
    }
}

static int receive(struct udp *u)
{
    for (int i = 0; i < UDP_BATCH; i++) {
        u->iovecs[i] = (struct iovec){u->room[i], UDP_DATAGRAM_MAX};
        u->messages[i].msg_hdr = (struct msghdr){.msg_name = &u->from[i].sa,
                                                 .msg_namelen = sizeof u->from[i].sa,
                                                 .msg_iov = &u->iovecs[i],
                                                 .msg_iovlen = 1};
    }
    return recvmmsg(u->fd, u->messages, UDP_BATCH, MSG_DONTWAIT, NULL);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct udp *u = OBJ_CAST(struct udp, arg, UDP_MAGIC);
    struct worker *w = u->worker;
    int64_t start_us = clock_us();
    int count = UDP_BATCH;
    worker_enter(w, "udp", start_us);
    u->reading = true;
    for (int i = 0; i < UDP_BATCHES && count == UDP_BATCH && !u->closed; i++) {
        count = receive(u);
        dispatch(u, count);
    }
    u->reading = false;
    if (u->closed)
        udp_free(u);
    worker_watch(w, "udp", start_us);
}

/* --- life --- */

static bool bind_to(int fd, const struct udp_options *o)
{
    int on = 1, off = 0;
    if (o->shared && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        return false;
    if (o->bind.sa.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    /* Without this a socket hears every group that any process of the host has joined. */
    if (o->bind.sa.ss_family == AF_INET)
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off);
    return bind(fd, (const struct sockaddr *)&o->bind.sa, o->bind.len) == 0;
}

int udp_open(struct udp **out, struct worker *w, const struct udp_options *o)
{
    int fd = socket(o->bind.sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERR_IO;
    if (!bind_to(fd, o)) {
        int code = errno;
        close(fd);
        errno = code;
        return ERR_IO;
    }
    struct udp *u = xcalloc(1, sizeof *u);
    u->magic = UDP_MAGIC;
    u->worker = w;
    u->fd = fd;
    u->family = o->bind.sa.ss_family;
    u->on_datagram = o->on_datagram;
    u->owner = o->owner;
    event_assign(&u->readable, w->base, fd, EV_READ | EV_PERSIST, on_readable, u);
    event_add(&u->readable, NULL);
    *out = u;
    return 0;
}

void udp_close(struct udp **up)
{
    struct udp *u = *up;
    *up = NULL;
    if (u == NULL)
        return;
    OBJ_CHECK(u, UDP_MAGIC);
    event_del(&u->readable);
    close(u->fd);
    u->closed = true;
    if (!u->reading)
        udp_free(u);
}

void udp_address(const struct udp *u, struct net_address *out)
{
    out->len = sizeof out->sa;
    must(getsockname(u->fd, (struct sockaddr *)&out->sa, &out->len) == 0);
}

/* --- sending --- */

static void map_v4(struct net_address *a)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    memcpy(&v4, &a->sa, sizeof v4);
    v6.sin6_port = v4.sin_port;
    v6.sin6_addr.s6_addr[10] = v6.sin6_addr.s6_addr[11] = 0xff;
    memcpy(&v6.sin6_addr.s6_addr[12], &v4.sin_addr, sizeof v4.sin_addr);
    memcpy(&a->sa, &v6, sizeof v6);
    a->len = sizeof v6;
}

bool udp_is_away(int code)
{
    static const int codes[] = {ENODEV, ENXIO, ENETUNREACH, ENETDOWN, EADDRNOTAVAIL, EHOSTUNREACH};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i] == code)
            return true;
    return false;
}

int udp_send(struct udp *u, const struct net_address *to, struct slice datagram)
{
    struct net_address a = *to;
    if (u->family == AF_INET6 && a.sa.ss_family == AF_INET)
        map_v4(&a);
    ssize_t n = sendto(u->fd, datagram.p, datagram.len, MSG_DONTWAIT | MSG_NOSIGNAL,
                       (const struct sockaddr *)&a.sa, a.len);
    bool lost = n < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == EINTR);
    return n >= 0 || lost ? 0 : ERR_IO;
}

/* --- groups --- */

/* The interface's number; 0: none is named.  False when there is none of this name. */
static bool index_of(const char *interface, unsigned *index)
{
    *index = interface[0] != '\0' ? if_nametoindex(interface) : 0;
    return *index != 0 || interface[0] == '\0';
}

static int join_v4(struct udp *u, const struct net_address *group, unsigned index)
{
    struct sockaddr_in v4;
    memcpy(&v4, &group->sa, sizeof v4);
    const struct ip_mreqn m = {.imr_multiaddr = v4.sin_addr, .imr_ifindex = (int)index};
    return setsockopt(u->fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m);
}

static int join_v6(struct udp *u, const struct net_address *group, unsigned index)
{
    struct sockaddr_in6 v6;
    memcpy(&v6, &group->sa, sizeof v6);
    const struct ipv6_mreq m = {.ipv6mr_multiaddr = v6.sin6_addr, .ipv6mr_interface = index};
    return setsockopt(u->fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &m, sizeof m);
}

int udp_join(struct udp *u, const struct net_address *group, const char *interface)
{
    unsigned index;
    if (!index_of(interface, &index))
        return ERR_IO;
    int err = group->sa.ss_family == AF_INET6 ? join_v6(u, group, index) : join_v4(u, group, index);
    return err == 0 || errno == EADDRINUSE ? 0 : ERR_IO;
}

static int leave_by_v4(int fd, unsigned index, int ttl)
{
    const struct ip_mreqn m = {.imr_ifindex = (int)index};
    int on = 1;
    if (index != 0 && setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &m, sizeof m) < 0)
        return -1;
    if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof ttl) < 0)
        return -1;
    return setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &on, sizeof on);
}

static int leave_by_v6(int fd, unsigned index, int ttl)
{
    int on = 1;
    if (index != 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index) < 0)
        return -1;
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &ttl, sizeof ttl) < 0)
        return -1;
    return setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &on, sizeof on);
}

static int leave_by(int fd, const struct net_address *group, const char *interface, int ttl)
{
    unsigned index;
    if (!index_of(interface, &index))
        return ERR_IO;
    int err =
        group->sa.ss_family == AF_INET6 ? leave_by_v6(fd, index, ttl) : leave_by_v4(fd, index, ttl);
    return err == 0 ? 0 : ERR_IO;
}

int udp_send_by(struct udp *u, const struct net_address *group, const char *interface, int ttl)
{
    return leave_by(u->fd, group, interface, ttl);
}

static bool is_link_local(const struct sockaddr *sa)
{
    struct sockaddr_in6 v6;
    if (sa->sa_family != AF_INET6)
        return false;
    memcpy(&v6, sa, sizeof v6);
    return IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr);
}

static int address_of(const char *interface, int family, struct net_address *out)
{
    struct ifaddrs *list, *i;
    if (getifaddrs(&list) != 0)
        return ERR_IO;
    for (i = list; i != NULL; i = i->ifa_next)
        if (strcmp(i->ifa_name, interface) == 0 && i->ifa_addr != NULL &&
            i->ifa_addr->sa_family == family && !is_link_local(i->ifa_addr))
            break;
    if (i != NULL) {
        out->len = family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
        memcpy(&out->sa, i->ifa_addr, out->len);
    }
    freeifaddrs(list);
    errno = ENODEV;
    return i != NULL ? 0 : ERR_IO;
}

static int route_of(int fd, const struct net_address *to, struct net_address *out)
{
    out->len = sizeof out->sa;
    if (connect(fd, (const struct sockaddr *)&to->sa, to->len) < 0 ||
        getsockname(fd, (struct sockaddr *)&out->sa, &out->len) < 0)
        return ERR_IO;
    net_address_unmap(out);
    net_address_set_port(out, 0);
    return 0;
}

int udp_route(const struct net_address *to, const char *interface, struct net_address *out)
{
    if (interface[0] != '\0')
        return address_of(interface, to->sa.ss_family, out);
    int fd = socket(to->sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERR_IO;
    int err = route_of(fd, to, out);
    int code = errno;
    close(fd);
    errno = code;
    return err;
}
