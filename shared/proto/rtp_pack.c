/* Payloads of an access unit: what the payload formats have in common. */
#include "proto/rtp_pack.h"

#include "base/err.h"
#include "base/mem.h"
#include "proto/rtp_pack_internal.h"

#include <stdlib.h>

static const struct rtp_pack_format *const formats[] = {
    &rtp_pack_avc, &rtp_pack_hevc, &rtp_pack_vp8, &rtp_pack_vp9, &rtp_pack_av1, &rtp_pack_opus,
};

struct rtp_packer *rtp_packer_new(uint32_t codec)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (formats[i]->codec == codec) {
            struct rtp_packer *p = xcalloc(1, sizeof *p);
            p->format = formats[i];
            return p;
        }
    return NULL;
}

void rtp_packer_free(struct rtp_packer **pp)
{
    struct rtp_packer *p = *pp;
    *pp = NULL;
    if (p == NULL)
        return;
    free(p->payloads);
    free(p->pieces);
    free(p->made);
    free(p);
}

int rtp_packer_configure(struct rtp_packer *p, struct slice config)
{
    int err = p->format->configure != NULL ? p->format->configure(p, config) : 0;
    if (err == 0)
        p->configured = true;
    return err;
}

int rtp_pack_keep_config(struct rtp_packer *p, struct slice bytes)
{
    if (bytes.len > sizeof p->config)
        return ERR_TOO_LARGE;
    if (bytes.len > 0)
        memcpy(p->config, bytes.p, bytes.len);
    p->config_len = bytes.len;
    return 0;
}

/* Room for `more` items behind `count`, doubling. */
static void *grown(void *list, size_t item_size, size_t count, size_t more, size_t *room)
{
    if (count + more <= *room)
        return list;
    *room = *room * 2 > count + more ? *room * 2 : count + more;
    return xrealloc(list, *room * item_size);
}

void rtp_pack_begin(struct rtp_packer *p)
{
    p->payloads = grown(p->payloads, sizeof *p->payloads, p->payload_count, 1, &p->payload_room);
    p->payloads[p->payload_count++] = (struct rtp_payload){0};
}

static void add_piece(struct rtp_packer *p, const uint8_t *src, size_t len)
{
    p->pieces = grown(p->pieces, sizeof *p->pieces, p->piece_count, 1, &p->piece_room);
    p->pieces[p->piece_count++] = slice_of(src, len);
    p->payloads[p->payload_count - 1].piece_count++;
}

void rtp_pack_point(struct rtp_packer *p, const uint8_t *src, size_t len)
{
    if (len == 0)
        return;
    add_piece(p, src, len);
    p->payloads[p->payload_count - 1].len += len;
}

void rtp_pack_copy(struct rtp_packer *p, const void *src, size_t len)
{
    struct rtp_payload *payload = &p->payloads[p->payload_count - 1];
    if (len == 0)
        return;
    p->made = grown(p->made, 1, p->made_len, len, &p->made_room);
    memcpy(p->made + p->made_len, src, len);
    p->made_len += len;
    payload->len += len;
    if (payload->piece_count > 0 && p->pieces[p->piece_count - 1].p == NULL)
        p->pieces[p->piece_count - 1].len += len;
    else
        add_piece(p, NULL, len);
}

size_t rtp_pack_len(const struct rtp_packer *p)
{
    return p->payloads[p->payload_count - 1].len;
}

/* Nothing moves any more: pointers instead of places. */
static void settle(struct rtp_packer *p)
{
    const uint8_t *made = p->made;
    for (size_t i = 0; i < p->piece_count; i++)
        if (p->pieces[i].p == NULL) {
            p->pieces[i].p = made;
            made += p->pieces[i].len;
        }
    const struct slice *pieces = p->pieces;
    for (size_t i = 0; i < p->payload_count; i++) {
        p->payloads[i].pieces = pieces;
        pieces += p->payloads[i].piece_count;
    }
}

int rtp_pack(struct rtp_packer *p, struct slice frame, bool key, struct rtp_packed *out)
{
    if (p->format->needs_config && !p->configured)
        return ERR_NOT_FOUND;
    p->payload_count = p->piece_count = p->made_len = 0;
    p->bidirectional = false;
    int err = p->format->pack(p, frame, key);
    if (err != 0)
        return err;
    settle(p);
    *out = (struct rtp_packed){p->payloads, p->payload_count, p->bidirectional};
    return 0;
}
