#ifndef SLUICE_CLUSTER_REDIS_ARGS_H
#define SLUICE_CLUSTER_REDIS_ARGS_H

#include "base/slice.h"

#include <stddef.h>
#include <stdint.h>

/*
 * The words of one command, copied as they come.  They go out length-prefixed, so no byte in them
 * can become another word or command.
 */
#define REDIS_ARGS_MAX 1024 /* words of one command: a renewal of 50 streams has some 600 */

struct redis_args {
    char *text; /* all words, each terminated */
    size_t used, room;
    size_t lens[REDIS_ARGS_MAX];
    int count;
};

void redis_args_init(struct redis_args *a);
void redis_args_fini(struct redis_args *a);

void redis_arg(struct redis_args *a, const char *word);
void redis_arg_slice(struct redis_args *a, struct slice word);
void redis_arg_i64(struct redis_args *a, int64_t v);
void redis_arg_u64(struct redis_args *a, uint64_t v);
/* 16 hexadecimal digits. */
void redis_arg_instance(struct redis_args *a, uint64_t instance);
/* Two words joined: a key. */
void redis_arg_join(struct redis_args *a, const char *prefix, const char *rest);
/* All words of a NULL-terminated list. */
void redis_arg_list(struct redis_args *a, const char *const *words);

/* Puts another word of the same length in the place of the second word (a script's SHA1). */
void redis_args_set_second(struct redis_args *a, const char *word);

/* The command as it goes over the wire (freed with redisFreeCommand) and its length. */
size_t redis_args_format(const struct redis_args *a, char **out);

#endif
