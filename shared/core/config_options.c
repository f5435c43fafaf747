#include "base/must.h"
#include "core/config_internal.h"

#include <ctype.h>
#include <string.h>

/* The settings: one row each, in the order of conf/sluice.yaml. */

#define KIB INT64_C(1024)
#define MIB (1024 * KIB)
#define TIB (1024 * 1024 * MIB)

#define SECOND_MS INT64_C(1000)
#define HOUR_MS   (3600 * SECOND_MS)

#define PLAYOUT_MS_MAX 40950 /* 12 bits of 10 ms */

#define OPT_TEXT(name, member, standard, min, max, check, flags, help)                             \
    {                                                                                              \
        name, OPTION_TEXT, offsetof(struct config, member), standard, min, max, NULL, check,       \
            flags, help                                                                            \
    }
#define OPT_BOOL(name, member, standard, flags, help)                                              \
    {                                                                                              \
        name, OPTION_BOOL, offsetof(struct config, member), standard, 0, 1, NULL, NULL, flags,     \
            help                                                                                   \
    }
#define OPT_NUMBER(type, name, member, standard, min, max, flags, help)                            \
    {                                                                                              \
        name, type, offsetof(struct config, member), standard, min, max, NULL, NULL, flags, help   \
    }
#define OPT_ENUM(name, member, standard, words, flags, help)                                       \
    {                                                                                              \
        name, OPTION_ENUM, offsetof(struct config, member), standard, 0, 0, words, NULL, flags,    \
            help                                                                                   \
    }
#define OPT_LIST(name, member, max, check, flags, help)                                            \
    {                                                                                              \
        name, OPTION_LIST, offsetof(struct config, member), NULL, 0, max, NULL, check, flags, help \
    }

static const char *const roles[] = {"node", "origin", "edge", NULL};
static const char *const backends[] = {"none", "redis", "multicast", "static", NULL};
static const char *const takeovers[] = {"same", "reject", "replace", NULL};
static const char *const plays[] = {"open", NULL};
static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const formats[] = {"text", "json", NULL};
static const char *const bframes[] = {"transcode", "drop", "refuse", NULL};
static const char *const automatic[] = {"auto", NULL};

const struct option config_options[] = {
    OPT_TEXT("node.id", node.id, "", 0, 64, check_word_or_empty, 0,
             "unique in the cluster; empty: the host name"),
    OPT_ENUM("node.role", node.role, "node", roles, 0, "node is origin and edge in one"),
    OPT_TEXT("node.zone", node.zone, "", 0, 64, check_word_or_empty, 0,
             "edges prefer upstreams of their own zone"),
    OPT_NUMBER(OPTION_INT, "node.workers", node.workers, "0", 0, 256, 0,
               "worker threads; 0: one per core"),
    OPT_TEXT(
        "node.advertise", node.advertise, "", 0, 255, check_host_or_empty, 0,
        "host name or address by which others reach this node; empty: the local address of the "
        "route to Redis or to the first peer"),
    OPT_NUMBER(OPTION_INT, "node.drain_s", node.drain_s, "30", 0, 3600, 0,
               "seconds from SIGTERM until connections are cut"),

    OPT_TEXT("rtmp.listen", rtmp.listen, ":1935", 1, 300, check_listen, 0,
             "RTMP: HOST:PORT, :PORT for all addresses, port 0 for a free one"),
    OPT_TEXT("rtmp.tls_listen", rtmp.tls_listen, "", 0, 300, check_listen_or_empty, 0,
             "RTMPS; empty: none"),
    {"rtmp.merge_ms", OPTION_MS, offsetof(struct config, rtmp.merge_ms), "auto", 0, 10 * SECOND_MS,
     automatic, NULL, 0,
     "wait this long to send several frames in one write; 0: latency first; auto: 0 when idle, up "
     "to 350 under load"},
    OPT_BOOL("rtmp.proxy_protocol", rtmp.proxy_protocol, "false", 0,
             "expect PROXY v1/v2 from an L4 balancer"),

    OPT_TEXT("http.listen", http.listen, ":8080", 1, 300, check_listen, 0,
             "HLS, HTTP-FLV, WHIP, WHEP, API and console; HTTP/2 with prior knowledge"),
    OPT_TEXT("http.tls_listen", http.tls_listen, "", 0, 300, check_listen_or_empty, 0,
             "HTTPS, HTTP/2 by ALPN; empty: none"),
    OPT_TEXT("http.cors_origin", http.cors_origin, "*", 0, 255, check_visible, 0,
             "Access-Control-Allow-Origin of media and playlists; empty: none"),
    OPT_BOOL("http.proxy_protocol", http.proxy_protocol, "false", 0,
             "expect PROXY v1/v2 from an L4 balancer"),

    OPT_TEXT("tls.certificate", tls.certificate, "", 0, 4095, NULL, OPTION_RELOAD,
             "PEM file with the certificate and its chain; Redis is shown it too, when it asks"),
    OPT_TEXT("tls.key", tls.key, "", 0, 4095, NULL, OPTION_RELOAD, "PEM file with the private key"),

    OPT_TEXT("webrtc.listen", webrtc.listen, ":8000", 0, 300, check_listen_or_empty, 0,
             "UDP; worker n uses port + n; port 0: free ports; empty: no WebRTC"),
    OPT_TEXT("webrtc.tcp_listen", webrtc.tcp_listen, "", 0, 300, check_listen_or_empty, 0,
             "ICE-TCP (passive), worker n at port + n as well; empty: none"),
    OPT_LIST("webrtc.public_addresses", webrtc.public_addresses, 8, check_ip, 0,
             "candidates to offer when the node sits behind 1:1 NAT"),
    OPT_NUMBER(OPTION_INT, "webrtc.publish_bps_max", webrtc.publish_bps_max, "20000000", 0,
               1000000000, 0,
               "the most that WHIP publishers are asked to send (REMB); 0: as much as they like"),
    OPT_NUMBER(OPTION_MS, "webrtc.key_interval_ms", webrtc.key_interval_ms, "2000", 0,
               60 * SECOND_MS, 0,
               "WHIP publishers are asked for a key frame this long after the last; 0: only when a "
               "viewer needs one, which makes HLS segments long and joins by RTMP slow"),
    OPT_LIST("webrtc.ice_servers", webrtc.ice_servers, 4, check_ice_server, 0,
             "told to WHIP and WHEP clients: stun:HOST:PORT, or turn:HOST:PORT USER PASSWORD"),
    OPT_NUMBER(OPTION_MS, "webrtc.playout_min_ms", webrtc.playout_min_ms, "100", 0, PLAYOUT_MS_MAX,
               0,
               "the least that WHEP players hold pictures back which have sound, if they know the "
               "header extension playout-delay: browsers hold sound about so long, and pictures "
               "would be ahead of it"),
    OPT_NUMBER(OPTION_MS, "webrtc.playout_max_ms", webrtc.playout_max_ms, "40950", 0,
               PLAYOUT_MS_MAX, 0, "the most; 0: they are told neither, and adapt"),

    OPT_ENUM("transcode.bframes", transcode.bframes, "transcode", bframes, 0,
             "H.264 with B-frames, which WHEP players do not play: transcode makes it anew "
             "without them, once per stream; drop leaves them out; refuse answers 422"),

    OPT_NUMBER(OPTION_MS, "hls.segment_ms", hls.segment_ms, "2000", 1000, 60 * SECOND_MS, 0,
               "a segment ends at the first key frame from here on, at twice this without one; "
               "the owner's setting counts for the whole cluster"),
    OPT_NUMBER(OPTION_MS, "hls.part_ms", hls.part_ms, "200", 50, 5 * SECOND_MS, 0,
               "length of a part (low latency)"),
    OPT_NUMBER(
        OPTION_INT, "hls.window_segments", hls.window_segments, "6", 3, 1000, 0,
        "segments in a playlist; delta updates are offered when it is longer than 12 segment_ms"),

    OPT_NUMBER(OPTION_MS, "stream.window_ms", stream.window_ms, "0", 0, 24 * HOUR_MS, 0,
               "how much of each stream is kept; 0: what HLS needs, (2 * window_segments + 2) * "
               "segment_ms; less is refused"),
    OPT_NUMBER(OPTION_BYTES, "stream.window_bytes", stream.window_bytes, "67108864", 64 * KIB, TIB,
               0, "the same in bytes"),
    OPT_NUMBER(OPTION_MS, "stream.idle_pull_ms", stream.idle_pull_ms, "10000", 0, HOUR_MS, 0,
               "an edge keeps a pull this long after its last viewer"),
    OPT_NUMBER(OPTION_MS, "stream.wait_ms", stream.wait_ms, "3000", 0, 60 * SECOND_MS, 0,
               "how long a viewer may wait for a stream that is not there yet"),
    OPT_NUMBER(OPTION_MS, "stream.publisher_timeout_ms", stream.publisher_timeout_ms, "5000", 500,
               HOUR_MS, 0, "no media for this long: the transport is given up"),
    OPT_NUMBER(OPTION_MS, "stream.lost_ms", stream.lost_ms, "10000", 0, HOUR_MS, 0,
               "a publisher whose transport was lost may come back this long"),
    OPT_NUMBER(OPTION_MS, "stream.linger_ms", stream.linger_ms, "10000", 0, HOUR_MS, 0,
               "after a clean end: until HLS gets ENDLIST and the run may go"),
    OPT_NUMBER(OPTION_BYTES, "stream.memory_bytes", stream.memory_bytes, "0", 0, 64 * TIB, 0,
               "all streams of this node; 0: half of the machine's memory"),

    OPT_NUMBER(OPTION_MS, "viewer.behind_ms", viewer.behind_ms, "3000", 200, 60 * SECOND_MS, 0,
               "a viewer further behind skips to a newer key frame"),
    OPT_NUMBER(OPTION_MS, "viewer.stalled_ms", viewer.stalled_ms, "15000", 500, HOUR_MS, 0,
               "a viewer that takes nothing for this long is closed"),
    OPT_NUMBER(OPTION_MS, "viewer.hold_ms", viewer.hold_ms, "30000", 0, HOUR_MS, 0,
               "viewers of a stream whose owner vanished are kept this long"),
    OPT_NUMBER(OPTION_INT, "viewer.max", viewer.max, "0", 0, 10000000, 0,
               "most viewers of this node; 0: no limit"),

    OPT_NUMBER(OPTION_INT, "limits.connections", limits.connections, "0", 0, 10000000,
               OPTION_RELOAD,
               "connections of this node, its own to other nodes counted; those of nodes and of "
               "admins are not refused; 0: what descriptors allow"),
    OPT_NUMBER(OPTION_INT, "limits.half_open_per_address", limits.half_open_per_address, "64", 0,
               1000000, 0, "connections of one address that have not shown themselves; 0: off"),
    OPT_NUMBER(OPTION_INT, "limits.connections_per_address", limits.connections_per_address, "0", 0,
               1000000, 0, "connections of one address; 0: off"),
    OPT_NUMBER(OPTION_INT, "limits.descriptors_reserve", limits.descriptors_reserve, "64", 0,
               1000000, 0,
               "descriptors kept for node links, Redis and logs; connections may have 95 % of the "
               "others"),
    OPT_NUMBER(OPTION_MS, "limits.handshake_ms", limits.handshake_ms, "5000", 100, 60 * SECOND_MS,
               OPTION_RELOAD,
               "for the PROXY header, the TLS handshake and the RTMP handshake, each"),
    OPT_NUMBER(OPTION_MS, "limits.request_ms", limits.request_ms, "10000", 100, 60 * SECOND_MS, 0,
               "for a whole HTTP request, and from the RTMP handshake to publish or play"),
    OPT_NUMBER(OPTION_BYTES, "limits.unaccepted_bytes", limits.unaccepted_bytes, "262144", 16 * KIB,
               64 * MIB, OPTION_RELOAD,
               "what an RTMP client may send before its publish or play is accepted"),
    OPT_NUMBER(OPTION_INT, "limits.streams", limits.streams, "10000", 0, 10000000, OPTION_RELOAD,
               "streams published to this node or pulled by it; 0: off"),
    OPT_NUMBER(OPTION_INT, "limits.publishers_per_app", limits.publishers_per_app, "0", 0, 10000000,
               OPTION_RELOAD, "streams published to this node in one APP; 0: off"),
    OPT_NUMBER(OPTION_INT, "limits.derived_sounds", limits.derived_sounds, "0", 0, 1000000,
               OPTION_RELOAD,
               "streams whose sound is made anew at once (Opus for WHEP, AAC for plain players); "
               "others have none meanwhile; 0: 64 for each two cores"),
    OPT_NUMBER(OPTION_INT, "limits.derived_videos", limits.derived_videos, "0", 0, 1000000,
               OPTION_RELOAD,
               "streams whose video is made anew at once (transcode.bframes); others go on "
               "without their B-frames; 0: 4 for each two cores"),
    OPT_NUMBER(OPTION_BYTES, "limits.memory_bytes", limits.memory_bytes, "0", 0, 64 * TIB,
               OPTION_RELOAD,
               "of the process; from 85 % on new viewers are refused and logs shrink, from 95 % on "
               "new streams are refused and slow viewers let go; 0: 90 % of the machine's memory"),
    OPT_NUMBER(OPTION_INT, "limits.loop_lag_ms", limits.loop_lag_ms, "50", 0, 10000, OPTION_RELOAD,
               "no new viewers on a worker whose handlers come later than this; 0: off"),
    OPT_LIST("limits.trusted", limits.trusted, 1024, check_prefix, OPTION_RELOAD,
             "addresses and prefixes (10.0.0.0/8) that are not counted, as loopback is not"),

    OPT_ENUM("cluster.backend", cluster.backend, "none", backends, 0,
             "how nodes find each other and their streams"),
    OPT_TEXT("cluster.name", cluster.name, "default", 1, 64, check_word, 0,
             "clusters of different names do not see each other"),
    OPT_TEXT("cluster.secret", cluster.secret, "", 0, 256, NULL, 0,
             "16 to 256 bytes, the same on all nodes; required unless backend is none"),
    OPT_TEXT("cluster.listen", cluster.listen, ":7000", 1, 300, check_listen, 0,
             "relay and requests between nodes (TCP)"),
    OPT_BOOL("cluster.tls", cluster.tls, "false", 0,
             "TLS 1.3 between nodes, keyed by cluster.secret; the same on all nodes"),
    OPT_ENUM("cluster.takeover", cluster.takeover, "same", takeovers, 0,
             "who may displace a live publisher"),
    OPT_BOOL("cluster.tiers", cluster.tiers, "false", 0,
             "edges take a stream of another zone from an edge of their own zone that has it"),
    OPT_NUMBER(OPTION_MS, "cluster.heartbeat_ms", cluster.heartbeat_ms, "2000", 50, 60 * SECOND_MS,
               0, "a node and its streams are renewed this often"),
    OPT_NUMBER(OPTION_MS, "cluster.lease_ms", cluster.lease_ms, "10000", 150, HOUR_MS, 0,
               "and forgotten this long after the last renewal; at least 3 heartbeats"),
    OPT_TEXT("cluster.redis.url", cluster.redis.url, "redis://127.0.0.1:6379/0", 1, 1024,
             check_redis_url, 0, "TLS by rediss://, ACL by user:password@"),
    OPT_LIST(
        "cluster.redis.sentinels", cluster.redis.sentinels, 16, check_peer, 0,
        "HOST:PORT of Redis Sentinels, which say where the master is; the URL's user, password "
        "and database are for the master"),
    OPT_TEXT("cluster.redis.master", cluster.redis.master, "", 0, 128, check_visible, 0,
             "the name by which Sentinels know the master"),
    OPT_TEXT(
        "cluster.redis.tls_ca", cluster.redis.tls_ca, "", 0, 4095, NULL, 0,
        "PEM file of the authority that Redis' certificate must come from; empty: the system's"),
    OPT_TEXT("cluster.multicast.group", cluster.multicast.group, "239.255.77.77:7946", 1, 300,
             check_group, 0, "address and port of the group"),
    OPT_TEXT("cluster.multicast.interface", cluster.multicast.interface, "", 0, 15, check_visible,
             0, "network interface; empty: the system's choice"),
    OPT_NUMBER(OPTION_INT, "cluster.multicast.ttl", cluster.multicast.ttl, "1", 0, 255, 0,
               "routers that datagrams may pass, plus one"),
    OPT_TEXT(
        "cluster.static.listen", cluster.static_peers.listen, ":7946", 1, 300, check_listen, 0,
        "UDP port of what nodes tell each other (the backend static, or redis with static peers)"),
    OPT_LIST("cluster.static.peers", cluster.static_peers.peers, 256, check_peer, 0,
             "HOST:PORT of some other nodes; a name stands for all its addresses; with the backend "
             "redis, where to look while Redis is away"),

    OPT_LIST("auth.publish_keys", auth.publish_keys, 1024, check_visible, OPTION_RELOAD,
             "?token=KEY (RTMP) or Bearer KEY (WHIP) is required; empty: anyone may publish"),
    OPT_ENUM("auth.play", auth.play, "open", plays, OPTION_RELOAD, "who may play"),

    OPT_TEXT("admin.listen", admin.listen, "127.0.0.1:8090", 1, 300, check_listen, 0,
             "API that changes things, /metrics and health; a token is required on anything but "
             "loopback"),
    OPT_TEXT("admin.token", admin.token, "", 0, 256, check_visible, 0,
             "Bearer token of the admin port"),

    OPT_TEXT("process.user", process.user, "", 0, 32, check_word_or_empty, 0,
             "a node that root starts goes on as this user once its ports are open; empty: sluice, "
             "or nobody where there is no such user; root: it stays root"),
    OPT_BOOL("process.seccomp", process.seccomp, "true", 0,
             "the kernel refuses system calls that a media server has no use for, and ends the "
             "process at execve, ptrace and their like"),
    OPT_NUMBER(OPTION_MS, "process.watchdog_ms", process.watchdog_ms, "2000", 0, HOUR_MS, 0,
               "a worker whose handler does not come back for this long ends the process with a "
               "backtrace; 0: never"),

    OPT_ENUM("log.level", log.level, "info", levels, OPTION_RELOAD, "what is written"),
    OPT_ENUM("log.format", log.format, "text", formats, 0, "lines or JSON objects"),
};

const size_t config_option_count = sizeof config_options / sizeof config_options[0];

const struct option *option_find(const char *name)
{
    for (size_t i = 0; i < config_option_count; i++)
        if (strcmp(config_options[i].name, name) == 0)
            return &config_options[i];
    return NULL;
}

bool option_is_section(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < config_option_count; i++)
        if (strncmp(config_options[i].name, name, len) == 0 && config_options[i].name[len] == '.')
            return true;
    return false;
}

void option_environment_name(const struct option *o, char out[OPTION_NAME_MAX + 8])
{
    static const char prefix[] = "SLUICE_";
    size_t n = sizeof prefix - 1;
    must(strlen(o->name) <= OPTION_NAME_MAX);
    memcpy(out, prefix, n);
    for (const char *p = o->name; *p != '\0'; p++)
        out[n++] = *p == '.' ? '_' : (char)toupper((unsigned char)*p);
    out[n] = '\0';
}

/* Levenshtein's distance, by rows. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[OPTION_NAME_MAX + 1], len = strlen(b);
    for (size_t j = 0; j <= len; j++)
        row[j] = j;
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 1; j <= len; j++) {
            size_t cost = diagonal + (a[i] != b[j - 1]);
            diagonal = row[j];
            size_t gap = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = cost < gap ? cost : gap;
        }
    }
    return row[len];
}

const char *option_suggest(const char *name)
{
    size_t best = 3; /* one more than two slips */
    const char *found = NULL;
    if (strlen(name) > OPTION_NAME_MAX)
        return NULL;
    for (size_t i = 0; i < config_option_count; i++) {
        size_t distance = edit_distance(name, config_options[i].name);
        if (distance < best) {
            best = distance;
            found = config_options[i].name;
        }
    }
    return found;
}
