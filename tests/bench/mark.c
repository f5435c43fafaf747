#include "mark.h"

#include "base/bytes.h"

#include <string.h>

#define BODY_MIN 24 /* bytes of the smallest body that is marked: its header stays as it is */

static const uint8_t magic[3] = {'S', 'L', 'M'};

bool mark_write(uint8_t *body, size_t len, struct mark m)
{
    if (len < BODY_MIN)
        return false;
    uint8_t *at = body + len - MARK_SIZE;
    memcpy(at, magic, sizeof magic);
    at[3] = m.timed ? 'T' : 'K';
    put_u32(at + 4, m.session);
    put_u32(at + 8, m.index);
    return true;
}

bool mark_read(struct slice body, struct mark *out)
{
    if (body.len < BODY_MIN)
        return false;
    const uint8_t *at = body.p + body.len - MARK_SIZE;
    if (memcmp(at, magic, sizeof magic) != 0 || (at[3] != 'T' && at[3] != 'K'))
        return false;
    struct rd r = rd_init(at + 4, MARK_SIZE - 4);
    out->timed = at[3] == 'T';
    out->session = rd_u32(&r);
    out->index = rd_u32(&r);
    return true;
}
