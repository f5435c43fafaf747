#ifndef SLUICE_RTC_RTC_RESOURCE_H
#define SLUICE_RTC_RTC_RESOURCE_H

#include "net/http_server.h"
#include "net/relay_call.h"
#include "proto/sdp_answer.h"
#include "rtc/rtc_peer.h"

/*
 * WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) as HTTP sees them: endpoints, to which offers are
 * posted, and a resource per session, by which it is restarted and ended.  What a session is, its
 * maker knows: origin/whip.c for publishers, edge/play_whep.c for viewers.
 *
 *   POST offer ──▶ rtc_resource ──open──▶ maker ──rtc_resource_answer──▶ 201, Location, answer
 *   PATCH, DELETE ──any worker, any node──▶ the resource's worker ──restart, close──▶ maker
 *
 * A resource lives on the worker that took the POST.  Its URL names the node and the worker and
 * cannot be guessed; what a balancer sends to another node is carried to the right one, signed.
 */
struct rtc_resources; /* of a node */
struct rtc_resource;  /* of a session, from the POST to its end; on one worker */

enum rtc_kind { RTC_WHIP, RTC_WHEP };

/* What was posted: valid until the resource is answered or refused, or the session is closed. */
struct rtc_request {
    enum rtc_kind kind;
    const char *name; /* APP/STREAM, checked */
    const struct sdp_offer *offer;
    const char *identity;             /* WHIP: as publisher_options wants it; authenticated */
    const struct net_address *client; /* who sent it */
    enum sdp_codec video;             /* asked for by ?video=; SDP_CODEC_OTHER: not */
};

/* A maker of sessions.  Called on the resource's worker. */
struct rtc_maker {
    /*
     * Begins a session for the request, and sets it with rtc_resource_set_session().  It is
     * answered or refused now or later, once.
     */
    void (*open)(struct rtc_resource *r, void *arg);
    /* The remote has new ICE credentials; `local` gets ours.  NULL: restarts are refused (422). */
    void (*restart)(void *session, const struct rtc_remote *remote, struct rtc_local *local);
    /* DELETE (UNPUBLISHED for publishers, PEER_CLOSED for viewers), or the client did not wait for
     * the answer (PEER_CLOSED): the resource is gone, and the session goes. */
    void (*close)(void *session, enum close_reason why);
    void *arg; /* given to open */
};

const struct rtc_request *rtc_resource_request(const struct rtc_resource *r);
struct worker *rtc_resource_worker(const struct rtc_resource *r);
void rtc_resource_set_session(struct rtc_resource *r, void *session);

/* sdp_negotiate() with the offer; negative when it has nothing for us: the resource is refused and
 * gone. */
int rtc_resource_negotiate(struct rtc_resource **rp, const struct sdp_wish *wish,
                           struct sdp_session *out);
/* What the offer says of transport, for rtc_peer_open(). */
void rtc_resource_remote(const struct rtc_resource *r, struct rtc_remote *out);
/* 201 with the answer; cname (of WHEP, else NULL) as the RTCP has it. */
void rtc_resource_answer(struct rtc_resource *r, const struct sdp_session *s,
                         const struct rtc_local *local, const char *cname);
/*
 * Refuses and frees.  By the reason: BAD_INPUT 400, AUTH 401, REFUSED 403, NOT_FOUND (nobody
 * publishes) and NAME_TAKEN 409, UNSUPPORTED 422, OVERLOAD, DRAIN, NO_ORIGIN, TIMEOUT and
 * SOURCE_LOST 503 (with Retry-After, as is NOT_FOUND), others 500.
 */
void rtc_resource_refuse(struct rtc_resource **rp, enum close_reason why, const char *text);
/* The session has ended by itself after it was answered: its URL is 404 from now on.  Frees. */
void rtc_resource_end(struct rtc_resource **rp);

struct rtc_resources_options {
    struct workers *workers;
    const struct relay_identity *identity;
    struct relay_guard *guard;
    const struct relay_client *client; /* for requests to other nodes */
    /* The makers; open NULL: this node has no such endpoint, and says refused_text (403). */
    struct rtc_maker makers[2]; /* by enum rtc_kind */
    const char *refused_text[2];
    /* The address of a node of the cluster; done(NULL) when it is not known.  done comes on w, now
     * or later, once. */
    void (*find_node)(void *arg, struct worker *w, const char *node,
                      void (*done)(const char *address, void *owner), void *owner);
    void *arg; /* of find_node */
};

/* `o` is copied; what it points to outlives it.  Before the workers start. */
struct rtc_resources *rtc_resources_new(const struct rtc_resources_options *o);
/* After the workers have stopped and every session has ended. */
void rtc_resources_free(struct rtc_resources **rp);

/* /APP/STREAM/whip, /APP/STREAM/whep, their sessions, and the forms of SRS, /rtc/v1/whip/?app=A&
 * stream=S; the arg is the struct rtc_resources. */
#define RTC_ROUTES 8
void rtc_resources_routes(struct rtc_resources *rs, struct http_route out[RTC_ROUTES]);
/* What other nodes carry to us. */
#define RTC_CLUSTER_ROUTES 1
void rtc_resources_cluster_routes(struct rtc_resources *rs,
                                  struct http_route out[RTC_CLUSTER_ROUTES]);

#endif
