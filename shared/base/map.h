#ifndef SLUICE_BASE_MAP_H
#define SLUICE_BASE_MAP_H

#include <stddef.h>

/* A hash map from text, or from any bytes (the _n functions), to pointers; keys are copied, values
 * are the caller's. */
struct map;

struct map *map_new(void);
/* Frees the map, not the values. */
void map_free(struct map **mp);

size_t map_count(const struct map *m);
void *map_get(const struct map *m, const char *key);
void *map_get_n(const struct map *m, const void *key, size_t len);
/* Sets key to value (not NULL) and returns the value it replaced, or NULL. */
void *map_put(struct map *m, const char *key, void *value);
void *map_put_n(struct map *m, const void *key, size_t len, void *value);
/* Removes key and returns its value, or NULL. */
void *map_take(struct map *m, const char *key);
void *map_take_n(struct map *m, const void *key, size_t len);

/* Walks all entries in order of insertion; `fn` may remove the entry it is given and no other. */
void map_each(struct map *m, void (*fn)(const char *key, void *value, void *arg), void *arg);

#endif
