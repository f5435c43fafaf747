/*
 * The life of a peer: open, checked (a valid check has come), connected, closed.  One timer looks
 * after all of its deadlines.
 */
#include "rtc/rtc_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "core/clock.h"
#include "core/crypto.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK_US     15000000 /* from the offer to the first valid check */
#define HANDSHAKE_US 8000000  /* from there until connected */
#define CONSENT_US   20000000 /* RFC 7675 asks for checks at least every 6 s or so */
#define SUSPICION_US 5000000  /* from a sign of leaving to the next check, or the end */
#define RELEASE_US   10000000 /* from the first packet: no flight of the handshake is missing */
#define RECORD_ALERT 21       /* TLS record type */

/* --- the end --- */

static void release_count(struct rtc_peer *p)
{
    struct rtc_port *port = p->port;
    if (!p->half_open)
        return;
    p->half_open = false;
    port->half_open--;
    METRIC_ADD(port->worker->metrics.rtc_half_open, -1);
    admission_leave(port->ports->half_open, &p->count);
}

static void say_goodbye(struct rtc_peer *p)
{
    const struct ice_path *to = ice_session_path(p->ice);
    if (p->released && to != NULL && p->goodbye_len > 0)
        rtc_port_send(p->port, to, slice_of(p->goodbye, p->goodbye_len));
    else
        dtls_close(p->dtls);
}

/* Nothing comes in for it from here on; its memory stays until the end of the turn. */
static void leave(struct rtc_peer *p, enum close_reason why, const char *text)
{
    struct rtc_port *port = p->port;
    must(!p->closed);
    p->closed = true;
    log_info(&p->log, "rtc.close reason=%s seconds=%.1f error=\"%s\"", close_reason_name(why),
             (double)(clock_us() - p->opened_us) / 1e6, text);
    release_count(p);
    rtc_handshake_drop(p);
    rtc_streams_leave(p);
    ice_session_free(&p->ice);
    timer_stop(&p->timer);
    port->peer_count--;
    METRIC_ADD(port->worker->metrics.rtc_peers, -1);
    METRIC_INC(port->worker->metrics.closed[why]);
    list_remove(&p->node);
    list_append(&port->dead_peers, &p->node);
    rtc_port_bury(port);
}

/* The peer ends by itself. */
static void end(struct rtc_peer *p, enum close_reason why, const char *text)
{
    const struct rtc_peer_handler *handler = p->handler;
    void *owner = p->owner;
    say_goodbye(p);
    leave(p, why, text);
    handler->closed(owner, why);
}

void rtc_peer_close(struct rtc_peer **pp, enum close_reason why)
{
    struct rtc_peer *p = *pp;
    *pp = NULL;
    if (p == NULL)
        return;
    OBJ_CHECK(p, RTC_PEER_MAGIC);
    say_goodbye(p);
    leave(p, why, "");
}

void rtc_peer_free(struct list *node)
{
    struct rtc_peer *p = container_of(node, struct rtc_peer, node);
    OBJ_CHECK(p, RTC_PEER_MAGIC);
    must(p->closed && p->ice == NULL && list_empty(&p->waiting));
    list_remove(&p->node);
    timer_fini(&p->timer);
    rtc_sealer_free(&p->sealer);
    rtc_opener_free(&p->opener);
    dtls_free(&p->dtls);
    OBJ_POISON(p);
    free(p);
}

/* --- deadlines --- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* When the next thing may have to happen. */
static int64_t next_due_us(const struct rtc_peer *p, int64_t now_us)
{
    if (p->checked_us == 0)
        return p->opened_us + CHECK_US;
    int64_t due_us = p->connected_us != 0 ? ice_session_seen_us(p->ice) + CONSENT_US
                                          : p->checked_us + HANDSHAKE_US;
    int64_t repeat_us = dtls_next_us(p->dtls);
    if (repeat_us != INT64_MAX)
        due_us = earlier(due_us, now_us + repeat_us);
    if (p->suspected_us != 0)
        due_us = earlier(due_us, p->suspected_us + SUSPICION_US);
    if (p->media_us != 0 && !p->released)
        due_us = earlier(due_us, p->media_us + RELEASE_US);
    return due_us;
}

static void set_timer(struct rtc_peer *p)
{
    int64_t now_us = clock_us(), due_us = next_due_us(p, now_us);
    timer_set_us(&p->timer, due_us > now_us ? due_us - now_us : 0);
}

/* True when a deadline has passed, which is the end. */
static bool is_late(struct rtc_peer *p, int64_t now_us)
{
    struct metrics *m = &p->port->worker->metrics;
    if (p->checked_us == 0 && now_us >= p->opened_us + CHECK_US) {
        METRIC_INC(m->rtc_ice_timeouts_total);
        end(p, CLOSE_TIMEOUT, "no valid check");
    } else if (p->checked_us != 0 && p->connected_us == 0 &&
               now_us >= p->checked_us + HANDSHAKE_US) {
        METRIC_INC(m->rtc_dtls_timeouts_total);
        end(p, CLOSE_TIMEOUT, "no handshake");
    } else if (p->connected_us != 0 && now_us >= ice_session_seen_us(p->ice) + CONSENT_US) {
        METRIC_INC(m->rtc_consent_lost_total);
        end(p, CLOSE_TIMEOUT, "no consent");
    } else if (p->suspected_us != 0 && now_us >= p->suspected_us + SUSPICION_US) {
        end(p, CLOSE_PEER_CLOSED, "");
    }
    return p->closed;
}

static void release(struct rtc_peer *p)
{
    p->released = true;
    p->goodbye_len = dtls_release(p->dtls, p->goodbye);
}

static void handle(struct rtc_peer *p, int err, const char *why);

static void on_time(void *arg)
{
    struct rtc_peer *p = OBJ_CAST(struct rtc_peer, arg, RTC_PEER_MAGIC);
    int64_t now_us = clock_us();
    const char *why = "";
    if (is_late(p, now_us))
        return;
    if (p->media_us != 0 && !p->released && now_us >= p->media_us + RELEASE_US)
        release(p);
    handle(p, dtls_on_time(p->dtls, &why), why);
}

/* --- the beginning --- */

static void send_handshake(struct slice datagram, void *owner)
{
    struct rtc_peer *p = OBJ_CAST(struct rtc_peer, owner, RTC_PEER_MAGIC);
    const struct ice_path *to = ice_session_path(p->ice);
    if (to != NULL)
        rtc_port_send(p->port, to, datagram);
}

static void peer_init(struct rtc_peer *p, struct rtc_port *port, const struct rtc_peer_options *o)
{
    p->magic = RTC_PEER_MAGIC;
    p->port = port;
    p->log = (struct log_id){"rtc", port->worker->index, log_new_id()};
    p->handler = o->handler;
    p->owner = o->owner;
    p->publishes = o->publishes;
    p->half_open = true;
    p->opened_us = clock_us();
    p->ice = ice_session_new(port->ice, o->remote->ufrag, p);
    p->dtls = dtls_new(&(struct dtls_options){.identity = port->identity,
                                              .client = o->remote->passive,
                                              .fingerprints = o->remote->fingerprints,
                                              .fingerprint_count = o->remote->fingerprint_count,
                                              .send = send_handshake,
                                              .owner = p});
    list_init(&p->waiting);
    list_init(&p->handshake_node);
    timer_init(&p->timer, port->worker, "rtc.peer", on_time, p);
}

int rtc_peer_open(struct rtc_peer **out, struct rtc_port *port, const struct rtc_peer_options *o)
{
    struct metrics *m = &port->worker->metrics;
    struct admission_count count = {0};
    bool full = port->half_open >= RTC_HALF_OPEN_MAX;
    if (full ||
        (o->client != NULL && !admission_enter(port->ports->half_open, o->client, &count))) {
        METRIC_INC(m->rtc_refused_total);
        METRIC_INC(m->limited[LIMIT_HALF_OPEN]);
        if (log_limit_pass(&port->refused_limit, clock_us(), &port->log))
            log_warn(&port->log, "rtc.refused reason=%s", full ? "half_open" : "address_limit");
        return ERR_TOO_MANY;
    }
    struct rtc_peer *p = xcalloc(1, sizeof *p);
    peer_init(p, port, o);
    p->count = count;
    list_append(&port->peers, &p->node);
    port->peer_count++;
    port->half_open++;
    METRIC_INC(m->rtc_peers_total);
    METRIC_ADD(m->rtc_peers, 1);
    METRIC_ADD(m->rtc_half_open, 1);
    set_timer(p);
    *out = p;
    return 0;
}

void rtc_peer_checked(struct rtc_peer *p, const struct ice_path *from, bool moved)
{
    const char *why = "";
    p->suspected_us = 0;
    if (from->stream != NULL)
        rtc_stream_bind(from->stream, p);
    if (moved) {
        char text[NET_ADDRESS_TEXT_MAX];
        net_address_text(&from->way.remote, text);
        METRIC_INC(p->port->worker->metrics.rtc_moves_total);
        log_info(&p->log, "rtc.moved peer=%s tcp=%d", text, from->stream != NULL);
    }
    if (p->checked_us != 0)
        return;
    p->checked_us = clock_us();
    if (dtls_is_client(p->dtls))
        handle(p, dtls_start(p->dtls, &why), why);
    else
        set_timer(p);
}

static void connect_peer(struct rtc_peer *p)
{
    struct srtp_keys keys;
    struct metrics *m = &p->port->worker->metrics;
    dtls_keys(p->dtls, &keys);
    const struct rtc_srtp *lib = p->port->ports->srtp;
    p->sealer = rtc_sealer_new(lib, &keys);
    p->opener = rtc_opener_new(lib, &keys, p->publishes ? RTC_SRTP_LIBSRTP : RTC_SRTP_EVP);
    bool gcm = keys.profile == SRTP_AEAD_AES_128_GCM;
    crypto_cleanse(&keys, sizeof keys);
    if (p->sealer == NULL || p->opener == NULL) {
        end(p, CLOSE_INTERNAL, "no memory for keys");
        return;
    }
    char text[NET_ADDRESS_TEXT_MAX] = "none";
    /* NULL: its connection ended while the last flight waited for its turn. */
    const struct ice_path *path = ice_session_path(p->ice);
    p->connected_us = clock_us();
    release_count(p);
    METRIC_INC(m->rtc_joins_total);
    METRIC_ADD(m->rtc_join_ms_total, (uint64_t)(p->connected_us - p->opened_us) / 1000);
    if (path != NULL)
        net_address_text(&path->way.remote, text);
    log_info(&p->log, "rtc.connected peer=%s tcp=%d profile=%s ms=%" PRId64, text,
             path != NULL && path->stream != NULL, gcm ? "gcm" : "cm_sha1_80",
             (p->connected_us - p->opened_us) / 1000);
    set_timer(p);
    p->handler->connected(p->owner);
}

/* What has become of the handshake. */
static void handle(struct rtc_peer *p, int err, const char *why)
{
    struct metrics *m = &p->port->worker->metrics;
    if (err == ERR_CLOSED) {
        end(p, CLOSE_PEER_CLOSED, why);
    } else if (err == ERR_AUTH) {
        METRIC_INC(m->rtc_fingerprint_failed_total);
        end(p, CLOSE_AUTH, why);
    } else if (err < 0) {
        METRIC_INC(m->rtc_dtls_failed_total);
        end(p, p->connected_us != 0 ? CLOSE_PEER_CLOSED : CLOSE_TLS, why);
    } else if (p->connected_us == 0 && dtls_is_connected(p->dtls)) {
        connect_peer(p);
    } else {
        set_timer(p);
    }
}

void rtc_peer_handshake(struct rtc_peer *p, const struct ice_path *from, struct slice datagram)
{
    const char *why = "";
    /* What an alert says cannot be read any more. */
    if (p->released && datagram.p[0] == RECORD_ALERT) {
        rtc_peer_suspect(p);
        return;
    }
    if (p->connected_us == 0)
        ice_session_prefer(p->ice, from);
    handle(p, dtls_receive(p->dtls, datagram, &why), why);
}

void rtc_peer_suspect(struct rtc_peer *p)
{
    if (p->suspected_us != 0)
        return;
    p->suspected_us = clock_us();
    set_timer(p);
}

/* --- what others may know --- */

void rtc_peer_local(const struct rtc_peer *p, struct rtc_local *out)
{
    snprintf(out->ufrag, sizeof out->ufrag, "%s", ice_session_ufrag(p->ice));
    snprintf(out->pwd, sizeof out->pwd, "%s", ice_session_pwd(p->ice));
    snprintf(out->fingerprint, sizeof out->fingerprint, "%s", dtls_fingerprint(p->dtls));
    rtc_candidates_write(p->port, out);
}

void rtc_peer_restart(struct rtc_peer *p, const struct rtc_remote *remote, struct rtc_local *out)
{
    ice_session_restart(p->ice, remote->ufrag);
    rtc_peer_local(p, out);
}

bool rtc_peer_is_connected(const struct rtc_peer *p)
{
    return p->connected_us != 0;
}

const struct net_address *rtc_peer_remote(const struct rtc_peer *p)
{
    const struct ice_path *path = ice_session_path(p->ice);
    return path != NULL ? &path->way.remote : NULL;
}

int64_t rtc_peer_join_us(const struct rtc_peer *p)
{
    return p->connected_us != 0 ? p->connected_us - p->opened_us : 0;
}

const struct log_id *rtc_peer_log(const struct rtc_peer *p)
{
    return &p->log;
}
