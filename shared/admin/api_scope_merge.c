/*
 * Rows of many nodes as one list.  A stream is described by its owner's row where that was told,
 * else by the row with the highest epoch; its viewers are those of all nodes.
 */
#include "admin/api_internal.h"

#include "base/mem.h"
#include "base/must.h"

#include <stdlib.h>

/* What is known of one stream so far. */
struct merged {
    json_t *row;   /* the best so far */
    json_t *nodes; /* [{"id","local","viewers","upstream","path","hops"}] */
    bool by_owner; /* row is the owner's own */
    uint64_t epoch;
    int64_t viewers[API_VIEWER_KINDS];
};

struct scope_merge {
    struct map *streams;
};

struct scope_merge *scope_merge_new(void)
{
    struct scope_merge *m = xcalloc(1, sizeof *m);
    m->streams = map_new();
    return m;
}

static void free_merged(const char *name, void *value, void *arg)
{
    struct merged *s = value;
    json_decref(s->row);
    json_decref(s->nodes);
    free(s);
}

void scope_merge_free(struct scope_merge **mp)
{
    struct scope_merge *m = *mp;
    *mp = NULL;
    if (m == NULL)
        return;
    map_each(m->streams, free_merged, NULL);
    map_free(&m->streams);
    free(m);
}

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    must(text != NULL);
    return text;
}

static struct merged *merged_of(struct scope_merge *m, const char *name)
{
    struct merged *s = map_get(m->streams, name);
    if (s != NULL)
        return s;
    s = xcalloc(1, sizeof *s);
    s->nodes = json_array();
    map_put(m->streams, name, s);
    return s;
}

static void note_node(struct merged *s, const char *node, const json_t *row)
{
    int64_t viewers[API_VIEWER_KINDS];
    api_row_viewers(row, viewers);
    for (int i = 0; i < API_VIEWER_KINDS; i++)
        s->viewers[i] += viewers[i];
    json_t *entry = json_pack("{s:s,s:s,s:o}", "id", node, "local", text_of(row, "local"),
                              "viewers", api_viewers_json(viewers));
    must(entry != NULL && json_array_append_new(s->nodes, entry) == 0);
    static const char *const way[] = {"upstream", "path", "hops"};
    for (size_t i = 0; i < sizeof way / sizeof way[0]; i++) {
        json_t *value = json_object_get(row, way[i]);
        must(value == NULL || json_object_set(entry, way[i], value) == 0);
    }
}

void scope_merge_add(struct scope_merge *m, const char *node, json_t *row)
{
    struct merged *s = merged_of(m, text_of(row, "name"));
    bool by_owner = strcmp(text_of(row, "owner"), node) == 0;
    uint64_t epoch;
    must(slice_u64(slice_text(text_of(row, "epoch")), UINT64_MAX, &epoch) == 0);
    note_node(s, node, row);
    bool better = s->row == NULL || (by_owner && !s->by_owner) ||
                  (by_owner == s->by_owner && epoch > s->epoch);
    if (!better) {
        json_decref(row);
        return;
    }
    json_decref(s->row);
    s->row = row;
    s->by_owner = by_owner;
    s->epoch = epoch;
}

/* --- the list --- */

struct listing {
    struct merged **items;
    size_t count;
};

static void list_one(const char *name, void *value, void *arg)
{
    struct listing *l = arg;
    l->items[l->count++] = value;
}

static int compare(const void *left, const void *right)
{
    const struct merged *const *a = left, *const *b = right;
    return strcmp(text_of((*a)->row, "name"), text_of((*b)->row, "name"));
}

static json_t *merged_json(const struct merged *s)
{
    json_t *out = json_copy(s->row);
    must(out != NULL && json_object_set_new(out, "viewers", api_viewers_json(s->viewers)) == 0 &&
         json_object_set(out, "nodes", s->nodes) == 0);
    return out;
}

json_t *scope_merge_json(const struct scope_merge *m)
{
    json_t *out = json_array();
    struct listing l = {xcalloc(map_count(m->streams) + 1, sizeof(struct merged *)), 0};
    map_each(m->streams, list_one, &l);
    qsort(l.items, l.count, sizeof(struct merged *), compare);
    for (size_t i = 0; i < l.count; i++)
        must(json_array_append_new(out, merged_json(l.items[i])) == 0);
    free(l.items);
    return out;
}
