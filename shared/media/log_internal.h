#ifndef SLUICE_MEDIA_LOG_INTERNAL_H
#define SLUICE_MEDIA_LOG_INTERNAL_H

#include "media/log.h"

/* Between log.c and log_parts.c: the index follows the frames. */

/* f has been appended; `inforce` is in force before it. */
void log_parts_append(struct run *r, const struct frame *f, struct inforce *inforce);
/* `count` frames have been put in front of the run, `inforce` being in force at the first. */
void log_parts_prepend(struct run *r, struct inforce *inforce, size_t count);
/* Frames have gone at the front. */
void log_parts_trim(struct run *r);
void log_parts_clear(struct run *r);
/* All numbers by so much more. */
void log_parts_renumber(struct run *r, uint64_t msn, uint64_t dsn);
/* How long frames are needed for HLS. */
int64_t log_parts_window_us(const struct run *r);
struct inforce *log_inforce_after(struct inforce *held, struct frame *f);

#endif
