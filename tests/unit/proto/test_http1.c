#include "test.h"

#include "base/err.h"
#include "proto/http1.h"

#include <stdio.h>
#include <stdlib.h>

#define HOST "Host: a\r\n"
#define END  "\r\n"

static ssize_t read_request(const char *text, struct http1_request *req)
{
    return http1_request_read((const uint8_t *)text, strlen(text), req);
}

static void assert_slice(const char *what, struct slice have, const char *want)
{
    if (!slice_is(have, want))
        fail_msg("%s: \"%.*s\", not \"%s\"", what, SLICE_ARG(have), want);
}

static void requests(void **state)
{
    static const struct {
        const char *text;
        const char *method, *path, *query, *host;
        enum http1_body body;
        uint64_t length;
        bool keep_alive, expect;
    } cases[] = {
        {"GET / HTTP/1.1\r\n" HOST END, "GET", "/", "", "a", HTTP1_BODY_NONE, 0, true, false},
        {"GET /live/cam1.flv?token=a%20b HTTP/1.1\r\nHost: x.example:8080\r\n" END, "GET",
         "/live/cam1.flv", "token=a%20b", "x.example:8080", HTTP1_BODY_NONE, 0, true, false},
        {"GET /a?b?c HTTP/1.1\r\n" HOST END, "GET", "/a", "b?c", "a", HTTP1_BODY_NONE, 0, true,
         false},
        {"GET / HTTP/1.0\r\n" END, "GET", "/", "", "", HTTP1_BODY_NONE, 0, false, false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n" END, "GET", "/", "", "", HTTP1_BODY_NONE, 0,
         true, false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: x, Close\r\n" END, "GET", "/", "", "a",
         HTTP1_BODY_NONE, 0, false, false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: keep-alive\r\nConnection: close\r\n" END, "GET",
         "/", "", "a", HTTP1_BODY_NONE, 0, false, false},
        {"GET http://other.example/p?q HTTP/1.1\r\n" HOST END, "GET", "/p", "q", "a",
         HTTP1_BODY_NONE, 0, true, false},
        {"GET HTTPS://other.example:443 HTTP/1.1\r\n" HOST END, "GET", "/", "", "a",
         HTTP1_BODY_NONE, 0, true, false},
        {"GET http://other.example?q HTTP/1.1\r\n" HOST END, "GET", "/", "q", "a", HTTP1_BODY_NONE,
         0, true, false},
        {"OPTIONS * HTTP/1.1\r\n" HOST END, "OPTIONS", "*", "", "a", HTTP1_BODY_NONE, 0, true,
         false},
        {"GET / HTTP/1.1\r\nhOsT:\t [::1]:80 \t\r\n" END, "GET", "/", "", "[::1]:80",
         HTTP1_BODY_NONE, 0, true, false},
        {"POST /w HTTP/1.1\r\n" HOST "Content-Length: 5\r\nExpect: 100-Continue\r\n" END, "POST",
         "/w", "", "a", HTTP1_BODY_LENGTH, 5, true, true},
        {"POST /w HTTP/1.1\r\n" HOST "Content-Length: 0\r\nExpect: 100-continue\r\n" END, "POST",
         "/w", "", "a", HTTP1_BODY_NONE, 0, true, false},
        {"POST /w HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n" END, "POST", "/w", "", "a",
         HTTP1_BODY_CHUNKED, 0, true, false},
        {"PROPFIND /w HTTP/1.1\r\n" HOST "X-Empty:\r\nUser-Agent: \xc3\xa9\r\n" END, "PROPFIND",
         "/w", "", "a", HTTP1_BODY_NONE, 0, true, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct http1_request req;
        ssize_t n = read_request(cases[i].text, &req);
        if (n != (ssize_t)strlen(cases[i].text))
            fail_msg("%s: %zd", cases[i].text, n);
        assert_slice(cases[i].text, req.method, cases[i].method);
        assert_slice(cases[i].text, req.path, cases[i].path);
        assert_slice(cases[i].text, req.query, cases[i].query);
        assert_slice(cases[i].text, req.host, cases[i].host);
        if (req.fields.body != cases[i].body || req.fields.content_length != cases[i].length ||
            req.fields.keep_alive != cases[i].keep_alive ||
            req.fields.expect_continue != cases[i].expect)
            fail_msg("%s: body %d length %ju keep %d expect %d", cases[i].text,
                     (int)req.fields.body, (uintmax_t)req.fields.content_length,
                     req.fields.keep_alive, req.fields.expect_continue);
    }
}

#define GET  "GET / HTTP/1.1\r\n"
#define POST "POST / HTTP/1.1\r\n" HOST

/* Each of them could be read in two ways, or is no request at all. */
static const struct {
    const char *text;
    int want;
} malformed[] = {
    /* lines */
    {"\r\nGET / HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"\nGET / HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"GET / HTTP/1.1\n", ERR_PROTOCOL},
    {GET "Host: a\n" END, ERR_PROTOCOL},
    {GET HOST "\n", ERR_PROTOCOL},
    {GET "Host: a\rX: b\r\n" END, ERR_PROTOCOL},
    {GET "Host: a\r\r\n" END, ERR_PROTOCOL},
    {"GET / HTTP/1.1\r\r\n" HOST END, ERR_PROTOCOL},
    {GET HOST "X: a\r\n b\r\n" END, ERR_PROTOCOL},
    {GET HOST "X: a\r\n\tb\r\n" END, ERR_PROTOCOL},
    {GET " Host: a\r\n" END, ERR_PROTOCOL},
    {GET HOST " \r\n" END, ERR_PROTOCOL},
    /* request line */
    {"GET /\r\n" HOST END, ERR_PROTOCOL},
    {"GET\r\n" HOST END, ERR_PROTOCOL},
    {"GET  / HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"GET /  HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"GET / HTTP/1.1 \r\n" HOST END, ERR_PROTOCOL},
    {" GET / HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"GET\t/ HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"GET /a b HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"GET /a\tb HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"GET /\x01 HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"GET /\x7f HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"GET /\xc3\xa9 HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"GET /#x HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"GET index.html HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"GET ?a HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"GET * HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"GET http:// HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"GET http:///a HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"GET http://u@h/a HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"GET ftp://h/a HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"CONNECT h:443 HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"CONNECT / HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"G@T / HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"G\x01T / HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"AVERYLONGMETHODNAME / HTTP/1.1\r\n" HOST END, ERR_PROTOCOL},
    /* version */
    {"GET / HTTP/1.2\r\n" HOST END, ERR_UNSUPPORTED},
    {"GET / HTTP/2.0\r\n" HOST END, ERR_UNSUPPORTED},
    {"PRI * HTTP/2.0\r\n" END, ERR_UNSUPPORTED},
    {"GET / HTTP/0.9\r\n" HOST END, ERR_UNSUPPORTED},
    {"GET / http/1.1\r\n" HOST END, ERR_PROTOCOL},
    {"GET / HTTP/1.10\r\n" HOST END, ERR_PROTOCOL},
    {"GET / HTTP/1\r\n" HOST END, ERR_PROTOCOL},
    {"GET / HTTP/11\r\n" HOST END, ERR_PROTOCOL},
    {"GET / RTSP/1.0\r\n" HOST END, ERR_PROTOCOL},
    /* Host */
    {GET END, ERR_PROTOCOL},
    {GET HOST HOST END, ERR_PROTOCOL},
    {GET "Host: a\r\nhost: b\r\n" END, ERR_PROTOCOL},
    {"GET / HTTP/1.0\r\n" HOST HOST END, ERR_PROTOCOL},
    {GET "Host:\r\n" END, ERR_PROTOCOL},
    {GET "Host: a b\r\n" END, ERR_PROTOCOL},
    {GET "Host: a,b\r\n" END, ERR_PROTOCOL},
    {GET "Host: a/b\r\n" END, ERR_PROTOCOL},
    {GET "Host: u@a\r\n" END, ERR_PROTOCOL},
    /* header lines */
    {GET HOST "X : a\r\n" END, ERR_PROTOCOL},
    {GET HOST "X\t: a\r\n" END, ERR_PROTOCOL},
    {GET HOST ": a\r\n" END, ERR_PROTOCOL},
    {GET HOST "X\r\n" END, ERR_PROTOCOL},
    {GET HOST "X Y: a\r\n" END, ERR_PROTOCOL},
    {GET HOST "X(Y): a\r\n" END, ERR_PROTOCOL},
    {GET HOST "\xc3\xa9: a\r\n" END, ERR_PROTOCOL},
    {GET HOST "X: a\x01\r\n" END, ERR_PROTOCOL},
    {GET HOST "X: a\x0b\r\n" END, ERR_PROTOCOL},
    {GET HOST "X: a\x7f\r\n" END, ERR_PROTOCOL},
    /* Transfer-Encoding */
    {POST "Transfer-Encoding: gzip\r\n" END, ERR_PROTOCOL},
    {POST "Transfer-Encoding: gzip, chunked\r\n" END, ERR_PROTOCOL},
    {POST "Transfer-Encoding: chunked, chunked\r\n" END, ERR_PROTOCOL},
    {POST "Transfer-Encoding: chunked, identity\r\n" END, ERR_PROTOCOL},
    {POST "Transfer-Encoding: identity\r\n" END, ERR_PROTOCOL},
    {POST "Transfer-Encoding:\r\n" END, ERR_PROTOCOL},
    {POST "Transfer-Encoding: \"chunked\"\r\n" END, ERR_PROTOCOL},
    {POST "Transfer-Encoding: xchunked\r\n" END, ERR_PROTOCOL},
    {POST "Transfer-Encoding: chunked;a=b\r\n" END, ERR_PROTOCOL},
    {POST "Transfer-Encoding: \x0b"
          "chunked\r\n" END,
     ERR_PROTOCOL},
    {POST "Transfer-Encoding : chunked\r\n" END, ERR_PROTOCOL},
    {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" END, ERR_PROTOCOL},
    {POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" END, ERR_PROTOCOL},
    {POST "Content-Length: 5\r\nTransfer-Encoding: identity\r\n" END, ERR_PROTOCOL},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n" END, ERR_PROTOCOL},
    /* Content-Length */
    {POST "Content-Length: 5\r\nContent-Length: 5\r\n" END, ERR_PROTOCOL},
    {POST "Content-Length: 5\r\nContent-Length: 6\r\n" END, ERR_PROTOCOL},
    {POST "Content-Length: 5, 5\r\n" END, ERR_PROTOCOL},
    {POST "Content-Length: 5,6\r\n" END, ERR_PROTOCOL},
    {POST "Content-Length: -1\r\n" END, ERR_PROTOCOL},
    {POST "Content-Length: +1\r\n" END, ERR_PROTOCOL},
    {POST "Content-Length: 0x5\r\n" END, ERR_PROTOCOL},
    {POST "Content-Length: 5 5\r\n" END, ERR_PROTOCOL},
    {POST "Content-Length: 5.0\r\n" END, ERR_PROTOCOL},
    {POST "Content-Length: five\r\n" END, ERR_PROTOCOL},
    {POST "Content-Length:\r\n" END, ERR_PROTOCOL},
    {POST "Content-Length: 18446744073709551617\r\n" END, ERR_PROTOCOL},
    {POST "Content-Length : 5\r\n" END, ERR_PROTOCOL},
    /* Expect */
    {POST "Expect: 200-ok\r\n" END, ERR_PROTOCOL},
    {POST "Expect: 100-continue\r\nExpect: 100-continue\r\n" END, ERR_PROTOCOL},
};

static void malformed_requests(void **state)
{
    assert_true(COUNT_OF(malformed) >= 60);
    for (size_t i = 0; i < COUNT_OF(malformed); i++) {
        struct http1_request req;
        ssize_t n = read_request(malformed[i].text, &req);
        if (n != malformed[i].want)
            fail_msg("%zu: %s: %zd", i, malformed[i].text, n);
        int status = http1_refusal_status((int)n);
        assert_int_equal(status, n == ERR_UNSUPPORTED ? 505 : 400);
    }
}

static void a_nul_byte_is_accepted_nowhere(void **state)
{
    static const char text[] = "GET /a HTTP/1.1\r\nHost: a\r\nX: yz\r\n\r\n";
    for (size_t i = 0; i < sizeof text - 3; i++) {
        char bytes[sizeof text];
        memcpy(bytes, text, sizeof text);
        bytes[i] = '\0';
        struct http1_request req;
        ssize_t n = http1_request_read((const uint8_t *)bytes, sizeof text - 1, &req);
        if (n > 0)
            fail_msg("NUL at %zu: %zd", i, n);
    }
}

/* A prefix of a good head is never refused and never accepted; what follows the head is left alone.
 */
static void a_request_cut_everywhere(void **state)
{
    static const char text[] = "POST /live/cam1/whip?x=1 HTTP/1.1\r\nHost: a\r\n"
                               "Content-Length: 4\r\nConnection: close\r\n\r\nbody";
    size_t head = sizeof text - 1 - 4;
    struct http1_request req;
    for (size_t cut = 0; cut < head; cut++)
        assert_int_equal(http1_request_read((const uint8_t *)text, cut, &req), 0);
    for (size_t cut = head; cut < sizeof text; cut++) {
        assert_int_equal(http1_request_read((const uint8_t *)text, cut, &req), head);
        assert_int_equal(req.fields.content_length, 4);
        assert_int_equal(req.fields.count, 3);
        assert_slice("any case", http1_header_value(&req.fields, "CONNECTION"), "close");
        assert_null(http1_header_value(&req.fields, "Cookie").p);
    }
}

/* 1 when all of it is consumed, for a head with a target of `target` bytes and `count` headers with
 * values of `value` bytes. */
static ssize_t read_sized(size_t target, size_t count, size_t value)
{
    size_t room = target + count * (value + 8) + 100;
    char *text = malloc(room);
    assert_non_null(text);
    struct wr w = wr_init(text, room);
    wr_text(&w, "GET /");
    for (size_t i = 1; i < target; i++)
        wr_u8(&w, 'x');
    wr_text(&w, " HTTP/1.1\r\nHost: a\r\n");
    for (size_t i = 0; i < count; i++) {
        wr_text(&w, "X: ");
        for (size_t k = 0; k < value; k++)
            wr_u8(&w, 'y');
        wr_text(&w, "\r\n");
    }
    wr_text(&w, "\r\n");
    assert_false(w.overflow);
    struct http1_request req;
    ssize_t n = http1_request_read((uint8_t *)text, wr_len(&w), &req);
    bool whole = n == (ssize_t)wr_len(&w);
    free(text);
    return whole ? 1 : n;
}

static void heads_at_their_limits(void **state)
{
    size_t line = HTTP1_LINE_MAX - strlen("GET  HTTP/1.1");
    assert_int_equal(read_sized(line, 0, 0), 1);
    assert_int_equal(read_sized(line + 1, 0, 0), ERR_TOO_LARGE);
    assert_int_equal(read_sized(1, HTTP1_HEADERS_MAX - 1, 1), 1);
    assert_int_equal(read_sized(1, HTTP1_HEADERS_MAX, 1), ERR_TOO_MANY);
    size_t rest = HTTP1_HEAD_MAX - strlen("GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n");
    assert_int_equal(read_sized(1, 1, rest), 1);
    assert_int_equal(read_sized(1, 1, rest + 1), ERR_TOO_LARGE);
    assert_int_equal(http1_refusal_status(ERR_TOO_LARGE), 431);
    assert_int_equal(http1_refusal_status(ERR_TOO_MANY), 431);

    uint8_t *endless = malloc(HTTP1_HEAD_MAX);
    assert_non_null(endless);
    memset(endless, 'a', HTTP1_HEAD_MAX);
    struct http1_request req;
    assert_int_equal(http1_request_read(endless, HTTP1_LINE_MAX + 1, &req), 0);
    assert_int_equal(http1_request_read(endless, HTTP1_LINE_MAX + 2, &req), ERR_TOO_LARGE);
    free(endless);
}

static void responses(void **state)
{
    static const struct {
        const char *text;
        int want; /* the status, or an error */
        enum http1_body body;
        bool keep_alive;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, HTTP1_BODY_LENGTH, true},
        {"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n", 200, HTTP1_BODY_LENGTH, true},
        {"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n", 200, HTTP1_BODY_CHUNKED, true},
        {"HTTP/1.1 200 OK\r\n\r\n", 200, HTTP1_BODY_UNTIL_CLOSE, false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", 200, HTTP1_BODY_LENGTH, false},
        {"HTTP/1.1 100 Continue\r\n\r\n", 100, HTTP1_BODY_NONE, true},
        {"HTTP/1.1 204 No Content\r\n\r\n", 204, HTTP1_BODY_NONE, true},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, HTTP1_BODY_NONE, true},
        {"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 503,
         HTTP1_BODY_NONE, false},
        {"HTTP/2.0 200 OK\r\n\r\n", ERR_UNSUPPORTED, 0, false},
        {"HTTP/1.1 20 OK\r\n\r\n", ERR_PROTOCOL, 0, false},
        {"HTTP/1.1 099 OK\r\n\r\n", ERR_PROTOCOL, 0, false},
        {"HTTP/1.1 600 OK\r\n\r\n", ERR_PROTOCOL, 0, false},
        {"HTTP/1.1 2000 OK\r\n\r\n", ERR_PROTOCOL, 0, false},
        {"HTTP/1.1  200 OK\r\n\r\n", ERR_PROTOCOL, 0, false},
        {"HTTP/1.1 200 O\x01K\r\n\r\n", ERR_PROTOCOL, 0, false},
        {"200 OK\r\n\r\n", ERR_PROTOCOL, 0, false},
        {"HTTP/1.1 200 OK\nX: y\r\n\r\n", ERR_PROTOCOL, 0, false},
        {"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", ERR_PROTOCOL, 0, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", ERR_PROTOCOL, 0,
         false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", ERR_PROTOCOL,
         0, false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", ERR_PROTOCOL, 0, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct http1_response res;
        const uint8_t *text = (const uint8_t *)cases[i].text;
        size_t len = strlen(cases[i].text);
        ssize_t n = http1_response_read(text, len, &res);
        if (n < 0 ? n != cases[i].want : n != (ssize_t)len || res.status != cases[i].want)
            fail_msg("%s: %zd", cases[i].text, n);
        if (n < 0)
            continue;
        if (res.fields.body != cases[i].body || res.fields.keep_alive != cases[i].keep_alive)
            fail_msg("%s: body %d keep %d", cases[i].text, (int)res.fields.body,
                     res.fields.keep_alive);
        for (size_t cut = 0; cut < len; cut++)
            assert_int_equal(http1_response_read(text, cut, &res), 0);
    }
}

/* Decodes what is there; returns bytes consumed or an error, and appends to out. */
static ssize_t feed(struct http1_chunks *c, const char *text, size_t len, struct wr *out,
                    bool *done)
{
    size_t at = 0;
    while (at < len && !*done) {
        struct slice data;
        ssize_t n = http1_chunks_read(c, (const uint8_t *)text + at, len - at, &data, done);
        if (n < 0)
            return n;
        if (n == 0)
            break;
        wr_put(out, data);
        at += (size_t)n;
    }
    return (ssize_t)at;
}

static void a_chunked_body_cut_everywhere(void **state)
{
    static const char text[] =
        "5\r\nhello\r\n00000007\r\n, world\r\nA\r\n0123456789\r\n0\r\n\r\nGET";
    size_t body = sizeof text - 1 - 3;
    for (size_t cut = 0; cut <= body; cut++) {
        struct http1_chunks c = {0};
        char bytes[64];
        struct wr out = wr_init(bytes, sizeof bytes);
        bool done = false;
        ssize_t first = feed(&c, text, cut, &out, &done);
        assert_true(first >= 0 && first <= (ssize_t)cut);
        assert_int_equal(done, cut == body);
        ssize_t second = feed(&c, text + first, sizeof text - 1 - (size_t)first, &out, &done);
        assert_true(second >= 0);
        assert_true(done);
        assert_int_equal(first + second, body);
        assert_slice("decoded", wr_slice(&out), "hello, world0123456789");
    }
}

static void chunked_bodies_that_are_refused(void **state)
{
    static const struct {
        const char *text;
        int want;
    } cases[] = {
        {"5;a=b\r\nhello\r\n", ERR_PROTOCOL},
        {"5 \r\nhello\r\n", ERR_PROTOCOL},
        {" 5\r\nhello\r\n", ERR_PROTOCOL},
        {"0x5\r\nhello\r\n", ERR_PROTOCOL},
        {"-5\r\nhello\r\n", ERR_PROTOCOL},
        {"+5\r\nhello\r\n", ERR_PROTOCOL},
        {"\r\nhello\r\n", ERR_PROTOCOL},
        {"5\nhello\r\n", ERR_PROTOCOL},
        {"5\rhello\r\n", ERR_PROTOCOL},
        {"5\r\nhelloX\r\n", ERR_PROTOCOL},
        {"5\r\nhello\n", ERR_PROTOCOL},
        {"000000005\r\nhello\r\n", ERR_TOO_LARGE},
        {"fffffffff\r\n", ERR_TOO_LARGE},
        {"g\r\n", ERR_PROTOCOL},
        {"0\r\nTrailer: x\r\n\r\n", ERR_PROTOCOL},
        {"0\r\n\n", ERR_PROTOCOL},
        {"0;x\r\n\r\n", ERR_PROTOCOL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct http1_chunks c = {0};
        char bytes[64];
        struct wr out = wr_init(bytes, sizeof bytes);
        bool done = false;
        ssize_t n = feed(&c, cases[i].text, strlen(cases[i].text), &out, &done);
        if (n != cases[i].want)
            fail_msg("%s: %zd", cases[i].text, n);
    }
}

static void heads_are_written(void **state)
{
    char bytes[200];
    struct wr w = wr_init(bytes, sizeof bytes);
    http1_write_status(&w, 200);
    http1_write_header(&w, "Content-Type", slice_text("video/x-flv"));
    http1_write_number(&w, "Content-Length", 0);
    http1_write_number(&w, "X-Big", UINT64_MAX);
    http1_write_end(&w);
    assert_false(w.overflow);
    assert_slice("response", wr_slice(&w),
                 "HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\nContent-Length: 0\r\n"
                 "X-Big: 18446744073709551615\r\n\r\n");
    w = wr_init(bytes, sizeof bytes);
    http1_write_request(&w, "GET", slice_text("/a?b"));
    http1_write_header(&w, "Host", slice_text("x"));
    http1_write_end(&w);
    assert_slice("request", wr_slice(&w), "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_string_equal(http1_status_text(508), "Loop Detected");
    assert_string_equal(http1_status_text(299), "Unknown");
}

static void a_header_cannot_be_forged(void **state)
{
    static const char *const values[] = {"a\r\nX: y", "a\n", "a\r", "\x01", "\x7f"};
    char bytes[100];
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        struct wr w = wr_init(bytes, sizeof bytes);
        http1_write_header(&w, "Location", slice_text(values[i]));
        assert_true(w.overflow);
        w = wr_init(bytes, sizeof bytes);
        http1_write_request(&w, "GET", slice_text(values[i]));
        assert_true(w.overflow);
    }
    struct wr w = wr_init(bytes, sizeof bytes);
    http1_write_request(&w, "GET", slice_text("/a HTTP/1.1"));
    assert_true(w.overflow);
}

static void dates(void **state)
{
    static const struct {
        int64_t unix_s;
        const char *text;
    } cases[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
        {951782399, "Mon, 28 Feb 2000 23:59:59 GMT"},
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
        {951868800, "Wed, 01 Mar 2000 00:00:00 GMT"},
        {4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"},
        {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[HTTP1_DATE_SIZE];
        http1_date(cases[i].unix_s, text);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),
        cmocka_unit_test(malformed_requests),
        cmocka_unit_test(a_nul_byte_is_accepted_nowhere),
        cmocka_unit_test(a_request_cut_everywhere),
        cmocka_unit_test(heads_at_their_limits),
        cmocka_unit_test(responses),
        cmocka_unit_test(a_chunked_body_cut_everywhere),
        cmocka_unit_test(chunked_bodies_that_are_refused),
        cmocka_unit_test(heads_are_written),
        cmocka_unit_test(a_header_cannot_be_forged),
        cmocka_unit_test(dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
