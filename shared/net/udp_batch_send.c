/*
 * The arena: peers append datagrams, neighbours to one peer become one message, and all messages
 * leave together.  What the socket does not take stays, in order, until it does; when there is no
 * room for more, what comes is lost.
 */
#include "net/udp_batch_internal.h"

#include "base/mem.h"
#include "base/must.h"
#include "base/obj.h"
#include "core/clock.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

/* --- the arena --- */

static bool has_room(const struct udp_batch *u, size_t len)
{
    return u->out_count < UDP_BATCH_MESSAGES && UDP_BATCH_ARENA_SIZE - u->out_len >= len;
}

uint8_t *udp_batch_room(struct udp_batch *u, size_t len)
{
    must(len <= UDP_BATCH_MESSAGE_MAX);
    if (!has_room(u, len) && !u->blocked)
        udp_batch_flush(u);
    if (has_room(u, len))
        return u->arena + u->out_len;
    METRIC_INC(u->worker->metrics.rtc_send_dropped_total);
    return NULL;
}

static bool same_way(const struct udp_way *a, const struct udp_way *b)
{
    return net_address_equal(&a->remote, &b->remote) && a->has_local == b->has_local &&
           (!a->has_local || memcmp(a->local, b->local, sizeof a->local) == 0);
}

/* The last message, when the datagram can be one of its segments. */
static struct udp_out *to_extend(struct udp_batch *u, const struct udp_way *to, size_t len)
{
    struct udp_out *last = u->out_count > 0 ? &u->out[u->out_count - 1] : NULL;
    if (last == NULL || last->complete || len > last->segment || !same_way(&last->way, to) ||
        last->segments >= UDP_BATCH_SEGMENTS_MAX || last->iov.iov_len + len > UDP_BATCH_MESSAGE_MAX)
        return NULL;
    return last;
}

static void name_of(const struct udp_batch *u, const struct net_address *a, union udp_name *out)
{
    *out = (union udp_name){0};
    memcpy(out, &a->sa, a->len);
    if (u->family == a->sa.ss_family)
        return;
    uint8_t key[NET_ADDRESS_KEY_SIZE];
    must(net_address_key(a, key));
    *out =
        (union udp_name){.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(net_address_port(a))}};
    memcpy(&out->v6.sin6_addr, key, sizeof key);
}

static void add_message(struct udp_batch *u, const struct udp_way *to, bool segment, size_t len)
{
    struct udp_out *m = &u->out[u->out_count++];
    m->way = *to;
    name_of(u, &to->remote, &m->name);
    m->iov = (struct iovec){u->arena + u->out_len, len};
    m->segment = len;
    m->segments = 1;
    m->complete = !segment || !u->gso;
}

void udp_batch_put(struct udp_batch *u, const struct udp_way *to, bool segment, size_t len)
{
    must(has_room(u, len));
    struct udp_out *m = segment ? to_extend(u, to, len) : NULL;
    if (m != NULL) {
        m->iov.iov_len += len;
        m->segments++;
        m->complete = len < m->segment;
    } else {
        add_message(u, to, segment, len);
    }
    u->out_len += len;
    if (!u->blocked)
        task_defer(u->worker, &u->flush);
}

/* --- sending --- */

static void *add_control(struct msghdr *h, int level, int type, size_t len)
{
    struct cmsghdr *c = (struct cmsghdr *)(void *)((uint8_t *)h->msg_control + h->msg_controllen);
    must(h->msg_controllen + CMSG_SPACE(len) <= UDP_BATCH_CONTROLS);
    h->msg_controllen += CMSG_SPACE(len);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(len);
    return CMSG_DATA(c);
}

/* What we send comes from where the peer wrote to: it knows no other address of ours. */
static void add_local(const struct udp_batch *u, struct msghdr *h, const uint8_t *local)
{
    if (u->family == AF_INET6) {
        struct in6_pktinfo from = {0};
        memcpy(&from.ipi6_addr, local, sizeof from.ipi6_addr);
        memcpy(add_control(h, IPPROTO_IPV6, IPV6_PKTINFO, sizeof from), &from, sizeof from);
    } else {
        struct in_pktinfo from = {0};
        memcpy(&from.ipi_spec_dst, local + 12, sizeof from.ipi_spec_dst);
        memcpy(add_control(h, IPPROTO_IP, IP_PKTINFO, sizeof from), &from, sizeof from);
    }
}

static void fill_header(struct udp_batch *u, struct udp_out *m, struct msghdr *h)
{
    bool v6 = m->name.sa.sa_family == AF_INET6;
    memset(m->controls, 0, sizeof m->controls);
    *h = (struct msghdr){.msg_name = &m->name,
                         .msg_namelen = v6 ? sizeof m->name.v6 : sizeof m->name.v4,
                         .msg_iov = &m->iov,
                         .msg_iovlen = 1,
                         .msg_control = m->controls};
    if (m->way.has_local)
        add_local(u, h, m->way.local);
    if (m->segments > 1) {
        uint16_t size = (uint16_t)m->segment;
        memcpy(add_control(h, IPPROTO_UDP, UDP_SEGMENT, sizeof size), &size, sizeof size);
    }
    if (h->msg_controllen == 0)
        h->msg_control = NULL;
}

static void count_sent(struct udp_batch *u, const struct udp_out *m)
{
    METRIC_INC(u->worker->metrics.rtc_messages_out_total);
    METRIC_ADD(u->worker->metrics.rtc_datagrams_out_total, m->segments);
    METRIC_ADD(u->worker->metrics.bytes_out_total, m->iov.iov_len);
}

/* A message in its datagrams, each of its own.  False when the socket takes no more: the message
 * is then what is left of it. */
static bool send_unsegmented(struct udp_batch *u, struct udp_out *m)
{
    while (m->iov.iov_len > 0) {
        size_t len = m->iov.iov_len < m->segment ? m->iov.iov_len : m->segment;
        struct udp_out one = *m;
        struct msghdr h;
        one.segments = 1;
        one.iov.iov_len = len;
        fill_header(u, &one, &h);
        h.msg_iov = &one.iov;
        if (sendmsg(u->fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
            count_sent(u, &one);
        else if (errno == EAGAIN)
            return false;
        else
            METRIC_INC(u->worker->metrics.rtc_send_errors_total);
        m->iov.iov_base = (uint8_t *)m->iov.iov_base + len;
        m->iov.iov_len -= len;
        m->segments--;
    }
    return true;
}

static bool is_about_segments(int code)
{
    return code == EMSGSIZE || code == EIO || code == EINVAL;
}

/* The first message was refused.  False when the socket takes nothing now; else it is done with. */
static bool refused(struct udp_batch *u, struct udp_out *m, int code)
{
    if (code == EAGAIN)
        return false;
    if (m->segments > 1 && is_about_segments(code)) {
        METRIC_INC(u->worker->metrics.rtc_unsegmented_total);
        u->handler->on_unsegmented(&m->way.remote, u->owner);
        return send_unsegmented(u, m);
    }
    METRIC_INC(u->worker->metrics.rtc_send_errors_total);
    return true;
}

/* How many messages are done with; fewer than all when the socket takes no more. */
static unsigned send_all(struct udp_batch *u)
{
    for (unsigned i = 0; i < u->out_count; i++)
        fill_header(u, &u->out[i], &u->out_headers[i].msg_hdr);
    unsigned done = 0;
    while (done < u->out_count) {
        int n = sendmmsg(u->fd, u->out_headers + done, u->out_count - done,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR && !refused(u, &u->out[done], errno))
            return done;
        if (n < 0 && errno != EINTR)
            done++;
        for (int i = 0; i < n; i++)
            count_sent(u, &u->out[done++]);
    }
    return done;
}

/* What was not taken moves to the front of the arena. */
static void keep_from(struct udp_batch *u, unsigned first)
{
    uint8_t *to = u->arena;
    for (unsigned i = first; i < u->out_count; i++) {
        struct udp_out *m = &u->out[i - first];
        *m = u->out[i];
        memmove(to, m->iov.iov_base, m->iov.iov_len);
        m->iov.iov_base = to;
        to += m->iov.iov_len;
    }
    u->out_count -= first;
    u->out_len = (size_t)(to - u->arena);
}

void udp_batch_flush(struct udp_batch *u)
{
    task_cancel(&u->flush);
    keep_from(u, send_all(u));
    bool was_blocked = u->blocked;
    u->blocked = u->out_count > 0;
    if (u->blocked && !was_blocked) {
        METRIC_INC(u->worker->metrics.rtc_send_blocked_total);
        event_add(&u->writable, NULL);
    } else if (was_blocked && !u->blocked) {
        event_del(&u->writable);
    }
}

static void on_flush(void *arg)
{
    udp_batch_flush(OBJ_CAST(struct udp_batch, arg, UDP_BATCH_MAGIC));
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct udp_batch *u = OBJ_CAST(struct udp_batch, arg, UDP_BATCH_MAGIC);
    int64_t start_us = clock_us();
    worker_enter(u->worker, "udp_batch.writable", start_us);
    udp_batch_flush(u);
    worker_watch(u->worker, "udp_batch.writable", start_us);
}

void udp_batch_send_init(struct udp_batch *u)
{
    u->arena = xmalloc(UDP_BATCH_ARENA_SIZE);
    task_init(&u->flush, on_flush, u);
    event_assign(&u->writable, u->worker->base, u->fd, EV_WRITE | EV_PERSIST, on_writable, u);
}

void udp_batch_send_fini(struct udp_batch *u)
{
    task_cancel(&u->flush);
    event_del(&u->writable);
    free(u->arena);
}
