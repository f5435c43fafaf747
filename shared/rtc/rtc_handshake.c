/*
 * A handshake costs some 0.8 ms of the worker, mostly in two of its datagrams.  A thousand viewers
 * that come at once must not be felt by those who play: datagrams of handshakes wait, and each turn
 * of the loop has time for a few.  Who waits too long sends again.
 *
 * A publisher that ends the handshake sends its first picture at once: what comes behind such a
 * datagram waits behind it, or the key frame would be lost that all wait for.
 */
#include "rtc/rtc_internal.h"

#include "base/mem.h"
#include "core/clock.h"

#include <stdlib.h>
#include <string.h>

#define TURN_US       2000 /* of a turn; one datagram always has its turn */
#define WAITING_MAX   1024 /* datagrams of a worker */
#define OF_A_PEER_MAX 8    /* a flight of some fragments */
#define EARLY_MAX     2048 /* media packets of a worker that wait behind them, 3 MiB */
#define EARLY_OF_PEER 256  /* a key frame of 300 kB */

struct waiting {
    struct list node;
    struct ice_path from;
    bool media;
    int64_t arrival_us; /* of media */
    size_t len;
    uint8_t bytes[];
};

/* Out of the list; the caller frees it. */
static struct waiting *take_first(struct rtc_peer *p)
{
    struct waiting *w = LIST_FIRST(&p->waiting, struct waiting, node);
    list_remove(&w->node);
    if (w->media) {
        p->early_count--;
        p->port->early_count--;
    } else {
        p->waiting_count--;
        p->port->handshake_count--;
    }
    return w;
}

void rtc_handshake_drop(struct rtc_peer *p)
{
    while (!list_empty(&p->waiting))
        free(take_first(p));
    list_remove(&p->handshake_node);
}

static struct waiting *append(struct rtc_peer *p, const struct ice_path *from,
                              struct slice datagram)
{
    struct waiting *w = xmalloc(sizeof *w + datagram.len);
    w->from = *from;
    w->media = false;
    w->len = datagram.len;
    memcpy(w->bytes, datagram.p, datagram.len);
    if (list_empty(&p->waiting))
        list_append(&p->port->handshakes, &p->handshake_node);
    list_append(&p->waiting, &w->node);
    task_defer(p->port->worker, &p->port->handshake_task);
    return w;
}

void rtc_handshake_queue(struct rtc_peer *p, const struct ice_path *from, struct slice datagram)
{
    struct rtc_port *port = p->port;
    if (p->waiting_count >= OF_A_PEER_MAX || port->handshake_count >= WAITING_MAX) {
        METRIC_INC(port->worker->metrics.rtc_handshakes_dropped_total);
        return;
    }
    append(p, from, datagram);
    p->waiting_count++;
    port->handshake_count++;
}

bool rtc_handshake_queue_media(struct rtc_peer *p, const struct ice_path *from,
                               struct slice datagram, int64_t arrival_us)
{
    struct rtc_port *port = p->port;
    bool early = p->publishes && p->opener == NULL && p->waiting_count > 0;
    if (!early && p->early_count == 0)
        return false;
    if (p->early_count >= EARLY_OF_PEER || port->early_count >= EARLY_MAX)
        return true; /* lost, as on the way */
    struct waiting *w = append(p, from, datagram);
    w->media = true;
    w->arrival_us = arrival_us;
    p->early_count++;
    port->early_count++;
    return true;
}

/* The first datagram of the peer that has waited for the longest time. */
static void run_one(struct rtc_port *port)
{
    struct rtc_peer *p = LIST_FIRST(&port->handshakes, struct rtc_peer, handshake_node);
    struct waiting *w = take_first(p);
    list_remove(&p->handshake_node);
    if (!list_empty(&p->waiting))
        list_append(&port->handshakes, &p->handshake_node);
    if (w->media)
        rtc_peer_receive(p, &w->from, w->bytes, w->len, w->arrival_us);
    else
        rtc_peer_handshake(p, &w->from, slice_of(w->bytes, w->len));
    free(w);
}

void rtc_handshake_run(void *arg)
{
    struct rtc_port *port = OBJ_CAST(struct rtc_port, arg, RTC_PORT_MAGIC);
    int64_t end_us = clock_us() + TURN_US;
    for (bool first = true; !list_empty(&port->handshakes); first = false) {
        if (!first && clock_us() >= end_us)
            break;
        run_one(port);
    }
    if (!list_empty(&port->handshakes))
        task_defer(port->worker, &port->handshake_task);
}
