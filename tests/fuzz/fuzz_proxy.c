#include "base/must.h"
#include "proto/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header h;
    ssize_t n = proxy_header_read(data, size, &h);
    must(n <= (ssize_t)size && n <= PROXY_V2_HEADER_SIZE + PROXY_V2_LENGTH_MAX);
    if (n <= 0)
        return 0;
    must(!h.has_source || h.source.ss_family == AF_INET || h.source.ss_family == AF_INET6);
    must(proxy_header_read(data, (size_t)n, &h) == n);
    must(proxy_header_read(data, (size_t)n - 1, &h) == 0);
    return 0;
}
