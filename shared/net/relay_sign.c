#include "net/relay_sign.h"

#include "base/err.h"
#include "base/hex.h"
#include "base/must.h"
#include "base/name.h"
#include "core/clock.h"
#include "core/crypto.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAC_HEX      (2 * SHA256_SIZE)
#define NONCE_HEX    (2 * RELAY_NONCE_SIZE)
#define INSTANCE_HEX 16
#define DECIMAL_MAX  20 /* digits of a 64-bit number */
#define PARTS_MAX    16

/* One of our header texts taken apart; slices of it. */
struct auth {
    struct slice node, instance, to, time, nonce, body, mac;
};

static const struct {
    const char *label;
    size_t offset;
} auth_fields[] = {
    {"node=", offsetof(struct auth, node)},   {"instance=", offsetof(struct auth, instance)},
    {"to=", offsetof(struct auth, to)},       {"time=", offsetof(struct auth, time)},
    {"nonce=", offsetof(struct auth, nonce)}, {"body=", offsetof(struct auth, body)},
    {"mac=", offsetof(struct auth, mac)},
};

static const struct {
    const char *label;
    size_t offset;
} time_fields[] = {
    {"node=", offsetof(struct auth, node)},
    {"time=", offsetof(struct auth, time)},
    {"mac=", offsetof(struct auth, mac)},
};

/* Takes "LABEL value" off the front of *text. */
static bool take_field(struct slice *text, const char *label, struct slice *value)
{
    struct slice word = slice_cut(*text, ' ', text, NULL);
    size_t len = strlen(label);
    if (!slice_starts(word, label))
        return false;
    *value = slice_of(word.p + len, word.len - len);
    return true;
}

static struct slice *field_at(struct auth *a, size_t offset)
{
    return (struct slice *)(void *)((char *)a + offset);
}

static bool parse_auth(struct slice text, struct auth *a)
{
    *a = (struct auth){0};
    if (text.len >= RELAY_AUTH_TEXT_MAX || !slice_is(slice_cut(text, ' ', &text, NULL), "v1"))
        return false;
    for (size_t i = 0; i < sizeof auth_fields / sizeof auth_fields[0]; i++) {
        if (!take_field(&text, auth_fields[i].label, field_at(a, auth_fields[i].offset)))
            return false;
    }
    return text.len == 0 && name_node_ok(a->node) && (a->to.len == 0 || name_node_ok(a->to)) &&
           a->instance.len == INSTANCE_HEX && a->nonce.len == NONCE_HEX && a->body.len == MAC_HEX &&
           a->mac.len == MAC_HEX;
}

static bool parse_time(struct slice text, struct auth *a)
{
    *a = (struct auth){0};
    if (text.len >= RELAY_AUTH_TEXT_MAX || !slice_is(slice_cut(text, ' ', &text, NULL), "v1"))
        return false;
    for (size_t i = 0; i < sizeof time_fields / sizeof time_fields[0]; i++) {
        if (!take_field(&text, time_fields[i].label, field_at(a, time_fields[i].offset)))
            return false;
    }
    return text.len == 0 && name_node_ok(a->node) && a->mac.len == MAC_HEX;
}

static bool parse_ms(struct slice text, int64_t *out)
{
    uint64_t ms;
    if (slice_u64(text, INT64_MAX / 2, &ms) < 0)
        return false;
    *out = (int64_t)ms;
    return true;
}

static bool has_secret(const struct relay_identity *self)
{
    return self->secret != NULL && self->secret[0] != '\0';
}

/* The MAC in hexadecimal over the lines, joined by newlines. */
static void mac_of(const struct relay_identity *self, const struct slice *lines, size_t count,
                   char out[MAC_HEX + 1])
{
    struct slice parts[2 * PARTS_MAX];
    uint8_t mac[SHA256_SIZE];
    size_t n = 0;
    must(count <= PARTS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            parts[n++] = slice_text("\n");
        parts[n++] = lines[i];
    }
    crypto_hmac_sha256(slice_text(self->secret), parts, n, mac);
    hex_encode(mac, sizeof mac, out);
}

static void request_mac(const struct relay_identity *self, const struct auth *a,
                        struct slice method, struct slice target, struct slice path,
                        char out[MAC_HEX + 1])
{
    const struct slice lines[] = {method,  target,   a->node, a->instance, a->to,
                                  a->time, a->nonce, path,    a->body};
    mac_of(self, lines, sizeof lines / sizeof lines[0], out);
}

/* No request has this as its method, so the one is never taken for the other. */
static void time_mac(const struct relay_identity *self, struct slice nonce, struct slice node,
                     struct slice time, char out[MAC_HEX + 1])
{
    const struct slice lines[] = {slice_text(RELAY_TIME_HEADER), nonce, node, time};
    mac_of(self, lines, sizeof lines / sizeof lines[0], out);
}

static void body_hash(struct slice body, char out[MAC_HEX + 1])
{
    uint8_t hash[SHA256_SIZE];
    crypto_sha256(body, hash);
    hex_encode(hash, sizeof hash, out);
}

void relay_sign(const struct relay_identity *self, const struct relay_signed *r,
                char out[RELAY_AUTH_TEXT_MAX])
{
    uint8_t nonce[RELAY_NONCE_SIZE];
    char instance[INSTANCE_HEX + 1], time[DECIMAL_MAX + 1], nonce_hex[NONCE_HEX + 1];
    char body_hex[MAC_HEX + 1], mac[MAC_HEX + 1];
    out[0] = '\0';
    if (!has_secret(self))
        return;
    crypto_random(nonce, sizeof nonce);
    hex_encode(nonce, sizeof nonce, nonce_hex);
    body_hash(r->body, body_hex);
    snprintf(instance, sizeof instance, "%016" PRIx64, self->instance);
    snprintf(time, sizeof time, "%" PRId64, clock_wall_us() / 1000 + r->peer_offset_ms);
    const struct auth a = {
        .node = slice_text(self->node),
        .instance = slice_text(instance),
        .to = slice_text(r->peer),
        .time = slice_text(time),
        .nonce = slice_text(nonce_hex),
        .body = slice_text(body_hex),
    };
    request_mac(self, &a, slice_text(r->method), slice_text(r->target),
                slice_text(r->path != NULL ? r->path : ""), mac);
    int len = snprintf(out, RELAY_AUTH_TEXT_MAX,
                       "v1 node=%s instance=%s to=%s time=%s nonce=%s body=%s mac=%s", self->node,
                       instance, r->peer, time, nonce_hex, body_hex, mac);
    must(len > 0 && len < RELAY_AUTH_TEXT_MAX);
}

static bool signature_ok(const struct relay_identity *self, const struct http_request *req,
                         const struct auth *a)
{
    char mac[MAC_HEX + 1], body_hex[MAC_HEX + 1];
    request_mac(self, a, slice_text(http_method_name(req->method)), req->target,
                http_request_header(req, RELAY_PATH_HEADER), mac);
    body_hash(req->body, body_hex);
    bool mac_ok = crypto_equal(slice_of(mac, MAC_HEX), a->mac);
    return crypto_equal(slice_of(body_hex, MAC_HEX), a->body) && mac_ok;
}

static bool read_sender(const struct auth *a, struct relay_sender *sender)
{
    uint8_t instance[INSTANCE_HEX / 2];
    if (hex_decode(a->instance, instance, sizeof instance) < 0)
        return false;
    sender->instance = 0;
    for (size_t i = 0; i < sizeof instance; i++)
        sender->instance = sender->instance << 8 | instance[i];
    return slice_copy(a->node, sender->node, sizeof sender->node);
}

enum relay_verdict relay_verify(struct relay_guard *g, const struct relay_identity *self,
                                const struct http_request *req, int64_t wall_ms,
                                struct relay_sender *sender)
{
    struct slice text = http_request_header(req, RELAY_AUTH_HEADER);
    uint8_t nonce[RELAY_NONCE_SIZE];
    struct auth a;
    int64_t sent_ms;
    *sender = (struct relay_sender){0};
    if (!has_secret(self))
        return RELAY_BAD_SIGNATURE;
    if (text.p == NULL)
        return RELAY_MISSING;
    if (!parse_auth(text, &a) || !signature_ok(self, req, &a))
        return RELAY_BAD_SIGNATURE;
    if (!parse_ms(a.time, &sent_ms) || hex_decode(a.nonce, nonce, sizeof nonce) < 0 ||
        !read_sender(&a, sender))
        return RELAY_BAD_SIGNATURE;
    if (a.to.len > 0 && !slice_is(a.to, self->node))
        return RELAY_NOT_FOR_US;
    if (sent_ms > wall_ms + CLOCK_SKEW_MAX_MS || sent_ms < wall_ms - CLOCK_SKEW_MAX_MS)
        return RELAY_SKEWED;
    return relay_guard_admit(g, nonce, clock_us() / 1000) ? RELAY_OK : RELAY_REPLAY;
}

void relay_time_text(const struct relay_identity *self, const struct http_request *req,
                     int64_t wall_ms, char out[RELAY_AUTH_TEXT_MAX])
{
    char time[DECIMAL_MAX + 1], mac[MAC_HEX + 1];
    struct auth a;
    out[0] = '\0';
    if (!has_secret(self) || !parse_auth(http_request_header(req, RELAY_AUTH_HEADER), &a))
        return;
    snprintf(time, sizeof time, "%" PRId64, wall_ms);
    time_mac(self, a.nonce, slice_text(self->node), slice_text(time), mac);
    int len =
        snprintf(out, RELAY_AUTH_TEXT_MAX, "v1 node=%s time=%s mac=%s", self->node, time, mac);
    must(len > 0 && len < RELAY_AUTH_TEXT_MAX);
}

int relay_learn_offset(const struct relay_identity *self, struct slice time_text,
                       const char *sent_auth, int64_t wall_ms, int64_t *offset_ms)
{
    char mac[MAC_HEX + 1];
    struct auth sent, got;
    int64_t peer_ms;
    if (!has_secret(self) || !parse_auth(slice_text(sent_auth), &sent) ||
        !parse_time(time_text, &got))
        return ERR_AUTH;
    if (sent.to.len > 0 && !slice_eq(sent.to, got.node))
        return ERR_AUTH;
    time_mac(self, sent.nonce, got.node, got.time, mac);
    if (!crypto_equal(slice_of(mac, MAC_HEX), got.mac) || !parse_ms(got.time, &peer_ms))
        return ERR_AUTH;
    *offset_ms = peer_ms - wall_ms;
    return 0;
}
