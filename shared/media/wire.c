#include "media/wire.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "proto/flv.h"
#include "proto/rtmp_chunk.h"
#include "proto/rtmp_message.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(RTMP_CHUNK_HEADER_MAX + FLV_REWRITE_MAX <= sizeof((struct wire_form){0}.head),
               "a message header and a rewritten body header fit");
_Static_assert(RTMP_CHUNK_CONTINUATION_MAX <= sizeof((struct wire_form){0}.tail), "so does this");
_Static_assert(FLV_TAG_TRAILER_SIZE <= sizeof((struct wire_form){0}.tail), "and this");

#define FLAT_READERS 4 /* of a span, then a copy of it is made: it costs less than a write */
#define FLAT_PIECES  4 /* below that a copy gains nothing */

static const struct {
    uint8_t type, csid; /* message (or tag) type, and the chunk stream we send it on */
} kinds[] = {
    [FRAME_VIDEO] = {RTMP_VIDEO, 6},
    [FRAME_AUDIO] = {RTMP_AUDIO, 4},
    [FRAME_DATA] = {RTMP_DATA, 5},
};

static bool is_basic(enum wire_kind kind)
{
    return kind == WIRE_RTMP_BASIC || kind == WIRE_FLV_BASIC;
}

static bool is_rtmp(enum wire_kind kind)
{
    return kind == WIRE_RTMP || kind == WIRE_RTMP_BASIC;
}

/* Wrapped in Multitrack or ModEx: the only bodies a plain player must get in another form. */
static bool is_wrapped(const struct frame *f)
{
    if (f->size == 0 || f->kind == FRAME_DATA)
        return false;
    unsigned packet = f->data[0] & 0x0f;
    if (f->kind == FRAME_VIDEO)
        return (f->data[0] & 0x80) != 0 && (packet == FLV_VIDEO_MULTITRACK || packet == FLV_MODEX);
    return f->data[0] >> 4 == 9 && (packet == FLV_AUDIO_MULTITRACK || packet == FLV_MODEX);
}

static bool rewrite_for_basic(const struct frame *f, struct flv_rewrite *rewrite)
{
    if (f->kind == FRAME_DATA)
        return true;
    if (f->track != 0 || (f->flags & FRAME_META) != 0)
        return false;
    return !is_wrapped(f) || flv_downgrade(kinds[f->kind].type, frame_payload(f), rewrite) == 0;
}

void wire_form(enum wire_kind kind, const struct frame *f, int64_t shift_ms, struct wire_form *out)
{
    struct flv_rewrite rewrite = {0};
    out->total = 0;
    if (is_basic(kind) && !rewrite_for_basic(f, &rewrite))
        return;
    uint32_t timestamp_ms = (uint32_t)(f->wire_ms + shift_ms);
    uint32_t body = f->size - (uint32_t)rewrite.skip + (uint32_t)rewrite.header_len;
    size_t head, chunks = 1;
    if (is_rtmp(kind)) {
        const struct rtmp_message m = {.type = kinds[f->kind].type,
                                       .csid = kinds[f->kind].csid,
                                       .sid = WIRE_RTMP_SID,
                                       .timestamp_ms = timestamp_ms,
                                       .body = {NULL, body}};
        head = rtmp_chunk_header(out->head, &m);
        out->tail_len =
            (uint8_t)rtmp_chunk_continuation(out->tail, kinds[f->kind].csid, timestamp_ms);
        if (body > RTMP_CHUNK_SIZE_OUT)
            chunks = (body + RTMP_CHUNK_SIZE_OUT - 1) / RTMP_CHUNK_SIZE_OUT;
    } else {
        flv_tag_header(out->head, kinds[f->kind].type, body, timestamp_ms);
        head = FLV_TAG_HEADER_SIZE;
        flv_tag_trailer(out->tail, body);
        out->tail_len = FLV_TAG_TRAILER_SIZE;
        chunks = 2; /* the trailer comes once */
    }
    memcpy(out->head + head, rewrite.header, rewrite.header_len);
    out->head_len = (uint8_t)(head + rewrite.header_len);
    out->body_head = (uint8_t)rewrite.header_len;
    out->skip = (uint32_t)rewrite.skip;
    out->total = (uint32_t)(head + body + (chunks - 1) * out->tail_len);
}

static struct iovec iov_of(const void *p, size_t len)
{
    union {
        const void *in;
        void *out;
    } u = {p}; /* writev only reads it */
    return (struct iovec){u.out, len};
}

int wire_iov(enum wire_kind kind, const struct wire_form *form, const struct frame *f,
             struct iovec *iov, int room)
{
    int n = 0;
    if (form->total == 0)
        return 0;
    if (room < 3)
        return -1;
    iov[n++] = iov_of(form->head, form->head_len);
    const uint8_t *p = f->data + form->skip;
    size_t left = f->size - form->skip;
    size_t in_chunk = is_rtmp(kind) ? (size_t)RTMP_CHUNK_SIZE_OUT - form->body_head : left;
    while (left > 0) {
        size_t piece = left < in_chunk ? left : in_chunk;
        if (n + 2 > room)
            return -1;
        iov[n++] = iov_of(p, piece);
        p += piece;
        left -= piece;
        in_chunk = RTMP_CHUNK_SIZE_OUT;
        if (left > 0)
            iov[n++] = iov_of(form->tail, form->tail_len);
    }
    if (!is_rtmp(kind)) {
        if (n == room)
            return -1;
        iov[n++] = iov_of(form->tail, form->tail_len);
    }
    return n;
}

int wire_rest(enum wire_kind kind, const struct frame *f, int64_t shift_ms, size_t offset,
              struct wire_form *form, struct iovec *iov, int room)
{
    wire_form(kind, f, shift_ms, form);
    must(offset < form->total);
    int n = wire_iov(kind, form, f, iov, room);
    int first = 0;
    while (first < n && offset >= iov[first].iov_len)
        offset -= iov[first++].iov_len;
    if (first >= n)
        return -1;
    iov[first].iov_base = (uint8_t *)iov[first].iov_base + offset;
    iov[first].iov_len -= offset;
    memmove(iov, iov + first, (size_t)(n - first) * sizeof iov[0]);
    return n - first;
}

static void span_gather(struct wire_span *s, const struct wire_place *at)
{
    s->bytes = 0;
    s->iov_count = 0;
    s->to = s->from;
    size_t i = 0;
    while (s->to < at->run->next && i < WIRE_SPAN_FRAMES && s->bytes < WIRE_SPAN_BYTES) {
        const struct frame *f = run_frame(at->run, s->to);
        struct wire_form *form = &s->forms[i];
        if ((at->mute & 1U << f->kind) != 0 && frame_is_media(f))
            form->total = 0;
        else
            wire_form(at->kind, f, at->run->shift_ms, form);
        int n = wire_iov(at->kind, form, f, s->iov + s->iov_count, WIRE_SPAN_IOV - s->iov_count);
        if (n < 0)
            return;
        s->totals[i] = form->total;
        s->bytes += form->total;
        s->iov_count += n;
        s->to++;
        i++;
    }
}

/* Nobody reads it any more: the log has gone on. */
static bool is_past(const struct wire_span *s)
{
    return s->log == NULL || s->change != s->log->change;
}

/* That of a span which is past, or a new one; NULL when all are read. */
static uint8_t *flat_take(struct wire_cache *c)
{
    size_t flats = 0;
    for (size_t i = 0; i < WIRE_SPANS; i++) {
        struct wire_span *s = c->spans[i];
        if (s == NULL || s->flat == NULL)
            continue;
        flats++;
        if (!is_past(s))
            continue;
        uint8_t *flat = s->flat;
        s->flat = NULL;
        s->log = NULL;
        return flat;
    }
    return flats < WIRE_FLATS ? xmalloc(WIRE_FLAT_BYTES) : NULL;
}

/*
 * Each piece of a write costs the kernel some tens of nanoseconds: merged for 350 ms, a write of 50
 * pieces is a tenth dearer than one of the same bytes in one. So what many read is put together
 * once.
 */
static void span_flatten(struct wire_cache *c, struct wire_span *s)
{
    if (s->flat == NULL)
        s->flat = flat_take(c);
    if (s->flat == NULL)
        return;
    size_t at = 0;
    for (int i = 0; i < s->iov_count; i++) {
        memcpy(s->flat + at, s->iov[i].iov_base, s->iov[i].iov_len);
        at += s->iov[i].iov_len;
    }
    s->iov[0] = (struct iovec){s->flat, s->bytes};
    s->iov_count = 1;
}

static const struct wire_span *span_read(struct wire_cache *c, struct wire_span *s)
{
    if (++s->readers == FLAT_READERS && s->iov_count >= FLAT_PIECES && s->bytes <= WIRE_FLAT_BYTES)
        span_flatten(c, s);
    return s;
}

_Static_assert(WIRE_SPAN_IOV > 3 + 2 * (FRAME_BYTES_MAX / RTMP_CHUNK_SIZE_OUT + 1),
               "the largest frame fits into an empty span");

static bool is_at(const struct wire_span *s, const struct wire_place *at)
{
    return s->log == at->log && s->change == at->log->change && s->from == at->from &&
           s->kind == at->kind && s->mute == at->mute && s->epoch == at->run->epoch;
}

const struct wire_span *wire_span_get(struct wire_cache *c, const struct wire_place *at)
{
    size_t oldest = 0;
    c->tick++;
    for (size_t i = 0; i < WIRE_SPANS; i++) {
        struct wire_span *s = c->spans[i];
        if (s == NULL) {
            oldest = i;
            break;
        }
        if (is_at(s, at)) {
            s->used = c->tick;
            return span_read(c, s);
        }
        if (s->used < c->spans[oldest]->used)
            oldest = i;
    }
    if (c->spans[oldest] == NULL) {
        c->spans[oldest] = xmalloc(sizeof *c->spans[oldest]);
        c->spans[oldest]->flat = NULL;
    }
    struct wire_span *s = c->spans[oldest];
    s->log = at->log;
    s->change = at->log->change;
    s->epoch = at->run->epoch;
    s->from = at->from;
    s->kind = at->kind;
    s->mute = at->mute;
    s->used = c->tick;
    s->readers = 0;
    span_gather(s, at);
    return span_read(c, s);
}

void wire_cache_forget(struct wire_cache *c, const struct log *l)
{
    for (size_t i = 0; i < WIRE_SPANS; i++)
        if (c->spans[i] != NULL && c->spans[i]->log == l)
            c->spans[i]->log = NULL;
}

void wire_cache_fini(struct wire_cache *c)
{
    for (size_t i = 0; i < WIRE_SPANS; i++) {
        if (c->spans[i] != NULL)
            free(c->spans[i]->flat);
        free(c->spans[i]);
        c->spans[i] = NULL;
    }
}

int wire_preamble(enum wire_kind kind, const struct inforce *i, int64_t wire_ms, int64_t shift_ms,
                  struct buf *out)
{
    struct wire_form form;
    LEFT_AS_IT_IS struct iovec iov[WIRE_SPAN_IOV];
    for (uint32_t k = 0; i != NULL && k < i->count; k++) {
        const struct frame *f = i->frames[k];
        /* As if it had been published with the first frame the viewer gets; but onMetaData at 0, as
         * at the start of a file: at other times FFmpeg takes it for a subtitle. */
        int64_t at_ms = f->kind == FRAME_DATA ? 0 : wire_ms + shift_ms;
        wire_form(kind, f, at_ms - f->wire_ms, &form);
        int n = wire_iov(kind, &form, f, iov, WIRE_SPAN_IOV);
        if (n < 0)
            return ERR_TOO_LARGE;
        for (int v = 0; v < n; v++) {
            int err = buf_append(out, iov[v].iov_base, iov[v].iov_len);
            if (err < 0)
                return err;
        }
    }
    return 0;
}
