#include "base/must.h"
#include "proto/rtp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rtp_packet p;
    if (rtp_read(data, size, &p) != 0)
        return 0;
    must(p.header_len + p.payload.len + p.padding == size);
    for (unsigned id = 0; id <= UINT8_MAX; id++) {
        struct slice ext;
        if (rtp_find_ext(&p, (uint8_t)id, &ext))
            must(ext.p >= p.ext.p && ext.p + ext.len <= p.ext.p + p.ext.len);
    }
    return 0;
}
