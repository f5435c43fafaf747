#ifndef SLUICE_NET_UDP_BATCH_H
#define SLUICE_NET_UDP_BATCH_H

#include "net/io.h"

/*
 * A UDP socket of one worker for media: many peers, many datagrams.  What comes is read in batches
 * with the kernel's time of arrival; what goes out is written by the peers straight into one arena
 * and leaves by sendmmsg at the end of the turn, datagrams of one size that follow each other to
 * one peer as one message (UDP GSO).
 *
 *   arena      [ A 1216 | A 1216 | A 800 ][ B 1216 | B 1216 | B 800 ][ C 120 ] ...
 *   messages     ^ one with 3 segments      ^ one with 3 segments      ^ one
 */
struct udp_batch;

#define UDP_BATCH_DATAGRAM_MAX 2000 /* bytes that are received; longer ones are dropped */
#define UDP_BATCH_ARENA_SIZE   (512 * 1024)
#define UDP_BATCH_MESSAGES     64    /* of one sendmmsg, and in the arena */
#define UDP_BATCH_SEGMENTS_MAX 40    /* of one message; older kernels take 64 */
#define UDP_BATCH_MESSAGE_MAX  65000 /* bytes of one message */

/* Between whom: the peer, and, on a socket that is bound to all addresses, the one of ours that it
 * wrote to. */
struct udp_way {
    struct net_address remote;
    uint8_t local[NET_ADDRESS_KEY_SIZE];
    bool has_local;
};

struct udp_batch_handler {
    /* The bytes may be changed, and are valid until return; arrival_us is on clock_us()' line. */
    void (*on_datagram)(const struct udp_way *from, uint8_t *datagram, size_t len,
                        int64_t arrival_us, void *owner);
    /* What goes there has to go unsegmented (the way's MTU is smaller than the datagrams, or its
     * device cannot): `segment` should be false from now on.  This time it was sent so. */
    void (*on_unsegmented)(const struct net_address *remote, void *owner);
};

struct udp_batch_options {
    struct net_address bind; /* port 0: a free one */
    int buffer_bytes;        /* asked for as SO_RCVBUF and SO_SNDBUF */
    const struct udp_batch_handler *handler;
    void *owner;
};

/* Before the worker runs.  0, or ERR_IO with the reason in errno. */
int udp_batch_open(struct udp_batch **out, struct worker *w, const struct udp_batch_options *o);
/* Not from its own handler; what was not sent is lost. */
void udp_batch_close(struct udp_batch **up);
/* As bound. */
void udp_batch_address(const struct udp_batch *u, struct net_address *out);

/* Room for a datagram of at most len bytes at the end of the arena, valid until the next call; NULL
 * when there is none, because the socket takes nothing at present: the datagram is lost, and
 * counted here. */
uint8_t *udp_batch_room(struct udp_batch *u, size_t len);
/* len bytes of that room are a datagram for `to`. */
void udp_batch_put(struct udp_batch *u, const struct udp_way *to, bool segment, size_t len);
/* Sends what there is now and not at the end of the turn. */
void udp_batch_flush(struct udp_batch *u);
/* Whether this kernel segments at all. */
bool udp_batch_segments(const struct udp_batch *u);

#endif
