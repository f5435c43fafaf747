#ifndef SLUICE_MEDIA_FRAME_BLOCK_H
#define SLUICE_MEDIA_FRAME_BLOCK_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Blocks that the frames of a pool lie in (frame.h).  Each is a mapping of its own.  Those that are
 * empty are given to the next who needs one: a page that is new costs more than what is copied into
 * it.  No more of them are kept than a small part of those in use, so memory that is not needed
 * goes back at once.  Any thread.
 */

/* How many bytes of blocks a pool's frames hold; goes on after the pool, with its last block. */
struct frame_held {
    atomic_uint users; /* blocks, and the pool */
    atomic_size_t bytes;
};

struct frame_block {
    atomic_uint users; /* frames in it, and what frame_block_retire() takes back */
    uint32_t size_class;
    uint32_t bytes_all, room; /* of the mapping; for frames */
    struct frame_held *held;
    struct frame_block *next; /* of the empty ones */
    _Alignas(max_align_t) uint8_t bytes[];
};

/* The largest frame, with its head, that shares a block when a pool holds so much; a larger one
 * would waste too much of what is left of the block before. */
size_t frame_block_largest(struct frame_held *held);
/* An empty block, as large as suits a pool that holds so much, with room for a frame of `need`
 * bytes that may share it; counted there.  NULL when there is no memory. */
struct frame_block *frame_block_new(struct frame_held *held, size_t need);
/* One for a single frame, which leaves it when it goes; nothing is retired. */
struct frame_block *frame_block_new_alone(struct frame_held *held, size_t need);
/* Nothing more is put into it, where `handed` frames were put. */
void frame_block_retire(struct frame_block **bp, uint32_t handed);
/* One of its frames has gone. */
void frame_block_leave(struct frame_block *b);

struct frame_held *frame_held_new(void);
void frame_held_unref(struct frame_held **hp);

#endif
