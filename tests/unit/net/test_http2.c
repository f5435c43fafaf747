#include "test.h"

#include "http2_client.h"
#include "net/http2_connection.h"
#include "net/http_server.h"

#define LATER_MAX  300
#define STREAM_LEN 700000
#define BIG_LEN    (3 << 20)
#define BODY_LEFT  100
#define PIECES     700 /* of content */

struct site {
    struct net_fixture f;
    struct http_server *server;
    struct client c;
    struct http_exchange *later[LATER_MAX];
    int later_count, calls, gone, writable;
    enum close_reason why;
    char *bytes;
    struct iovec pieces[PIECES];
    int released;
    size_t streamed[LATER_MAX];
    struct buf taken; /* of a body that follows */
    bool body_ended, take_nothing;
};

/* --- handlers --- */

static void ok(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct site *s = arg;
    s->calls++;
    http_respond(x, 200, NULL, 0, slice_text("ok"));
}

static void echo(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct buf text;
    buf_init(&text, HTTP_BODY_MAX * 2);
    buf_printf(&text, "%s %.*s %.*s %.*s|", http_method_name(req->method), SLICE_ARG(req->path),
               SLICE_ARG(req->query), SLICE_ARG(http_request_header(req, "X-Word")));
    buf_append(&text, req->body.p, req->body.len);
    http_respond(x, 200, NULL, 0, buf_slice(&text));
    buf_fini(&text);
}

static int index_of(struct site *s, const struct http_exchange *x)
{
    for (int i = 0; i < s->later_count; i++) {
        if (s->later[i] == x)
            return i;
    }
    fail();
    return -1;
}

static void stream_more(struct site *s, int i)
{
    while (s->later[i] != NULL && s->streamed[i] < STREAM_LEN) {
        size_t at = s->streamed[i], left = STREAM_LEN - at, first = left / 3;
        struct iovec iov[] = {{s->bytes + at, first}, {s->bytes + at + first, left - first}};
        ssize_t n = http_stream_writev(s->later[i], iov, 2);
        assert_true(n >= 0);
        if (n == 0)
            return;
        s->streamed[i] += (size_t)n;
    }
    if (s->later[i] != NULL)
        http_stream_end(s->later[i], CLOSE_FINISHED);
    s->later[i] = NULL;
}

static void on_writable(struct http_exchange *x, void *arg)
{
    struct site *s = arg;
    s->writable++;
    stream_more(s, index_of(s, x));
}

static void on_gone(struct http_exchange *x, enum close_reason why, void *arg)
{
    struct site *s = arg;
    s->gone++;
    s->why = why;
    s->later[index_of(s, x)] = NULL;
    http_respond(x, 500, NULL, 0, slice_of(NULL, 0)); /* too late, and harmless */
}

static ssize_t on_body(struct http_exchange *x, struct slice bytes, void *arg)
{
    struct site *s = arg;
    size_t n = s->take_nothing ? 0 : bytes.len;
    assert_int_equal(buf_append(&s->taken, bytes.p, n), 0);
    return (ssize_t)n;
}

static void on_body_end(struct http_exchange *x, void *arg)
{
    ((struct site *)arg)->body_ended = true;
}

static const struct http_exchange_ops ops = {
    .on_writable = on_writable, .on_gone = on_gone, .on_body = on_body, .on_body_end = on_body_end};

static int keep(struct site *s, struct http_exchange *x)
{
    assert_true(s->later_count < LATER_MAX);
    s->later[s->later_count] = x;
    s->streamed[s->later_count] = 0;
    http_exchange_watch(x, &ops, s);
    return s->later_count++;
}

static void answer_later(struct http_exchange *x, const struct http_request *req, void *arg)
{
    keep(arg, x);
}

static void begin_stream(struct http_exchange *x, const struct http_request *req, void *arg)
{
    int i = keep(arg, x);
    http_stream(x, 200, NULL, 0);
    assert_null(http_exchange_io(x));
    assert_int_equal(http_stream_write(x, slice_text("FLV")), 0);
    if (req->query.len == 0)
        stream_more(arg, i);
}

static void upload(struct http_exchange *x, const struct http_request *req, void *arg)
{
    assert_true(req->body_follows);
    keep(arg, x);
}

static void big(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct site *s = arg;
    s->calls++;
    http_respond(x, 200, NULL, 0, slice_of(s->bytes, BIG_LEN));
}

static void on_release(void *arg)
{
    ((struct site *)arg)->released++;
}

/* Bytes CONTENT_AT to BIG_LEN - 4 of what lies in pieces of many sizes, none of them too; with a
 * query the header is one that cannot be written. */
#define CONTENT_AT  25 /* into the fourth piece */
#define CONTENT_LEN (BIG_LEN - CONTENT_AT - 4)
static void content(struct http_exchange *x, const struct http_request *req, void *arg)
{
    const struct http_header evil = {"X-Word", slice_text("a\r\nX-Evil: 1")};
    struct site *s = arg;
    size_t at = 0;
    for (size_t i = 0; i < PIECES; i++) {
        size_t len = i + 1 < PIECES ? i * 7 % 301 : BIG_LEN - at;
        s->pieces[i] = (struct iovec){s->bytes + at, len};
        at += len;
    }
    s->calls++;
    const struct http_content c = {s->pieces, PIECES, CONTENT_AT, CONTENT_LEN, on_release, s};
    bool soon = slice_is(req->query, "soon"); /* wanted back */
    if (soon)
        http_exchange_take_ms(x, 10);
    http_respond_content(x, 200, &evil, req->query.len > 0 && !soon ? 1 : 0, &c);
}

static void content_not_modified(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct site *s = arg;
    s->pieces[0] = (struct iovec){s->bytes, 9};
    const struct http_content c = {s->pieces, 1, 0, 9, on_release, s};
    http_respond_content(x, 304, NULL, 0, &c);
}

static void forged(struct http_exchange *x, const struct http_request *req, void *arg)
{
    const struct http_header header = {"Location", slice_text("/a\r\nX-Evil: 1")};
    http_respond(x, 302, &header, 1, slice_of(NULL, 0));
}

static void not_modified(struct http_exchange *x, const struct http_request *req, void *arg)
{
    http_respond(x, 304, NULL, 0, slice_text("never sent"));
}

#define ROUTE(m, p, h)                                                                             \
    {                                                                                              \
        .method = (m), .pattern = (p), .handle = (h)                                               \
    }

static const struct http_route routes[] = {
    ROUTE("GET", "/ok", ok),
    ROUTE("*", "/echo", echo),
    ROUTE("GET", "/later", answer_later),
    ROUTE("GET", "/stream", begin_stream),
    ROUTE("GET", "/big", big),
    ROUTE("GET", "/content", content),
    ROUTE("GET", "/content304", content_not_modified),
    ROUTE("GET", "/forged", forged),
    ROUTE("GET", "/304", not_modified),
    {.method = "POST", .pattern = "/upload", .handle = upload, .body_unread_max = BODY_LEFT},
};

/* --- the site --- */

static void dial_raw(struct site *s, int *theirs)
{
    struct net_address peer = loopback(4711);
    int ours;
    tcp_pair(&ours, theirs);
    http_server_accept(s->f.w, io_accept(s->f.w, ours, &peer, NULL, NULL), s->server);
}

static void dial(struct site *s, uint32_t window, bool manual)
{
    int fd;
    dial_raw(s, &fd);
    client_open(&s->c, fd, window, manual);
}

static void hang_up(struct site *s)
{
    client_close(&s->c);
    TURN_UNTIL(&s->f, METRIC_GET(s->f.w->metrics.connections_open) == 0);
}

static int setup(void **state)
{
    struct site *s = xcalloc(1, sizeof *s);
    fixture_open(&s->f);
    s->server = http_server_new(&(struct http_server_options){.name = "test",
                                                              .routes = routes,
                                                              .route_count = COUNT_OF(routes),
                                                              .arg = s,
                                                              .cors_origin = "*",
                                                              .http2 = true});
    s->bytes = xmalloc(BIG_LEN);
    for (size_t i = 0; i < BIG_LEN; i++)
        s->bytes[i] = (char)('a' + i % 23);
    buf_init(&s->taken, 16 << 20);
    dial(s, 16 << 20, false);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct site *s = *state;
    hang_up(s);
    http_server_free(&s->server);
    fixture_close(&s->f);
    buf_fini(&s->taken);
    free(s->bytes);
    free(s);
    return 0;
}

#define IS_CLOSED(id) (client_reply(&s->c, (id))->closed)
#define STATUS(id)    (client_reply(&s->c, (id))->status)
#define BODY(id)      buf_slice(&client_reply(&s->c, (id))->body)

static int get(struct site *s, const char *path)
{
    int32_t id = client_ask(&s->c, "GET", path, NULL, false);
    CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(id) || s->c.eof);
    return STATUS(id);
}

/* --- requests --- */

static void requests_and_their_status(void **state)
{
    static const char *const
        word[] = {"x-word", "w", NULL},
        *const evil[] = {"x", "a\nb: c", NULL}, *const upper[] = {"X-Word", "w", NULL},
        *const coding[] = {"transfer-encoding", "chunked", NULL},
        *const connection[] = {"connection", "close", NULL}, *const same[] = {"host", "h", NULL},
        *const other[] = {"host", "other", NULL}, *const twice[] = {":path", "/echo", NULL},
        *const length[] = {"content-length", "7", NULL};
    static const struct {
        const char *method, *path;
        const char *const *extra;
        int status;      /* 0: the stream is reset */
        const char *has; /* NULL: whatever */
    } cases[] = {
        {"GET", "/ok", NULL, 200, "content-length: 2"},
        {"GET", "/ok", NULL, 200, "access-control-allow-origin: *"},
        {"GET", "/ok", NULL, 200, "date: "},
        {"GET", "/%6fk", NULL, 200, "ok"},
        {"HEAD", "/ok", NULL, 200, "content-length: 2"},
        {"GET", "/304", NULL, 304, NULL},
        {"GET", "/echo?a=b", word, 200, "GET /echo a=b w|"},
        {"DELETE", "/echo", same, 200, "DELETE /echo"},
        {"GET", "/forged", NULL, 500, NULL},
        {"GET", "/nothing", NULL, 404, "not_found"},
        {"PUT", "/ok", NULL, 405, "allow: GET, HEAD, OPTIONS"},
        {"OPTIONS", "/ok", NULL, 204, "access-control-allow-methods"},
        {"OPTIONS", "*", NULL, 404, NULL},
        {"BREW", "/ok", NULL, 501, NULL},
        {"GET", "/%00", NULL, 400, "bad_request"},
        {"GET", "/a%2fb", NULL, 400, NULL},
        {"GET", "/../ok", NULL, 400, NULL},
        {"GET", "//ok", NULL, 400, NULL},
        {"GET", "/%zz", NULL, 400, NULL},
        {"GET", "/ok", other, 400, NULL},
        {"GET", "ok", NULL, 0, NULL},
        {"GET", "/ok HTTP/1.1", NULL, 0, NULL},
        {"GET", "http://h/ok", NULL, 0, NULL},
        {"GET", "", NULL, 0, NULL},
        {"G T", "/ok", NULL, 0, NULL},
        {"GET", "/ok", evil, 0, NULL},
        {"GET", "/ok", upper, 0, NULL},
        {"GET", "/ok", coding, 0, NULL},
        {"GET", "/ok", connection, 0, NULL},
        {"GET", "/ok", twice, 0, NULL},
        {"POST", "/echo", length, 0, NULL},
    };
    struct site *s = *state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int32_t id = client_ask(&s->c, cases[i].method, cases[i].path, cases[i].extra, false);
        CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(id) || s->c.eof);
        if (STATUS(id) != cases[i].status)
            fail_msg("case %zu: %s %s: %d", i, cases[i].method, cases[i].path, STATUS(id));
        if (cases[i].status == 0)
            assert_int_equal(client_reply(&s->c, id)->error, NGHTTP2_PROTOCOL_ERROR);
        if (cases[i].has != NULL && !client_has(&s->c, id, cases[i].has))
            fail_msg("%s %s", cases[i].method, cases[i].path);
        assert_false(client_has(&s->c, id, "evil"));
        bool empty = strcmp(cases[i].method, "HEAD") == 0 || cases[i].status == 304;
        assert_true(!empty || BODY(id).len == 0);
    }
    assert_false(s->c.eof);
}

static void limits_have_their_status(void **state)
{
    struct site *s = *state;
    char *text = xcalloc(1, 20000);
    const char *extra[2 * 70 + 1] = {"x-long", text, NULL};
    memset(text, 'a', HTTP1_LINE_MAX + 100);
    text[0] = '/';
    assert_int_equal(get(s, text), 414);
    memset(text, 'a', HTTP1_HEAD_MAX);
    int32_t id = client_ask(&s->c, "GET", "/ok", extra, false);
    CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(id));
    assert_int_equal(STATUS(id), 431);
    for (int i = 0; i < 70; i++) {
        extra[2 * i] = "x-word";
        extra[2 * i + 1] = "w";
    }
    id = client_ask(&s->c, "GET", "/ok", extra, false);
    CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(id));
    assert_int_equal(STATUS(id), 431);
    assert_int_equal(get(s, "/ok"), 200);
    free(text);
}

static void the_preface_is_found_wherever_it_is_cut(void **state)
{
    struct site *s = *state;
    for (size_t piece = 1; piece < 100; piece += piece < 40 ? 1 : 20) {
        hang_up(s);
        dial(s, 65535, false);
        int32_t id = client_ask(&s->c, "GET", "/ok", NULL, false);
        client_pump(&s->c, &s->f, piece);
        CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(id) || s->c.eof);
        assert_int_equal(STATUS(id), 200);
    }
}

static void other_first_bytes_are_http1(void **state)
{
    static const char *const requests[] = {
        "GET /ok HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "P", /* a beginning that is followed by the rest of it */
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    };
    static const char *const answers[] = {"200 OK", "200 OK", "505 "};
    struct site *s = *state;
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        struct inbox in = {0};
        int fd;
        dial_raw(s, &fd);
        send_text(fd, requests[i]);
        for (int k = 0; k < 3; k++)
            fixture_turn(&s->f);
        if (strlen(requests[i]) == 1)
            send_text(fd, "OST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n"
                          "Connection: close\r\n\r\n");
        READ_UNTIL(&s->f, &in, fd, in.eof);
        assert_true(inbox_has(&in, answers[i]));
        inbox_free(&in);
        close(fd);
    }
}

/* --- bodies --- */

static void bodies_are_collected(void **state)
{
    struct site *s = *state;
    static const struct {
        size_t len;
        int status;
    } cases[] = {
        {0, 200},      {1, 200}, {16384, 200}, {HTTP_BODY_MAX, 200}, {HTTP_BODY_MAX + 1, 413},
        {BIG_LEN, 413}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        s->c.upload = slice_of(s->bytes, cases[i].len);
        int32_t id = client_ask(&s->c, "POST", "/echo", NULL, true);
        CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(id));
        assert_int_equal(STATUS(id), cases[i].status);
        if (cases[i].status == 200)
            assert_int_equal(BODY(id).len, cases[i].len + strlen("POST /echo  |"));
    }
    assert_int_equal(get(s, "/ok"), 200);
}

static void a_body_is_handed_on_as_it_comes(void **state)
{
    struct site *s = *state;
    s->c.upload = slice_of(s->bytes, BIG_LEN);
    int32_t id = client_ask(&s->c, "POST", "/upload", NULL, true);
    CLIENT_UNTIL(&s->c, &s->f, buf_len(&s->taken) > 100000);
    http_exchange_pause(s->later[0], true);
    size_t had = buf_len(&s->taken);
    for (int i = 0; i < 100; i++)
        client_pump(&s->c, &s->f, SIZE_MAX);
    assert_int_equal(buf_len(&s->taken), had);
    assert_true(s->c.upload.len > BIG_LEN / 2); /* the window holds it back */
    assert_int_equal(get(s, "/ok"), 200);       /* nobody else */
    http_exchange_pause(s->later[0], false);
    CLIENT_UNTIL(&s->c, &s->f, s->body_ended);
    assert_int_equal(buf_len(&s->taken), BIG_LEN);
    assert_memory_equal(buf_slice(&s->taken).p, s->bytes, BIG_LEN);
    http_respond(s->later[0], 200, NULL, 0, slice_text("done"));
    CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(id));
    assert_true(client_has(&s->c, id, "done"));
}

static void an_owner_who_leaves_too_much(void **state)
{
    struct site *s = *state;
    s->take_nothing = true;
    s->c.upload = slice_of(s->bytes, BODY_LEFT + 1);
    s->c.upload_open = true;
    int32_t id = client_ask(&s->c, "POST", "/upload", NULL, true);
    CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(id));
    assert_int_equal(STATUS(id), 400);
    assert_int_equal(s->gone, 1);
    assert_int_equal(s->why, CLOSE_BAD_INPUT);
}

/* --- many streams --- */

static void many_streams_are_answered_in_any_order(void **state)
{
    struct site *s = *state;
    int32_t first = client_ask(&s->c, "GET", "/later", NULL, false);
    for (int i = 1; i < HTTP2_STREAMS_MAX; i++)
        client_ask(&s->c, "GET", "/later", NULL, false);
    CLIENT_UNTIL(&s->c, &s->f, s->later_count == HTTP2_STREAMS_MAX);
    for (int i = HTTP2_STREAMS_MAX - 1; i >= 0; i--) {
        int32_t id = first + 2 * i;
        http_respond(s->later[i], 200 + i, NULL, 0, slice_text("late"));
        CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(id));
        assert_int_equal(STATUS(id), 200 + i);
        if (i > 0)
            assert_false(IS_CLOSED(first));
    }
}

static void more_streams_than_allowed_are_refused(void **state)
{
    struct site *s = *state;
    int refused = 0;
    nghttp2_session_consume(s->c.session, 0, 0);
    for (int i = 0; i < HTTP2_STREAMS_MAX + 5; i++)
        client_ask(&s->c, "GET", "/later", NULL, false);
    /* All at once, before it has seen the server's settings. */
    const uint8_t *bytes;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(s->c.session, &bytes)) > 0)
        send_all(s->c.fd, bytes, (size_t)n);
    CLIENT_UNTIL(&s->c, &s->f, s->later_count == HTTP2_STREAMS_MAX);
    CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(2 * (HTTP2_STREAMS_MAX + 5) - 1));
    for (int i = 0; i < HTTP2_STREAMS_MAX + 5; i++)
        refused += client_reply(&s->c, 2 * i + 1)->error == NGHTTP2_REFUSED_STREAM;
    assert_int_equal(refused, 5);
    assert_int_equal(s->gone, 0);
}

static void answers_wait_for_answers(void **state)
{
    struct site *s = *state;
    hang_up(s);
    dial(s, 65535, true);
    for (int i = 0; i < 20; i++)
        client_ask(&s->c, "GET", "/big", NULL, false);
    for (int i = 0; i < 200; i++)
        client_pump(&s->c, &s->f, SIZE_MAX);
    assert_in_range(s->calls, 2, HTTP2_ANSWERS_MAX / BIG_LEN + 1);
    nghttp2_session_set_local_window_size(s->c.session, NGHTTP2_FLAG_NONE, 0, 1 << 30);
    for (int i = 0; i < 20; i++)
        nghttp2_submit_window_update(s->c.session, NGHTTP2_FLAG_NONE, 2 * i + 1, 16 << 20);
    for (int i = 0; i < 20; i++) {
        CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(2 * i + 1));
        assert_int_equal(BODY(2 * i + 1).len, BIG_LEN);
        assert_memory_equal(BODY(2 * i + 1).p, s->bytes, BIG_LEN);
    }
}

/* --- content --- */

static void check_content(struct site *s, int32_t id)
{
    assert_int_equal(STATUS(id), 200);
    assert_int_equal(BODY(id).len, CONTENT_LEN);
    assert_memory_equal(BODY(id).p, s->bytes + CONTENT_AT, CONTENT_LEN);
}

static void content_beside_other_answers(void **state)
{
    struct site *s = *state;
    for (int i = 0; i < 10; i++)
        client_ask(&s->c, "GET", i % 2 ? "/big" : "/content", NULL, false);
    for (int i = 0; i < 10; i++) {
        CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(2 * i + 1));
        if (i % 2 == 0)
            check_content(s, 2 * i + 1);
    }
    assert_int_equal(s->released, 5);
}

static void content_without_a_body(void **state)
{
    struct site *s = *state;
    int32_t id = client_ask(&s->c, "HEAD", "/content", NULL, false);
    CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(id));
    assert_int_equal(STATUS(id), 200);
    assert_int_equal(BODY(id).len, 0);
    assert_true(client_has(&s->c, id, "content-length: 3145699\n"));
    assert_int_equal(s->released, 1);
    assert_int_equal(get(s, "/content304"), 304);
    assert_int_equal(s->released, 2);
    assert_int_equal(get(s, "/content?forged"), 500);
    assert_int_equal(s->released, 3);
}

/* It is nobody's memory but its owner's: requests do not wait for it, as they do for answers. */
static void content_waits_for_its_window(void **state)
{
    struct site *s = *state;
    hang_up(s);
    dial(s, 65535, true);
    nghttp2_session_set_local_window_size(s->c.session, NGHTTP2_FLAG_NONE, 0, 1 << 30);
    for (int i = 0; i < 20; i++)
        client_ask(&s->c, "GET", "/content", NULL, false);
    for (int i = 0; i < 20; i++)
        CLIENT_UNTIL(&s->c, &s->f, BODY(2 * i + 1).len == 65535);
    assert_int_equal(s->calls, 20);
    assert_int_equal(s->released, 0);
    assert_int_equal(get(s, "/ok"), 200);
    for (size_t had = 65535; had < CONTENT_LEN; had += 333333) {
        nghttp2_submit_window_update(s->c.session, NGHTTP2_FLAG_NONE, 1, 333333);
        size_t due = had + 333333 < CONTENT_LEN ? had + 333333 : CONTENT_LEN;
        CLIENT_UNTIL(&s->c, &s->f, BODY(1).len == due);
    }
    CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(1) && s->released == 1);
    check_content(s, 1);
    nghttp2_submit_rst_stream(s->c.session, NGHTTP2_FLAG_NONE, 3, NGHTTP2_CANCEL);
    CLIENT_UNTIL(&s->c, &s->f, s->released == 2);
    hang_up(s);
    assert_int_equal(s->released, 20);
}

static void content_nobody_takes(void **state)
{
    struct site *s = *state;
    http_server_set_times(s->server, &(struct http_times){10000, 10000, 30, 1 << 30});
    hang_up(s);
    dial(s, 65535, true);
    int32_t id = client_ask(&s->c, "GET", "/content", NULL, false);
    CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(id) && s->released == 1);
    assert_int_equal(client_reply(&s->c, id)->error, NGHTTP2_CANCEL);
    assert_int_equal(get(s, "/ok"), 200);
    http_server_set_times(s->server, &(struct http_times){10000, 10000, 3600000, 1 << 30});
    hang_up(s);
    dial(s, 65535, true);
    id = client_ask(&s->c, "GET", "/content?soon", NULL, false);
    CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(id) && s->released == 2);
    assert_int_equal(client_reply(&s->c, id)->error, NGHTTP2_CANCEL);
}

/* Bytes that the socket did not take are copied, those behind them are not. */
static void content_to_a_full_socket(void **state)
{
    struct site *s = *state;
    hang_up(s);
    dial(s, 64 << 20, false);
    const uint8_t *bytes;
    ssize_t n;
    for (int i = 0; i < 10; i++)
        client_ask(&s->c, "GET", "/content", NULL, false);
    while ((n = nghttp2_session_mem_send(s->c.session, &bytes)) > 0)
        send_all(s->c.fd, bytes, (size_t)n);
    TURN_UNTIL(&s->f, s->calls == 10);
    for (int i = 0; i < 100; i++)
        fixture_turn(&s->f);
    assert_true(s->released < 10);
    const struct http2_connection *c =
        LIST_FIRST(&s->server->locals[0].http2, struct http2_connection, node);
    assert_true(io_queued(c->io) <= 2 * HTTP2_BATCH);
    for (int i = 0; i < 10; i++) {
        CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(2 * i + 1));
        check_content(s, 2 * i + 1);
    }
    assert_int_equal(s->released, 10);
}

/* --- endless answers --- */

static void check_stream(struct site *s, int32_t id)
{
    assert_int_equal(BODY(id).len, STREAM_LEN + 3);
    assert_memory_equal(BODY(id).p, "FLV", 3);
    assert_memory_equal(BODY(id).p + 3, s->bytes, STREAM_LEN);
}

static void streams_share_a_connection(void **state)
{
    struct site *s = *state;
    for (int i = 0; i < 20; i++)
        client_ask(&s->c, "GET", "/stream", NULL, false);
    for (int i = 0; i < 20; i++) {
        CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(2 * i + 1));
        check_stream(s, 2 * i + 1);
    }
    assert_int_equal(s->gone, 0);
}

static void a_full_window_stalls_its_stream_alone(void **state)
{
    struct site *s = *state;
    hang_up(s);
    dial(s, 65535, true);
    nghttp2_session_set_local_window_size(s->c.session, NGHTTP2_FLAG_NONE, 0, 64 << 20);
    int32_t slow = client_ask(&s->c, "GET", "/stream", NULL, false);
    CLIENT_UNTIL(&s->c, &s->f, BODY(slow).len == 65535);
    for (int i = 0; i < 50; i++)
        client_pump(&s->c, &s->f, SIZE_MAX);
    assert_int_equal(BODY(slow).len, 65535);
    assert_int_equal(s->streamed[0], 65535 - 3);
    assert_int_equal(s->writable, 0);
    assert_int_equal(get(s, "/ok"), 200);
    nghttp2_submit_window_update(s->c.session, NGHTTP2_FLAG_NONE, slow, 1);
    CLIENT_UNTIL(&s->c, &s->f, BODY(slow).len == 65536);
    assert_true(s->writable > 0);
    nghttp2_submit_window_update(s->c.session, NGHTTP2_FLAG_NONE, slow, STREAM_LEN);
    CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(slow));
    check_stream(s, slow);
}

/* The peer does not read: what the server keeps is bounded, and all of it comes in the end. */
static void a_full_socket_stalls_all(void **state)
{
    struct site *s = *state;
    hang_up(s);
    dial(s, 64 << 20, false);
    const uint8_t *bytes;
    ssize_t n;
    for (int i = 0; i < 30; i++)
        client_ask(&s->c, "GET", "/stream", NULL, false);
    while ((n = nghttp2_session_mem_send(s->c.session, &bytes)) > 0)
        send_all(s->c.fd, bytes, (size_t)n);
    TURN_UNTIL(&s->f, s->later_count == 30);
    for (int i = 0; i < 100; i++)
        fixture_turn(&s->f);
    size_t taken = 0;
    for (int i = 0; i < 30; i++)
        taken += s->streamed[i];
    assert_true(taken < 30 * STREAM_LEN);
    const struct http2_connection *c =
        LIST_FIRST(&s->server->locals[0].http2, struct http2_connection, node);
    assert_true(io_queued(c->io) <= 2 * HTTP2_BATCH);
    for (int i = 0; i < 30; i++) {
        CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(2 * i + 1));
        check_stream(s, 2 * i + 1);
    }
}

static void head_of_a_stream(void **state)
{
    struct site *s = *state;
    int32_t id = client_ask(&s->c, "HEAD", "/stream", NULL, false);
    CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(id) && s->gone == 1);
    assert_int_equal(s->why, CLOSE_FINISHED);
    assert_int_equal(STATUS(id), 200);
    assert_int_equal(BODY(id).len, 0);
}

/* --- ends --- */

static void a_reset_ends_its_exchange_alone(void **state)
{
    struct site *s = *state;
    int32_t stays = client_ask(&s->c, "GET", "/later", NULL, false);
    int32_t later = client_ask(&s->c, "GET", "/later", NULL, false);
    int32_t stream = client_ask(&s->c, "GET", "/stream?wait", NULL, false);
    CLIENT_UNTIL(&s->c, &s->f, s->later_count == 3);
    nghttp2_submit_rst_stream(s->c.session, NGHTTP2_FLAG_NONE, later, NGHTTP2_CANCEL);
    CLIENT_UNTIL(&s->c, &s->f, s->gone == 1);
    nghttp2_submit_rst_stream(s->c.session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
    CLIENT_UNTIL(&s->c, &s->f, s->gone == 2);
    assert_int_equal(s->why, CLOSE_PEER_CLOSED);
    http_respond(s->later[0], 200, NULL, 0, slice_text("still"));
    CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(stays));
    assert_true(client_has(&s->c, stays, "still"));
}

static void a_lost_connection_ends_all(void **state)
{
    struct site *s = *state;
    for (int i = 0; i < 10; i++)
        client_ask(&s->c, "GET", i % 2 ? "/later" : "/stream?wait", NULL, false);
    CLIENT_UNTIL(&s->c, &s->f, s->later_count == 10);
    hang_up(s);
    assert_int_equal(s->gone, 10);
}

static void draining_says_so(void **state)
{
    struct site *s = *state;
    hang_up(s);
    dial(s, 65535, true);
    int32_t big_id = client_ask(&s->c, "GET", "/big", NULL, false);
    int32_t later = client_ask(&s->c, "GET", "/later", NULL, false);
    int32_t stream = client_ask(&s->c, "GET", "/stream?wait", NULL, false);
    CLIENT_UNTIL(&s->c, &s->f, s->later_count == 2 && BODY(big_id).len == 65535);
    http_server_drain(s->server, s->f.w);
    assert_int_equal(s->gone, 2);
    assert_int_equal(s->why, CLOSE_DRAIN);
    CLIENT_UNTIL(&s->c, &s->f, s->c.goaway && IS_CLOSED(later) && IS_CLOSED(stream));
    assert_int_equal(s->c.goaway_error, NGHTTP2_NO_ERROR);
    assert_false(s->c.eof); /* the answer is not all out */
    nghttp2_session_set_local_window_size(s->c.session, NGHTTP2_FLAG_NONE, 0, 64 << 20);
    nghttp2_submit_window_update(s->c.session, NGHTTP2_FLAG_NONE, big_id, 16 << 20);
    CLIENT_UNTIL(&s->c, &s->f, s->c.eof);
    assert_int_equal(BODY(big_id).len, BIG_LEN);
}

/* Who comes to a node that goes out of service is answered once. */
static void retired_says_so_after_an_answer(void **state)
{
    struct site *s = *state;
    http_server_retire(s->server, s->f.w, true);
    hang_up(s);
    dial(s, 65535, true);
    assert_int_equal(get(s, "/ok"), 200);
    CLIENT_UNTIL(&s->c, &s->f, s->c.eof);
    assert_true(s->c.goaway);
    assert_int_equal(s->c.goaway_error, NGHTTP2_NO_ERROR);
    http_server_retire(s->server, s->f.w, false);
    hang_up(s);
    dial(s, 65535, true);
    assert_int_equal(get(s, "/ok"), 200);
    assert_int_equal(get(s, "/ok"), 200);
    assert_false(s->c.goaway);
}

static void set_times(struct site *s, int64_t head_ms, int64_t idle_ms, int64_t answer_ms)
{
    http_server_set_times(s->server, &(struct http_times){head_ms, idle_ms, answer_ms, 1 << 30});
    hang_up(s);
    dial(s, 65535, true);
}

static void deadlines(void **state)
{
    struct site *s = *state;
    set_times(s, 10000, 30, 10000);
    assert_int_equal(get(s, "/ok"), 200);
    CLIENT_UNTIL(&s->c, &s->f, s->c.eof); /* idle */
    assert_true(s->c.goaway);

    set_times(s, 30, 10000, 10000);
    CLIENT_UNTIL(&s->c, &s->f, s->c.eof); /* no request at all */

    set_times(s, 30, 10000, 10000);
    s->c.upload_open = true;
    int32_t id = client_ask(&s->c, "POST", "/echo", NULL, true);
    CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(id));
    assert_int_equal(STATUS(id), 408);
    assert_int_equal(get(s, "/ok"), 200);

    set_times(s, 10000, 10000, 30);
    id = client_ask(&s->c, "GET", "/big", NULL, false); /* whose window is not opened */
    CLIENT_UNTIL(&s->c, &s->f, IS_CLOSED(id));
    assert_int_equal(client_reply(&s->c, id)->error, NGHTTP2_CANCEL);
    assert_int_equal(get(s, "/ok"), 200);
}

static void a_peer_that_takes_nothing_is_let_go(void **state)
{
    struct site *s = *state;
    int small = 4096;
    http_server_set_times(s->server, &(struct http_times){10000, 10000, 50, 1 << 30});
    hang_up(s);
    dial(s, 64 << 20, false);
    setsockopt(s->c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    const uint8_t *bytes;
    ssize_t n;
    for (int i = 0; i < 30; i++)
        client_ask(&s->c, "GET", "/stream", NULL, false);
    while ((n = nghttp2_session_mem_send(s->c.session, &bytes)) > 0)
        send_all(s->c.fd, bytes, (size_t)n);
    TURN_UNTIL(&s->f, METRIC_GET(s->f.w->metrics.connections_open) == 0);
    assert_true(s->gone > 0);
}

/* --- who does not behave --- */

static void write_frame(struct buf *b, uint8_t type, uint8_t flags, uint32_t id, const void *body,
                        size_t len)
{
    const uint8_t head[] = {
        (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,       type,       flags,
        (uint8_t)(id >> 24),  (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};
    assert_int_equal(buf_append(b, head, sizeof head), 0);
    assert_int_equal(buf_append(b, body, len), 0);
}

/* ":method: GET", ":scheme: http", ":path: /later", ":authority: h", without an index. */
static const char later_head[] = "\x82\x86\x04\x06/later\x01\x01h";
#define LATER_HEAD (sizeof later_head - 1)

/* Sends raw bytes after preface and settings until the server ends the connection. */
static bool attack(struct site *s, const struct buf *bytes)
{
    struct buf all;
    buf_init(&all, 64 << 20);
    hang_up(s);
    dial(s, 65535, false);
    buf_append(&all, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    write_frame(&all, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    buf_append(&all, buf_slice(bytes).p, buf_len(bytes));
    struct slice left = buf_slice(&all);
    nghttp2_session_mem_send(s->c.session, &(const uint8_t *){NULL});
    for (int i = 0; i < 5000 && !s->c.eof; i++) {
        size_t n = left.len < 4096 ? left.len : 4096;
        if (n > 0 && send(s->c.fd, left.p, n, MSG_NOSIGNAL) != (ssize_t)n)
            s->c.eof = true;
        left = slice_of(left.p + n, left.len - n);
        fixture_turn(&s->f);
        uint8_t in[65536];
        ssize_t got = recv(s->c.fd, in, sizeof in, MSG_DONTWAIT);
        if (got > 0)
            nghttp2_session_mem_recv(s->c.session, in, (size_t)got);
        if (got == 0)
            s->c.eof = true;
        if (left.len == 0 && i > 100)
            break;
    }
    buf_fini(&all);
    return s->c.eof || s->c.goaway;
}

enum flood {
    PINGS,
    ACKS,
    SETTINGS,
    EMPTY_DATA,
    RESETS,
    PRIORITIES,
    WINDOWS,
    CONTINUATIONS,
    BAD_REQUESTS,
    FLOODS
};

static void write_flood(struct buf *b, enum flood f, int count)
{
    static const uint8_t zero[8], one[] = {0, 0, 0, 1}, cancel[] = {0, 0, 0, 8};
    if (f == EMPTY_DATA)
        write_frame(b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, later_head, LATER_HEAD);
    if (f == CONTINUATIONS)
        write_frame(b, NGHTTP2_HEADERS, 0, 1, later_head, LATER_HEAD);
    for (int i = 0; i < count; i++) {
        uint32_t id = 2 * (uint32_t)i + 1;
        switch (f) {
        case PINGS:
            write_frame(b, NGHTTP2_PING, 0, 0, zero, 8);
            break;
        case ACKS:
            write_frame(b, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, zero, 8);
            break;
        case SETTINGS:
            write_frame(b, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
            break;
        case EMPTY_DATA:
            write_frame(b, NGHTTP2_DATA, 0, 1, NULL, 0);
            break;
        case RESETS:
            write_frame(b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, id,
                        later_head, LATER_HEAD);
            write_frame(b, NGHTTP2_RST_STREAM, 0, id, cancel, 4);
            break;
        case PRIORITIES:
            write_frame(b, NGHTTP2_PRIORITY, 0, id + 1000, zero, 5);
            break;
        case WINDOWS:
            write_frame(b, NGHTTP2_WINDOW_UPDATE, 0, 0, one, 4);
            break;
        case CONTINUATIONS:
            write_frame(b, NGHTTP2_CONTINUATION, 0, 1, NULL, 0);
            break;
        case BAD_REQUESTS:
            write_frame(b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, id,
                        "\x82", 1);
            break;
        case FLOODS:
            break;
        }
    }
}

static void floods_end_the_connection(void **state)
{
    struct site *s = *state;
    for (int f = 0; f < FLOODS; f++) {
        struct buf b;
        buf_init(&b, 64 << 20);
        write_flood(&b, (enum flood)f, 30000);
        s->later_count = 0;
        uint64_t had = METRIC_GET(s->f.w->metrics.http2_refused_total);
        bool ended = attack(s, &b);
        if (!ended)
            fail_msg("flood %d goes on", f);
        if (f != CONTINUATIONS && METRIC_GET(s->f.w->metrics.http2_refused_total) != had + 1)
            fail_msg("flood %d ended otherwise", f);
        buf_fini(&b);
    }
    hang_up(s);
    dial(s, 65535, false);
    assert_int_equal(get(s, "/ok"), 200);
}

static void a_little_noise_is_none(void **state)
{
    struct site *s = *state;
    for (int f = 0; f < FLOODS; f++) {
        struct buf b;
        if (f == CONTINUATIONS)
            continue;
        buf_init(&b, 64 << 20);
        write_flood(&b, (enum flood)f, 50);
        s->later_count = 0;
        assert_false(attack(s, &b));
        buf_fini(&b);
    }
}

static void malformed_frames(void **state)
{
    static const struct {
        uint8_t type, flags;
        uint32_t id;
        const char *body;
        size_t len;
    } cases[] = {
        {NGHTTP2_HEADERS, 4, 2, later_head, LATER_HEAD},        /* an even stream */
        {NGHTTP2_HEADERS, 4, 0, later_head, LATER_HEAD},        /* of the connection */
        {NGHTTP2_HEADERS, 5, 1, "\xff\xff\xff\xff\xff\xff", 6}, /* no index */
        {NGHTTP2_HEADERS, 5, 1, "\x3f\xe1\xff\xff\xff\x0f", 6}, /* a huge table */
        {NGHTTP2_HEADERS, 0xd, 1, "\xff", 1},                   /* padding beyond its end */
        {NGHTTP2_DATA, 1, 1, "x", 1},                           /* of no stream */
        {NGHTTP2_DATA, 1, 0, "x", 1},
        {NGHTTP2_SETTINGS, 0, 0, "x", 1},
        {NGHTTP2_SETTINGS, 0, 0, "\0\4\xff\xff\xff\xff", 6}, /* a window too large */
        {NGHTTP2_SETTINGS, 0, 0, "\0\5\0\0\0\1", 6},         /* frames too small */
        {NGHTTP2_SETTINGS, 1, 0, "\0\4\0\0\0\1", 6},
        {NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\0", 4},
        {NGHTTP2_WINDOW_UPDATE, 0, 0, "\x7f\xff\xff\xff", 4},
        {NGHTTP2_PUSH_PROMISE, 4, 1, "\0\0\0\2", 4},
        {NGHTTP2_PING, 0, 0, "short", 5},
        {NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\0", 4},            /* of no stream */
        {NGHTTP2_CONTINUATION, 4, 1, later_head, LATER_HEAD}, /* of nothing */
    };
    struct site *s = *state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf b;
        buf_init(&b, 1 << 20);
        write_frame(&b, cases[i].type, cases[i].flags, cases[i].id, cases[i].body, cases[i].len);
        s->later_count = 0;
        if (!attack(s, &b))
            fail_msg("case %zu goes on", i);
        buf_fini(&b);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(requests_and_their_status),
        TEST(limits_have_their_status),
        TEST(the_preface_is_found_wherever_it_is_cut),
        TEST(other_first_bytes_are_http1),
        TEST(bodies_are_collected),
        TEST(a_body_is_handed_on_as_it_comes),
        TEST(an_owner_who_leaves_too_much),
        TEST(many_streams_are_answered_in_any_order),
        TEST(more_streams_than_allowed_are_refused),
        TEST(answers_wait_for_answers),
        TEST(content_beside_other_answers),
        TEST(content_without_a_body),
        TEST(content_waits_for_its_window),
        TEST(content_nobody_takes),
        TEST(content_to_a_full_socket),
        TEST(streams_share_a_connection),
        TEST(a_full_window_stalls_its_stream_alone),
        TEST(a_full_socket_stalls_all),
        TEST(head_of_a_stream),
        TEST(a_reset_ends_its_exchange_alone),
        TEST(a_lost_connection_ends_all),
        TEST(draining_says_so),
        TEST(retired_says_so_after_an_answer),
        TEST(deadlines),
        TEST(a_peer_that_takes_nothing_is_let_go),
        TEST(floods_end_the_connection),
        TEST(a_little_noise_is_none),
        TEST(malformed_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
