#include "base/buf.h"

#include "base/err.h"
#include "base/must.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_ROOM_MIN 256

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_fini(struct buf *b)
{
    free(b->data);
    b->data = NULL;
    b->start = b->end = b->room = 0;
}

uint8_t *buf_reserve(struct buf *b, size_t len)
{
    size_t have = buf_len(b);
    if (len > b->max - have)
        return NULL;
    if (b->room - b->end >= len && b->data != NULL)
        return b->data + b->end;
    if (b->start > 0 && b->data != NULL) {
        memmove(b->data, b->data + b->start, have);
        b->start = 0;
        b->end = have;
    }
    if (b->room - b->end < len || b->data == NULL) {
        size_t room = b->room * 2 > BUF_ROOM_MIN ? b->room * 2 : BUF_ROOM_MIN;
        if (room < have + len)
            room = have + len;
        uint8_t *data = realloc(b->data, room);
        if (data == NULL)
            return NULL;
        b->data = data;
        b->room = room;
    }
    return b->data + b->end;
}

void buf_commit(struct buf *b, size_t len)
{
    must(len <= b->room - b->end);
    b->end += len;
}

int buf_append(struct buf *b, const void *src, size_t len)
{
    if (len == 0)
        return 0;
    if (len > b->max - buf_len(b))
        return ERR_TOO_LARGE;
    uint8_t *dst = buf_reserve(b, len);
    if (dst == NULL)
        return ERR_NOMEM;
    memcpy(dst, src, len);
    buf_commit(b, len);
    return 0;
}

int buf_printf(struct buf *b, const char *format, ...)
{
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    int err = 0;
    if (n < 0) {
        err = ERR_RANGE;
    } else {
        uint8_t *dst = buf_reserve(b, (size_t)n + 1); /* vsnprintf writes a terminator */
        if (dst == NULL) {
            err = ERR_TOO_LARGE;
        } else {
            vsnprintf((char *)dst, (size_t)n + 1, format, again);
            buf_commit(b, (size_t)n);
        }
    }
    va_end(again);
    return err;
}

void buf_consume(struct buf *b, size_t len)
{
    must(len <= buf_len(b));
    b->start += len;
    if (b->start == b->end)
        buf_fini(b);
}
