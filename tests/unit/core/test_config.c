#include "test.h"

#include "capture.h"
#include "core/config.h"

#include <stdio.h>
#include <string.h>

static const struct log_id test_log = {"test", -1, 0};

static struct config *parsed(const char *text)
{
    struct config *c = NULL;
    char error[CONFIG_ERROR_MAX];
    if (config_parse(&c, "test.yaml", text, strlen(text), error) != 0)
        fail_msg("%s", error);
    return c;
}

static void assert_refused(const char *text, const char *want)
{
    struct config *c = NULL;
    char error[CONFIG_ERROR_MAX];
    if (config_parse(&c, "f", text, strlen(text), error) == 0)
        fail_msg("accepted: %s", text);
    assert_null(c);
    assert_string_equal(error, want);
}

static void test_defaults(void **state)
{
    struct config *c = parsed("");
    assert_true(strlen(c->node.id) > 0);
    assert_int_equal(c->node.role, ROLE_NODE);
    assert_int_equal(c->node.drain_s, 30);
    assert_string_equal(c->rtmp.listen, ":1935");
    assert_int_equal(c->rtmp.merge_ms, MERGE_AUTO);
    assert_string_equal(c->http.cors_origin, "*");
    assert_false(c->http.proxy_protocol);
    assert_int_equal(c->hls.window_segments, 6);
    assert_int_equal(c->stream.window_ms, 14 * 2000);
    assert_int_equal(c->stream.window_bytes, 67108864);
    assert_true(c->stream.memory_bytes > 1 << 20);
    assert_int_equal(c->viewer.hold_ms, 30000);
    assert_int_equal(c->limits.half_open_per_address, 64);
    assert_int_equal(c->cluster.backend, CLUSTER_NONE);
    assert_string_equal(c->cluster.redis.url, "redis://127.0.0.1:6379/0");
    assert_string_equal(c->cluster.static_peers.listen, ":7946");
    assert_int_equal(c->auth.publish_keys.count, 0);
    assert_string_equal(c->admin.listen, "127.0.0.1:8090");
    assert_int_equal(c->log.level, LOG_INFO);
    config_free(&c);
    assert_null(c);
}

static void test_values(void **state)
{
    struct config *c = parsed("node: { id: o-1.x, role: origin, workers: 3 }\n"
                              "rtmp:\n"
                              "  listen: 127.0.0.1:0\n"
                              "  merge_ms: 500\n"
                              "  proxy_protocol: true\n"
                              "http:\n"
                              "hls: { segment_ms: 4000 }\n"
                              "limits: { trusted: [10.0.0.0/8, \"fd00::/8\", 192.0.2.1] }\n"
                              "cluster:\n"
                              "  backend: redis\n"
                              "  secret: 'sixteen bytes 16'\n"
                              "  takeover: replace\n"
                              "  static: { peers: [\"10.0.10.227:7946\", '[fd00::1]:7946'] }\n"
                              "auth: { publish_keys: [1234, k2] }\n"
                              "log: { level: debug, format: \"json\" }\n");
    assert_string_equal(c->node.id, "o-1.x");
    assert_int_equal(c->node.role, ROLE_ORIGIN);
    assert_int_equal(c->node.workers, 3);
    assert_string_equal(c->rtmp.listen, "127.0.0.1:0");
    assert_int_equal(c->rtmp.merge_ms, 500);
    assert_true(c->rtmp.proxy_protocol);
    assert_int_equal(c->stream.window_ms, 14 * 4000);
    assert_int_equal(c->limits.trusted.count, 3);
    assert_string_equal(c->limits.trusted.items[1], "fd00::/8");
    assert_int_equal(c->cluster.backend, CLUSTER_REDIS);
    assert_int_equal(c->cluster.takeover, TAKEOVER_REPLACE);
    assert_int_equal(c->cluster.static_peers.peers.count, 2);
    assert_string_equal(c->auth.publish_keys.items[0], "1234");
    assert_int_equal(c->log.level, LOG_DEBUG);
    assert_int_equal(c->log.format, LOG_FORMAT_JSON);
    config_free(&c);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"rtmp:\n  lisen: 1\n", "f:2:3: rtmp.lisen: unknown setting; did you mean rtmp.listen?"},
        {"rtpm: { listen: ':1' }", "f:1:1: rtpm: unknown setting"},
        {"quite_something: 1", "f:1:1: quite_something: unknown setting"},
        {"rtmp.listen: ':1'", "f:1:1: rtmp.listen: must be written in its section"},
        {"rtmp: { listen: ':1', listen: ':2' }", "f:1:23: rtmp.listen: is given twice"},
        {"rtmp: {}\nrtmp: {}\n", "f:2:1: rtmp: is given twice"},
        {"rtmp: 5", "f:1:7: rtmp: must be a section of settings"},
        {"rtmp: [a]", "f:1:7: rtmp: must be a section of settings"},
        {"rtmp: { listen: }", "f:1:17: rtmp.listen: has no value (an empty text is \"\")"},
        {"rtmp: { listen: ~ }", "f:1:17: rtmp.listen: has no value (an empty text is \"\")"},
        {"rtmp: { listen: [a] }", "f:1:17: rtmp.listen: must be a single value"},
        {"rtmp: { listen: \"\" }", "f:1:17: rtmp.listen: must be 1 to 300 bytes long"},
        {"rtmp: { listen: host }", "f:1:17: rtmp.listen: must be HOST:PORT, :PORT or [IPv6]:PORT"},
        {"rtmp: { listen: \"a\\nb:1\" }", "f:1:17: rtmp.listen: must not hold control characters"},
        {"rtmp: { merge_ms: 10001 }", "f:1:19: rtmp.merge_ms: must be 0 to 10000 ms"},
        {"rtmp: { merge_ms: never }", "f:1:19: rtmp.merge_ms: must be a whole number or auto"},
        {"rtmp: { proxy_protocol: yes }", "f:1:25: rtmp.proxy_protocol: must be true or false"},
        {"rtmp: { proxy_protocol: \"true\" }",
         "f:1:25: rtmp.proxy_protocol: must be true or false"},
        {"node: { workers: -1 }", "f:1:18: node.workers: must be a whole number"},
        {"node: { workers: \"1\" }", "f:1:18: node.workers: must be a whole number"},
        {"node: { workers: 257 }", "f:1:18: node.workers: must be 0 to 256"},
        {"node: { workers: 99999999999999999999 }", "f:1:18: node.workers: must be 0 to 256"},
        {"node: { role: king }", "f:1:15: node.role: must be one of node origin edge"},
        {"node: { id: \"a b\" }", "f:1:13: node.id: must be 1 to 64 of A-Z a-z 0-9 . _ -"},
        {"stream: { window_bytes: 1 }",
         "f:1:25: stream.window_bytes: must be 65536 to 1099511627776 bytes"},
        {"limits: { trusted: 10.0.0.1 }", "f:1:20: limits.trusted: must be a list: [\"…\", \"…\"]"},
        {"limits: { trusted: { a: b } }", "f:1:20: limits.trusted: must be a list"},
        {"limits: { trusted: [10.0.0.0/33] }",
         "f:1:21: limits.trusted: must be an address, or ADDRESS/BITS"},
        {"limits: { trusted: [[1]] }", "f:1:21: limits.trusted: must be a list of texts"},
        {"cluster: { static: { peers: [':7946'] } }",
         "f:1:30: cluster.static.peers: must be HOST:PORT or [IPv6]:PORT"},
        {"cluster: { multicast: { group: '10.0.0.1:7946' } }",
         "f:1:32: cluster.multicast.group: must be a multicast address (224.0.0.0/4 or ff00::/8)"},
        {"cluster: { redis: { url: 'http://x' } }",
         "f:1:26: cluster.redis.url: must be redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], or "
         "rediss:// for TLS"},
        {"cluster: { redis: { url: 'redis://h:99999/0' } }",
         "f:1:26: cluster.redis.url: must be redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], or "
         "rediss:// for TLS"},
        {"- a", "f:1:1: YAML: must be sections of settings"},
        {"? [a]\n: b", "f:1:3: YAML: a name must be a text"},
        {"{}\n--- {}\n", "f:2:5: YAML: must be one document, not several"},
        {"a: b: c", "f:1:5: YAML: mapping values are not allowed in this context"},
        {"a: \xff", "f:1:4: YAML: invalid leading UTF-8 octet"},
        {"node: &a { node: *a }", "f:1:12: node.node: unknown setting; did you mean node.role?"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_refused(cases[i].text, cases[i].want);
}

static void test_relations(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"cluster: { backend: redis }",
         "f:1:21: cluster.secret: is required unless cluster.backend is none"},
        {"cluster: { secret: short }", "f:1:20: cluster.secret: must be 16 to 256 bytes long"},
        {"cluster: { heartbeat_ms: 4000 }",
         "f:1:26: cluster.lease_ms: must be at least 3 * cluster.heartbeat_ms"},
        {"cluster: { redis: { sentinels: ['a:1'] } }",
         "f:1:32: cluster.redis.master: is required with cluster.redis.sentinels"},
        {"cluster: { redis: { master: m } }",
         "f:1:29: cluster.redis.sentinels: is required with cluster.redis.master"},
        {"webrtc: { playout_min_ms: 200, playout_max_ms: 150 }",
         "f:1:27: webrtc.playout_min_ms: must not be above webrtc.playout_max_ms"},
        {"admin: { listen: ':8090' }",
         "f:1:18: admin.token: is required when admin.listen is not a loopback address"},
        {"stream: { window_ms: 27999 }",
         "f:1:22: stream.window_ms: HLS needs (2 * window_segments + 2) * segment_ms = 28000 ms"},
        {"hls: { part_ms: 2000 }", "f:1:17: hls.part_ms: must be less than hls.segment_ms"},
        {"tls: { key: a.pem }", "f:1:13: tls.key: tls.certificate and tls.key belong together"},
        {"rtmp: { tls_listen: ':1936' }",
         "f:1:21: rtmp.tls_listen: needs tls.certificate and tls.key"},
    };
    static const char *const accepted[] = {
        "admin: { listen: ':8090', token: t }",
        "admin: { listen: '[::1]:8090' }",
        "admin: { listen: 'localhost:0' }",
        "stream: { window_ms: 28000 }",
        "cluster: { backend: static, secret: 0123456789abcdef }",
        "cluster: { backend: multicast, secret: 0123456789abcdef }",
        "cluster: { heartbeat_ms: 4000, lease_ms: 12000 }",
        "webrtc: { playout_max_ms: 0 }",
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_refused(cases[i].text, cases[i].want);
    for (size_t i = 0; i < COUNT_OF(accepted); i++) {
        struct config *c = parsed(accepted[i]);
        config_free(&c);
    }
}

/* Whatever is wrong with them, what was written for secrets is not repeated. */
static void test_errors_hold_no_secret(void **state)
{
    static const char *const texts[] = {
        "cluster: { secret: hunter2 }",        "cluster: { secret: [hunter2] }",
        "cluster: { secret: \"hunter2\\n\" }", "cluster: { secret:hunter2 }",
        "cluster: { secret:hunter2: 1 }",      "cluster: secret=hunter2",
        "cluster:\n  secret: hunter2: x\n",    "cluster: { redis: { url: \"user:hunter2@host\" } }",
        "admin: { token: \"hunter2 x\" }",     "auth: { publish_keys: [\"hunter2 x\"] }",
        "auth: { publish_keys: hunter2 }",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct config *c = NULL;
        char error[CONFIG_ERROR_MAX];
        if (config_parse(&c, "f", texts[i], strlen(texts[i]), error) == 0)
            fail_msg("accepted: %s", texts[i]);
        if (strstr(error, "hunter2") != NULL)
            fail_msg("%s -> %s", texts[i], error);
    }
}

/* A file on disk, for config_load(). */
static const char *write_file(char path[64], const char *text)
{
    snprintf(path, 64, "/tmp/sluice-test-config-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (int)strlen(text));
    close(fd);
    return path;
}

static int load(struct config **c, const char *path, const char *variable, const char *set,
                char error[CONFIG_ERROR_MAX])
{
    char text[2][128] = {"PATH=/bin", ""};
    char *environment[] = {text[0], variable != NULL ? text[1] : NULL, NULL};
    char set_text[128];
    char *sets[] = {set_text};
    snprintf(text[1], sizeof text[1], "%s", variable != NULL ? variable : "");
    snprintf(set_text, sizeof set_text, "%s", set != NULL ? set : "");
    return config_load(c, path, environment, sets, set != NULL, error);
}

static void test_later_wins(void **state)
{
    struct config *c = NULL;
    char path[64], error[CONFIG_ERROR_MAX];
    write_file(path, "rtmp: { listen: ':1' }\nhttp: { listen: ':2' }\nnode: { drain_s: 3 }\n");
    assert_int_equal(load(&c, path, "SLUICE_HTTP_LISTEN=:20", "node.drain_s=4", error), 0);
    assert_string_equal(c->rtmp.listen, ":1");
    assert_string_equal(c->http.listen, ":20");
    assert_int_equal(c->node.drain_s, 4);
    config_free(&c);
    assert_int_equal(load(&c, path, "SLUICE_RTMP_LISTEN=:10", "rtmp.listen=:100", error), 0);
    assert_string_equal(c->rtmp.listen, ":100");
    config_free(&c);
    unlink(path);
}

static void test_sources(void **state)
{
    static const struct {
        const char *variable, *set, *want;
    } cases[] = {
        {"SLUICE_RTMP_LISTEN=x", NULL,
         "SLUICE_RTMP_LISTEN: must be HOST:PORT, :PORT or [IPv6]:PORT"},
        {"SLUICE_NODE_WORKERS=many", NULL, "SLUICE_NODE_WORKERS: must be a whole number"},
        {"SLUICE_CLUSTER_BACKEND=redis", NULL,
         "SLUICE_CLUSTER_BACKEND: cluster.secret: is required unless cluster.backend is none"},
        {NULL, "rtmp.listen=x", "--set rtmp.listen: must be HOST:PORT, :PORT or [IPv6]:PORT"},
        {NULL, "rtmp.lissen=:1", "--set rtmp.lissen: unknown setting; did you mean rtmp.listen?"},
        {NULL, "rtmp=:1", "--set rtmp: unknown setting"},
        {NULL, "rtmp.listen", "--set KEY=VALUE: is wanted"},
        {NULL, "node.workers=[1", "--set node.workers: is not a YAML scalar or flow list"},
        {NULL, "node.workers=", "--set node.workers: has no value"},
        {NULL, "cluster.static.peers=a:1",
         "--set cluster.static.peers: must be a list: [\"…\", \"…\"]"},
        {NULL, "cluster.static.peers=[a]",
         "--set cluster.static.peers: must be HOST:PORT or [IPv6]:PORT"},
        {NULL, "hls.part_ms=2000", "--set hls.part_ms: must be less than hls.segment_ms"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct config *c = NULL;
        char error[CONFIG_ERROR_MAX];
        assert_true(load(&c, NULL, cases[i].variable, cases[i].set, error) < 0);
        assert_null(c);
        assert_string_equal(error, cases[i].want);
    }
}

static void test_values_of_set(void **state)
{
    struct config *c = NULL;
    char error[CONFIG_ERROR_MAX];
    assert_int_equal(load(&c, NULL, NULL, "cluster.static.peers=[\"10.0.0.1:7946\", 'b:1']", error),
                     0);
    assert_int_equal(c->cluster.static_peers.peers.count, 2);
    assert_string_equal(c->cluster.static_peers.peers.items[0], "10.0.0.1:7946");
    config_free(&c);
    assert_int_equal(load(&c, NULL, NULL, "rtmp.listen=[::1]:1935", error), 0);
    assert_string_equal(c->rtmp.listen, "[::1]:1935");
    config_free(&c);
    assert_int_equal(load(&c, NULL, NULL, "http.cors_origin=*", error), 0);
    assert_string_equal(c->http.cors_origin, "*");
    config_free(&c);
    assert_int_equal(load(&c, NULL, "SLUICE_NODE_ZONE=", "node.id=\"n1\"", error), 0);
    assert_string_equal(c->node.id, "n1");
    config_free(&c);
}

static void test_unknown_variable_is_a_warning(void **state)
{
    char path[] = "PATH=/bin", id[] = "SLUICE_NODE_ID=n1";
    char port[] = "SLUICE_PORT_1935_TCP=tcp://10.0.0.1:1935";
    char *const variables[] = {path, id, port, NULL};
    const struct log_id log = {"config", -1, 0};
    struct config *c = NULL;
    struct capture out;
    char error[CONFIG_ERROR_MAX];
    assert_int_equal(load(&c, NULL, "SLUICE_PORT_1935_TCP=tcp://10.0.0.1:1935", NULL, error), 0);
    capture_begin(&out);
    config_log_unknown(variables, &log);
    const char *line = capture_end(&out);
    const char *found = strstr(line, " warn config config.unknown_variable ");
    assert_non_null(found);
    assert_string_equal(strchr(found, '='), "=SLUICE_PORT_1935_TCP\n");
    config_free(&c);
}

static void test_file_that_cannot_be_read(void **state)
{
    struct config *c = NULL;
    char error[CONFIG_ERROR_MAX];
    assert_true(load(&c, "/nowhere/sluice.yaml", NULL, NULL, error) < 0);
    assert_string_equal(error, "/nowhere/sluice.yaml: No such file or directory");
    assert_true(load(&c, "/tmp", NULL, NULL, error) < 0);
    assert_string_equal(error, "/tmp: cannot be read");
}

static void test_unused_settings_are_told(void **state)
{
    struct capture out;
    struct config *c = parsed("rtmp: { merge_ms: 0 }\ncluster: { static: { peers: ['a:1'] } }\n");
    capture_begin(&out);
    config_log_unused(c, &test_log);
    const char *text = capture_end(&out);
    assert_non_null(strstr(text, " warn test config.unused setting=cluster.static.peers\n"));
    assert_null(strstr(text, "setting=rtmp.merge_ms"));
    config_free(&c);

    c = parsed("");
    capture_begin(&out);
    config_log_unused(c, &test_log);
    assert_string_equal(capture_end(&out), "");
    config_free(&c);
}

static void test_settings_without_effect_are_told(void **state)
{
    static const struct {
        const char *yaml, *setting;
    } table[] = {
        {"cluster: { backend: static, secret: 0123456789abcdef }", "cluster.static.peers"},
        {"cluster: { backend: redis, secret: 0123456789abcdef, tiers: true }", "node.zone"},
        {"cluster: { tiers: true }", "cluster.backend"},
        {"cluster: { tls: true }", "cluster.backend"},
        {"webrtc: { listen: '', tcp_listen: ':8000' }", "webrtc.listen"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct capture out;
        char wanted[100];
        struct config *c = parsed(table[i].yaml);
        capture_begin(&out);
        config_log_unused(c, &test_log);
        snprintf(wanted, sizeof wanted, "config.incomplete setting=%s help=", table[i].setting);
        assert_non_null(strstr(capture_end(&out), wanted));
        config_free(&c);
    }
}

static void test_settings_that_a_reload_keeps(void **state)
{
    struct capture out;
    struct config *now = parsed("node: { id: a }");
    struct config *next = parsed("node: { id: b }\nrtmp: { proxy_protocol: true }\n"
                                 "viewer: { max: 7 }\nlog: { level: debug, format: json }\n"
                                 "webrtc: { public_addresses: [\"192.0.2.1\"] }\n"
                                 "auth: { publish_keys: [one, two] }\n");
    capture_begin(&out);
    config_keep(next, now, &test_log);
    const char *text = capture_end(&out);
    assert_non_null(strstr(text, " warn test config.kept setting=node.id\n"));
    assert_null(strstr(text, "log.level"));
    assert_string_equal(next->node.id, "a");
    assert_false(next->rtmp.proxy_protocol);
    assert_int_equal(next->viewer.max, 0);
    assert_int_equal(next->log.format, LOG_FORMAT_TEXT);
    assert_int_equal(next->webrtc.public_addresses.count, 0);
    assert_int_equal(next->log.level, LOG_DEBUG);
    assert_int_equal(next->auth.publish_keys.count, 2);
    config_free(&now);
    config_free(&next);
}

static void test_listen_addresses(void **state)
{
    static const struct {
        const char *text, *host;
        int port; /* -1: refused */
        bool loopback;
    } cases[] = {
        {":1935", "", 1935, false},
        {"127.0.0.1:0", "127.0.0.1", 0, true},
        {"127.9.9.9:65535", "127.9.9.9", 65535, true},
        {"128.0.0.1:1", "128.0.0.1", 1, false},
        {"localhost:1", "localhost", 1, true},
        {"localhost.example:1", "localhost.example", 1, false},
        {"[::1]:80", "::1", 80, true},
        {"[::ffff:127.0.0.1]:80", "::ffff:127.0.0.1", 80, true},
        {"[fd00::1]:80", "fd00::1", 80, false},
        {"", NULL, -1, false},
        {"1935", NULL, -1, false},
        {"a:", NULL, -1, false},
        {"a:65536", NULL, -1, false},
        {"a:-1", NULL, -1, false},
        {"a:1x", NULL, -1, false},
        {"::1:80", NULL, -1, false},
        {"[::1:80", NULL, -1, false},
        {"[]:80", NULL, -1, false},
        {"[a]:80", NULL, -1, false},
        {"a b:80", NULL, -1, false},
        {"-a:80", NULL, -1, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct listen_address a;
        int err = config_listen_parse(cases[i].text, &a);
        if ((err == 0) != (cases[i].port >= 0))
            fail_msg("%s: %d", cases[i].text, err);
        if (err != 0)
            continue;
        assert_string_equal(a.host, cases[i].host);
        assert_int_equal(a.port, cases[i].port);
        if (config_listen_is_loopback(&a) != cases[i].loopback)
            fail_msg("%s: loopback", cases[i].text);
    }
}

/* The sample is a configuration, as it is and with every comment sign of a setting taken off. */
static void test_sample(void **state)
{
    char sample[32768], bare[32768] = "";
    FILE *file = tmpfile();
    assert_int_equal(config_print_sample(fileno(file)), 0);
    rewind(file);
    sample[fread(sample, 1, sizeof sample - 1, file)] = '\0';
    fclose(file);
    struct config *c = parsed(sample);
    config_free(&c);

    size_t settings = 0;
    char *rest = sample;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        char *hash = strchr(line, '#');
        size_t word = hash != NULL ? strspn(hash + 2, "abcdefghijklmnopqrstuvwxyz_") : 0;
        if (word > 0 && hash[2 + word] == ':') {
            memmove(hash, hash + 2, strlen(hash + 2) + 1);
            settings++;
        }
        snprintf(bare + strlen(bare), sizeof bare - strlen(bare), "%s\n", line);
    }
    assert_true(settings > 50);
    c = parsed(bare);
    config_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_relations),
        cmocka_unit_test(test_errors_hold_no_secret),
        cmocka_unit_test(test_later_wins),
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_values_of_set),
        cmocka_unit_test(test_unknown_variable_is_a_warning),
        cmocka_unit_test(test_file_that_cannot_be_read),
        cmocka_unit_test(test_unused_settings_are_told),
        cmocka_unit_test(test_settings_without_effect_are_told),
        cmocka_unit_test(test_settings_that_a_reload_keeps),
        cmocka_unit_test(test_listen_addresses),
        cmocka_unit_test(test_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
