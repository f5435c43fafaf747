/*
 * Attributes (a=) of the session and of m-lines: a table of those that mean something.
 */
#include "base/err.h"
#include "base/hex.h"
#include "proto/sdp_internal.h"

static struct sdp_transport *transport_of(struct sdp_reader *r)
{
    return r->media != NULL ? &r->media->transport : &r->session;
}

/* ---- ICE ---- */

/* Characters of credentials: more than ice-char (RFC 8839, 5.4), less than what could end them. */
static bool credential_ok(struct slice s, size_t min)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == ':')
            return false;
    return s.len >= min && s.len <= SDP_ICE_MAX;
}

int sdp_read_ufrag(struct sdp_reader *r, struct slice value, struct slice *out)
{
    if (!credential_ok(value, SDP_UFRAG_MIN))
        return sdp_refuse(r, ERR_PROTOCOL, "a=ice-ufrag has to be 4 to 256 characters");
    *out = value;
    return 0;
}

int sdp_read_pwd(struct sdp_reader *r, struct slice value, struct slice *out)
{
    if (!credential_ok(value, SDP_PWD_MIN))
        return sdp_refuse(r, ERR_PROTOCOL, "a=ice-pwd has to be 22 to 256 characters");
    *out = value;
    return 0;
}

static int read_ufrag(struct sdp_reader *r, struct slice value)
{
    return sdp_read_ufrag(r, value, &transport_of(r)->ufrag);
}

static int read_pwd(struct sdp_reader *r, struct slice value)
{
    return sdp_read_pwd(r, value, &transport_of(r)->pwd);
}

static int read_ice_lite(struct sdp_reader *r, struct slice value)
{
    r->offer->ice_lite = true;
    return 0;
}

static int read_candidate(struct sdp_reader *r, struct slice value)
{
    if (r->media != NULL)
        r->media->candidates++;
    return 0;
}

/* ---- DTLS ---- */

static const struct {
    const char *name;
    size_t len;
} hashes[] = {
    [SDP_SHA256] = {"sha-256", 32}, [SDP_SHA384] = {"sha-384", 48}, [SDP_SHA512] = {"sha-512", 64}};

/* "AB:CD:…" of exactly len bytes. */
static bool read_colon_hex(struct slice text, uint8_t *out, size_t len)
{
    if (text.len != 3 * len - 1)
        return false;
    for (size_t i = 0; i < len; i++) {
        const uint8_t *at = text.p + 3 * i;
        if (hex_decode(slice_of(at, 2), &out[i], 1) < 0 || (i + 1 < len && at[2] != ':'))
            return false;
    }
    return true;
}

static int read_fingerprint(struct sdp_reader *r, struct slice value)
{
    struct sdp_transport *t = transport_of(r);
    struct slice text, name = slice_cut(value, ' ', &text, NULL);
    for (size_t i = 0; i < sizeof hashes / sizeof hashes[0]; i++) {
        if (!slice_is_nocase(name, hashes[i].name))
            continue;
        if (t->fingerprint_count == SDP_FINGERPRINTS_MAX)
            return sdp_refuse(r, ERR_TOO_MANY, "too many a=fingerprint lines");
        struct sdp_fingerprint *f = &t->fingerprints[t->fingerprint_count];
        if (!read_colon_hex(slice_trim(text), f->bytes, hashes[i].len))
            return sdp_refuse(r, ERR_PROTOCOL, "a=fingerprint is not a hash of that length");
        f->hash = (enum sdp_hash)i;
        f->len = hashes[i].len;
        t->fingerprint_count++;
        return 0;
    }
    return sdp_token_ok(name) ? 0 : sdp_refuse(r, ERR_PROTOCOL, "a=fingerprint without a hash");
}

static int read_setup(struct sdp_reader *r, struct slice value)
{
    static const struct {
        const char *text;
        enum sdp_setup setup;
    } setups[] = {{"actpass", SDP_ACTPASS}, {"active", SDP_ACTIVE}, {"passive", SDP_PASSIVE}};
    for (size_t i = 0; i < sizeof setups / sizeof setups[0]; i++) {
        if (!slice_is(value, setups[i].text))
            continue;
        transport_of(r)->setup = setups[i].setup;
        return 0;
    }
    return sdp_refuse(r, ERR_PROTOCOL, "a=setup is not actpass, active or passive");
}

/* ---- what belongs together ---- */

static int read_group(struct sdp_reader *r, struct slice value)
{
    struct slice rest, semantics = slice_cut(value, ' ', &rest, NULL);
    if (r->media == NULL && r->bundle.len == 0 && slice_is(semantics, "BUNDLE"))
        r->bundle = rest;
    return 0;
}

static int read_mid(struct sdp_reader *r, struct slice value)
{
    if (r->media == NULL)
        return 0;
    if (!sdp_token_ok(value) || r->media->mid.len > 0)
        return sdp_refuse(r, ERR_PROTOCOL, "a=mid is no token, or the second");
    r->media->mid = value;
    return 0;
}

static int read_bundle_only(struct sdp_reader *r, struct slice value)
{
    struct sdp_media *m = r->media;
    if (m == NULL)
        return 0;
    m->bundle_only = true;
    m->usable = m->payload_count > 0; /* its port is 0 all the same */
    return 0;
}

static int read_flag(struct sdp_reader *r, size_t offset)
{
    if (r->media != NULL)
        *(bool *)((char *)r->media + offset) = true;
    return 0;
}

static int read_rtcp_mux(struct sdp_reader *r, struct slice value)
{
    return read_flag(r, offsetof(struct sdp_media, rtcp_mux));
}

static int read_rtcp_mux_only(struct sdp_reader *r, struct slice value)
{
    return read_flag(r, offsetof(struct sdp_media, rtcp_mux_only));
}

static int read_rtcp_rsize(struct sdp_reader *r, struct slice value)
{
    return read_flag(r, offsetof(struct sdp_media, rtcp_rsize));
}

/* Formats of extended reports, with a space between. */
static int read_rtcp_xr(struct sdp_reader *r, struct slice value)
{
    while (value.len > 0)
        if (slice_is(slice_cut(value, ' ', &value, NULL), "rcvr-rtt=all"))
            return read_flag(r, offsetof(struct sdp_media, rcvr_rtt));
    return 0;
}

static int read_simulcast(struct sdp_reader *r, struct slice value)
{
    return read_flag(r, offsetof(struct sdp_media, simulcast));
}

static int set_direction(struct sdp_reader *r, enum sdp_direction d)
{
    if (r->media != NULL)
        r->media->direction = d;
    return 0;
}

static int read_sendrecv(struct sdp_reader *r, struct slice value)
{
    return set_direction(r, SDP_SENDRECV);
}

static int read_sendonly(struct sdp_reader *r, struct slice value)
{
    return set_direction(r, SDP_SENDONLY);
}

static int read_recvonly(struct sdp_reader *r, struct slice value)
{
    return set_direction(r, SDP_RECVONLY);
}

static int read_inactive(struct sdp_reader *r, struct slice value)
{
    return set_direction(r, SDP_INACTIVE);
}

/* ---- RTP ---- */

static const char *const extension_uris[SDP_EXT_KINDS] = {
    [SDP_EXT_MID] = "urn:ietf:params:rtp-hdrext:sdes:mid",
    [SDP_EXT_RID] = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    [SDP_EXT_REPAIRED_RID] = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
    [SDP_EXT_TRANSPORT_CC] =
        "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    [SDP_EXT_ABS_SEND_TIME] = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    [SDP_EXT_PLAYOUT_DELAY] = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
};

const char *sdp_extension_uri(enum sdp_extension_kind k)
{
    return extension_uris[k];
}

/* Ids up to 14 fit the one-byte form, the only one we speak (RFC 8285, 4.2); others are not
 * answered and so not used. */
#define EXTENSION_ID_MAX     255
#define EXTENSION_ID_ONE_MAX 14

static int read_extmap(struct sdp_reader *r, struct slice value)
{
    struct slice direction, uri, attributes;
    uint64_t id;
    if (r->media == NULL)
        return 0;
    struct slice id_text = slice_cut(slice_cut(value, ' ', &uri, NULL), '/', &direction, NULL);
    uri = slice_cut(uri, ' ', &attributes, NULL);
    if (slice_u64(id_text, EXTENSION_ID_MAX, &id) < 0 || id == 0 || uri.len == 0)
        return sdp_refuse(r, ERR_PROTOCOL, "a=extmap is not a number and a URI");
    for (int k = 0; k < SDP_EXT_KINDS && id <= EXTENSION_ID_ONE_MAX; k++)
        if (slice_is(uri, extension_uris[k]) && r->media->extensions[k] == 0)
            r->media->extensions[k] = (uint8_t)id;
    return 0;
}

/* The entry of that SSRC, made when it is new; NULL when there is no room. */
static struct sdp_ssrc *ssrc_get(struct sdp_media *m, uint32_t ssrc)
{
    for (size_t i = 0; i < m->ssrc_count; i++)
        if (m->ssrcs[i].ssrc == ssrc)
            return &m->ssrcs[i];
    if (m->ssrc_count == SDP_SSRCS_MAX)
        return NULL;
    m->ssrcs[m->ssrc_count] = (struct sdp_ssrc){.ssrc = ssrc};
    return &m->ssrcs[m->ssrc_count++];
}

static int read_one_ssrc(struct sdp_reader *r, struct slice text, struct sdp_ssrc **out)
{
    uint64_t ssrc;
    if (slice_u64(text, UINT32_MAX, &ssrc) < 0)
        return sdp_refuse(r, ERR_PROTOCOL, "not an SSRC");
    *out = ssrc_get(r->media, (uint32_t)ssrc);
    return *out != NULL ? 0 : sdp_refuse(r, ERR_TOO_MANY, "too many SSRCs");
}

static int read_ssrc(struct sdp_reader *r, struct slice value)
{
    struct slice rest;
    struct sdp_ssrc *s;
    if (r->media == NULL)
        return 0;
    return read_one_ssrc(r, slice_cut(value, ' ', &rest, NULL), &s);
}

/* FID: what is sent, and its repetition (RFC 5576, 4.2; RFC 4588). */
static int read_ssrc_group(struct sdp_reader *r, struct slice value)
{
    struct slice rest, second, more;
    struct sdp_ssrc *source, *rtx;
    struct slice semantics = slice_cut(value, ' ', &rest, NULL);
    if (r->media == NULL || !slice_is(semantics, "FID"))
        return 0;
    struct slice first = slice_cut(slice_trim(rest), ' ', &second, NULL);
    second = slice_cut(slice_trim(second), ' ', &more, NULL);
    int err = read_one_ssrc(r, first, &source);
    if (err == 0)
        err = read_one_ssrc(r, second, &rtx);
    if (err < 0)
        return err;
    if (source == rtx || source->is_rtx || rtx->has_rtx)
        return sdp_refuse(r, ERR_PROTOCOL, "an SSRC cannot repeat itself");
    source->has_rtx = true;
    source->rtx = rtx->ssrc;
    rtx->is_rtx = true;
    return 0;
}

static int read_rid(struct sdp_reader *r, struct slice value)
{
    struct slice rest, parameters;
    struct sdp_media *m = r->media;
    if (m == NULL)
        return 0;
    struct slice id = slice_cut(value, ' ', &rest, NULL);
    struct slice direction = slice_cut(rest, ' ', &parameters, NULL);
    if (!sdp_token_ok(id))
        return sdp_refuse(r, ERR_PROTOCOL, "a=rid is no token");
    if (!slice_is(direction, "send"))
        return 0;
    if (m->rid_count == SDP_RIDS_MAX)
        return sdp_refuse(r, ERR_TOO_MANY, "too many a=rid lines");
    m->rids[m->rid_count++] = id;
    return 0;
}

static int read_of_payload(struct sdp_reader *r, struct slice value,
                           int (*read)(struct sdp_reader *r, struct slice value))
{
    return r->media != NULL ? read(r, value) : 0;
}

static int read_rtpmap(struct sdp_reader *r, struct slice value)
{
    return read_of_payload(r, value, sdp_read_rtpmap);
}

static int read_fmtp(struct sdp_reader *r, struct slice value)
{
    return read_of_payload(r, value, sdp_read_fmtp);
}

static int read_rtcp_fb(struct sdp_reader *r, struct slice value)
{
    return read_of_payload(r, value, sdp_read_feedback);
}

static const struct {
    const char *name;
    int (*read)(struct sdp_reader *r, struct slice value);
} attributes[] = {
    {"bundle-only", read_bundle_only},
    {"candidate", read_candidate},
    {"extmap", read_extmap},
    {"fingerprint", read_fingerprint},
    {"fmtp", read_fmtp},
    {"group", read_group},
    {"ice-lite", read_ice_lite},
    {"ice-pwd", read_pwd},
    {"ice-ufrag", read_ufrag},
    {"inactive", read_inactive},
    {"mid", read_mid},
    {"recvonly", read_recvonly},
    {"rid", read_rid},
    {"rtcp-fb", read_rtcp_fb},
    {"rtcp-mux", read_rtcp_mux},
    {"rtcp-mux-only", read_rtcp_mux_only},
    {"rtcp-rsize", read_rtcp_rsize},
    {"rtcp-xr", read_rtcp_xr},
    {"rtpmap", read_rtpmap},
    {"sendonly", read_sendonly},
    {"sendrecv", read_sendrecv},
    {"setup", read_setup},
    {"simulcast", read_simulcast},
    {"ssrc", read_ssrc},
    {"ssrc-group", read_ssrc_group},
};

int sdp_attribute_read(struct sdp_reader *r, struct slice value)
{
    struct slice argument, name = slice_cut(value, ':', &argument, NULL);
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++)
        if (slice_is(name, attributes[i].name))
            return attributes[i].read(r, argument);
    return 0;
}
