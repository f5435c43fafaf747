#ifndef SLUICE_CORE_CONFIG_H
#define SLUICE_CORE_CONFIG_H

#include "core/logline.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * The settings of a node: read and checked before the first socket opens, const afterwards (what
 * SIGHUP may change is replaced as a whole).  Durations are milliseconds, sizes bytes.  docs: one
 * row per setting in config_options.c serves YAML, environment, --set, `check` and
 * conf/sluice.yaml.
 */

enum node_role { ROLE_NODE, ROLE_ORIGIN, ROLE_EDGE };
enum cluster_backend_kind { CLUSTER_NONE, CLUSTER_REDIS, CLUSTER_MULTICAST, CLUSTER_STATIC };
enum takeover_policy { TAKEOVER_SAME, TAKEOVER_REJECT, TAKEOVER_REPLACE };
enum auth_play { AUTH_PLAY_OPEN };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

#define MERGE_AUTO   (-1)
#define MERGE_MS_MAX 350 /* auto never merges longer than this */

/* A list setting: `count` terminated strings. */
struct text_list {
    char **items;
    size_t count;
};

/* B slices, which WebRTC players do not play. */
enum bframes_policy { BFRAMES_TRANSCODE, BFRAMES_DROP, BFRAMES_REFUSE };

struct config {
    struct {
        char *id;
        enum node_role role;
        char *zone;
        int64_t workers;
        char *advertise;
        int64_t drain_s;
    } node;
    struct {
        char *listen, *tls_listen;
        int64_t merge_ms; /* MERGE_AUTO, or fixed */
        bool proxy_protocol;
    } rtmp;
    struct {
        char *listen, *tls_listen, *cors_origin;
        bool proxy_protocol;
    } http;
    struct {
        char *certificate, *key;
    } tls;
    struct {
        char *listen, *tcp_listen;
        struct text_list public_addresses, ice_servers;
        int64_t publish_bps_max;                /* 0: none */
        int64_t key_interval_ms;                /* 0: only when somebody needs one */
        int64_t playout_min_ms, playout_max_ms; /* told to players; max 0: nothing is told */
    } webrtc;
    struct {
        enum bframes_policy bframes;
    } transcode;
    struct {
        int64_t segment_ms, part_ms, window_segments;
    } hls;
    struct {
        int64_t window_ms; /* after loading never 0: the default is filled in */
        int64_t window_bytes;
        int64_t idle_pull_ms, wait_ms, publisher_timeout_ms, lost_ms, linger_ms;
        int64_t memory_bytes; /* after loading never 0 */
    } stream;
    struct {
        int64_t behind_ms, stalled_ms, hold_ms, max;
    } viewer;
    struct {
        int64_t connections, connections_per_address, half_open_per_address; /* 0: off */
        int64_t descriptors_reserve, handshake_ms, request_ms, unaccepted_bytes;
        int64_t streams, publishers_per_app;    /* 0: off */
        int64_t derived_sounds, derived_videos; /* 0: by the number of cores */
        int64_t memory_bytes;                   /* after loading never 0 */
        int64_t loop_lag_ms;
        struct text_list trusted;
    } limits;
    struct {
        enum cluster_backend_kind backend;
        char *name, *secret, *listen;
        bool tls, tiers;
        enum takeover_policy takeover;
        int64_t heartbeat_ms, lease_ms;
        struct {
            char *url;
            struct text_list sentinels;
            char *master, *tls_ca;
        } redis;
        struct {
            char *group, *interface;
            int64_t ttl;
        } multicast;
        struct {
            char *listen;
            struct text_list peers;
        } static_peers;
    } cluster;
    struct {
        struct text_list publish_keys;
        enum auth_play play;
    } auth;
    struct {
        char *listen, *token;
    } admin;
    struct {
        char *user; /* empty: see process_leave_root() */
        bool seccomp;
        int64_t watchdog_ms; /* 0: off */
    } process;
    struct {
        enum log_level level;
        enum log_format format;
    } log;
};

/* Why a configuration was refused, ready to print: "FILE:LINE:COLUMN: setting: reason", or with
 * "SLUICE_RTMP_LISTEN" or "--set rtmp.listen" in front.  It never holds a value. */
#define CONFIG_ERROR_MAX 512

/*
 * Defaults, then the file (NULL: none), then SLUICE_… of `environment` (as environ), then `sets`
 * ("key=value"), then the relations between settings.  0, or negative with `error` filled.  The
 * result is freed by config_free.
 */
int config_load(struct config **out, const char *path, char *const *environment, char *const *sets,
                size_t set_count, char error[CONFIG_ERROR_MAX]);
/* The same from YAML text (tests, fuzzing); `name` stands for the file in errors. */
int config_parse(struct config **out, const char *name, const char *text, size_t len,
                 char error[CONFIG_ERROR_MAX]);
void config_free(struct config **cp);

/* Logs config.unknown_variable for every SLUICE_… variable that is no setting: not an error, since
 * Kubernetes makes such.  Once the log has its format. */
void config_log_unknown(char *const *environment, const struct log_id *log);

/* Logs config.unused for settings that the others leave without effect, and config.incomplete for
 * one that is missing where others have no effect without it. */
void config_log_unused(const struct config *c, const struct log_id *log);

/* Makes `next` fit to take the place of `now` in a running node: settings that only a restart can
 * change keep their value, and each that differs is logged (config.kept). */
void config_keep(struct config *next, const struct config *now, const struct log_id *log);

/* Writes conf/sluice.yaml: every setting with its default and its help. */
int config_print_sample(int fd);

/* "HOST:PORT", ":PORT" (all addresses, both families) or "[v6]:PORT"; port 0 is a free one. */
struct listen_address {
    char host[256]; /* empty: all */
    uint16_t port;
};
int config_listen_parse(const char *text, struct listen_address *out);

/* True when the address can only be reached from this machine. */
bool config_listen_is_loopback(const struct listen_address *a);

static inline bool role_ingests(enum node_role r)
{
    return r != ROLE_EDGE;
}
static inline bool role_serves(enum node_role r)
{
    return r != ROLE_ORIGIN;
}

#endif
