/*
 * Checks from anybody: the input is a few messages, `flags | u16 length | bytes`, each as it is or
 * with the header, signature and checksum of somebody who knows the password around its attributes.
 */
#include "base/bytes.h"
#include "base/must.h"
#include "rtc/ice.h"
#include "tools/stun_client.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FLAG_SIGNED  1
#define FLAG_NAMED   2 /* with the right user name in front */
#define FLAG_RESTART 4 /* a restart before it */
#define FLAG_STREAM  8 /* over a connection */
#define FROM_SHIFT   4 /* which of 16 addresses */

/* Credentials are the same in each run, so that the corpus may contain them. */
static uint32_t random_state;
void __wrap_crypto_random(void *dst, size_t len);
void __wrap_crypto_random(void *dst, size_t len)
{
    uint8_t *p = dst;
    for (size_t i = 0; i < len; i++) {
        random_state = random_state * 1664525 + 1013904223;
        p[i] = (uint8_t)(random_state >> 24);
    }
}

static size_t sign(const struct ice_session *s, uint8_t flags, struct slice attributes,
                   uint8_t dst[STUN_MESSAGE_ROOM])
{
    static const uint8_t zero[STUN_TRANSACTION + 8];
    char name[64];
    struct wr w = wr_init(dst, STUN_MESSAGE_ROOM - 64);
    wr_u32(&w, 0x00010000);
    wr_u32(&w, STUN_COOKIE_BYTES);
    wr_bytes(&w, attributes.len >= STUN_TRANSACTION ? attributes.p : zero, STUN_TRANSACTION);
    if (flags & FLAG_NAMED) {
        snprintf(name, sizeof name, "%s:them", ice_session_ufrag(s));
        stun_attribute(&w, 0x0006, name, strlen(name));
        stun_attribute(&w, 0x0024, zero, 4);
    }
    wr_put(&w, attributes);
    if (w.overflow)
        return 0;
    w.end = dst + STUN_MESSAGE_ROOM;
    stun_sign(&w, ice_session_pwd(s), false);
    stun_check_crc(&w);
    return wr_len(&w);
}

static void feed(struct ice_agent *a, struct ice_session *s, uint8_t flags, struct slice bytes,
                 int64_t now_us)
{
    uint8_t message[STUN_MESSAGE_ROOM];
    struct ice_received got;
    struct ice_path from = {0};
    must(net_address_parse(flags >> FROM_SHIFT & 1 ? "[2001:db8::1]:9" : "192.0.2.1:9",
                           &from.way.remote) == 0);
    net_address_set_port(&from.way.remote, (uint16_t)(1 + (flags >> FROM_SHIFT)));
    if (flags & FLAG_STREAM)
        from.stream = (struct rtc_stream *)(uintptr_t)(1 + (flags >> FROM_SHIFT));
    if (flags & FLAG_RESTART)
        ice_session_restart(s, "them");
    if (flags & FLAG_SIGNED)
        bytes = slice_of(message, sign(s, flags, bytes, message));
    if (ice_receive(a, &from, bytes, now_us, &got) != 0)
        return;
    must(got.owner == a && got.reply.len <= bytes.len);
    ice_session_touch(s, &from, now_us);
    must(ice_session_seen_us(s) == now_us);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    random_state = 1;
    struct ice_agent *a = ice_agent_new(0);
    struct ice_session *s = ice_session_new(a, "them", a), *other = ice_session_new(a, "them", a);
    struct rd r = rd_init(data, size);
    for (int64_t now_us = 1; !r.underrun && now_us < 64; now_us++) {
        uint8_t flags = rd_u8(&r);
        struct slice bytes = rd_slice_of(&r, rd_u16(&r));
        if (!r.underrun)
            feed(a, now_us % 5 == 4 ? other : s, flags, bytes, now_us * 1000000);
    }
    ice_session_forget(s, (struct rtc_stream *)(uintptr_t)1);
    ice_session_free(&s);
    ice_session_free(&other);
    ice_agent_free(&a);
    return 0;
}
