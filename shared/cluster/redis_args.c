#include "cluster/redis_args.h"

#include "base/mem.h"
#include "base/must.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_TEXT_MAX 24 /* characters of a 64-bit number and its terminator */

void redis_args_init(struct redis_args *a)
{
    a->text = NULL;
    a->used = a->room = 0;
    a->count = 0;
}

void redis_args_fini(struct redis_args *a)
{
    free(a->text);
    redis_args_init(a);
}

static char *extend(struct redis_args *a, size_t len)
{
    must(a->count < REDIS_ARGS_MAX);
    size_t need = a->used + len + 1;
    if (need > a->room) {
        a->room = need > 2 * a->room ? need : 2 * a->room;
        a->text = xrealloc(a->text, a->room);
    }
    char *word = a->text + a->used;
    word[len] = '\0';
    a->used = need;
    a->lens[a->count++] = len;
    return word;
}

void redis_arg_slice(struct redis_args *a, struct slice word)
{
    char *dst = extend(a, word.len);
    if (word.len > 0)
        memcpy(dst, word.p, word.len);
}

void redis_arg(struct redis_args *a, const char *word)
{
    redis_arg_slice(a, slice_text(word));
}

void redis_arg_i64(struct redis_args *a, int64_t v)
{
    char text[NUMBER_TEXT_MAX];
    snprintf(text, sizeof text, "%" PRId64, v);
    redis_arg(a, text);
}

void redis_arg_u64(struct redis_args *a, uint64_t v)
{
    char text[NUMBER_TEXT_MAX];
    snprintf(text, sizeof text, "%" PRIu64, v);
    redis_arg(a, text);
}

void redis_arg_instance(struct redis_args *a, uint64_t instance)
{
    char text[NUMBER_TEXT_MAX];
    snprintf(text, sizeof text, "%016" PRIx64, instance);
    redis_arg(a, text);
}

void redis_arg_join(struct redis_args *a, const char *prefix, const char *rest)
{
    size_t n = strlen(prefix), m = strlen(rest);
    char *dst = extend(a, n + m);
    memcpy(dst, prefix, n);
    memcpy(dst + n, rest, m);
}

void redis_arg_list(struct redis_args *a, const char *const *words)
{
    for (; *words != NULL; words++)
        redis_arg(a, *words);
}

void redis_args_set_second(struct redis_args *a, const char *word)
{
    must(a->count >= 2 && strlen(word) == a->lens[1]);
    memcpy(a->text + a->lens[0] + 1, word, a->lens[1]);
}

size_t redis_args_format(const struct redis_args *a, char **out)
{
    const char *words[REDIS_ARGS_MAX];
    const char *p = a->text;
    for (int i = 0; i < a->count; i++) {
        words[i] = p;
        p += a->lens[i] + 1;
    }
    int n = redisFormatCommandArgv(out, a->count, words, a->lens);
    must(n > 0);
    return (size_t)n;
}
