#ifndef SLUICE_NET_RELAY_SIGN_H
#define SLUICE_NET_RELAY_SIGN_H

#include "base/slice.h"
#include "net/http_server.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Signed requests between nodes (design: relay).  One header carries sender id and instance,
 * receiver id, unix milliseconds, a 16-byte nonce, the body's SHA-256 and an HMAC-SHA256 with the
 * cluster secret over all of it with method and target.  Nonces are remembered NONCE_KEEP_MS by the
 * receiving node (all workers share one guard under a lock); a time more than CLOCK_SKEW_MAX_MS off
 * is answered 401 with the receiver's signed time, from which the sender learns the peer's clock
 * offset and retries once.
 */
#define RELAY_AUTH_HEADER "X-Sluice-Auth"
#define RELAY_TIME_HEADER "X-Sluice-Time"
/* Node ids passed so far, comma separated; signed as well. */
#define RELAY_PATH_HEADER "X-Sluice-Path"

#define CLOCK_SKEW_MAX_MS   30000
#define NONCE_KEEP_MS       60000
#define NONCES_MAX          65536
#define RELAY_HOPS_MAX      4
#define RELAY_AUTH_TEXT_MAX 512
#define RELAY_NONCE_SIZE    16

struct relay_identity {
    const char *node;   /* our id */
    uint64_t instance;  /* 64 random bits of this process start */
    const char *secret; /* NULL or "": only backend none, where nothing is signed or accepted */
};

/* What of a request is signed. */
struct relay_signed {
    const char *peer; /* the receiver's id, "" when it is not known */
    const char *method, *target;
    const char *path; /* RELAY_PATH_HEADER, NULL when none is sent */
    struct slice body;
    int64_t peer_offset_ms; /* the peer's clock minus ours */
};

/* Text of the auth header for a request ("" without a secret). */
void relay_sign(const struct relay_identity *self, const struct relay_signed *r,
                char out[RELAY_AUTH_TEXT_MAX]);

struct relay_guard; /* nonces seen; thread safe */
struct relay_guard *relay_guard_new(void);
void relay_guard_free(struct relay_guard **gp);
/* True once per nonce in NONCE_KEEP_MS; false as well while NONCES_MAX unexpired ones are kept.
 * now_ms is monotonic. */
bool relay_guard_admit(struct relay_guard *g, const uint8_t nonce[RELAY_NONCE_SIZE],
                       int64_t now_ms);

enum relay_verdict {
    RELAY_OK,
    RELAY_BAD_SIGNATURE,
    RELAY_REPLAY,
    RELAY_SKEWED,
    RELAY_NOT_FOR_US,
    RELAY_MISSING
};
struct relay_sender {
    char node[65];
    uint64_t instance;
};
/* The sender is filled in whenever the signature is right. */
enum relay_verdict relay_verify(struct relay_guard *g, const struct relay_identity *self,
                                const struct http_request *req, int64_t wall_ms,
                                struct relay_sender *sender);
/* The same for a handler: true, or false when the request has been answered with the refusal. */
bool relay_admit(struct relay_guard *g, const struct relay_identity *self, struct http_exchange *x,
                 const struct http_request *req, int64_t wall_ms, struct relay_sender *sender);
/* The header that goes with a 401 for RELAY_SKEWED: our time, signed over the request's nonce. */
void relay_time_text(const struct relay_identity *self, const struct http_request *req,
                     int64_t wall_ms, char out[RELAY_AUTH_TEXT_MAX]);
/* The peer's clock minus ours, learned from that header and the auth text we had sent.  0 or
 * ERR_AUTH. */
int relay_learn_offset(const struct relay_identity *self, struct slice time_text,
                       const char *sent_auth, int64_t wall_ms, int64_t *offset_ms);

/* Offsets by node id, shared by the node's workers (locked). */
struct relay_offsets;
struct relay_offsets *relay_offsets_new(void);
void relay_offsets_free(struct relay_offsets **op);
int64_t relay_offset_get(struct relay_offsets *o, const char *peer);
void relay_offset_set(struct relay_offsets *o, const char *peer, int64_t offset_ms);
/* The largest difference in either direction: the gauge clock_offset_ms_max. */
int64_t relay_offsets_max(struct relay_offsets *o);

#endif
