#include "proto/avc_sets.h"

#include "base/err.h"
#include "proto/bits.h"
#include "proto/codec_internal.h"

#define AVC_PROFILE_BASELINE 66
#define AVC_PROFILE_MAIN     77
#define AVC_PROFILE_EXTENDED 88
#define AVC_RECORD_SPS_MAX   31
#define SPS_FIXED_BYTES      4 /* NAL header, profile, constraint flags, level */

static int read_id(struct slice nal, uint32_t *id)
{
    struct bits b = bits_of_nal(nal);
    bits_skip(&b, AVC_NAL_TYPE(nal.p[0]) == AVC_NAL_SPS ? 8 * SPS_FIXED_BYTES : 8);
    *id = bits_ue(&b);
    return b.underrun ? ERR_PROTOCOL : 0;
}

static struct avc_set *find(struct avc_sets *s, uint8_t type, uint32_t id)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->sets[i].type == type && s->sets[i].id == id)
            return &s->sets[i];
    return NULL;
}

static unsigned count_of(const struct avc_sets *s, uint8_t type)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < s->count; i++)
        n += s->sets[i].type == type;
    return n;
}

static struct avc_set *oldest(struct avc_sets *s, uint8_t type)
{
    struct avc_set *found = NULL;
    for (uint32_t i = 0; i < s->count; i++) {
        struct avc_set *set = &s->sets[i];
        if (set->type == type && (found == NULL || set->came < found->came))
            found = set;
    }
    return found;
}

/* A place for one more. */
static struct avc_set *add(struct avc_sets *s, uint8_t type)
{
    unsigned max = type == AVC_NAL_SPS ? AVC_SPS_MAX : AVC_SETS_MAX - AVC_SPS_MAX;
    return count_of(s, type) < max ? &s->sets[s->count++] : oldest(s, type);
}

int avc_sets_put(struct avc_sets *s, struct slice nal)
{
    uint32_t id;
    if (nal.len > AVC_SET_BYTES_MAX)
        return ERR_TOO_LARGE;
    if (nal.len == 0 || read_id(nal, &id) < 0)
        return ERR_PROTOCOL;
    uint8_t type = AVC_NAL_TYPE(nal.p[0]);
    struct avc_set *set = find(s, type, id);
    s->came++;
    if (set == NULL)
        set = add(s, type);
    set->came = s->came;
    if (set->type == type && set->id == id && slice_eq(slice_of(set->bytes, set->len), nal))
        return 0;
    set->type = type;
    set->id = id;
    set->len = (uint16_t)nal.len;
    memcpy(set->bytes, nal.p, nal.len);
    s->changed = true;
    return 0;
}

static void write_sets(const struct avc_sets *s, uint8_t type, struct wr *w)
{
    for (uint32_t i = 0; i < s->count; i++) {
        const struct avc_set *set = &s->sets[i];
        if (set->type != type)
            continue;
        wr_u16(w, set->len);
        wr_bytes(w, set->bytes, set->len);
    }
}

/* What the record repeats of profiles with other sampling formats than 4:2:0 of 8 bits. */
static int write_format(const struct avc_set *sps, struct wr *w)
{
    struct bits b = bits_of_nal(slice_of(sps->bytes, sps->len));
    bits_skip(&b, 8 * SPS_FIXED_BYTES);
    bits_ue(&b);
    uint32_t chroma = bits_ue(&b);
    if (chroma == 3)
        bits_flag(&b);
    uint32_t luma_depth = bits_ue(&b), chroma_depth = bits_ue(&b);
    if (b.underrun || chroma > 3 || luma_depth > 7 || chroma_depth > 7)
        return ERR_PROTOCOL;
    wr_u8(w, 0xfcU | chroma);
    wr_u8(w, 0xf8U | luma_depth);
    wr_u8(w, 0xf8U | chroma_depth);
    wr_u8(w, 0); /* SPS extensions */
    return 0;
}

int avc_sets_record(struct avc_sets *s, struct wr *w)
{
    unsigned sps_count = count_of(s, AVC_NAL_SPS), pps_count = count_of(s, AVC_NAL_PPS);
    if (sps_count == 0 || pps_count == 0)
        return ERR_NOT_FOUND;
    const struct avc_set *sps = s->sets;
    while (sps->type != AVC_NAL_SPS)
        sps++;
    uint8_t profile = sps->bytes[1];
    wr_u8(w, 1);
    wr_bytes(w, sps->bytes + 1, SPS_FIXED_BYTES - 1);
    wr_u8(w, 0xff); /* four bytes of NAL unit size */
    wr_u8(w, 0xe0U | sps_count);
    write_sets(s, AVC_NAL_SPS, w);
    wr_u8(w, pps_count);
    write_sets(s, AVC_NAL_PPS, w);
    bool plain = profile == AVC_PROFILE_BASELINE || profile == AVC_PROFILE_MAIN ||
                 profile == AVC_PROFILE_EXTENDED;
    int err = plain ? 0 : write_format(sps, w);
    s->changed = err < 0;
    return err;
}

_Static_assert(AVC_SPS_MAX <= AVC_RECORD_SPS_MAX, "their number fits the record");
