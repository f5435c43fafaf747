#include "test.h"

#include "base/err.h"
#include "hex_bytes.h"
#include "proto/rtcp.h"

#define ROOM 1500

/* The only packet of a datagram. */
static struct rtcp_packet only(struct slice s)
{
    struct rd r = rd_slice(s);
    struct rtcp_packet p, more;
    assert_int_equal(rtcp_next(&r, &p), 1);
    assert_int_equal(rtcp_next(&r, &more), 0);
    return p;
}

static struct rtcp_feedback only_feedback(struct slice s)
{
    struct rtcp_packet p = only(s);
    struct rtcp_feedback f;
    assert_int_equal(rtcp_read_feedback(&p, &f), 0);
    return f;
}

static void walks_a_compound(void **state)
{
    uint8_t bytes[HEX_BYTES_MAX];
    struct rd r = rd_slice(hex_bytes("80c90001 00000001 81ca0003 00000001 0102 4142 00000000"
                                     "a1cb0002 00000001 00000004",
                                     bytes));
    struct rtcp_packet p;
    assert_int_equal(rtcp_next(&r, &p), 1);
    assert_int_equal(p.type, RTCP_RR);
    assert_int_equal(rtcp_next(&r, &p), 1);
    struct slice cname;
    assert_true(rtcp_read_cname(&p, 1, &cname));
    assert_true(slice_is(cname, "AB"));
    assert_false(rtcp_read_cname(&p, 2, &cname));
    assert_int_equal(rtcp_next(&r, &p), 1);
    uint32_t ssrcs[RTCP_COUNT_MAX];
    assert_int_equal(rtcp_read_bye(&p, ssrcs), 1); /* its padding is no source */
    assert_int_equal(ssrcs[0], 1);
    assert_int_equal(rtcp_next(&r, &p), 0);
}

static void refuses_what_is_broken(void **state)
{
    static const char *const cases[] = {
        "80c9",              /* cut short */
        "80c90001",          /* longer than the datagram */
        "40c90001 00000001", /* version 1 */
        "a0c90000",          /* padding without a byte */
        "a0c90001 00000000", /* of no length */
        "a0c90001 00000005", /* longer than the packet */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint8_t bytes[HEX_BYTES_MAX];
        struct rd r = rd_slice(hex_bytes(cases[i], bytes));
        struct rtcp_packet p;
        assert_int_equal(rtcp_next(&r, &p), ERR_PROTOCOL);
    }
}

static void short_bodies_say_nothing(void **state)
{
    static const char *const cases[] = {"81c80001 00000001", "81c90001 00000001",
                                        "81ca0002 00000001 01ff4142", "83cb0001 00000001",
                                        "81cd0001 00000001"};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint8_t bytes[HEX_BYTES_MAX];
        struct rtcp_packet p = only(hex_bytes(cases[i], bytes));
        struct rtcp_sender s;
        struct rtcp_report b;
        struct rtcp_feedback f;
        struct slice cname;
        uint32_t ssrcs[RTCP_COUNT_MAX];
        assert_int_equal(rtcp_read_sr(&p, &s), ERR_PROTOCOL);
        assert_false(rtcp_read_report(&p, 0, &b));
        assert_false(rtcp_read_cname(&p, 1, &cname));
        assert_int_equal(rtcp_read_bye(&p, ssrcs), p.type == RTCP_BYE ? 1 : 0);
        assert_int_equal(rtcp_read_feedback(&p, &f), ERR_PROTOCOL);
    }
}

static void reports_come_back(void **state)
{
    uint8_t bytes[ROOM];
    struct wr w = wr_init(bytes, sizeof bytes);
    const struct rtcp_sender s = {1, rtcp_ntp_of_unix_us(1700000000123456), 2, 3, 4};
    const struct rtcp_report b[] = {{5, 6, -7, 0x10008, 9, 10, 11},
                                    {12, 255, 0x7fffff, 1, 2, 3, 4}};
    rtcp_write_sr(&w, &s, b, 2);
    rtcp_write_cname(&w, 1, slice_text("sluice"));
    struct rd r = rd_slice(wr_slice(&w));
    struct rtcp_packet p;
    assert_int_equal(rtcp_next(&r, &p), 1);
    struct rtcp_sender gs;
    struct rtcp_report gb;
    assert_int_equal(rtcp_read_sr(&p, &gs), 0);
    assert_true(gs.ssrc == 1 && gs.ntp == s.ntp && gs.timestamp == 2 && gs.packets == 3);
    assert_int_equal(gs.octets, 4);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(rtcp_read_report(&p, i, &gb));
        assert_true(gb.ssrc == b[i].ssrc && gb.fraction_lost == b[i].fraction_lost);
        assert_true(gb.lost == b[i].lost && gb.highest_seq == b[i].highest_seq);
        assert_true(gb.jitter == b[i].jitter && gb.lsr == b[i].lsr && gb.dlsr == b[i].dlsr);
    }
    assert_false(rtcp_read_report(&p, 2, &gb));
    assert_int_equal(rtcp_next(&r, &p), 1);
    struct slice cname;
    assert_true(rtcp_read_cname(&p, 1, &cname));
    assert_true(slice_is(cname, "sluice"));
    assert_int_equal(rtcp_next(&r, &p), 0);
}

static void losses_out_of_range_are_bounded(void **state)
{
    static const struct {
        int32_t said, read;
    } cases[] = {{0x800000, 0x7fffff}, {-0x800001, -0x800000}, {-1, -1}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint8_t bytes[ROOM];
        struct wr w = wr_init(bytes, sizeof bytes);
        const struct rtcp_report b = {.lost = cases[i].said};
        rtcp_write_rr(&w, 1, &b, 1);
        struct rtcp_packet p = only(wr_slice(&w));
        struct rtcp_report got;
        assert_true(rtcp_read_report(&p, 0, &got));
        assert_int_equal(got.lost, cases[i].read);
    }
}

static void ntp_times_come_back(void **state)
{
    assert_true(rtcp_ntp_of_unix_us(0) == 2208988800ULL << 32);
    assert_true(rtcp_ntp_of_unix_us(500000) == (2208988800ULL << 32) + 0x80000000ULL);
    for (int64_t us = 1700000000000000; us < 1700000000001000; us += 7)
        assert_int_equal(rtcp_unix_us_of_ntp(rtcp_ntp_of_unix_us(us)), us);
}

static void round_trips_of_receivers(void **state)
{
    uint8_t bytes[HEX_BYTES_MAX], out[ROOM];
    struct rtcp_receiver_time t;
    struct rtcp_dlrr d;
    /* Behind a block of another type. */
    struct rtcp_packet p =
        only(hex_bytes("80cf0006 00000007 0600 0001 aabbccdd 04000002 0102030405060708", bytes));
    assert_true(rtcp_read_receiver_time(&p, &t));
    assert_int_equal(t.ssrc, 7);
    assert_true(t.ntp == 0x0102030405060708);
    assert_false(rtcp_read_dlrr(&p, 0, &d));
    static const char *const broken[] = {
        "80cf0002 00000007 04000001",          /* longer than the packet */
        "80cf0003 00000007 04000001 01020304", /* too short for a time */
        "80c90003 00000007 04000001 01020304", /* no XR */
    };
    for (size_t i = 0; i < COUNT_OF(broken); i++) {
        p = only(hex_bytes(broken[i], bytes));
        assert_false(rtcp_read_receiver_time(&p, &t));
    }
    const struct rtcp_dlrr items[] = {{1, 2, 3}, {4, 5, 6}};
    struct wr w = wr_init(out, sizeof out);
    rtcp_write_dlrr(&w, 9, items, 2);
    p = only(wr_slice(&w));
    for (unsigned i = 0; i < 2; i++) {
        assert_true(rtcp_read_dlrr(&p, i, &d));
        assert_memory_equal(&d, &items[i], sizeof d);
    }
    assert_false(rtcp_read_dlrr(&p, 2, &d));
}

static void nacks_share_entries(void **state)
{
    static const struct {
        uint16_t seqs[6];
        size_t count, len;
    } cases[] = {
        {{7}, 1, 16},
        {{7, 8, 23}, 3, 16},
        {{7, 24}, 2, 20},        /* one too far */
        {{65535, 0, 15}, 3, 16}, /* over the wrap */
        {{9, 3}, 2, 20},         /* not in order */
        {{1, 2, 100, 101, 300, 301}, 6, 24},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint8_t bytes[ROOM];
        uint16_t got[8];
        struct wr w = wr_init(bytes, sizeof bytes);
        rtcp_write_nack(&w, 1, 2, cases[i].seqs, cases[i].count);
        assert_int_equal(wr_len(&w), cases[i].len);
        struct rtcp_feedback f = only_feedback(wr_slice(&w));
        assert_int_equal(f.sender, 1);
        assert_int_equal(f.media, 2);
        assert_int_equal(rtcp_read_nack(&f, got, COUNT_OF(got)), cases[i].count);
        assert_memory_equal(got, cases[i].seqs, cases[i].count * sizeof got[0]);
        assert_int_equal(rtcp_read_nack(&f, got, 1), 1);
    }
}

static void key_frames_are_asked_for(void **state)
{
    uint8_t bytes[ROOM];
    struct wr w = wr_init(bytes, sizeof bytes);
    rtcp_write_pli(&w, 1, 2);
    struct rtcp_packet p = only(wr_slice(&w));
    assert_int_equal(p.type, RTCP_PSFB);
    assert_int_equal(p.count, RTCP_PLI);
    assert_int_equal(only_feedback(wr_slice(&w)).media, 2);

    w = wr_init(bytes, sizeof bytes);
    rtcp_write_fir(&w, 1, 2, 33);
    struct rtcp_feedback f = only_feedback(wr_slice(&w));
    uint8_t seq;
    assert_true(rtcp_read_fir(&f, 2, &seq));
    assert_int_equal(seq, 33);
    assert_false(rtcp_read_fir(&f, 3, &seq));
}

static void remb_comes_back(void **state)
{
    static const struct {
        uint64_t said, read;
    } cases[] = {
        {0, 0},
        {0x3ffff, 0x3ffff},
        {0x40001, 0x40000},
        {2500000, 2500000},
        {UINT64_MAX, 0xffffc00000000000},
    };
    const uint32_t ssrcs[] = {8, 9};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint8_t bytes[ROOM];
        struct wr w = wr_init(bytes, sizeof bytes);
        rtcp_write_remb(&w, 1, cases[i].said, ssrcs, 2);
        assert_int_equal(wr_len(&w), 28);
        struct rtcp_feedback f = only_feedback(wr_slice(&w));
        uint64_t bps;
        assert_true(rtcp_read_remb(&f, &bps));
        assert_true(bps == cases[i].read);
    }
}

static void remb_beyond_64_bits_is_no_limit(void **state)
{
    uint8_t bytes[HEX_BYTES_MAX];
    uint64_t bps;
    struct rtcp_feedback f =
        only_feedback(hex_bytes("8fce0004 00000001 00000000 52454d42 00ffffff", bytes));
    assert_true(rtcp_read_remb(&f, &bps));
    assert_true(bps == UINT64_MAX);
    f = only_feedback(hex_bytes("8fce0004 00000001 00000000 52454d42 00fc0000", bytes));
    assert_true(rtcp_read_remb(&f, &bps));
    assert_true(bps == 0);
    f = only_feedback(hex_bytes("8fce0004 00000001 00000000 41424344 00fc0000", bytes));
    assert_false(rtcp_read_remb(&f, &bps));
}

/* Three packets, the second lost; by hand from the draft's format. */
static void reads_arrival_times(void **state)
{
    uint8_t bytes[HEX_BYTES_MAX];
    struct rtcp_feedback f = only_feedback(
        hex_bytes("8fcd0006 00000001 00000002 fffe 0004 000002 07 d240 04 0010 ff 0000", bytes));
    struct rtcp_twcc t;
    assert_int_equal(rtcp_read_twcc(&f, &t), 0);
    assert_int_equal(t.base_seq, 0xfffe);
    assert_int_equal(t.count, 4);
    assert_int_equal(t.number, 7);
    assert_int_equal(t.arrival_us[0], 128000 + 4 * 250);
    assert_true(t.arrival_us[1] == RTCP_TWCC_LOST);
    assert_int_equal(t.arrival_us[2], 128000 + 20 * 250);
    assert_int_equal(t.arrival_us[3], 128000 + 275 * 250);
}

static void refuses_broken_arrival_times(void **state)
{
    static const struct {
        const char *text;
        int err;
    } cases[] = {
        {"8fcd0004 00000001 00000002 0001 0001 000000 00", ERR_PROTOCOL},           /* no chunk */
        {"8fcd0005 00000001 00000002 0001 0004 000000 00 2004 0000", ERR_PROTOCOL}, /* no delta */
        {"8fcd0005 00000001 00000002 0001 0001 000000 00 6001 0000", ERR_PROTOCOL}, /* reserved */
        {"8fcd0005 00000001 00000002 0001 0001 000000 00 2000 2000", ERR_PROTOCOL}, /* empty runs */
        {"8fcd0005 00000001 00000002 0001 0401 000000 00 1fff 0000", ERR_TOO_MANY},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint8_t bytes[HEX_BYTES_MAX];
        struct rtcp_feedback f = only_feedback(hex_bytes(cases[i].text, bytes));
        struct rtcp_twcc t;
        assert_int_equal(rtcp_read_twcc(&f, &t), cases[i].err);
    }
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* Arrival times of many shapes, written in as many messages as it takes, are what comes back. */
static void arrival_times_come_back(void **state)
{
    uint32_t seed = 1;
    for (int round = 0; round < 200; round++) {
        struct rtcp_twcc said = {.base_seq = (uint16_t)(65000 + round), .number = 9};
        said.count = (uint16_t)(1 + next_random(&seed) % RTCP_TWCC_PACKETS_MAX);
        unsigned loss = next_random(&seed) % 100, step = 1U << next_random(&seed) % 20;
        int64_t at = 5000000 * (round % 3);
        for (unsigned i = 0; i < said.count; i++) {
            at += next_random(&seed) % step;
            said.arrival_us[i] =
                next_random(&seed) % 100 < loss ? RTCP_TWCC_LOST : at - (i % 7 == 3 ? 3000 : 0);
        }
        unsigned done = 0;
        while (done < said.count) {
            uint8_t bytes[600];
            struct rtcp_twcc part = {.base_seq = (uint16_t)(said.base_seq + done), .number = 9};
            part.count = (uint16_t)(said.count - done);
            memcpy(part.arrival_us, said.arrival_us + done, part.count * sizeof at);
            struct wr w = wr_init(bytes, sizeof bytes);
            unsigned n = rtcp_write_twcc(&w, 1, 2, &part);
            assert_false(w.overflow);
            if (n == 0)
                break; /* nothing came any more */
            struct rtcp_feedback f = only_feedback(wr_slice(&w));
            struct rtcp_twcc got;
            assert_int_equal(rtcp_read_twcc(&f, &got), 0);
            assert_int_equal(got.base_seq, part.base_seq);
            assert_int_equal(got.count, n);
            for (unsigned i = 0; i < n; i++)
                if (part.arrival_us[i] == RTCP_TWCC_LOST)
                    assert_true(got.arrival_us[i] == RTCP_TWCC_LOST);
                else
                    assert_in_range(part.arrival_us[i] - got.arrival_us[i], 0, 249);
            done += n;
        }
        for (; done < said.count; done++)
            assert_true(said.arrival_us[done] == RTCP_TWCC_LOST);
    }
}

static void a_time_too_far_begins_the_next_message(void **state)
{
    uint8_t bytes[ROOM];
    const struct rtcp_twcc t = {.count = 3, .arrival_us = {0, 1000, 10000000}};
    struct wr w = wr_init(bytes, sizeof bytes);
    assert_int_equal(rtcp_write_twcc(&w, 1, 2, &t), 2);
    w = wr_init(bytes, 20);
    assert_int_equal(rtcp_write_twcc(&w, 1, 2, &t), 0);
    assert_int_equal(wr_len(&w), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_a_compound),
        cmocka_unit_test(refuses_what_is_broken),
        cmocka_unit_test(short_bodies_say_nothing),
        cmocka_unit_test(reports_come_back),
        cmocka_unit_test(losses_out_of_range_are_bounded),
        cmocka_unit_test(ntp_times_come_back),
        cmocka_unit_test(round_trips_of_receivers),
        cmocka_unit_test(nacks_share_entries),
        cmocka_unit_test(key_frames_are_asked_for),
        cmocka_unit_test(remb_comes_back),
        cmocka_unit_test(remb_beyond_64_bits_is_no_limit),
        cmocka_unit_test(reads_arrival_times),
        cmocka_unit_test(refuses_broken_arrival_times),
        cmocka_unit_test(arrival_times_come_back),
        cmocka_unit_test(a_time_too_far_begins_the_next_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
