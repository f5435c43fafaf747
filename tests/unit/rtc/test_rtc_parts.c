/* The parts of the receiver, each alone: requests for packets and key frames, clocks, order. */
#include "test.h"

#include "rtc/rtc_arrivals.h"
#include "rtc/rtc_clock.h"
#include "rtc/rtc_jitter.h"
#include "rtc/rtc_nack.h"
#include "rtc/rtc_want_key.h"

#include "proto/rtcp.h"

#include <stdlib.h>

#define MS     1000LL
#define SECOND 1000000LL

/* --- rtc_nack --- */

static void packets_are_asked_for_until_they_come(void **state)
{
    struct rtc_nack *n = calloc(1, sizeof *n);
    struct rtc_missing m;
    uint16_t seqs[8];
    assert_true(rtc_nack_add(n, 65535, 65537, 0));
    assert_int_equal(rtc_nack_next_us(n), 10 * MS);
    assert_int_equal(rtc_nack_due(n, 9 * MS, 30 * MS, seqs, 8), 0);
    assert_int_equal(rtc_nack_due(n, 10 * MS, 30 * MS, seqs, 8), 3);
    assert_int_equal(seqs[0], 65535);
    assert_int_equal(seqs[1], 0);
    assert_int_equal(rtc_nack_due(n, 49 * MS, 30 * MS, seqs, 8), 0);
    assert_true(rtc_nack_has(n, 65536));
    assert_true(rtc_nack_take(n, 65536, &m));
    assert_false(rtc_nack_has(n, 65536));
    assert_int_equal(m.tries, 1);
    assert_int_equal(m.sent_us, 10 * MS);
    assert_false(rtc_nack_take(n, 65536, &m));
    assert_int_equal(rtc_nack_due(n, 50 * MS, 30 * MS, seqs, 8), 2);
    /* A longer round trip is waited for. */
    assert_int_equal(rtc_nack_due(n, 100 * MS, 200 * MS, seqs, 8), 2);
    assert_int_equal(rtc_nack_next_us(n), 310 * MS);
    rtc_nack_forget(n, 65537);
    assert_int_equal(n->count, 1);
    free(n);
}

static void packets_are_given_up(void **state)
{
    struct rtc_nack *n = calloc(1, sizeof *n);
    uint16_t seqs[8];
    int asked = 0;
    assert_true(rtc_nack_add(n, 5, 5, 0));
    for (int64_t us = 0; us < 5 * SECOND; us += MS)
        asked += (int)rtc_nack_due(n, us, 0, seqs, 8);
    assert_int_equal(asked, RTC_NACK_TRIES);
    assert_int_equal(n->count, 0);
    /* Long round trips: by time. */
    assert_true(rtc_nack_add(n, 6, 6, 0));
    for (int64_t us = 0; us < 5 * SECOND; us += MS)
        asked += (int)rtc_nack_due(n, us, 400 * MS, seqs, 8);
    assert_int_equal(asked, RTC_NACK_TRIES + 3);
    assert_int_equal(n->count, 0);
    /* Too many are none. */
    assert_true(rtc_nack_add(n, 10, 10 + RTC_NACK_MAX - 1, 0));
    assert_false(rtc_nack_add(n, 2000, 2000, 0));
    assert_int_equal(n->count, 0);
    assert_false(rtc_nack_add(n, 3000, 3000 + RTC_NACK_MAX, 0));
    free(n);
}

/* --- rtc_want_key --- */

static void key_frames_are_asked_for_with_measure(void **state)
{
    struct rtc_want_key k = {.asked = false};
    assert_false(rtc_want_key_due(&k, 0));
    rtc_want_key(&k);
    assert_true(rtc_want_key_due(&k, 0));
    rtc_want_key(&k); /* the same wish */
    assert_false(rtc_want_key_due(&k, 999 * MS));
    assert_true(rtc_want_key_due(&k, 1000 * MS)); /* again, since none came */
    rtc_want_key_met(&k, 1050 * MS);
    assert_int_equal(rtc_want_key_next_us(&k), INT64_MAX);
    rtc_want_key(&k);
    assert_false(rtc_want_key_due(&k, 1499 * MS)); /* too early, but not forgotten */
    assert_int_equal(rtc_want_key_next_us(&k), 1500 * MS);
    assert_true(rtc_want_key_due(&k, 1500 * MS));
    rtc_want_key_met(&k, 1550 * MS);
    k.every_us = 2 * SECOND;
    assert_int_equal(rtc_want_key_next_us(&k), 3550 * MS);
    rtc_want_key_met(&k, 3 * SECOND);
    assert_false(rtc_want_key_due(&k, 4999 * MS));
    assert_true(rtc_want_key_due(&k, 5 * SECOND));
}

/* --- rtc_clock --- */

static void timestamps_wrap(void **state)
{
    struct rtc_line l = {0};
    struct rtc_clock c = {.rate = 90000};
    uint32_t ts = 0xffffff00U;
    int64_t at_us = 5 * SECOND, first = rtc_clock_place(&c, &l, ts, at_us), last = first;
    for (int i = 1; i < 100; i++) {
        ts += 90;
        at_us += MS;
        int64_t us = rtc_clock_place(&c, &l, ts, at_us);
        assert_in_range(us - last, 999, 1001);
        last = us;
    }
    assert_in_range(last - first, 98999, 99001);
}

static void jumps_of_timestamps_are_placed_by_arrival(void **state)
{
    struct rtc_line l = {0};
    struct rtc_clock c = {.rate = 90000};
    int64_t a = rtc_clock_place(&c, &l, 1000, SECOND);
    int64_t b = rtc_clock_place(&c, &l, 1000 + 900000 * 5, SECOND + 40 * MS);
    assert_int_equal(b - a, 40 * MS);
    /* A pause is none: the timestamps tell what the arrivals do. */
    int64_t d = rtc_clock_place(&c, &l, 1000 + 900000 * 6, 11 * SECOND + 40 * MS);
    assert_in_range(d - b, 9999 * MS, 10001 * MS);
    /* Nor is a jam: what comes late was sent in time. */
    int64_t e = rtc_clock_place(&c, &l, 1000 + 900000 * 6 + 3600, 20 * SECOND);
    assert_in_range(e - d, 40 * MS - 5, 40 * MS + 5);
}

/* Each picture a little before the one before it: the line stays within some seconds of arrival. */
static void timestamps_that_go_back_are_placed_by_arrival(void **state)
{
    struct rtc_line l = {0};
    struct rtc_clock c = {.rate = 90000};
    for (int i = 0; i < 10000; i++) {
        int64_t at_us = SECOND + (int64_t)i * 33 * MS;
        int64_t us = rtc_clock_place(&c, &l, 1000U - (uint32_t)i * 90, at_us);
        assert_in_range(at_us - us + 10 * SECOND, 9 * SECOND, 10 * SECOND + 110 * SECOND);
    }
}

/* Pictures that are shown before those they need have gone back by no more than some frames. */
static void pictures_out_of_order_stay_where_they_are(void **state)
{
    static const int order[] = {0, 3, 1, 2};
    struct rtc_line l = {0};
    struct rtc_clock c = {.rate = 90000};
    for (int i = 0; i < 4000; i++) {
        int at = i / 4 * 4 + order[i % 4];
        int64_t arrival_us = SECOND + (int64_t)i * 33 * MS + (i > 2000 ? 5 * SECOND : 0);
        int64_t us = rtc_clock_place(&c, &l, (uint32_t)at * 2970, arrival_us);
        assert_int_equal(us, SECOND + (int64_t)at * 33 * MS);
    }
}

static void reports_move_a_track_slowly(void **state)
{
    struct rtc_line l = {0};
    struct rtc_clock video = {.rate = 90000}, sound = {.rate = 48000};
    /* Both are captured at once; the sound comes 60 ms later. */
    int64_t v0 = rtc_clock_place(&video, &l, 0, SECOND);
    int64_t s0 = rtc_clock_place(&sound, &l, 0, SECOND + 60 * MS);
    assert_int_equal(s0 - v0, 60 * MS);
    rtc_clock_report(&video, &l, 0, 77 * SECOND);
    rtc_clock_report(&sound, &l, 0, 77 * SECOND + 60 * MS);
    rtc_clock_report(&sound, &l, 0, 77 * SECOND);
    int64_t last = s0;
    for (uint32_t i = 1; i <= 500; i++) {
        int64_t at_us = SECOND + i * 20 * MS;
        int64_t s = rtc_clock_place(&sound, &l, i * 960, at_us + 60 * MS);
        assert_in_range(s - last, 19500, 20000); /* 1/50 at most */
        last = s;
    }
    int64_t v = rtc_clock_place(&video, &l, 900000, 11 * SECOND);
    assert_in_range(last - v + 1000, 0, 2000);
    /* The sender's clock is set back by an hour: nothing happens. */
    rtc_clock_report(&video, &l, 900000, 77 * SECOND + 10 * SECOND - 3600 * SECOND);
    rtc_clock_report(&sound, &l, 480000, 77 * SECOND + 10 * SECOND - 3600 * SECOND);
    int64_t s = rtc_clock_place(&sound, &l, 501 * 960, SECOND + 501 * 20 * MS);
    assert_in_range(s - last, 19900, 20100);
}

/* What was made before the connection stood comes at once: the first reports put that right. */
static void first_reports_move_tracks_forward(void **state)
{
    for (int sign = -1; sign <= 1; sign += 2) {
        struct rtc_line l = {0};
        struct rtc_clock video = {.rate = 90000}, sound = {.rate = 48000};
        int64_t v0 = rtc_clock_place(&video, &l, 90000, SECOND);
        int64_t s0 = rtc_clock_place(&sound, &l, 48000, SECOND);
        assert_int_equal(v0, s0);
        assert_int_equal(rtc_clock_report(&video, &l, 90000, 77 * SECOND), 0);
        int64_t us = rtc_clock_report(&sound, &l, 48000, 77 * SECOND + sign * 800 * MS);
        assert_int_equal(us, sign < 0 ? 800 * MS : 0);
        rtc_clock_advance(&video, us);
        int64_t v = rtc_clock_place(&video, &l, 91800, SECOND + 20 * MS);
        int64_t s = rtc_clock_place(&sound, &l, 48960, SECOND + 20 * MS);
        assert_int_equal(s - v, sign * 800 * MS);
        assert_true(v > v0 && s > s0);
        /* Later ones agree. */
        assert_int_equal(rtc_clock_report(&video, &l, 91800, 77 * SECOND + 20 * MS), 0);
        assert_int_equal(video.wanted_us, video.shift_us);
    }
}

/* --- rtc_jitter --- */

static void put(struct rtc_jitter *j, int64_t seq, uint32_t timestamp, bool marker, bool begins)
{
    struct rtc_packet head = {.seq = seq,
                              .timestamp = timestamp,
                              .marker = marker,
                              .begins = begins,
                              .arrival_us = seq * MS};
    assert_int_equal(rtc_jitter_put(j, &head, slice_text("x")), RTC_PUT_TAKEN);
}

static void assert_unit(struct rtc_jitter *j, int64_t first, int64_t last)
{
    struct rtc_unit_range r;
    assert_true(rtc_jitter_pop(j, &r));
    assert_int_equal(r.first, first);
    assert_int_equal(r.last, last);
    rtc_jitter_drop(j, &r);
}

static void units_are_cut_and_put_in_order(void **state)
{
    struct rtc_jitter j;
    struct rtc_unit_range r;
    struct slice payloads[64];
    rtc_jitter_init(&j, 64);
    put(&j, 100, 7, false, true);
    put(&j, 102, 7, true, false);
    assert_false(rtc_jitter_pop(&j, &r));
    assert_int_equal(rtc_jitter_waiting_since_us(&j), 102 * MS);
    put(&j, 104, 8, false, true);
    put(&j, 101, 7, false, false);
    assert_true(rtc_jitter_pop(&j, &r));
    assert_int_equal(rtc_jitter_payloads(&j, &r, payloads), 3);
    assert_int_equal(r.arrival_us, 100 * MS);
    rtc_jitter_drop(&j, &r);
    /* Without a marker the next timestamp ends a unit. */
    put(&j, 103, 8, false, true);
    assert_false(rtc_jitter_pop(&j, &r));
    put(&j, 105, 9, true, true);
    assert_unit(&j, 103, 104);
    assert_unit(&j, 105, 105);
    /* Doubles and what is late. */
    struct rtc_packet head = {.seq = 105, .timestamp = 9};
    assert_int_equal(rtc_jitter_put(&j, &head, slice_text("x")), RTC_PUT_USELESS);
    rtc_jitter_fini(&j);
}

static void what_is_in_doubt_is_passed_over(void **state)
{
    struct rtc_jitter j;
    struct rtc_unit_range r;
    rtc_jitter_init(&j, 64);
    put(&j, 10, 1, true, true);
    assert_unit(&j, 10, 10);
    put(&j, 12, 2, false, false); /* 11 is missing */
    put(&j, 13, 2, true, false);
    put(&j, 14, 3, true, false);
    assert_false(rtc_jitter_pop(&j, &r));
    rtc_jitter_give_up(&j);
    assert_unit(&j, 14, 14); /* 12 may be the middle of a unit; 14 follows one's end */
    put(&j, 16, 4, false, false);
    put(&j, 17, 5, false, false); /* another timestamp: a first packet */
    put(&j, 18, 5, true, false);
    rtc_jitter_give_up(&j);
    assert_unit(&j, 17, 18);
    put(&j, 20, 6, true, true); /* says that it is one */
    rtc_jitter_give_up(&j);
    assert_unit(&j, 20, 20);
    /* Far ahead: begun anew. */
    struct rtc_packet head = {.seq = 500, .timestamp = 9, .begins = true, .marker = true};
    assert_int_equal(rtc_jitter_put(&j, &head, slice_text("x")), RTC_PUT_RESTART);
    assert_unit(&j, 500, 500);
    assert_int_equal(rtc_jitter_waiting_since_us(&j), INT64_MAX);
    rtc_jitter_fini(&j);
}

static void padding_is_of_no_unit(void **state)
{
    struct rtc_jitter j;
    struct rtc_unit_range r;
    struct rtc_packet head = {.seq = 2, .timestamp = 1, .arrival_us = 1};
    rtc_jitter_init(&j, 64);
    put(&j, 1, 1, true, true);
    assert_unit(&j, 1, 1);
    for (; head.seq < 6; head.seq++)
        assert_int_equal(rtc_jitter_put(&j, &head, slice_of(NULL, 0)), RTC_PUT_TAKEN);
    assert_false(rtc_jitter_pop(&j, &r));
    put(&j, 6, 2, true, false);
    assert_unit(&j, 2, 6);
    rtc_jitter_fini(&j);
}

/* --- rtc_arrivals --- */

static void times_of_arrival_are_told(void **state)
{
    struct rtc_arrivals a;
    static struct rtcp_twcc t;
    uint8_t bytes[1200];
    struct rtcp_packet p;
    struct rtcp_feedback f;
    rtc_arrivals_init(&a);
    assert_int_equal(rtc_arrivals_next_us(&a), INT64_MAX);
    rtc_arrivals_add(&a, 65534, 1000 * MS);
    rtc_arrivals_add(&a, 0, 1010 * MS);
    rtc_arrivals_add(&a, 1, 1011 * MS);
    assert_int_equal(rtc_arrivals_next_us(&a), 1100 * MS);
    struct wr w = wr_init(bytes, sizeof bytes);
    assert_true(rtc_arrivals_write(&a, &w, 1, 2));
    assert_false(rtc_arrivals_write(&a, &w, 1, 2));
    assert_int_equal(rtc_arrivals_next_us(&a), INT64_MAX);
    struct rd rd = rd_slice(wr_slice(&w));
    assert_int_equal(rtcp_next(&rd, &p), 1);
    assert_int_equal(rtcp_read_feedback(&p, &f), 0);
    assert_int_equal(rtcp_read_twcc(&f, &t), 0);
    assert_int_equal(t.base_seq, 65534);
    assert_int_equal(t.count, 4);
    assert_true(t.arrival_us[1] == RTCP_TWCC_LOST);
    assert_int_equal(t.arrival_us[2] - t.arrival_us[0], 10 * MS);
    /* What comes late is told after all. */
    rtc_arrivals_add(&a, 65535, 1200 * MS);
    w = wr_init(bytes, sizeof bytes);
    assert_true(rtc_arrivals_write(&a, &w, 1, 2));
    rd = rd_slice(wr_slice(&w));
    assert_int_equal(rtcp_next(&rd, &p), 1);
    assert_int_equal(rtcp_read_feedback(&p, &f), 0);
    assert_int_equal(rtcp_read_twcc(&f, &t), 0);
    assert_int_equal(t.base_seq, 65535);
    assert_int_equal(t.number, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_are_asked_for_until_they_come),
        cmocka_unit_test(packets_are_given_up),
        cmocka_unit_test(key_frames_are_asked_for_with_measure),
        cmocka_unit_test(timestamps_wrap),
        cmocka_unit_test(jumps_of_timestamps_are_placed_by_arrival),
        cmocka_unit_test(timestamps_that_go_back_are_placed_by_arrival),
        cmocka_unit_test(pictures_out_of_order_stay_where_they_are),
        cmocka_unit_test(reports_move_a_track_slowly),
        cmocka_unit_test(first_reports_move_tracks_forward),
        cmocka_unit_test(units_are_cut_and_put_in_order),
        cmocka_unit_test(what_is_in_doubt_is_passed_over),
        cmocka_unit_test(padding_is_of_no_unit),
        cmocka_unit_test(times_of_arrival_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
