#include "test.h"

#include "proto/rtcp.h"
#include "proto/rtp.h"
#include "proto/rtp_pack.h"
#include "rtc/rtc_sender.h"
#include "rtc/srtp.h"

#include <stdlib.h>

#define MS       1000
#define S        1000000
#define UNIX_US  1700000000000000
#define SENT_MAX 20000
#define FRAME_MS 40

/* ---- a stream: video of 25 frames a second, a key frame each `gop`, sound of 20 ms ---- */

struct source {
    struct log *log;
    struct metrics metrics;
    struct rtc_units *stream;
    int64_t at_ms; /* of the run's next video frame */
    int64_t now_us;
    int gop, index;
    size_t frame_bytes, key_bytes;
    uint64_t epoch;
    bool has_b, sound_is_aac;
    int64_t sound_late_ms; /* what comes with a picture is so much older */
};

static void append(struct source *s, enum frame_kind kind, unsigned flags, int64_t at_ms,
                   const uint8_t *body, size_t len)
{
    struct run *r = log_newest(s->log);
    struct frame *f = frame_new(kind, len);
    memcpy(f->data, body, len);
    f->flags = (uint8_t)flags;
    f->codec = kind == FRAME_VIDEO ? FLV_CODEC_AVC : FLV_CODEC_OPUS;
    f->wire_ms = at_ms;
    f->dts_us = at_ms * MS;
    f->seq = r->next;
    log_append(s->log, f);
}

#define RECORD "\x17\0\0\0\0\1\x42\xc0\x1e\xff\xe1\0\4\x67\x42\xc0\x1e\1\0\4\x68\xce\x38\x80"

static void open_run(struct source *s, uint64_t epoch)
{
    s->epoch = epoch;
    s->at_ms = s->index = 0;
    struct run *r = log_open_run(s->log, epoch, 1, NULL);
    r->shift_set = true;
    append(s, FRAME_VIDEO, FRAME_CONFIG, 0, (const uint8_t *)RECORD, sizeof RECORD - 1);
}

/* One picture with its sound, 40 ms. */
static void push(struct source *s)
{
    static uint8_t body[300000];
    bool key = s->index % s->gop == 0;
    size_t len = key ? s->key_bytes : s->frame_bytes;
    memset(body, s->index & 0x7f, len);
    body[0] = key ? 0x17 : 0x27;
    body[1] = 1;
    body[2] = body[3] = body[4] = 0;
    put_u32(body + 5, (uint32_t)(len - 9));
    body[9] = key ? 0x65 : 0x41;
    body[10] = s->has_b && s->index % 3 == 1 ? 0x9e : 0x9a; /* slice_type 6 or 5 */
    append(s, FRAME_VIDEO, key ? FRAME_KEY : 0, s->at_ms, body, len);
    for (int i = 0; i < 2; i++) {
        uint8_t packet[] = {0x91, 'O', 'p', 'u', 's', 0xfc, (uint8_t)s->index, (uint8_t)i};
        if (s->sound_is_aac)
            packet[0] = 0xaf; /* a raw AAC frame follows */
        append(s, FRAME_AUDIO, 0, s->at_ms + i * 20 - s->sound_late_ms, packet, sizeof packet);
    }
    s->index++;
    s->at_ms += FRAME_MS;
    s->now_us += FRAME_MS * MS;
    rtc_units_read(s->stream, s->log);
}

static void push_many(struct source *s, int count)
{
    while (count-- > 0)
        push(s);
}

static void source_init_with(struct source *s, enum rtc_b_frames b_frames)
{
    const struct log_limits limits = {.window_us = 30 * S, .window_bytes = 64 << 20};
    memset(s, 0, sizeof *s);
    s->log = log_new(&limits);
    s->gop = 50;
    s->frame_bytes = 5000;
    s->key_bytes = 20000;
    s->now_us = 100 * S;
    const struct rtc_units_options o = {.b_frames = b_frames, .metrics = &s->metrics};
    s->stream = rtc_units_new(&o);
    open_run(s, 1);
}

static void source_init(struct source *s)
{
    source_init_with(s, RTC_B_SEND);
}

static void source_fini(struct source *s)
{
    rtc_units_free(&s->stream);
    log_free(&s->log);
    assert_int_equal(frames_alive(), 0);
}

/* ---- a viewer that keeps what it is sent ---- */

struct sent {
    struct rtp_header h;
    uint8_t head[4];  /* of the payload */
    uint32_t playout; /* extension 5; 0: none */
    size_t len, padding;
    int64_t at_us;
};

struct viewer {
    struct source *source;
    struct rtc_sender *sender;
    struct sent *list;
    size_t count, reports, wants;
    size_t room;   /* packets that the way out takes */
    size_t queued; /* bytes that wait there */
    struct rtcp_sender report[RTC_TRACKS];
    int64_t report_us[RTC_TRACKS];
    struct rtc_sealer *sealer;
    struct rtc_opener *opener;
    bool bye;
    struct rtcp_report told; /* by it */
    struct rtcp_dlrr dlrr[4];
    unsigned dlrr_count;
};

static size_t take_rtp(void *owner, const struct rtc_out *packets, size_t count)
{
    struct viewer *v = owner;
    size_t n = 0;
    for (; n < count && v->room > 0; n++, v->room--) {
        uint8_t bytes[RTC_HEADER_MAX + RTC_PAYLOAD_MAX + RTC_SRTP_TRAILER_MAX];
        struct wr w = wr_init(bytes, sizeof bytes);
        wr_put(&w, packets[n].header);
        for (size_t i = 0; i < packets[n].piece_count; i++)
            wr_put(&w, packets[n].pieces[i]);
        assert_false(w.overflow);
        struct rtp_packet p;
        assert_int_equal(rtp_read(bytes, wr_len(&w), &p), 0);
        assert_true(v->count < SENT_MAX);
        struct sent *s = &v->list[v->count++];
        *s = (struct sent){
            .h = p.h, .len = p.payload.len, .padding = p.padding, .at_us = v->source->now_us};
        struct slice playout;
        if (rtp_find_ext(&p, 5, &playout)) {
            struct rd r = rd_slice(playout);
            s->playout = rd_u24(&r);
        }
        memcpy(s->head, p.payload.p,
               sizeof s->head < p.payload.len ? sizeof s->head : p.payload.len);
        if (v->sealer == NULL)
            continue;
        ssize_t len = rtc_sealer_rtp(v->sealer, packets[n].header, packets[n].pieces,
                                     packets[n].piece_count, bytes, sizeof bytes);
        assert_true(len > 0);
        assert_true(rtc_opener_rtp(v->opener, bytes, (size_t)len) > 0);
    }
    return n;
}

static enum rtc_track track_of(const struct viewer *v, uint32_t ssrc)
{
    return ssrc == rtc_units_track(v->source->stream, RTC_VIDEO)->ssrc ? RTC_VIDEO : RTC_AUDIO;
}

static bool take_rtcp(void *owner, const uint8_t *compound, size_t len)
{
    struct viewer *v = owner;
    struct rd r = rd_init(compound, len);
    struct rtcp_packet p;
    struct rtcp_sender report;
    uint32_t ssrcs[RTCP_COUNT_MAX];
    unsigned n = 0;
    while (rtcp_next(&r, &p) > 0) {
        if (rtcp_read_sr(&p, &report) == 0) {
            v->reports++;
            v->report[track_of(v, report.ssrc)] = report;
            v->report_us[track_of(v, report.ssrc)] = v->source->now_us;
        }
        v->bye |= rtcp_read_bye(&p, ssrcs) > 0;
        while (v->dlrr_count < 4 && rtcp_read_dlrr(&p, n, &v->dlrr[v->dlrr_count]))
            n++, v->dlrr_count++;
        n = 0;
    }
    return true;
}

static size_t take_queued(void *owner)
{
    return ((struct viewer *)owner)->queued;
}

static void take_want(void *owner)
{
    ((struct viewer *)owner)->wants++;
}

static const struct rtc_sender_ops ops = {take_rtp, take_rtcp, take_queued, take_want};

static void viewer_init_with(struct viewer *v, struct source *s, uint8_t playout_ext)
{
    *v = (struct viewer){.source = s, .room = SIZE_MAX};
    v->list = calloc(SENT_MAX, sizeof *v->list);
    const struct rtc_sender_options o = {
        .stream = s->stream,
        .tracks = {{FLV_CODEC_AVC, 102, 103, true, playout_ext},
                   {FLV_CODEC_OPUS, 111, 0, false, 0}},
        .cname = "cname",
        .ops = &ops,
        .owner = v,
        .metrics = &s->metrics,
        .unix_us = UNIX_US + s->now_us,
        .playout_min_ms = 50,
        .playout_max_ms = 40950,
    };
    v->sender = rtc_sender_new(&o, s->now_us);
}

static void viewer_init(struct viewer *v, struct source *s)
{
    viewer_init_with(v, s, 0);
}

static void viewer_fini(struct viewer *v)
{
    rtc_sender_free(&v->sender);
    rtc_sealer_free(&v->sealer);
    rtc_opener_free(&v->opener);
    free(v->list);
}

/* Ticks until it has everything. */
static void catch_up(struct viewer *v)
{
    for (int i = 0; i < 1000; i++) {
        int64_t due_us = rtc_sender_send(v->sender, v->source->now_us);
        if (due_us - v->source->now_us > 5 * MS)
            return;
        v->source->now_us = due_us > v->source->now_us ? due_us : v->source->now_us;
    }
    fail();
}

static void live(struct viewer *v, int frames)
{
    while (frames-- > 0) {
        push(v->source);
        catch_up(v);
    }
}

/* Sequence numbers of a track begin below 32768 and have no gaps; returns how many there are. */
static size_t assert_contiguous(const struct viewer *v, unsigned type)
{
    size_t n = 0;
    uint16_t next = 0;
    for (size_t i = 0; i < v->count; i++) {
        if (v->list[i].h.payload_type != type)
            continue;
        if (n == 0)
            assert_in_range(v->list[i].h.seq, 0, 32767);
        else
            assert_int_equal(v->list[i].h.seq, next);
        next = (uint16_t)(v->list[i].h.seq + 1);
        n++;
    }
    return n;
}

static const struct sent *nth(const struct viewer *v, unsigned type, size_t n)
{
    for (size_t i = 0; i < v->count; i++)
        if (v->list[i].h.payload_type == type && n-- == 0)
            return &v->list[i];
    fail();
    return NULL;
}

/* ---- tests ---- */

static void a_viewer_begins_at_the_newest_key_frame(void **state)
{
    struct source s;
    struct viewer v;
    source_init(&s);
    push_many(&s, 70); /* the second key frame is the 51st frame */
    viewer_init(&v, &s);
    rtc_sender_start(v.sender, s.now_us);
    catch_up(&v);
    /* The parameter sets, then 17 fragments of the key frame, then 19 frames of 5 packets. */
    assert_int_equal(assert_contiguous(&v, 102), 1 + 17 + 19 * 5);
    assert_int_equal(assert_contiguous(&v, 111), 3); /* not the sound of long ago */
    assert_int_equal(nth(&v, 102, 0)->head[0] & 0x1f, 24);
    assert_int_equal(nth(&v, 102, 1)->head[1], 0x85);
    assert_false(nth(&v, 102, 16)->h.marker);
    assert_true(nth(&v, 102, 17)->h.marker);
    assert_int_equal(v.wants, 0);
    /* It catches up at its pace, not in one burst. */
    assert_true(v.list[v.count - 1].at_us - v.list[0].at_us >= 10 * 5 * MS);
    size_t before = v.count;
    live(&v, 1);
    assert_int_equal(v.count - before, 5 + 2);
    viewer_fini(&v);
    source_fini(&s);
}

static void an_old_key_frame_is_not_begun_at(void **state)
{
    struct source s;
    struct viewer v;
    source_init(&s);
    s.gop = 200;
    push_many(&s, 150); /* 6 s */
    viewer_init(&v, &s);
    rtc_sender_start(v.sender, s.now_us);
    assert_int_equal(v.wants, 1);
    live(&v, 50);
    assert_true(v.wants > 1); /* once a second */
    assert_in_range(v.wants, 2, 4);
    assert_in_range(assert_contiguous(&v, 111), 100, 102); /* sound comes meanwhile */
    assert_int_equal(assert_contiguous(&v, 102), 0);
    live(&v, 1);
    assert_int_equal(assert_contiguous(&v, 102), 18);
    viewer_fini(&v);
    source_fini(&s);
}

/* So that they and the sound behind them are one message. */
static void packets_of_a_picture_are_of_one_size(void **state)
{
    static const struct {
        size_t bytes;   /* of the picture's body, 9 of them before its only NAL unit */
        size_t padding; /* what its five packets lack, all together */
    } cases[] = {{5010, 0}, {5011, 4}, {5012, 3}, {5013, 2}, {5014, 1}, {5015, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct source s;
        struct viewer v;
        source_init(&s);
        s.frame_bytes = cases[i].bytes;
        viewer_init(&v, &s);
        push(&s);
        rtc_sender_start(v.sender, s.now_us);
        catch_up(&v);
        size_t before = v.count;
        live(&v, 1);
        const struct sent *p = v.list + before;
        for (int k = 0; k < 5; k++)
            assert_int_equal(p[k].len + p[k].padding, p[0].len);
        assert_true(p[4].h.marker);
        assert_int_equal(p[4].padding, cases[i].padding);
        assert_int_equal(p[5].h.payload_type, 111);
        viewer_fini(&v);
        source_fini(&s);
    }
}

static void timestamps_and_reports_share_one_clock(void **state)
{
    struct source s;
    struct viewer v;
    source_init(&s);
    push_many(&s, 1);
    viewer_init(&v, &s);
    rtc_sender_start(v.sender, s.now_us);
    catch_up(&v);
    assert_int_equal(v.reports, 2); /* right after the first packets */
    live(&v, 60);
    assert_in_range(v.reports, 6, 8);
    const struct sent *video = nth(&v, 102, 18), *sound = nth(&v, 111, 2);
    assert_int_equal((uint32_t)(video->h.timestamp - nth(&v, 102, 0)->h.timestamp), 3600);
    assert_int_equal((uint32_t)(sound->h.timestamp - nth(&v, 111, 0)->h.timestamp), 1920);
    /* Both first frames have media time 0: by the reports they have one wall-clock time. */
    int64_t wall_us[RTC_TRACKS];
    const uint32_t rates[] = {90000, 48000};
    for (unsigned t = 0; t < RTC_TRACKS; t++) {
        const struct sent *first = nth(&v, t == RTC_VIDEO ? 102 : 111, 0);
        int32_t ticks = (int32_t)(v.report[t].timestamp - first->h.timestamp);
        int64_t at_us = rtcp_unix_us_of_ntp(v.report[t].ntp);
        assert_int_equal(at_us, UNIX_US + v.report_us[t]);
        wall_us[t] = at_us - (int64_t)ticks * S / rates[t];
    }
    assert_in_range(wall_us[0] - wall_us[1] + 100, 0, 200);
    assert_in_range(v.report[RTC_VIDEO].packets, 200, assert_contiguous(&v, 102));
    viewer_fini(&v);
    source_fini(&s);
}

static size_t nack(struct viewer *v, enum rtc_track t, const uint16_t *seqs, size_t count)
{
    uint8_t bytes[1500];
    struct wr w = wr_init(bytes, sizeof bytes);
    size_t before = v->count;
    rtcp_write_nack(&w, 1, rtc_units_track(v->source->stream, t)->ssrc, seqs, count);
    rtc_sender_rtcp(v->sender, bytes, wr_len(&w), v->source->now_us);
    return v->count - before;
}

static void lost_packets_come_again(void **state)
{
    struct source s;
    struct viewer v;
    source_init(&s);
    push_many(&s, 1);
    viewer_init(&v, &s);
    rtc_sender_start(v.sender, s.now_us);
    catch_up(&v);
    live(&v, 10);
    const struct sent lost = *nth(&v, 102, 20), sound = *nth(&v, 111, 3);
    const uint16_t seqs[] = {lost.h.seq};
    assert_int_equal(nack(&v, RTC_VIDEO, seqs, 1), 1);
    const struct sent *again = &v.list[v.count - 1];
    assert_int_equal(again->h.payload_type, 103);
    assert_int_equal(again->h.ssrc, rtc_units_track(s.stream, RTC_VIDEO)->rtx_ssrc);
    assert_int_equal(again->h.timestamp, lost.h.timestamp);
    assert_int_equal(again->h.marker, lost.h.marker);
    assert_int_equal(again->len, lost.len + 2);
    const uint8_t original[] = {(uint8_t)(lost.h.seq >> 8), (uint8_t)lost.h.seq};
    assert_memory_equal(again->head, original, 2);
    assert_memory_equal(again->head + 2, lost.head, 2);
    /* Not twice within a round trip. */
    assert_int_equal(nack(&v, RTC_VIDEO, seqs, 1), 0);
    s.now_us += 100 * MS;
    assert_int_equal(nack(&v, RTC_VIDEO, seqs, 1), 1);
    assert_int_equal((uint16_t)(v.list[v.count - 1].h.seq - again->h.seq), 1);
    /* Without RTX: the same packet. */
    assert_int_equal(nack(&v, RTC_AUDIO, &sound.h.seq, 1), 1);
    assert_memory_equal(&v.list[v.count - 1].h, &sound.h, sizeof sound.h);
    /* What was not sent yet, or never, is not sent. */
    const uint16_t wrong[] = {(uint16_t)(nth(&v, 102, 0)->h.seq - 1),
                              (uint16_t)(nth(&v, 102, 17 + 50)->h.seq + 1),
                              (uint16_t)(lost.h.seq + 30000)};
    assert_int_equal(nack(&v, RTC_VIDEO, wrong, 3), 0);
    viewer_fini(&v);
    source_fini(&s);
}

static void key_frames_tell_the_playout_delay(void **state)
{
    struct source s;
    struct viewer v;
    source_init(&s);
    push_many(&s, 1);
    viewer_init_with(&v, &s, 5);
    rtc_sender_start(v.sender, s.now_us);
    catch_up(&v);
    live(&v, 2);
    uint16_t key = nth(&v, 102, 3)->h.seq, other = nth(&v, 102, 20)->h.seq;
    for (size_t i = 0; i < v.count; i++)
        assert_int_equal(v.list[i].playout, v.list[i].h.payload_type == 102 &&
                                                    (uint16_t)(v.list[i].h.seq - key + 3) < 18
                                                ? 0x005fff
                                                : 0);
    /* The same again in what repairs them. */
    nack(&v, RTC_VIDEO, &key, 1);
    assert_int_equal(v.list[v.count - 1].playout, 0x005fff);
    nack(&v, RTC_VIDEO, &other, 1);
    assert_int_equal(v.list[v.count - 1].playout, 0);
    viewer_fini(&v);
    source_fini(&s);
}

/* What is the past has the timestamps of when it is sent, and sound does not wait for it. */
static void the_past_is_played_faster(void **state)
{
    struct source s;
    struct viewer v;
    source_init(&s);
    push_many(&s, 90); /* the second key frame is the 51st frame */
    int64_t newest_us = rtc_units_track_us(s.stream, RTC_VIDEO);
    viewer_init(&v, &s);
    const int64_t begin_us = s.now_us;
    rtc_sender_start(v.sender, s.now_us);
    catch_up(&v);
    const struct sent *last = NULL;
    size_t pictures = 0;
    for (size_t i = 0; i < v.count; i++) {
        struct sent *p = &v.list[i];
        if (p->h.payload_type != 102 || (last != NULL && p->h.timestamp == last->h.timestamp))
            continue;
        int64_t ticks = (int32_t)(p->h.timestamp - rtc_units_timestamp(s.stream, 0, newest_us));
        int64_t late_us = p->at_us - begin_us - ticks * 1000 / 90;
        assert_in_range(late_us + MS, 0, 7 * MS); /* a tick, and rounding */
        assert_true(last == NULL || (int32_t)(p->h.timestamp - last->h.timestamp) > 100);
        last = p;
        pictures++;
    }
    assert_int_equal(pictures, 40);
    assert_in_range(s.now_us - begin_us, 100 * MS, 39 * 40 * MS / 2);
    assert_int_equal(nth(&v, 111, 0)->at_us, begin_us);
    /* The same again. */
    const struct sent lost = *nth(&v, 102, 80);
    assert_int_equal(nack(&v, RTC_VIDEO, &lost.h.seq, 1), 1);
    assert_int_equal(v.list[v.count - 1].h.timestamp, lost.h.timestamp);
    /* And then they are the source's. */
    live(&v, 20);
    assert_int_equal(
        v.list[v.count - 1].h.timestamp,
        rtc_units_timestamp(s.stream, RTC_AUDIO, rtc_units_track_us(s.stream, RTC_AUDIO)));
    size_t n = assert_contiguous(&v, 102) - 1; /* packets; one is of RTX */
    assert_int_equal(
        nth(&v, 102, n)->h.timestamp,
        rtc_units_timestamp(s.stream, RTC_VIDEO, rtc_units_track_us(s.stream, RTC_VIDEO)));
    viewer_fini(&v);
    source_fini(&s);
}

/* A player would keep the delay of old sound: what comes late only once is left out, what always
 * does is not. */
static void sound_begins_with_what_is_new(void **state)
{
    struct source s;
    struct viewer v;
    source_init(&s);
    s.sound_late_ms = 200;
    push_many(&s, 51); /* a key frame is the last of them */
    viewer_init(&v, &s);
    rtc_sender_start(v.sender, s.now_us);
    live(&v, 10); /* 400 ms */
    assert_int_equal(assert_contiguous(&v, 111), 0);
    live(&v, 5);
    assert_in_range(assert_contiguous(&v, 111), 6, 10);
    viewer_fini(&v);
    push_many(&s, 35);
    viewer_init(&v, &s);
    rtc_sender_start(v.sender, s.now_us);
    live(&v, 2);
    s.sound_late_ms = 0;
    live(&v, 1);
    assert_in_range(assert_contiguous(&v, 111), 2, 3);
    viewer_fini(&v);
    source_fini(&s);
}

static void sending_again_has_a_budget(void **state)
{
    struct source s;
    struct viewer v;
    source_init(&s);
    push_many(&s, 1);
    viewer_init(&v, &s);
    rtc_sender_start(v.sender, s.now_us);
    catch_up(&v);
    live(&v, 40);
    uint16_t seqs[200];
    for (size_t i = 0; i < 200; i++)
        seqs[i] = nth(&v, 102, i)->h.seq;
    size_t first = nack(&v, RTC_VIDEO, seqs, 200);
    assert_in_range(first, 20, 70);
    assert_true(s.metrics.rtc_resend_refused_total > 0);
    size_t bytes = 0, media = 0;
    for (int i = 0; i < 50; i++) { /* everything, all the time */
        size_t before = v.count;
        live(&v, 1);
        for (size_t k = before; k < v.count; k++)
            media += v.list[k].len;
        s.now_us += 200 * MS;
        before = v.count;
        nack(&v, RTC_VIDEO, seqs, 200);
        for (size_t k = before; k < v.count; k++)
            bytes += v.list[k].len;
    }
    assert_in_range(bytes * 100 / media, 0, 26);
    viewer_fini(&v);
    source_fini(&s);
}

static void a_full_way_out_means_the_next_key_frame(void **state)
{
    struct source s;
    struct viewer v;
    source_init(&s);
    push_many(&s, 1);
    viewer_init(&v, &s);
    rtc_sender_start(v.sender, s.now_us);
    catch_up(&v);
    live(&v, 9);
    v.room = 2; /* of the 5 packets of the next frame */
    live(&v, 1);
    v.room = SIZE_MAX;
    assert_int_equal(v.wants, 1);
    size_t before = v.count;
    live(&v, 39); /* up to the next key frame: sound only */
    for (size_t i = before; i < v.count; i++)
        assert_int_equal(v.list[i].h.payload_type, 111);
    uint16_t last = nth(&v, 102, 18 + 9 * 5 + 1)->h.seq;
    live(&v, 2);
    /* The three that were not taken were lost; what was left out after them leaves no gap. */
    const struct sent *key = nth(&v, 102, 18 + 9 * 5 + 2);
    assert_int_equal((uint16_t)(key->h.seq - last), 4);
    assert_int_equal(key->head[0] & 0x1f, 24);
    /* They can be had, and so can those before, and those after. */
    const uint16_t seqs[] = {(uint16_t)(last - 3), (uint16_t)(last + 1), (uint16_t)(last + 3),
                             key->h.seq, (uint16_t)(key->h.seq + 18)};
    assert_int_equal(nack(&v, RTC_VIDEO, seqs, 5), 5);
    assert_memory_equal(v.list[v.count - 2].head + 2, key->head, 2);
    viewer_fini(&v);
    source_fini(&s);
}

static void a_slow_way_out_means_sound_and_the_next_key_frame(void **state)
{
    struct source s;
    struct viewer v;
    source_init(&s);
    push_many(&s, 1);
    viewer_init(&v, &s);
    rtc_sender_start(v.sender, s.now_us);
    catch_up(&v);
    live(&v, 9);
    v.queued = 60000; /* a key frame and little more, of 130,000 bytes per second */
    live(&v, 1);
    assert_int_equal(rtc_sender_stats(v.sender)->skips, 0);
    size_t before = v.count;
    v.queued = 120000;
    live(&v, 1);
    v.queued = 17000;
    live(&v, 59); /* a key frame among them */
    assert_int_equal(rtc_sender_stats(v.sender)->skips, 1);
    assert_int_equal(v.count - before, 120);
    v.queued = 16000;
    live(&v, 29); /* up to the next */
    assert_int_equal(v.count - before, 120 + 58);
    live(&v, 1);
    assert_true(v.count - before > 120 + 60);
    assert_contiguous(&v, 102);
    viewer_fini(&v);
    source_fini(&s);
}

/* Two seconds in which so many of 100 packets are lost, reported in three parts. */
static void lose(struct viewer *v, int percent)
{
    for (int i = 0; i < 3; i++) {
        uint8_t bytes[200];
        struct wr w = wr_init(bytes, sizeof bytes);
        live(v, 17);
        v->told.ssrc = rtc_units_track(v->source->stream, RTC_VIDEO)->ssrc;
        v->told.highest_seq += 100;
        v->told.lost += percent;
        v->told.fraction_lost = (uint8_t)(percent * 256 / 100);
        rtcp_write_rr(&w, 1, &v->told, 1);
        rtc_sender_rtcp(v->sender, bytes, wr_len(&w), v->source->now_us);
    }
}

static void estimate(struct viewer *v, uint64_t bps)
{
    uint8_t bytes[200];
    struct wr w = wr_init(bytes, sizeof bytes);
    rtcp_write_remb(&w, 1, bps, &rtc_units_track(v->source->stream, RTC_VIDEO)->ssrc, 1);
    rtc_sender_rtcp(v->sender, bytes, wr_len(&w), v->source->now_us);
}

static void who_loses_too_much_gets_sound_alone(void **state)
{
    struct source s;
    struct viewer v;
    source_init(&s);
    push_many(&s, 1);
    viewer_init(&v, &s);
    rtc_sender_start(v.sender, s.now_us);
    catch_up(&v);
    for (int i = 0; i < 5; i++) /* not in a row */
        lose(&v, i % 2 == 1 ? 5 : 20);
    assert_false(rtc_sender_stats(v.sender)->audio_only);
    lose(&v, 5);
    uint16_t seq = v.list[v.count - 3].h.seq;
    for (int i = 0; i < 3; i++)
        lose(&v, 20);
    assert_true(rtc_sender_stats(v.sender)->audio_only);
    assert_int_equal(nack(&v, RTC_VIDEO, &seq, 1), 0);
    size_t before = v.count;
    live(&v, 240); /* 9.6 s */
    for (size_t i = before; i < v.count; i++)
        assert_int_equal(v.list[i].h.payload_type, 111);
    live(&v, 70);
    assert_false(rtc_sender_stats(v.sender)->audio_only);
    assert_contiguous(&v, 102);
    viewer_fini(&v);
    source_fini(&s);
}

static void a_low_estimate_alone_leaves_nothing_out(void **state)
{
    struct source s;
    struct viewer v;
    source_init(&s);
    push_many(&s, 1);
    viewer_init(&v, &s);
    rtc_sender_start(v.sender, s.now_us);
    catch_up(&v);
    lose(&v, 5);
    estimate(&v, 300000); /* of 1.1 Mbit/s */
    for (int i = 0; i < 4; i++)
        lose(&v, 8);
    assert_false(rtc_sender_stats(v.sender)->audio_only);
    for (int i = 0; i < 4; i++)
        lose(&v, 13);
    assert_true(rtc_sender_stats(v.sender)->audio_only);
    live(&v, 310);
    assert_false(rtc_sender_stats(v.sender)->audio_only);
    estimate(&v, 1000000);
    for (int i = 0; i < 4; i++)
        lose(&v, 13);
    assert_false(rtc_sender_stats(v.sender)->audio_only);
    viewer_fini(&v);
    source_fini(&s);
}

/* A receiver's time is answered with the next report. */
static void a_receiver_learns_the_round_trip(void **state)
{
    struct source s;
    struct viewer v;
    source_init(&s);
    push_many(&s, 1);
    viewer_init(&v, &s);
    rtc_sender_start(v.sender, s.now_us);
    catch_up(&v);
    live(&v, 3);
    for (uint32_t ssrc = 1; ssrc <= 3; ssrc++) { /* two are known at a time */
        const uint8_t bytes[] = {0x80, 207, 0, 4, 0, 0, 0, (uint8_t)ssrc, 4, 0,
                                 0,    2,   9, 9, 1, 2, 3, (uint8_t)ssrc, 9, 9};
        rtc_sender_rtcp(v.sender, bytes, sizeof bytes, s.now_us);
        s.now_us += 125 * MS;
    }
    live(&v, 50);
    assert_int_equal(v.dlrr_count, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(v.dlrr[i].lrr, 0x01020300 + v.dlrr[i].ssrc);
        assert_in_range(v.dlrr[i].delay, 65536 / 8 * (4 - v.dlrr[i].ssrc), 65536 * 2);
    }
    assert_int_equal(v.dlrr[0].ssrc + v.dlrr[1].ssrc, 5);
    viewer_fini(&v);
    source_fini(&s);
}

static void key_frames_are_asked_for(void **state)
{
    struct source s;
    struct viewer v;
    source_init(&s);
    push_many(&s, 1);
    viewer_init(&v, &s);
    rtc_sender_start(v.sender, s.now_us);
    catch_up(&v);
    uint8_t bytes[200];
    uint32_t ssrc = rtc_units_track(s.stream, RTC_VIDEO)->ssrc;
    struct wr w = wr_init(bytes, sizeof bytes);
    rtcp_write_pli(&w, 1, ssrc);
    rtcp_write_pli(&w, 1, ssrc + 1000); /* nobody's */
    rtcp_write_fir(&w, 1, ssrc, 7);
    rtcp_write_fir(&w, 1, ssrc, 7); /* the same again */
    rtcp_write_fir(&w, 1, ssrc, 8);
    rtcp_write_remb(&w, 1, 2500000, &ssrc, 1);
    rtc_sender_rtcp(v.sender, bytes, wr_len(&w), s.now_us);
    assert_int_equal(v.wants, 3);
    assert_int_equal(rtc_sender_stats(v.sender)->remb_bps, 2500000);
    rtc_sender_bye(v.sender);
    assert_true(v.bye);
    viewer_fini(&v);
    source_fini(&s);
}

static void ask_for_key(struct viewer *v)
{
    uint8_t bytes[20];
    struct wr w = wr_init(bytes, sizeof bytes);
    rtcp_write_pli(&w, 1, rtc_units_track(v->source->stream, RTC_VIDEO)->ssrc);
    rtc_sender_rtcp(v->sender, bytes, wr_len(&w), v->source->now_us);
}

static unsigned started_over(const struct source *s)
{
    return (unsigned)METRIC_GET(s->metrics.rtc_started_over_total);
}

/* Numbers without a gap, timestamps that never go back, and two pictures never have the same. */
static void assert_one_timeline(const struct viewer *v)
{
    const struct sent *last = NULL;
    assert_contiguous(v, 102);
    for (size_t i = 0; i < v->count; i++) {
        const struct sent *sent = &v->list[i];
        if (sent->h.payload_type != 102)
            continue;
        if (last != NULL && last->h.marker)
            assert_true((int32_t)(sent->h.timestamp - last->h.timestamp) > 0);
        last = sent;
    }
}

static void who_lost_the_first_key_frame_gets_it_again(void **state)
{
    struct source s;
    struct viewer v;
    source_init(&s);
    push_many(&s, 70);
    viewer_init(&v, &s);
    rtc_sender_start(v.sender, s.now_us);
    catch_up(&v);
    size_t lost = v.count;
    uint16_t old_seq = nth(&v, 102, 3)->h.seq;
    ask_for_key(&v);
    catch_up(&v);
    assert_int_equal(started_over(&s), 1);
    size_t begin = lost;
    while (v.list[begin].h.payload_type != 102)
        begin++;
    assert_int_equal(v.list[begin].head[0] & 0x1f, 24); /* parameter sets */
    assert_int_equal(v.list[begin + 1].head[1], 0x85);
    assert_one_timeline(&v);
    /* It asks on until it has read it; and for what it lost before, which has other numbers now. */
    ask_for_key(&v);
    uint8_t bytes[50];
    struct wr w = wr_init(bytes, sizeof bytes);
    rtcp_write_nack(&w, 1, rtc_units_track(s.stream, RTC_VIDEO)->ssrc, &old_seq, 1);
    rtc_sender_rtcp(v.sender, bytes, wr_len(&w), s.now_us);
    assert_int_equal(rtc_sender_stats(v.sender)->nacked, 1);
    assert_int_equal(rtc_sender_stats(v.sender)->resent, 0);
    live(&v, 20);
    assert_int_equal(started_over(&s), 1);
    assert_one_timeline(&v);
    viewer_fini(&v);
    source_fini(&s);
}

/* A publisher may have been able to send a new one. */
static void who_loses_a_later_key_frame_waits_for_a_newer_one(void **state)
{
    struct source s;
    struct viewer v;
    source_init(&s);
    s.gop = 100;
    push_many(&s, 10);
    viewer_init(&v, &s);
    rtc_sender_start(v.sender, s.now_us);
    catch_up(&v);
    live(&v, 85);
    ask_for_key(&v); /* the next comes after 6 pictures */
    live(&v, 30);
    assert_int_equal(started_over(&s), 0);
    ask_for_key(&v);
    live(&v, 10);
    assert_int_equal(started_over(&s), 0);
    live(&v, 5);
    assert_int_equal(started_over(&s), 1);
    assert_one_timeline(&v);
    live(&v, 20);
    ask_for_key(&v); /* too soon after it */
    live(&v, 20);
    assert_int_equal(started_over(&s), 1);
    live(&v, 10);
    ask_for_key(&v);
    live(&v, 15);
    assert_int_equal(started_over(&s), 1); /* by then one may not begin there any more */
    assert_one_timeline(&v);
    viewer_fini(&v);
    source_fini(&s);
}

static void the_round_trip_is_measured(void **state)
{
    struct source s;
    struct viewer v;
    source_init(&s);
    push_many(&s, 1);
    viewer_init(&v, &s);
    rtc_sender_start(v.sender, s.now_us);
    catch_up(&v);
    uint8_t bytes[200];
    struct wr w = wr_init(bytes, sizeof bytes);
    const struct rtcp_report r = {
        .ssrc = v.report[0].ssrc, .lsr = rtcp_ntp_middle(v.report[0].ntp), .dlsr = 65536 / 2};
    rtcp_write_rr(&w, 1, &r, 1);
    rtc_sender_rtcp(v.sender, bytes, wr_len(&w), v.report_us[0] + 530 * MS);
    assert_in_range(rtc_sender_stats(v.sender)->rtt_us, 29900, 30100);
    viewer_fini(&v);
    source_fini(&s);
}

static void a_new_publisher_goes_on_where_the_old_one_was(void **state)
{
    struct source s;
    struct viewer v;
    source_init(&s);
    push_many(&s, 1);
    viewer_init(&v, &s);
    rtc_sender_start(v.sender, s.now_us);
    catch_up(&v);
    live(&v, 20);
    const struct sent before = v.list[v.count - 1];
    uint32_t video_ts = nth(&v, 102, 18 + 20 * 5 - 1)->h.timestamp;
    open_run(&s, 2);
    log_newest(s.log)->shift_ms = 20 * FRAME_MS + 20 + 1000; /* a second later */
    live(&v, 20);
    assert_int_equal(assert_contiguous(&v, 102), 2 * (18 + 5 * 19) + 5);
    assert_contiguous(&v, 111);
    const struct sent *key = nth(&v, 102, 18 + 20 * 5);
    assert_int_equal(key->head[0] & 0x1f, 24);
    assert_int_equal(key->h.ssrc, nth(&v, 102, 0)->h.ssrc);
    /* Sound ended 20 ms after the last picture began. */
    assert_int_equal((uint32_t)(key->h.timestamp - video_ts), 90 * (20 + 1000));
    assert_true(before.h.payload_type == 111);
    viewer_fini(&v);
    source_fini(&s);
}

/* The stream's own numbers wrap; each viewer begins with rollover counter 0 all the same. */
static void a_join_around_the_wrap_can_be_decrypted(void **state)
{
    static const unsigned joins[] = {65530, 65536, 65537, 131072 + 3};
    struct srtp_keys keys = {.profile = SRTP_AEAD_AES_128_GCM};
    struct rtc_srtp *lib = rtc_srtp_new();
    struct source s;
    source_init(&s);
    s.gop = 5;
    s.key_bytes = 250000;
    s.frame_bytes = 2000;
    struct viewer v[COUNT_OF(joins)];
    size_t count = 0;
    for (int i = 0; i < 3500 && count < COUNT_OF(joins); i++) {
        push(&s);
        if (rtc_units_track(s.stream, RTC_VIDEO)->next < joins[count])
            continue;
        viewer_init(&v[count], &s);
        v[count].sealer = rtc_sealer_new(lib, &keys);
        v[count].opener = rtc_opener_new(lib, &keys, RTC_SRTP_LIBSRTP);
        rtc_sender_start(v[count].sender, s.now_us);
        catch_up(&v[count]);
        assert_true(assert_contiguous(&v[count], 102) > 0);
        count++;
    }
    assert_int_equal(count, COUNT_OF(joins));
    for (size_t i = 0; i < count; i++)
        viewer_fini(&v[i]);
    source_fini(&s);
    rtc_srtp_free(&lib);
}

static void b_frames_are_seen_and_left_out(void **state)
{
    struct source s;
    struct viewer v;
    for (int drop = 0; drop < 2; drop++) {
        source_init_with(&s, drop ? RTC_B_DROP : RTC_B_SEND);
        s.has_b = true;
        push_many(&s, 1);
        assert_false(rtc_units_is_bidirectional(s.stream));
        viewer_init(&v, &s);
        rtc_sender_start(v.sender, s.now_us);
        catch_up(&v);
        live(&v, 9);
        assert_true(rtc_units_is_bidirectional(s.stream));
        assert_int_equal(assert_contiguous(&v, 102), 18 + (drop ? 6 : 9) * 5);
        assert_int_equal(s.metrics.rtc_b_frames_dropped_total, drop ? 3 : 0);
        viewer_fini(&v);
        source_fini(&s);
    }
}

/* Derived video takes the place of the stream's own, whose B slices nobody gets. */
static void b_frames_are_replaced_by_a_derived_track(void **state)
{
    struct source s, ordered;
    struct viewer v;
    source_init_with(&s, RTC_B_REPLACE);
    source_init(&ordered);
    ordered.gop = 5;
    s.has_b = true;
    push_many(&s, 30);
    assert_true(rtc_units_is_replaced(s.stream) && rtc_units_waits(s.stream));
    uint64_t start;
    const struct log_limits limits = {.window_us = 30 * S, .window_bytes = 64 << 20};
    struct log *empty = log_new(&limits);
    assert_false(rtc_units_start(s.stream, &start));
    assert_false(rtc_units_read_derived(s.stream, RTC_VIDEO, empty));
    push_many(&ordered, 28);
    assert_true(rtc_units_read_derived(s.stream, RTC_VIDEO, ordered.log));
    assert_true(rtc_units_start(s.stream, &start) && !rtc_units_waits(s.stream));
    viewer_init(&v, &s);
    rtc_sender_start(v.sender, s.now_us);
    catch_up(&v);
    /* From the derived track's newest key frame, the 26th frame, on. */
    assert_int_equal(assert_contiguous(&v, 102), 18 + 2 * 5);
    for (int i = 0; i < 20; i++) {
        push(&ordered);
        rtc_units_read_derived(s.stream, RTC_VIDEO, ordered.log);
        live(&v, 1);
    }
    assert_int_equal(assert_contiguous(&v, 102), 18 + 2 * 5 + 20 * 5 + 4 * 13);
    /* It does not come any more: the stream's own without B slices. */
    rtc_units_drop_b(s.stream, s.log);
    live(&v, 51);
    assert_true(s.metrics.rtc_b_frames_dropped_total > 0);
    assert_contiguous(&v, 102);
    viewer_fini(&v);
    log_free(&empty);
    rtc_units_free(&ordered.stream);
    log_free(&ordered.log);
    source_fini(&s);
}

/* A derived track that never comes: who joins then has the stream's own at once, from its newest
 * key frame, and the sound that was taken before comes once. */
static void without_the_derived_track_b_frames_are_left_out(void **state)
{
    struct source s;
    struct viewer v;
    uint64_t start;
    source_init_with(&s, RTC_B_REPLACE);
    s.has_b = true;
    s.gop = 20;
    push_many(&s, 30);
    assert_true(rtc_units_waits(s.stream));
    assert_int_equal(rtc_units_track(s.stream, RTC_VIDEO)->next, 18); /* B slices came later */
    int64_t sounds = rtc_units_track(s.stream, RTC_AUDIO)->next;
    rtc_units_drop_b(s.stream, s.log);
    assert_false(rtc_units_waits(s.stream));
    assert_true(rtc_units_read(s.stream, s.log) && rtc_units_start(s.stream, &start));
    assert_int_equal(rtc_units_track(s.stream, RTC_AUDIO)->next, sounds);
    viewer_init(&v, &s);
    rtc_sender_start(v.sender, s.now_us);
    catch_up(&v);
    /* The 21st frame is the key frame; of the nine after it, three have B slices. */
    assert_int_equal(assert_contiguous(&v, 102), 18 + 6 * 5);
    live(&v, 20);
    assert_contiguous(&v, 102);
    assert_contiguous(&v, 111);
    viewer_fini(&v);
    source_fini(&s);
}

/* Sound that is not Opus comes from a derived track, on the same line. */
static void sound_may_be_derived(void **state)
{
    struct source s, opus;
    struct viewer v;
    source_init(&s);
    source_init(&opus);
    s.sound_is_aac = true;
    push_many(&s, 10);
    push_many(&opus, 9);
    assert_int_equal(rtc_units_track(s.stream, RTC_AUDIO)->codec, 0);
    assert_true(rtc_units_read_derived(s.stream, RTC_AUDIO, opus.log));
    viewer_init(&v, &s);
    rtc_sender_start(v.sender, s.now_us);
    for (int i = 0; i < 20; i++) {
        push(&opus);
        rtc_units_read_derived(s.stream, RTC_AUDIO, opus.log);
        live(&v, 1);
    }
    assert_int_equal(assert_contiguous(&v, 102), 18 + 29 * 5);
    assert_in_range(assert_contiguous(&v, 111), 40, 43);
    const struct sent *first = nth(&v, 111, 0);
    assert_int_equal((uint32_t)(nth(&v, 111, 38)->h.timestamp - first->h.timestamp), 38 * 960);
    viewer_fini(&v);
    rtc_units_free(&opus.stream);
    log_free(&opus.log);
    source_fini(&s);
}

static void the_past_is_bounded(void **state)
{
    struct source s;
    source_init(&s);
    s.gop = 100000;
    push_many(&s, 1000);
    assert_in_range(rtc_units_next(s.stream) - rtc_units_oldest(s.stream), 140, 160); /* 2 s */
    assert_null(rtc_units_find(s.stream, RTC_VIDEO, 100));
    assert_non_null(
        rtc_units_find(s.stream, RTC_VIDEO, rtc_units_track(s.stream, RTC_VIDEO)->next - 1));
    s.frame_bytes = 250000; /* 43 Mbit/s: packets are the bound */
    push_many(&s, 100);
    int64_t next = rtc_units_track(s.stream, RTC_VIDEO)->next;
    assert_null(rtc_units_find(s.stream, RTC_VIDEO, next - RTC_PACKETS_MAX - 1));
    assert_non_null(rtc_units_find(s.stream, RTC_VIDEO, next - RTC_PACKETS_MAX + 300));
    assert_null(rtc_units_find(s.stream, RTC_VIDEO, next));
    source_fini(&s);
}

/* A viewer that is not asked for long goes on at a key frame, without a gap in its numbers. */
static void whose_place_is_gone_goes_on_at_a_key_frame(void **state)
{
    struct source s;
    struct viewer v;
    source_init(&s);
    push_many(&s, 1);
    viewer_init(&v, &s);
    rtc_sender_start(v.sender, s.now_us);
    catch_up(&v);
    push_many(&s, 260);
    catch_up(&v);
    live(&v, 3);
    assert_int_equal(assert_contiguous(&v, 102), 18 + 18 + 13 * 5);
    assert_contiguous(&v, 111);
    viewer_fini(&v);
    source_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_viewer_begins_at_the_newest_key_frame),
        cmocka_unit_test(an_old_key_frame_is_not_begun_at),
        cmocka_unit_test(packets_of_a_picture_are_of_one_size),
        cmocka_unit_test(timestamps_and_reports_share_one_clock),
        cmocka_unit_test(lost_packets_come_again),
        cmocka_unit_test(key_frames_tell_the_playout_delay),
        cmocka_unit_test(the_past_is_played_faster),
        cmocka_unit_test(sound_begins_with_what_is_new),
        cmocka_unit_test(sending_again_has_a_budget),
        cmocka_unit_test(a_full_way_out_means_the_next_key_frame),
        cmocka_unit_test(a_slow_way_out_means_sound_and_the_next_key_frame),
        cmocka_unit_test(who_loses_too_much_gets_sound_alone),
        cmocka_unit_test(a_low_estimate_alone_leaves_nothing_out),
        cmocka_unit_test(a_receiver_learns_the_round_trip),
        cmocka_unit_test(key_frames_are_asked_for),
        cmocka_unit_test(who_lost_the_first_key_frame_gets_it_again),
        cmocka_unit_test(who_loses_a_later_key_frame_waits_for_a_newer_one),
        cmocka_unit_test(the_round_trip_is_measured),
        cmocka_unit_test(a_new_publisher_goes_on_where_the_old_one_was),
        cmocka_unit_test(a_join_around_the_wrap_can_be_decrypted),
        cmocka_unit_test(b_frames_are_seen_and_left_out),
        cmocka_unit_test(b_frames_are_replaced_by_a_derived_track),
        cmocka_unit_test(without_the_derived_track_b_frames_are_left_out),
        cmocka_unit_test(sound_may_be_derived),
        cmocka_unit_test(the_past_is_bounded),
        cmocka_unit_test(whose_place_is_gone_goes_on_at_a_key_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
