#include "test.h"

#include "base/err.h"
#include "base/fourcc.h"
#include "proto/relay_record.h"

#include <stdlib.h>

#define BUF_MAX (64 * 1024)

static struct relay_record frame_of(uint64_t seq, const char *payload)
{
    return (struct relay_record){
        .type = RELAY_FRAME,
        .flags = 1 | 16,
        .track = relay_track(RELAY_AUDIO, 3),
        .seq = seq,
        .dts_us = -5,
        .cts_us = -33000,
        .wire_ms = INT64_C(1) << 40,
        .payload = slice_text(payload),
    };
}

static void assert_record(const struct relay_record *a, const struct relay_record *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->track, b->track);
    assert_int_equal(a->seq, b->seq);
    assert_true(a->dts_us == b->dts_us && a->wire_ms == b->wire_ms);
    assert_int_equal(a->cts_us, b->cts_us);
    assert_true(slice_eq(a->payload, b->payload));
}

static void the_header_on_the_wire(void **state)
{
    static const uint8_t want[] = {
        0,    0,    0,    34,   2,    17,   1,    3,    1,    2,    3, 4, 5, 6, 7, 8, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xfb, 0xff, 0xff, 0x7f, 0x18, 0, 0, 1, 0, 0, 0, 0,    0,
    };
    struct relay_record rec = frame_of(0x0102030405060708, "");
    uint8_t out[RELAY_RECORD_HEADER_SIZE];
    relay_record_header(out, &rec, 2);
    assert_int_equal(sizeof want, sizeof out);
    assert_memory_equal(out, want, sizeof out);
    assert_int_equal(relay_track_kind(rec.track), RELAY_AUDIO);
    assert_int_equal(relay_track_id(rec.track), 3);
}

static void records_cut_everywhere(void **state)
{
    static const enum relay_type types[] = {RELAY_STATE, RELAY_FRAME, RELAY_KEEPALIVE, RELAY_END,
                                            RELAY_GAP};
    struct buf b;
    buf_init(&b, BUF_MAX);
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        struct relay_record rec = frame_of(i, i == 2 ? "" : "payload");
        rec.type = types[i];
        assert_int_equal(relay_record_append(&b, &rec), 0);
    }
    struct slice all = buf_slice(&b);
    for (size_t cut = 0; cut <= all.len; cut++) {
        size_t at = 0, seen = 0;
        for (size_t end = cut;; end = all.len) {
            struct relay_record rec;
            ssize_t n;
            while ((n = relay_record_read(all.p + at, end - at, &rec)) > 0) {
                struct relay_record want = frame_of(seen, seen == 2 ? "" : "payload");
                want.type = types[seen++];
                assert_record(&rec, &want);
                at += (size_t)n;
            }
            assert_int_equal(n, 0);
            if (end == all.len)
                break;
        }
        assert_int_equal(at, all.len);
        assert_int_equal(seen, COUNT_OF(types));
    }
    buf_fini(&b);
}

static void record_lengths(void **state)
{
    static const struct {
        const char *what;
        uint32_t length;
        size_t len;
        int want;
    } cases[] = {
        {"nothing", 0, 4, ERR_PROTOCOL},
        {"shorter than a header", 31, 40, ERR_PROTOCOL},
        {"a header", 32, 36, 36},
        {"a header and a byte more", 32, 37, 36},
        {"not there yet", 33, 36, 0},
        {"the largest, not there yet", RELAY_RECORD_MAX, 40, 0},
        {"too large", RELAY_RECORD_MAX + 1, 4, ERR_TOO_LARGE},
        {"much too large", UINT32_MAX, 4, ERR_TOO_LARGE},
        {"length cut", UINT32_MAX, 3, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint8_t bytes[40] = {0};
        struct wr w = wr_init(bytes, sizeof bytes);
        wr_u32(&w, cases[i].length);
        wr_u8(&w, RELAY_KEEPALIVE);
        struct relay_record rec;
        ssize_t n = relay_record_read(bytes, cases[i].len, &rec);
        if (n != cases[i].want)
            fail_msg("%s: %zd", cases[i].what, n);
    }
}

static void unknown_types_are_marked(void **state)
{
    static const uint8_t types[] = {0, 9, 255};
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        uint8_t bytes[40] = {0, 0, 0, 36, types[i]};
        struct relay_record rec;
        assert_int_equal(relay_record_read(bytes, sizeof bytes, &rec), sizeof bytes);
        assert_int_equal(rec.type, RELAY_UNKNOWN);
        assert_int_equal(rec.payload.len, 4);
    }
}

static void appending_is_all_or_nothing(void **state)
{
    struct buf b;
    buf_init(&b, RELAY_RECORD_HEADER_SIZE + 3);
    struct relay_record rec = frame_of(1, "four");
    assert_int_equal(relay_record_append(&b, &rec), ERR_TOO_LARGE);
    assert_int_equal(buf_len(&b), 0);
    rec.payload = slice_text("one");
    assert_int_equal(relay_record_append(&b, &rec), 0);
    assert_int_equal(relay_record_append(&b, &rec), ERR_TOO_LARGE);
    assert_int_equal(buf_len(&b), RELAY_RECORD_HEADER_SIZE + 3);
    buf_fini(&b);
}

static struct relay_state full_state(void)
{
    struct relay_state s = {
        .version = RELAY_STATE_VERSION,
        .epoch = 1795404426681057,
        .instance = 0x9f00000000000001,
        .path = slice_text("o1,e2"),
        .first_seq = 3,
        .head_seq = 40,
        .tail_seq = 77,
        .segment_ms = 2000,
        .part_ms = 200,
        .window_segments = 6,
        .has_date_base = true,
        .has_previous = true,
        .has_bandwidth = true,
        .lost = true,
        .date_base_us = 1795404426000000,
        .previous_epoch = 12,
        .previous_last_seq = 34,
        .peak_bps = 5000000,
        .average_bps = 4000000,
        .first_msn = 1795404450,
        .first_dsn = 1795404443,
        .last_seq = 77,
        .base_msn = 1795404442,
        .frame_rate_milli = 29970,
        .part_target_us = 230000,
        .rate_count = RELAY_TRACKS_MAX,
        .track_count = RELAY_TRACKS_MAX,
        .in_force_count = RELAY_IN_FORCE_MAX,
    };
    for (size_t i = 0; i < RELAY_TRACKS_MAX; i++) {
        s.rates[i].track = relay_track(RELAY_VIDEO, (uint8_t)i);
        s.rates[i].bps = 1000000 + (uint32_t)i;
        s.rates[i].frame_rate_milli = 25000;
        s.tracks[i].track = relay_track(RELAY_AUDIO, (uint8_t)i);
        s.tracks[i].codec = FOURCC('m', 'p', '4', 'a');
        if (i % 2 == 0)
            continue;
        s.tracks[i].flags = RELAY_TRACK_ANCHORED;
        s.tracks[i].sample_rate = 48000;
        s.tracks[i].anchor_dts_us = -21333;
        s.tracks[i].samples = 1024 * i;
    }
    for (size_t i = 0; i < RELAY_IN_FORCE_MAX; i++)
        s.in_force[i] = frame_of(i + 1, i % 2 == 0 ? "configuration" : "");
    return s;
}

static void assert_state(const struct relay_state *a, const struct relay_state *b)
{
    assert_int_equal(a->version, b->version);
    assert_true(a->epoch == b->epoch && a->instance == b->instance);
    assert_true(slice_eq(a->path, b->path));
    assert_true(a->first_seq == b->first_seq && a->head_seq == b->head_seq);
    assert_true(a->tail_seq == b->tail_seq && a->lost == b->lost);
    assert_int_equal(a->segment_ms, b->segment_ms);
    assert_int_equal(a->part_ms, b->part_ms);
    assert_int_equal(a->window_segments, b->window_segments);
    assert_true(a->has_date_base == b->has_date_base && a->date_base_us == b->date_base_us);
    assert_true(a->has_previous == b->has_previous && a->previous_epoch == b->previous_epoch &&
                a->previous_last_seq == b->previous_last_seq);
    assert_true(a->has_bandwidth == b->has_bandwidth && a->peak_bps == b->peak_bps &&
                a->average_bps == b->average_bps);
    assert_true(a->first_msn == b->first_msn && a->first_dsn == b->first_dsn &&
                a->last_seq == b->last_seq);
    assert_true(a->base_msn == b->base_msn && a->frame_rate_milli == b->frame_rate_milli);
    assert_int_equal(a->part_target_us, b->part_target_us);
    assert_int_equal(a->rate_count, b->rate_count);
    for (size_t i = 0; i < a->rate_count; i++)
        assert_true(a->rates[i].track == b->rates[i].track && a->rates[i].bps == b->rates[i].bps &&
                    a->rates[i].frame_rate_milli == b->rates[i].frame_rate_milli);
    assert_int_equal(a->track_count, b->track_count);
    for (size_t i = 0; i < a->track_count; i++) {
        const struct relay_state_track *x = &a->tracks[i], *y = &b->tracks[i];
        assert_true(x->track == y->track && x->codec == y->codec && x->flags == y->flags);
        assert_true(x->sample_rate == y->sample_rate && x->anchor_dts_us == y->anchor_dts_us &&
                    x->samples == y->samples);
    }
    assert_int_equal(a->in_force_count, b->in_force_count);
    for (size_t i = 0; i < a->in_force_count; i++)
        assert_record(&a->in_force[i], &b->in_force[i]);
}

static void a_state_survives_the_wire(void **state)
{
    struct relay_state full = full_state(), bare = {.version = 1, .epoch = 1}, out;
    const struct relay_state *const cases[] = {&full, &bare};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf b;
        buf_init(&b, BUF_MAX);
        assert_int_equal(relay_state_encode(cases[i], &b), 0);
        assert_int_equal(buf_len(&b), relay_state_size(cases[i]));
        assert_int_equal(relay_state_decode(buf_slice(&b), &out), 0);
        assert_state(&out, cases[i]);
        buf_fini(&b);
    }
    struct buf small;
    buf_init(&small, relay_state_size(&full) - 1);
    assert_int_equal(relay_state_encode(&full, &small), ERR_TOO_LARGE);
    assert_int_equal(buf_len(&small), 0);
    buf_fini(&small);
}

/* A cut between two fields is a state with fewer of them; any other is refused. */
static void a_state_cut_everywhere(void **state)
{
    struct relay_state full = full_state(), out;
    struct buf b;
    buf_init(&b, BUF_MAX);
    assert_int_equal(relay_state_encode(&full, &b), 0);
    struct slice all = buf_slice(&b);
    size_t boundary = 0, refused = 0;
    for (size_t cut = 0; cut <= all.len; cut++) {
        uint8_t *exact = malloc(cut + 1);
        assert_non_null(exact);
        memcpy(exact, all.p, cut);
        int err = relay_state_decode(slice_of(exact, cut), &out);
        free(exact);
        if (cut == boundary) {
            bool has_epoch = cut >= 10 + 14;
            assert_int_equal(err, has_epoch ? 0 : ERR_PROTOCOL);
            struct rd r = rd_init(all.p + cut, all.len - cut);
            rd_u16(&r);
            boundary += 6 + (size_t)rd_u32(&r);
        } else {
            assert_int_equal(err, ERR_PROTOCOL);
            refused++;
        }
    }
    assert_true(refused > 1000);
    buf_fini(&b);
}

#define NEEDED "\0\1\0\0\0\4\0\0\0\1\0\2\0\0\0\x08\0\0\0\0\0\0\0\1" /* version 1, epoch 1 */

static void states_of_other_shapes(void **state)
{
    static const struct {
        const char *what;
        const char *bytes;
        size_t len;
        int want;
    } cases[] = {
#define ROW(what, bytes, want) {what, bytes, sizeof(bytes) - 1, want}
        ROW("the least", NEEDED, 0),
        ROW("empty", "", ERR_PROTOCOL),
        ROW("an unknown field", NEEDED "\xff\xff\0\0\0\3abc", 0),
        ROW("a field of type 0", NEEDED "\0\0\0\0\0\0", 0),
        ROW("the first unknown number", NEEDED "\0\x15\0\0\0\1x", 0),
        ROW("rates of no track", NEEDED "\0\x14\0\0\0\0", 0),
        ROW("a rate cut", NEEDED "\0\x14\0\0\0\x09\0\0\0\0\0\0\0\0\0", ERR_PROTOCOL),
        ROW("a longer value", NEEDED "\0\x0c\0\0\0\3\1xy", 0),
        ROW("a shorter value", NEEDED "\0\x0c\0\0\0\0", ERR_PROTOCOL),
        ROW("a short number", NEEDED "\0\5\0\0\0\7\0\0\0\0\0\0\0", ERR_PROTOCOL),
        ROW("a length past the end", NEEDED "\0\5\0\0\0\x09\0\0\0\0\0\0\0\0", ERR_PROTOCOL),
        ROW("the largest length", NEEDED "\0\5\xff\xff\xff\xff\0", ERR_PROTOCOL),
        ROW("an unknown field past the end", NEEDED "\1\5\xff\xff\xff\xff\0", ERR_PROTOCOL),
        ROW("a path", NEEDED "\0\4\0\0\0\3a,b", 0),
        ROW("a path with an empty id", NEEDED "\0\4\0\0\0\2a,", ERR_NAME),
        ROW("a path with a line break", NEEDED "\0\4\0\0\0\3a\nb", ERR_NAME),
        ROW("a path of nine",
            NEEDED "\0\4\0\0\0\x11"
                   "a,b,c,d,e,f,g,h,i",
            ERR_TOO_MANY),
        ROW("a track", NEEDED "\0\x0d\0\0\0\7\1\0mp4a\0", 0),
        ROW("a track cut", NEEDED "\0\x0d\0\0\0\6\1\0mp4a", ERR_PROTOCOL),
        ROW("a track without its anchor", NEEDED "\0\x0d\0\0\0\7\1\0mp4a\1", ERR_PROTOCOL),
        ROW("the largest number", NEEDED "\0\x11\0\0\0\x10\0\x20\0\0\0\0\0\0\0\x20\0\0\0\0\0\0", 0),
        ROW("a larger number", NEEDED "\0\x11\0\0\0\x10\0\x20\0\0\0\0\0\1\0\0\0\0\0\0\0\0",
            ERR_PROTOCOL),
        ROW("the longest segments and window",
            NEEDED "\0\x08\0\0\0\x0c\5\x26\x5c\0\5\x26\x5c\0\0\1\0\0", 0),
        ROW("longer segments", NEEDED "\0\x08\0\0\0\x0c\5\x26\x5c\1\0\0\0\1\0\0\0\6", ERR_PROTOCOL),
        ROW("longer parts", NEEDED "\0\x08\0\0\0\x0c\0\0\1\0\5\x26\x5c\1\0\0\0\6", ERR_PROTOCOL),
        ROW("a larger window", NEEDED "\0\x08\0\0\0\x0c\0\0\1\0\0\0\0\1\0\1\0\1", ERR_PROTOCOL),
        ROW("the latest time", NEEDED "\0\x09\0\0\0\x08\0\x20\0\0\0\0\0\0", 0),
        ROW("a later time", NEEDED "\0\x09\0\0\0\x08\0\x20\0\0\0\0\0\1", ERR_PROTOCOL),
        ROW("in force: nothing", NEEDED "\0\x0e\0\0\0\0", ERR_PROTOCOL),
        ROW("in force: cut", NEEDED "\0\x0e\0\0\0\5\0\0\0\x20\2", ERR_PROTOCOL),
        ROW("in force: too large", NEEDED "\0\x0e\0\0\0\4\xff\xff\xff\xff", ERR_TOO_LARGE),
#undef ROW
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct relay_state out;
        int err = relay_state_decode(slice_of(cases[i].bytes, cases[i].len), &out);
        if (err != cases[i].want)
            fail_msg("%s: %d", cases[i].what, err);
    }
}

/* `count` times the field with that value, after what is needed. */
static int decode_repeated(size_t count, unsigned field, const uint8_t *value, size_t len)
{
    const uint8_t header[6] = {0, (uint8_t)field, 0, 0, 0, (uint8_t)len};
    struct buf b;
    buf_init(&b, BUF_MAX);
    assert_int_equal(buf_append(&b, NEEDED, sizeof NEEDED - 1), 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(buf_append(&b, header, sizeof header), 0);
        assert_int_equal(buf_append(&b, value, len), 0);
    }
    struct relay_state out;
    int err = relay_state_decode(buf_slice(&b), &out);
    buf_fini(&b);
    return err;
}

static void a_state_holds_a_bounded_number_of_things(void **state)
{
    static const uint8_t track[7] = {0};
    uint8_t record[RELAY_RECORD_HEADER_SIZE + 1] = {0};
    struct relay_record rec = frame_of(1, "");
    relay_record_header(record, &rec, 0);
    assert_int_equal(decode_repeated(RELAY_TRACKS_MAX, RELAY_FIELD_TRACK, track, 7), 0);
    assert_int_equal(decode_repeated(RELAY_TRACKS_MAX + 1, RELAY_FIELD_TRACK, track, 7),
                     ERR_TOO_MANY);
    size_t len = RELAY_RECORD_HEADER_SIZE;
    assert_int_equal(decode_repeated(RELAY_IN_FORCE_MAX, RELAY_FIELD_IN_FORCE, record, len), 0);
    assert_int_equal(decode_repeated(RELAY_IN_FORCE_MAX + 1, RELAY_FIELD_IN_FORCE, record, len),
                     ERR_TOO_MANY);
    assert_int_equal(decode_repeated(1, RELAY_FIELD_IN_FORCE, record, len + 1), ERR_PROTOCOL);
    record[4] = RELAY_KEEPALIVE;
    assert_int_equal(decode_repeated(1, RELAY_FIELD_IN_FORCE, record, len), ERR_PROTOCOL);
}

static void ends_and_gaps(void **state)
{
    uint8_t bytes[2 * RELAY_END_TEXT_MAX];
    struct wr w = wr_init(bytes, sizeof bytes);
    relay_end_write(&w, &(struct relay_end){RELAY_END_MOVED, slice_text("owner is o2")});
    struct relay_end end;
    assert_int_equal(relay_end_decode(wr_slice(&w), &end), 0);
    assert_int_equal(end.reason, RELAY_END_MOVED);
    assert_true(slice_is(end.text, "owner is o2"));
    assert_int_equal(relay_end_decode(slice_of(bytes, 1), &end), 0);
    assert_int_equal(end.text.len, 0);
    assert_int_equal(relay_end_decode(slice_of(bytes, 0), &end), ERR_PROTOCOL);

    static const uint8_t text[RELAY_END_TEXT_MAX + 5];
    w = wr_init(bytes, sizeof bytes);
    relay_end_write(&w, &(struct relay_end){RELAY_END_STREAM, slice_of(text, sizeof text)});
    assert_int_equal(wr_len(&w), 1 + RELAY_END_TEXT_MAX);
    assert_int_equal(relay_end_decode(wr_slice(&w), &end), 0);
    assert_int_equal(relay_end_decode(slice_of(text, RELAY_END_TEXT_MAX + 2), &end), ERR_PROTOCOL);

    uint64_t seq = 0;
    w = wr_init(bytes, sizeof bytes);
    relay_gap_write(&w, 0x1122334455667788);
    assert_int_equal(relay_gap_decode(wr_slice(&w), &seq), 0);
    assert_true(seq == 0x1122334455667788);
    assert_int_equal(relay_gap_decode(slice_of(bytes, 7), &seq), ERR_PROTOCOL);

    uint64_t epoch = 0;
    uint8_t room[16] = {0};
    struct wr a = wr_init(room, sizeof room);
    relay_accepted_write(&a, 1700000000000001);
    assert_int_equal(relay_accepted_decode(wr_slice(&a), &epoch), 0);
    assert_int_equal(epoch, 1700000000000001);
    assert_int_equal(relay_accepted_decode(slice_of(room, 7), &epoch), ERR_PROTOCOL);
}

static void cuts(void **state)
{
    struct relay_cut cut = {.msn = 1795404442,
                            .dsn = 0x1122334455667788,
                            .part = 9,
                            .init = 2,
                            .start_us = -1,
                            .wall_us = 1795404426681057,
                            .clock = relay_track(RELAY_AUDIO, 3),
                            .independent = true,
                            .track_count = RELAY_TRACKS_MAX};
    for (uint8_t i = 0; i < RELAY_TRACKS_MAX; i++)
        cut.tracks[i] = relay_track(RELAY_VIDEO, i);
    uint8_t room[RELAY_CUT_SIZE_MAX + 1] = {0};
    struct wr w = wr_init(room, sizeof room);
    struct relay_cut got;
    relay_cut_write(&w, &cut);
    assert_int_equal(wr_len(&w), RELAY_CUT_SIZE_MAX);
    for (size_t n = 0; n < RELAY_CUT_SIZE_MAX; n++)
        assert_int_equal(relay_cut_decode(slice_of(room, n), &got), ERR_PROTOCOL);
    assert_int_equal(relay_cut_decode(slice_of(room, sizeof room), &got),
                     0); /* of later versions */
    assert_true(got.msn == cut.msn && got.dsn == cut.dsn && got.part == 9 && got.init == 2);
    assert_true(got.start_us == -1 && got.wall_us == cut.wall_us && got.clock == cut.clock);
    assert_true(got.independent && got.track_count == RELAY_TRACKS_MAX);
    assert_memory_equal(got.tracks, cut.tracks, sizeof cut.tracks);
    room[RELAY_CUT_FIXED_SIZE - 1] = RELAY_TRACKS_MAX + 1;
    assert_int_equal(relay_cut_decode(slice_of(room, sizeof room), &got), ERR_TOO_MANY);
}

static int decode_cut(const struct relay_cut *cut)
{
    uint8_t room[RELAY_CUT_SIZE_MAX];
    struct wr w = wr_init(room, sizeof room);
    struct relay_cut got;
    relay_cut_write(&w, cut);
    return relay_cut_decode(wr_slice(&w), &got);
}

static void cuts_of_liars(void **state)
{
    const struct relay_cut good = {.start_us = -RELAY_TIME_MAX,
                                   .wall_us = RELAY_TIME_MAX,
                                   .track_count = 3,
                                   .tracks = {1, 2, 0x100}};
    assert_int_equal(decode_cut(&good), 0);
    struct relay_cut cut = good;
    cut.tracks[1] = cut.tracks[0];
    assert_int_equal(decode_cut(&cut), ERR_PROTOCOL);
    cut.tracks[1] = cut.tracks[2] + 1;
    assert_int_equal(decode_cut(&cut), ERR_PROTOCOL);
    cut = good;
    cut.start_us--;
    assert_int_equal(decode_cut(&cut), ERR_PROTOCOL);
    cut = good;
    cut.wall_us++;
    assert_int_equal(decode_cut(&cut), ERR_PROTOCOL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_on_the_wire),
        cmocka_unit_test(records_cut_everywhere),
        cmocka_unit_test(record_lengths),
        cmocka_unit_test(unknown_types_are_marked),
        cmocka_unit_test(appending_is_all_or_nothing),
        cmocka_unit_test(a_state_survives_the_wire),
        cmocka_unit_test(a_state_cut_everywhere),
        cmocka_unit_test(states_of_other_shapes),
        cmocka_unit_test(a_state_holds_a_bounded_number_of_things),
        cmocka_unit_test(ends_and_gaps),
        cmocka_unit_test(cuts),
        cmocka_unit_test(cuts_of_liars),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
