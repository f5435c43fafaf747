#include "node.h"

#include <fcntl.h>

/*
 * Questions to the whole cluster: two nodes with real ports, and a directory that is the test
 * itself: the functions of cluster/ that the api calls are here.
 */
struct cluster {
    struct cluster_node nodes[4];
    size_t count;
    struct cluster_owner owner;
    char sent[128];
    int send_error;
};

struct reply {
    struct message m;
    struct cluster *c;
    cluster_nodes_done *nodes;
    cluster_lookup_done *lookup;
    void *arg;
};

static void reply_run(struct message *m)
{
    struct reply *r = container_of(m, struct reply, m);
    if (r->nodes != NULL)
        r->nodes(r->c->nodes, r->c->count, r->arg);
    else
        r->lookup(&r->c->owner, r->arg);
    free(r);
}

static void reply_post(struct cluster *c, struct worker *caller, cluster_nodes_done *nodes,
                       cluster_lookup_done *lookup, void *arg)
{
    struct reply *r = xcalloc(1, sizeof *r);
    *r = (struct reply){.m.run = reply_run, .c = c, .nodes = nodes, .lookup = lookup, .arg = arg};
    worker_post(caller, &r->m);
}

void cluster_nodes(struct cluster *c, struct worker *caller, cluster_nodes_done *done, void *arg)
{
    reply_post(c, caller, done, NULL, arg);
}

void cluster_lookup(struct cluster *c, struct worker *caller, const char *name,
                    cluster_lookup_done *done, void *arg)
{
    reply_post(c, caller, NULL, done, arg);
}

int cluster_send(struct cluster *c, const char *node, const char *verb, const char *name)
{
    snprintf(c->sent, sizeof c->sent, "%s %s %s", node, verb, name);
    return c->send_error;
}

/* --- two nodes --- */

struct pair {
    struct test_node o1, e1;
    struct cluster cluster;
    struct test_stream own, pulled, older;
    struct test_viewer more;
};

static void enlist(struct cluster *c, const char *id, const char *address)
{
    struct cluster_node *n = &c->nodes[c->count++];
    assert_true(slice_copy(slice_text(id), n->id, sizeof n->id));
    assert_true(slice_copy(slice_text(address), n->address, sizeof n->address));
}

static void node_join(struct test_node *n, struct cluster *c, const char *id)
{
    node_open(n, id, "");
    api_set_cluster(n->api, c);
    enlist(c, id, n->listen.cluster);
}

/* o1 publishes live/cam, e1 pulls it; old/cam is told by e1 only. */
static int setup(void **state)
{
    struct pair *p = xcalloc(1, sizeof *p);
    node_join(&p->o1, &p->cluster, "o1");
    node_join(&p->e1, &p->cluster, "e1");
    node_start(&p->o1);
    node_start(&p->e1);
    p->own =
        (struct test_stream){.name = "live/cam", .kind = "publish", .epoch = 9, .rtmp_viewers = 1};
    p->pulled = (struct test_stream){
        .name = "live/cam", .kind = "pull", .path = "o1", .epoch = 9, .rtmp_viewers = 10};
    p->older = (struct test_stream){
        .name = "a/old", .kind = "pull", .path = "o9", .epoch = 3, .rtmp_viewers = 4};
    p->more = (struct test_viewer){.name = "live/cam", .flv_viewers = 100};
    on_worker(&p->o1, 0, publish, &p->own);
    on_worker(&p->e1, 0, publish, &p->pulled);
    on_worker(&p->e1, 1, publish, &p->older);
    on_worker(&p->e1, 1, view, &p->more);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct pair *p = *state;
    on_worker(&p->e1, 1, leave, &p->more);
    on_worker(&p->o1, 0, unpublish, &p->own);
    on_worker(&p->e1, 0, unpublish, &p->pulled);
    on_worker(&p->e1, 1, unpublish, &p->older);
    node_close_servers(&p->o1);
    node_close_servers(&p->e1);
    node_close(&p->o1);
    node_close(&p->e1);
    free(p);
    assert_int_equal(frames_alive(), 0);
    return 0;
}

static void check_part(const json_t *nodes, const char *id, const char *local, int64_t rtmp,
                       int64_t flv)
{
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        json_t *n = json_array_get(nodes, i);
        assert_keys(n, "id local viewers upstream path hops");
        if (strcmp(text_at(n, "id"), id) != 0)
            continue;
        assert_string_equal(text_at(n, "local"), local);
        assert_int_equal(number_at(json_object_get(n, "viewers"), "rtmp"), rtmp);
        assert_int_equal(number_at(json_object_get(n, "viewers"), "flv"), flv);
        return;
    }
    fail_msg("%s is not there", id);
}

static void check_streams(const json_t *streams)
{
    assert_int_equal(json_array_size(streams), 2);
    json_t *old = json_array_get(streams, 0), *cam = json_array_get(streams, 1);
    assert_string_equal(text_at(old, "name"), "a/old");
    assert_string_equal(text_at(old, "owner"), "o9");
    assert_string_equal(text_at(old, "local"), "pull");
    assert_int_equal(json_array_size(json_object_get(old, "nodes")), 1);
    assert_keys(
        cam, "name owner epoch local tracks viewers bitrate_bps age_ms upstream path hops nodes");
    assert_string_equal(text_at(cam, "owner"), "o1");
    assert_string_equal(text_at(cam, "local"), "publish");
    assert_int_equal(number_at(json_object_get(cam, "viewers"), "rtmp"), 11);
    assert_int_equal(number_at(json_object_get(cam, "viewers"), "flv"), 100);
    assert_int_equal(json_array_size(json_object_get(cam, "tracks")), 2);
    const json_t *nodes = json_object_get(cam, "nodes");
    assert_int_equal(json_array_size(nodes), 2);
    check_part(nodes, "o1", "publish", 1, 0);
    check_part(nodes, "e1", "pull", 10, 100);
    for (size_t i = 0; i < 2; i++) {
        const json_t *n = json_array_get(nodes, i);
        bool owner = strcmp(text_at(n, "id"), "o1") == 0;
        assert_string_equal(text_at(n, "upstream"), owner ? "" : "o1");
        assert_int_equal(number_at(n, "hops"), owner ? 0 : 1);
        assert_int_equal(json_array_size(json_object_get(n, "path")), owner ? 1 : 2);
    }
}

static void every_node_tells_the_same(void **state)
{
    struct pair *p = *state;
    const struct listener_set *ports[] = {p->o1.http_port, p->e1.http_port, p->e1.admin_port};
    for (size_t i = 0; i < COUNT_OF(ports); i++) {
        struct answer a = ask(ports[i], "/api/v1/streams?scope=cluster");
        assert_int_equal(a.status, 200);
        assert_keys(a.json, "streams");
        check_streams(json_object_get(a.json, "streams"));
        answer_free(&a);
    }
}

static void check_missing(struct pair *p, const char *id, int64_t least_ms, int64_t most_ms)
{
    int64_t begin_us = clock_us();
    struct answer a = ask(p->e1.http_port, "/api/v1/streams?scope=cluster");
    int64_t took_ms = (clock_us() - begin_us) / 1000;
    assert_int_equal(a.status, 200);
    assert_keys(a.json, "streams partial missing");
    assert_true(json_is_true(json_object_get(a.json, "partial")));
    const json_t *missing = json_object_get(a.json, "missing");
    assert_int_equal(json_array_size(missing), 1);
    assert_string_equal(json_string_value(json_array_get(missing, 0)), id);
    check_streams(json_object_get(a.json, "streams"));
    assert_in_range(took_ms, least_ms, most_ms);
    answer_free(&a);
}

/* A socket of nobody's: refuses (listening false) or says nothing. */
static int deaf_port(bool listening, char out[NET_ADDRESS_TEXT_MAX])
{
    struct net_address a;
    assert_int_equal(net_address_parse("127.0.0.1:0", &a), 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a.sa, a.len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a.sa, &a.len), 0);
    if (listening)
        assert_int_equal(listen(fd, 8), 0);
    net_address_text(&a, out);
    return fd;
}

static void a_dead_node_is_told_as_missing(void **state)
{
    struct pair *p = *state;
    char address[NET_ADDRESS_TEXT_MAX];
    int fd = deaf_port(false, address);
    enlist(&p->cluster, "o2", address);
    check_missing(p, "o2", 0, 1900);
    close(fd);
}

static void a_silent_node_costs_two_seconds(void **state)
{
    struct pair *p = *state;
    char address[NET_ADDRESS_TEXT_MAX];
    int fd = deaf_port(true, address);
    enlist(&p->cluster, "o2", address);
    check_missing(p, "o2", 1900, 5000);
    close(fd);
}

/* Answers one request with a text of its own, then waits until the asker has hung up. */
struct liar {
    int listening;
    const char *body;
};

static void *lie(void *arg)
{
    const struct liar *l = arg;
    char text[4096], answer[512];
    int fd = accept4(l->listening, NULL, NULL, SOCK_CLOEXEC);
    assert_true(recv(fd, text, sizeof text, 0) > 0);
    int len = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
                       strlen(l->body), l->body);
    send(fd, answer, (size_t)len, MSG_NOSIGNAL);
    while (recv(fd, text, sizeof text, 0) > 0)
        ;
    close(fd);
    return NULL;
}

static void what_a_node_tells_is_checked(void **state)
{
    static const char *const bodies[] = {
        "hello\n",
        "{}\n",
        "{\"name\":\"live/cam\"",
        "{\"name\":\"../x\",\"owner\":\"o2\",\"epoch\":\"1\",\"local\":\"none\",\"tracks\":[],"
        "\"viewers\":{},\"bitrate_bps\":0,\"age_ms\":0}\n",
        "{\"name\":\"live/cam\",\"owner\":\"o2\",\"epoch\":\"-1\",\"local\":\"none\",\"tracks\":[],"
        "\"viewers\":{},\"bitrate_bps\":0,\"age_ms\":0}\n",
        "{\"name\":\"live/cam\",\"owner\":\"o2\",\"epoch\":\"1\",\"local\":\"none\",\"tracks\":[],"
        "\"viewers\":{},\"bitrate_bps\":0,\"age_ms\":0,\"path\":[\"o2\",\"../x\"]}\n",
        "{\"name\":\"live/cam\",\"owner\":\"o2\",\"epoch\":1,\"local\":\"none\",\"tracks\":[],"
        "\"viewers\":{},\"bitrate_bps\":0,\"age_ms\":0}\n",
    };
    struct pair *p = *state;
    char address[NET_ADDRESS_TEXT_MAX];
    struct liar l = {.listening = deaf_port(true, address)};
    enlist(&p->cluster, "o2", address);
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        pthread_t thread;
        l.body = bodies[i];
        assert_int_equal(pthread_create(&thread, NULL, lie, &l), 0);
        check_missing(p, "o2", 0, 1900);
        pthread_join(thread, NULL);
    }
    close(l.listening);
}

/* A newer version may tell more, and viewers of its own that are nonsense count nothing. */
static void what_is_not_known_is_left_out(void **state)
{
    struct pair *p = *state;
    char address[NET_ADDRESS_TEXT_MAX];
    pthread_t thread;
    struct liar l = {
        .listening = deaf_port(true, address),
        .body = "{\"name\":\"live/cam\",\"owner\":\"o1\",\"epoch\":\"8\",\"local\":\"pull\","
                "\"tracks\":[],\"viewers\":{\"rtmp\":-5,\"smell\":3},\"bitrate_bps\":0,"
                "\"age_ms\":0,\"session\":\"hush\"}\n"};
    enlist(&p->cluster, "o2", address);
    assert_int_equal(pthread_create(&thread, NULL, lie, &l), 0);
    struct answer a = ask(p->e1.http_port, "/api/v1/streams?scope=cluster");
    pthread_join(thread, NULL);
    assert_keys(a.json, "streams");
    assert_null(strstr(a.text, "hush"));
    const json_t *cam = json_array_get(json_object_get(a.json, "streams"), 1);
    assert_int_equal(number_at(json_object_get(cam, "viewers"), "rtmp"), 11);
    assert_string_equal(text_at(cam, "epoch"), "9");
    assert_int_equal(json_array_size(json_object_get(cam, "nodes")), 3);
    answer_free(&a);
    close(l.listening);
}

static void too_many_questions_are_put_off(void **state)
{
    struct pair *p = *state;
    char address[NET_ADDRESS_TEXT_MAX];
    int fd = deaf_port(true, address), busy = 0, asked[10];
    enlist(&p->cluster, "o2", address);
    for (size_t i = 0; i < COUNT_OF(asked); i++) {
        asked[i] = dial(p->e1.http_port);
        send_request(asked[i], "GET", "/api/v1/streams?scope=cluster", "");
    }
    for (size_t i = 0; i < COUNT_OF(asked); i++) {
        struct answer a = read_answer(asked[i]);
        if (a.status == 503) {
            assert_non_null(strstr(a.text, "Retry-After: 1"));
            busy++;
        }
        answer_free(&a);
    }
    assert_int_equal(busy, 2);
    close(fd);
    p->cluster.count--;
    every_node_tells_the_same(state);
}

/* Peers that hang up, and a node that stops, while other nodes are being asked. */
static void questions_end_with_who_asked(void **state)
{
    struct pair *p = *state;
    char address[NET_ADDRESS_TEXT_MAX];
    int fd = deaf_port(true, address);
    enlist(&p->cluster, "o2", address);
    for (int i = 0; i < 20; i++) {
        int gone = dial(p->e1.http_port);
        send_request(gone, "GET", "/api/v1/streams?scope=cluster", "");
        int asked = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        assert_true(asked >= 0);
        close(gone);
        char byte[4096];
        while (recv(asked, byte, sizeof byte, 0) > 0) /* until the call is cancelled */
            ;
        close(asked);
    }
    int left = dial(p->e1.http_port);
    send_request(left, "GET", "/api/v1/streams?scope=cluster", "");
    int asked = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    assert_int_equal(teardown(state), 0);
    close(asked);
    close(left);
    close(fd);
}

static void the_owner_is_looked_up_and_told(void **state)
{
    struct pair *p = *state;
    p->cluster.owner = (struct cluster_owner){.found = true, .epoch = 77, .node = "o5"};
    struct answer a = ask(p->o1.http_port, "/api/v1/streams/live/other");
    assert_int_equal(a.status, 200);
    assert_string_equal(text_at(a.json, "name"), "live/other");
    assert_string_equal(text_at(a.json, "owner"), "o5");
    assert_string_equal(text_at(a.json, "epoch"), "77");
    assert_string_equal(text_at(a.json, "local"), "none");
    answer_free(&a);

    a = ask(p->e1.http_port, "/api/v1/streams/live/cam"); /* it has moved on */
    assert_string_equal(text_at(a.json, "owner"), "o5");
    assert_string_equal(text_at(a.json, "local"), "pull");
    assert_int_equal(number_at(json_object_get(a.json, "viewers"), "flv"), 100);
    answer_free(&a);

    a = ask_with(p->e1.admin_port, "DELETE", "/api/v1/streams/live/cam", "");
    assert_int_equal(a.status, 202);
    assert_keys(a.json, "sent node");
    assert_true(json_is_true(json_object_get(a.json, "sent")));
    assert_string_equal(text_at(a.json, "node"), "o5");
    assert_string_equal(p->cluster.sent, "o5 kick live/cam");
    answer_free(&a);

    p->cluster.send_error = -14;
    assert_refused(p->e1.admin_port, "DELETE", "/api/v1/streams/live/cam", 503, "unreachable");
    p->cluster.owner = (struct cluster_owner){.found = true, .epoch = 77, .node = "e1"};
    assert_refused(p->e1.admin_port, "DELETE", "/api/v1/streams/live/cam", 404, "not_found");
    p->cluster.owner = (struct cluster_owner){0};
    assert_refused(p->e1.admin_port, "DELETE", "/api/v1/streams/live/cam", 404, "not_found");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_node_tells_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dead_node_is_told_as_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_silent_node_costs_two_seconds, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_node_tells_is_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_known_is_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many_questions_are_put_off, setup, teardown),
        cmocka_unit_test_setup(questions_end_with_who_asked, setup),
        cmocka_unit_test_setup_teardown(the_owner_is_looked_up_and_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
