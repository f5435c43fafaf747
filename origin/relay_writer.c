#include "origin/relay_writer.h"

#include "base/must.h"
#include "core/clock.h"
#include "media/relay_frames.h"

#define WRITER_BATCH 64 /* frames of one writev */

void relay_writer_init(struct relay_writer *w,
                       ssize_t (*writev)(void *to, const struct iovec *iov, int count), void *to)
{
    *w = (struct relay_writer){.writev = writev, .to = to, .last_write_us = clock_us()};
    buf_init(&w->control, RELAY_WRITER_CONTROL_MAX);
}

void relay_writer_fini(struct relay_writer *w)
{
    buf_fini(&w->control);
    frame_unref(&w->held);
}

static enum relay_step took(struct relay_writer *w, ssize_t n)
{
    if (n < 0)
        return RELAY_STEP_CLOSED;
    if (n > 0)
        w->last_write_us = clock_us();
    return n > 0 ? RELAY_STEP_MORE : RELAY_STEP_BLOCKED;
}

static enum relay_step send_control(struct relay_writer *w, size_t *sent)
{
    struct slice s = buf_slice(&w->control);
    struct iovec iov = {(void *)(uintptr_t)s.p, s.len};
    ssize_t n = w->writev(w->to, &iov, 1);
    enum relay_step step = took(w, n);
    if (step != RELAY_STEP_MORE)
        return step;
    *sent += (size_t)n;
    buf_consume(&w->control, (size_t)n);
    return (size_t)n < s.len ? RELAY_STEP_BLOCKED : RELAY_STEP_MORE;
}

static void frame_is_out(struct relay_writer *w, const struct frame *f)
{
    w->seq++;
    w->frames_sent++;
    w->bytes_sent += f->size;
}

static enum relay_step send_held(struct relay_writer *w, size_t *sent)
{
    uint8_t head[RELAY_FRAME_HEAD_MAX];
    const struct frame *f = w->held;
    struct iovec iov[2];
    int count = 0;
    size_t head_size = relay_frame_head(f, head);
    size_t total = head_size + f->size, offset = w->held_offset;
    if (offset < head_size)
        iov[count++] = (struct iovec){head + offset, head_size - offset};
    size_t skip = offset > head_size ? offset - head_size : 0;
    if (skip < f->size)
        iov[count++] = (struct iovec){(void *)(uintptr_t)(f->data + skip), f->size - skip};
    ssize_t n = w->writev(w->to, iov, count);
    enum relay_step step = took(w, n);
    if (step != RELAY_STEP_MORE)
        return step;
    *sent += (size_t)n;
    w->held_offset += (size_t)n;
    if (w->held_offset < total)
        return RELAY_STEP_BLOCKED;
    frame_is_out(w, f);
    frame_unref(&w->held);
    w->held_offset = 0;
    return RELAY_STEP_MORE;
}

/* Moves over what writev took of the frames from seq on; the one it stopped in is held. */
static enum relay_step advance(struct relay_writer *w, const struct run *run, uint64_t to, size_t n)
{
    while (w->seq < to) {
        struct frame *f = run_frame(run, w->seq);
        size_t total = relay_frame_head_size(f) + f->size;
        if (n < total) {
            w->held = n > 0 ? frame_ref(f) : NULL;
            w->held_offset = n;
            return RELAY_STEP_BLOCKED;
        }
        n -= total;
        frame_is_out(w, f);
    }
    return RELAY_STEP_MORE;
}

enum relay_step relay_writer_frames(struct relay_writer *w, const struct run *run, uint64_t last,
                                    size_t *sent)
{
    uint8_t heads[WRITER_BATCH][RELAY_FRAME_HEAD_MAX];
    struct iovec iov[2 * WRITER_BATCH];
    int count = 0;
    size_t bytes = 0;
    uint64_t seq = w->seq;
    must(w->held == NULL && buf_len(&w->control) == 0);
    for (int i = 0; i < WRITER_BATCH && seq < last && bytes < RELAY_WRITER_TURN_BYTES; i++, seq++) {
        struct frame *f = run_frame(run, seq);
        size_t head_size = relay_frame_head(f, heads[i]);
        iov[count++] = (struct iovec){heads[i], head_size};
        if (f->size > 0)
            iov[count++] = (struct iovec){f->data, f->size};
        bytes += head_size + f->size;
    }
    if (count == 0)
        return RELAY_STEP_NOTHING;
    ssize_t n = w->writev(w->to, iov, count);
    enum relay_step step = took(w, n);
    if (step != RELAY_STEP_MORE)
        return step;
    *sent += (size_t)n;
    return advance(w, run, seq, (size_t)n);
}

enum relay_step relay_writer_step(struct relay_writer *w, size_t *sent)
{
    if (w->held != NULL)
        return send_held(w, sent);
    return buf_len(&w->control) > 0 ? send_control(w, sent) : RELAY_STEP_NOTHING;
}
