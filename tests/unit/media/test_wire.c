#include "test.h"

#include "base/mem.h"
#include "media/stream.h"
#include "media/wire.h"
#include "proto/flv.h"
#include "proto/rtmp_chunk.h"

#include <stdlib.h>

#define CHUNK RTMP_CHUNK_SIZE_OUT

static const struct log_limits roomy = {.window_us = 20000000, .window_bytes = 64 << 20};

static int nothing_is_left(void **state)
{
    assert_int_equal(frames_alive(), 0);
    return 0;
}

static struct buf flatten(const struct wire_span *span)
{
    struct buf b;
    buf_init(&b, 64 << 20);
    for (int i = 0; i < span->iov_count; i++)
        assert_int_equal(buf_append(&b, span->iov[i].iov_base, span->iov[i].iov_len), 0);
    assert_int_equal(buf_len(&b), span->bytes);
    return b;
}

/* Of all spans from there on. */
static struct buf flatten_all(struct wire_cache *cache, struct wire_place at)
{
    struct buf all;
    buf_init(&all, 1 << 24);
    for (; at.from < at.run->next; at.from = wire_span_get(cache, &at)->to) {
        struct buf b = flatten(wire_span_get(cache, &at));
        assert_int_equal(buf_append(&all, buf_slice(&b).p, buf_len(&b)), 0);
        buf_fini(&b);
    }
    return all;
}

/* Frames of sizes around the chunk size, read back by the chunk reader, at plain and extended
 * times. */
static void rtmp_is_read_back(void **state)
{
    static const size_t sizes[] = {0,         1,         CHUNK - 1,     CHUNK,
                                   CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1, 300000};
    static const int64_t times_ms[] = {0,         0xfffffe,     0xffffff,
                                       0x1000000, 0xffffffffLL, 0x100000005LL};
    for (size_t t = 0; t < COUNT_OF(times_ms); t++) {
        struct log *l = log_new(&roomy);
        struct run *r = log_open_run(l, 1, 1, NULL);
        for (size_t i = 0; i < COUNT_OF(sizes); i++)
            log_append(
                l, make_frame(FRAME_VIDEO, i == 0 ? FRAME_KEY : 0, i + 1, times_ms[t], sizes[i]));
        struct wire_cache cache = {0};
        struct wire_place at = {l, r, 1, WIRE_RTMP, 0};
        struct buf b = flatten_all(&cache, at);

        struct rtmp_chunk_reader reader;
        rtmp_chunk_reader_init(&reader, 1 << 20);
        static const uint8_t set_size[] = {2, 0, 0, 0, 0, 0, 4,          1,
                                           0, 0, 0, 0, 0, 0, CHUNK >> 8, CHUNK & 0xff};
        struct rtmp_message first;
        bool is_set;
        assert_int_equal(rtmp_chunk_read(&reader, set_size, sizeof set_size, &first, &is_set),
                         sizeof set_size);
        size_t seen = 0;
        while (buf_len(&b) > 0) {
            struct rtmp_message m;
            bool complete = false;
            struct slice in = buf_slice(&b);
            ssize_t n = rtmp_chunk_read(&reader, in.p, in.len, &m, &complete);
            assert_true(n > 0);
            if (complete) {
                const struct frame *f = run_frame(r, ++seen);
                assert_true(slice_eq(m.body, frame_payload(f)));
                assert_int_equal(m.timestamp_ms, (uint32_t)times_ms[t]);
                assert_int_equal(m.type, RTMP_VIDEO);
                assert_int_equal(m.sid, WIRE_RTMP_SID);
            }
            buf_consume(&b, (size_t)n);
        }
        assert_int_equal(seen, COUNT_OF(sizes));
        rtmp_chunk_reader_fini(&reader);
        buf_fini(&b);
        wire_cache_fini(&cache);
        log_free(&l);
    }
}

static void flv_is_read_back_with_the_shift(void **state)
{
    struct log *l = log_new(&roomy);
    struct run *r = log_open_run(l, 1, 1, NULL);
    r->shift_ms = 100000;
    uint64_t seq = 1;
    append_video(l, &seq, 50);
    struct wire_cache cache = {0};
    struct wire_place at = {l, r, 1, WIRE_FLV, 0};
    struct buf b = flatten(wire_span_get(&cache, &at));
    for (uint64_t s = 1; s < seq; s++) {
        struct flv_tag tag;
        struct slice in = buf_slice(&b);
        ssize_t n = flv_tag_read(in.p, in.len, 1 << 20, &tag);
        assert_true(n > 0);
        assert_int_equal(tag.timestamp_ms, (s - 1) * 40 + 100000);
        assert_int_equal(tag.back_pointer, tag.body.len + FLV_TAG_HEADER_SIZE);
        assert_true(slice_eq(tag.body, frame_payload(run_frame(r, s))));
        buf_consume(&b, (size_t)n);
    }
    assert_int_equal(buf_len(&b), 0);
    wire_cache_fini(&cache);
    log_free(&l);
}

static struct frame *body_frame(enum frame_kind kind, uint64_t seq, uint8_t track, uint8_t flags,
                                const void *body, size_t len)
{
    struct frame *f = make_frame(kind, flags, seq, 0, len);
    memcpy(f->data, body, len);
    f->track = track;
    return f;
}

static void plain_players_get_track_0_in_plain_form(void **state)
{
    struct log *l = log_new(&roomy);
    struct run *r = log_open_run(l, 1, 1, NULL);
    log_append(l, body_frame(FRAME_VIDEO, 1, 0, FRAME_KEY,
                             "\x96\x03hvc1\x00"
                             "abc",
                             10));
    log_append(l, body_frame(FRAME_VIDEO, 2, 1, FRAME_KEY,
                             "\x96\x03hvc1\x01"
                             "abc",
                             10));
    log_append(l, body_frame(FRAME_VIDEO, 3, 0, FRAME_META, "\xd4hvc1x", 6));
    log_append(l, body_frame(FRAME_AUDIO, 4, 0, FRAME_META, "\x94Opus\x01\x02", 7));
    log_append(l, body_frame(FRAME_AUDIO, 5, 0, 0, "\xaf\x01z", 3));
    struct wire_cache cache = {0};
    struct wire_place at = {l, r, 1, WIRE_FLV_BASIC, 0};
    struct buf b = flatten(wire_span_get(&cache, &at));
    static const struct {
        const char *body;
        size_t len;
    } want[] = {{"\x93hvc1"
                 "abc",
                 8},
                {"\xaf\x01z", 3}};
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        struct flv_tag tag;
        struct slice in = buf_slice(&b);
        ssize_t n = flv_tag_read(in.p, in.len, 1 << 20, &tag);
        assert_true(n > 0);
        assert_true(slice_eq(tag.body, slice_of(want[i].body, want[i].len)));
        buf_consume(&b, (size_t)n);
    }
    assert_int_equal(buf_len(&b), 0);
    wire_cache_fini(&cache);
    log_free(&l);
}

static void a_muted_kind_is_left_out_but_its_configuration_is_not(void **state)
{
    struct log *l = log_new(&roomy);
    struct run *r = log_open_run(l, 1, 1, NULL);
    log_append(l, make_frame(FRAME_VIDEO, FRAME_KEY, 1, 0, 100));
    log_append(l, make_frame(FRAME_AUDIO, FRAME_CONFIG, 2, 0, 7));
    log_append(l, make_frame(FRAME_AUDIO, 0, 3, 0, 50));
    struct wire_cache cache = {0};
    struct wire_place at = {l, r, 1, WIRE_FLV, 1U << FRAME_AUDIO};
    assert_int_equal(wire_span_get(&cache, &at)->bytes, 100 + 7 + 2 * 15);
    wire_cache_fini(&cache);
    log_free(&l);
}

static void a_span_is_shared_until_the_log_changes(void **state)
{
    struct log *l = log_new(&roomy);
    uint64_t seq = 1;
    struct run *r = log_open_run(l, 1, 1, NULL);
    append_video(l, &seq, 30);
    struct wire_cache cache = {0};
    struct wire_place at = {l, r, 26, WIRE_RTMP, 0}, other = {l, r, 28, WIRE_RTMP, 0};
    const struct wire_span *span = wire_span_get(&cache, &at);
    uint64_t used = span->used;
    assert_ptr_not_equal(wire_span_get(&cache, &other), span);
    assert_ptr_equal(wire_span_get(&cache, &at), span);
    assert_true(span->used > used);
    assert_int_equal(span->to, 31);
    append_video(l, &seq, 1);
    assert_int_equal(wire_span_get(&cache, &at)->to, 32);
    wire_cache_forget(&cache, l);
    wire_cache_fini(&cache);
    log_free(&l);
}

static void a_long_backlog_comes_in_spans(void **state)
{
    struct log *l = log_new(&roomy);
    struct run *r = log_open_run(l, 1, 1, NULL);
    for (uint64_t s = 1; s <= 400; s++)
        log_append(l, make_frame(FRAME_VIDEO, s == 1 ? FRAME_KEY : 0, s, (int64_t)s,
                                 s % 50 == 0 ? 400000 : 500));
    struct wire_cache cache = {0};
    struct wire_place at = {l, r, 1, WIRE_RTMP, 0};
    size_t bytes = 0, want = 0;
    while (at.from < r->next) {
        const struct wire_span *span = wire_span_get(&cache, &at);
        assert_true(span->to > at.from && span->iov_count <= WIRE_SPAN_IOV);
        bytes += span->bytes;
        at.from = span->to;
    }
    for (uint64_t s = 1; s <= 400; s++)
        want += run_frame(r, s)->size + 12 + (run_frame(r, s)->size - 1) / CHUNK;
    assert_int_equal(bytes, want);
    wire_cache_fini(&cache);
    log_free(&l);
}

static void what_many_read_is_put_together(void **state)
{
    static const struct {
        uint64_t from;
        size_t frame_bytes;
        bool in_one; /* in the end */
    } cases[] = {
        {1, 500, true}, {99, 500, true}, {100, 500, false}, {1, 150000, true}, {1, 400000, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct log *l = log_new(&roomy);
        struct run *r = log_open_run(l, 1, 1, NULL);
        for (uint64_t s = 1; s <= 100; s++)
            log_append(l, make_frame(FRAME_VIDEO, s == 1 ? FRAME_KEY : 0, s, (int64_t)s,
                                     cases[i].frame_bytes));
        struct wire_cache cache = {0};
        struct wire_place at = {l, r, cases[i].from, WIRE_RTMP, 0};
        struct buf first = flatten(wire_span_get(&cache, &at));
        for (int reader = 0; reader < 100; reader++) {
            struct buf b = flatten(wire_span_get(&cache, &at));
            assert_true(slice_eq(buf_slice(&b), buf_slice(&first)));
            buf_fini(&b);
        }
        assert_int_equal(wire_span_get(&cache, &at)->iov_count == 1, cases[i].in_one);
        /* Others elsewhere find no more room for copies, and take nobody's. */
        for (uint64_t place = 2; place < 2 + WIRE_SPANS / 2; place++) {
            struct wire_place other = {l, r, place, WIRE_RTMP, 0};
            for (int reader = 0; reader < 10; reader++) {
                struct buf b = flatten(wire_span_get(&cache, &other));
                buf_fini(&b);
            }
        }
        struct buf again = flatten(wire_span_get(&cache, &at));
        assert_true(slice_eq(buf_slice(&again), buf_slice(&first)));
        buf_fini(&again);
        size_t flats = 0;
        for (size_t k = 0; k < WIRE_SPANS; k++)
            flats += cache.spans[k] != NULL && cache.spans[k]->flat != NULL;
        assert_true(flats <= WIRE_FLATS);
        /* What is past makes room. */
        log_append(l, make_frame(FRAME_VIDEO, 0, 101, 101, cases[i].frame_bytes));
        struct buf longer = {0};
        for (int reader = 0; reader < 10; reader++) {
            buf_fini(&longer);
            longer = flatten(wire_span_get(&cache, &at));
        }
        assert_true(buf_len(&longer) >= buf_len(&first) &&
                    memcmp(buf_slice(&longer).p, buf_slice(&first).p, buf_len(&first)) == 0);
        if (cases[i].in_one)
            assert_int_equal(wire_span_get(&cache, &at)->iov_count, 1);
        buf_fini(&longer);
        buf_fini(&first);
        wire_cache_fini(&cache);
        log_free(&l);
    }
}

static void the_preamble_has_the_time_of_the_first_frame(void **state)
{
    struct frame *config = make_frame(FRAME_VIDEO, FRAME_CONFIG, 1, 5, 30);
    struct inforce *i = inforce_with(NULL, config);
    struct buf b;
    buf_init(&b, 1000);
    assert_int_equal(wire_preamble(WIRE_FLV, i, 7000, 50, &b), 0);
    struct flv_tag tag;
    assert_int_equal(flv_tag_read(buf_slice(&b).p, buf_len(&b), 1000, &tag), buf_len(&b));
    assert_int_equal(tag.timestamp_ms, 7050);
    buf_fini(&b);
    inforce_unref(&i);
    frame_unref(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(rtmp_is_read_back, nothing_is_left),
        cmocka_unit_test_teardown(flv_is_read_back_with_the_shift, nothing_is_left),
        cmocka_unit_test_teardown(plain_players_get_track_0_in_plain_form, nothing_is_left),
        cmocka_unit_test_teardown(a_muted_kind_is_left_out_but_its_configuration_is_not,
                                  nothing_is_left),
        cmocka_unit_test_teardown(a_span_is_shared_until_the_log_changes, nothing_is_left),
        cmocka_unit_test_teardown(a_long_backlog_comes_in_spans, nothing_is_left),
        cmocka_unit_test_teardown(what_many_read_is_put_together, nothing_is_left),
        cmocka_unit_test_teardown(the_preamble_has_the_time_of_the_first_frame, nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
