/* Frames become units: what goes over RTP, from which log, and where on the line it lies. */
#include "rtc/rtc_units_internal.h"

#include "proto/rtp.h"

#include <stdlib.h>
#include <string.h>

#define H264_BASELINE    66 /* profile_idc */
#define PADDING_MAX      64 /* bytes of a picture's last packet */
#define OPUS_CHANNELS_AT 9  /* byte of an OpusHead (RFC 7845, 5.1) */

/* The payload formats that go over RTP here, with their clocks. */
static const struct {
    uint32_t codec;
    enum rtc_track track;
    uint32_t clock_hz;
} codecs[] = {
    {FLV_CODEC_AVC, RTC_VIDEO, RTP_VIDEO_RATE}, {FLV_CODEC_HEVC, RTC_VIDEO, RTP_VIDEO_RATE},
    {FLV_CODEC_VP8, RTC_VIDEO, RTP_VIDEO_RATE}, {FLV_CODEC_VP9, RTC_VIDEO, RTP_VIDEO_RATE},
    {FLV_CODEC_AV1, RTC_VIDEO, RTP_VIDEO_RATE}, {FLV_CODEC_OPUS, RTC_AUDIO, RTP_OPUS_RATE},
};

static bool points_into(struct slice piece, const struct frame *f)
{
    return piece.p >= f->data && piece.p < f->data + f->size;
}

/* What the last payload lacks to the one before it, when that is only what was left by cutting. */
static uint8_t padding_of(const struct rtp_packed *packed)
{
    if (packed->count < 2)
        return 0;
    size_t last = packed->payloads[packed->count - 1].len;
    size_t full = packed->payloads[packed->count - 2].len;
    return last < full && full - last <= PADDING_MAX ? (uint8_t)(full - last) : 0;
}

/* Where the parts of a unit are being put. */
struct making {
    struct frame *frame;
    struct slice *piece;
    uint8_t *bytes;
};

static void put_piece(struct making *m, struct slice piece)
{
    *m->piece = piece;
    if (!points_into(piece, m->frame)) {
        memcpy(m->bytes, piece.p, piece.len);
        m->piece->p = m->bytes;
        m->bytes += piece.len;
    }
    m->piece++;
}

static void put_payload(struct making *m, struct rtc_packet *to, const struct rtp_payload *p)
{
    *to = (struct rtc_packet){m->piece, (uint16_t)p->piece_count, (uint16_t)p->len, 0};
    for (size_t i = 0; i < p->piece_count; i++)
        put_piece(m, p->pieces[i]);
}

static void pad(struct making *m, struct rtc_packet *last, uint8_t padding)
{
    uint8_t bytes[PADDING_MAX] = {0};
    if (padding == 0)
        return;
    bytes[padding - 1] = padding;
    put_piece(m, slice_of(bytes, padding));
    last->piece_count++;
    last->len = (uint16_t)(last->len + padding);
    last->padding = padding;
}

/* A unit in one allocation: packets, their pieces, and the bytes that are not the frame's.  NULL
 * when there is no memory. */
static struct rtc_unit *unit_new(const struct rtp_packed *packed, struct frame *f)
{
    uint8_t padding = padding_of(packed);
    size_t pieces = 1, made = padding;
    for (size_t i = 0; i < packed->count; i++) {
        pieces += packed->payloads[i].piece_count;
        for (size_t k = 0; k < packed->payloads[i].piece_count; k++)
            if (!points_into(packed->payloads[i].pieces[k], f))
                made += packed->payloads[i].pieces[k].len;
    }
    struct rtc_unit *u = malloc(sizeof *u + packed->count * sizeof u->packets[0] +
                                pieces * sizeof(struct slice) + made);
    if (u == NULL)
        return NULL;
    *u = (struct rtc_unit){.count = (uint32_t)packed->count, .frame = frame_ref(f)};
    struct slice *first = (struct slice *)(void *)(u->packets + packed->count);
    struct making m = {f, first, (uint8_t *)(first + pieces)};
    for (size_t i = 0; i < packed->count; i++) {
        put_payload(&m, &u->packets[i], &packed->payloads[i]);
        u->bytes += (uint32_t)packed->payloads[i].len;
    }
    pad(&m, &u->packets[packed->count - 1], padding);
    return u;
}

static bool track_of(const struct frame *f, enum rtc_track *out)
{
    *out = f->kind == FRAME_VIDEO ? RTC_VIDEO : RTC_AUDIO;
    return f->kind != FRAME_DATA && f->track == 0;
}

static void drop_codec(struct units_track *track)
{
    rtp_packer_free(&track->packer);
    frame_unref(&track->config);
    track->face.codec = 0;
    track->face.config = slice_of(NULL, 0);
}

/* The track goes on with this codec, if it goes over RTP. */
static void use_codec(struct rtc_units *s, enum rtc_track t, uint32_t codec)
{
    struct units_track *track = &s->tracks[t];
    if (track->published == codec)
        return;
    track->published = codec;
    drop_codec(track);
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++)
        if (codecs[i].codec == codec && codecs[i].track == t) {
            track->packer = rtp_packer_new(codec);
            track->face.codec = codec;
            track->face.clock_hz = codecs[i].clock_hz;
        }
}

/* The only packet of that class in a body that is track 0's alone. */
static bool packet_of(const struct frame *f, enum flv_class class, struct flv_packet *out)
{
    struct flv_packet packets[FLV_PACKETS_MAX];
    uint8_t type = f->kind == FRAME_VIDEO ? FLV_TAG_VIDEO : FLV_TAG_AUDIO;
    int n = flv_packets(type, frame_payload(f), packets);
    if (n != 1 || packets[0].class != class || packets[0].track != 0)
        return false;
    *out = packets[0];
    return true;
}

/* Other sound comes as a derived track. */
static bool is_opus(const struct flv_packet *p)
{
    return p->codec == FLV_CODEC_OPUS;
}

/* More than two channels, which RFC 7587 does not know: an OpusHead that says so. */
static bool is_surround(struct slice head)
{
    return head.len > OPUS_CHANNELS_AT && head.p[OPUS_CHANNELS_AT] > 2;
}

void rtc_units_take_config(struct rtc_units *s, struct frame *f, bool derived)
{
    enum rtc_track t;
    struct flv_packet p;
    if (!track_of(f, &t) || !packet_of(f, FLV_CONFIG, &p) || (t == RTC_AUDIO && !is_opus(&p)))
        return;
    if (t == RTC_VIDEO && s->replaced != derived)
        return;
    use_codec(s, t, p.codec);
    struct units_track *track = &s->tracks[t];
    if (track->packer == NULL || track->config == f)
        return;
    if (t == RTC_AUDIO && is_surround(p.payload)) {
        drop_codec(track);
        return;
    }
    if (rtp_packer_configure(track->packer, p.payload) != 0) {
        METRIC_INC(s->options.metrics->rtc_pack_failed_total);
        return;
    }
    frame_unref(&track->config);
    track->config = frame_ref(f);
    track->face.config = p.payload;
}

/* The line goes on at a run's first frame. */
static int64_t media_us_of(struct rtc_units *s, const struct frame *f)
{
    if (!s->run_begun) {
        s->run_begun = true;
        s->begin_us = s->any ? s->newest_us + s->gap_us : 0;
        s->base_us = s->begin_us - f->dts_us;
        s->video_from_us = s->begin_us;
        s->video_begun = false;
    }
    return s->base_us + f->dts_us;
}

/* From here on the derived track is waited for.  Who got something already gets none of it twice.
 */
static void replace_video(struct rtc_units *s)
{
    s->replaced = true;
    s->video_begun = s->has_key = false;
    s->video_from_us = s->exposed ? s->shown_us + 1 : s->begin_us;
}

/* A key frame that is shown later than it is decoded leaves time for pictures that come before
 * those they need: of the profiles that know such pictures, its stream has them. */
static bool announces_b(const struct units_track *track, const struct frame *f, bool key)
{
    struct rd config = rd_slice(track->face.config);
    return key && track->face.codec == FLV_CODEC_AVC && f->cts_us > 0 &&
           (rd_u16(&config) & 0xff) != H264_BASELINE;
}

static bool may_send(struct rtc_units *s, const struct rtp_packed *packed)
{
    if (!packed->bidirectional || s->replaced)
        return true;
    switch (s->options.b_frames) {
    case RTC_B_SEND:
        return true;
    case RTC_B_DROP:
        METRIC_INC(s->options.metrics->rtc_b_frames_dropped_total);
        return false;
    case RTC_B_REPLACE:
        replace_video(s);
        return false;
    }
    return false;
}

/* The frame has no place on the line of what is sent. */
static bool is_out_of_line(const struct rtc_units *s, enum rtc_track t, int64_t media_us, bool key,
                           bool derived)
{
    const struct units_track *track = &s->tracks[t];
    if (t == RTC_VIDEO && s->replaced != derived)
        return true;
    if (t == RTC_VIDEO)
        return !s->video_begun && !(key && media_us >= s->video_from_us);
    /* Sound may lie before its run's first key frame, on what was sent already. */
    return media_us < s->begin_us || (track->face.next > 0 && media_us <= track->newest_us);
}

static bool add(struct rtc_units *s, enum rtc_track t, struct frame *f,
                const struct rtp_packed *packed, int64_t media_us)
{
    struct rtc_unit *u = unit_new(packed, f);
    if (u == NULL)
        return false;
    u->track = t;
    u->key = t == RTC_VIDEO && (f->flags & FRAME_KEY) != 0;
    u->media_us = media_us;
    u->timestamp = rtc_units_timestamp(s, t, media_us + f->cts_us);
    if (t == RTC_VIDEO && (media_us + f->cts_us > s->shown_us || !s->any))
        s->shown_us = media_us + f->cts_us;
    s->video_begun |= t == RTC_VIDEO;
    rtc_units_append(s, u);
    return true;
}

static bool take_media(struct rtc_units *s, struct frame *f, bool derived)
{
    enum rtc_track t;
    struct flv_packet p;
    struct rtp_packed packed;
    if (!track_of(f, &t) || !packet_of(f, FLV_FRAMES, &p))
        return false;
    int64_t media_us = media_us_of(s, f);
    if (!derived && media_us > s->live_us)
        s->live_us = media_us;
    if (t == RTC_AUDIO && !is_opus(&p))
        return false;
    bool key = t == RTC_VIDEO && (f->flags & FRAME_KEY) != 0;
    if (is_out_of_line(s, t, media_us, key, derived))
        return false;
    use_codec(s, t, p.codec);
    struct units_track *track = &s->tracks[t];
    if (track->packer == NULL)
        return false;
    if (rtp_pack(track->packer, p.payload, key, &packed) != 0 || packed.count > RTC_PACKETS_MAX) {
        METRIC_INC(s->options.metrics->rtc_pack_failed_total);
        return false;
    }
    packed.bidirectional |= s->options.b_frames == RTC_B_REPLACE && announces_b(track, f, key);
    s->bidirectional |= packed.bidirectional;
    return packed.count > 0 && may_send(s, &packed) && add(s, t, f, &packed, media_us);
}

bool rtc_units_take(struct rtc_units *s, struct frame *f, bool derived)
{
    if ((f->flags & FRAME_CONFIG) != 0)
        rtc_units_take_config(s, f, derived);
    return frame_is_media(f) && take_media(s, f, derived);
}
