#include "proto/http1.h"

#include "base/err.h"

#include <strings.h>

/*
 * Heads.  The end of a head is found first, line by line, so that a line without CR is refused as
 * soon as it is there; then its lines are read one after the other and judged as a whole.
 */

#define CONTENT_LENGTH_DIGITS_MAX 18

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(uint8_t c)
{
    return is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* RFC 9110, 5.6.2 */
static bool is_token(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_alnum(s.p[i]) && (s.p[i] == '\0' || strchr("!#$%&'*+-.^_`|~", s.p[i]) == NULL))
            return false;
    }
    return s.len > 0;
}

static bool is_visible(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f)
            return false;
    }
    return s.len > 0;
}

/* Spaces, tabs, visible characters and bytes above them (RFC 9110, 5.5). */
static bool is_field_text(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f)
            return false;
    }
    return true;
}

/* Bytes of the line at the start of s with its CR LF, 0 when it is not complete, ERR_PROTOCOL when
 * there is no CR. */
static ssize_t line_length(struct slice s)
{
    const uint8_t *lf = s.len > 0 ? memchr(s.p, '\n', s.len) : NULL;
    if (lf == NULL)
        return 0;
    if (lf == s.p || lf[-1] != '\r')
        return ERR_PROTOCOL;
    return lf - s.p + 1;
}

/* Length of the head with its empty line, 0 when it is not complete, or why it never will be. */
static ssize_t head_length(const uint8_t *src, size_t len)
{
    struct slice left = slice_of(src, len < HTTP1_HEAD_MAX ? len : HTTP1_HEAD_MAX);
    for (size_t lines = 0; lines <= HTTP1_HEADERS_MAX + 1; lines++) {
        ssize_t n = line_length(left);
        if (n < 0)
            return n;
        size_t line = n > 0 ? (size_t)n : left.len;
        if (lines == 0 && line > HTTP1_LINE_MAX + (n > 0 ? 2 : 1)) /* CR LF, or a CR so far */
            return ERR_TOO_LARGE;
        if (n == 0)
            return len >= HTTP1_HEAD_MAX ? ERR_TOO_LARGE : 0;
        left = slice_of(left.p + n, left.len - (size_t)n);
        if (n == 2)
            return lines == 0 ? ERR_PROTOCOL : left.p - src;
    }
    return ERR_TOO_MANY;
}

/* The next line of a complete head; the head's own empty line is empty. */
static struct slice next_line(struct slice *head)
{
    struct slice rest;
    struct slice line = slice_cut(*head, '\n', &rest, NULL);
    *head = rest;
    line.len--;
    return line;
}

static int read_headers(struct slice head, struct http1_fields *f)
{
    for (;;) {
        struct slice line = next_line(&head);
        if (line.len == 0)
            return 0;
        if (f->count == HTTP1_HEADERS_MAX)
            return ERR_TOO_MANY;
        bool colon = false;
        struct slice value;
        struct slice name = slice_cut(line, ':', &value, &colon);
        if (!colon || !is_token(name) || !is_field_text(value))
            return ERR_PROTOCOL;
        f->headers[f->count++] = (struct http1_header){name, slice_trim(value)};
    }
}

struct slice http1_header_value(const struct http1_fields *f, const char *name)
{
    for (size_t i = 0; i < f->count; i++) {
        if (slice_is_nocase(f->headers[i].name, name))
            return f->headers[i].value;
    }
    return slice_of(NULL, 0);
}

bool http1_list_has(struct slice list, const char *token)
{
    while (list.len > 0) {
        struct slice rest;
        struct slice item = slice_trim(slice_cut(list, ',', &rest, NULL));
        if (slice_is_nocase(item, token))
            return true;
        list = rest;
    }
    return false;
}

static size_t count_of(const struct http1_fields *f, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < f->count; i++)
        n += slice_is_nocase(f->headers[i].name, name) ? 1 : 0;
    return n;
}

/* Any Connection header lists the token. */
static bool connection_has(const struct http1_fields *f, const char *token)
{
    for (size_t i = 0; i < f->count; i++) {
        if (slice_is_nocase(f->headers[i].name, "Connection") &&
            http1_list_has(f->headers[i].value, token))
            return true;
    }
    return false;
}

/* How the body is delimited; `otherwise` when no header says it (RFC 9112, 6.3). */
static int judge_body(struct http1_fields *f, enum http1_body otherwise)
{
    size_t lengths = count_of(f, "Content-Length"), codings = count_of(f, "Transfer-Encoding");
    if (lengths + codings > 1)
        return ERR_PROTOCOL;
    f->body = otherwise;
    if (codings == 1) {
        if (f->minor == 0 ||
            !slice_is_nocase(http1_header_value(f, "Transfer-Encoding"), "chunked"))
            return ERR_PROTOCOL;
        f->body = HTTP1_BODY_CHUNKED;
    }
    if (lengths == 1) {
        struct slice text = http1_header_value(f, "Content-Length");
        if (text.len > CONTENT_LENGTH_DIGITS_MAX ||
            slice_u64(text, INT64_MAX, &f->content_length) < 0)
            return ERR_PROTOCOL;
        f->body = f->content_length > 0 ? HTTP1_BODY_LENGTH : HTTP1_BODY_NONE;
    }
    return 0;
}

static void judge_connection(struct http1_fields *f)
{
    bool keep = f->minor > 0 || connection_has(f, "keep-alive");
    f->keep_alive = keep && !connection_has(f, "close");
}

/* HTTP/1.0 or HTTP/1.1. */
static int read_version(struct slice s, int *minor)
{
    if (slice_is(s, "HTTP/1.1") || slice_is(s, "HTTP/1.0")) {
        *minor = s.p[7] - '0';
        return 0;
    }
    bool other = s.len == 8 && slice_starts(s, "HTTP/") && is_digit(s.p[5]) && s.p[6] == '.' &&
                 is_digit(s.p[7]);
    return other ? ERR_UNSUPPORTED : ERR_PROTOCOL;
}

static bool starts_nocase(struct slice s, const char *text)
{
    size_t n = strlen(text);
    return s.len >= n && strncasecmp((const char *)s.p, text, n) == 0;
}

/* A Host header's value, or the authority of an absolute target: no user, no list. */
static bool host_ok(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_alnum(s.p[i]) && (s.p[i] == '\0' || strchr("-._~:[]%", s.p[i]) == NULL))
            return false;
    }
    return s.len > 0;
}

/* Takes scheme and authority off an absolute target; what is left may be empty. */
static int cut_authority(struct slice *s)
{
    static const char *const schemes[] = {"http://", "https://"};
    size_t scheme = 0;
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        scheme = starts_nocase(*s, schemes[i]) ? strlen(schemes[i]) : scheme;
    if (scheme == 0)
        return ERR_PROTOCOL;
    size_t end = scheme;
    while (end < s->len && s->p[end] != '/' && s->p[end] != '?')
        end++;
    if (!host_ok(slice_of(s->p + scheme, end - scheme)))
        return ERR_PROTOCOL;
    *s = slice_of(s->p + end, s->len - end);
    return 0;
}

/* Origin, absolute and asterisk form (RFC 9112, 3.2); CONNECT's is not for us. */
static int read_target(struct http1_request *req)
{
    struct slice s = req->target;
    if (slice_is(req->method, "CONNECT") || memchr(s.p, '#', s.len) != NULL)
        return ERR_PROTOCOL;
    if (slice_is(s, "*")) {
        req->path = s;
        return slice_is(req->method, "OPTIONS") ? 0 : ERR_PROTOCOL;
    }
    if (s.p[0] != '/') {
        int err = cut_authority(&s);
        if (err < 0)
            return err;
    }
    req->path = slice_cut(s, '?', &req->query, NULL);
    if (req->path.len == 0)
        req->path = slice_text("/");
    return 0;
}

static int read_request_line(struct slice line, struct http1_request *req)
{
    struct slice rest, version;
    req->method = slice_cut(line, ' ', &rest, NULL);
    req->target = slice_cut(rest, ' ', &version, NULL);
    if (!is_token(req->method) || req->method.len > HTTP1_METHOD_MAX || !is_visible(req->target))
        return ERR_PROTOCOL;
    int err = read_version(version, &req->fields.minor);
    return err < 0 ? err : read_target(req);
}

static int judge_host(struct http1_request *req)
{
    size_t hosts = count_of(&req->fields, "Host");
    if (hosts == 0)
        return req->fields.minor == 0 ? 0 : ERR_PROTOCOL;
    req->host = http1_header_value(&req->fields, "Host");
    return hosts == 1 && host_ok(req->host) ? 0 : ERR_PROTOCOL;
}

static int judge_expect(struct http1_fields *f)
{
    struct slice expect = http1_header_value(f, "Expect");
    if (expect.p == NULL)
        return 0;
    if (count_of(f, "Expect") > 1 || !slice_is_nocase(expect, "100-continue"))
        return ERR_PROTOCOL;
    f->expect_continue = f->minor > 0 && f->body != HTTP1_BODY_NONE;
    return 0;
}

ssize_t http1_request_read(const uint8_t *src, size_t len, struct http1_request *out)
{
    ssize_t n = head_length(src, len);
    if (n <= 0)
        return n;
    *out = (struct http1_request){0};
    struct slice head = slice_of(src, (size_t)n);
    int err = read_request_line(next_line(&head), out);
    if (err == 0)
        err = read_headers(head, &out->fields);
    if (err == 0)
        err = judge_host(out);
    if (err == 0)
        err = judge_body(&out->fields, HTTP1_BODY_NONE);
    if (err == 0)
        err = judge_expect(&out->fields);
    if (err < 0)
        return err;
    judge_connection(&out->fields);
    return n;
}

int http1_refusal_status(int err)
{
    if (err == ERR_TOO_LARGE || err == ERR_TOO_MANY)
        return 431;
    return err == ERR_UNSUPPORTED ? 505 : 400;
}

static int read_status_line(struct slice line, struct http1_response *res)
{
    struct slice rest;
    int err = read_version(slice_cut(line, ' ', &rest, NULL), &res->fields.minor);
    if (err < 0)
        return err;
    uint64_t status = 0;
    struct slice code = slice_cut(rest, ' ', &res->reason, NULL);
    if (code.len != 3 || slice_u64(code, 599, &status) < 0 || status < 100)
        return ERR_PROTOCOL;
    res->status = (int)status;
    return is_field_text(res->reason) ? 0 : ERR_PROTOCOL;
}

ssize_t http1_response_read(const uint8_t *src, size_t len, struct http1_response *out)
{
    ssize_t n = head_length(src, len);
    if (n <= 0)
        return n;
    *out = (struct http1_response){0};
    struct slice head = slice_of(src, (size_t)n);
    int err = read_status_line(next_line(&head), out);
    if (err == 0)
        err = read_headers(head, &out->fields);
    if (err == 0)
        err = judge_body(&out->fields, HTTP1_BODY_UNTIL_CLOSE);
    if (err < 0)
        return err;
    if (out->status < 200 || out->status == 204 || out->status == 304)
        out->fields.body = HTTP1_BODY_NONE;
    judge_connection(&out->fields);
    if (out->fields.body == HTTP1_BODY_UNTIL_CLOSE)
        out->fields.keep_alive = false;
    return n;
}
