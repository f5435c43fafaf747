#include "media/relay_frames.h"

#include "base/err.h"
#include "proto/flv.h"

#include <string.h>

#define FLAGS_KNOWN (FRAME_KEY | FRAME_CONFIG | FRAME_META | FRAME_END | FRAME_DISCONTINUITY)

/* NOLINTBEGIN(misc-redundant-expression): that both sides are the same is what is asserted. */
_Static_assert((int)FRAME_VIDEO == (int)RELAY_VIDEO && (int)FRAME_AUDIO == (int)RELAY_AUDIO &&
                   (int)FRAME_DATA == (int)RELAY_DATA,
               "kinds go over the wire as they are");
/* NOLINTEND(misc-redundant-expression) */

struct relay_record relay_record_of(const struct frame *f)
{
    return (struct relay_record){
        .type = RELAY_FRAME,
        .flags = f->flags,
        .track = frame_track_number(f),
        .seq = f->seq,
        .dts_us = f->dts_us,
        .cts_us = f->cts_us,
        .wire_ms = f->wire_ms,
        .payload = frame_payload(f),
    };
}

/* The record does not carry it: it is in the body. */
static uint32_t codec_of(uint8_t kind, struct slice body)
{
    struct flv_packet packets[FLV_PACKETS_MAX];
    if (kind == FRAME_DATA)
        return 0;
    uint8_t type = kind == FRAME_VIDEO ? FLV_TAG_VIDEO : FLV_TAG_AUDIO;
    return flv_packets(type, body, packets) > 0 ? packets[0].codec : 0;
}

static int frame_new_of(const struct relay_record *rec, struct frame **out)
{
    uint8_t kind = relay_track_kind(rec->track);
    if (kind > FRAME_DATA)
        return ERR_PROTOCOL;
    struct frame *f = frame_new((enum frame_kind)kind, rec->payload.len);
    if (f == NULL)
        return ERR_TOO_LARGE;
    f->track = relay_track_id(rec->track);
    f->flags = rec->flags & FLAGS_KNOWN;
    f->codec = codec_of(kind, rec->payload);
    f->seq = rec->seq;
    f->dts_us = rec->dts_us;
    f->cts_us = rec->cts_us;
    f->wire_ms = rec->wire_ms;
    if (rec->payload.len > 0)
        memcpy(f->data, rec->payload.p, rec->payload.len);
    *out = f;
    return 0;
}

int relay_frame_new(const struct relay_record *rec, struct frame **out)
{
    *out = NULL;
    return rec->seq == 0 ? ERR_PROTOCOL : frame_new_of(rec, out);
}

int relay_inforce_new(const struct relay_state *s, struct inforce **out)
{
    *out = NULL;
    for (size_t i = 0; i < s->in_force_count; i++) {
        struct frame *f;
        int err = frame_new_of(&s->in_force[i], &f);
        if (err < 0) {
            inforce_unref(out);
            return err;
        }
        struct inforce *next = inforce_with(*out, f);
        frame_unref(&f);
        if (next == NULL)
            continue; /* more than a log holds in force either */
        inforce_unref(out);
        *out = next;
    }
    return 0;
}
