/*
 * What all workers know of the node's streams: a message to each, which collects there, and back;
 * the last one back brings the parts together.
 *
 *   api_gather ──part──▶ every worker: feeds -> rows ──part──▶ back: sort, sum viewers ─▶ done()
 */
#include "admin/api_internal.h"

#include "base/mem.h"
#include "core/clock.h"

#include <stdio.h>
#include <stdlib.h>

struct gather;

/* One worker's rows: written on that worker, read at home once the message is back. */
struct gather_part {
    struct message message;
    struct gather *gather;
    struct worker *worker;
    struct api_stream *rows;
    size_t count, room;
};

struct gather {
    struct api *api;
    struct worker *back;
    api_gather_done *done;
    void *arg;
    char name[NAME_STREAM_MAX + 1];
    int part_count, left; /* left: on `back` only */
    struct gather_part parts[];
};

/* --- on each worker --- */

static struct api_stream *add_row(struct gather_part *p)
{
    if (p->count == p->room) {
        p->room = p->room > 0 ? p->room * 2 : 8;
        p->rows = xrealloc(p->rows, p->room * sizeof p->rows[0]);
    }
    struct api_stream *row = &p->rows[p->count++];
    *row = (struct api_stream){.local = "none"};
    return row;
}

static bool is_published(const struct feed *f)
{
    return log_newest(f->log) != NULL && (f->state == FEED_LIVE || f->state == FEED_LOST);
}

static bool has_viewers(const struct feed *f)
{
    for (int i = 0; i < API_VIEWER_KINDS; i++)
        if (f->viewers[i] > 0)
            return true;
    return false;
}

static void describe_owner(const struct gather_part *p, const struct run *run,
                           struct api_stream *row)
{
    struct slice rest, owner = slice_text(p->gather->api->o.identity->node);
    if (run->origin != NULL)
        owner = slice_cut(slice_text(run->origin->path), ',', &rest, NULL);
    slice_copy(owner, row->owner, sizeof row->owner);
    row->epoch = run->epoch;
    const char *node = p->gather->api->o.identity->node;
    if (run->origin != NULL)
        snprintf(row->path, sizeof row->path, "%s,%s", run->origin->path, node);
    else
        snprintf(row->path, sizeof row->path, "%s", node);
}

static void describe(const struct gather_part *p, const struct feed *f, struct api_stream *row)
{
    const struct run *run = log_newest(f->log);
    row->described = true;
    describe_owner(p, run, row);
    if (f->source != NULL)
        row->local = strcmp(f->source->kind, "publish") == 0 ? "publish" : "pull";
    row->track_count = run->track_count;
    memcpy(row->tracks, run->tracks, run->track_count * sizeof row->tracks[0]);
    row->bitrate_bps = f->state == FEED_LIVE ? f->bitrate_bps : 0;
    row->age_ms = f->since_us > 0 ? (clock_us() - f->since_us) / 1000 : 0;
}

static void collect_feed(struct feed *f, void *arg)
{
    struct gather_part *p = arg;
    /* Of what is made of a stream only the players count, as players of it. */
    bool described = f->is_home && is_published(f) && name_derivation(f->name) == NULL;
    if (!described && !has_viewers(f))
        return;
    struct api_stream *row = add_row(p);
    name_base(f->name, row->name);
    for (int i = 0; i < API_VIEWER_KINDS; i++)
        row->viewers[i] = f->viewers[i];
    if (described)
        describe(p, f, row);
}

static void collect_of_one(struct feed *f, void *arg)
{
    struct gather_part *p = arg;
    char name[NAME_STREAM_MAX + 1];
    name_base(f->name, name);
    if (strcmp(name, p->gather->name) == 0)
        collect_feed(f, p);
}

static void arrive(struct message *m);

static void collect(struct message *m)
{
    struct gather_part *p = container_of(m, struct gather_part, message);
    struct gather *g = p->gather;
    feed_each(g->api->o.hub, p->worker, g->name[0] == '\0' ? collect_feed : collect_of_one, p);
    p->message.run = arrive;
    worker_post(g->back, &p->message);
}

/* --- back again --- */

/* By name; the row that describes the stream before those that only count its viewers. */
static int compare_rows(const void *left, const void *right)
{
    const struct api_stream *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    return order != 0 ? order : (int)b->described - (int)a->described;
}

static void add_viewers(struct api_stream *to, const struct api_stream *from)
{
    for (int i = 0; i < API_VIEWER_KINDS; i++)
        to->viewers[i] += from->viewers[i];
}

/* One row per stream; how many there are. */
static size_t join_rows(struct api_stream *rows, size_t count)
{
    size_t kept = 0, next;
    for (size_t first = 0; first < count; first = next) {
        struct api_stream *row = &rows[first];
        for (next = first + 1; next < count && strcmp(rows[next].name, row->name) == 0; next++)
            add_viewers(row, &rows[next]);
        if (!row->described)
            continue;
        if (kept != first)
            rows[kept] = *row;
        kept++;
    }
    return kept;
}

static struct api_stream *concatenate(struct gather *g, size_t *count)
{
    size_t total = 0;
    for (int i = 0; i < g->part_count; i++)
        total += g->parts[i].count;
    struct api_stream *rows = xcalloc(total + 1, sizeof *rows);
    *count = 0;
    for (int i = 0; i < g->part_count; i++) {
        struct gather_part *p = &g->parts[i];
        if (p->count > 0)
            memcpy(&rows[*count], p->rows, p->count * sizeof *rows);
        *count += p->count;
        free(p->rows);
    }
    return rows;
}

static void arrive(struct message *m)
{
    struct gather *g = container_of(m, struct gather_part, message)->gather;
    if (--g->left > 0)
        return;
    size_t count;
    struct api_stream *rows = concatenate(g, &count);
    qsort(rows, count, sizeof *rows, compare_rows);
    g->done(rows, join_rows(rows, count), g->arg);
    free(rows);
    free(g);
}

void api_gather(struct api *a, struct worker *w, const char *name, api_gather_done *done, void *arg)
{
    int count = a->o.workers->count;
    struct gather *g = xcalloc(1, sizeof *g + (size_t)count * sizeof g->parts[0]);
    g->api = a;
    g->back = w;
    g->done = done;
    g->arg = arg;
    g->part_count = g->left = count;
    must(slice_copy(slice_text(name), g->name, sizeof g->name));
    for (int i = 0; i < count; i++) {
        g->parts[i].message.run = collect;
        g->parts[i].gather = g;
        g->parts[i].worker = &a->o.workers->workers[i];
    }
    for (int i = 0; i < count; i++)
        worker_post(g->parts[i].worker, &g->parts[i].message);
}
