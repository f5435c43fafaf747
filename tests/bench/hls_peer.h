#ifndef SLUICE_TESTS_BENCH_HLS_PEER_H
#define SLUICE_TESTS_BENCH_HLS_PEER_H

#include "base/buf.h"
#include "target.h"

#include <stdint.h>

/*
 * Requests of an HLS player over one HTTP/1.1 connection, one after the other, on a blocking
 * socket.  When an answer came is what the kernel says of its last bytes, however late we read
 * them.
 */
#define HLS_ANSWER_MAX (16 * 1024 * 1024) /* bytes of an answer */
#define HLS_ANSWER_S   30                 /* that one is waited for */

struct hls_answer {
    int status;
    struct slice head, body;
    int64_t at_us; /* clock_us() when its last byte was there */
};

/* The connection; ends the program when it cannot be had. */
int hls_connect(const struct target *t);
/* Asks for APP/STREAM of the target with its last part replaced by `name` (NULL: as it is). */
bool hls_ask(int fd, const struct target *t, const char *name, bool gzip);
/* Reads the answer into `room`, which it lies in; false when there is none. */
bool hls_take(int fd, struct buf *room, struct hls_answer *out);
/* Both of them; ends the program when the answer is not a 200. */
void hls_get(int fd, const struct target *t, const char *name, struct buf *room,
             struct hls_answer *out);

/* The part that a playlist hints at. */
struct hls_place {
    uint64_t epoch, msn;
    uint32_t part;
};
bool hls_hint(struct slice playlist, struct hls_place *out);

/* When the first, or last, frame that is marked (mark.h) in these bytes was sent, by clock_us() of
 * a publisher with --mark; 0: there is none. */
int64_t hls_sent_us(struct slice part, bool last);

#endif
