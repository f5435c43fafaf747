/*
 * m-lines, and what belongs to a payload type: rtpmap, fmtp, rtcp-fb.
 */
#include "base/err.h"
#include "base/hex.h"
#include "proto/sdp_internal.h"

#define PAYLOAD_TYPE_MAX     127
#define CLOCK_HZ_MAX         384000
#define CHANNELS_MAX         255
#define H264_PROFILE_DEFAULT 0x42000a /* Baseline, level 1 (RFC 6184, 8.1) */

static struct slice word(struct slice *rest)
{
    while (rest->len > 0 && rest->p[0] == ' ') {
        rest->p++;
        rest->len--;
    }
    return slice_cut(*rest, ' ', rest, NULL);
}

/* ---- m= ---- */

static enum sdp_kind kind_of(struct slice type)
{
    if (slice_is(type, "audio"))
        return SDP_AUDIO;
    return slice_is(type, "video") ? SDP_VIDEO : SDP_OTHER_KIND;
}

static bool is_secure_rtp(struct slice protocol)
{
    static const char *const names[] = {"UDP/TLS/RTP/SAVPF", "TCP/TLS/RTP/SAVPF",
                                        "UDP/TLS/RTP/SAVP", "RTP/SAVPF", "RTP/SAVP"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (slice_is_nocase(protocol, names[i]))
            return true;
    return false;
}

static bool is_plain(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < ' ' || s.p[i] > '~')
            return false;
    return s.len > 0;
}

static int read_formats(struct sdp_reader *r, struct sdp_media *m)
{
    struct slice rest = m->formats;
    while (rest.len > 0) {
        struct slice text = word(&rest);
        uint64_t type;
        if (text.len == 0)
            break;
        if (slice_u64(text, PAYLOAD_TYPE_MAX, &type) < 0)
            return sdp_refuse(r, ERR_PROTOCOL, "not a payload type");
        if (sdp_payload_find(m, (unsigned)type) != NULL)
            return sdp_refuse(r, ERR_PROTOCOL, "a payload type stands there twice");
        if (m->payload_count == SDP_PAYLOADS_MAX)
            return sdp_refuse(r, ERR_TOO_MANY, "too many payload types");
        m->payloads[m->payload_count++] = (struct sdp_payload){
            .type = (uint8_t)type, .channels = 1, .profile_level_id = H264_PROFILE_DEFAULT};
    }
    return m->payload_count > 0 ? 0 : sdp_refuse(r, ERR_PROTOCOL, "no payload type");
}

int sdp_media_begin(struct sdp_reader *r, struct slice value)
{
    uint64_t port;
    struct sdp_offer *o = r->offer;
    if (o->media_count == SDP_MEDIA_MAX)
        return sdp_refuse(r, ERR_TOO_MANY, "too many m-lines");
    struct sdp_media *m = r->media = &o->media[o->media_count++];
    m->type = word(&value);
    struct slice count, port_text = slice_cut(word(&value), '/', &count, NULL);
    m->protocol = word(&value);
    m->formats = slice_trim(value);
    if (!sdp_token_ok(m->type) || slice_u64(port_text, UINT16_MAX, &port) < 0)
        return sdp_refuse(r, ERR_PROTOCOL, "not a medium with a port");
    if (!is_plain(m->protocol) || m->protocol.len > SDP_TOKEN_MAX || !is_plain(m->formats))
        return sdp_refuse(r, ERR_PROTOCOL, "not a protocol with its formats");
    m->kind = kind_of(m->type);
    bool media = m->kind != SDP_OTHER_KIND && is_secure_rtp(m->protocol);
    m->usable = media && port != 0; /* port 0 with a=bundle-only is one, too */
    return media ? read_formats(r, m) : 0;
}

/* ---- attributes of a payload type ---- */

/* The payload type in front of the value; *p is NULL when the m-line does not have it, which means
 * nothing. */
static int take_payload(struct sdp_reader *r, struct slice *value, struct sdp_payload **p)
{
    uint64_t type;
    *p = NULL;
    if (slice_u64(word(value), UINT8_MAX, &type) < 0)
        return sdp_refuse(r, ERR_PROTOCOL, "not a payload type");
    for (size_t i = 0; i < r->media->payload_count; i++)
        if (r->media->payloads[i].type == type)
            *p = &r->media->payloads[i];
    return 0;
}

static enum sdp_codec codec_of(enum sdp_kind kind, struct slice name)
{
    for (int c = SDP_H264; c <= SDP_RTX; c++) {
        bool is_audio = c == SDP_OPUS;
        if (c != SDP_RTX && is_audio != (kind == SDP_AUDIO))
            continue;
        if (slice_is_nocase(name, sdp_codec_name((enum sdp_codec)c)))
            return (enum sdp_codec)c;
    }
    return SDP_CODEC_OTHER;
}

int sdp_read_rtpmap(struct sdp_reader *r, struct slice value)
{
    struct sdp_payload *p;
    int err = take_payload(r, &value, &p);
    if (err < 0 || p == NULL)
        return err;
    struct slice rest, channels_text;
    bool has_channels;
    uint64_t clock_hz, channels = 1;
    struct slice name = slice_cut(slice_trim(value), '/', &rest, NULL);
    struct slice clock_text = slice_cut(rest, '/', &channels_text, &has_channels);
    if (p->has_rtpmap)
        return sdp_refuse(r, ERR_PROTOCOL, "a second a=rtpmap of the payload type");
    if (!sdp_token_ok(name) || slice_u64(clock_text, CLOCK_HZ_MAX, &clock_hz) < 0 || clock_hz == 0)
        return sdp_refuse(r, ERR_PROTOCOL, "not a codec with its clock rate");
    if (has_channels && (slice_u64(channels_text, CHANNELS_MAX, &channels) < 0 || channels == 0))
        return sdp_refuse(r, ERR_PROTOCOL, "not a number of channels");
    p->has_rtpmap = true;
    p->name = name;
    p->clock_hz = (uint32_t)clock_hz;
    p->channels = (uint32_t)channels;
    p->codec = codec_of(r->media->kind, name);
    return 0;
}

static int hex_u24(struct slice text, uint32_t *out)
{
    uint8_t bytes[3];
    if (hex_decode(text, bytes, sizeof bytes) < 0)
        return ERR_TYPE;
    *out = (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 8 | bytes[2];
    return 0;
}

static bool small_number(struct slice text, uint64_t max, uint8_t *out)
{
    uint64_t v;
    if (slice_u64(text, max, &v) < 0)
        return false;
    *out = (uint8_t)v;
    return true;
}

/* One key=value; false when the value of a key that means something is none. */
static bool read_parameter(struct sdp_payload *p, struct slice key, struct slice value)
{
    if (slice_is_nocase(key, "profile-level-id"))
        return hex_u24(value, &p->profile_level_id) == 0;
    if (slice_is_nocase(key, "packetization-mode"))
        return small_number(value, 2, &p->packetization_mode);
    if (slice_is_nocase(key, "sprop-parameter-sets"))
        p->parameter_sets = value;
    if (slice_is_nocase(key, "level-asymmetry-allowed"))
        p->level_asymmetry = slice_is(value, "1");
    if (slice_is_nocase(key, "apt"))
        return p->has_apt = small_number(value, PAYLOAD_TYPE_MAX, &p->apt);
    if (slice_is_nocase(key, "profile-id") || slice_is_nocase(key, "profile"))
        return small_number(value, UINT8_MAX, &p->profile);
    return true;
}

int sdp_read_fmtp(struct sdp_reader *r, struct slice value)
{
    struct sdp_payload *p;
    int err = take_payload(r, &value, &p);
    if (err < 0 || p == NULL)
        return err;
    if (p->fmtp.p != NULL)
        return sdp_refuse(r, ERR_PROTOCOL, "a second a=fmtp of the payload type");
    p->fmtp = slice_trim(value);
    if (!is_plain(p->fmtp))
        return sdp_refuse(r, ERR_PROTOCOL, "not the parameters of a codec");
    struct slice rest = p->fmtp;
    while (rest.len > 0) {
        struct slice argument;
        struct slice key = slice_cut(slice_cut(rest, ';', &rest, NULL), '=', &argument, NULL);
        if (!read_parameter(p, slice_trim(key), slice_trim(argument)))
            p->malformed = true;
    }
    return 0;
}

static const struct {
    const char *text;
    enum sdp_feedback bit;
} feedbacks[] = {
    {"nack", SDP_FB_NACK},
    {"nack pli", SDP_FB_PLI},
    {"ccm fir", SDP_FB_FIR},
    {"goog-remb", SDP_FB_REMB},
    {"transport-cc", SDP_FB_TRANSPORT_CC},
};

int sdp_read_feedback(struct sdp_reader *r, struct slice value)
{
    struct sdp_payload *one = NULL;
    struct slice rest = value;
    bool all = slice_is(word(&rest), "*");
    int err = all ? 0 : take_payload(r, &value, &one);
    if (err < 0)
        return err;
    struct slice text = slice_trim(all ? rest : value);
    for (size_t i = 0; i < sizeof feedbacks / sizeof feedbacks[0]; i++) {
        if (!slice_is_nocase(text, feedbacks[i].text))
            continue;
        for (size_t k = 0; k < r->media->payload_count; k++)
            if (all || one == &r->media->payloads[k])
                r->media->payloads[k].feedback |= feedbacks[i].bit;
    }
    return 0;
}
