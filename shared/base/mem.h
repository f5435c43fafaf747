#ifndef SLUICE_BASE_MEM_H
#define SLUICE_BASE_MEM_H

#include <stddef.h>

/* For a large local array on the path of a frame, of which only what was filled is read: builds
 * that clear every local variable leave this one alone. */
#define LEFT_AS_IT_IS __attribute__((uninitialized))

/*
 * Small allocations of a fixed size, which cannot fail (the process ends if they do).  Sizes that a
 * peer chooses go through malloc and answer ERR_NOMEM instead.
 */
void *xcalloc(size_t count, size_t size);
/* One, zeroed, at the beginning of a cache line: what thousands of objects of its kind are asked
 * for in a row comes first in it, and is fetched with one line. */
#define CACHE_LINE 64
void *xcalloc_line(size_t size);
void *xmalloc(size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t len);

#endif
