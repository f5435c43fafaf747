/* onMetaData: which tracks a publisher announces, and at what rates. */
#include "base/mem.h"
#include "media/segmenter.h"
#include "proto/amf0.h"

#include <stdlib.h>

#define KBPS_MAX       10000000.0 /* what is more is no rate */
#define FRAME_RATE_MAX 1000.0

static void announce(struct segmenter_metadata *m, enum frame_kind kind, uint8_t id)
{
    uint16_t number = (uint16_t)(kind << 8 | id);
    for (uint32_t i = 0; i < m->track_count; i++)
        if (m->tracks[i] == number)
            return;
    if (m->track_count < CUT_TRACKS_MAX)
        m->tracks[m->track_count++] = number;
}

/* Enhanced RTMP v2: an object with a property for each track beside track 0. */
static void announce_map(struct segmenter_metadata *m, enum frame_kind kind,
                         const struct amf0_value *map)
{
    if (map == NULL || (map->type != AMF0_OBJECT && map->type != AMF0_ECMA_ARRAY))
        return;
    for (const struct amf0_value *c = map + 1; c < map + map->span; c += c->span) {
        uint64_t id;
        if (slice_u64(c->key, UINT8_MAX, &id) == 0)
            announce(m, kind, (uint8_t)id);
    }
}

/* Encoders write the id of a codec, or its name, or 0 for none. */
static bool says_codec(const struct amf0_value *v)
{
    return v != NULL && (amf0_number(v, 0) > 0 || amf0_text(v).len > 0);
}

static double rate_of(const struct amf0_value *v, double max)
{
    double rate = amf0_number(v, 0);
    return rate > 0 && rate <= max ? rate : 0;
}

static void read_object(const struct amf0_value *o, struct segmenter_metadata *m)
{
    bool video = says_codec(amf0_get(o, "videocodecid"));
    bool audio = says_codec(amf0_get(o, "audiocodecid"));
    double video_kbps = rate_of(amf0_get(o, "videodatarate"), KBPS_MAX);
    double audio_kbps = rate_of(amf0_get(o, "audiodatarate"), KBPS_MAX);
    if (video)
        announce(m, FRAME_VIDEO, 0);
    if (audio)
        announce(m, FRAME_AUDIO, 0);
    announce_map(m, FRAME_VIDEO, amf0_get(o, "videoTrackIdInfoMap"));
    announce_map(m, FRAME_AUDIO, amf0_get(o, "audioTrackIdInfoMap"));
    m->seen = m->track_count > 0;
    /* The rates are track 0's; what others need is not told here. */
    bool complete = m->track_count == (uint32_t)video + (uint32_t)audio &&
                    (!video || video_kbps > 0) && (!audio || audio_kbps > 0);
    m->bps = complete ? (uint64_t)((video_kbps + audio_kbps) * 1000) : 0;
    m->frame_rate_milli =
        video ? (uint32_t)(rate_of(amf0_get(o, "framerate"), FRAME_RATE_MAX) * 1000 + 0.5) : 0;
}

void segmenter_read_metadata(const struct frame *f, struct segmenter_metadata *out)
{
    size_t count;
    struct amf0_value *values = xcalloc(AMF0_VALUES_MAX, sizeof *values);
    int err = amf0_parse_all(frame_payload(f), true, values, AMF0_VALUES_MAX, &count);
    bool named = err == 0 && count >= 2 && values[0].type == AMF0_STRING &&
                 slice_is(values[0].text, "onMetaData");
    if (named) {
        *out = (struct segmenter_metadata){0};
        read_object(&values[1], out);
    }
    free(values);
}
