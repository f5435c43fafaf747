#ifndef SLUICE_RTC_DTLS_H
#define SLUICE_RTC_DTLS_H

#include "base/slice.h"
#include "rtc/rtc_peer.h"
#include "rtc/srtp_keys.h"

/*
 * DTLS 1.2 for SRTP's keys (RFC 5763, 5764), without sockets: datagrams come in as bytes and go out
 * through a callback, one call a datagram.  The other side is who its certificate's fingerprint in
 * the offer says, and nobody else; application data is dropped.  One thread for an identity and all
 * that is made with it.
 */
struct dtls_identity; /* a key (P-256), its self-signed certificate, and the settings of OpenSSL */
struct dtls;

#define DTLS_MTU             1200    /* bytes of a datagram of the handshake */
#define DTLS_FIRST_REPEAT_US 150000  /* until a flight without answer is sent again; doubled, … */
#define DTLS_REPEAT_MAX_US   1000000 /* … up to this */
#define DTLS_GOODBYE_MAX     128     /* bytes of a datagram with a close_notify */

/* NULL when OpenSSL has no memory. */
struct dtls_identity *dtls_identity_new(void);
struct dtls_identity *dtls_identity_ref(struct dtls_identity *i);
void dtls_identity_unref(struct dtls_identity **ip);
/* "sha-256 AB:CD…", as long as the identity. */
const char *dtls_identity_fingerprint(const struct dtls_identity *i);

struct dtls_options {
    struct dtls_identity *identity; /* a reference is kept */
    bool client;
    const struct rtc_fingerprint
        *fingerprints; /* of the remote; copied, RTC_FINGERPRINTS at most */
    size_t fingerprint_count;
    void (*send)(struct slice datagram, void *owner); /* may be called in any call below */
    void *owner;
};

/* Costs little until the first datagram, then 74 KiB until it is released. */
struct dtls *dtls_new(const struct dtls_options *o);
void dtls_free(struct dtls **dp);

/*
 * What came for it, or (client) the beginning.  0; ERR_CLOSED when the other side says goodbye;
 * ERR_AUTH when it shows another certificate than announced, or does not want SRTP; ERR_TLS when
 * the handshake has failed otherwise, with the reason in *why, a literal.  After an error it is
 * only good for dtls_free().
 */
int dtls_start(struct dtls *d, const char **why);
int dtls_receive(struct dtls *d, struct slice datagram, const char **why);
/* Sends the last flight again when it is time for it.  As above. */
int dtls_on_time(struct dtls *d, const char **why);
/* In how many microseconds that is; INT64_MAX: nothing waits for an answer. */
int64_t dtls_next_us(const struct dtls *d);

bool dtls_is_client(const struct dtls *d);
/* Of the identity that it was made with. */
const char *dtls_fingerprint(const struct dtls *d);
bool dtls_is_connected(const struct dtls *d);
/* Once it is. */
void dtls_keys(const struct dtls *d, struct srtp_keys *out);

/* Says goodbye, if connected. */
void dtls_close(struct dtls *d);
/*
 * Gives its memory back.  The datagram that says goodbye is kept in `goodbye` for later, its length
 * is returned; the rest is silence: what comes for it is dropped.
 */
size_t dtls_release(struct dtls *d, uint8_t goodbye[DTLS_GOODBYE_MAX]);

#endif
