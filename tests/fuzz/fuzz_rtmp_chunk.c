#include "base/must.h"
#include "proto/rtmp_chunk.h"

#define MESSAGE_MAX (64U << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct rtmp_message *m)
{
    struct amf0_value values[64];
    struct rtmp_command command;
    struct rtmp_control control;
    struct rtmp_aggregate aggregate;
    struct rtmp_message sub;
    volatile uint8_t last = m->body.len > 0 ? m->body.p[m->body.len - 1] : 0;
    (void)last;
    must(m->body.len <= MESSAGE_MAX);
    if (rtmp_command_read(m, values, 64, &command) == 0)
        (void)rtmp_command_arg(&command, 2);
    (void)rtmp_control_read(m, &control);
    rtmp_aggregate_init(&aggregate, m);
    while (m->type == RTMP_AGGREGATE && rtmp_aggregate_next(&aggregate, &sub) == 1)
        must(sub.body.len < m->body.len);
}

/* The first two bytes seed the sizes of the pieces in which the rest arrives. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    uint32_t seed = data[0] | (uint32_t)data[1] << 8;
    struct rtmp_chunk_reader cr;
    rtmp_chunk_reader_init(&cr, MESSAGE_MAX);
    size_t at = 2, end = 2;
    for (;;) {
        struct rtmp_message m;
        bool complete;
        ssize_t n = rtmp_chunk_read(&cr, data + at, end - at, &m, &complete);
        must(n <= (ssize_t)(end - at));
        must(cr.held <= 2 * MESSAGE_MAX + RTMP_CHUNK_STREAMS_MAX * RTMP_CHUNK_BODY_KEPT);
        must(cr.held <= 2 * size || size > MESSAGE_MAX);
        if (n < 0 || (n == 0 && end == size))
            break;
        if (complete)
            use(&m);
        at += (size_t)n;
        if (n > 0)
            continue;
        seed = seed * 1103515245U + 12345U;
        size_t piece = 1 + (seed >> 16) % (1 + data[0]);
        end = size - end < piece ? size : end + piece;
    }
    rtmp_chunk_reader_fini(&cr);
    return 0;
}
