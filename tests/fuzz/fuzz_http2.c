#include "http_world.h"

/*
 * A whole HTTP/2 connection behind the preface.  The first byte says what the handlers do, the
 * second how the input is cut; the rest are frames.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t preface[] = NGHTTP2_CLIENT_MAGIC "\0\0\0\4\0\0\0\0";
    struct world *w = the_world();
    if (size < 2)
        return 0;
    w->mode = data[0];
    int fd = connect_to(w);
    feed(w, fd, preface, sizeof preface, sizeof preface);
    feed(w, fd, data + 2, size - 2, 1 + 16U * data[1]);
    finish(w, fd);
    return 0;
}
