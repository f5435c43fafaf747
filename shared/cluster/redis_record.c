#include "cluster/redis_record.h"

#include "base/err.h"
#include "core/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CLUSTER_NAME_MAX 128 /* characters in a key */
#define INSTANCE_DIGITS  16

static bool cluster_name_ok(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if (name[i] <= ' ' || name[i] > '~' || strchr("{}*?[]\\", name[i]) != NULL)
            return false;
    return n > 0 && n <= CLUSTER_NAME_MAX;
}

int redis_keys_init(struct redis_keys *k, const char *cluster_name)
{
    if (!cluster_name_ok(cluster_name))
        return ERR_NAME;
    struct {
        char *dst;
        const char *what;
    } rows[] = {{k->stream, "stream:"},  {k->next, "next:"},   {k->node, "node:"},
                {k->to, "to:"},          {k->nodes, "nodes"},  {k->epoch, "epoch"},
                {k->version, "version"}, {k->events, "events"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        snprintf(rows[i].dst, REDIS_KEY_PREFIX_MAX, "sluice:{%s}:%s", cluster_name, rows[i].what);
    return 0;
}

const char *const redis_owner_fields[] = {"node", "instance", "addr", "epoch", "state", NULL};

bool redis_epoch_parse(struct slice text, uint64_t *out)
{
    return text.len > 0 && slice_u64(text, REDIS_EPOCH_MAX, out) == 0 && *out > 0;
}

bool redis_instance_parse(struct slice text, uint64_t *out)
{
    uint64_t v = 0;
    if (text.len != INSTANCE_DIGITS)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        const char *digits = "0123456789abcdef";
        const char *d = text.p[i] != '\0' ? strchr(digits, text.p[i]) : NULL;
        if (d == NULL)
            return false;
        v = v << 4 | (uint64_t)(d - digits);
    }
    *out = v;
    return true;
}

int64_t redis_next_parse(struct slice text)
{
    uint64_t v;
    if (text.len == 0 || slice_u64(text, INT64_MAX, &v) < 0)
        return CLUSTER_NEXT_NONE;
    return (int64_t)v;
}

bool redis_owner_of(struct slice node, struct slice instance, struct slice addr, struct slice epoch,
                    struct slice state, struct cluster_owner *out)
{
    *out = (struct cluster_owner){.from_directory = true};
    if (!name_node_ok(node) || !redis_instance_parse(instance, &out->instance) ||
        !redis_epoch_parse(epoch, &out->epoch) ||
        !slice_copy(addr, out->address, sizeof out->address))
        return false;
    slice_copy(node, out->node, sizeof out->node);
    out->lost = slice_is(state, "lost");
    out->found = true;
    return true;
}

bool redis_owner_parse(const redisReply *reply, struct cluster_owner *out)
{
    bool ok =
        redis_owner_of(redis_text_at(reply, 0), redis_text_at(reply, 1), redis_text_at(reply, 2),
                       redis_text_at(reply, 3), redis_text_at(reply, 4), out);
    if (!ok)
        *out = (struct cluster_owner){.from_directory = true};
    return ok;
}

/* --- nodes --- */

static struct slice field(const redisReply *reply, const char *name)
{
    for (size_t i = 0; redis_is_array(reply, i + 2); i += 2)
        if (slice_is(redis_text_at(reply, i), name))
            return redis_text_at(reply, i + 1);
    return slice_of(NULL, 0);
}

static int64_t number(struct slice text, int64_t max)
{
    uint64_t v;
    return text.len > 0 && slice_u64(text, (uint64_t)max, &v) == 0 ? (int64_t)v : 0;
}

bool redis_node_parse(const redisReply *reply, struct slice id, struct cluster_node *out)
{
    *out = (struct cluster_node){0};
    if (!name_node_ok(id) || !redis_instance_parse(field(reply, "instance"), &out->instance))
        return false;
    struct {
        const char *name;
        char *dst;
        size_t room;
    } texts[] = {{"addr", out->address, sizeof out->address},
                 {"http", out->http, sizeof out->http},
                 {"role", out->role, sizeof out->role},
                 {"state", out->state, sizeof out->state},
                 {"zone", out->zone, sizeof out->zone},
                 {"version", out->version, sizeof out->version}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        slice_copy(field(reply, texts[i].name), texts[i].dst, texts[i].room);
    slice_copy(id, out->id, sizeof out->id);
    out->streams = number(field(reply, "streams"), INT64_MAX);
    out->viewers = number(field(reply, "viewers"), INT64_MAX);
    out->load_percent = (int)number(field(reply, "load"), 100);
    return true;
}

/* --- events and requests --- */

static struct slice json_slice(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_string(v) ? slice_of(json_string_value(v), json_string_length(v))
                             : slice_of(NULL, 0);
}

static bool kind_of(struct slice t, enum redis_event_kind *out)
{
    static const char *const kinds[] = {[REDIS_EVENT_OWN] = "own",
                                        [REDIS_EVENT_END] = "end",
                                        [REDIS_EVENT_NODE] = "node",
                                        [REDIS_EVENT_DRAIN] = "drain"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!slice_is(t, kinds[i]))
            continue;
        *out = (enum redis_event_kind)i;
        return true;
    }
    return false;
}

static bool is_about_stream(enum redis_event_kind kind)
{
    return kind == REDIS_EVENT_OWN || kind == REDIS_EVENT_END;
}

static bool read_event(const json_t *j, struct redis_event *out)
{
    if (!kind_of(json_slice(j, "t"), &out->kind))
        return false;
    json_int_t v = json_integer_value(json_object_get(j, "v"));
    out->version = v > 0 ? (uint64_t)v : 0;
    if (!is_about_stream(out->kind)) {
        if (name_node_ok(json_slice(j, "node")))
            slice_copy(json_slice(j, "node"), out->owner.node, sizeof out->owner.node);
        return true;
    }
    if (name_stream_of(json_slice(j, "stream"), out->stream) < 0)
        return false;
    bool ok =
        redis_owner_of(json_slice(j, "node"), json_slice(j, "instance"), json_slice(j, "addr"),
                       json_slice(j, "epoch"), slice_of(NULL, 0), &out->owner);
    out->owner.found = out->kind == REDIS_EVENT_OWN;
    return ok;
}

bool redis_event_parse(struct slice text, struct redis_event *out)
{
    *out = (struct redis_event){0};
    json_t *j = json_parse(text);
    if (j == NULL)
        return false;
    bool ok = read_event(j, out);
    json_decref(j);
    return ok;
}

static int print_and_free(json_t *j, struct buf *out)
{
    if (j == NULL)
        return ERR_NOMEM;
    int err = json_print(j, out);
    json_decref(j);
    return err;
}

int redis_event_print(struct buf *out, uint64_t version, const char *t,
                      const struct cluster_self *self)
{
    char instance[INSTANCE_DIGITS + 1];
    snprintf(instance, sizeof instance, "%016" PRIx64, self->instance);
    return print_and_free(json_pack("{s:I,s:s,s:s,s:s,s:s}", "v", (json_int_t)version, "t", t,
                                    "node", self->node, "instance", instance, "addr",
                                    self->relay_address),
                          out);
}

static bool verb_ok(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < 'a' || s.p[i] > 'z')
            return false;
    return s.len > 0 && s.len < REDIS_VERB_MAX;
}

bool redis_request_parse(struct slice text, struct redis_request *out)
{
    *out = (struct redis_request){0};
    json_t *j = json_parse(text);
    if (j == NULL)
        return false;
    struct slice verb = json_slice(j, "verb"), stream = json_slice(j, "stream");
    struct slice from = json_slice(j, "from");
    bool ok = verb_ok(verb) && name_node_ok(from) &&
              (stream.len == 0 || name_stream_of(stream, out->stream) == 0);
    if (ok) {
        slice_copy(verb, out->verb, sizeof out->verb);
        slice_copy(from, out->from, sizeof out->from);
    }
    json_decref(j);
    return ok;
}

int redis_request_print(struct buf *out, const char *verb, const char *stream, const char *from)
{
    return print_and_free(json_pack("{s:s,s:s,s:s}", "verb", verb, "stream", stream, "from", from),
                          out);
}
