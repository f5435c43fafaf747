#include "test.h"

#include "base/err.h"
#include "proto/codec_info.h"

#include <stdbool.h>
#include <string.h>

/* Sequence parameter sets written bit by bit (ISO/IEC 23008-2, 7.3.2.2): each case has one part
 * that encoders seldom send, and what comes after it is still read. */

#define SPS_MAX 1024

enum { WIDTH = 320, HEIGHT = 180, RATE = 25 };

struct out {
    uint8_t bytes[SPS_MAX];
    size_t bits;
};

static void put(struct out *o, unsigned count, uint32_t value)
{
    for (unsigned i = count; i > 0; i--, o->bits++)
        if ((value >> (i - 1) & 1) != 0)
            o->bytes[o->bits / 8] |= (uint8_t)(0x80 >> o->bits % 8);
}

static void put_zeros(struct out *o, unsigned count)
{
    o->bits += count;
}

static void put_ue(struct out *o, uint32_t value)
{
    unsigned len = 0;
    while ((value + 1) >> (len + 1) != 0)
        len++;
    put_zeros(o, len);
    put(o, len + 1, value + 1);
}

enum scaling { NO_SCALING, DEFAULT_LISTS, WRITTEN_LISTS };
enum sets { NO_SETS, TWO_SETS, TOO_MANY_SETS, TOO_LARGE_SET, SETS_GROW };

struct sps {
    const char *what;
    unsigned sub_layers;
    bool all_layers; /* each has its own profile, level and ordering */
    unsigned chroma; /* _minus nothing: 0 to 3 */
    bool planes, crop;
    unsigned poc_bits; /* above 4 */
    enum scaling scaling;
    bool pcm;
    enum sets sets;
    unsigned long_pics;
    bool window; /* a default display window */
    int err;
    unsigned width, height, rate; /* to be read */
};

static void put_profile(struct out *o, const struct sps *s)
{
    put_zeros(o, 88 + 8);
    for (unsigned i = 0; i < s->sub_layers; i++)
        put(o, 2, s->all_layers ? 3 : 0);
    if (s->sub_layers > 0)
        put_zeros(o, 2 * (8 - s->sub_layers));
    if (s->all_layers)
        put_zeros(o, (88 + 8) * s->sub_layers);
}

static void put_picture(struct out *o, const struct sps *s)
{
    put_ue(o, 0);
    put_ue(o, s->chroma);
    if (s->chroma == 3)
        put(o, 1, s->planes);
    put_ue(o, WIDTH);
    put_ue(o, HEIGHT);
    put(o, 1, s->crop);
    for (unsigned i = 0; s->crop && i < 4; i++)
        put_ue(o, i + 1);
}

static void put_lists(struct out *o)
{
    for (unsigned size = 0; size < 4; size++) {
        for (unsigned matrix = 0; matrix < 6; matrix += size == 3 ? 3 : 1) {
            put(o, 1, matrix == 0);
            if (matrix != 0) {
                put_ue(o, 1);
                continue;
            }
            for (unsigned i = 0; i < (size == 0 ? 16U : 64U) + (size > 1); i++)
                put_ue(o, i % 3);
        }
    }
}

/* One picture before the current one and one after it. */
static void put_set(struct out *o)
{
    put_ue(o, 1);
    put_ue(o, 1);
    for (unsigned i = 0; i < 2; i++) {
        put_ue(o, 0);
        put(o, 1, 1);
    }
}

/* A change of the set before, whose `pics` pictures and the reference itself are all kept. */
static void put_change(struct out *o, unsigned pics)
{
    put(o, 1, 1);
    put(o, 1, 0);
    put_ue(o, 0);
    for (unsigned i = 0; i <= pics; i++)
        put(o, i == 0 ? 2 : 1, 1); /* not used now, but kept; used */
}

static void put_sets(struct out *o, const struct sps *s)
{
    switch (s->sets) {
    case NO_SETS:
        put_ue(o, 0);
        return;
    case TWO_SETS:
        put_ue(o, 2);
        put_set(o);
        put_change(o, 2);
        return;
    case TOO_MANY_SETS:
        put_ue(o, 65);
        return;
    case TOO_LARGE_SET:
        put_ue(o, 1);
        put_ue(o, 17);
        put_ue(o, 0);
        return;
    case SETS_GROW:
        put_ue(o, 64);
        put_set(o);
        for (unsigned i = 2; i < 65; i++)
            put_change(o, i);
        return;
    }
}

static void put_rest(struct out *o, const struct sps *s)
{
    put_ue(o, 0);
    put_ue(o, 0);
    put_ue(o, s->poc_bits);
    put(o, 1, s->all_layers);
    for (unsigned i = 0; i < 3 * (s->all_layers ? s->sub_layers + 1 : 1); i++)
        put_ue(o, i);
    for (unsigned i = 0; i < 6; i++)
        put_ue(o, i);
    put(o, 1, s->scaling != NO_SCALING);
    if (s->scaling != NO_SCALING)
        put(o, 1, s->scaling == WRITTEN_LISTS);
    if (s->scaling == WRITTEN_LISTS)
        put_lists(o);
    put(o, 2, 3);
    put(o, 1, s->pcm);
    if (s->pcm) {
        put(o, 8, 0x77);
        put_ue(o, 0);
        put_ue(o, 2);
        put(o, 1, 1);
    }
    put_sets(o, s);
    put(o, 1, s->long_pics > 0);
    if (s->long_pics > 0)
        put_ue(o, s->long_pics);
    for (unsigned i = 0; i < s->long_pics; i++)
        put(o, s->poc_bits + 4 + 1, 3);
    put(o, 2, 3);
}

static void put_vui(struct out *o, const struct sps *s)
{
    put(o, 1, 1);
    put_zeros(o, 4 + 3);
    put(o, 1, s->window);
    for (unsigned i = 0; s->window && i < 4; i++)
        put_ue(o, i);
    put(o, 1, 1);
    put(o, 32, 1);
    put(o, 32, RATE);
    put(o, 1, 1);
}

static size_t write_nal(uint8_t *dst, const struct out *o)
{
    size_t len = 0, zeros = 0;
    for (size_t i = 0; i < (o->bits + 7) / 8; i++) {
        if (zeros >= 2 && o->bytes[i] <= 3) {
            dst[len++] = 3;
            zeros = 0;
        }
        zeros = o->bytes[i] == 0 ? zeros + 1 : 0;
        dst[len++] = o->bytes[i];
    }
    return len;
}

static size_t write_sps(uint8_t *dst, const struct sps *s)
{
    struct out o = {.bits = 0};
    put(&o, 16, 0x4201);
    put_zeros(&o, 4);
    put(&o, 3, s->sub_layers);
    put(&o, 1, 1);
    put_profile(&o, s);
    put_picture(&o, s);
    put_rest(&o, s);
    put_vui(&o, s);
    return write_nal(dst, &o);
}

static void put_array(struct wr *w, uint8_t type, const uint8_t *nal, size_t len)
{
    wr_u8(w, type);
    wr_u16(w, 1);
    wr_u16(w, (uint16_t)len);
    wr_bytes(w, nal, len);
}

static struct wr begin_config(uint8_t *dst, size_t room, uint8_t version, uint8_t arrays)
{
    static const uint8_t head[] = {0xe2, 0x20, 0, 0,    0,    0x90, 0,    0, 0, 0,   0x40,
                                   93,   0xf0, 0, 0xfc, 0xfd, 0xf8, 0xf8, 0, 0, 0x0f};
    struct wr w = wr_init(dst, room);
    wr_u8(&w, version);
    wr_bytes(&w, head, sizeof head);
    wr_u8(&w, arrays);
    return w;
}

static const struct sps cases[] = {
    {.what = "plain", .chroma = 1, .width = 320, .height = 180, .rate = RATE},
    {.what = "sub-layers", .sub_layers = 3, .chroma = 1, .width = 320, .height = 180, .rate = RATE},
    {.what = "sub-layers of their own",
     .sub_layers = 6,
     .all_layers = true,
     .chroma = 1,
     .width = 320,
     .height = 180,
     .rate = RATE},
    {.what = "too many sub-layers", .sub_layers = 7, .chroma = 1, .err = ERR_PROTOCOL},
    {.what = "4:0:0, cropped", .crop = true, .width = 317, .height = 173, .rate = RATE},
    {.what = "4:2:0, cropped",
     .chroma = 1,
     .crop = true,
     .width = 314,
     .height = 166,
     .rate = RATE},
    {.what = "4:2:2, cropped",
     .chroma = 2,
     .crop = true,
     .width = 314,
     .height = 173,
     .rate = RATE},
    {.what = "4:4:4, cropped",
     .chroma = 3,
     .crop = true,
     .width = 317,
     .height = 173,
     .rate = RATE},
    {.what = "4:4:4 in planes, cropped",
     .chroma = 3,
     .planes = true,
     .crop = true,
     .width = 317,
     .height = 173,
     .rate = RATE},
    {.what = "default lists",
     .chroma = 1,
     .scaling = DEFAULT_LISTS,
     .width = 320,
     .height = 180,
     .rate = RATE},
    {.what = "written lists",
     .chroma = 1,
     .scaling = WRITTEN_LISTS,
     .width = 320,
     .height = 180,
     .rate = RATE},
    {.what = "pcm", .chroma = 1, .pcm = true, .width = 320, .height = 180, .rate = RATE},
    {.what = "sets", .chroma = 1, .sets = TWO_SETS, .width = 320, .height = 180, .rate = RATE},
    {.what = "long-term pictures",
     .chroma = 1,
     .poc_bits = 12,
     .long_pics = 32,
     .width = 320,
     .height = 180,
     .rate = RATE},
    {.what = "a default window",
     .chroma = 1,
     .window = true,
     .width = 320,
     .height = 180,
     .rate = RATE},
    /* What comes after something impossible is not believed. */
    {.what = "too many sets", .chroma = 1, .sets = TOO_MANY_SETS, .width = 320, .height = 180},
    {.what = "a set too large", .chroma = 1, .sets = TOO_LARGE_SET, .width = 320, .height = 180},
    {.what = "sets that grow", .chroma = 1, .sets = SETS_GROW, .width = 320, .height = 180},
    {.what = "too many long-term pictures",
     .chroma = 1,
     .long_pics = 33,
     .width = 320,
     .height = 180},
    {.what = "too many bits", .chroma = 1, .poc_bits = 13, .width = 320, .height = 180},
};

static int read_nal(struct codec_info *info, const uint8_t *nal, size_t len)
{
    static uint8_t config[2 * SPS_MAX];
    struct wr w = begin_config(config, sizeof config, 1, 1);
    put_array(&w, 0x80 | 33, nal, len);
    assert_false(w.overflow);
    return codec_info_read(info, FLV_VIDEO, FLV_CODEC_HEVC, wr_slice(&w), slice_of(NULL, 0));
}

static void parts_of_a_parameter_set(void **state)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct sps *s = &cases[i];
        uint8_t nal[SPS_MAX * 3 / 2];
        struct codec_info info = {0};
        int err = read_nal(&info, nal, write_sps(nal, s));
        const struct codec_video *v = &info.video;
        if (err != s->err)
            fail_msg("%s: %d", s->what, err);
        if (err == 0 && (v->width != s->width || v->height != s->height || v->rate_num != s->rate))
            fail_msg("%s: %ux%u, %u", s->what, v->width, v->height, v->rate_num);
    }
}

/* Nothing is read of a set that is cut before its size, and no rate of one that is cut after. */
static void cut_everywhere(void **state)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint8_t nal[SPS_MAX * 3 / 2];
        size_t len = write_sps(nal, &cases[i]);
        bool read = false;
        for (size_t cut = 0; cut + 9 < len; cut++) {
            struct codec_info info = {0};
            int err = read_nal(&info, nal, cut);
            assert_true(err == ERR_PROTOCOL || (err == 0 && cases[i].err == 0));
            assert_false(read && err < 0);
            read = err == 0;
            assert_int_equal(info.video.rate_num, 0);
        }
    }
}

static void records(void **state)
{
    uint8_t nal[SPS_MAX], other[SPS_MAX], config[4 * SPS_MAX];
    const struct sps large = {.chroma = 1, .crop = true};
    size_t len = write_sps(nal, &cases[0]), other_len = write_sps(other, &large);
    struct codec_info info;
    struct slice none = slice_of(NULL, 0);
    /* The first sequence parameter set counts, wherever it is. */
    struct wr w = begin_config(config, sizeof config, 1, 3);
    put_array(&w, 34, other, other_len);
    put_array(&w, 33, nal, len);
    put_array(&w, 33, other, other_len);
    assert_int_equal(codec_info_read(&info, FLV_VIDEO, FLV_CODEC_HEVC, wr_slice(&w), none), 0);
    assert_int_equal(info.video.height, HEIGHT);
    assert_string_equal(info.codecs, "hvc1.C2.4.H93.90.0.0.0.0.40");
    /* An array less than announced; a version that is not known; pictures' sets alone. */
    w = begin_config(config, sizeof config, 1, 2);
    put_array(&w, 33, nal, len);
    assert_int_equal(codec_info_read(&info, FLV_VIDEO, FLV_CODEC_HEVC, wr_slice(&w), none),
                     ERR_PROTOCOL);
    w = begin_config(config, sizeof config, 2, 1);
    put_array(&w, 33, nal, len);
    assert_int_equal(codec_info_read(&info, FLV_VIDEO, FLV_CODEC_HEVC, wr_slice(&w), none),
                     ERR_PROTOCOL);
    w = begin_config(config, sizeof config, 1, 1);
    put_array(&w, 34, nal, len);
    assert_int_equal(codec_info_read(&info, FLV_VIDEO, FLV_CODEC_HEVC, wr_slice(&w), none),
                     ERR_PROTOCOL);
    assert_int_equal(codec_info_read(&info, FLV_VIDEO, FLV_CODEC_HEVC, none, none), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_of_a_parameter_set),
        cmocka_unit_test(cut_everywhere),
        cmocka_unit_test(records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
