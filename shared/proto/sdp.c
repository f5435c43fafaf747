/*
 * text ──lines──▶ session and m-lines ──▶ what an offer must have.
 */
#include "proto/sdp.h"

#include "base/err.h"
#include "proto/sdp_internal.h"

static const char *const codec_names[] = {
    [SDP_CODEC_OTHER] = "", [SDP_H264] = "H264", [SDP_H265] = "H265", [SDP_VP8] = "VP8",
    [SDP_VP9] = "VP9",      [SDP_AV1] = "AV1",   [SDP_OPUS] = "opus", [SDP_RTX] = "rtx",
};

const char *sdp_codec_name(enum sdp_codec c)
{
    return codec_names[c];
}

bool sdp_token_ok(struct slice s)
{
    static const char more[] = "!#$%&'*+-.^_`{|}~";
    if (s.len == 0 || s.len > SDP_TOKEN_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == '\0' || strchr(more, c) == NULL))
            return false;
    }
    return true;
}

static bool has_control(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f)
            return true;
    return false;
}

int sdp_line_next(struct sdp_reader *r, char *type, struct slice *value)
{
    if (r->rest.len == 0)
        return 0;
    struct slice line = slice_cut(r->rest, '\n', &r->rest, NULL);
    r->line++;
    if (line.len > 0 && line.p[line.len - 1] == '\r')
        line.len--;
    if (line.len == 0) /* only at the end of the text */
        return r->rest.len == 0 ? 0 : sdp_refuse(r, ERR_PROTOCOL, "an empty line");
    if (line.len > SDP_LINE_MAX)
        return sdp_refuse(r, ERR_TOO_LARGE, "the line is too long");
    if (has_control(line))
        return sdp_refuse(r, ERR_PROTOCOL, "a control character");
    if (line.len < 2 || line.p[0] < 'a' || line.p[0] > 'z' || line.p[1] != '=')
        return sdp_refuse(r, ERR_PROTOCOL, "not a line of the form x=value");
    *type = (char)line.p[0];
    *value = slice_of(line.p + 2, line.len - 2);
    return 1;
}

static int read_line(struct sdp_reader *r, char type, struct slice value)
{
    if ((r->line == 1) != (type == 'v'))
        return sdp_refuse(r, ERR_PROTOCOL, "v= has to be the first line, and only that");
    switch (type) {
    case 'v':
        return slice_is(value, "0") ? 0 : sdp_refuse(r, ERR_PROTOCOL, "not version 0");
    case 'm':
        return sdp_media_begin(r, value);
    case 'a':
        return sdp_attribute_read(r, value);
    default: /* names, times and addresses mean nothing here */
        return 0;
    }
}

/* Whole lines only mean something together. */

static bool in_group(struct slice mids, struct slice mid)
{
    while (mids.len > 0) {
        struct slice one = slice_cut(mids, ' ', &mids, NULL);
        if (mid.len > 0 && slice_eq(one, mid))
            return true;
    }
    return false;
}

static bool mid_is_unique(const struct sdp_offer *o, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (o->media[i].mid.len > 0 && slice_eq(o->media[i].mid, o->media[k].mid))
            return false;
    return true;
}

/* What the m-line does not say itself is said by the session (RFC 8839, 5.4; RFC 8122, 5). */
static struct sdp_transport inherit(const struct sdp_transport *own,
                                    const struct sdp_transport *session)
{
    struct sdp_transport t = *own;
    if (t.ufrag.len == 0)
        t.ufrag = session->ufrag;
    if (t.pwd.len == 0)
        t.pwd = session->pwd;
    if (t.setup == SDP_SETUP_NONE)
        t.setup = session->setup;
    if (t.fingerprint_count > 0)
        return t;
    t.fingerprint_count = session->fingerprint_count;
    for (size_t i = 0; i < t.fingerprint_count; i++)
        t.fingerprints[i] = session->fingerprints[i];
    return t;
}

static int check_transport(struct sdp_reader *r, const struct sdp_transport *t)
{
    if (t->ufrag.len == 0 || t->pwd.len == 0)
        return sdp_refuse(r, ERR_PROTOCOL, "no a=ice-ufrag or no a=ice-pwd");
    if (t->fingerprint_count == 0)
        return sdp_refuse(r, ERR_PROTOCOL, "no a=fingerprint by SHA-256, -384 or -512");
    return 0;
}

/* The m-line whose transport is that of the bundle (RFC 8843, 7.2.1). */
static const struct sdp_media *find_tagged(const struct sdp_offer *o)
{
    for (size_t i = 0; i < o->media_count; i++)
        if (o->media[i].bundled && o->media[i].usable)
            return &o->media[i];
    for (size_t i = 0; i < o->media_count; i++)
        if (o->media[i].usable)
            return &o->media[i];
    return NULL;
}

static int finish(struct sdp_reader *r)
{
    struct sdp_offer *o = r->offer;
    r->line = 0;
    o->has_bundle = r->bundle.len > 0;
    for (size_t i = 0; i < o->media_count; i++) {
        struct sdp_media *m = &o->media[i];
        m->bundled = in_group(r->bundle, m->mid);
        o->candidates += m->candidates;
        if (!mid_is_unique(o, i))
            return sdp_refuse(r, ERR_PROTOCOL, "two m-lines have the same mid");
    }
    const struct sdp_media *tagged = find_tagged(o);
    if (tagged == NULL)
        return sdp_refuse(r, ERR_PROTOCOL, "no audio or video over DTLS and SRTP");
    o->transport = inherit(&tagged->transport, &r->session);
    return check_transport(r, &o->transport);
}

int sdp_offer_read(struct slice text, struct sdp_offer *out, struct sdp_error *error)
{
    struct sdp_reader r = {.rest = text, .offer = out, .why = "nothing at all"};
    char type = '\0';
    struct slice value = {0};
    *out = (struct sdp_offer){0};
    int n = text.len > SDP_BYTES_MAX ? sdp_refuse(&r, ERR_TOO_LARGE, "larger than 64 KiB") : 1;
    while (n > 0 && (n = sdp_line_next(&r, &type, &value)) > 0) {
        int err = read_line(&r, type, value);
        if (err < 0)
            n = err;
    }
    if (n == 0)
        n = finish(&r);
    *error = n < 0 ? (struct sdp_error){r.line, r.why} : (struct sdp_error){0};
    return n;
}

const struct sdp_payload *sdp_payload_find(const struct sdp_media *m, unsigned type)
{
    for (size_t i = 0; i < m->payload_count; i++)
        if (m->payloads[i].type == type)
            return &m->payloads[i];
    return NULL;
}
