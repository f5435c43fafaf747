#include "net/net_test.h"

#include "base/buf.h"
#include "base/err.h"
#include "edge/hls.h"
#include "media/stream.h"
#include "net/http_server.h"

#include <stdio.h>

#define STREAM     "live/a"
#define EPOCH      1795404426681057
#define WALL_US    1795404426681057
#define SEGMENT    25 /* frames: a second */
#define PART       5  /* frames */
#define FIRST_MSN  100
#define FRAME_SIZE 500
#define CROWD      600 /* players that are held; more than are answered in one turn */

static const uint8_t avcc[] = {0x01, 0x42, 0xc0, 0x14, 0xff, 0xe1, 0x00, 0x17, 0x67, 0x42,
                               0xc0, 0x14, 0xda, 0x05, 0x06, 0x7e, 0x7c, 0x04, 0x40, 0x00,
                               0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x0c, 0xa3, 0xc5, 0x0a,
                               0xa8, 0x01, 0x00, 0x04, 0x68, 0xce, 0x3c, 0x80};

struct world {
    struct net_fixture f;
    struct hub *hub;
    struct edge *edge;
    struct hls *hls;
    struct http_server *server;
    struct feed *feed; /* held */
    uint64_t seq, epoch;
    uint64_t msn; /* of the run's first segment */
    struct inbox in;
};

static struct http_route routes[HLS_ROUTES];

static int setup(void **state)
{
    struct world *w = xcalloc(1, sizeof *w);
    fixture_open(&w->f);
    struct config *c = &w->f.config;
    c->stream.window_ms = 28000;
    c->stream.window_bytes = 64 << 20;
    c->stream.linger_ms = 100;
    c->stream.memory_bytes = 1 << 30;
    c->stream.wait_ms = 50;
    c->hls.segment_ms = 1000;
    c->hls.part_ms = 200;
    c->hls.window_segments = 3;
    w->hub = hub_new(&w->f.group);
    w->edge = edge_new(&w->f.group, w->hub);
    w->hls = hls_new(&w->f.group, w->hub, w->edge);
    hls_routes(w->hls, routes);
    w->server = http_server_new(&(struct http_server_options){
        .name = "test", .routes = routes, .route_count = HLS_ROUTES, .cors_origin = "*"});
    w->feed = feed_hold(w->hub, w->f.w, STREAM);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    inbox_free(&w->in);
    TURN_UNTIL(&w->f, METRIC_GET(w->f.w->metrics.connections_open) == 0);
    assert_int_equal(METRIC_GET(w->f.w->metrics.hls_held), 0);
    http_server_free(&w->server);
    hls_free(&w->hls);
    feed_release(&w->feed);
    for (int i = 0; i < 5; i++)
        fixture_turn(&w->f);
    assert_int_equal(METRIC_GET(w->f.w->metrics.viewers_hls), 0);
    assert_int_equal(METRIC_GET(w->f.w->metrics.hls_units), 0);
    edge_free(&w->edge);
    hub_free(&w->hub);
    fixture_close(&w->f);
    free(w);
    assert_int_equal(frames_alive(), 0);
    return 0;
}

static void publish(struct world *w, uint64_t epoch)
{
    struct run *before = log_newest(w->feed->log);
    const uint64_t last_epoch = before != NULL ? before->epoch : 0;
    const uint64_t last_seq = before != NULL ? before->next - 1 : 0;
    w->epoch = epoch;
    w->msn = before != NULL ? w->msn + (w->seq - 2 + SEGMENT - 1) / SEGMENT : FIRST_MSN;
    feed_open_run(w->feed, epoch, 1, WALL_US, NULL);
    const struct cut_plan plan = {.segment_ms = 1000,
                                  .part_ms = 200,
                                  .part_target_us = 230000,
                                  .window_segments = 3,
                                  .first_msn = w->msn,
                                  .first_dsn = epoch == EPOCH ? 0 : 1,
                                  .base_msn = FIRST_MSN,
                                  .previous_epoch = last_epoch,
                                  .previous_last_seq = last_seq};
    feed_set_plan(w->feed, &plan);
    struct frame *f = make_frame(FRAME_VIDEO, FRAME_CONFIG, 1, 0, 5 + sizeof avcc);
    memset(f->data + 1, 0, 4);
    memcpy(f->data + 5, avcc, sizeof avcc);
    f->data[0] = 0x17;
    feed_append(w->feed, f);
    w->seq = 2;
}

/* A key frame and a segment every second, a part every fifth frame. */
static void frames(struct world *w, int count)
{
    for (; count > 0; count--, w->seq++) {
        uint64_t n = w->seq - 2;
        bool key = n % SEGMENT == 0;
        struct frame *f =
            make_frame(FRAME_VIDEO, key ? FRAME_KEY : 0, w->seq, (int64_t)n * 40, FRAME_SIZE);
        f->data[1] = 1;
        memset(f->data + 2, 0, 3);
        struct cut cut = {.msn = n / SEGMENT,
                          .part = (uint32_t)(n % SEGMENT / PART),
                          .init = 1,
                          .start_us = (int64_t)n * 40000,
                          .wall_us = WALL_US + (int64_t)n * 40000,
                          .independent = key,
                          .track_count = key ? 1 : 0};
        if (n % PART == 0)
            frame_set_cut(f, &cut);
        feed_append(w->feed, f);
    }
}

static int dial(struct world *w, const char *method, const char *what, const char *headers)
{
    struct net_address peer = loopback(4711);
    char request[1024];
    int ours, theirs;
    tcp_pair(&ours, &theirs);
    http_server_accept(w->f.w, io_accept(w->f.w, ours, &peer, NULL, NULL), w->server);
    snprintf(request, sizeof request,
             "%s /" STREAM "%s HTTP/1.1\r\nHost: h\r\n%s"
             "Connection: close\r\n\r\n",
             method, what, headers);
    send_text(theirs, request);
    return theirs;
}

/* Reads the answer until the connection ends: the status. */
static int answer_of(struct world *w, int fd)
{
    int status = 0;
    inbox_free(&w->in);
    TURN_UNTIL(&w->f, (inbox_read(&w->in, fd, 100000), w->in.eof));
    close(fd);
    assert_int_equal(sscanf(w->in.data, "HTTP/1.1 %d ", &status), 1);
    return status;
}

static int ask(struct world *w, const char *what)
{
    return answer_of(w, dial(w, "GET", what, ""));
}

static struct slice body(const struct world *w)
{
    const char *at = strstr(w->in.data, "\r\n\r\n") + 4;
    return slice_of(at, w->in.len - (size_t)(at - w->in.data));
}

static void assert_has(const struct world *w, const char *text)
{
    if (!inbox_has(&w->in, text))
        fail_msg("no \"%s\" in: %s", text, w->in.data);
}

/* Eight segments and two parts; the window has six of them, for three targets of two seconds. */
static void a_playlist(void **state)
{
    struct world *w = *state;
    publish(w, EPOCH);
    frames(w, 8 * SEGMENT + 2 * PART + 1);
    assert_int_equal(ask(w, ".m3u8?token=x"), 302);
    assert_has(w, "\r\nLocation: /live/a/index.m3u8?token=x\r\n");
    assert_int_equal(ask(w, "/index.m3u8"), 200);
    assert_has(w, "CODECS=\"avc1.");
    assert_has(w, "\nmain.m3u8\n");
    assert_int_equal(ask(w, "/main.m3u8"), 200);
    assert_has(w, "\r\nContent-Type: application/vnd.apple.mpegurl\r\n");
    char known[64];
    const char *etag = strstr(w->in.data, "\r\nETag: \"");
    assert_non_null(etag);
    snprintf(known, sizeof known, "If-None-Match: %.18s\r\n", etag + strlen("\r\nETag: "));
    assert_has(w, "\r\nAccess-Control-Allow-Origin: *\r\n");
    assert_has(w, "#EXT-X-TARGETDURATION:2\n");
    assert_has(w, "PART-TARGET=0.230\n");
    assert_has(w, "#EXT-X-MEDIA-SEQUENCE:102\n");
    assert_has(w, "#EXTINF:1.000,\nmain-1795404426681057-107.m4s\n");
    assert_has(w, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"main-1795404426681057-108.2.m4s\"\n");
    assert_int_equal(inbox_count(&w->in, "#EXTINF"), 6);
    assert_int_equal(answer_of(w, dial(w, "GET", "/main.m3u8", "Accept-Encoding: br, gzip\r\n")),
                     200);
    assert_has(w, "\r\nContent-Encoding: gzip\r\n");
    assert_int_equal(body(w).p[0], 0x1f);
    assert_int_equal(answer_of(w, dial(w, "GET", "/main.m3u8", known)), 304);
}

static void segments_are_their_parts(void **state)
{
    struct world *w = *state;
    struct buf parts;
    char name[64];
    buf_init(&parts, 1 << 20);
    publish(w, EPOCH);
    frames(w, 3 * SEGMENT + PART + 1);
    for (int i = 0; i < SEGMENT / PART; i++) {
        snprintf(name, sizeof name, "/main-1795404426681057-101.%d.m4s", i);
        assert_int_equal(ask(w, name), 200);
        buf_append(&parts, body(w).p, body(w).len);
    }
    assert_int_equal(ask(w, "/main-1795404426681057-101.m4s"), 200);
    assert_has(w, "\r\nCache-Control: public, max-age=31536000, immutable\r\n");
    assert_true(slice_eq(body(w), buf_slice(&parts)));
    struct slice all = buf_slice(&parts);
    static const struct {
        const char *range;
        int status;
        size_t from, to; /* of what is answered; from the end: to 0 */
    } cases[] = {
        {"bytes=0-99", 206, 0, 100},     {"bytes=700-", 206, 700, 0},
        {"bytes=-10", 206, SIZE_MAX, 0}, {"bytes=0-9999999", 206, 0, 0},
        {"bytes=99999999-", 416, 0, 0},  {"bytes=-0", 416, 0, 0},
        {"bytes=5-4", 200, 0, 0},        {"bytes=0-1,4-5", 200, 0, 0},
        {"lines=0-1", 200, 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char header[64];
        snprintf(header, sizeof header, "Range: %s\r\n", cases[i].range);
        int status = answer_of(w, dial(w, "GET", "/main-1795404426681057-101.m4s", header));
        if (status != cases[i].status)
            fail_msg("%s: %d", cases[i].range, status);
        size_t from = cases[i].from == SIZE_MAX ? all.len - 10 : cases[i].from;
        size_t to = cases[i].to == 0 ? all.len : cases[i].to;
        if (status != 416)
            assert_true(slice_eq(body(w), slice_of(all.p + from, to - from)));
    }
    assert_int_equal(answer_of(w, dial(w, "HEAD", "/main-1795404426681057-101.m4s", "")), 200);
    assert_int_equal(body(w).len, 0);
    buf_fini(&parts);
}

static void what_is_not_there(void **state)
{
    static const struct {
        const char *what;
        int status;
    } cases[] = {
        {"/v1.m3u8", 404},
        {"/a0.m3u8", 404},
        {"/other.m3u8", 404},
        {"/main-1-101.m4s", 404},
        {"/main-1795404426681057-99.m4s", 404},
        {"/main-1795404426681057-101.5.m4s", 404},
        {"/a0-1795404426681057-101.m4s", 404},
        {"/main-1795404426681057-105.m4s", 404},
        {"/main-1795404426681057-103.40.m4s", 404},
        {"/main-0000000000000000.mp4", 404},
        {"/main.m3u8?_HLS_part=1", 400},
        {"/main.m3u8?_HLS_msn=x", 400},
        {"/main.m3u8?_HLS_msn=105", 400},
        {"/main.m3u8?_HLS_msn=103&_HLS_part=30", 400},
        {"/main.m3u8?_HLS_msn=3&_HLS_part=30", 200},
    };
    struct world *w = *state;
    publish(w, EPOCH);
    frames(w, 3 * SEGMENT + PART + 1);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int status = ask(w, cases[i].what);
        if (status != cases[i].status)
            fail_msg("%s: %d", cases[i].what, status);
    }
}

static int64_t held(const struct world *w)
{
    return METRIC_GET(w->f.w->metrics.hls_held);
}

/* Each asks for something that the next part brings, by another name. */
static void held_until_it_comes(void **state)
{
    static const struct {
        const char *what, *has;
        int frames; /* until it is there, from one frame into part 2 of segment 103 */
    } cases[] = {
        {"/main.m3u8?_HLS_msn=103&_HLS_part=2", "103.3.m4s", PART},
        {"/main.m3u8?_HLS_msn=103&_HLS_part=4", "-104.0.m4s", 3 * PART},
        {"/main.m3u8?_HLS_msn=103&_HLS_part=7", "-104.1.m4s", 4 * PART},
        {"/main.m3u8?_HLS_msn=103", "103.m4s", 3 * PART},
        {"/main.m3u8?_HLS_msn=104&_HLS_part=0", "-104.1.m4s", 4 * PART},
        {"/main-1795404426681057-103.2.m4s", "moof", PART},
        {"/main-1795404426681057-103.m4s", "HTTP", 3 * PART},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        void *one = NULL;
        setup(&one);
        struct world *w = one;
        publish(w, EPOCH);
        frames(w, 3 * SEGMENT + 2 * PART + 1);
        int fd = dial(w, "GET", cases[i].what, "");
        TURN_UNTIL(&w->f, held(w) == 1);
        frames(w, cases[i].frames - 1);
        for (int n = 0; n < 20; n++)
            fixture_turn(&w->f);
        if (held(w) != 1)
            fail_msg("%s is answered too soon", cases[i].what);
        frames(w, 1);
        TURN_UNTIL(&w->f, held(w) == 0);
        assert_int_equal(answer_of(w, fd), 200);
        if (strcmp(cases[i].has, "moof") != 0)
            assert_has(w, cases[i].has);
        teardown(&one);
    }
}

static void a_crowd_is_answered_at_once(void **state)
{
    struct world *w = *state;
    static int fds[CROWD];
    publish(w, EPOCH);
    frames(w, 3 * SEGMENT + 1);
    for (int i = 0; i < CROWD; i++) {
        fds[i] = dial(w, "GET", "/main.m3u8?_HLS_msn=103&_HLS_part=0", "");
        fixture_turn(&w->f);
    }
    TURN_UNTIL(&w->f, held(w) == CROWD);
    close(fds[7]); /* somebody leaves */
    TURN_UNTIL(&w->f, held(w) == CROWD - 1);
    frames(w, PART);
    TURN_UNTIL(&w->f, held(w) == 0);
    for (int i = 0; i < CROWD; i++)
        if (i != 7)
            assert_int_equal(answer_of(w, fds[i]), 200);
    assert_has(w, "103.1.m4s");
}

/* Nobody is told of a new publisher before it has a part; then the line breaks and numbers go on.
 */
static void a_new_publisher(void **state)
{
    struct world *w = *state;
    publish(w, EPOCH);
    frames(w, 3 * SEGMENT + PART + 1);
    publish(w, EPOCH + 5);
    frames(w, PART);
    assert_int_equal(ask(w, "/main.m3u8"), 200);
    assert_null(strstr(w->in.data, "DISCONTINUITY"));
    assert_null(strstr(w->in.data, "103.m4s"));
    assert_has(w, "HINT:TYPE=PART,URI=\"main-1795404426681057-103.1.m4s\"");
    frames(w, 1);
    assert_int_equal(ask(w, "/main.m3u8"), 200);
    assert_has(w, "#EXTINF:0.240,\nmain-1795404426681057-103.m4s\n");
    assert_has(w, "103.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP");
    assert_has(w, "URI=\"main-1795404426681062-104.0.m4s\",INDEPENDENT=YES\n");
}

static void an_end(void **state)
{
    struct world *w = *state;
    publish(w, EPOCH);
    frames(w, 3 * SEGMENT + PART + 1);
    int fd = dial(w, "GET", "/main.m3u8?_HLS_msn=103&_HLS_part=3", "");
    TURN_UNTIL(&w->f, held(w) == 1);
    feed_set_last(w->feed, log_newest(w->feed->log)->next - 1);
    feed_end(w->feed, CLOSE_UNPUBLISHED);
    assert_int_equal(answer_of(w, fd), 200);
    assert_has(w, "#EXTINF:0.240,\nmain-1795404426681057-103.m4s\n");
    for (bool ended = false; !ended; ended = inbox_has(&w->in, "#EXT-X-ENDLIST"))
        assert_int_equal(ask(w, "/main.m3u8"), 200);
    assert_int_equal(ask(w, "/main.m3u8?_HLS_msn=900"), 200);
}

/* Few are kept for the next who asks, each once. */
static void what_is_kept(void **state)
{
    enum { PARTS = 20, KEPT = 16 };
    struct world *w = *state;
    char name[64];
    publish(w, EPOCH);
    frames(w, 4 * SEGMENT + PART + 1);
    for (int i = 0; i < 2 * PARTS; i++) {
        int part = i % PARTS;
        snprintf(name, sizeof name, "/main-1795404426681057-%d.%d.m4s", FIRST_MSN + part / 5,
                 part % 5);
        assert_int_equal(ask(w, name), 200);
        int made = i + 1 < KEPT ? i + 1 : KEPT;
        assert_int_equal(METRIC_GET(w->f.w->metrics.hls_units), made);
    }
    assert_int_equal(ask(w, name), 200);
    assert_int_equal(METRIC_GET(w->f.w->metrics.hls_units), KEPT);
}

/* A segment of each frame, and a configuration of its own for each. */
static void restless(struct world *w, int count, int64_t step_us)
{
    for (int n = 0; n < count; n++) {
        struct frame *config = make_frame(FRAME_VIDEO, FRAME_CONFIG, w->seq++, 0, 5 + sizeof avcc);
        memset(config->data + 1, 0, 4);
        memcpy(config->data + 5, avcc, sizeof avcc);
        config->data[0] = 0x17;
        config->data[5 + sizeof avcc - 2] = (uint8_t)(n >> 8);
        config->data[5 + sizeof avcc - 1] = (uint8_t)n;
        feed_append(w->feed, config);
        struct frame *f = make_frame(FRAME_VIDEO, FRAME_KEY, w->seq++, n * step_us / 1000, 10);
        f->data[1] = 1;
        memset(f->data + 2, 0, 3);
        const struct cut cut = {.msn = (uint64_t)n,
                                .init = (uint32_t)n + 1,
                                .start_us = n * step_us,
                                .wall_us = WALL_US + n * step_us,
                                .independent = true,
                                .track_count = 1};
        frame_set_cut(f, &cut);
        feed_append(w->feed, f);
    }
}

static void all_that_is_listed_is_there(void **state)
{
    struct world *w = *state;
    char path[64];
    publish(w, EPOCH);
    restless(w, 80, 100000);
    assert_int_equal(ask(w, "/main.m3u8"), 200);
    char *list = strdup(w->in.data);
    size_t count = 0;
    for (const char *at = list; (at = strstr(at, "#EXT-X-MAP:URI=\"")) != NULL; count++) {
        at += strlen("#EXT-X-MAP:URI=\"");
        snprintf(path, sizeof path, "/%.*s", (int)strcspn(at, "\""), at);
        assert_int_equal(ask(w, path), 200);
    }
    free(list);
    assert_int_equal(count, 60); /* three targets of two seconds */
}

static void the_newest_is_listed(void **state)
{
    struct world *w = *state;
    publish(w, EPOCH);
    restless(w, 3000, 0);
    assert_int_equal(ask(w, "/main.m3u8"), 200);
    assert_has(w, "main-1795404426681057-3098.m4s\n");
    assert_int_equal(inbox_count(&w->in, "#EXTINF"), 2047);
}

static void nobody_publishes(void **state)
{
    struct world *w = *state;
    assert_int_equal(ask(w, "/index.m3u8"), 404);
    assert_has(w, "\r\nRetry-After: ");
    int64_t since_us = clock_us();
    TURN_UNTIL(&w->f, w->feed->reader_count == 0);
    assert_true(clock_us() - since_us < 5000000);
    int fd = dial(w, "GET", "/main.m3u8", "");
    TURN_UNTIL(&w->f, held(w) == 1);
    publish(w, EPOCH);
    frames(w, SEGMENT + 1);
    assert_int_equal(answer_of(w, fd), 200); /* it came in time */
}

#define HLS_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HLS_TEST(a_playlist),
        HLS_TEST(segments_are_their_parts),
        HLS_TEST(what_is_not_there),
        cmocka_unit_test(held_until_it_comes),
        HLS_TEST(a_crowd_is_answered_at_once),
        HLS_TEST(a_new_publisher),
        HLS_TEST(an_end),
        HLS_TEST(what_is_kept),
        HLS_TEST(all_that_is_listed_is_there),
        HLS_TEST(the_newest_is_listed),
        HLS_TEST(nobody_publishes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
