#include "test.h"

#include "net/rtmp_client.h"
#include "origin/rtmp_publish.h"

/*
 * RTMP clients that publish, on a node of one worker without a cluster: from the handshake to the
 * frames in the log.
 */
#define NAME "live/cam1"

struct node {
    struct rtmp_pair pair;
    struct hub *hub;
    struct cluster *cluster;
    struct ingest *ingest;
    char *keys[2];
};

static struct node *node_open(bool with_keys)
{
    struct node *n = xcalloc(1, sizeof *n);
    struct config *c = &n->pair.f.config;
    char error[CONFIG_ERROR_MAX];
    struct cluster_self self = {.node = "n1", .instance = 1};
    struct cluster_events events = {0};
    fixture_open(&n->pair.f);
    c->stream.window_ms = 10000;
    c->stream.window_bytes = 1 << 20;
    c->stream.memory_bytes = 1 << 20;
    c->stream.publisher_timeout_ms = c->stream.lost_ms = 60000;
    n->keys[0] = xstrdup("first-key");
    n->keys[1] = xstrdup("second-key");
    if (with_keys)
        c->auth.publish_keys = (struct text_list){n->keys, 2};
    n->hub = hub_new(&n->pair.f.group);
    assert_int_equal(cluster_open(&n->cluster, &n->pair.f.group, &self, &events, NULL, error), 0);
    n->ingest = ingest_new(&n->pair.f.group, n->hub, n->cluster);
    struct rtmp_server_options o = {.publish = &rtmp_publish_handler, .publish_arg = n->ingest};
    n->pair.server = rtmp_server_new(&n->pair.f.group, &o);
    return n;
}

static void node_close(struct node **np)
{
    struct node *n = *np;
    struct worker *w = n->pair.f.w;
    *np = NULL;
    TURN_UNTIL(&n->pair.f, list_empty(rtmp_server_sessions(n->pair.server, w)));
    assert_int_equal(METRIC_GET(w->metrics.publishers), 0);
    TURN_UNTIL(&n->pair.f, METRIC_GET(w->metrics.connections_open) == 0);
    rtmp_server_free(&n->pair.server);
    ingest_free(&n->ingest);
    hub_free(&n->hub);
    cluster_free(&n->cluster);
    fixture_close(&n->pair.f);
    free(n->keys[0]);
    free(n->keys[1]);
    free(n);
    assert_int_equal(frames_alive(), 0);
}

static void client_open(struct node *n, struct rtmp_client *c, const char *stream)
{
    char arg[200];
    int fd;
    struct net_address peer = loopback(1);
    *c = (struct rtmp_client){.f = &n->pair.f, .handshake_left = RTMP_HANDSHAKE_REPLY_SIZE};
    rtmp_chunk_reader_init(&c->reader, RTMP_MESSAGE_MAX);
    tcp_pair(&fd, &c->fd);
    rtmp_server_accept(n->pair.f.w, io_accept(n->pair.f.w, fd, &peer, NULL, NULL), n->pair.server);
    client_hello(c);
    snprintf(arg, sizeof arg, "n s%s slive", stream);
    CLIENT_SEND(c, {3, 0, "connect", 1, "olive"}, {3, 0, "createStream", 2, "n"},
                {4, 1, "publish", 3, arg});
}

static void client_close(struct rtmp_client *c)
{
    close(c->fd);
    inbox_free(&c->in);
    rtmp_chunk_reader_fini(&c->reader);
}

static const struct run *run_of(struct node *n)
{
    const struct feed *f = feed_find(n->hub, n->pair.f.w, NAME);
    return f != NULL ? log_newest(f->log) : NULL;
}

static enum feed_state state_of(struct node *n)
{
    const struct feed *f = feed_find(n->hub, n->pair.f.w, NAME);
    return f != NULL ? f->state : FEED_EMPTY;
}

static bool has_frames(struct node *n, uint64_t count)
{
    const struct run *r = run_of(n);
    return r != NULL && r->next == count + 1;
}

/* --- tests --- */

static void published(void **state)
{
    static const struct {
        const char *body;
        uint8_t kind, flags;
    } frames[] = {
        {NULL, FRAME_DATA, FRAME_META},
        {"\x2f\xff", FRAME_AUDIO, 0},
        {"\x12zz", FRAME_VIDEO, FRAME_KEY},
        {NULL, FRAME_DATA, 0},
    };
    struct node *n = node_open(false);
    struct rtmp_client c;
    client_open(n, &c, "cam1");
    CLIENT_UNTIL(&c, client_has(&c, "NetStream.Publish.Start"));
    assert_null(run_of(n));
    CLIENT_SEND(&c, {4, 1, "=data", 0, "s@setDataFrame sonMetaData n"},
                {4, 1, "=data", 0, "s@clearDataFrame sonMetaData"}, {4, 1, "=audio", 0, "\x2f\xff"},
                {4, 1, "=video", 0, "\x18zz"}, {4, 1, "=video", 0, "\x12zz"},
                {4, 1, "=data", 0, "sonTextData n"});
    CLIENT_UNTIL(&c, has_frames(n, COUNT_OF(frames)));
    for (size_t i = 0; i < COUNT_OF(frames); i++) {
        const struct frame *f = run_frame(run_of(n), i + 1);
        assert_int_equal(f->kind, frames[i].kind);
        assert_int_equal(f->flags, frames[i].flags);
        if (frames[i].body != NULL)
            assert_true(slice_is(frame_payload(f), frames[i].body));
    }
    assert_int_equal(METRIC_GET(n->pair.f.w->metrics.publishers), 1);
    CLIENT_SEND(&c, {3, 0, "FCUnpublish", 4, "n scam1"}, {3, 0, "deleteStream", 5, "n d1"});
    CLIENT_UNTIL(&c, state_of(n) == FEED_ENDED);
    client_close(&c);
    node_close(&n);
}

static void transport_lost(void **state)
{
    struct node *n = node_open(false);
    struct rtmp_client c;
    client_open(n, &c, "cam1");
    CLIENT_SEND(&c, {4, 1, "=audio", 0, "\x2f\xff"}); /* not read before the claim is decided */
    CLIENT_UNTIL(&c, has_frames(n, 1));
    client_close(&c);
    TURN_UNTIL(&n->pair.f, state_of(n) == FEED_LOST);
    node_close(&n);
}

static void protocol_broken(void **state)
{
    struct node *n = node_open(false);
    struct rtmp_client c;
    client_open(n, &c, "cam1");
    CLIENT_SEND(&c, {4, 1, "=audio", 0, "\x2f\xff"}, {4, 1, "=video", 0, "\x17"});
    CLIENT_UNTIL(&c, c.in.eof);
    assert_int_equal(METRIC_GET(n->pair.f.w->metrics.closed[CLOSE_BAD_INPUT]), 1);
    assert_int_equal(state_of(n), FEED_LOST);
    client_close(&c);
    node_close(&n);
}

static void token_wanted(void **state)
{
    static const struct {
        const char *stream;
        bool accepted;
    } rows[] = {
        {"cam1", false},
        {"cam1?token=", false},
        {"cam1?token=first-ke", false},
        {"cam1?token=first-keys", false},
        {"cam1?key=first-key", false},
        {"cam1?token=first-key", true},
        {"cam1?a=b&token=second-key", true},
        {"cam1?token=second%2dkey", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct node *n = node_open(true);
        struct rtmp_client c;
        client_open(n, &c, rows[i].stream);
        const char *code = rows[i].accepted ? "Publish.Start" : "Publish.Denied";
        CLIENT_UNTIL(&c, client_has(&c, code));
        if (!rows[i].accepted)
            CLIENT_UNTIL(&c, c.in.eof);
        assert_int_equal(METRIC_GET(n->pair.f.w->metrics.publish_refused_total), !rows[i].accepted);
        assert_int_equal(METRIC_GET(n->pair.f.w->metrics.publish_total), rows[i].accepted);
        client_close(&c);
        node_close(&n);
    }
}

static void name_taken(void **state)
{
    struct node *n = node_open(false);
    struct rtmp_client a, b;
    n->pair.f.config.cluster.takeover = TAKEOVER_REJECT;
    client_open(n, &a, "cam1");
    CLIENT_UNTIL(&a, client_has(&a, "Publish.Start"));
    client_open(n, &b, "cam1");
    CLIENT_UNTIL(&b, client_has(&b, "NetStream.Publish.BadName"));
    CLIENT_UNTIL(&b, b.in.eof);
    assert_false(client_has(&a, "error"));
    client_close(&a);
    client_close(&b);
    node_close(&n);
}

static void displaced_by_itself(void **state)
{
    struct node *n = node_open(false);
    struct rtmp_client a, b;
    client_open(n, &a, "cam1?id=x");
    CLIENT_UNTIL(&a, client_has(&a, "Publish.Start"));
    client_open(n, &b, "cam1?id=x");
    CLIENT_UNTIL(&b, client_has(&b, "Publish.Start"));
    CLIENT_UNTIL(&a, a.in.eof);
    CLIENT_SEND(&b, {4, 1, "=audio", 0, "\x2f\xff"});
    CLIENT_UNTIL(&b, has_frames(n, 1));
    assert_int_equal(METRIC_GET(n->pair.f.w->metrics.publishers), 1);
    client_close(&a);
    client_close(&b);
    node_close(&n);
}

static void gone_while_waiting(void **state)
{
    struct node *n = node_open(false);
    struct rtmp_client c;
    client_open(n, &c, "cam1");
    client_close(&c);
    TURN_UNTIL(&n->pair.f, METRIC_GET(n->pair.f.w->metrics.publish_total) == 1);
    node_close(&n);
}

static void identities(void **state)
{
    /* SHA-256 of "first-key", of "abc", and of "a=b&c". */
    static const char first[] = "9e24b55356ef2a121ab5fd1a3ee8a3c9191e837f3853e399a369e9044ff183f7",
                      abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                      query[] = "bb52e8908b5106910eda0165d2fbaa1c6a0e9c9b2feb3b3e21a00afaceab4117";
    char one[] = "first-key", two[] = "abc", *items[] = {one, two};
    static const struct {
        size_t keys;
        const char *query;
        int result;
        const char *identity;
    } rows[] = {
        {2, "token=first-key", 0, first},
        {2, "x=1&token=abc", 0, abc},
        {1, "token=abc", ERR_AUTH, ""},
        {2, "", ERR_AUTH, ""},
        {2, "token=%zz", ERR_AUTH, ""},
        {0, "token=abc", 0, abc},
        {0, "token=abc&x=1", 0, abc},
        {0, "a=b&c", 0, query},
        {0, "", 0, ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char identity[CLUSTER_PUBLISHER_MAX] = "before";
        struct text_list keys = {items, rows[i].keys};
        assert_int_equal(rtmp_publish_identity(&keys, rows[i].query, identity), rows[i].result);
        assert_string_equal(identity, rows[i].identity);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published),          cmocka_unit_test(transport_lost),
        cmocka_unit_test(protocol_broken),    cmocka_unit_test(token_wanted),
        cmocka_unit_test(name_taken),         cmocka_unit_test(displaced_by_itself),
        cmocka_unit_test(gone_while_waiting), cmocka_unit_test(identities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
