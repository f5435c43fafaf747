#include "proto/rtp_unpack_internal.h"

#include "base/base64.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>

#define ROOM_MIN 4096 /* bytes */

static const struct rtp_format *const formats[] = {
    &rtp_format_h264, &rtp_format_vp8, &rtp_format_vp9, &rtp_format_av1, &rtp_format_opus,
};

struct rtp_unpacker *rtp_unpacker_new(uint32_t codec)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (formats[i]->codec != codec)
            continue;
        struct rtp_unpacker *u = xcalloc(1, sizeof *u);
        u->format = formats[i];
        u->room_start = xmalloc(RTP_UNIT_HEADROOM + ROOM_MIN);
        u->room = ROOM_MIN;
        if (codec == FLV_CODEC_AVC)
            u->sets = xcalloc(1, sizeof *u->sets);
        return u;
    }
    return NULL;
}

void rtp_unpacker_free(struct rtp_unpacker **up)
{
    struct rtp_unpacker *u = *up;
    *up = NULL;
    if (u == NULL)
        return;
    free(u->room_start);
    free(u->sets);
    free(u->config);
    free(u);
}

static int grow(struct rtp_unpacker *u, size_t need)
{
    if (need > RTP_UNIT_BYTES_MAX)
        return ERR_TOO_LARGE;
    size_t room = u->room * 2 > need ? u->room * 2 : need;
    uint8_t *p = realloc(u->room_start, RTP_UNIT_HEADROOM + room);
    if (p == NULL)
        return ERR_NOMEM;
    u->room_start = p;
    u->room = room;
    return 0;
}

int rtp_unit_put(struct rtp_unpacker *u, struct slice bytes)
{
    if (bytes.len > u->room - u->len) {
        int err = grow(u, u->len + bytes.len);
        if (err < 0)
            return err;
    }
    if (bytes.len > 0)
        memcpy(rtp_unit_bytes(u) + u->len, bytes.p, bytes.len);
    u->len += bytes.len;
    return 0;
}

int rtp_unit_config(struct rtp_unpacker *u, struct slice config)
{
    if (slice_eq(config, slice_of(u->config, u->config_len)))
        return 0;
    if (config.len > CODEC_CONFIG_MAX)
        return ERR_TOO_LARGE;
    u->config = xrealloc(u->config, config.len);
    memcpy(u->config, config.p, config.len);
    u->config_len = config.len;
    u->config_changed = true;
    return 0;
}

int rtp_unit_config_of_frame(struct rtp_unpacker *u)
{
    LEFT_AS_IT_IS struct codec_info info;
    int err = codec_info_read(&info, FLV_VIDEO, u->format->codec, slice_of(NULL, 0),
                              slice_of(rtp_unit_bytes(u), u->len));
    return err < 0 ? err : rtp_unit_config(u, slice_of(info.made, info.made_len));
}

int rtp_unpack(struct rtp_unpacker *u, const struct slice *payloads, size_t count,
               struct rtp_unit *out)
{
    bool key = false;
    u->len = 0;
    u->config_changed = false;
    int err = u->format->unpack(u, payloads, count, &key);
    if (err < 0)
        return err;
    *out = (struct rtp_unit){
        .key = key,
        .config_changed = u->config_changed,
        .config = slice_of(u->config, u->config_len),
        .bytes = rtp_unit_bytes(u),
        .len = u->len,
    };
    return 0;
}

void rtp_unpack_sets(struct rtp_unpacker *u, struct slice sprop)
{
    uint8_t nal[AVC_SET_BYTES_MAX];
    for (int i = 0; i < AVC_SETS_MAX && u->sets != NULL && sprop.len > 0; i++) {
        int len = base64_decode(slice_trim(slice_cut(sprop, ',', &sprop, NULL)), nal, sizeof nal);
        if (len > 0 && avc_is_set(nal[0]))
            (void)avc_sets_put(u->sets, slice_of(nal, (size_t)len));
    }
}

bool rtp_unpack_begins(const struct rtp_unpacker *u, struct slice payload)
{
    return payload.len > 0 && u->format->begins(payload);
}
