#include "base/err.h"
#include "proto/codec_internal.h"

/* AV1: AV1CodecConfigurationRecord (AV1 Codec ISO Media File Format Binding, 2.3) and the sequence
 * header OBU (AV1 bitstream specification, 5.5). */

#define AV1C_SIZE            4    /* bytes before configOBUs */
#define AV1C_MARKER          0x81 /* marker and version */
#define OBU_SEQUENCE         1
#define OBU_TEMPORAL_DELIM   2
#define OBU_SEQUENCE_MAX     128 /* bytes of one that is put into a box made here */
#define LEB128_BYTES_MAX     8
#define OBUS_LOOKED_AT       16 /* at the start of a temporal unit or of configOBUs */
#define UVLC_ZEROS           32 /* as many and more of them mean a number that is too large */
#define SCREEN_CHOSEN        2  /* seq_force_screen_content_tools: told per frame */
#define OPERATING_LEVEL_TIER 7  /* from levels above it, a tier is told */

/* Colour when nothing is said (H.273: unspecified). */
#define COLOUR_UNSPECIFIED 2
/* What a CODECS string without colour means. */
#define COLOUR_BT709 1

struct av1 {
    uint8_t profile, level, tier;
    bool high_bitdepth, twelve_bit, monochrome, subsampling_x, subsampling_y;
    uint8_t sample_position;
    uint32_t width, height;
    struct codec_colour colour;
    bool timed;
    uint32_t scale;
    uint64_t ticks;
};

/* The next OBU: its bytes with header, its content in *body; empty when there is none. */
static struct slice next_obu(struct rd *r, uint8_t *type, struct slice *body)
{
    const uint8_t *start = r->p;
    uint8_t header = rd_u8(r);
    if ((header & 0x04) != 0)
        rd_u8(r); /* extension */
    uint64_t size = rd_left(r);
    if ((header & 0x02) != 0) {
        size = 0;
        for (unsigned i = 0;; i++) {
            uint8_t byte = rd_u8(r);
            size |= (uint64_t)(byte & 0x7f) << 7 * i;
            if ((byte & 0x80) == 0)
                break;
            if (i + 1 == LEB128_BYTES_MAX)
                return slice_of(NULL, 0);
        }
    }
    *type = header >> 3 & 0xf;
    *body = rd_slice_of(r, size <= SIZE_MAX ? (size_t)size : SIZE_MAX);
    return r->underrun ? slice_of(NULL, 0) : slice_of(start, (size_t)(r->p - start));
}

static struct slice find_sequence(struct slice obus, struct slice *body)
{
    struct rd r = rd_slice(obus);
    for (int i = 0; i < OBUS_LOOKED_AT && rd_left(&r) > 0; i++) {
        uint8_t type;
        struct slice obu = next_obu(&r, &type, body);
        if (obu.len == 0 || type == OBU_SEQUENCE)
            return obu;
    }
    return slice_of(NULL, 0);
}

static uint32_t read_uvlc(struct bits *b)
{
    unsigned zeros = 0;
    while (zeros < UVLC_ZEROS && !bits_flag(b))
        zeros++;
    if (zeros < UVLC_ZEROS)
        return (uint32_t)((1ULL << zeros) - 1) + bits_u(b, zeros);
    b->underrun = true; /* a rate that cannot be */
    return UINT32_MAX;
}

static void read_timing(struct bits *b, struct av1 *a)
{
    uint32_t ticks = bits_u(b, 32);
    a->scale = bits_u(b, 32);
    if (!bits_flag(b))
        return; /* pictures are not equally far apart */
    a->ticks = (read_uvlc(b) + 1ULL) * ticks;
    a->timed = true;
}

static void read_operating_points(struct bits *b, struct av1 *a)
{
    unsigned delay_bits = 0;
    bool has_model = false;
    if (bits_flag(b)) {
        read_timing(b, a);
        has_model = bits_flag(b);
        if (has_model) {
            delay_bits = bits_u(b, 5) + 1;
            bits_skip(b, 32 + 5 + 5);
        }
    }
    bool has_delay = bits_flag(b);
    uint32_t count = bits_u(b, 5) + 1;
    for (uint32_t i = 0; i < count; i++) {
        bits_skip(b, 12);
        uint8_t level = (uint8_t)bits_u(b, 5);
        uint8_t tier = level > OPERATING_LEVEL_TIER ? (uint8_t)bits_u(b, 1) : 0;
        if (i == 0) {
            a->level = level;
            a->tier = tier;
        }
        if (has_model && bits_flag(b))
            bits_skip(b, 2 * delay_bits + 1);
        if (has_delay && bits_flag(b))
            bits_skip(b, 4);
    }
}

/* The tools of a sequence that is not a reduced still picture. */
static void skip_tools(struct bits *b)
{
    bits_skip(b, 4); /* inter-intra, masked, warped motion, dual filter */
    bool ordered = bits_flag(b);
    if (ordered)
        bits_skip(b, 2);
    uint32_t screen = bits_flag(b) ? SCREEN_CHOSEN : bits_u(b, 1);
    if (screen > 0 && !bits_flag(b))
        bits_skip(b, 1);
    if (ordered)
        bits_skip(b, 3);
}

static void read_subsampling(struct bits *b, struct av1 *a)
{
    a->subsampling_x = a->profile != 1;
    a->subsampling_y = a->profile == 0;
    if (a->twelve_bit) {
        a->subsampling_x = bits_flag(b);
        a->subsampling_y = a->subsampling_x && bits_flag(b);
    }
    if (a->subsampling_x && a->subsampling_y)
        a->sample_position = (uint8_t)bits_u(b, 2);
}

static void read_colour(struct bits *b, struct av1 *a)
{
    struct codec_colour *c = &a->colour;
    a->high_bitdepth = bits_flag(b);
    a->twelve_bit = a->profile == 2 && a->high_bitdepth && bits_flag(b);
    a->monochrome = a->profile != 1 && bits_flag(b);
    c->primaries = c->transfer = c->matrix = COLOUR_UNSPECIFIED;
    c->known = bits_flag(b);
    if (c->known) {
        c->primaries = (uint8_t)bits_u(b, 8);
        c->transfer = (uint8_t)bits_u(b, 8);
        c->matrix = (uint8_t)bits_u(b, 8);
    }
    if (a->monochrome) {
        a->subsampling_x = a->subsampling_y = true;
        c->full_range = bits_flag(b);
    } else if (c->primaries == 1 && c->transfer == 13 && c->matrix == 0) {
        c->full_range = true; /* sRGB, always 4:4:4 */
    } else {
        c->full_range = bits_flag(b);
        read_subsampling(b, a);
    }
}

static int read_sequence(struct slice body, struct av1 *a)
{
    struct bits b = bits_of(body);
    a->profile = (uint8_t)bits_u(&b, 3);
    bits_flag(&b);
    bool reduced = bits_flag(&b);
    if (reduced)
        a->level = (uint8_t)bits_u(&b, 5);
    else
        read_operating_points(&b, a);
    unsigned width_bits = bits_u(&b, 4) + 1, height_bits = bits_u(&b, 4) + 1;
    a->width = bits_u(&b, width_bits) + 1;
    a->height = bits_u(&b, height_bits) + 1;
    if (!reduced && bits_flag(&b))
        bits_skip(&b, 7); /* frame ids */
    bits_skip(&b, 3);     /* superblocks, filter intra, intra edge filter */
    if (!reduced)
        skip_tools(&b);
    bits_skip(&b, 3); /* super-resolution, cdef, restoration */
    read_colour(&b, a);
    return b.underrun || a->profile > 2 ? ERR_PROTOCOL : 0;
}

/* The four bytes say the same as the sequence header does; what they say is what is declared. */
static int read_record(struct slice config, struct av1 *a)
{
    if (config.len < AV1C_SIZE || config.p[0] != AV1C_MARKER)
        return ERR_PROTOCOL;
    a->profile = config.p[1] >> 5;
    a->level = config.p[1] & 0x1f;
    a->tier = config.p[2] >> 7;
    a->high_bitdepth = (config.p[2] & 0x40) != 0;
    a->twelve_bit = (config.p[2] & 0x20) != 0;
    a->monochrome = (config.p[2] & 0x10) != 0;
    a->subsampling_x = (config.p[2] & 0x08) != 0;
    a->subsampling_y = (config.p[2] & 0x04) != 0;
    a->sample_position = config.p[2] & 3;
    return 0;
}

static int make_record(struct codec_info *out, const struct av1 *a, struct slice obu)
{
    if (obu.len > OBU_SEQUENCE_MAX)
        return ERR_PROTOCOL;
    struct wr w = codec_make(out);
    wr_u8(&w, AV1C_MARKER);
    wr_u8(&w, (unsigned)a->profile << 5 | a->level);
    wr_u8(&w, (a->tier != 0 ? 0x80U : 0) | (a->high_bitdepth ? 0x40U : 0) |
                  (a->twelve_bit ? 0x20U : 0) | (a->monochrome ? 0x10U : 0) |
                  (a->subsampling_x ? 0x08U : 0) | (a->subsampling_y ? 0x04U : 0) |
                  a->sample_position);
    wr_u8(&w, 0);
    wr_put(&w, obu);
    codec_made(out, &w);
    return 0;
}

/* The binding's section 5.  The optional fields are written when they are not what leaving them out
 * means. */
static void write_string(struct codec_info *out, const struct av1 *a)
{
    const struct codec_colour *c = &a->colour;
    int depth = a->twelve_bit ? 12 : a->high_bitdepth ? 10 : 8;
    codec_string(out, "av01.%u.%02u%c.%02d", a->profile, a->level, a->tier != 0 ? 'H' : 'M', depth);
    bool plain = !a->monochrome && a->subsampling_x && a->subsampling_y && !c->full_range;
    bool usual = !c->known || (c->primaries == COLOUR_BT709 && c->transfer == COLOUR_BT709 &&
                               c->matrix == COLOUR_BT709);
    if (plain && usual)
        return;
    bool position = a->subsampling_x && a->subsampling_y;
    codec_string(out, ".%d.%d%d%u.%02u.%02u.%02u.%d", a->monochrome, a->subsampling_x,
                 a->subsampling_y, position ? a->sample_position : 0U,
                 c->known ? c->primaries : COLOUR_BT709, c->known ? c->transfer : COLOUR_BT709,
                 c->known ? c->matrix : COLOUR_BT709, c->full_range);
}

int codec_read_av1(struct codec_info *out, struct slice config, struct slice frame)
{
    struct av1 a = {0};
    struct slice body, obu = {0};
    if (config.len > AV1C_SIZE)
        obu = find_sequence(slice_of(config.p + AV1C_SIZE, config.len - AV1C_SIZE), &body);
    bool in_config = obu.len > 0;
    if (!in_config)
        obu = find_sequence(frame, &body);
    int err = obu.len > 0 ? read_sequence(body, &a) : ERR_NOT_FOUND;
    if (err < 0)
        return in_config ? err : ERR_NOT_FOUND;
    err = config.len > 0 ? read_record(config, &a) : make_record(out, &a, obu);
    if (err < 0)
        return err;
    out->published = config;
    out->video.colour = a.colour;
    if (a.timed)
        codec_set_rate(&out->video, a.scale, a.ticks);
    write_string(out, &a);
    return codec_set_size(&out->video,
                          &(struct codec_window){.width = a.width, .height = a.height});
}

struct slice codec_sample(uint32_t codec, struct slice payload)
{
    if (codec != FLV_CODEC_AV1)
        return payload;
    struct rd r = rd_slice(payload);
    for (int i = 0; i < OBUS_LOOKED_AT && rd_left(&r) > 0; i++) {
        struct slice rest = slice_of(r.p, rd_left(&r)), body;
        uint8_t type;
        struct slice obu = next_obu(&r, &type, &body);
        if (obu.len == 0 || type != OBU_TEMPORAL_DELIM)
            return rest;
    }
    return payload;
}
