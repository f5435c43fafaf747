#include "tools/rtc_remote.h"

#include "base/hex.h"
#include "core/crypto.h"

#include <stdio.h>
#include <string.h>

void remote_send(struct remote *r, struct slice datagram)
{
    if (r->loses == NULL || !r->loses(r->sent))
        r->send(r, datagram);
    r->sent++;
}

static void remote_send_handshake(struct slice datagram, void *owner)
{
    remote_send(owner, datagram);
}

void remote_check(struct remote *r, unsigned flags)
{
    char name[64];
    uint8_t bytes[STUN_MESSAGE_ROOM];
    struct stun_check c = {.username = name, .pwd = r->peer.pwd, .flags = flags};
    snprintf(name, sizeof name, "%s:%s", r->peer.ufrag, r->ufrag);
    crypto_random(c.transaction, sizeof c.transaction);
    memcpy(r->transaction, c.transaction, sizeof r->transaction);
    r->answer = (struct stun_answer){0};
    size_t len = stun_write(&c, bytes);
    remote_send(r, slice_of(bytes, len));
}

static void remote_progress(struct remote *r, int err)
{
    struct srtp_keys keys;
    r->error = err;
    if (err != 0 || r->sealer != NULL || !dtls_is_connected(r->dtls))
        return;
    dtls_keys(r->dtls, &keys);
    r->sealer = rtc_sealer_new(r->srtp, &keys);
    r->opener = rtc_opener_new(r->srtp, &keys, RTC_SRTP_EVP);
    if (r->on_connected != NULL)
        r->on_connected(r);
}

static void remote_on_answer(struct remote *r, struct slice m)
{
    if (!stun_read(m, r->peer.pwd, r->transaction, &r->answer) || !r->answer.success)
        return;
    bool first = !r->checked;
    r->checked = true;
    if (first && r->client)
        remote_progress(r, dtls_start(r->dtls, &r->why));
}

static void remote_on_media(struct remote *r, struct slice m)
{
    if (r->opener == NULL || m.len > sizeof r->last)
        return;
    memcpy(r->last, m.p, m.len);
    bool rtcp = m.len > 1 && m.p[1] >= 192 && m.p[1] <= 223;
    ssize_t n = rtcp ? rtc_opener_rtcp(r->opener, r->last, m.len)
                     : rtc_opener_rtp(r->opener, r->last, m.len);
    if (n < 0) {
        r->bad++;
        return;
    }
    r->last_len = (size_t)n;
    r->rtcp += rtcp;
    r->rtp += !rtcp;
    r->rtp_bytes += rtcp ? 0 : (size_t)n;
    if (!rtcp && r->on_rtp != NULL)
        r->on_rtp(r, r->last, r->last_len);
}

void remote_receive(struct remote *r, struct slice m)
{
    r->datagrams++;
    if (m.len == 0)
        return;
    if (m.p[0] < 4)
        remote_on_answer(r, m);
    else if (m.p[0] >= 20 && m.p[0] < 64 && r->error == 0 && r->dtls != NULL)
        remote_progress(r, dtls_receive(r->dtls, m, &r->why));
    else if (m.p[0] >= 128)
        remote_on_media(r, m);
}

static void remote_on_datagram(struct udp *u, const struct net_address *from, struct slice datagram,
                               void *owner)
{
    remote_receive(owner, datagram);
}

void remote_on_time(struct remote *r)
{
    if (r->error == 0 && r->dtls != NULL && dtls_next_us(r->dtls) == 0)
        remote_progress(r, dtls_on_time(r->dtls, &r->why));
}

int remote_move(struct remote *r)
{
    struct udp_options o = {.on_datagram = remote_on_datagram, .owner = r};
    udp_close(&r->udp);
    int err = net_address_parse("127.0.0.1:0", &o.bind);
    return err == 0 ? udp_open(&r->udp, r->worker, &o) : err;
}

struct rtc_fingerprint remote_fingerprint(const char *text)
{
    struct rtc_fingerprint f = {.hash = RTC_SHA256};
    for (size_t i = 0; i < 32 && strlen(text) >= 8 + 3 * i + 2; i++)
        hex_decode(slice_of(text + 8 + 3 * i, 2), &f.bytes[i], 1);
    return f;
}

void remote_init(struct remote *r, const struct rtc_srtp *srtp, struct dtls_identity *identity,
                 bool active, struct rtc_remote *offer)
{
    *r = (struct remote){.srtp = srtp, .client = active, .identity = identity};
    snprintf(r->ufrag, sizeof r->ufrag, "re%08x", (unsigned)crypto_random_u64());
    *offer = (struct rtc_remote){.pwd = "0123456789012345678901", .passive = !active};
    snprintf(offer->ufrag, sizeof offer->ufrag, "%s", r->ufrag);
    offer->fingerprints[0] = remote_fingerprint(dtls_identity_fingerprint(r->identity));
    offer->fingerprint_count = 1;
}

static void send_by_udp(struct remote *r, struct slice datagram)
{
    udp_send(r->udp, &r->to, datagram);
}

int remote_open(struct remote *r, struct worker *w, const struct rtc_srtp *srtp,
                struct dtls_identity *identity, bool active, struct rtc_remote *offer)
{
    remote_init(r, srtp, identity, active, offer);
    r->worker = w;
    r->send = send_by_udp;
    return remote_move(r);
}

void remote_answered(struct remote *r, const struct rtc_local *answer, const struct net_address *to)
{
    struct rtc_fingerprint f = remote_fingerprint(answer->fingerprint);
    r->peer = *answer;
    r->to = *to;
    r->dtls = dtls_new(&(struct dtls_options){.identity = r->identity,
                                              .client = r->client,
                                              .fingerprints = &f,
                                              .fingerprint_count = 1,
                                              .send = remote_send_handshake,
                                              .owner = r});
}

void remote_send_rtp(struct remote *r, const uint8_t *packet, size_t len)
{
    uint8_t bytes[2048];
    struct slice body = slice_of(packet + 12, len - 12);
    ssize_t n = rtc_sealer_rtp(r->sealer, slice_of(packet, 12), &body, 1, bytes, sizeof bytes);
    if (n > 0)
        remote_send(r, slice_of(bytes, (size_t)n));
}

void remote_send_rtcp(struct remote *r, const uint8_t *compound, size_t len)
{
    uint8_t bytes[2048];
    ssize_t n = rtc_sealer_rtcp(r->sealer, slice_of(compound, len), bytes, sizeof bytes);
    if (n > 0)
        remote_send(r, slice_of(bytes, (size_t)n));
}

void remote_close(struct remote *r)
{
    udp_close(&r->udp);
    dtls_free(&r->dtls);
    dtls_identity_unref(&r->identity);
    rtc_sealer_free(&r->sealer);
    rtc_opener_free(&r->opener);
}
