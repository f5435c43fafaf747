#ifndef SLUICE_NET_LISTENER_INTERNAL_H
#define SLUICE_NET_LISTENER_INTERNAL_H

#include "base/list.h"
#include "core/logline.h"
#include "core/timer.h"
#include "net/admission.h"
#include "net/listener.h"

#include <event2/event.h>
#include <event2/event_struct.h>

/* listener.c has the sockets, listener_guest.c the connections that are not admitted yet. */
#define LISTENER_MAGIC 0x6c697374U

struct listener {
    uint32_t magic;
    struct listener_set *set;
    struct worker *worker;
    int fd;
    struct event accept_event;
    struct timer pause_timer;
    struct list waiting; /* guests that have not been admitted yet */
    struct log_limit refused_limit, failed_limit;
    struct message close_message;
    bool close_posted; /* atomic */
};

struct listener_set {
    char *name;
    bool proxy_protocol, essential;
    struct tls_context *tls;
    accept_handler *on_accept;
    void *arg;
    struct log_id log;
    struct net_address bound;
    int fd_max; /* a descriptor of this number or above: too many are in use */
    struct admission *admission;
    struct listener *listeners;
    int count;
};

/* Turns a connection away because of a limit. */
void listener_limited(struct listener *l, const struct net_address *peer, enum limit which);
/* Counts a connection that is turned away, and says why now and then. */
void listener_refused(struct listener *l, const struct net_address *peer, const char *why);

/* Takes a connection on its way to the protocol: at once, or when its PROXY header has come and its
 * handshake is over. */
void guest_take(struct listener *l, struct io *io, const struct admission_count *count);
/* Who has not been admitted yet goes. */
void guests_leave(struct listener *l);

#endif
