#ifndef SLUICE_NET_UDP_BATCH_INTERNAL_H
#define SLUICE_NET_UDP_BATCH_INTERNAL_H

#include "net/udp_batch.h"

#include <event2/event_struct.h>
#include <netinet/in.h>

/* udp_batch.c opens and receives, udp_batch_send.c has the arena. */
#define UDP_BATCH_MAGIC    0x75626174U
#define UDP_BATCH_CONTROLS 128 /* bytes of control messages, either way */

/* As the kernel takes it; an IPv4 peer of an IPv6 socket is mapped. */
union udp_name {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct udp_in {
    union udp_name name;
    _Alignas(struct cmsghdr) uint8_t controls[UDP_BATCH_CONTROLS];
    struct iovec iov;
    uint8_t bytes[UDP_BATCH_DATAGRAM_MAX];
};

/* Datagrams of one size, but for the last, to one peer. */
struct udp_out {
    struct udp_way way;
    union udp_name name;
    _Alignas(struct cmsghdr) uint8_t controls[UDP_BATCH_CONTROLS];
    struct iovec iov;
    size_t segment; /* bytes of all but the last */
    unsigned segments;
    bool complete; /* nothing can be added */
};

struct udp_batch {
    uint32_t magic;
    struct worker *worker;
    int fd;
    int family;
    bool any; /* bound to all addresses */
    bool gso;
    const struct udp_batch_handler *handler;
    void *owner;
    struct event readable, writable;
    struct udp_in in[UDP_BATCH_MESSAGES];
    struct mmsghdr in_headers[UDP_BATCH_MESSAGES];

    struct task flush;
    bool blocked; /* the socket takes nothing: `writable` is waited for */
    unsigned out_count;
    size_t out_len; /* bytes used in the arena */
    struct udp_out out[UDP_BATCH_MESSAGES];
    struct mmsghdr out_headers[UDP_BATCH_MESSAGES];
    uint8_t *arena;
};

void udp_batch_send_init(struct udp_batch *u);
void udp_batch_send_fini(struct udp_batch *u);

#endif
