#include "http_world.h"

/*
 * A whole HTTP/1.1 connection: requests that follow each other, bodies by length and in chunks.
 * The first byte says what the handlers do, the second how the input is cut.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *w = the_world();
    if (size < 2)
        return 0;
    w->mode = data[0];
    int fd = connect_to(w);
    feed(w, fd, data + 2, size - 2, 1 + 16U * data[1]);
    finish(w, fd);
    return 0;
}
