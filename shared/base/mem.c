#include "base/mem.h"

#include "base/must.h"

#include <stdlib.h>
#include <string.h>

void *xcalloc(size_t count, size_t size)
{
    void *p = calloc(count, size);
    must(p != NULL);
    return p;
}

void *xcalloc_line(size_t size)
{
    size_t lines = (size + CACHE_LINE - 1) / CACHE_LINE;
    void *p = aligned_alloc(CACHE_LINE, lines * CACHE_LINE);
    must(p != NULL);
    memset(p, 0, lines * CACHE_LINE);
    return p;
}

void *xmalloc(size_t size)
{
    void *p = malloc(size > 0 ? size : 1);
    must(p != NULL);
    return p;
}

void *xrealloc(void *p, size_t size)
{
    void *q = realloc(p, size > 0 ? size : 1);
    must(q != NULL);
    return q;
}

char *xstrndup(const char *s, size_t len)
{
    char *p = xmalloc(len + 1);
    if (len > 0)
        memcpy(p, s, len);
    p[len] = '\0';
    return p;
}

char *xstrdup(const char *s)
{
    return xstrndup(s, strlen(s));
}
