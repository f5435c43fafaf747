#include "base/err.h"
#include "proto/codec_internal.h"

/* AC-3 and E-AC-3: the headers of syncframes (ETSI TS 102 366, 5.3 and E.1.2) become dac3 and dec3
 * (annex F). */

#define AC3_SYNC          0x0b77
#define AC3_SAMPLES       1536 /* of a syncframe */
#define AC3_BSID_MAX      10   /* of AC-3 and its variants; above it E-AC-3 */
#define AC3_RATE_CODES    38   /* frmsizecod */
#define EAC3_BSID_MAX     16
#define EAC3_BLOCK        256 /* samples */
#define EAC3_FRAMES_MAX   64  /* syncframes of one coded frame: 8 programs with 8 substreams */
#define EAC3_DEPENDENT    1   /* strmtyp */
#define EAC3_REDUCED_RATE 3   /* fscod: half of a rate, in fscod2 */
#define MODE_STEREO       2   /* acmod */

static const uint32_t rates[3] = {48000, 44100, 32000};
static const uint8_t mode_channels[8] = {2, 1, 2, 3, 3, 4, 4, 5};

struct ac3 {
    uint8_t fscod, bsid, bsmod, acmod, lfe, bit_rate_code;
};

static int read_ac3(struct slice frame, struct ac3 *a)
{
    struct bits b = bits_of(frame);
    uint32_t sync = bits_u(&b, 16);
    bits_skip(&b, 16); /* crc1 */
    a->fscod = (uint8_t)bits_u(&b, 2);
    uint32_t size = bits_u(&b, 6);
    a->bsid = (uint8_t)bits_u(&b, 5);
    a->bsmod = (uint8_t)bits_u(&b, 3);
    a->acmod = (uint8_t)bits_u(&b, 3);
    if ((a->acmod & 1) != 0 && a->acmod != 1)
        bits_skip(&b, 2); /* cmixlev */
    if ((a->acmod & 4) != 0)
        bits_skip(&b, 2); /* surmixlev */
    if (a->acmod == MODE_STEREO)
        bits_skip(&b, 2); /* dsurmod */
    a->lfe = (uint8_t)bits_u(&b, 1);
    a->bit_rate_code = (uint8_t)(size >> 1);
    bool bad = sync != AC3_SYNC || a->fscod > 2 || size >= AC3_RATE_CODES || a->bsid > AC3_BSID_MAX;
    return bad || b.underrun ? ERR_NOT_FOUND : 0;
}

int codec_read_ac3(struct codec_info *out, struct slice config, struct slice frame)
{
    struct ac3 a;
    int err = read_ac3(frame, &a);
    if (err < 0)
        return err;
    out->audio.sample_rate = rates[a.fscod] >> (a.bsid > 8 ? a.bsid - 8 : 0);
    out->audio.channels = (uint32_t)mode_channels[a.acmod] + a.lfe;
    out->audio.frame_samples = AC3_SAMPLES;
    codec_string(out, "ac-3");
    struct wr w = codec_make(out);
    wr_u24(&w, (uint32_t)a.fscod << 22 | (uint32_t)a.bsid << 17 | (uint32_t)a.bsmod << 14 |
                   (uint32_t)a.acmod << 11 | (uint32_t)a.lfe << 10 |
                   (uint32_t)a.bit_rate_code << 5);
    codec_made(out, &w);
    return 0;
}

struct eac3 {
    uint8_t type, substream, fscod, bsid, acmod, lfe;
    uint32_t size;    /* bytes of the syncframe */
    uint32_t samples; /* it holds */
    uint32_t rate;
    uint16_t map; /* chanmap of a dependent substream, its first bit on top */
};

static void read_channel_map(struct bits *b, struct eac3 *e)
{
    for (int program = 0; program < (e->acmod == 0 ? 2 : 1); program++) {
        bits_skip(b, 5); /* dialnorm */
        if (bits_flag(b))
            bits_skip(b, 8); /* compr */
    }
    if (e->type == EAC3_DEPENDENT && bits_flag(b))
        e->map = (uint16_t)bits_u(b, 16);
}

static int read_eac3(struct slice frame, struct eac3 *e)
{
    static const uint8_t blocks[4] = {1, 2, 3, 6};
    struct bits b = bits_of(frame);
    *e = (struct eac3){0};
    uint32_t sync = bits_u(&b, 16);
    e->type = (uint8_t)bits_u(&b, 2);
    e->substream = (uint8_t)bits_u(&b, 3);
    e->size = (bits_u(&b, 11) + 1) * 2;
    e->fscod = (uint8_t)bits_u(&b, 2);
    uint32_t code = bits_u(&b, 2);
    e->acmod = (uint8_t)bits_u(&b, 3);
    e->lfe = (uint8_t)bits_u(&b, 1);
    e->bsid = (uint8_t)bits_u(&b, 5);
    bool reduced = e->fscod == EAC3_REDUCED_RATE;
    if (b.underrun || sync != AC3_SYNC || e->bsid <= AC3_BSID_MAX || e->bsid > EAC3_BSID_MAX ||
        (reduced && code > 2))
        return ERR_NOT_FOUND;
    e->samples = EAC3_BLOCK * (reduced ? 6U : blocks[code]);
    e->rate = reduced ? rates[code] / 2 : rates[e->fscod];
    read_channel_map(&b, e);
    return b.underrun ? ERR_NOT_FOUND : 0;
}

/* What all syncframes of one coded frame say together about its first program. */
struct eac3_stream {
    struct eac3 first; /* the independent substream 0 */
    uint32_t bytes;
    uint32_t samples;   /* of all its syncframes */
    uint8_t dependents; /* substreams that belong to it */
    uint16_t locations; /* chan_loc */
    uint32_t channels;
};

/* Bits of chanmap and chan_loc (tables E.1.4 and F.6.1), from the top and from the bottom. */
static const struct {
    uint8_t map, location, channels;
} places[] = {
    {5, 0, 2},  {6, 1, 2},  {7, 2, 1},  {8, 3, 1},  {9, 4, 2},
    {10, 5, 2}, {11, 6, 2}, {12, 7, 1}, {14, 8, 1},
};

static void add_dependent(struct eac3_stream *s, const struct eac3 *e)
{
    s->dependents++;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        uint16_t bit = (uint16_t)(1U << places[i].location);
        if ((e->map & 0x8000U >> places[i].map) == 0 || (s->locations & bit) != 0)
            continue;
        s->locations |= bit;
        s->channels += places[i].channels;
    }
}

static int read_stream(struct slice payload, struct eac3_stream *s)
{
    *s = (struct eac3_stream){0};
    bool first_program = false;
    for (int i = 0; payload.len > 0 && i < EAC3_FRAMES_MAX; i++) {
        struct eac3 e;
        if (read_eac3(payload, &e) < 0)
            break;
        s->bytes += e.size;
        if (e.type != EAC3_DEPENDENT)
            first_program = e.substream == 0;
        if (first_program && e.type != EAC3_DEPENDENT) {
            if (s->samples == 0)
                s->first = e;
            s->samples += e.samples;
        } else if (first_program && s->samples == s->first.samples) {
            add_dependent(s, &e);
        }
        size_t skip = e.size < payload.len ? e.size : payload.len;
        payload = slice_of(payload.p + skip, payload.len - skip);
    }
    s->channels += (uint32_t)mode_channels[s->first.acmod] + s->first.lfe;
    return s->samples > 0 ? 0 : ERR_NOT_FOUND;
}

int codec_read_eac3(struct codec_info *out, struct slice config, struct slice frame)
{
    struct eac3_stream s;
    int err = read_stream(frame, &s);
    if (err < 0)
        return err;
    const struct eac3 *e = &s.first;
    out->audio.sample_rate = e->rate;
    out->audio.channels = s.channels;
    out->audio.frame_samples = s.samples;
    codec_string(out, "ec-3");
    uint64_t kbit = (uint64_t)s.bytes * 8 * e->rate / s.samples / 1000;
    struct wr w = codec_make(out);
    wr_u16(&w, (unsigned)(kbit & 0x1fff) << 3); /* and one independent substream */
    wr_u8(&w, (unsigned)e->fscod << 6 | (unsigned)e->bsid << 1);
    wr_u8(&w, (unsigned)e->acmod << 1 | e->lfe);
    wr_u8(&w, (unsigned)s.dependents << 1 | s.locations >> 8);
    if (s.dependents > 0)
        wr_u8(&w, s.locations & 0xffU);
    codec_made(out, &w);
    return 0;
}

uint32_t codec_count_eac3(const struct codec_info *info, struct slice payload)
{
    struct eac3_stream s;
    return read_stream(payload, &s) < 0 ? 0 : s.samples;
}
