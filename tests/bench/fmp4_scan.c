#include "fmp4_scan.h"

#include "box.h"

#include <string.h>

#define MOOF_MAX (1024 * 1024) /* bytes */

#define BOX_MOOF FOURCC('m', 'o', 'o', 'f')
#define BOX_TRAF FOURCC('t', 'r', 'a', 'f')
#define BOX_TFHD FOURCC('t', 'f', 'h', 'd')
#define BOX_TFDT FOURCC('t', 'f', 'd', 't')
#define BOX_TRUN FOURCC('t', 'r', 'u', 'n')

/* What a traf says (ISO/IEC 14496-12, 8.8.7, 8.8.8, 8.8.12). */
struct fragment {
    uint32_t track, default_duration;
    uint64_t time, duration;
    uint32_t samples;
    bool timed;
};

void fmp4_scan_init(struct fmp4_scan *s)
{
    *s = (struct fmp4_scan){0};
    buf_init(&s->moof, MOOF_MAX);
}

void fmp4_scan_fini(struct fmp4_scan *s)
{
    buf_fini(&s->moof);
}

void fmp4_scan_begin(struct fmp4_scan *s)
{
    s->head_len = 0;
    s->left = 0;
    s->in_moof = s->other = false;
    buf_consume(&s->moof, buf_len(&s->moof));
}

void fmp4_scan_forget(struct fmp4_scan *s)
{
    s->count = 0;
}

static void read_tfhd(struct slice body, struct fragment *f)
{
    struct rd r = rd_init(body.p, body.len);
    uint32_t flags = rd_u32(&r);
    f->track = rd_u32(&r);
    if (flags & 0x1) /* base data offset */
        (void)rd_u64(&r);
    if (flags & 0x2) /* sample description */
        (void)rd_u32(&r);
    f->default_duration = flags & 0x8 ? rd_u32(&r) : 0;
}

static void read_tfdt(struct slice body, struct fragment *f)
{
    struct rd r = rd_init(body.p, body.len);
    f->time = rd_u32(&r) >> 24 == 1 ? rd_u64(&r) : rd_u32(&r);
    f->timed = true;
}

static void read_trun(struct slice body, struct fragment *f)
{
    struct rd r = rd_init(body.p, body.len);
    uint32_t flags = rd_u32(&r), count = rd_u32(&r);
    if (flags & 0x1) /* data offset */
        (void)rd_u32(&r);
    if (flags & 0x4) /* first sample's flags */
        (void)rd_u32(&r);
    for (uint32_t i = 0; i < count && !r.underrun; i++) {
        f->duration += flags & 0x100 ? rd_u32(&r) : f->default_duration;
        for (uint32_t more = 0x200; more <= 0x800; more <<= 1) /* size, flags, composition time */
            if (flags & more)
                (void)rd_u32(&r);
        f->samples++;
    }
}

/* A step of less than a sample is rounding. */
static void check(struct fmp4_scan *s, const struct fragment *f)
{
    struct fmp4_scan_track *t = s->tracks;
    while (t < s->tracks + s->count && t->id != f->track)
        t++;
    if (t == s->tracks + FMP4_SCAN_TRACKS)
        return;
    if (t == s->tracks + s->count) {
        s->count++;
    } else {
        int64_t step = (int64_t)(f->time - t->next_time),
                sample = (int64_t)f->duration / f->samples;
        s->holes += step >= sample;
        s->backs += step <= -sample;
    }
    *t = (struct fmp4_scan_track){f->track, f->time + f->duration};
    s->fragments++;
}

static void read_traf(struct fmp4_scan *s, struct slice rest)
{
    struct fragment f = {0};
    for (struct box b; box_next(&rest, &b);) {
        if (b.type == BOX_TFHD)
            read_tfhd(b.body, &f);
        else if (b.type == BOX_TFDT)
            read_tfdt(b.body, &f);
        else if (b.type == BOX_TRUN)
            read_trun(b.body, &f);
    }
    if (f.timed && f.samples > 0 && f.duration > 0)
        check(s, &f);
}

static void read_moof(struct fmp4_scan *s)
{
    struct slice rest = buf_slice(&s->moof);
    for (struct box b; box_next(&rest, &b);)
        if (b.type == BOX_TRAF)
            read_traf(s, b.body);
    buf_consume(&s->moof, buf_len(&s->moof));
}

/* The head of a top level box is complete. */
static void begin_box(struct fmp4_scan *s)
{
    struct rd r = rd_init(s->head, sizeof s->head);
    uint64_t size = rd_u32(&r);
    s->head_len = 0;
    s->in_moof = rd_u32(&r) == BOX_MOOF;
    s->other = size < BOX_HEADER || (s->in_moof && size > MOOF_MAX);
    s->left = s->other ? 0 : size - BOX_HEADER;
}

void fmp4_scan_feed(struct fmp4_scan *s, struct slice bytes)
{
    while (bytes.len > 0 && !s->other) {
        size_t room = s->left > 0 ? (size_t)s->left : sizeof s->head - s->head_len;
        size_t n = bytes.len < room ? bytes.len : room;
        if (s->left == 0) {
            memcpy(s->head + s->head_len, bytes.p, n);
            s->head_len += n;
            if (s->head_len == sizeof s->head)
                begin_box(s);
        } else {
            if (s->in_moof)
                (void)buf_append(&s->moof, bytes.p, n);
            s->left -= n;
            if (s->left == 0 && s->in_moof)
                read_moof(s);
        }
        bytes = slice_of(bytes.p + n, bytes.len - n);
    }
}
