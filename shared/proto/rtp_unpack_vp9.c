/*
 * VP9 (RFC 9628, 4.2): a descriptor, then the next bytes of a frame.  A picture of several spatial
 * layers is several frames; they go on as one superframe (VP9 bitstream specification, annex B).
 */
#include "base/err.h"
#include "proto/rtp_unpack_internal.h"

#define VP9_PICTURE_ID 0x80
#define VP9_INTER      0x40
#define VP9_LAYERS     0x20
#define VP9_FLEXIBLE   0x10
#define VP9_BEGINS     0x08
#define VP9_ENDS       0x04
#define VP9_STRUCTURE  0x02
#define VP9_LONG_ID    0x80
#define VP9_MORE_DIFFS 0x01
#define VP9_DIFFS_MAX  3
#define VP9_SIZES_TOLD 0x10 /* of the scalability structure */
#define VP9_GROUP_TOLD 0x08
#define VP9_FRAMES_MAX 8 /* of a superframe */
#define VP9_SUPERFRAME 0xc0
#define VP9_INDEX_MAX  (2 + VP9_FRAMES_MAX * 4)

struct vp9_descriptor {
    bool begins, ends; /* a layer's frame */
    uint8_t spatial;   /* layer */
};

static void skip_structure(struct rd *r)
{
    uint8_t head = rd_u8(r);
    if ((head & VP9_SIZES_TOLD) != 0)
        rd_take(r, ((size_t)(head >> 5) + 1) * 4);
    if ((head & VP9_GROUP_TOLD) == 0)
        return;
    for (unsigned n = rd_u8(r); n > 0; n--)
        rd_take(r, rd_u8(r) >> 2 & 3);
}

static int read_descriptor(struct rd *r, struct vp9_descriptor *d)
{
    uint8_t flags = rd_u8(r);
    *d = (struct vp9_descriptor){(flags & VP9_BEGINS) != 0, (flags & VP9_ENDS) != 0, 0};
    if ((flags & VP9_PICTURE_ID) != 0 && (rd_u8(r) & VP9_LONG_ID) != 0)
        rd_u8(r);
    if ((flags & VP9_LAYERS) != 0) {
        d->spatial = rd_u8(r) >> 1 & 7;
        if ((flags & VP9_FLEXIBLE) == 0)
            rd_u8(r); /* TL0PICIDX */
    }
    bool more = (flags & VP9_FLEXIBLE) != 0 && (flags & VP9_INTER) != 0;
    for (int i = 0; more; i++) {
        more = (rd_u8(r) & VP9_MORE_DIFFS) != 0;
        if (i == VP9_DIFFS_MAX)
            return ERR_PROTOCOL;
    }
    if ((flags & VP9_STRUCTURE) != 0)
        skip_structure(r);
    return r->underrun || rd_left(r) == 0 ? ERR_PROTOCOL : 0;
}

/* The frames of the unit, for the index. */
struct vp9_frames {
    uint32_t sizes[VP9_FRAMES_MAX];
    unsigned count;
    size_t start; /* of the frame that is being written */
    bool open;
};

static int put_payload(struct rtp_unpacker *u, struct vp9_frames *f, struct slice payload)
{
    struct vp9_descriptor d;
    struct rd r = rd_slice(payload);
    int err = read_descriptor(&r, &d);
    if (err < 0)
        return err;
    if (d.begins == f->open)
        return ERR_PROTOCOL;
    if (d.begins && f->count == VP9_FRAMES_MAX)
        return ERR_TOO_MANY;
    if (d.begins)
        f->start = u->len;
    err = rtp_unit_put(u, rd_rest(&r));
    f->open = !d.ends;
    if (err == 0 && d.ends)
        f->sizes[f->count++] = (uint32_t)(u->len - f->start);
    return err;
}

static int put_index(struct rtp_unpacker *u, const struct vp9_frames *f)
{
    uint32_t longest = 0;
    for (unsigned i = 0; i < f->count; i++)
        longest |= f->sizes[i];
    unsigned bytes = longest > 0xffffff ? 4 : longest > 0xffff ? 3 : longest > 0xff ? 2 : 1;
    uint8_t index[VP9_INDEX_MAX];
    struct wr w = wr_init(index, sizeof index);
    unsigned marker = VP9_SUPERFRAME | (bytes - 1) << 3 | (f->count - 1);
    wr_u8(&w, marker);
    for (unsigned i = 0; i < f->count; i++)
        for (unsigned k = 0; k < bytes; k++)
            wr_u8(&w, f->sizes[i] >> 8 * k);
    wr_u8(&w, marker);
    return rtp_unit_put(u, wr_slice(&w));
}

static int unpack(struct rtp_unpacker *u, const struct slice *payloads, size_t count, bool *key)
{
    struct vp9_frames f = {.count = 0};
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++)
        if (payloads[i].len > 0)
            err = put_payload(u, &f, payloads[i]);
    if (err < 0 || u->len == 0)
        return err;
    if (f.open)
        return ERR_PROTOCOL;
    err = rtp_unit_config_of_frame(u);
    *key = err == 0;
    if (err == ERR_NOT_FOUND)
        err = 0; /* not a key frame, which alone tells */
    return err == 0 && f.count > 1 ? put_index(u, &f) : err;
}

static bool begins(struct slice payload)
{
    struct vp9_descriptor d;
    struct rd r = rd_slice(payload);
    return read_descriptor(&r, &d) == 0 && d.begins && d.spatial == 0;
}

const struct rtp_format rtp_format_vp9 = {FLV_CODEC_VP9, unpack, begins};
