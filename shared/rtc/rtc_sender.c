/* What a viewer is sent, and when. */
#include "rtc/rtc_sender.h"

#include "base/must.h"
#include "core/crypto.h"
#include "proto/rtp_pack.h"
#include "rtc/rtc_sender_internal.h"

#include <stdlib.h>

#define TICK_US     5000    /* a viewer that is behind gets its share once in this time */
#define BEHIND_US   300000  /* media that a viewer is behind when it catches up at its pace */
#define PACE_MIN    8       /* packets of a tick */
#define PACE_TIMES  3       /* of the stream's rate */
#define WANT_KEY_US 1000000 /* who waits for a key frame asks for it this often */
#define SOUND_LATE_US                                                                              \
    40000 /* sound does not begin with older: it would be played late for ever                     \
           */
#define SOUND_WAIT_US   500000 /* from when on it may be as late as the newest there is */
#define SEQ_FIRST_MASK  0x7fff /* numbers begin below 32768 */
#define EXT_ONE_BYTE    0xbede
#define PLAYOUT_UNIT_MS 10
#define QUEUED_MIN      65536 /* bytes that may wait in any case: a key frame */
#define QUEUED_LESS     4     /* times less, for video to come back */
#define RESEND_AT_FIRST 32768 /* bytes that may be sent again before any were earned */

/* A block of one-byte elements (RFC 8285): 12 bits each for the least and the most delay. */
static void write_playout(struct sender_track *track, const struct rtc_sender_options *o)
{
    struct wr w = wr_init(track->ext, sizeof track->ext);
    wr_u16(&w, EXT_ONE_BYTE);
    wr_u16(&w, 1); /* words that follow */
    wr_u8(&w, track->how.playout_ext << 4 | 2);
    wr_u24(&w, (uint32_t)(o->playout_min_ms / PLAYOUT_UNIT_MS << 12 |
                          o->playout_max_ms / PLAYOUT_UNIT_MS));
}

struct rtc_sender *rtc_sender_new(const struct rtc_sender_options *o, int64_t now_us)
{
    struct rtc_sender *s = xcalloc(1, sizeof *s);
    s->options = *o;
    must(slice_copy(slice_text(o->cname), s->cname, sizeof s->cname));
    s->clock_us = o->unix_us - now_us;
    s->resend_tokens = RESEND_AT_FIRST;
    for (unsigned t = 0; t < RTC_TRACKS; t++) {
        const struct rtc_units_track *of = rtc_units_track(o->stream, t);
        struct sender_track *track = &s->tracks[t];
        *track =
            (struct sender_track){.how = o->tracks[t], .ssrc = of->ssrc, .rtx_ssrc = of->rtx_ssrc};
        track->numbers.hole = -1;
        for (size_t i = 0; i < SENDER_RESENT; i++)
            track->resent[i].packet = -1;
        uint16_t random[2];
        crypto_random(random, sizeof random);
        track->numbers.offset = random[0] & SEQ_FIRST_MASK;
        track->rtx_seq = random[1] & SEQ_FIRST_MASK;
        write_playout(track, o);
    }
    return s;
}

void rtc_sender_free(struct rtc_sender **sp)
{
    free(*sp);
    *sp = NULL;
}

const struct rtc_sender_stats *rtc_sender_stats(const struct rtc_sender *s)
{
    return &s->stats;
}

/* ---- numbers ---- */

int64_t sender_index_of(const struct sender_numbers *n, int64_t packet)
{
    return packet + (packet >= n->from ? n->offset : n->old_offset);
}

bool sender_packet_of(const struct sender_numbers *n, uint16_t seq, int64_t *packet)
{
    if (!n->begun)
        return false;
    int64_t index = rtp_unwrap16(n->next + n->offset, seq);
    *packet = index - n->offset;
    if (*packet >= n->from)
        return *packet < n->next;
    *packet = index - n->old_offset;
    return *packet >= n->old_from && *packet < n->old_to;
}

/* This packet goes out for the first time: its number follows that of the one before. */
static int64_t number_next(struct sender_numbers *n, int64_t packet)
{
    if (!n->begun) {
        n->begun = true;
        n->offset -= packet;
        n->from = packet;
    } else if (n->hole >= 0) {
        n->old_offset = n->offset;
        n->old_from = n->from;
        n->old_to = n->hole;
        n->offset -= packet - n->hole;
        n->from = packet;
    }
    n->hole = -1;
    n->next = packet + 1;
    return packet + n->offset;
}

static void leave_out(struct sender_numbers *n, int64_t packet)
{
    if (n->begun && n->hole < 0)
        n->hole = packet;
}

void sender_header(uint8_t *dst, unsigned type, bool marker, int64_t index, uint32_t timestamp,
                   uint32_t ssrc)
{
    dst[0] = 0x80;
    dst[1] = (uint8_t)(type | (marker ? 0x80 : 0));
    dst[2] = (uint8_t)(index >> 8);
    dst[3] = (uint8_t)index;
    put_u32(dst + 4, timestamp);
    put_u32(dst + 8, ssrc);
}

size_t sender_extend(uint8_t *header, const struct sender_track *track, const struct rtc_unit *u,
                     const struct rtc_packet *p)
{
    if (p->padding > 0)
        header[0] |= 0x20;
    if (track->how.playout_ext == 0 || !u->key)
        return RTP_HEADER_SIZE;
    header[0] |= 0x10;
    memcpy(header + RTP_HEADER_SIZE, track->ext, SENDER_EXT);
    return SENDER_HEADER_MAX;
}

/* ---- key frames ---- */

void sender_want_key(struct rtc_sender *s, int64_t now_us)
{
    s->wanted_us = now_us;
    s->options.ops->want_key(s->options.owner);
}

void sender_skip_video(struct rtc_sender *s, int64_t now_us)
{
    if (s->waits_key)
        return;
    s->waits_key = true;
    s->stats.skips++;
    METRIC_INC(s->options.metrics->rtc_video_skips_total);
    sender_want_key(s, now_us);
}

static bool is_sent(const struct rtc_sender *s, enum rtc_track t)
{
    uint32_t codec = s->tracks[t].how.codec;
    return codec != 0 && codec == rtc_units_track(s->options.stream, t)->codec;
}

/* Bytes per second that a viewer who is behind gets. */
static uint64_t pace_bytes_per_s(const struct rtc_units *stream)
{
    uint64_t rate = PACE_TIMES * rtc_units_bytes_per_s(stream);
    uint64_t least = (uint64_t)PACE_MIN * RTP_PAYLOAD_MAX * 1000000 / TICK_US;
    return rate > least ? rate : least;
}

/* False when there is no key frame to begin at. */
static bool begin_video(struct rtc_sender *s, int64_t now_us)
{
    const struct rtc_units *stream = s->options.stream;
    if (!rtc_units_start(stream, &s->unit)) {
        s->unit = rtc_units_next(stream);
        return false;
    }
    sender_past_begin(s, pace_bytes_per_s(stream), now_us);
    return true;
}

void rtc_sender_start(struct rtc_sender *s, int64_t now_us)
{
    const struct rtc_units *stream = s->options.stream;
    s->started = true;
    s->start_us = now_us;
    s->line_us = now_us - rtc_units_live_us(stream);
    s->unit = rtc_units_next(stream);
    s->sound_unit = rtc_units_oldest(stream);
    if (!is_sent(s, RTC_VIDEO) || begin_video(s, now_us))
        return;
    s->waits_key = true;
    sender_want_key(s, now_us);
}

/* Its place is gone: there is nothing to go on with but a key frame, and new sound. */
static void find_place(struct rtc_sender *s, int64_t now_us)
{
    const struct rtc_units *stream = s->options.stream;
    if (s->sound_unit < rtc_units_oldest(stream)) {
        leave_out(&s->tracks[RTC_AUDIO].numbers, s->tracks[RTC_AUDIO].numbers.next);
        s->sound_unit = rtc_units_oldest(stream);
    }
    if (s->unit >= rtc_units_oldest(stream))
        return;
    s->packet = 0;
    leave_out(&s->tracks[RTC_VIDEO].numbers, s->tracks[RTC_VIDEO].numbers.next);
    if (!begin_video(s, now_us) && is_sent(s, RTC_VIDEO))
        sender_skip_video(s, now_us);
}

/* ---- sending ---- */

struct batch {
    struct rtc_out out[SENDER_BATCH];
    uint8_t headers[SENDER_BATCH][SENDER_HEADER_MAX];
    uint8_t tracks[SENDER_BATCH]; /* enum rtc_track */
    size_t count, bytes;
};

static void add(struct rtc_sender *s, struct batch *b, const struct rtc_unit *u, uint32_t i)
{
    struct sender_track *track = &s->tracks[u->track];
    const struct rtc_packet *p = &u->packets[i];
    int64_t index = number_next(&track->numbers, u->first + i);
    uint8_t *header = b->headers[b->count];
    sender_header(header, track->how.type, i + 1 == u->count, index,
                  sender_past_timestamp(&s->past, u), track->ssrc);
    b->tracks[b->count] = (uint8_t)u->track;
    b->out[b->count++] = (struct rtc_out){slice_of(header, sender_extend(header, track, u, p)),
                                          p->pieces, p->piece_count};
    b->bytes += p->len - p->padding;
    track->packets++;
    track->octets += p->len - p->padding;
}

/* Half a second of media waits: by TCP, where nothing is lost, it would become more and more. Video
 * comes back when next to nothing waits. */
static bool is_way_full(const struct rtc_sender *s)
{
    uint64_t most = rtc_units_bytes_per_s(s->options.stream) / 2;
    if (most < QUEUED_MIN)
        most = QUEUED_MIN;
    if (s->waits_key)
        most /= QUEUED_LESS;
    return s->options.ops->queued(s->options.owner) > most;
}

/* The unit is none for this viewer now. */
static bool pass_over_video(struct rtc_sender *s, const struct rtc_unit *u, int64_t now_us)
{
    if (!is_sent(s, RTC_VIDEO))
        return true;
    if (s->stats.audio_only && now_us < s->video_off_until_us)
        return true;
    if (is_way_full(s)) {
        sender_skip_video(s, now_us);
        return true;
    }
    if (!s->waits_key)
        return false;
    if (!u->key)
        return true;
    s->waits_key = s->stats.audio_only = false;
    s->window.begin_us = 0;
    s->video_on_us = now_us;
    return false;
}

/* A player keeps the delay of the sound that came first. */
static bool pass_over_sound(const struct rtc_sender *s, const struct rtc_unit *u, int64_t now_us)
{
    const struct sender_numbers *n = &s->tracks[RTC_AUDIO].numbers;
    if (!is_sent(s, RTC_AUDIO))
        return true;
    if (n->begun && n->hole < 0)
        return false;
    int64_t late_us = now_us - s->line_us - u->media_us;
    if (now_us - s->start_us >= SOUND_WAIT_US)
        late_us = rtc_units_track_us(s->options.stream, RTC_AUDIO) - u->media_us;
    return late_us > SOUND_LATE_US;
}

/* Sound does not wait for pictures of the past. */
static void gather_sound(struct rtc_sender *s, struct batch *b, size_t room, int64_t now_us)
{
    const struct rtc_units *stream = s->options.stream;
    for (; s->sound_unit < rtc_units_next(stream) && b->count < room; s->sound_unit++) {
        const struct rtc_unit *u = rtc_units_unit(stream, s->sound_unit);
        if (u->track != RTC_AUDIO)
            continue;
        if (pass_over_sound(s, u, now_us))
            leave_out(&s->tracks[RTC_AUDIO].numbers, u->first);
        else
            add(s, b, u, 0);
    }
}

/* Takes up to `room` packets from the cursor on. */
static void gather_video(struct rtc_sender *s, struct batch *b, size_t room, int64_t now_us)
{
    const struct rtc_units *stream = s->options.stream;
    while (s->unit < rtc_units_next(stream) && b->count < room) {
        const struct rtc_unit *u = rtc_units_unit(stream, s->unit);
        if (u->track != RTC_VIDEO) {
            s->unit++;
            continue;
        }
        if (s->packet == 0 && pass_over_video(s, u, now_us)) {
            leave_out(&s->tracks[RTC_VIDEO].numbers, u->first);
            s->unit++;
            continue;
        }
        if (s->packet == 0 && sender_past_due_us(&s->past, u) > now_us)
            return;
        sender_past_note(&s->past, u);
        while (s->packet < u->count && b->count < room)
            add(s, b, u, s->packet++);
        if (s->packet < u->count)
            return;
        s->packet = 0;
        s->unit++;
    }
}

/* Video first: a shorter packet at the end of a run of equal ones costs nothing (UDP GSO). */
static size_t send_batch(struct rtc_sender *s, const struct batch *b, bool *video_lost)
{
    struct rtc_out ordered[SENDER_BATCH] LEFT_AS_IT_IS;
    size_t n = 0, video;
    for (size_t i = 0; i < b->count; i++)
        if (b->tracks[i] == RTC_VIDEO)
            ordered[n++] = b->out[i];
    video = n;
    for (size_t i = 0; i < b->count; i++)
        if (b->tracks[i] == RTC_AUDIO)
            ordered[n++] = b->out[i];
    size_t taken = s->options.ops->send_rtp(s->options.owner, ordered, n);
    *video_lost = taken < video;
    return taken;
}

/* Packets that may go out in this tick. */
static size_t allowance(struct rtc_sender *s, int64_t now_us)
{
    const struct rtc_units *stream = s->options.stream;
    if (now_us - s->tick_us >= TICK_US) {
        s->tick_us = now_us;
        s->tick_sent = 0;
    }
    size_t max = SENDER_BATCH;
    bool is_behind =
        s->unit < rtc_units_next(stream) &&
        rtc_units_newest_us(stream) - rtc_units_unit(stream, s->unit)->media_us > BEHIND_US;
    if (is_behind) {
        max = (size_t)(pace_bytes_per_s(stream) * TICK_US / 1000000 / RTP_PAYLOAD_MAX) + 1;
        max = max > SENDER_BATCH ? SENDER_BATCH : max;
    }
    return s->tick_sent < max ? max - s->tick_sent : 0;
}

/* The rest of a frame that was not taken is of no use. */
static void give_up_frame(struct rtc_sender *s, int64_t now_us)
{
    const struct rtc_units *stream = s->options.stream;
    const struct rtc_unit *u =
        s->unit < rtc_units_next(stream) ? rtc_units_unit(stream, s->unit) : NULL;
    if (u != NULL && u->track == RTC_VIDEO && s->packet > 0) {
        leave_out(&s->tracks[RTC_VIDEO].numbers, u->first + s->packet);
        s->packet = 0;
        s->unit++;
    }
    sender_skip_video(s, now_us);
}

static void send_some(struct rtc_sender *s, size_t room, int64_t now_us)
{
    struct batch b LEFT_AS_IT_IS;
    bool video_lost = false;
    b.count = b.bytes = 0;
    gather_sound(s, &b, room, now_us);
    gather_video(s, &b, room, now_us);
    if (b.count == 0)
        return;
    send_batch(s, &b, &video_lost);
    if (s->stats.first_us == 0)
        s->stats.first_us = now_us;
    s->stats.packets += b.count;
    s->stats.bytes += b.bytes;
    s->tick_sent += (uint32_t)b.count;
    sender_earn(s, b.bytes);
    if (video_lost)
        give_up_frame(s, now_us);
}

static bool has_more(const struct rtc_sender *s)
{
    uint64_t next = rtc_units_next(s->options.stream);
    return s->unit < next || s->sound_unit < next;
}

int64_t rtc_sender_send(struct rtc_sender *s, int64_t now_us)
{
    int64_t next_us = INT64_MAX;
    if (!s->started)
        return next_us;
    find_place(s, now_us);
    if (sender_over_begins(s, now_us))
        begin_video(s, now_us);
    if (has_more(s)) {
        size_t room = allowance(s, now_us);
        if (room > 0)
            send_some(s, room, now_us);
    }
    if (has_more(s))
        next_us = s->tick_us + TICK_US;
    sender_report(s, now_us);
    if (s->waits_key && now_us - s->wanted_us >= WANT_KEY_US)
        sender_want_key(s, now_us);
    if (s->over.due_us != 0 && s->over.due_us < next_us)
        next_us = s->over.due_us;
    return next_us;
}
