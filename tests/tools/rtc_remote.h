#ifndef SLUICE_TESTS_TOOLS_RTC_REMOTE_H
#define SLUICE_TESTS_TOOLS_RTC_REMOTE_H

#include "net/udp.h"
#include "rtc/dtls.h"
#include "rtc/rtc_peer.h"
#include "rtc/srtp.h"
#include "tools/stun_client.h"

/*
 * The other end of a peer: a full-blown WebRTC remote in little, for tests and loads.  It sends
 * checks, is either side of the handshake, and seals and opens media.  UDP; everything on one
 * thread.
 */
struct remote {
    struct worker *worker;
    struct udp *udp; /* NULL: the caller has a socket of its own */
    void (*send)(struct remote *r, struct slice datagram); /* where it goes to, then */
    struct net_address to;                                 /* the peer's port */
    const struct rtc_srtp *srtp;
    char ufrag[16];
    struct rtc_local peer; /* what the answer said */
    struct dtls_identity *identity;
    struct dtls *dtls;
    struct rtc_sealer *sealer; /* NULL: not connected */
    struct rtc_opener *opener;
    uint8_t transaction[STUN_TRANSACTION]; /* of the last check */
    struct stun_answer answer;             /* to it; port 0: none yet */
    bool client, checked;                  /* an answer has come */
    int error;                             /* of the handshake, or its end */
    const char *why;
    unsigned datagrams, sent;               /* received and sent */
    bool (*loses)(unsigned number);         /* of what it sends */
    void (*on_connected)(struct remote *r); /* may send media behind its last flight */
    void (*on_rtp)(struct remote *r, const uint8_t *packet, size_t len);
    uint64_t rtp, rtcp, rtp_bytes, bad; /* packets that were opened, and that could not be */
    uint8_t last[2048];                 /* the last packet that was opened */
    size_t last_len;
    void *owner;
};

/*
 * An offer; the answer comes by remote_answered().  Takes the identity.  `active`: as the client of
 * the handshake, which is what browsers are.  The socket is the caller's: `send` has to be set, and
 * what comes goes to remote_receive().
 */
void remote_init(struct remote *r, const struct rtc_srtp *srtp, struct dtls_identity *identity,
                 bool active, struct rtc_remote *offer);
/* The same with a socket on 127.0.0.1, on the worker's loop; 0 or what udp_open() says. */
int remote_open(struct remote *r, struct worker *w, const struct rtc_srtp *srtp,
                struct dtls_identity *identity, bool active, struct rtc_remote *offer);
/* A new socket: what a phone does that changes its network. */
int remote_move(struct remote *r);
void remote_close(struct remote *r);

void remote_answered(struct remote *r, const struct rtc_local *answer,
                     const struct net_address *to);
/* A check; flags: STUN_ */
void remote_check(struct remote *r, unsigned flags);
/* Repeats of the handshake. */
void remote_on_time(struct remote *r);
void remote_receive(struct remote *r, struct slice m);

void remote_send(struct remote *r, struct slice datagram);
void remote_send_rtp(struct remote *r, const uint8_t *packet, size_t len);
void remote_send_rtcp(struct remote *r, const uint8_t *compound, size_t len);

/* "sha-256 AB:CD…" */
struct rtc_fingerprint remote_fingerprint(const char *text);

#endif
