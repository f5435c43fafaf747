/*
 * Streams as JSON, ours and those that other nodes told.
 */
#include "admin/api_internal.h"

#include "base/must.h"
#include "core/json.h"
#include "proto/flv.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const viewer_names[] = {
    [VIEWER_RTMP] = "rtmp",
    [VIEWER_FLV] = "flv",
    [VIEWER_HLS] = "hls",
    [VIEWER_WHEP] = "whep",
};
_Static_assert(sizeof viewer_names / sizeof viewer_names[0] == API_VIEWER_KINDS,
               "every kind of viewer has a name");

static const char *const track_kinds[] = {
    [FRAME_VIDEO] = "video",
    [FRAME_AUDIO] = "audio",
    [FRAME_DATA] = "data",
};

json_t *api_viewers_json(const int64_t viewers[API_VIEWER_KINDS])
{
    json_t *out = json_object();
    for (int i = 0; i < API_VIEWER_KINDS; i++)
        must(json_object_set_new(out, viewer_names[i], json_integer(viewers[i])) == 0);
    return out;
}

static json_t *tracks_json(const struct api_stream *s)
{
    json_t *out = json_array();
    for (uint32_t i = 0; i < s->track_count; i++) {
        const struct log_track *t = &s->tracks[i];
        json_t *track =
            json_pack("{s:i,s:s,s:s,s:I}", "id", (int)t->id, "kind", track_kinds[t->kind], "codec",
                      flv_codec_name(t->codec), "frames", (json_int_t)t->frames);
        if (flv_codec_needs_webrtc(t->codec))
            must(json_object_set_new(track, "players", json_pack("[s]", "whep")) == 0);
        must(json_array_append_new(out, track) == 0);
    }
    return out;
}

/* "path": the nodes from the owner to this one; "upstream": the last but one; "hops": links. */
static json_t *path_json(const char *path, json_t *row)
{
    json_t *list = json_array();
    struct slice node, upstream = slice_of("", 0), rest = slice_text(path);
    while (rest.len > 0) {
        node = slice_cut(rest, ',', &rest, NULL);
        if (rest.len > 0)
            upstream = node;
        must(json_array_append_new(list, json_stringn((const char *)node.p, node.len)) == 0);
    }
    size_t count = json_array_size(list);
    must(json_object_set_new(row, "upstream",
                             json_stringn((const char *)upstream.p, upstream.len)) == 0 &&
         json_object_set_new(row, "path", list) == 0 &&
         json_object_set_new(row, "hops", json_integer(count > 0 ? (json_int_t)count - 1 : 0)) ==
             0);
    return row;
}

json_t *api_row_json(const struct api_stream *s)
{
    char epoch[24]; /* as text: readers that know doubles only would round it */
    snprintf(epoch, sizeof epoch, "%" PRIu64, s->epoch);
    json_t *row = json_pack("{s:s,s:s,s:s,s:s,s:o,s:o,s:I,s:I}", "name", s->name, "owner", s->owner,
                            "epoch", epoch, "local", s->local, "tracks", tracks_json(s), "viewers",
                            api_viewers_json(s->viewers), "bitrate_bps", (json_int_t)s->bitrate_bps,
                            "age_ms", (json_int_t)s->age_ms);
    must(row != NULL);
    return path_json(s->path, row);
}

json_t *api_rows_json(const struct api_stream *rows, size_t count)
{
    json_t *out = json_array();
    for (size_t i = 0; i < count; i++)
        must(json_array_append_new(out, api_row_json(&rows[i])) == 0);
    return out;
}

/* --- rows of other nodes --- */

static const struct {
    const char *key;
    json_type type;
    bool optional; /* added to the protocol between nodes later */
} row_members[] = {
    {"name", JSON_STRING, false},         {"owner", JSON_STRING, false},
    {"epoch", JSON_STRING, false},        {"local", JSON_STRING, false},
    {"tracks", JSON_ARRAY, false},        {"viewers", JSON_OBJECT, false},
    {"bitrate_bps", JSON_INTEGER, false}, {"age_ms", JSON_INTEGER, false},
    {"upstream", JSON_STRING, true},      {"path", JSON_ARRAY, true},
    {"hops", JSON_INTEGER, true},
};

static struct slice member_text(const json_t *row, const char *key)
{
    const json_t *value = json_object_get(row, key);
    return slice_of(json_string_value(value), json_string_length(value));
}

static bool path_ok(const json_t *path)
{
    if (json_array_size(path) > RELAY_HOPS_MAX + 1)
        return false;
    for (size_t i = 0; i < json_array_size(path); i++) {
        const json_t *node = json_array_get(path, i);
        if (!name_node_ok(slice_of(json_string_value(node), json_string_length(node))))
            return false;
    }
    return true;
}

static bool members_ok(const json_t *row)
{
    char name[NAME_STREAM_MAX + 1];
    uint64_t epoch;
    struct slice owner = member_text(row, "owner");
    if (!path_ok(json_object_get(row, "path")))
        return false;
    return name_stream_of(member_text(row, "name"), name) == 0 &&
           (owner.len == 0 || name_node_ok(owner)) &&
           slice_u64(member_text(row, "epoch"), UINT64_MAX, &epoch) == 0;
}

json_t *api_row_accept(struct slice text)
{
    json_t *told = json_parse(text);
    json_t *row = json_object();
    bool ok = json_is_object(told);
    for (size_t i = 0; i < sizeof row_members / sizeof row_members[0] && ok; i++) {
        json_t *value = json_object_get(told, row_members[i].key);
        if (value == NULL && row_members[i].optional)
            continue;
        ok = value != NULL && json_typeof(value) == row_members[i].type &&
             json_object_set(row, row_members[i].key, value) == 0;
    }
    json_decref(told);
    if (ok && members_ok(row))
        return row;
    json_decref(row);
    return NULL;
}

void api_row_viewers(const json_t *row, int64_t out[API_VIEWER_KINDS])
{
    const json_t *viewers = json_object_get(row, "viewers");
    for (int i = 0; i < API_VIEWER_KINDS; i++) {
        int64_t n = json_integer_value(json_object_get(viewers, viewer_names[i]));
        out[i] = n > 0 && n < INT32_MAX ? n : 0;
    }
}
