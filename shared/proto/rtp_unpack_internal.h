#ifndef SLUICE_PROTO_RTP_UNPACK_INTERNAL_H
#define SLUICE_PROTO_RTP_UNPACK_INTERNAL_H

#include "base/bytes.h"
#include "proto/avc_sets.h"
#include "proto/codec_info.h"
#include "proto/rtp_unpack.h"

/* One payload format.  Functions return what rtp_unpack() documents. */
struct rtp_format {
    uint32_t codec;
    /* Appends the unit's bytes; sets *key, and the configuration where the format tells it. */
    int (*unpack)(struct rtp_unpacker *u, const struct slice *payloads, size_t count, bool *key);
    bool (*begins)(struct slice payload);
};

extern const struct rtp_format rtp_format_h264, rtp_format_vp8, rtp_format_vp9, rtp_format_av1,
    rtp_format_opus;

struct rtp_unpacker {
    const struct rtp_format *format;
    uint8_t *room_start; /* RTP_UNIT_HEADROOM bytes, then the unit */
    size_t room;         /* bytes behind the headroom */
    size_t len;          /* of them in use */
    struct avc_sets *sets;
    uint8_t *config;
    size_t config_len;
    bool config_changed; /* by this unit */
};

/* The unit's bytes so far. */
static inline uint8_t *rtp_unit_bytes(const struct rtp_unpacker *u)
{
    return u->room_start + RTP_UNIT_HEADROOM;
}

/* Appends; 0, ERR_TOO_LARGE or ERR_NOMEM. */
int rtp_unit_put(struct rtp_unpacker *u, struct slice bytes);

/* The configuration in force from here on. */
int rtp_unit_config(struct rtp_unpacker *u, struct slice config);

/* The same, made from a key frame (codec_info_read); ERR_NOT_FOUND when it is none. */
int rtp_unit_config_of_frame(struct rtp_unpacker *u);

#endif
