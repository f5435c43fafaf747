#ifndef SLUICE_NET_UDP_H
#define SLUICE_NET_UDP_H

#include "net/io.h"

/*
 * One UDP socket on one worker.  Datagrams are read in batches and handed out one by one; a
 * datagram that cannot be sent at once is lost, as it may be on any network.  IPv4 peers of an IPv6
 * socket are seen, and given, as IPv4.
 */
struct udp;

#define UDP_DATAGRAM_MAX 2048 /* bytes; longer ones are dropped */

/* The bytes are valid until the handler returns; it may close the socket. */
typedef void udp_handler(struct udp *u, const struct net_address *from, struct slice datagram,
                         void *owner);

struct udp_options {
    struct net_address bind; /* port 0: a free one */
    bool shared; /* other processes of this host may bind the same group and hear it, too */
    udp_handler *on_datagram;
    void *owner;
};

/* On the worker's thread, or before it runs.  0, or ERR_IO with the reason in errno. */
int udp_open(struct udp **out, struct worker *w, const struct udp_options *o);
/* No handler is called afterwards. */
void udp_close(struct udp **up);
/* As bound. */
void udp_address(const struct udp *u, struct net_address *out);

/* 0, also when the datagram was lost for want of room; ERR_IO with the reason in errno when there
 * is no way to send there. */
int udp_send(struct udp *u, const struct net_address *to, struct slice datagram);

/* True when errno says that an interface, or the way to it, is missing: it may come back. */
bool udp_is_away(int code);

/* The socket hears the group on the interface ("": the one the system takes).  Harmless when it
 * does already; to be repeated, since an interface that goes takes its members along.  As above. */
int udp_join(struct udp *u, const struct net_address *group, const char *interface);
/* What is sent to groups of this address' family leaves by the interface, passes ttl - 1 routers
 * and is heard on this host, too.  As above. */
int udp_send_by(struct udp *u, const struct net_address *group, const char *interface, int ttl);

/* The local address, port 0, of the route to `to`; with an interface named, that interface's of the
 * same family.  As above. */
int udp_route(const struct net_address *to, const char *interface, struct net_address *out);

#endif
