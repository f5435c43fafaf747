#include "proto/hls_name.h"

#include "base/err.h"
#include "base/must.h"
#include "proto/url.h"

#include <inttypes.h>
#include <stdio.h>

#define HASH_DIGITS   16
#define AHEAD_MIN     3       /* parts */
#define AHEAD_US      3000000 /* time to which parts may be asked for in advance */
#define SEGMENT_AHEAD 1       /* segments after the one being written */

static const char *const kind_text[] = {[HLS_MAIN] = "main", [HLS_VIDEO] = "v", [HLS_AUDIO] = "a"};

/* A number in its only form. */
static int read_number(struct slice s, uint64_t max, uint64_t *out)
{
    if (s.len > 1 && s.p[0] == '0')
        return ERR_NAME;
    return slice_u64(s, max, out) < 0 ? ERR_NAME : 0;
}

static int read_hash(struct slice s, uint64_t *out)
{
    if (s.len != HASH_DIGITS)
        return ERR_NAME;
    *out = 0;
    for (size_t i = 0; i < s.len; i++) {
        const char *digits = "0123456789abcdef", *at = memchr(digits, s.p[i], HASH_DIGITS);
        if (at == NULL)
            return ERR_NAME;
        *out = *out << 4 | (uint64_t)(at - digits);
    }
    return 0;
}

static int read_rendition(struct slice s, struct hls_rendition *out)
{
    uint64_t track;
    *out = (struct hls_rendition){.kind = HLS_MAIN};
    if (slice_is(s, kind_text[HLS_MAIN]))
        return 0;
    if (s.len < 2 || (s.p[0] != 'v' && s.p[0] != 'a') ||
        read_number(slice_of(s.p + 1, s.len - 1), HLS_TRACK_MAX, &track) < 0)
        return ERR_NAME;
    *out = (struct hls_rendition){.kind = s.p[0] == 'v' ? HLS_VIDEO : HLS_AUDIO,
                                  .track = (uint8_t)track};
    return 0;
}

/* "<epoch>-<msn>" or "<epoch>-<msn>.<part>". */
static int read_place(struct slice s, struct hls_object *out)
{
    struct slice rest, part_text;
    bool has_msn, has_part;
    uint64_t part = 0;
    struct slice epoch = slice_cut(s, '-', &rest, &has_msn);
    struct slice msn = slice_cut(rest, '.', &part_text, &has_part);
    if (!has_msn || read_number(epoch, UINT64_MAX, &out->epoch) < 0 ||
        read_number(msn, HLS_MSN_MAX, &out->msn) < 0)
        return ERR_NAME;
    if (has_part && read_number(part_text, HLS_PART_MAX, &part) < 0)
        return ERR_NAME;
    out->kind = has_part ? HLS_PART : HLS_SEGMENT;
    out->part = (uint32_t)part;
    return 0;
}

/* Takes the ending off; false when s has another one. */
static bool take_ending(struct slice *s, const char *ending)
{
    size_t len = strlen(ending);
    if (s->len <= len || memcmp(s->p + s->len - len, ending, len) != 0)
        return false;
    s->len -= len;
    return true;
}

int hls_name_read(struct slice name, struct hls_object *out)
{
    struct slice rest;
    bool found;
    *out = (struct hls_object){.kind = HLS_PLAYLIST};
    if (name.len >= HLS_NAME_MAX)
        return ERR_NAME;
    if (take_ending(&name, ".m3u8")) {
        if (!slice_is(name, "index"))
            return read_rendition(name, &out->rendition);
        out->kind = HLS_MULTIVARIANT;
        return 0;
    }
    bool is_init = take_ending(&name, ".mp4");
    if (!is_init && !take_ending(&name, ".m4s"))
        return ERR_NAME;
    struct slice rendition = slice_cut(name, '-', &rest, &found);
    if (!found || read_rendition(rendition, &out->rendition) < 0)
        return ERR_NAME;
    out->kind = HLS_INIT;
    return is_init ? read_hash(rest, &out->hash) : read_place(rest, out);
}

void hls_rendition_text(struct hls_rendition r, char out[HLS_RENDITION_TEXT_MAX])
{
    must(r.kind <= HLS_AUDIO);
    if (r.kind == HLS_MAIN)
        snprintf(out, HLS_RENDITION_TEXT_MAX, "%s", kind_text[HLS_MAIN]);
    else
        snprintf(out, HLS_RENDITION_TEXT_MAX, "%s%u", kind_text[r.kind], r.track);
}

size_t hls_name_write(const struct hls_object *o, char out[HLS_NAME_MAX])
{
    char rendition[HLS_RENDITION_TEXT_MAX];
    int n = 0;
    hls_rendition_text(o->rendition, rendition);
    switch (o->kind) {
    case HLS_MULTIVARIANT:
        n = snprintf(out, HLS_NAME_MAX, "index.m3u8");
        break;
    case HLS_PLAYLIST:
        n = snprintf(out, HLS_NAME_MAX, "%s.m3u8", rendition);
        break;
    case HLS_SEGMENT:
        n = snprintf(out, HLS_NAME_MAX, "%s-%" PRIu64 "-%" PRIu64 ".m4s", rendition, o->epoch,
                     o->msn);
        break;
    case HLS_PART:
        n = snprintf(out, HLS_NAME_MAX, "%s-%" PRIu64 "-%" PRIu64 ".%" PRIu32 ".m4s", rendition,
                     o->epoch, o->msn, o->part);
        break;
    case HLS_INIT:
        n = snprintf(out, HLS_NAME_MAX, "%s-%016" PRIx64 ".mp4", rendition, o->hash);
        break;
    }
    must(n > 0 && n < HLS_NAME_MAX);
    return (size_t)n;
}

/* Directives. */

static int read_directive(struct slice value, uint64_t max, bool *has, uint64_t *out)
{
    if (*has || slice_u64(value, max, out) < 0)
        return ERR_PROTOCOL;
    *has = true;
    return 0;
}

int hls_directives_read(struct slice query, struct hls_directives *out)
{
    struct slice key, value;
    uint64_t part = 0;
    *out = (struct hls_directives){0};
    while (url_query_next(&query, &key, &value)) {
        int err = 0;
        if (slice_is(key, "_HLS_msn"))
            err = read_directive(value, UINT64_MAX, &out->has_msn, &out->msn);
        else if (slice_is(key, "_HLS_part"))
            err = read_directive(value, UINT32_MAX, &out->has_part, &part);
        else if (slice_is(key, "_HLS_skip"))
            out->skip = slice_is(value, "YES") || slice_is(value, "v2");
        if (err < 0)
            return err;
    }
    out->part = (uint32_t)part;
    return out->has_part && !out->has_msn ? ERR_PROTOCOL : 0;
}

uint32_t hls_ahead_max(int64_t part_target_us)
{
    if (part_target_us <= 0 || part_target_us * AHEAD_MIN >= AHEAD_US)
        return AHEAD_MIN;
    return (uint32_t)((AHEAD_US + part_target_us - 1) / part_target_us);
}

/* Part n of the segment that is being written, or of the one after it. */
static enum hls_verdict judge_part(uint64_t n, const struct hls_head *h)
{
    if (n < h->parts)
        return HLS_READY;
    return n - h->parts < h->ahead_max ? HLS_WAIT : HLS_TOO_FAR;
}

enum hls_verdict hls_directives_judge(const struct hls_directives *d, const struct hls_head *h)
{
    if (!d->has_msn)
        return HLS_READY;
    if (d->msn < h->msn) {
        bool is_next = d->has_part && d->msn + 1 == h->msn && h->previous_parts > 0 &&
                       d->part >= h->previous_parts;
        return is_next && h->parts == 0 ? HLS_WAIT : HLS_READY;
    }
    if (d->msn - h->msn > SEGMENT_AHEAD)
        return HLS_TOO_FAR;
    if (!d->has_part)
        return HLS_WAIT;
    if (d->msn == h->msn)
        return judge_part(d->part, h);
    return d->part < h->ahead_max ? HLS_WAIT : HLS_TOO_FAR;
}
