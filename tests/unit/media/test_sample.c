#include "test.h"

#include "base/err.h"
#include "hex_bytes.h"
#include "media/sample.h"

static struct frame *frame_of(enum frame_kind kind, uint32_t codec, const char *body)
{
    uint8_t room[HEX_BYTES_MAX];
    struct slice bytes = hex_bytes(body, room);
    struct frame *f = frame_new(kind, bytes.len);
    assert_non_null(f);
    f->codec = codec;
    memcpy(f->data, bytes.p, bytes.len);
    return f;
}

/* Where the coded bytes begin, in every form of packet. */
static const struct {
    const char *what;
    enum frame_kind kind;
    uint32_t codec;
    const char *body;
    size_t at; /* in the body */
    const char *coded;
} forms[] = {
    {"legacy AVC", FRAME_VIDEO, FLV_CODEC_AVC, "17 01 000043 0000000165", 5, "0000000165"},
    {"legacy AVC configuration", FRAME_VIDEO, FLV_CODEC_AVC, "17 00 000000 0142", 5, "0142"},
    {"HEVC with composition time", FRAME_VIDEO, FLV_CODEC_HEVC, "91 68766331 000043 00000001", 8,
     "00000001"},
    {"HEVC without", FRAME_VIDEO, FLV_CODEC_HEVC, "93 68766331 00000001", 5, "00000001"},
    {"AV1", FRAME_VIDEO, FLV_CODEC_AV1, "91 61763031 1200 3201aa", 7, "3201aa"},
    {"a track of its own", FRAME_VIDEO, FLV_CODEC_AVC, "96 01 61766331 03 000043 00000001", 10,
     "00000001"},
    {"the same without composition time", FRAME_VIDEO, FLV_CODEC_AVC, "96 03 61766331 03 00000001",
     7, "00000001"},
    {"ModEx", FRAME_VIDEO, FLV_CODEC_AVC, "97 02 000001 01 61766331 000043 00000001", 13,
     "00000001"},
    {"AAC", FRAME_AUDIO, FLV_CODEC_AAC, "af 01 2110", 2, "2110"},
    {"MP3", FRAME_AUDIO, FLV_CODEC_MP3, "2f fffb54c4", 1, "fffb54c4"},
    {"Opus", FRAME_AUDIO, FLV_CODEC_OPUS, "91 4f707573 fcff", 5, "fcff"},
    {"a track of sound of its own", FRAME_AUDIO, FLV_CODEC_AAC, "95 01 6d703461 01 2110", 7,
     "2110"},
    {"nothing", FRAME_AUDIO, 0, "", 0, ""},
    {"broken", FRAME_VIDEO, FLV_CODEC_AVC, "91 6176", 0, ""},
};

static void test_forms(void **state)
{
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        uint8_t room[HEX_BYTES_MAX];
        struct frame *f = frame_of(forms[i].kind, forms[i].codec, forms[i].body);
        struct slice coded = frame_coded(f), want = hex_bytes(forms[i].coded, room);
        if (!slice_eq(coded, want))
            fail_msg("%s: %zu bytes", forms[i].what, coded.len);
        if (coded.len > 0)
            assert_ptr_equal(coded.p, f->data + forms[i].at);
        frame_unref(&f);
    }
}

static void test_codec_info(void **state)
{
    struct frame *config = frame_of(FRAME_VIDEO, FLV_CODEC_AV1,
                                    "90 61763031 81000c000a0b000000043cfecc02f80040"),
                 *meta =
                     frame_of(FRAME_VIDEO, FLV_CODEC_AV1,
                              "d4 61763031 020009636f6c6f72496e666f03000b636f6c6f72436f6e666967"
                              "0300177472616e7366657243686172616374657269737469637300403000000000"
                              "0000 00126d6174726978436f656666696369656e7473004022000000000000"
                              "000e636f6c6f725072696d6172696573004022000000000000 000009000009"),
                 *empty = frame_of(FRAME_VIDEO, FLV_CODEC_AV1, "90 61763031"),
                 *key = frame_of(FRAME_VIDEO, FLV_CODEC_AV1,
                                 "91 61763031 1200 0a0b000000043cfecc02f80040 3200"),
                 *sound = frame_of(FRAME_AUDIO, FLV_CODEC_MP3, "2f fff340c4");
    struct codec_info info;
    assert_int_equal(frame_codec_info(&info, config, meta, NULL), 0);
    assert_string_equal(info.codecs, "av01.0.00M.08");
    assert_int_equal(info.video.width, 320);
    assert_true(info.video.colour.known && info.video.colour.transfer == 16);
    assert_int_equal(frame_codec_info(&info, config, config, NULL), 0); /* no metadata at all */
    assert_false(info.video.colour.known);

    assert_int_equal(frame_codec_info(&info, empty, NULL, NULL), ERR_NOT_FOUND);
    assert_int_equal(frame_codec_info(&info, empty, NULL, key), 0);
    assert_int_equal(info.video.height, 180);
    assert_int_equal(frame_codec_info(&info, NULL, NULL, sound), 0);
    assert_int_equal(info.timescale, 22050);

    struct frame *all[] = {config, meta, empty, key, sound};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        frame_unref(&all[i]);
    assert_int_equal(frames_alive(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_codec_info),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
