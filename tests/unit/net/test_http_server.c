#include "test.h"

#include "base/err.h"
#include "net/http1_connection.h"
#include "net/http_server.h"
#include "net_test.h"

#define PIECES 700 /* of content */

struct site {
    struct net_fixture f;
    struct http_server *server;
    int fd; /* the client */
    struct inbox in;
    struct http_prepared prepared;
    struct http_exchange *later;
    int gone, writable, calls;
    enum close_reason why;
    size_t streamed; /* of STREAM_LEN */
    struct iovec pieces[PIECES];
    size_t pieces_len;
    int released;
    char *bytes;
    bool deny;
};

#define STREAM_LEN 700000
#define HUGE_LEN   (16 << 20) /* more than the kernel takes from one who is not read */

static void ok(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct site *s = arg;
    s->calls++;
    http_respond(x, 200, NULL, 0, slice_text("ok"));
}

/* "METHOD path query|capture0|capture1|body" */
static void echo(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct buf text;
    buf_init(&text, HTTP_BODY_MAX * 2);
    buf_printf(&text, "%s %.*s %.*s", http_method_name(req->method), SLICE_ARG(req->path),
               SLICE_ARG(req->query));
    for (size_t i = 0; i < req->capture_count; i++)
        buf_printf(&text, "|%.*s", SLICE_ARG(req->captures[i]));
    buf_append(&text, "|", 1);
    buf_append(&text, req->body.p, req->body.len);
    http_respond(x, 200, NULL, 0, buf_slice(&text));
    buf_fini(&text);
}

static void answer_later(struct http_exchange *x, const struct http_request *req, void *arg);
static void begin_stream(struct http_exchange *x, const struct http_request *req, void *arg);

static void forged(struct http_exchange *x, const struct http_request *req, void *arg)
{
    const struct http_header header = {"Location", slice_text("/a\r\nX-Evil: 1")};
    http_respond(x, 302, &header, 1, slice_of(NULL, 0));
}

static void big(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct site *s = arg;
    http_respond(x, 200, NULL, 0, slice_of(s->bytes, STREAM_LEN));
}

static void huge(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct site *s = arg;
    s->calls++;
    http_respond(x, 200, NULL, 0, slice_of(s->bytes, HUGE_LEN));
}

static void on_release(void *arg)
{
    struct site *s = arg;
    s->released++;
}

/* Bytes 5 to STREAM_LEN - 4 of what lies in pieces of many sizes, none of them too. */
static void content(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct site *s = arg;
    size_t at = 0;
    for (size_t i = 0; i < PIECES; i++) {
        size_t len = i + 1 < PIECES ? i * 7 % 301 : STREAM_LEN - at;
        s->pieces[i] = (struct iovec){s->bytes + at, len};
        at += len;
    }
    if (req->query.len > 0) /* wanted back */
        http_exchange_take_ms(x, 10);
    io_set_send_buffer(http_exchange_io(x), 4096);
    s->pieces_len = STREAM_LEN - 9;
    const struct http_content c = {s->pieces, PIECES, 5, s->pieces_len, on_release, s};
    http_respond_content(x, 200, NULL, 0, &c);
}

static void prepared(struct http_exchange *x, const struct http_request *req, void *arg)
{
    static const struct http_header header = {"X-Word", {(const uint8_t *)"word", 4}};
    struct site *s = arg;
    s->pieces[0] = (struct iovec){s->bytes, 9};
    const struct http_content c = {s->pieces, 1, 0, 9, on_release, s};
    s->prepared.status = 200;
    s->prepared.headers = &header;
    s->prepared.count = 1;
    http_respond_prepared(x, &s->prepared, &c);
}

static void content_forged(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct site *s = arg;
    const struct http_header header = {"X-Word", slice_text("a\r\nX-Evil: 1")};
    s->pieces[0] = (struct iovec){s->bytes, 9};
    const struct http_content c = {s->pieces, 1, 0, 9, on_release, s};
    http_respond_content(x, 200, &header, 1, &c);
}

static void not_modified(struct http_exchange *x, const struct http_request *req, void *arg)
{
    http_respond(x, 304, NULL, 0, slice_text("never sent"));
}

static void json(struct http_exchange *x, const struct http_request *req, void *arg)
{
    char value[8];
    bool has = http_request_query(req, "q", value, sizeof value);
    http_respond_json(x, 200, json_pack("{s:s}", "q", has ? value : "none"));
}

#define ROUTE(m, p, h)                                                                             \
    {                                                                                              \
        .method = (m), .pattern = (p), .handle = (h)                                               \
    }

static const struct http_route routes[] = {
    ROUTE("GET", "/ok", ok),
    ROUTE("POST", "/ok", ok),
    ROUTE("*", "/echo/*/*", echo),
    ROUTE("POST", "/post", echo),
    ROUTE("GET", "/*.flv", echo),
    ROUTE("GET", "/later", answer_later),
    ROUTE("GET", "/stream", begin_stream),
    ROUTE("GET", "/forged", forged),
    ROUTE("GET", "/big", big),
    ROUTE("GET", "/huge", huge),
    ROUTE("GET", "/content", content),
    ROUTE("GET", "/content_forged", content_forged),
    ROUTE("GET", "/prepared", prepared),
    ROUTE("GET", "/304", not_modified),
    ROUTE("GET", "/json", json),
};

static void on_writable(struct http_exchange *x, void *arg);

static void on_gone(struct http_exchange *x, enum close_reason why, void *arg)
{
    struct site *s = arg;
    s->gone++;
    s->why = why;
    s->later = NULL;
    http_respond(x, 500, NULL, 0, slice_of(NULL, 0)); /* too late, and harmless */
}

static const struct http_exchange_ops ops = {.on_writable = on_writable, .on_gone = on_gone};

static void answer_later(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct site *s = arg;
    s->later = x;
    http_exchange_watch(x, &ops, s);
}

static void stream_more(struct site *s)
{
    while (s->later != NULL && s->streamed < STREAM_LEN) {
        struct iovec iov = {s->bytes + s->streamed, STREAM_LEN - s->streamed};
        ssize_t n = http_stream_writev(s->later, &iov, 1);
        assert_true(n >= 0);
        if (n == 0)
            return;
        s->streamed += (size_t)n;
    }
    if (s->later == NULL)
        return;
    http_stream_end(s->later, CLOSE_FINISHED);
    s->later = NULL;
}

static void on_writable(struct http_exchange *x, void *arg)
{
    struct site *s = arg;
    s->writable++;
    stream_more(s);
}

static void begin_stream(struct http_exchange *x, const struct http_request *req, void *arg)
{
    static const struct http_header header = {"Content-Type", {(const uint8_t *)"video/x-flv", 11}};
    struct site *s = arg;
    s->later = x;
    http_exchange_watch(x, &ops, s);
    io_set_send_buffer(http_exchange_io(x), 4096);
    http_stream(x, 200, &header, 1);
    assert_int_equal(http_stream_write(x, slice_text("FLV")), 0);
    if (req->query.len == 0)
        stream_more(s);
}

static bool on_request(struct http_exchange *x, const struct http_request *req, void *arg)
{
    struct site *s = arg;
    if (s->deny)
        http_respond_error(x, 401, "auth", "no");
    return !s->deny;
}

static void dial(struct site *s)
{
    struct net_address peer = loopback(4711);
    int ours;
    tcp_pair(&ours, &s->fd);
    http_server_accept(s->f.w, io_accept(s->f.w, ours, &peer, NULL, NULL), s->server);
}

static void hang_up(struct site *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    inbox_free(&s->in);
    TURN_UNTIL(&s->f, METRIC_GET(s->f.w->metrics.connections_open) == 0);
}

static void serve(struct site *s, const char *cors)
{
    const struct http_server_options o = {.name = "test",
                                          .routes = routes,
                                          .route_count = COUNT_OF(routes),
                                          .arg = s,
                                          .cors_origin = cors,
                                          .on_request = on_request};
    http_server_free(&s->server);
    s->server = http_server_new(&o);
}

static int setup(void **state)
{
    struct site *s = xcalloc(1, sizeof *s);
    fixture_open(&s->f);
    serve(s, NULL);
    s->bytes = xmalloc(STREAM_LEN);
    for (size_t i = 0; i < STREAM_LEN; i++)
        s->bytes[i] = (char)('a' + i % 23);
    dial(s);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct site *s = *state;
    hang_up(s);
    http_server_free(&s->server);
    fixture_close(&s->f);
    free(s->bytes);
    free(s);
    return 0;
}

static void set_times(struct site *s, int64_t head_ms, int64_t idle_ms, int64_t answer_ms)
{
    http_server_set_times(s->server, &(struct http_times){head_ms, idle_ms, answer_ms, HUGE_LEN});
    hang_up(s);
    dial(s);
}

/* Sends one request and reads until the connection ends. */
static int ask(struct site *s, const char *request)
{
    int status = 0;
    hang_up(s);
    dial(s);
    send_text(s->fd, request);
    READ_UNTIL(&s->f, &s->in, s->fd, s->in.eof);
    if (s->in.len > 0)
        assert_int_equal(sscanf(s->in.data, "HTTP/1.1 %d ", &status), 1);
    return status;
}

#define END "Host: h\r\nConnection: close\r\n\r\n"

static void requests_and_their_status(void **state)
{
    static const struct {
        const char *request;
        int status;
        const char *has; /* in the answer; NULL: whatever */
    } cases[] = {
        {"GET /ok HTTP/1.1\r\n" END, 200, "\r\nContent-Length: 2\r\n"},
        {"GET /ok HTTP/1.1\r\n" END, 200, "\r\n\r\nok"},
        {"GET /ok HTTP/1.1\r\n" END, 200, "\r\nConnection: close\r\n"},
        {"GET /ok HTTP/1.1\r\n" END, 200, "\r\nDate: "},
        {"GET /ok HTTP/1.0\r\n\r\n", 200, "ok"},
        {"GET /%6fk HTTP/1.1\r\n" END, 200, "ok"},
        {"GET /ok?x=%00 HTTP/1.1\r\n" END, 200, "ok"},
        {"HEAD /ok HTTP/1.1\r\n" END, 200, "\r\nContent-Length: 2\r\n"},
        {"GET /304 HTTP/1.1\r\n" END, 304, NULL},
        {"GET /json?q=a%20b HTTP/1.1\r\n" END, 200, "{\"q\":\"a b\"}"},
        {"GET /json?q=longer-than-it HTTP/1.1\r\n" END, 200, "{\"q\":\"none\"}"},
        {"GET /cam.flv HTTP/1.1\r\n" END, 200, "GET /cam.flv |cam|"},
        {"DELETE /echo/a/b?c=d HTTP/1.1\r\n" END, 200, "DELETE /echo/a/b c=d|a|b|"},
        {"POST /post HTTP/1.1\r\nContent-Length: 4\r\n" END "body", 200, "POST /post |body"},
        {"POST /post HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END
         "2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n",
         200, "POST /post |body"},
        {"GET /nothing HTTP/1.1\r\n" END, 404, "{\"error\":{\"code\":\"not_found\""},
        {"GET /echo/a HTTP/1.1\r\n" END, 404, NULL},
        {"PUT /ok HTTP/1.1\r\n" END, 405, "\r\nAllow: GET, HEAD, POST\r\n"},
        {"GET /post HTTP/1.1\r\n" END, 405, "\r\nAllow: POST\r\n"},
        {"OPTIONS /ok HTTP/1.1\r\n" END, 405, "\r\nAllow: GET, HEAD, POST\r\n"},
        {"OPTIONS * HTTP/1.1\r\n" END, 404, NULL},
        {"BREW /ok HTTP/1.1\r\n" END, 501, NULL},
        {"GET /forged HTTP/1.1\r\n" END, 500, NULL},
        /* framing in doubt, or worse */
        {"GET /ok HTTP/2.0\r\n" END, 505, "Connection: close"},
        {"GET /ok HTTP/1.1\r\n\r\n", 400, "Connection: close"},
        {"GET /ok HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, NULL},
        {"GET /ok\r\n\r\n", 400, NULL},
        {"GET  /ok HTTP/1.1\r\n" END, 400, NULL},
        {"GET /ok HTTP/1.1\nHost: h\n\n", 400, NULL},
        {"GET /ok HTTP/1.1\r\nA : b\r\n" END, 400, NULL},
        {"GET /ok HTTP/1.1\r\nA: b\r\n c\r\n" END, 400, NULL},
        {"GET /ok HTTP/1.1\r\nA: b\001\r\n" END, 400, NULL},
        {"GET /%00 HTTP/1.1\r\n" END, 400, NULL},
        {"GET /a%2fb HTTP/1.1\r\n" END, 400, NULL},
        {"GET /../ok HTTP/1.1\r\n" END, 400, NULL},
        {"GET //ok HTTP/1.1\r\n" END, 400, NULL},
        {"GET /%zz HTTP/1.1\r\n" END, 400, NULL},
        {"POST /post HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n" END "xx", 400, NULL},
        {"POST /post HTTP/1.1\r\nContent-Length: +1\r\n" END "x", 400, NULL},
        {"POST /post HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n" END, 400,
         NULL},
        {"POST /post HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n" END "0\r\n\r\n", 400, NULL},
        {"POST /post HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END "1;a=b\r\nx\r\n0\r\n\r\n", 400,
         NULL},
        {"POST /post HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END "-1\r\n", 400, NULL},
        {"POST /post HTTP/1.1\r\nContent-Length: 65537\r\n" END, 413, "Connection: close"},
        {"\026\003\001\002\r\n\r\n", 400, NULL},
    };
    struct site *s = *state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int status = ask(s, cases[i].request);
        if (status != cases[i].status)
            print_error("%s", cases[i].request);
        assert_int_equal(status, cases[i].status);
        if (cases[i].has != NULL && !inbox_has(&s->in, cases[i].has))
            fail_msg("%s\nanswered\n%s", cases[i].request, s->in.data);
    }
    assert_true(METRIC_GET(s->f.w->metrics.http_bad_requests_total) > 10);
}

static void limits_have_their_status(void **state)
{
    struct site *s = *state;
    char *text = xmalloc(200000);
    memset(text, 'a', 200000);
    memcpy(text, "GET /", 5);
    text[HTTP1_LINE_MAX + 100] = '\0';
    assert_int_equal(ask(s, text), 414);
    memset(text, 'a', 200000);
    int n = sprintf(text, "GET /ok HTTP/1.1\r\nHost: h\r\nX: ");
    text[n] = 'a';
    text[HTTP1_HEAD_MAX + 100] = '\0';
    assert_int_equal(ask(s, text), 431);
    n = sprintf(text, "GET /ok HTTP/1.1\r\n");
    for (int i = 0; i < HTTP1_HEADERS_MAX; i++)
        n += sprintf(text + n, "X%d: y\r\n", i);
    strcpy(text + n, END);
    assert_int_equal(ask(s, text), 431);
    n = sprintf(text, "POST /post HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" END "11000\r\n");
    memset(text + n, 'b', 0x11000);
    text[n + 0x11000] = '\0';
    assert_int_equal(ask(s, text), 413);
    free(text);
}

static void head_has_no_body_and_304_no_length(void **state)
{
    struct site *s = *state;
    ask(s, "HEAD /ok HTTP/1.1\r\n" END);
    assert_string_equal(strstr(s->in.data, "\r\n\r\n"), "\r\n\r\n");
    ask(s, "GET /304 HTTP/1.1\r\n" END);
    assert_string_equal(strstr(s->in.data, "\r\n\r\n"), "\r\n\r\n");
    assert_false(inbox_has(&s->in, "Content-Length"));
    ask(s, "GET /forged HTTP/1.1\r\n" END);
    assert_false(inbox_has(&s->in, "X-Evil"));
}

static void cors_answers(void **state)
{
    struct site *s = *state;
    hang_up(s);
    serve(s, "*");
    ask(s, "GET /ok HTTP/1.1\r\n" END);
    assert_true(inbox_has(&s->in, "\r\nAccess-Control-Allow-Origin: *\r\n"));
    assert_true(inbox_has(&s->in, "\r\nAccess-Control-Expose-Headers: Content-Length, "
                                  "Content-Range, Date, Age, ETag, Location, Link, "
                                  "Accept-Patch, Retry-After\r\n"));
    assert_int_equal(ask(s, "OPTIONS /ok HTTP/1.1\r\n" END), 204);
    assert_true(
        inbox_has(&s->in, "\r\nAccess-Control-Allow-Methods: GET, HEAD, POST, OPTIONS\r\n"));
    assert_true(inbox_has(&s->in, "\r\nAccess-Control-Allow-Headers: Range, If-None-Match, "
                                  "If-Match, Authorization, Content-Type\r\n"));
    assert_int_equal(ask(s, "OPTIONS /nothing HTTP/1.1\r\n" END), 404);
    hang_up(s);
    serve(s, "https://example.org");
    assert_int_equal(ask(s, "GET /nothing HTTP/1.1\r\n" END), 404);
    assert_true(inbox_has(&s->in, "\r\nAccess-Control-Allow-Origin: https://example.org\r\n"));
    assert_true(inbox_has(&s->in, "\r\nVary: Origin\r\n"));
}

static void the_gate_comes_before_the_handler(void **state)
{
    struct site *s = *state;
    s->deny = true;
    assert_int_equal(ask(s, "GET /ok HTTP/1.1\r\n" END), 401);
    assert_int_equal(s->calls, 0);
    assert_int_equal(ask(s, "GET /nothing HTTP/1.1\r\n" END), 404);
}

/* One connection, every request in two pieces. */
static void a_request_may_be_cut_anywhere(void **state)
{
    static const char *const requests[] = {
        "POST /post?x=y HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nsome body",
        "POST /post?x=y HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nsome \r\n4\r\nbody\r\n0\r\n\r\n",
    };
    struct site *s = *state;
    size_t answers = 0;
    for (size_t r = 0; r < COUNT_OF(requests); r++) {
        size_t len = strlen(requests[r]);
        for (size_t cut = 1; cut <= len; cut++) {
            send_all(s->fd, requests[r], cut);
            for (int i = 0; i < 4; i++)
                fixture_turn(&s->f);
            send_all(s->fd, requests[r] + cut, len - cut);
            answers++;
            READ_UNTIL(&s->f, &s->in, s->fd,
                       inbox_count(&s->in, "POST /post x=y|some body") == answers);
        }
    }
    assert_int_equal(inbox_count(&s->in, "HTTP/1.1 200 OK\r\n"), answers);
    assert_false(s->in.eof);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    struct site *s = *state;
    send_text(s->fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n"
                     "GET /echo/1/2 HTTP/1.1\r\nHost: h\r\n\r\n"
                     "POST /post HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
                     "GET /cam.flv HTTP/1.1\r\n" END);
    TURN_UNTIL(&s->f, s->later != NULL);
    for (int i = 0; i < 5; i++)
        fixture_turn(&s->f);
    inbox_read(&s->in, s->fd, 1000);
    assert_int_equal(s->in.len, 0);
    http_respond(s->later, 200, NULL, 0, slice_text("finally"));
    s->later = NULL;
    READ_UNTIL(&s->f, &s->in, s->fd, s->in.eof);
    const char *at = s->in.data;
    const char *const order[] = {"finally", "GET /echo/1/2 |1|2|", "POST /post |abc",
                                 "GET /cam.flv |cam|"};
    for (size_t i = 0; i < COUNT_OF(order); i++) {
        at = strstr(at, order[i]);
        assert_non_null(at);
    }
    assert_int_equal(s->gone, 0);
}

/* More than is kept while an answer is awaited: it waits in the kernel, none is lost. */
static void many_pipelined_requests(void **state)
{
    enum { COUNT = 2000 };
    static const char request[] = "GET /ok HTTP/1.1\r\nHost: h\r\n\r\n";
    struct site *s = *state;
    char *all = xmalloc(COUNT * sizeof request);
    size_t len = 0, sent = 0;
    for (int i = 0; i < COUNT; i++) {
        memcpy(all + len, request, sizeof request - 1);
        len += sizeof request - 1;
    }
    send_text(s->fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    TURN_UNTIL(&s->f, s->later != NULL);
    while (s->calls < COUNT) {
        ssize_t n = send(s->fd, all + sent, len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0)
            sent += (size_t)n;
        fixture_turn(&s->f);
        if (s->later != NULL && sent == len) {
            http_respond(s->later, 200, NULL, 0, slice_text("go"));
            s->later = NULL;
        }
        inbox_read(&s->in, s->fd, 100000);
        assert_false(s->in.eof);
    }
    READ_UNTIL(&s->f, &s->in, s->fd, inbox_count(&s->in, "\r\n\r\nok") == COUNT);
    free(all);
}

static int send_many(struct site *s, const char *request, int count)
{
    size_t one = strlen(request);
    char *all = xmalloc((size_t)count * one + 1);
    for (int i = 0; i < count; i++)
        memcpy(all + (size_t)i * one, request, one);
    all[(size_t)count * one] = '\0';
    send_text(s->fd, all);
    free(all);
    return count;
}

/* What came together is answered together: a write for many, in order, content among it. */
static void answers_share_writes(void **state)
{
    struct site *s = *state;
    uint64_t before = s->f.w->metrics.writes_total;
    int count = send_many(s, "GET /ok HTTP/1.1\r\nHost: h\r\n\r\n", 300);
    send_text(s->fd, "GET /prepared HTTP/1.1\r\nHost: h\r\n\r\nGET /ok HTTP/1.1\r\n" END);
    READ_UNTIL(&s->f, &s->in, s->fd, s->in.eof);
    assert_int_equal(inbox_count(&s->in, "\r\n\r\nok"), count + 1);
    assert_int_equal(s->in.data[s->in.len - 1], 'k');
    assert_in_range(s->f.w->metrics.writes_total - before, 1, 100);
}

/* Nobody who means well is refused a thousand times on one connection. */
static void a_thousand_refusals(void **state)
{
    struct site *s = *state;
    send_many(s, "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n", HTTP1_REFUSED_MAX + 10);
    READ_UNTIL(&s->f, &s->in, s->fd, s->in.eof);
    assert_int_equal(inbox_count(&s->in, "HTTP/1.1 404 "), HTTP1_REFUSED_MAX);
    assert_int_equal(inbox_count(&s->in, "Connection: close"), 1);
}

static void http_1_0_may_stay(void **state)
{
    struct site *s = *state;
    send_text(s->fd, "GET /ok HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    READ_UNTIL(&s->f, &s->in, s->fd, inbox_has(&s->in, "ok"));
    assert_true(inbox_has(&s->in, "\r\nConnection: keep-alive\r\n"));
    send_text(s->fd, "GET /ok HTTP/1.0\r\n\r\n");
    READ_UNTIL(&s->f, &s->in, s->fd, s->in.eof);
    assert_int_equal(inbox_count(&s->in, "\r\n\r\nok"), 2);
}

static void expect_continue(void **state)
{
    struct site *s = *state;
    send_text(s->fd, "POST /post HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                     "Content-Length: 4\r\n\r\n");
    READ_UNTIL(&s->f, &s->in, s->fd, inbox_has(&s->in, "HTTP/1.1 100 Continue\r\n\r\n"));
    send_text(s->fd, "body");
    READ_UNTIL(&s->f, &s->in, s->fd, inbox_has(&s->in, "POST /post |body"));
    assert_int_equal(inbox_count(&s->in, "100 Continue"), 1);
}

static void a_peer_that_leaves_is_told(void **state)
{
    struct site *s = *state;
    send_text(s->fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    TURN_UNTIL(&s->f, s->later != NULL);
    close(s->fd);
    s->fd = -1;
    TURN_UNTIL(&s->f, s->gone == 1);
    assert_int_equal(s->why, CLOSE_PEER_CLOSED);
}

static void a_large_answer_to_a_slow_reader(void **state)
{
    struct site *s = *state;
    send_text(s->fd, "GET /big HTTP/1.1\r\nHost: h\r\n\r\nGET /ok HTTP/1.1\r\n" END);
    while (!s->in.eof) {
        fixture_turn(&s->f);
        inbox_read(&s->in, s->fd, 20000);
    }
    const char *body = strstr(s->in.data, "\r\n\r\n") + 4;
    assert_memory_equal(body, s->bytes, STREAM_LEN);
    assert_int_equal(inbox_count(&s->in, "\r\n\r\nok"), 1);
}

static void content_to_a_slow_reader(void **state)
{
    struct site *s = *state;
    send_text(s->fd, "GET /content HTTP/1.1\r\nHost: h\r\n\r\nHEAD /content HTTP/1.1\r\nHost: h\r\n"
                     "\r\nGET /content HTTP/1.1\r\n" END);
    while (!s->in.eof) {
        fixture_turn(&s->f);
        inbox_read(&s->in, s->fd, 20000);
    }
    char *body = strstr(s->in.data, "\r\n\r\n") + 4;
    assert_memory_equal(body, s->bytes + 5, s->pieces_len);
    assert_memory_equal(body + s->pieces_len, "HTTP/1.1 200", 12);
    char *last = s->in.data + s->in.len - s->pieces_len;
    assert_memory_equal(last, s->bytes + 5, s->pieces_len);
    assert_int_equal(inbox_count(&s->in, "\r\nContent-Length: "), 3);
    assert_int_equal(s->released, 3);
}

static void content_nobody_takes(void **state)
{
    struct site *s = *state;
    send_text(s->fd, "GET /content HTTP/1.1\r\nHost: h\r\n\r\n");
    READ_UNTIL(&s->f, &s->in, s->fd, s->in.len > 0);
    assert_int_equal(s->released, 0);
    hang_up(s);
    assert_int_equal(s->released, 1);
    set_times(s, 5000, 5000, 10);
    send_text(s->fd, "GET /content HTTP/1.1\r\nHost: h\r\n\r\n");
    TURN_UNTIL(&s->f, METRIC_GET(s->f.w->metrics.connections_open) == 0);
    assert_int_equal(s->released, 2);
    set_times(s, 5000, 5000, 3600000);
    send_text(s->fd, "GET /content?soon HTTP/1.1\r\nHost: h\r\n\r\n");
    TURN_UNTIL(&s->f, METRIC_GET(s->f.w->metrics.connections_open) == 0);
    assert_int_equal(s->released, 3);
    dial(s);
}

/* Who does not stay, and who is old, must not get the others' head, nor they theirs. */
static void a_prepared_head(void **state)
{
    struct site *s = *state;
    send_text(s->fd, "GET /prepared HTTP/1.1\r\nHost: h\r\n\r\n"
                     "HEAD /prepared HTTP/1.1\r\nHost: h\r\n\r\n"
                     "GET /prepared HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
                     "GET /prepared HTTP/1.1\r\nHost: h\r\n\r\n"
                     "GET /prepared HTTP/1.1\r\n" END);
    READ_UNTIL(&s->f, &s->in, s->fd, s->in.eof);
    assert_int_equal(s->released, 5);
    assert_true(s->prepared.head_len > 0);
    assert_int_equal(inbox_count(&s->in, "HTTP/1.1 200 OK\r\n"), 5);
    assert_int_equal(inbox_count(&s->in, "\r\nX-Word: word\r\n"), 5);
    assert_int_equal(inbox_count(&s->in, "\r\nContent-Length: 9\r\n"), 5);
    assert_int_equal(inbox_count(&s->in, "\r\nDate: "), 5);
    assert_int_equal(inbox_count(&s->in, "\r\nConnection: keep-alive\r\n"), 1);
    assert_int_equal(inbox_count(&s->in, "\r\nConnection: close\r\n"), 1);
    char *body = memmem(s->in.data, s->in.len, s->bytes, 9);
    assert_non_null(body);
    assert_memory_equal(s->in.data + s->in.len - 9, s->bytes, 9);
}

/* Its date is the present one. */
static void a_prepared_head_goes_out_of_date(void **state)
{
    struct site *s = *state;
    send_text(s->fd, "GET /prepared HTTP/1.1\r\nHost: h\r\n\r\n");
    READ_UNTIL(&s->f, &s->in, s->fd, inbox_has(&s->in, "\r\n\r\n"));
    s->prepared.date_s--;
    s->prepared.head[9] = '4'; /* the status */
    send_text(s->fd, "GET /prepared HTTP/1.1\r\nHost: h\r\n\r\n");
    READ_UNTIL(&s->f, &s->in, s->fd, inbox_count(&s->in, "HTTP/1.1 200 OK\r\n") == 2);
}

static void content_whose_head_cannot_be_written(void **state)
{
    struct site *s = *state;
    send_text(s->fd, "GET /content_forged HTTP/1.1\r\nHost: h\r\n\r\n");
    READ_UNTIL(&s->f, &s->in, s->fd, s->in.eof);
    assert_int_equal(inbox_count(&s->in, "HTTP/1.1 500"), 1);
    assert_int_equal(inbox_count(&s->in, "Evil"), 0);
    assert_int_equal(s->released, 1);
}

/* Takes chunked coding away in place: the body's length, with *done for its end. */
static size_t dechunk(char *body, size_t len, bool *done)
{
    struct http1_chunks chunks = {0};
    size_t out = 0;
    *done = false;
    for (size_t at = 0; at < len && !*done;) {
        struct slice data;
        ssize_t n = http1_chunks_read(&chunks, (uint8_t *)body + at, len - at, &data, done);
        assert_true(n > 0);
        if (data.len > 0)
            memmove(body + out, data.p, data.len);
        out += data.len;
        at += (size_t)n;
    }
    return out;
}

static void a_stream_to_a_slow_reader(void **state)
{
    static const struct {
        const char *request;
        bool chunked;
    } cases[] = {{"GET /stream HTTP/1.1\r\nHost: h\r\n\r\n", true},
                 {"GET /stream HTTP/1.0\r\n\r\n", false}};
    struct site *s = *state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        hang_up(s);
        dial(s);
        s->streamed = 0;
        s->writable = 0;
        send_text(s->fd, cases[i].request);
        while (!s->in.eof) {
            fixture_turn(&s->f);
            inbox_read(&s->in, s->fd, 20000);
            if (s->streamed == 100000)
                send_text(s->fd, "noise");
        }
        char *body = strstr(s->in.data, "\r\n\r\n") + 4;
        assert_true(inbox_has(&s->in, "\r\nContent-Type: video/x-flv\r\n"));
        assert_true(inbox_has(&s->in, "\r\nConnection: close\r\n"));
        body[-1] = '\0';
        assert_null(strstr(s->in.data, "Content-Length"));
        assert_int_equal(strstr(s->in.data, "chunked") != NULL, cases[i].chunked);
        size_t len = s->in.len - (size_t)(body - s->in.data);
        bool done = true;
        if (cases[i].chunked)
            len = dechunk(body, len, &done);
        assert_true(done);
        assert_int_equal(len, 3 + STREAM_LEN);
        assert_memory_equal(body, "FLV", 3);
        assert_memory_equal(body + 3, s->bytes, STREAM_LEN);
        assert_true(s->writable > 0);
        assert_int_equal(s->gone, 0);
    }
}

static void a_stream_notices_that_its_peer_left(void **state)
{
    struct site *s = *state;
    send_text(s->fd, "GET /stream?idle HTTP/1.1\r\nHost: h\r\n\r\n");
    READ_UNTIL(&s->f, &s->in, s->fd, inbox_has(&s->in, "FLV"));
    close(s->fd);
    s->fd = -1;
    TURN_UNTIL(&s->f, s->gone == 1);
    assert_int_equal(s->why, CLOSE_PEER_CLOSED);
}

/* What it sent before the answer began has paused the connection. */
static void a_late_stream_notices_that_its_peer_left(void **state)
{
    struct site *s = *state;
    char early[HTTP1_PIPELINE_MAX + 1000] = {0};
    send_text(s->fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    TURN_UNTIL(&s->f, s->later != NULL);
    send_all(s->fd, early, sizeof early);
    for (int i = 0; i < 10; i++)
        fixture_turn(&s->f);
    http_stream(s->later, 200, NULL, 0);
    close(s->fd);
    s->fd = -1;
    TURN_UNTIL(&s->f, s->gone == 1);
}

static void a_stream_does_not_listen_for_ever(void **state)
{
    struct site *s = *state;
    char noise[1000] = {0};
    send_text(s->fd, "GET /stream?idle HTTP/1.1\r\nHost: h\r\n\r\n");
    READ_UNTIL(&s->f, &s->in, s->fd, inbox_has(&s->in, "FLV"));
    size_t sent = 0;
    while (s->gone == 0 && sent < 2 * HTTP1_IGNORED_MAX) {
        send_all(s->fd, noise, sizeof noise);
        sent += sizeof noise;
        fixture_turn(&s->f);
    }
    assert_int_equal(s->gone, 1);
    assert_int_equal(s->why, CLOSE_BAD_INPUT);
    assert_true(sent > HTTP1_IGNORED_MAX);
}

static void head_of_a_stream(void **state)
{
    struct site *s = *state;
    send_text(s->fd, "HEAD /stream?idle HTTP/1.1\r\nHost: h\r\n\r\n");
    READ_UNTIL(&s->f, &s->in, s->fd, s->in.eof);
    assert_int_equal(s->gone, 1);
    assert_int_equal(s->why, CLOSE_FINISHED);
    assert_false(inbox_has(&s->in, "FLV"));
    assert_true(inbox_has(&s->in, "video/x-flv"));
}

/* A byte now and then does not keep a request alive. */
static void slow_loris(void **state)
{
    static const char request[] =
        "GET /ok HTTP/1.1\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    struct site *s = *state;
    set_times(s, 60, 10000, 10000);
    int64_t start_us = clock_us();
    size_t sent = 0;
    while (!s->in.eof) {
        if (sent < sizeof request - 1 && clock_us() - start_us > (int64_t)sent * 2000)
            send_all(s->fd, request + sent++, 1);
        fixture_turn(&s->f);
        inbox_read(&s->in, s->fd, 1000);
        assert_true(clock_us() - start_us < 2000000);
    }
    assert_true(inbox_has(&s->in, "HTTP/1.1 408 "));
    assert_true(clock_us() - start_us >= 55000);
}

static void a_body_that_does_not_come(void **state)
{
    struct site *s = *state;
    set_times(s, 30, 10000, 10000);
    send_text(s->fd, "POST /post HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
    READ_UNTIL(&s->f, &s->in, s->fd, s->in.eof);
    assert_true(inbox_has(&s->in, "HTTP/1.1 408 "));
}

static void idle_connections_are_closed_without_a_word(void **state)
{
    struct site *s = *state;
    set_times(s, 10000, 30, 10000);
    send_text(s->fd, "GET /ok HTTP/1.1\r\nHost: h\r\n\r\n");
    READ_UNTIL(&s->f, &s->in, s->fd, s->in.eof);
    assert_int_equal(inbox_count(&s->in, "HTTP/1.1"), 1);
    set_times(s, 30, 10000, 10000);
    READ_UNTIL(&s->f, &s->in, s->fd, s->in.eof);
    assert_int_equal(s->in.len, 0);
}

static void an_answer_nobody_takes(void **state)
{
    struct site *s = *state;
    free(s->bytes);
    s->bytes = xcalloc(1, HUGE_LEN);
    http_server_set_times(s->server, &(struct http_times){10000, 10000, 20, 2 * HUGE_LEN});
    send_text(s->fd, "GET /huge HTTP/1.1\r\nHost: h\r\n\r\n");
    TURN_UNTIL(&s->f, s->calls == 1);
    TURN_UNTIL(&s->f, METRIC_GET(s->f.w->metrics.connections_open) == 0);
}

static void draining(void **state)
{
    struct site *s = *state;
    int idle = s->fd;
    struct inbox idle_in = {0};
    send_text(idle, "GET /ok HTTP/1.1\r\nHost: h\r\n\r\n");
    READ_UNTIL(&s->f, &idle_in, idle, inbox_has(&idle_in, "ok"));
    dial(s);
    send_text(s->fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    TURN_UNTIL(&s->f, s->later != NULL);
    http_server_drain(s->server, s->f.w);
    assert_int_equal(s->gone, 1);
    assert_int_equal(s->why, CLOSE_DRAIN);
    READ_UNTIL(&s->f, &idle_in, idle, idle_in.eof);
    READ_UNTIL(&s->f, &s->in, s->fd, s->in.eof);
    assert_int_equal(s->in.len, 0);
    inbox_free(&idle_in);
    close(idle);
}

static void the_server_takes_its_connections_along(void **state)
{
    struct site *s = *state;
    send_text(s->fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    TURN_UNTIL(&s->f, s->later != NULL);
    http_server_free(&s->server);
    assert_int_equal(s->gone, 1);
    assert_int_equal(METRIC_GET(s->f.w->metrics.connections_open), 0);
}

#define SITE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SITE_TEST(requests_and_their_status),
        SITE_TEST(limits_have_their_status),
        SITE_TEST(head_has_no_body_and_304_no_length),
        SITE_TEST(cors_answers),
        SITE_TEST(the_gate_comes_before_the_handler),
        SITE_TEST(a_request_may_be_cut_anywhere),
        SITE_TEST(pipelined_requests_are_answered_in_order),
        SITE_TEST(many_pipelined_requests),
        SITE_TEST(answers_share_writes),
        SITE_TEST(a_thousand_refusals),
        SITE_TEST(http_1_0_may_stay),
        SITE_TEST(expect_continue),
        SITE_TEST(a_peer_that_leaves_is_told),
        SITE_TEST(a_large_answer_to_a_slow_reader),
        SITE_TEST(content_to_a_slow_reader),
        SITE_TEST(content_nobody_takes),
        SITE_TEST(content_whose_head_cannot_be_written),
        SITE_TEST(a_prepared_head),
        SITE_TEST(a_prepared_head_goes_out_of_date),
        SITE_TEST(a_stream_to_a_slow_reader),
        SITE_TEST(a_stream_notices_that_its_peer_left),
        SITE_TEST(a_late_stream_notices_that_its_peer_left),
        SITE_TEST(a_stream_does_not_listen_for_ever),
        SITE_TEST(head_of_a_stream),
        SITE_TEST(slow_loris),
        SITE_TEST(a_body_that_does_not_come),
        SITE_TEST(idle_connections_are_closed_without_a_word),
        SITE_TEST(an_answer_nobody_takes),
        SITE_TEST(draining),
        SITE_TEST(the_server_takes_its_connections_along),
    };
    return cmocka_run_group_tests_name("http_server", tests, NULL, NULL);
}
