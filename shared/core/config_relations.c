#include "base/mem.h"
#include "base/must.h"
#include "base/name.h"
#include "core/config_internal.h"
#include "core/process.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECRET_MIN 16 /* bytes */

/* The error stands where `setting` was given, or `because` if only that was. */
static struct config_place place_of(const struct config_loader *l, const char *setting,
                                    const char *because)
{
    const struct option *first = option_find(setting);
    must(first != NULL);
    struct config_place place = l->places[first - config_options];
    if (place.kind != PLACE_DEFAULT || because == NULL)
        return place;
    const struct option *second = option_find(because);
    must(second != NULL);
    return l->places[second - config_options];
}

static int fill_node_id(struct config_loader *l)
{
    struct config *c = l->config;
    char host[NAME_NODE_MAX + 1] = "";
    if (c->node.id[0] != '\0')
        return 0;
    /* A longer name is an error of gethostname(). */
    if (gethostname(host, sizeof host) != 0 || !name_node_ok(slice_text(host)))
        return config_fail(l, place_of(l, "node.id", NULL), "node.id",
                           "the host name cannot serve as it; give 1 to 64 of A-Z a-z 0-9 . _ -");
    free(c->node.id);
    c->node.id = xstrdup(host);
    return 0;
}

static int fill_window(struct config_loader *l)
{
    struct config *c = l->config;
    int64_t least_ms = (2 * c->hls.window_segments + 2) * c->hls.segment_ms;
    if (c->stream.window_ms == 0)
        c->stream.window_ms = least_ms;
    if (c->stream.window_ms < least_ms)
        return config_fail(l, place_of(l, "stream.window_ms", NULL), "stream.window_ms",
                           "HLS needs (2 * window_segments + 2) * segment_ms = %" PRId64 " ms",
                           least_ms);
    return 0;
}

static int check_cluster(const struct config_loader *l)
{
    const struct config *c = l->config;
    size_t len = strlen(c->cluster.secret);
    if (len > 0 && len < SECRET_MIN)
        return config_fail(l, place_of(l, "cluster.secret", NULL), "cluster.secret",
                           "must be 16 to 256 bytes long");
    if (len == 0 && c->cluster.backend != CLUSTER_NONE)
        return config_fail(l, place_of(l, "cluster.secret", "cluster.backend"), "cluster.secret",
                           "is required unless cluster.backend is none");
    if (c->cluster.lease_ms < 3 * c->cluster.heartbeat_ms)
        return config_fail(l, place_of(l, "cluster.lease_ms", "cluster.heartbeat_ms"),
                           "cluster.lease_ms", "must be at least 3 * cluster.heartbeat_ms");
    if (c->cluster.redis.sentinels.count > 0 && c->cluster.redis.master[0] == '\0')
        return config_fail(l, place_of(l, "cluster.redis.master", "cluster.redis.sentinels"),
                           "cluster.redis.master", "is required with cluster.redis.sentinels");
    if (c->cluster.redis.sentinels.count == 0 && c->cluster.redis.master[0] != '\0')
        return config_fail(l, place_of(l, "cluster.redis.sentinels", "cluster.redis.master"),
                           "cluster.redis.sentinels", "is required with cluster.redis.master");
    return 0;
}

static int check_playout(const struct config_loader *l)
{
    const struct config *c = l->config;
    if (c->webrtc.playout_max_ms > 0 && c->webrtc.playout_min_ms > c->webrtc.playout_max_ms)
        return config_fail(l, place_of(l, "webrtc.playout_min_ms", "webrtc.playout_max_ms"),
                           "webrtc.playout_min_ms", "must not be above webrtc.playout_max_ms");
    return 0;
}

static int check_tls(const struct config_loader *l)
{
    const struct config *c = l->config;
    bool certificate = c->tls.certificate[0] != '\0', key = c->tls.key[0] != '\0';
    if (certificate != key)
        return config_fail(l, place_of(l, "tls.key", "tls.certificate"), "tls.key",
                           "tls.certificate and tls.key belong together");
    if (!certificate && c->rtmp.tls_listen[0] != '\0')
        return config_fail(l, place_of(l, "rtmp.tls_listen", NULL), "rtmp.tls_listen",
                           "needs tls.certificate and tls.key");
    if (!certificate && c->http.tls_listen[0] != '\0')
        return config_fail(l, place_of(l, "http.tls_listen", NULL), "http.tls_listen",
                           "needs tls.certificate and tls.key");
    return 0;
}

static int check_admin(const struct config_loader *l)
{
    const struct config *c = l->config;
    struct listen_address admin;
    must(config_listen_parse(c->admin.listen, &admin) == 0);
    if (!config_listen_is_loopback(&admin) && c->admin.token[0] == '\0')
        return config_fail(l, place_of(l, "admin.token", "admin.listen"), "admin.token",
                           "is required when admin.listen is not a loopback address");
    return 0;
}

static int check_hls(const struct config_loader *l)
{
    const struct config *c = l->config;
    if (c->hls.part_ms >= c->hls.segment_ms)
        return config_fail(l, place_of(l, "hls.part_ms", "hls.segment_ms"), "hls.part_ms",
                           "must be less than hls.segment_ms");
    return 0;
}

int config_relations(struct config_loader *l)
{
    int err = check_hls(l);
    if (err == 0)
        err = fill_window(l);
    if (err == 0)
        err = check_cluster(l);
    if (err == 0)
        err = check_tls(l);
    if (err == 0)
        err = check_playout(l);
    if (err == 0)
        err = check_admin(l);
    if (err == 0)
        err = fill_node_id(l);
    if (err == 0 && l->config->stream.memory_bytes == 0)
        l->config->stream.memory_bytes = process_memory_limit() / 2;
    if (err == 0 && l->config->limits.memory_bytes == 0)
        l->config->limits.memory_bytes = process_memory_limit() / 10 * 9;
    return err;
}
