#ifndef SLUICE_RTC_ICE_H
#define SLUICE_RTC_ICE_H

#include "net/udp_batch.h"
#include "rtc/ice_check.h"
#include "rtc/rtc_peer.h"

/*
 * The lite side of ICE (RFC 8445 2.5): it answers connectivity checks and remembers from where they
 * came.  No socket and no clock: datagrams come in as bytes, an answer goes out as bytes, the time
 * is an argument.  The messages are libnice's business (its STUN library); an agent is not thread
 * safe, so there is one for each worker.
 *
 *   check -> ice_receive -> session (by the local user name fragment) -> tuple (from where)
 *
 * A check that is not valid in every respect gets no answer at all: who does not have the password
 * learns nothing, gets nothing sent to anybody, and disturbs no session (RFC 8445 7.3).
 */
struct ice_agent;
struct ice_session;
struct rtc_stream; /* a connection of ICE-TCP */

#define ICE_TUPLES_MAX 8        /* of a session, from which valid checks came; the oldest go */
#define ICE_REPLAYS    256      /* transaction numbers of a session that are remembered */
#define ICE_FRESH_US   10000000 /* a tuple that was used within is preferred to TCP ones */
#define ICE_HELD_US    5000000  /* a tuple that was used within is not taken over by others */

/* One way to a remote. */
struct ice_path {
    struct udp_way way;        /* of a stream: the remote's address only */
    struct rtc_stream *stream; /* NULL: UDP */
    bool unsegmented;          /* no GSO there */
};

/* `worker` becomes part of every local user name fragment. */
struct ice_agent *ice_agent_new(int worker);
/* Its sessions are gone. */
void ice_agent_free(struct ice_agent **ap);

/* A session for whom answers to the remote's user name fragment (at most RTC_CREDENTIAL_MAX).  The
 * owner is what ice_receive and ice_find give. */
struct ice_session *ice_session_new(struct ice_agent *a, const char *remote_ufrag, void *owner);
void ice_session_free(struct ice_session **sp);
/* New credentials on both sides; the old ones count until the first valid check with the new. */
void ice_session_restart(struct ice_session *s, const char *remote_ufrag);
/* Our newest credentials. */
const char *ice_session_ufrag(const struct ice_session *s);
const char *ice_session_pwd(const struct ice_session *s);

struct ice_received {
    void *owner;            /* of the session */
    struct ice_reply reply; /* to where the check came from; len 0: none */
    bool moved;             /* media goes another way now than before */
};
/*
 * A STUN message from somewhere.  0: it was a valid check, see out.  Negative: it is to be dropped,
 * without any effect: ERR_PROTOCOL (not a check as RFC 8445 has it), ERR_NOT_FOUND (of no session
 * here), ERR_AUTH (not signed with the session's password, or for another remote), ERR_EXISTS (seen
 * before from another address: a replay), ERR_REFUSED (the address is another session's).
 */
int ice_receive(struct ice_agent *a, const struct ice_path *from, struct slice datagram,
                int64_t now_us, struct ice_received *out);

/* The owner of the session that has shown a valid check from this UDP address, or NULL. */
void *ice_find(const struct ice_agent *a, const struct net_address *remote);

/* Something authentic that is no check came from there: the session lives. */
void ice_session_touch(struct ice_session *s, const struct ice_path *from, int64_t now_us);
/* When something authentic came last; 0: never. */
int64_t ice_session_seen_us(const struct ice_session *s);
/* The handshake came this way: the way out as long as nothing is nominated. */
void ice_session_prefer(struct ice_session *s, const struct ice_path *from);
/* Where to send: the last one nominated, UDP before TCP; else the preferred one, else the latest;
 * NULL before the first valid check.  Valid until the session is next touched. */
const struct ice_path *ice_session_path(const struct ice_session *s);
/* The stream is one of the ways to the remote: it is not when ICE_TUPLES_MAX others were used
 * later.
 */
bool ice_session_has(const struct ice_session *s, const struct rtc_stream *stream);
/* Nothing can be sent over this stream any more. */
void ice_session_forget(struct ice_session *s, const struct rtc_stream *stream);
/* No GSO to this address from now on. */
void ice_session_unsegment(struct ice_session *s, const struct net_address *remote);

#endif
