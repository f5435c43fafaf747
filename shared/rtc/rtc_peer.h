#ifndef SLUICE_RTC_RTC_PEER_H
#define SLUICE_RTC_RTC_PEER_H

#include "base/slice.h"
#include "core/close_reason.h"
#include "net/io.h"
#include "rtc/rtc_port.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One WebRTC session as a transport: ICE-lite (RFC 8445), DTLS 1.2 with use_srtp (RFC 5764), SRTP.
 * It knows nothing of codecs, streams or SDP: whoever answers an offer gives it what the offer says
 * of transport and gets what the answer has to say; from then on RTP and RTCP go both ways, opened
 * and sealed here.
 *
 *   rtc_peer_open -> (checks arrive) -> (handshake) -> connected -> rtp, rtcp ... -> closed
 *
 * Everything of a peer happens on the worker of its port.
 */
struct rtc_peer;

#define RTC_CREDENTIAL_MAX                                                                         \
    256                        /* characters of an ICE user name fragment or password (RFC 8839)   \
                                */
#define RTC_FINGERPRINT_MAX 64 /* bytes: SHA-512 */
#define RTC_FINGERPRINTS    8  /* of one remote; more in an offer are left out */
#define RTC_CANDIDATES_MAX  16 /* that we offer */
#define RTC_HEADER_MAX      32 /* bytes of an RTP header that we send, extensions included */
#define RTC_PAYLOAD_MAX                                                                            \
    1400 /* bytes of payload in an RTP packet that we send, and of an RTCP compound */

/* A certificate's hash as in a=fingerprint (RFC 8122). */
struct rtc_fingerprint {
    enum rtc_hash { RTC_SHA256, RTC_SHA384, RTC_SHA512 } hash;
    uint8_t bytes[RTC_FINGERPRINT_MAX]; /* 32, 48 or 64 of them */
};

/* What the offer says. */
struct rtc_remote {
    char ufrag[RTC_CREDENTIAL_MAX + 1], pwd[RTC_CREDENTIAL_MAX + 1];
    struct rtc_fingerprint fingerprints[RTC_FINGERPRINTS]; /* the certificate has to match one */
    size_t fingerprint_count;                              /* at least 1 */
    bool passive; /* setup:passive: we are the DTLS client and answer setup:active */
};

#define RTC_UFRAG_SIZE           16  /* terminator included */
#define RTC_PWD_SIZE             33  /* terminator included */
#define RTC_CANDIDATE_TEXT_MAX   128 /* terminator included */
#define RTC_FINGERPRINT_TEXT_MAX 104 /* "sha-256 " and 32 times "XX:", terminator included */

/* What the answer has to say, besides a=ice-lite, a=end-of-candidates and a=setup:passive (or
 * active, see above). */
struct rtc_local {
    char ufrag[RTC_UFRAG_SIZE], pwd[RTC_PWD_SIZE];
    char fingerprint[RTC_FINGERPRINT_TEXT_MAX]; /* the value of a=fingerprint: */
    /* The values of the a=candidate: lines, the best first. */
    char candidates[RTC_CANDIDATES_MAX][RTC_CANDIDATE_TEXT_MAX];
    size_t candidate_count;
};

/* On the peer's worker.  In each of them the owner may close the peer. */
struct rtc_peer_handler {
    /* Keys are there: media may be sent from now on. */
    void (*connected)(void *owner);
    /* A packet that was authenticated and opened, the header first; len has neither tag nor index.
     * It may be changed, is valid until return, and came at arrival_us, the kernel's time of
     * arrival on the line of clock_us(). */
    void (*rtp)(void *owner, uint8_t *packet, size_t len, int64_t arrival_us);
    void (*rtcp)(void *owner, const uint8_t *compound, size_t len, int64_t arrival_us);
    /* The last call: the peer is gone, and rtc_peer_close() must not be called any more. */
    void (*closed)(void *owner, enum close_reason why);
};

struct rtc_peer_options {
    const struct rtc_remote *remote;
    const struct net_address
        *client; /* who sent the offer, for the limit per address; may be NULL */
    /* The remote sends media: it is opened by libsrtp2.  Otherwise only RTCP is expected. */
    bool publishes;
    const struct rtc_peer_handler *handler; /* outlives the peer */
    void *owner;
};

/* 0, ERR_TOO_MANY (too many peers that are not connected yet, of this client or of this worker:
 * 503 and Retry-After) or ERR_CLOSED (the port is closing). */
int rtc_peer_open(struct rtc_peer **out, struct rtc_port *port, const struct rtc_peer_options *o);
/* Says goodbye to the remote (DTLS close_notify; an RTCP BYE is the owner's to send before) and
 * frees; nothing is called any more. */
void rtc_peer_close(struct rtc_peer **pp, enum close_reason why);

void rtc_peer_local(const struct rtc_peer *p, struct rtc_local *out);
/*
 * ICE restart (RFC 8445 2.4): the remote has new credentials, and out gets ours (a=fingerprint and
 * a=setup stay).  The old ones work until the first valid check with the new; DTLS and SRTP go on.
 * Another restart before that replaces this one.
 */
void rtc_peer_restart(struct rtc_peer *p, const struct rtc_remote *remote, struct rtc_local *out);

bool rtc_peer_is_connected(const struct rtc_peer *p);
/* Where media goes to; NULL before the first valid check. */
const struct net_address *rtc_peer_remote(const struct rtc_peer *p);
/* From rtc_peer_open() to connected, microseconds; 0 before that. */
int64_t rtc_peer_join_us(const struct rtc_peer *p);
/* "w1/rtc#2f3a": for the log lines of owners. */
const struct log_id *rtc_peer_log(const struct rtc_peer *p);

/* One RTP packet to send: nothing of it is kept. */
struct rtc_out {
    struct slice header;        /* whole, with CSRCs and extensions; at most RTC_HEADER_MAX */
    const struct slice *pieces; /* the payload, piece after piece; at most RTC_PAYLOAD_MAX in all */
    size_t piece_count;
};

/*
 * Seals and sends the packets in this order; the number of them that were taken.  The rest has to
 * be given up (a lost packet may be asked for again): the way out is full, which for video means to
 * wait for the next key frame.  0 before connected.  Packets of one size that follow each other
 * leave as one GSO message, and the last of them may be shorter: give a viewer everything that is
 * due in one call, video first.
 *
 * The rollover counter of each SSRC begins at 0 with its first packet and follows the sequence
 * numbers, so that first one should be below 32768.  A packet may be sent again only as the very
 * same bytes under the same SSRC and sequence number.
 */
size_t rtc_peer_send_rtp(struct rtc_peer *p, const struct rtc_out *packets, size_t count);
/* Bytes that wait to leave by ICE-TCP; 0 by UDP. */
size_t rtc_peer_queued(const struct rtc_peer *p);
/* A compound packet of at most RTC_PAYLOAD_MAX; false when it was not taken, as above. */
bool rtc_peer_send_rtcp(struct rtc_peer *p, const uint8_t *compound, size_t len);

#endif
