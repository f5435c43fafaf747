#include "origin/whip_tags.h"

#include "base/must.h"
#include "proto/amf0.h"
#include "proto/codec_info.h"

#define US_PER_MS        1000
#define VIDEO_ENHANCED   0x80
#define VIDEO_LEGACY_AVC 7
#define AUDIO_ENHANCED   0x90
#define HEADER_MAX       5 /* bytes: legacy AVC, and the enhanced forms that are used here */
#define OPUS_SAMPLE_RATE 48000
#define OPUS_CHANNELS    2

_Static_assert(HEADER_MAX <= RTP_UNIT_HEADROOM, "a header fits before a unit");

static bool is_audio(uint32_t codec)
{
    return codec == FLV_CODEC_OPUS;
}

/* --- onMetaData --- */

static double codec_id(uint32_t codec)
{
    return codec == FLV_CODEC_AVC ? VIDEO_LEGACY_AVC : codec;
}

static void describe_video(struct wr *w, uint32_t codec, const struct rtp_unit *unit)
{
    struct codec_info info;
    amf0_property_number(w, "videocodecid", codec_id(codec));
    if (unit == NULL || codec_info_read(&info, FLV_VIDEO, codec, unit->config,
                                        slice_of(unit->bytes, unit->len)) < 0)
        return;
    amf0_property_number(w, "width", info.video.width);
    amf0_property_number(w, "height", info.video.height);
}

static void describe_audio(struct wr *w, uint32_t codec)
{
    amf0_property_number(w, "audiocodecid", codec_id(codec));
    amf0_property_number(w, "audiosamplerate", OPUS_SAMPLE_RATE);
    amf0_property_number(w, "audiochannels", OPUS_CHANNELS);
    amf0_property_bool(w, "stereo", true);
}

/* All tracks that were agreed on, whether they have begun or not: HLS waits for them a while. */
static struct slice write_metadata(const struct whip_tags *t, const struct rtc_received *u,
                                   struct wr *w)
{
    const uint8_t *start = w->p;
    amf0_write_text(w, "onMetaData");
    amf0_write_ecma_array(w, 0);
    for (unsigned i = 0; i < RTC_TRACKS_MAX; i++) {
        if (t->codecs[i] == 0)
            continue;
        if (is_audio(t->codecs[i]))
            describe_audio(w, t->codecs[i]);
        else
            describe_video(w, t->codecs[i], i == u->track ? u->unit : NULL);
    }
    amf0_write_end(w);
    must(!w->overflow);
    return slice_of(start, (size_t)(w->p - start));
}

/* --- bodies --- */

static void write_header(struct wr *w, uint32_t codec, enum flv_frame_type type, bool config,
                         int32_t cts_ms)
{
    unsigned packet = config ? FLV_SEQUENCE_START : FLV_CODED_FRAMES;
    if (is_audio(codec)) {
        wr_u8(w, AUDIO_ENHANCED | packet);
        wr_u32(w, codec);
    } else if (codec == FLV_CODEC_AVC) {
        wr_u8(w, (unsigned)type << 4 | VIDEO_LEGACY_AVC);
        wr_u8(w, packet);
        wr_u24(w, (uint32_t)cts_ms);
    } else {
        wr_u8(w, VIDEO_ENHANCED | (unsigned)type << 4 | packet);
        wr_u32(w, codec);
    }
}

static struct slice write_config(uint32_t codec, struct slice config, struct wr *w)
{
    const uint8_t *start = w->p;
    write_header(w, codec, FLV_FRAME_KEY, true, 0);
    wr_put(w, config);
    must(!w->overflow);
    return slice_of(start, (size_t)(w->p - start));
}

/* In front of the unit, where there is room for it. */
static struct slice write_frame(uint32_t codec, const struct rtp_unit *unit, int32_t cts_ms)
{
    uint8_t header[HEADER_MAX];
    struct wr w = wr_init(header, sizeof header);
    write_header(&w, codec, unit->key ? FLV_FRAME_KEY : FLV_FRAME_INTER, false, cts_ms);
    must(!w.overflow);
    size_t len = wr_len(&w);
    memcpy(unit->bytes - len, header, len);
    return slice_of(unit->bytes - len, unit->len + len);
}

static int64_t ms_of(const struct whip_tags *t, int64_t us)
{
    int64_t since_us = us - t->start_us + WHIP_START_MS * US_PER_MS;
    return since_us > 0 ? (since_us + US_PER_MS / 2) / US_PER_MS : 0;
}

int whip_tags_of(struct whip_tags *t, const struct rtc_received *u, struct wr *scratch,
                 struct whip_tag out[WHIP_TAGS_MAX])
{
    uint32_t codec = t->codecs[u->track];
    uint8_t type = is_audio(codec) ? FLV_TAG_AUDIO : FLV_TAG_VIDEO;
    bool config = t->config_due[u->track] || u->unit->config_changed;
    bool first = !t->started;
    if (first)
        t->start_us = u->dts_us;
    t->started = true;
    t->config_due[u->track] = false;
    int64_t dts_ms = ms_of(t, u->dts_us);
    uint32_t timestamp_ms = (uint32_t)dts_ms;
    int n = 0;
    if (first || (config && type == FLV_TAG_VIDEO))
        out[n++] = (struct whip_tag){FLV_TAG_SCRIPT, timestamp_ms, write_metadata(t, u, scratch)};
    if (config)
        out[n++] =
            (struct whip_tag){type, timestamp_ms, write_config(codec, u->unit->config, scratch)};
    int32_t cts_ms = (int32_t)(ms_of(t, u->pts_us) - dts_ms);
    out[n++] = (struct whip_tag){type, timestamp_ms, write_frame(codec, u->unit, cts_ms)};
    return n;
}

void whip_tags_skip(struct whip_tags *t, const struct rtc_received *u)
{
    t->config_due[u->track] |= u->unit->config_changed;
}
