#include "base/must.h"
#include "proto/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* No answer may change when more bytes than the head are there, and no cut head is accepted. */
static void check_request(const uint8_t *data, size_t size)
{
    struct http1_request req;
    ssize_t n = http1_request_read(data, size, &req);
    must(n <= (ssize_t)size && n <= HTTP1_HEAD_MAX);
    if (n <= 0)
        return;
    must(req.fields.count <= HTTP1_HEADERS_MAX && req.path.len > 0);
    must(http1_request_read(data, (size_t)n, &req) == n);
    must(http1_request_read(data, (size_t)n - 1, &req) == 0);
}

static void check_response(const uint8_t *data, size_t size)
{
    struct http1_response res;
    ssize_t n = http1_response_read(data, size, &res);
    must(n <= (ssize_t)size && n <= HTTP1_HEAD_MAX);
    if (n > 0)
        must(res.status >= 100 && res.status <= 599);
}

static void check_chunks(const uint8_t *data, size_t size)
{
    struct http1_chunks c = {0};
    bool done = false;
    for (ssize_t n = 1; size > 0 && n > 0 && !done;) {
        struct slice piece;
        n = http1_chunks_read(&c, data, size, &piece, &done);
        must(n <= (ssize_t)size && piece.len <= size);
        if (n > 0) {
            data += n;
            size -= (size_t)n;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_request(data, size);
    check_response(data, size);
    check_chunks(data, size);
    return 0;
}
