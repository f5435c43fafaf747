#include "base/must.h"
#include "proto/flv.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is split off a message can be read again and says the same. */
static void check_split(uint8_t type, const struct flv_packet *p)
{
    size_t room = flv_split_size(p);
    uint8_t *body = malloc(room);
    must(body != NULL);
    struct wr w = wr_init(body, room);
    flv_split(p, &w);
    must(!w.overflow && wr_len(&w) == room);
    struct flv_packet again[FLV_PACKETS_MAX];
    must(flv_packets(type, wr_slice(&w), again) == 1);
    must(again->class == p->class && again->track == p->track && again->codec == p->codec);
    must(again->cts_ms == p->cts_ms && again->nano == p->nano);
    must(slice_eq(again->payload, p->payload));
    free(body);
}

static void check_body(uint8_t type, struct slice body)
{
    struct flv_packet p[FLV_PACKETS_MAX];
    int n = flv_packets(type, body, p);
    must(n <= FLV_PACKETS_MAX);
    for (int i = 0; i < n; i++) {
        must(p[i].payload.len <= body.len && p[i].nano < 1000000);
        if (!flv_is_whole(&p[i]))
            check_split(type, &p[i]);
    }
    struct flv_rewrite rw;
    int err = flv_downgrade(type, body, &rw);
    must(rw.header_len <= FLV_REWRITE_MAX && rw.skip <= body.len && rw.header_len <= rw.skip);
    must(err >= 0 || rw.header_len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (ssize_t n = 1; size > 0 && n > 0;) {
        struct flv_tag tag;
        n = flv_tag_read(data, size, 1 << 16, &tag);
        must(n <= (ssize_t)size);
        if (n <= 0)
            break;
        if (tag.type == FLV_TAG_AUDIO || tag.type == FLV_TAG_VIDEO)
            check_body(tag.type, tag.body);
        data += n;
        size -= (size_t)n;
    }
    check_body(FLV_TAG_VIDEO, slice_of(data, size));
    check_body(FLV_TAG_AUDIO, slice_of(data, size));
    return 0;
}
