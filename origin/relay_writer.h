#ifndef SLUICE_ORIGIN_RELAY_WRITER_H
#define SLUICE_ORIGIN_RELAY_WRITER_H

#include "media/log.h"
#include "proto/relay_record.h"

#include <sys/uio.h>

/*
 * Sends a log's frames as relay records:
 *
 *   log ─frames─▶ iovecs [cut and header][payload] ─▶ writev       whole other records ─▶ control
 *
 * It is a position in a run and, when the socket has taken part of a frame, that frame by reference
 * and how much of it is out.  What is in control goes between frames, before the next one.
 */
#define RELAY_WRITER_TURN_BYTES  (1024 * 1024)          /* sent before others have their turn */
#define RELAY_WRITER_CONTROL_MAX (2 * RELAY_RECORD_MAX) /* bytes of control records that wait */

struct relay_writer {
    /* Bytes taken, 0 for none now, negative: the connection is gone. */
    ssize_t (*writev)(void *to, const struct iovec *iov, int count);
    void *to;
    struct buf control;
    uint64_t seq; /* of the next frame; moved by the owner while relay_writer_is_between() */
    int64_t last_write_us;            /* clock_us */
    uint64_t frames_sent, bytes_sent; /* of payload */

    /* relay_writer.c only */
    struct frame *held; /* the frame at seq, when part of it is out */
    size_t held_offset;
};

void relay_writer_init(struct relay_writer *w,
                       ssize_t (*writev)(void *to, const struct iovec *iov, int count), void *to);
void relay_writer_fini(struct relay_writer *w);

/* True when what is out ends at the end of a frame. */
static inline bool relay_writer_is_between(const struct relay_writer *w)
{
    return w->held == NULL;
}

enum relay_step {
    RELAY_STEP_NOTHING, /* all is out up to the last frame */
    RELAY_STEP_MORE,    /* something is out, and there may be more */
    RELAY_STEP_BLOCKED,
    RELAY_STEP_CLOSED,
};
/* The rest of a frame that is half out, then what is in control; *sent (bytes) grows. */
enum relay_step relay_writer_step(struct relay_writer *w, size_t *sent);
/* After relay_writer_step() had nothing: a batch of the run's frames [seq, last), which are held.
 */
enum relay_step relay_writer_frames(struct relay_writer *w, const struct run *run, uint64_t last,
                                    size_t *sent);

#endif
