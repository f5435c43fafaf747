#include "test.h"

#include "media/show.h"
#include "proto/m3u8.h"

#include <stdlib.h>

/* What a publisher sends from 0 on. */
struct programme {
    int frames, per_ms; /* video: `frames` per `per_ms`; 0: none */
    int gop;            /* frames; 0: only the first is a key frame */
    int jitter_ms;      /* each frame is up to so much late */
    bool audio;
    int audio_from_ms, audio_lead_ms; /* sound comes so much before the picture of its time */
    int lasts_ms;
};

#define AUDIO_SAMPLES 1024
#define AUDIO_RATE    44100

static uint32_t random_next(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static int64_t video_ms(const struct programme *p, int64_t n, uint32_t *seed)
{
    int64_t ms = (n * p->per_ms + p->frames / 2) / p->frames;
    return p->jitter_ms > 0 ? ms + random_next(seed) % (uint32_t)(p->jitter_ms + 1) : ms;
}

static int64_t audio_ms(const struct programme *p, int64_t n)
{
    return p->audio_from_ms + n * AUDIO_SAMPLES * 1000 / AUDIO_RATE;
}

static void play(struct show *s, const struct programme *p, uint32_t *seed)
{
    int64_t v = 0, a = 0, next_ms = 0;
    if (p->frames > 0)
        show_config(s, FRAME_VIDEO, 0, 0, SHOW_AVC);
    if (p->audio && p->audio_from_ms == 0)
        show_config(s, FRAME_AUDIO, 0, 0, SHOW_AAC);
    for (;;) {
        bool video = p->frames > 0 && (!p->audio || next_ms <= audio_ms(p, a) - p->audio_lead_ms);
        int64_t at_ms = video ? next_ms : audio_ms(p, a);
        if (at_ms >= p->lasts_ms)
            return;
        if (!video && a == 0 && p->audio_from_ms > 0)
            show_config(s, FRAME_AUDIO, 0, at_ms, SHOW_AAC);
        if (!video) {
            show_audio(s, 0, audio_ms(p, a++));
            continue;
        }
        show_video(s, next_ms, v == 0 || (p->gop > 0 && v % p->gop == 0), 0);
        int64_t after_ms = video_ms(p, ++v, seed);
        next_ms = after_ms > next_ms ? after_ms : next_ms + 1;
    }
}

/* --- what always holds --- */

static void check_cut(const struct run *r, const struct log_part *p)
{
    const struct frame *f = run_frame(r, p->seq);
    assert_non_null(f->cut);
    assert_memory_equal(f->cut, &p->cut, sizeof p->cut);
    assert_int_equal(p->cut.wall_us, SHOW_WALL_US + p->cut.start_us);
    assert_true(p->cut.part > 0 || p->cut.track_count > 0);
    assert_true(p->cut.part == 0 || p->cut.track_count == 0);
}

static void check_follows(const struct log_part *a, const struct log_part *b)
{
    bool same = b->cut.msn == a->cut.msn;
    assert_true(b->seq > a->seq && b->cut.start_us >= a->cut.start_us);
    if (same) {
        assert_int_equal(b->cut.part, a->cut.part + 1);
        assert_int_equal(b->cut.dsn, a->cut.dsn);
        assert_int_equal(b->cut.init, a->cut.init);
        return;
    }
    assert_int_equal(b->cut.msn, a->cut.msn + 1);
    assert_int_equal(b->cut.part, 0);
    assert_in_range(b->cut.dsn - a->cut.dsn, 0, 1);
    assert_true(b->cut.init == a->cut.init || b->cut.dsn == a->cut.dsn + 1);
}

static void check_segment_is_its_parts(const struct run *r, const struct log_part *p)
{
    struct log_extent whole = run_segment_extent(r, p);
    int64_t sum_us = 0;
    uint64_t seq = whole.from, bytes = 0;
    for (const struct log_part *q = p; q != NULL && q->cut.msn == p->cut.msn;
         q = run_next_part(r, q)) {
        struct log_extent e = run_part_extent(r, q);
        assert_int_equal(e.from, seq);
        seq = e.to;
        sum_us += e.duration_us;
        bytes += e.bytes;
    }
    assert_int_equal(seq, whole.to);
    assert_int_equal(sum_us, whole.duration_us);
    assert_int_equal(bytes, whole.bytes);
}

/* Every unit, in order; the number of segments. */
static int check_order(const struct run *r)
{
    int segments = 0;
    const struct log_part *before = NULL;
    for (const struct log_part *p = run_first_part(r); p != NULL; p = run_next_part(r, p)) {
        check_cut(r, p);
        if (before != NULL)
            check_follows(before, p);
        if (p->cut.part == 0) {
            check_segment_is_its_parts(r, p);
            segments++;
        }
        assert_ptr_equal(run_part(r, p->cut.msn, p->cut.part), p);
        before = p;
    }
    return segments;
}

static bool is_last_of_segment(const struct run *r, const struct log_part *p)
{
    const struct log_part *next = run_next_part(r, p);
    return next == NULL || next->cut.part == 0;
}

/* As a validator of playlists looks at them. */
static void check_parts(const struct show *s)
{
    const struct run *r = s->run;
    int64_t target_us = s->segmenter.part_target_us;
    assert_true(target_us >= s->segmenter.o.part_ms * 1000);
    for (const struct log_part *p = run_first_part(r); p != NULL; p = run_next_part(r, p)) {
        struct log_extent e = run_part_extent(r, p);
        if (!e.complete)
            continue;
        if (e.duration_us > target_us)
            fail_msg("%d.%u lasts %d", (int)p->cut.msn, p->cut.part, (int)e.duration_us);
        if (!is_last_of_segment(r, p) && p->has.keys == 0 && e.duration_us * 100 < target_us * 85)
            fail_msg("%d.%u lasts %d only", (int)p->cut.msn, p->cut.part, (int)e.duration_us);
    }
}

static void check_segments(const struct show *s)
{
    const struct run *r = s->run;
    uint32_t target_s = m3u8_target_s(s->segmenter.o.segment_ms);
    for (const struct log_part *p = run_first_part(r); p != NULL; p = run_next_segment(r, p)) {
        struct log_extent e = run_segment_extent(r, p);
        assert_true((e.duration_us + 500000) / 1000000 <= target_s);
        for (uint64_t seq = e.from + 1; seq < e.to; seq++) {
            const struct frame *f = run_frame(r, seq);
            if (p->cut.clock == 0 && f->kind == FRAME_VIDEO && (f->flags & FRAME_KEY) != 0)
                assert_true(f->dts_us - p->cut.start_us < s->segmenter.o.segment_ms * 950);
        }
    }
}

/* --- by the rate --- */

struct rate_case {
    const char *name;
    struct programme p;
    int64_t part_target_us,
        segment_us; /* every complete segment lasts so long, but for what follows */
    int64_t segment_slack_us;
    bool independent;
    uint32_t frame_rate_milli;
};

static const struct rate_case rates[] = {
    {"12.5", {25, 2000, 25, 0, true, 0, 0, 20000}, 250000, 2000000, 0, true, 12500},
    {"12.5, no sound", {25, 2000, 25, 0, false, 0, 0, 20000}, 250000, 2000000, 0, true, 12500},
    {"12", {12, 1000, 24, 0, false, 0, 0, 20000}, 260000, 2000000, 0, true, 12000},
    {"15", {15, 1000, 30, 0, false, 0, 0, 20000}, 230000, 2000000, 0, true, 15000},
    {"20", {20, 1000, 40, 0, false, 0, 0, 20000}, 230000, 2000000, 0, true, 20000},
    {"1, with sound", {1, 1000, 2, 0, true, 0, 0, 20000}, 230000, 2000000, 0, true, 1000},
    {"1, no sound", {1, 1000, 2, 0, false, 0, 0, 20000}, 1030000, 2000000, 0, true, 1000},
    {"23.976", {24000, 1001000, 48, 0, true, 0, 0, 20000}, 230000, 2002000, 1000, true, 23976},
    {"24", {24, 1000, 48, 0, true, 0, 0, 20000}, 230000, 2000000, 0, true, 24000},
    {"25", {25, 1000, 50, 0, true, 0, 0, 20000}, 230000, 2000000, 0, true, 25000},
    {"25, gop of 1 s", {25, 1000, 25, 0, true, 0, 0, 20000}, 230000, 2000000, 0, true, 25000},
    {"29.97", {30000, 1001000, 60, 0, true, 0, 0, 20000}, 230000, 2002000, 1000, true, 29970},
    {"50", {50, 1000, 100, 0, false, 0, 0, 20000}, 230000, 2000000, 0, true, 50000},
    {"60", {60, 1000, 120, 0, true, 0, 300, 20000}, 230000, 2000000, 0, true, 60000},
    {"gop of 3 s", {25, 1000, 75, 0, true, 0, 0, 20000}, 230000, 3000000, 0, true, 25000},
    {"gop of 10 s", {25, 1000, 250, 0, true, 0, 0, 30000}, 230000, 4000000, 2000000, false, 25000},
    {"one key frame", {25, 1000, 0, 0, true, 0, 0, 30000}, 230000, 4000000, 0, false, 25000},
    {"irregular", {20, 1000, 40, 90, true, 0, 0, 20000}, 0, 2000000, 180000, true, 19400},
    {"irregular, sound ahead",
     {20, 1000, 40, 90, true, 0, 300, 20000},
     0,
     2000000,
     180000,
     true,
     19400},
    {"irregular, sound behind",
     {20, 1000, 40, 90, true, 0, -300, 20000},
     0,
     2000000,
     180000,
     true,
     19400},
    {"sound only", {0, 0, 0, 0, true, 0, 0, 20000}, 230000, 1900000, 24000, true, 0},
};

static void units_keep_their_targets(void **state)
{
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        const struct rate_case *c = &rates[i];
        struct show s;
        uint32_t seed = 1;
        print_message("%s\n", c->name);
        show_open(&s, 2000, 200);
        play(&s, &c->p, &seed);
        int segments = check_order(s.run);
        assert_true(segments >= c->p.lasts_ms * 1000 / (c->segment_us + c->segment_slack_us) - 1);
        check_parts(&s);
        if (c->part_target_us > 0)
            assert_int_equal(s.segmenter.part_target_us, c->part_target_us);
        check_segments(&s);
        const struct log_part *p = run_first_part(s.run), *next;
        assert_int_equal(p->cut.msn, SHOW_MSN);
        assert_int_equal(p->cut.dsn, SHOW_DSN);
        assert_int_equal(p->cut.init, 1);
        for (; (next = run_next_segment(s.run, p)) != NULL; p = next) {
            int64_t lasted_us = run_segment_extent(s.run, p).duration_us;
            assert_true(llabs(lasted_us - c->segment_us) <= c->segment_slack_us);
            assert_true(p->cut.independent || !c->independent);
            assert_int_equal(p->cut.dsn, SHOW_DSN);
        }
        assert_true(s.segmenter.declared.known);
        assert_in_range(s.segmenter.declared.frame_rate_milli,
                        c->frame_rate_milli - c->frame_rate_milli / 100, c->frame_rate_milli + 60);
        show_close(&s);
    }
}

/* Frames that come irregularly, sound that leads or lags, other settings. */
static void whatever_comes_is_cut_in_order(void **state)
{
    static const int jitters_ms[] = {0, 3, 10, 60, 300};
    static const int parts_ms[] = {100, 200, 330, 500};
    static const int segments_ms[] = {1000, 2000, 6000};
    for (uint32_t n = 0; n < 300; n++) {
        uint32_t seed = n;
        struct programme p = {.frames = 5 + (int)(random_next(&seed) % 60), .per_ms = 1000};
        p.gop = (int)(random_next(&seed) % 300);
        p.jitter_ms = jitters_ms[random_next(&seed) % 5];
        p.audio = random_next(&seed) % 4 > 0;
        p.audio_from_ms = random_next(&seed) % 3 == 0 ? (int)(random_next(&seed) % 8000) : 0;
        p.audio_lead_ms = (int)(random_next(&seed) % 700) - 350;
        p.lasts_ms = 20000;
        struct show s;
        show_open(&s, (uint32_t)segments_ms[random_next(&seed) % 3],
                  (uint32_t)parts_ms[random_next(&seed) % 4]);
        play(&s, &p, &seed);
        assert_true(check_order(s.run) > 0);
        /* Later than a frame is late nothing is expected to be. */
        if (p.jitter_ms <= 10)
            check_segments(&s);
        /* Sound that is there holds what pictures do not; without it they have to be regular. */
        if (p.jitter_ms == 0 || (p.audio && p.audio_from_ms == 0 && p.audio_lead_ms > -200))
            check_parts(&s);
        show_close(&s);
    }
}

/* --- tracks --- */

static const struct log_part *newest_segment(const struct show *s)
{
    return run_part(s->run, run_newest_part(s->run)->cut.msn, 0);
}

/* 25 frames a second from from_ms on, with sound: key frames every second. */
static void go_on(struct show *s, int64_t from_ms, int64_t to_ms, bool video, bool audio)
{
    for (int64_t ms = from_ms; ms < to_ms; ms += 20) {
        if (video && ms % 40 == 0)
            show_video(s, ms, ms % 1000 == 0, 0);
        if (audio)
            show_audio(s, 0, ms);
    }
}

static void segments_wait_for_what_is_announced(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    show_onmetadata(&s, &(struct show_metadata){.video = true, .audio = true});
    show_config(&s, FRAME_VIDEO, 0, 0, SHOW_AVC);
    go_on(&s, 0, 500, true, false);
    assert_null(run_newest_part(s.run));
    show_config(&s, FRAME_AUDIO, 0, 500, SHOW_AAC);
    go_on(&s, 500, 1500, true, true);
    const struct log_part *p = run_first_part(s.run);
    assert_int_equal(p->cut.start_us, 1000000);
    assert_int_equal(p->cut.track_count, 2);
    assert_int_equal(p->cut.tracks[0], FRAME_VIDEO << 8);
    assert_int_equal(p->cut.tracks[1], FRAME_AUDIO << 8);
    show_close(&s);
}

static void only_video_is_announced(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    show_onmetadata(&s, &(struct show_metadata){.video = true});
    show_config(&s, FRAME_VIDEO, 0, 0, SHOW_AVC);
    go_on(&s, 0, 500, true, false);
    assert_int_equal(run_first_part(s.run)->cut.start_us, 0);
    show_close(&s);
}

static void nothing_is_announced(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    show_config(&s, FRAME_AUDIO, 0, 0, SHOW_AAC);
    go_on(&s, 0, 3000, false, true);
    assert_int_equal(run_first_part(s.run)->cut.start_us, SEGMENTER_OPEN_US);
    assert_true(run_first_part(s.run)->cut.independent);
    assert_int_equal(run_first_part(s.run)->has.audio, 1);
    show_close(&s);
}

static void a_late_track_opens_a_segment(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    show_onmetadata(&s, &(struct show_metadata){.video = true});
    show_config(&s, FRAME_VIDEO, 0, 0, SHOW_AVC);
    go_on(&s, 0, 2500, true, false);
    struct cut before = newest_segment(&s)->cut;
    show_config(&s, FRAME_AUDIO, 0, 2500, SHOW_AAC);
    go_on(&s, 2520, 3500, true, true);
    struct cut after = newest_segment(&s)->cut;
    assert_int_equal(after.msn, before.msn + 1);
    assert_int_equal(after.dsn, before.dsn + 1);
    assert_int_equal(after.init, before.init + 1);
    assert_int_equal(after.start_us, 2520000);
    assert_int_equal(after.track_count, 2);
    assert_int_equal(before.track_count, 1);
    assert_int_equal(after.clock, 0);
    show_close(&s);
}

static void late_video_waits_for_its_key_frame(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    show_onmetadata(&s, &(struct show_metadata){.audio = true});
    show_config(&s, FRAME_AUDIO, 0, 0, SHOW_AAC);
    go_on(&s, 0, 1500, false, true);
    show_config(&s, FRAME_VIDEO, 0, 1500, SHOW_AVC);
    go_on(&s, 1500, 3500, true, true);
    const struct log_part *p = run_first_part(s.run);
    struct cut cut = run_next_segment(s.run, p)->cut;
    assert_int_equal(p->cut.track_count, 1);
    /* The sound of 1.9 s ends a segment as it would have. */
    assert_int_equal(cut.start_us, 1900000);
    assert_int_equal(cut.dsn, SHOW_DSN);
    cut = newest_segment(&s)->cut;
    assert_int_equal(cut.start_us, 2000000);
    assert_int_equal(cut.dsn, SHOW_DSN + 1);
    assert_int_equal(cut.init, 2);
    assert_int_equal(cut.clock, 0);
    assert_true(cut.independent);
    show_close(&s);
}

static void a_changed_configuration_opens_a_segment(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    show_config(&s, FRAME_VIDEO, 0, 0, SHOW_AVC);
    show_config(&s, FRAME_AUDIO, 0, 0, SHOW_AAC);
    go_on(&s, 0, 1000, true, true);
    show_config(&s, FRAME_VIDEO, 0, 1000, SHOW_AVC);
    show_config(&s, FRAME_AUDIO, 0, 1000, SHOW_AAC);
    go_on(&s, 1000, 1500, true, true);
    assert_int_equal(newest_segment(&s)->cut.init, 1); /* the same again changes nothing */
    show_config(&s, FRAME_VIDEO, 0, 1500, SHOW_AVC_LARGER);
    show_config(&s, FRAME_AUDIO, 0, 1500, SHOW_AAC_MONO);
    go_on(&s, 1500, 1800, true, true);
    struct cut cut = newest_segment(&s)->cut;
    assert_int_equal(cut.msn, SHOW_MSN + 1);
    assert_int_equal(cut.dsn, SHOW_DSN + 1);
    assert_int_equal(cut.init, 2); /* both at once */
    assert_int_equal(cut.start_us, 1500000);
    assert_int_equal(check_order(s.run), 2);
    show_close(&s);
}

static void a_broken_configuration_takes_the_track_out(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    show_config(&s, FRAME_VIDEO, 0, 0, SHOW_AVC);
    show_config(&s, FRAME_AUDIO, 0, 0, SHOW_AAC);
    go_on(&s, 0, 1500, true, true);
    show_config(&s, FRAME_VIDEO, 0, 1500, "1700000000ff");
    go_on(&s, 1500, 6000, true, true);
    struct cut cut = newest_segment(&s)->cut;
    assert_int_equal(cut.track_count, 1);
    assert_int_equal(cut.tracks[0], FRAME_AUDIO << 8);
    assert_int_equal(cut.dsn, SHOW_DSN + 1);
    assert_int_equal(cut.clock, FRAME_AUDIO << 8);
    check_order(s.run);
    show_close(&s);
}

/* --- the clock --- */

static void a_step_of_the_clock_opens_a_segment(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    show_config(&s, FRAME_VIDEO, 0, 0, SHOW_AVC);
    show_config(&s, FRAME_AUDIO, 0, 0, SHOW_AAC);
    go_on(&s, 0, 1040, true, true);
    show_video(&s, 1040, false, FRAME_DISCONTINUITY);
    go_on(&s, 1080, 1800, true, true);
    struct cut cut = newest_segment(&s)->cut;
    assert_int_equal(cut.start_us, 1040000);
    assert_int_equal(cut.dsn, SHOW_DSN + 1);
    assert_int_equal(cut.init, 1);
    assert_false(cut.independent);
    show_close(&s);
}

/* Its coming back is no reason for a cut. */
static void a_second_sound_that_pauses(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    show_config(&s, FRAME_VIDEO, 0, 0, SHOW_AVC);
    show_config(&s, FRAME_AUDIO, 0, 0, SHOW_AAC);
    show_config(&s, FRAME_AUDIO, 1, 0, SHOW_AAC);
    for (int64_t ms = 0; ms < 30000; ms += 20) {
        go_on(&s, ms, ms + 20, true, true);
        if (ms % 4000 < 1000)
            show_audio(&s, 1, ms + 10);
    }
    check_order(s.run);
    check_parts(&s);
    int gaps = 0;
    for (const struct log_part *p = run_first_part(s.run); p != NULL; p = run_next_part(s.run, p)) {
        assert_int_equal(p->has.video, 1);
        assert_int_equal(p->has.audio & 1, 1);
        assert_int_equal(p->first_number, 0);
        gaps += (p->has.audio & 2) == 0;
    }
    assert_in_range(gaps, 100, 120);
    show_close(&s);
}

static void sound_goes_on_without_the_picture(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    show_config(&s, FRAME_VIDEO, 0, 0, SHOW_AVC);
    show_config(&s, FRAME_AUDIO, 0, 0, SHOW_AAC);
    go_on(&s, 0, 2480, true, true);
    go_on(&s, 2480, 9000, false, true);
    struct cut cut = newest_segment(&s)->cut;
    assert_int_equal(cut.clock, FRAME_AUDIO << 8);
    assert_false(cut.independent);
    assert_int_equal(cut.dsn, SHOW_DSN);
    assert_int_equal(cut.track_count, 2);
    /* At the next segment the picture is asked again. */
    go_on(&s, 9000, 14000, true, true);
    cut = newest_segment(&s)->cut;
    assert_int_equal(cut.clock, 0);
    assert_true(cut.independent);
    assert_int_equal(cut.init, 1);
    check_order(s.run);
    check_segments(&s);
    show_close(&s);
}

static void a_pause_does_not_pass_the_target(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    show_config(&s, FRAME_VIDEO, 0, 0, SHOW_AVC);
    show_config(&s, FRAME_AUDIO, 0, 0, SHOW_AAC);
    show_video(&s, 0, true, 0);
    for (int64_t ms = 20; ms < 8000; ms += 20) {
        if (ms % 40 == 0 && ms < 3800)
            show_video(&s, ms, false, 0);
        show_audio(&s, 0, ms);
    }
    check_segments(&s);
    show_close(&s);
}

static void one_pause_says_nothing_of_the_next_frame(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    show_onmetadata(&s, &(struct show_metadata){.video = true});
    show_config(&s, FRAME_VIDEO, 0, 0, SHOW_AVC);
    for (int64_t n = 0; n < 100; n++)
        show_video(&s, n * 40 + (n > 20 ? 500 : 0), n == 0, 0);
    const struct log_part *p = run_part_from_seq(s.run, 25);
    assert_int_equal(run_part_extent(s.run, p).duration_us, 200000);
    show_close(&s);
}

/* Four pictures in ten seconds. */
static void slow_pictures_do_not_pass_the_target(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    show_onmetadata(&s, &(struct show_metadata){.video = true});
    show_config(&s, FRAME_VIDEO, 0, 0, SHOW_AVC);
    for (int64_t n = 0; n < 20; n++)
        show_video(&s, n * 2500, n == 0, 0);
    check_order(s.run);
    check_segments(&s);
    show_close(&s);
}

/* --- what is declared --- */

static void rates_of_the_metadata_are_declared(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    show_onmetadata(&s, &(struct show_metadata){true, true, 2500, 128, 29.97});
    show_config(&s, FRAME_VIDEO, 0, 0, SHOW_AVC);
    show_config(&s, FRAME_AUDIO, 0, 0, SHOW_AAC);
    go_on(&s, 0, 200, true, true);
    const struct segmenter_declared *d = &s.segmenter.declared;
    assert_true(d->known);
    assert_int_equal(d->average_bps, 2628000);
    assert_int_equal(d->peak_bps, 3153600);
    assert_int_equal(d->frame_rate_milli, 29970);
    show_close(&s);
}

static void else_the_first_segment_is_measured(void **state)
{
    struct show s;
    show_open(&s, 2000, 200);
    show_onmetadata(&s, &(struct show_metadata){true, true, 0, 128, 0});
    show_config(&s, FRAME_VIDEO, 0, 0, SHOW_AVC);
    show_config(&s, FRAME_AUDIO, 0, 0, SHOW_AAC);
    go_on(&s, 0, 2000, true, true);
    const struct segmenter_declared *d = &s.segmenter.declared;
    assert_false(d->known);
    go_on(&s, 2000, 8000, true, true);
    assert_true(d->known);
    assert_int_equal(d->average_bps, (50 * 1000 + 100 * 200) * 8 / 2);
    assert_int_equal(d->peak_bps, d->average_bps * 120 / 100);
    assert_int_equal(d->frame_rate_milli, 25000);
    show_close(&s);
}

static void numbers_jump_beyond_what_is_known(void **state)
{
    assert_int_equal(cut_jump(1795404426681057, 0), 1795404426 + 16);
    assert_int_equal(cut_jump(1795404426681057, 1795404400), 1795404426 + 16);
    assert_int_equal(cut_jump(1795404426681057, 1800000000), 1800000000 + 16);
    assert_int_equal(cut_jump_dsn(1700000000000000, 0), 16);
    assert_int_equal(cut_jump_dsn(1795404426681057, 0), (1795404426 - 1767225600) / 600 + 16);
    assert_int_equal(cut_jump_dsn(1795404426681057, 46900), (1795404426 - 1767225600) / 600 + 16);
    assert_int_equal(cut_jump_dsn(1795404426681057, 50000), 50000 + 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_keep_their_targets),
        cmocka_unit_test(whatever_comes_is_cut_in_order),
        cmocka_unit_test(segments_wait_for_what_is_announced),
        cmocka_unit_test(only_video_is_announced),
        cmocka_unit_test(nothing_is_announced),
        cmocka_unit_test(a_late_track_opens_a_segment),
        cmocka_unit_test(late_video_waits_for_its_key_frame),
        cmocka_unit_test(a_changed_configuration_opens_a_segment),
        cmocka_unit_test(a_broken_configuration_takes_the_track_out),
        cmocka_unit_test(a_step_of_the_clock_opens_a_segment),
        cmocka_unit_test(a_second_sound_that_pauses),
        cmocka_unit_test(sound_goes_on_without_the_picture),
        cmocka_unit_test(a_pause_does_not_pass_the_target),
        cmocka_unit_test(one_pause_says_nothing_of_the_next_frame),
        cmocka_unit_test(slow_pictures_do_not_pass_the_target),
        cmocka_unit_test(rates_of_the_metadata_are_declared),
        cmocka_unit_test(else_the_first_segment_is_measured),
        cmocka_unit_test(numbers_jump_beyond_what_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
