#include "hls_list.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define HOLD_PARTS    3 /* part targets from the end where a player begins, if nothing is said */
#define HOLD_SEGMENTS 3 /* target durations, likewise */

struct reader {
    struct hls_list *list;
    uint64_t msn;
    uint32_t part;
    int64_t duration_us; /* of the coming segment */
    bool variant, discontinuity, gap;
};

/* "1.234" as microseconds; what is no number is 0. */
static int64_t seconds_us(struct slice text)
{
    struct slice fraction, whole = slice_cut(text, '.', &fraction, NULL);
    uint64_t s = 0;
    int64_t us = 0, step = 100000;
    if (slice_u64(whole, 1000000, &s) < 0)
        return 0;
    for (size_t i = 0; i < fraction.len && fraction.p[i] >= '0' && fraction.p[i] <= '9'; i++) {
        us += (fraction.p[i] - '0') * step;
        step /= 10;
    }
    return (int64_t)s * 1000000 + us;
}

/* The value of NAME=VALUE or NAME="VALUE" in a list of them, len 0 when there is none. */
static struct slice attribute(struct slice list, const char *name)
{
    while (list.len > 0) {
        struct slice value, key = slice_cut(list, '=', &value, NULL);
        bool quoted = value.len > 0 && value.p[0] == '"';
        if (quoted) {
            value = slice_cut(slice_of(value.p + 1, value.len - 1), '"', &list, NULL);
            (void)slice_cut(list, ',', &list, NULL);
        } else {
            value = slice_cut(value, ',', &list, NULL);
        }
        if (slice_is(slice_trim(key), name))
            return value;
    }
    return (struct slice){0};
}

static struct hls_entry *add(struct reader *r)
{
    struct hls_entry *e = &r->list->entries[r->list->count++];
    e->msn = r->msn;
    e->discontinuity = r->discontinuity;
    return e;
}

static void on_part(struct reader *r, struct slice value)
{
    struct hls_entry *e = add(r);
    e->is_part = true;
    e->part = r->part++;
    e->uri = attribute(value, "URI");
    e->duration_us = seconds_us(attribute(value, "DURATION"));
    e->independent = slice_is(attribute(value, "INDEPENDENT"), "YES");
    e->gap = slice_is(attribute(value, "GAP"), "YES");
}

static void on_uri(struct reader *r, struct slice line)
{
    if (r->variant) {
        if (r->list->variant.len == 0)
            r->list->variant = line;
        r->variant = false;
        return;
    }
    struct hls_entry *e = add(r);
    e->uri = line;
    e->duration_us = r->duration_us;
    e->independent = true;
    e->gap = r->gap;
    r->msn++;
    r->part = 0;
    r->discontinuity = r->gap = false;
}

static void on_extinf(struct reader *r, struct slice value)
{
    struct slice rest;
    r->duration_us = seconds_us(slice_cut(value, ',', &rest, NULL));
}

static void on_sequence(struct reader *r, struct slice value)
{
    (void)slice_u64(value, INT64_MAX, &r->msn);
    r->list->first_msn = r->msn;
}

static void on_skip(struct reader *r, struct slice value)
{
    uint64_t skipped = 0;
    (void)slice_u64(attribute(value, "SKIPPED-SEGMENTS"), INT32_MAX, &skipped);
    r->msn += skipped;
}

static void on_target(struct reader *r, struct slice value)
{
    r->list->target_us = seconds_us(value);
}

static void on_part_target(struct reader *r, struct slice value)
{
    r->list->part_target_us = seconds_us(attribute(value, "PART-TARGET"));
}

static void on_control(struct reader *r, struct slice value)
{
    r->list->can_block = slice_is(attribute(value, "CAN-BLOCK-RELOAD"), "YES");
    r->list->hold_back_us = seconds_us(attribute(value, "PART-HOLD-BACK"));
}

static void on_variant(struct reader *r, struct slice value)
{
    r->variant = true;
}

static void on_discontinuity(struct reader *r, struct slice value)
{
    r->discontinuity = true;
}

static void on_gap(struct reader *r, struct slice value)
{
    r->gap = true;
}

static void on_end(struct reader *r, struct slice value)
{
    r->list->ended = true;
}

static const struct {
    const char *tag;
    void (*take)(struct reader *r, struct slice value);
} tags[] = {
    {"#EXTINF", on_extinf},
    {"#EXT-X-PART", on_part},
    {"#EXT-X-MEDIA-SEQUENCE", on_sequence},
    {"#EXT-X-SKIP", on_skip},
    {"#EXT-X-TARGETDURATION", on_target},
    {"#EXT-X-PART-INF", on_part_target},
    {"#EXT-X-SERVER-CONTROL", on_control},
    {"#EXT-X-STREAM-INF", on_variant},
    {"#EXT-X-DISCONTINUITY", on_discontinuity},
    {"#EXT-X-GAP", on_gap},
    {"#EXT-X-ENDLIST", on_end},
};

static void on_line(struct reader *r, struct slice line)
{
    if (line.len == 0)
        return;
    if (line.p[0] != '#') {
        on_uri(r, line);
        return;
    }
    struct slice value, tag = slice_cut(line, ':', &value, NULL);
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++)
        if (slice_is(tag, tags[i].tag))
            tags[i].take(r, value);
}

static size_t count_lines(struct slice text)
{
    size_t n = 1;
    for (size_t i = 0; i < text.len; i++)
        n += text.p[i] == '\n';
    return n;
}

int hls_list_read(struct slice text, struct hls_list *out)
{
    struct reader r = {.list = out};
    *out = (struct hls_list){0};
    if (!slice_starts(text, "#EXTM3U"))
        return ERR_PROTOCOL;
    out->entries = xcalloc(count_lines(text), sizeof out->entries[0]);
    while (text.len > 0)
        on_line(&r, slice_trim(slice_cut(text, '\n', &text, NULL)));
    return 0;
}

void hls_list_free(struct hls_list *l)
{
    free(l->entries);
    *l = (struct hls_list){0};
}

const struct hls_entry *hls_list_segment(const struct hls_list *l, uint64_t msn)
{
    for (size_t i = 0; i < l->count; i++)
        if (!l->entries[i].is_part && l->entries[i].msn == msn)
            return &l->entries[i];
    return NULL;
}

const struct hls_entry *hls_list_part(const struct hls_list *l, uint64_t msn, uint32_t part)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->entries[i].is_part && l->entries[i].msn == msn && l->entries[i].part == part)
            return &l->entries[i];
    return NULL;
}

static int64_t hold_back_us(const struct hls_list *l)
{
    if (l->part_target_us > 0)
        return l->hold_back_us > 0 ? l->hold_back_us : HOLD_PARTS * l->part_target_us;
    return HOLD_SEGMENTS * l->target_us;
}

/* Time is counted once: by parts where a segment has them, else by the segment. */
uint64_t hls_list_join(const struct hls_list *l)
{
    int64_t behind_us = 0;
    uint64_t join = l->count > 0 ? l->entries[0].msn : l->first_msn;
    for (size_t i = l->count; i-- > 0;) {
        const struct hls_entry *e = &l->entries[i];
        bool has_parts = !e->is_part && hls_list_part(l, e->msn, 0) != NULL;
        behind_us += has_parts ? 0 : e->duration_us;
        bool begins = e->is_part ? e->part == 0 : !has_parts;
        if (begins && e->independent && !e->gap && behind_us >= hold_back_us(l))
            return e->msn;
    }
    return join;
}
