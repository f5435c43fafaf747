#include "base/must.h"
#include "proto/gossip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STREAMS_MAX 64

/* A set that was read has as many streams as it says, and is written again as the same bytes,
 * unless it had fields that are not known. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gossip_set set;
    if (gossip_set_read(slice_of(data, size), STREAMS_MAX, &set) < 0)
        return 0;
    uint8_t bytes[GOSSIP_SET_HEADER_SIZE + STREAMS_MAX * 512];
    struct wr w = wr_init(bytes, sizeof bytes);
    gossip_set_header_write(&w, &set);
    struct rd r = rd_slice(set.streams);
    struct gossip_stream s;
    uint32_t count = 0;
    for (; gossip_stream_next(&r, &s) > 0; count++) {
        size_t before = wr_len(&w);
        gossip_write_stream(&w, &s);
        must(wr_len(&w) - before == gossip_stream_size(&s));
    }
    must(!w.overflow && count == set.count && wr_len(&w) <= size);
    struct gossip_set again;
    must(gossip_set_read(wr_slice(&w), STREAMS_MAX, &again) == 0);
    must(again.to == set.to && again.count == set.count && again.full == set.full);
    return 0;
}
