#include "node.h"

/* One node without a cluster, asked over loopback. */

#define ROW_KEYS "name owner epoch local tracks viewers bitrate_bps age_ms upstream path hops"

static int open_node(void **state, const char *settings)
{
    struct test_node *n = xcalloc(1, sizeof *n);
    char error[CONFIG_ERROR_MAX];
    node_open(n, "n1", settings);
    struct cluster_self self = {.node = "n1", .instance = 0xabcdef, .version = "1"};
    assert_true(
        slice_copy(slice_text(n->listen.cluster), self.relay_address, sizeof self.relay_address));
    assert_true(
        slice_copy(slice_text(n->listen.http), self.http_address, sizeof self.http_address));
    assert_int_equal(cluster_open(&n->cluster, &n->group, &self, NULL, NULL, error), 0);
    api_set_cluster(n->api, n->cluster);
    node_start(n);
    *state = n;
    return 0;
}

static int setup(void **state)
{
    return open_node(state, "");
}

static int setup_token(void **state)
{
    return open_node(state, "admin: { token: sesame-sesame }\n");
}

static int teardown(void **state)
{
    struct test_node *n = *state;
    node_close_servers(n);
    cluster_free(&n->cluster);
    node_close(n);
    free(n);
    assert_int_equal(frames_alive(), 0);
    return 0;
}

static void the_node_describes_itself(void **state)
{
    struct test_node *n = *state;
    struct test_stream s = {.name = "live/one", .kind = "publish", .epoch = 5};
    on_worker(n, 1, publish, &s);
    struct answer a = ask(n->http_port, "/api/v1/node");
    assert_int_equal(a.status, 200);
    assert_keys(a.json, "id instance role version state workers listen streams viewers");
    assert_string_equal(text_at(a.json, "id"), "n1");
    assert_string_equal(text_at(a.json, "instance"), "0000000000abcdef");
    assert_string_equal(text_at(a.json, "role"), "node");
    assert_string_equal(text_at(a.json, "state"), "up");
    assert_int_equal(number_at(a.json, "workers"), TEST_WORKERS);
    assert_int_equal(number_at(a.json, "streams"), 1);
    assert_int_equal(number_at(a.json, "viewers"), 42);
    json_t *listen = json_object_get(a.json, "listen");
    assert_keys(listen, "rtmp http cluster webrtc admin");
    assert_string_equal(text_at(listen, "http"), n->listen.http);
    assert_string_equal(text_at(listen, "rtmp"), "");
    assert_true(json_is_array(json_object_get(listen, "webrtc")));
    answer_free(&a);
    atomic_store(&n->draining, true);
    a = ask(n->admin_port, "/api/v1/node");
    assert_string_equal(text_at(a.json, "state"), "drain");
    answer_free(&a);
    on_worker(n, 1, unpublish, &s);
}

static void the_nodes_are_listed(void **state)
{
    struct test_node *n = *state;
    struct answer a = ask(n->http_port, "/api/v1/nodes");
    assert_int_equal(a.status, 200);
    const json_t *nodes = json_object_get(a.json, "nodes");
    assert_int_equal(json_array_size(nodes), 1);
    json_t *self = json_array_get(nodes, 0);
    assert_keys(self, "id addr http role zone state streams viewers load age_ms");
    assert_string_equal(text_at(self, "id"), "n1");
    assert_string_equal(text_at(self, "addr"), n->listen.cluster);
    assert_string_equal(text_at(self, "state"), "up");
    answer_free(&a);
}

static void check_tracks(const json_t *tracks)
{
    static const struct {
        const char *kind, *codec;
    } want[] = {{"video", "h264"}, {"audio", "aac"}};
    assert_int_equal(json_array_size(tracks), COUNT_OF(want));
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        json_t *t = json_array_get(tracks, i);
        assert_keys(t, "id kind codec frames");
        assert_int_equal(number_at(t, "id"), 0);
        assert_string_equal(text_at(t, "kind"), want[i].kind);
        assert_string_equal(text_at(t, "codec"), want[i].codec);
    }
}

static void streams_of_all_workers_are_listed(void **state)
{
    struct test_node *n = *state;
    struct test_stream here = {
        .name = "live/here", .kind = "publish", .epoch = 1795404426681057, .rtmp_viewers = 2};
    struct test_stream far = {
        .name = "live/far", .kind = "pull", .path = "o7,e1", .epoch = UINT64_MAX};
    struct test_viewer other = {.name = "live/here", .flv_viewers = 5};
    struct test_viewer waiting = {.name = "live/absent", .flv_viewers = 9};
    on_worker(n, 0, publish, &here);
    on_worker(n, 1, publish, &far);
    on_worker(n, 1, view, &other);
    on_worker(n, 0, view, &waiting);

    struct answer a = ask(n->http_port, "/api/v1/streams");
    assert_int_equal(a.status, 200);
    assert_keys(a.json, "streams");
    const json_t *streams = json_object_get(a.json, "streams");
    assert_int_equal(json_array_size(streams), 2);
    json_t *first = json_array_get(streams, 0), *second = json_array_get(streams, 1);
    assert_keys(first, ROW_KEYS);
    assert_string_equal(text_at(first, "name"), "live/far");
    assert_string_equal(text_at(first, "owner"), "o7");
    assert_string_equal(text_at(first, "local"), "pull");
    assert_string_equal(text_at(first, "upstream"), "e1");
    assert_int_equal(number_at(first, "hops"), 2);
    assert_string_equal(json_string_value(json_array_get(json_object_get(first, "path"), 2)), "n1");
    assert_string_equal(text_at(first, "epoch"), "18446744073709551615");
    assert_string_equal(text_at(second, "name"), "live/here");
    assert_string_equal(text_at(second, "owner"), "n1");
    assert_string_equal(text_at(second, "local"), "publish");
    assert_string_equal(text_at(second, "epoch"), "1795404426681057");
    assert_true(number_at(second, "bitrate_bps") >= 0 && number_at(second, "age_ms") >= 0);
    check_tracks(json_object_get(second, "tracks"));
    json_t *viewers = json_object_get(second, "viewers");
    assert_keys(viewers, "rtmp flv hls whep");
    assert_int_equal(number_at(viewers, "rtmp"), 2);
    assert_int_equal(number_at(viewers, "flv"), 5);
    answer_free(&a);

    on_worker(n, 1, leave, &other);
    on_worker(n, 0, leave, &waiting);
    on_worker(n, 0, unpublish, &here);
    on_worker(n, 1, unpublish, &far);
    a = ask(n->http_port, "/api/v1/streams?scope=node");
    assert_int_equal(json_array_size(json_object_get(a.json, "streams")), 0);
    answer_free(&a);
    assert_refused(n->http_port, "GET", "/api/v1/streams?scope=world", 400, "bad_query");
}

static void go_lost(struct test_node *n, struct worker *w, void *arg)
{
    struct test_stream *s = arg;
    feed_detach_source(&s->source);
    feed_lost(s->feed);
}

static void release(struct test_node *n, struct worker *w, void *arg)
{
    struct test_stream *s = arg;
    feed_end(s->feed, CLOSE_SOURCE_LOST);
    feed_release(&s->feed);
}

static void a_stream_whose_publisher_is_lost_is_there(void **state)
{
    struct test_node *n = *state;
    struct test_stream s = {.name = "live/one", .kind = "publish", .epoch = 5};
    on_worker(n, 0, publish, &s);
    on_worker(n, 0, go_lost, &s);
    struct answer a = ask(n->http_port, "/api/v1/streams/live/one");
    assert_int_equal(a.status, 200);
    assert_string_equal(text_at(a.json, "local"), "none");
    assert_string_equal(text_at(a.json, "owner"), "n1");
    assert_int_equal(number_at(a.json, "bitrate_bps"), 0);
    answer_free(&a);
    on_worker(n, 0, release, &s);
}

static void nothing(struct test_node *n, struct worker *w, void *arg)
{
}

static void on_claimed(const struct cluster_claimed *claimed, void *arg)
{
    assert_int_equal(claimed->verdict, CLAIM_GRANTED);
    *(uint64_t *)arg = claimed->epoch;
}

static void claim(struct test_node *n, struct worker *w, void *arg)
{
    const struct cluster_claim c = {.name = "live/claimed", .session = "secret-session"};
    cluster_acquire(n->cluster, w, &c, on_claimed, arg);
}

static void one_stream_is_looked_up(void **state)
{
    struct test_node *n = *state;
    struct test_stream s = {.name = "live/one", .kind = "publish", .epoch = 5};
    uint64_t epoch = 0, told;
    on_worker(n, 1, publish, &s);
    struct answer a = ask(n->http_port, "/api/v1/streams/live/one");
    assert_int_equal(a.status, 200);
    assert_keys(a.json, ROW_KEYS);
    assert_string_equal(text_at(a.json, "owner"), "n1");
    check_tracks(json_object_get(a.json, "tracks"));
    answer_free(&a);
    on_worker(n, 1, unpublish, &s);

    on_worker(n, 1, claim, &epoch);
    a = ask(n->http_port, "/api/v1/streams/live/claimed"); /* asked behind the claim */
    on_worker(n, 1, nothing, NULL);                        /* behind its answer */
    assert_int_equal(a.status, 200);
    assert_string_equal(text_at(a.json, "owner"), "n1");
    assert_string_equal(text_at(a.json, "local"), "none");
    assert_int_equal(slice_u64(slice_text(text_at(a.json, "epoch")), UINT64_MAX, &told), 0);
    assert_true(epoch != 0 && told == epoch);
    assert_null(strstr(a.text, "secret-session"));
    answer_free(&a);

    assert_refused(n->http_port, "GET", "/api/v1/streams/live/absent", 404, "not_found");
    assert_refused(n->http_port, "GET", "/api/v1/streams/live/one", 404, "not_found");
    assert_refused(n->http_port, "GET", "/api/v1/streams/live/x.flv", 400, "bad_name");
    assert_refused(n->http_port, "GET", "/api/v1/streams/relay/x", 400, "bad_name");
}

static void a_publisher_is_kicked(void **state)
{
    struct test_node *n = *state;
    struct answer a = ask_with(n->admin_port, "DELETE", "/api/v1/streams/live/here", "");
    assert_int_equal(a.status, 200);
    assert_keys(a.json, "kicked");
    assert_true(json_is_true(json_object_get(a.json, "kicked")));
    answer_free(&a);
    assert_int_equal(atomic_load(&n->kicks), 1);
    assert_refused(n->admin_port, "DELETE", "/api/v1/streams/live/absent", 404, "not_found");
    assert_refused(n->admin_port, "DELETE", "/api/v1/streams/api/x", 400, "bad_name");
}

static void the_public_port_changes_and_measures_nothing(void **state)
{
    struct test_node *n = *state;
    assert_refused(n->http_port, "DELETE", "/api/v1/streams/live/here", 405, "method_not_allowed");
    assert_refused(n->http_port, "GET", "/metrics", 404, "not_found");
    assert_refused(n->http_port, "GET", "/cluster/v1/streams", 404, "not_found");
    assert_int_equal(atomic_load(&n->kicks), 0);
}

static void health_says_whether_to_come(void **state)
{
    struct test_node *n = *state;
    const struct listener_set *ports[] = {n->http_port, n->admin_port};
    for (size_t i = 0; i < COUNT_OF(ports); i++) {
        atomic_store(&n->draining, false);
        struct answer a = ask(ports[i], "/healthz");
        assert_int_equal(a.status, 200);
        assert_string_equal(a.body, "ok\n");
        answer_free(&a);
        a = ask(ports[i], "/readyz");
        assert_int_equal(a.status, 200);
        answer_free(&a);
        atomic_store(&n->draining, true);
        a = ask(ports[i], "/readyz");
        assert_int_equal(a.status, 503);
        answer_free(&a);
        a = ask(ports[i], "/healthz");
        assert_int_equal(a.status, 200);
        answer_free(&a);
    }
}

static void an_operator_drains(void **state)
{
    static const struct {
        const char *method, *state;
        int draining;
    } rows[] = {
        {"DELETE", "up", 0}, {"POST", "drain", 1}, {"POST", "drain", 1}, {"DELETE", "up", 0}};
    struct test_node *n = *state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct answer a = ask_with(n->admin_port, rows[i].method, "/api/v1/drain", "");
        assert_int_equal(a.status, 200);
        assert_keys(a.json, "state publishers viewers");
        assert_string_equal(text_at(a.json, "state"), rows[i].state);
        assert_int_equal(number_at(a.json, "viewers"), 42);
        assert_int_equal(atomic_load(&n->draining), rows[i].draining);
        answer_free(&a);
    }
    atomic_store(&n->ending, true);
    assert_refused(n->admin_port, "DELETE", "/api/v1/drain", 409, "ending");
    assert_refused(n->http_port, "POST", "/api/v1/drain", 404, "not_found");
}

static void count_here(struct test_node *n, struct worker *w, void *arg)
{
    METRIC_ADD(w->metrics.publish_total, 20 + w->index);
}

static void metrics_are_sums_over_the_workers(void **state)
{
    struct test_node *n = *state;
    static const char *const want[] = {
        "\nsluice_publish_total 41\n",
        "\nsluice_frames_alive 2\n",
        "\nsluice_frames_alive_bytes 200\n",
        "\nsluice_log_memory_bytes ",
        "\nsluice_viewers 42\n",
        "\nsluice_workers 2\n",
        "\nsluice_draining 0\n",
    };
    struct test_stream s = {.name = "live/one", .kind = "publish", .epoch = 5};
    on_worker(n, 0, publish, &s);
    for (int i = 0; i < TEST_WORKERS; i++)
        on_worker(n, i, count_here, NULL);
    struct answer a = ask(n->admin_port, "/metrics");
    assert_int_equal(a.status, 200);
    for (size_t i = 0; i < COUNT_OF(want); i++)
        if (strstr(a.body, want[i]) == NULL)
            fail_msg("%s is missing", want[i]);
    assert_null(strstr(a.body, "\nsluice_log_memory_bytes 0\n"));
    assert_non_null(strstr(a.text, "text/plain; version=0.0.4"));
    answer_free(&a);
    on_worker(n, 0, unpublish, &s);
}

static void the_admin_port_wants_its_token(void **state)
{
    struct test_node *n = *state;
    static const struct {
        const char *method, *target, *headers;
        int status;
    } cases[] = {
        {"GET", "/api/v1/node", "", 401},
        {"GET", "/metrics", "", 401},
        {"DELETE", "/api/v1/streams/live/here", "", 401},
        {"GET", "/metrics", "Authorization: Bearer sesame-sesam\r\n", 401},
        {"GET", "/metrics", "Authorization: Bearer sesame-sesame1\r\n", 401},
        {"GET", "/metrics", "Authorization: Bearer sesame-sesamE\r\n", 401},
        {"GET", "/metrics", "Authorization: Bearer\r\n", 401},
        {"GET", "/metrics", "Authorization: Basic sesame-sesame\r\n", 401},
        {"GET", "/metrics", "Authorization: sesame-sesame\r\n", 401},
        {"GET", "/metrics", "Authorization: Bearer sesame-sesame\r\n", 200},
        {"GET", "/metrics", "authorization: bearer sesame-sesame\r\n", 200},
        {"DELETE", "/api/v1/streams/live/here", "Authorization: Bearer sesame-sesame\r\n", 200},
        {"GET", "/healthz", "", 200},
        {"GET", "/readyz", "", 200},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct answer a =
            ask_with(n->admin_port, cases[i].method, cases[i].target, cases[i].headers);
        if (a.status != cases[i].status)
            fail_msg("case %zu: %d", i, a.status);
        assert_int_equal(a.status == 401, strstr(a.text, "WWW-Authenticate: Bearer") != NULL);
        assert_null(strstr(a.text, "sesame"));
        answer_free(&a);
    }
    assert_int_equal(atomic_load(&n->kicks), 1);
    struct answer a = ask(n->http_port, "/api/v1/node");
    assert_int_equal(a.status, 200);
    answer_free(&a);
}

static void only_nodes_may_ask_the_cluster_route(void **state)
{
    struct test_node *n = *state;
    const struct relay_identity stranger = {"n2", 1, "another-secret-000"};
    const struct relay_identity peer = {"n2", 1, TEST_SECRET};
    const struct {
        const struct relay_identity *self;
        const char *to;
        int64_t offset_ms;
        int status;
        const char *has;
    } cases[] = {
        {NULL, "", 0, 401, "unsigned"},
        {&stranger, "n1", 0, 403, "bad_signature"},
        {&peer, "n3", 0, 403, "not_for_us"},
        {&peer, "n1", 120000, 401, RELAY_TIME_HEADER},
        {&peer, "n1", 0, 200, "\"name\":\"live/one\""},
    };
    struct test_stream s = {.name = "live/one", .kind = "publish", .epoch = 5};
    on_worker(n, 0, publish, &s);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char auth[RELAY_AUTH_TEXT_MAX] = "", header[RELAY_AUTH_TEXT_MAX + 32] = "";
        if (cases[i].self != NULL) {
            const struct relay_signed r = {.peer = cases[i].to,
                                           .method = "GET",
                                           .target = "/cluster/v1/streams",
                                           .peer_offset_ms = cases[i].offset_ms};
            relay_sign(cases[i].self, &r, auth);
            snprintf(header, sizeof header, RELAY_AUTH_HEADER ": %s\r\n", auth);
        }
        struct answer a = ask_with(n->internal_port, "GET", "/cluster/v1/streams", header);
        assert_int_equal(a.status, cases[i].status);
        assert_non_null(strstr(a.text, cases[i].has));
        answer_free(&a);
        if (cases[i].status != 200)
            continue;
        a = ask_with(n->internal_port, "GET", "/cluster/v1/streams", header);
        assert_int_equal(a.status, 403);
        assert_non_null(strstr(a.text, "replay"));
        answer_free(&a);
    }
    on_worker(n, 0, unpublish, &s);
}

/* --- peers that go --- */

static void ignore_io(struct io *io, enum io_event ev, void *owner)
{
}

/* A connection that is known to be on this worker. */
static void accept_here(struct test_node *n, struct worker *w, void *arg)
{
    struct net_address peer;
    assert_int_equal(net_address_parse("127.0.0.1:9", &peer), 0);
    http_server_accept(w, io_accept(w, *(int *)arg, &peer, ignore_io, NULL), n->http);
}

struct barrier {
    struct message m;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool open, passed;
};

static void wait_at(struct message *m)
{
    struct barrier *b = container_of(m, struct barrier, m);
    pthread_mutex_lock(&b->mutex);
    while (!b->open)
        pthread_cond_wait(&b->cond, &b->mutex);
    b->passed = true;
    pthread_cond_broadcast(&b->cond);
    pthread_mutex_unlock(&b->mutex);
}

/* Turns of worker 0 pass until its connection has been closed. */
static void await_closed(struct test_node *n)
{
    int64_t give_up_us = clock_us() + TEST_GIVE_UP_S * 1000000LL;
    while (METRIC_GET(n->group.workers[0].metrics.connections_open) > 0) {
        assert_true(clock_us() < give_up_us);
        on_worker(n, 0, nothing, NULL);
    }
}

static void a_peer_may_go_before_its_answer(void **state)
{
    static const char *const targets[] = {"/api/v1/node", "/api/v1/streams",
                                          "/api/v1/streams?scope=cluster",
                                          "/api/v1/streams/live/one"};
    struct test_node *n = *state;
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        struct barrier b = {
            .m.run = wait_at, .mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                         0);
        worker_post(&n->group.workers[1], &b.m); /* the question waits behind it */
        on_worker(n, 0, accept_here, &pair[0]);
        uint64_t before = METRIC_GET(n->group.workers[0].metrics.bytes_in_total);
        send_request(pair[1], "GET", targets[i], "");
        while (METRIC_GET(n->group.workers[0].metrics.bytes_in_total) == before)
            on_worker(n, 0, nothing, NULL);
        close(pair[1]);
        await_closed(n);
        pthread_mutex_lock(&b.mutex);
        b.open = true;
        pthread_cond_broadcast(&b.cond);
        while (!b.passed)
            pthread_cond_wait(&b.cond, &b.mutex);
        pthread_mutex_unlock(&b.mutex);
    }
    struct answer a = ask(n->http_port, "/api/v1/streams?scope=cluster");
    assert_int_equal(a.status, 200);
    answer_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_node_describes_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(the_nodes_are_listed, setup, teardown),
        cmocka_unit_test_setup_teardown(streams_of_all_workers_are_listed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stream_whose_publisher_is_lost_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(one_stream_is_looked_up, setup, teardown),
        cmocka_unit_test_setup_teardown(a_publisher_is_kicked, setup, teardown),
        cmocka_unit_test_setup_teardown(the_public_port_changes_and_measures_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(health_says_whether_to_come, setup, teardown),
        cmocka_unit_test_setup_teardown(an_operator_drains, setup, teardown),
        cmocka_unit_test_setup_teardown(metrics_are_sums_over_the_workers, setup, teardown),
        cmocka_unit_test_setup_teardown(the_admin_port_wants_its_token, setup_token, teardown),
        cmocka_unit_test_setup_teardown(only_nodes_may_ask_the_cluster_route, setup, teardown),
        cmocka_unit_test_setup_teardown(a_peer_may_go_before_its_answer, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
