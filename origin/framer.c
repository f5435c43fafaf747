/*
 *   message ──flv_packets──▶ packets ──copy or flv_split──▶ frames, one per track
 *           ──amf0 name────▶ onMetaData and other data
 */
#include "origin/framer.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"
#include "proto/amf0.h"

#include <string.h>

_Static_assert((int)FLV_VIDEO == (int)FRAME_VIDEO && (int)FLV_AUDIO == (int)FRAME_AUDIO,
               "packet kinds are frame kinds");

#define US_PER_MS 1000
#define NS_PER_US 1000

static uint8_t flags_of(const struct flv_packet *p)
{
    switch (p->class) {
    case FLV_CONFIG:
        return FRAME_CONFIG;
    case FLV_FRAMES:
        return p->frame_type == FLV_FRAME_KEY ? FRAME_KEY : 0;
    case FLV_END:
        return FRAME_END;
    case FLV_META:
        return FRAME_META;
    case FLV_COMMAND:
        return 0;
    }
    return 0;
}

static int32_t cts_us_of(const struct flv_packet *p)
{
    int32_t ms = p->cts_ms;
    if (ms > FRAMER_CTS_MAX_MS)
        ms = FRAMER_CTS_MAX_MS;
    if (ms < -FRAMER_CTS_MAX_MS)
        ms = -FRAMER_CTS_MAX_MS;
    return ms * US_PER_MS + (int32_t)(p->nano / NS_PER_US);
}

static bool has_room_for_track(struct framer *fr, const struct flv_packet *p)
{
    uint16_t number = (uint16_t)(p->kind << 8 | p->track);
    for (uint32_t i = 0; i < fr->track_count; i++)
        if (fr->tracks[i] == number)
            return true;
    if (fr->track_count == LOG_TRACKS_MAX)
        return false;
    fr->tracks[fr->track_count++] = number;
    return true;
}

static struct frame *frame_copy(struct frame_pool *pool, enum frame_kind kind, struct slice body)
{
    struct frame *f = frame_pool_new(pool, kind, body.len);
    if (f != NULL && body.len > 0)
        memcpy(f->data, body.p, body.len);
    return f;
}

static struct frame *frame_split(struct frame_pool *pool, const struct flv_packet *p)
{
    size_t size = flv_split_size(p);
    struct frame *f = frame_pool_new(pool, (enum frame_kind)p->kind, size);
    if (f == NULL)
        return NULL;
    struct wr w = wr_init(f->data, size);
    flv_split(p, &w);
    must(!w.overflow && wr_len(&w) == size);
    return f;
}

/* What stays in force is no part of the pool. */
static struct frame *frame_of(struct framer *fr, const struct flv_packet *p, struct slice body)
{
    struct frame_pool *pool = p->class == FLV_FRAMES ? &fr->pool : NULL;
    struct frame *f =
        flv_is_whole(p) ? frame_copy(pool, (enum frame_kind)p->kind, body) : frame_split(pool, p);
    if (f == NULL)
        return NULL;
    f->track = p->track;
    f->codec = p->codec;
    f->flags = flags_of(p);
    f->cts_us = cts_us_of(p);
    return f;
}

/* Sizes are checked before anything is allocated: a peer chooses them. */
static int check_sizes(const struct flv_packet *packets, int count, struct slice body)
{
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        const struct flv_packet *p = &packets[i];
        size_t size = flv_is_whole(p) ? body.len : flv_split_size(p);
        if (size > FRAME_BYTES_MAX ||
            ((p->class == FLV_CONFIG || p->class == FLV_META) && size > FRAMER_PREAMBLE_MAX))
            return ERR_TOO_LARGE;
        total += size;
    }
    return total > body.len * FRAMER_GROWTH_MAX + FRAMER_GROWTH_SLACK ? ERR_TOO_LARGE : 0;
}

static void stamp(struct frame **frames, int count, struct timestamp at)
{
    for (int i = 0; i < count; i++) {
        frames[i]->wire_ms = at.wire_ms;
        frames[i]->dts_us = at.dts_us;
    }
    if (count > 0 && at.discontinuity)
        frames[0]->flags |= FRAME_DISCONTINUITY;
}

static void drop_frames(struct frame **frames, int count)
{
    for (int i = 0; i < count; i++)
        frame_unref(&frames[i]);
}

static int take_media(struct framer *fr, uint8_t type, uint32_t timestamp_ms, struct slice body,
                      struct frame **out)
{
    LEFT_AS_IT_IS struct flv_packet packets[FLV_PACKETS_MAX];
    int count = flv_packets(type, body, packets);
    if (count <= 0)
        return count;
    int err = check_sizes(packets, count, body);
    if (err < 0)
        return err;
    int made = 0;
    for (int i = 0; i < count; i++) {
        if (!has_room_for_track(fr, &packets[i])) {
            fr->passed_over++;
            continue;
        }
        out[made] = frame_of(fr, &packets[i], body);
        if (out[made] == NULL) {
            drop_frames(out, made);
            return ERR_NOMEM;
        }
        made++;
    }
    stamp(out, made, timeline_place(&fr->timeline, timestamp_ms));
    return made;
}

/* Every data message begins with the name of what it says. */
static int data_name(struct slice body, struct slice *name)
{
    struct amf0_value value;
    size_t count;
    ssize_t n = amf0_parse(body.p, body.len, &value, 1, &count);
    if (n <= 0 || value.type != AMF0_STRING)
        return ERR_UNSUPPORTED;
    *name = value.text;
    return 0;
}

static int take_data(struct framer *fr, uint32_t timestamp_ms, struct slice body,
                     struct frame **out)
{
    struct slice name;
    if (body.len > FRAMER_PREAMBLE_MAX)
        return ERR_TOO_LARGE;
    int err = data_name(body, &name);
    if (err < 0)
        return err;
    out[0] = frame_copy(NULL, FRAME_DATA, body);
    if (out[0] == NULL)
        return ERR_NOMEM;
    if (slice_is(name, "onMetaData"))
        out[0]->flags = FRAME_META;
    stamp(out, 1, timeline_place(&fr->timeline, timestamp_ms));
    return 1;
}

int framer_take(struct framer *fr, uint8_t type, uint32_t timestamp_ms, struct slice body,
                struct frame *out[FLV_PACKETS_MAX])
{
    if (type == FLV_TAG_SCRIPT)
        return take_data(fr, timestamp_ms, body, out);
    if (type != FLV_TAG_AUDIO && type != FLV_TAG_VIDEO)
        return ERR_UNSUPPORTED;
    return take_media(fr, type, timestamp_ms, body, out);
}

void framer_fini(struct framer *fr)
{
    frame_pool_fini(&fr->pool);
}
