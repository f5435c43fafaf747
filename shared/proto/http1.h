#ifndef SLUICE_PROTO_HTTP1_H
#define SLUICE_PROTO_HTTP1_H

#include "base/bytes.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * HTTP/1.1 (RFC 9112) heads and chunked bodies.  What two implementations could read differently is
 * refused, never repaired: after any error the connection is to be closed.  Slices point into the
 * caller's bytes.  Nothing here allocates.
 */
#define HTTP1_HEAD_MAX    (16 * 1024) /* bytes of a head, with its empty line */
#define HTTP1_LINE_MAX    (8 * 1024)  /* bytes of a request or status line */
#define HTTP1_HEADERS_MAX 64          /* header lines of a head */
#define HTTP1_METHOD_MAX  16          /* bytes */

struct http1_header {
    struct slice name, value; /* the value without white space around it */
};

/* How the body after a head is delimited. */
enum http1_body { HTTP1_BODY_NONE, HTTP1_BODY_LENGTH, HTTP1_BODY_CHUNKED, HTTP1_BODY_UNTIL_CLOSE };

/* What requests and responses have in common. */
struct http1_fields {
    struct http1_header headers[HTTP1_HEADERS_MAX];
    size_t count;
    int minor; /* HTTP/1.minor: 0 or 1 */
    enum http1_body body;
    uint64_t content_length; /* with HTTP1_BODY_LENGTH */
    bool keep_alive;         /* the peer lets the connection stay (RFC 9112, 9.3) */
    bool expect_continue;    /* the peer waits for 100 before it sends the body */
};

struct http1_request {
    struct slice method;
    struct slice target; /* as sent */
    struct slice path;   /* as sent, still percent-encoded; "*" for OPTIONS * */
    struct slice query;  /* as sent, without '?' */
    struct slice host;   /* of the Host header; len 0 when an HTTP/1.0 request has none */
    struct http1_fields fields;
};

struct http1_response {
    int status; /* 100 to 599 */
    struct slice reason;
    struct http1_fields fields;
};

/*
 * Reads one request head up to and with its empty line: bytes consumed, 0, or
 *   ERR_TOO_LARGE    head or request line over the limit
 *   ERR_TOO_MANY     more than HTTP1_HEADERS_MAX headers
 *   ERR_UNSUPPORTED  another HTTP version
 *   ERR_PROTOCOL     anything else
 * *out is undefined unless something was consumed.
 */
ssize_t http1_request_read(const uint8_t *src, size_t len, struct http1_request *out);

/* The status a refused request is answered with: 400, 431 or 505. */
int http1_refusal_status(int err);

/* Reads one response head in the same way.  The body of a response to HEAD is not there, whatever
 * fields.body says. */
ssize_t http1_response_read(const uint8_t *src, size_t len, struct http1_response *out);

/* The value of the first header of that name (any case), p NULL when there is none. */
struct slice http1_header_value(const struct http1_fields *f, const char *name);

/* True when `token` (any case) is in a comma separated list such as Connection. */
bool http1_list_has(struct slice list, const char *token);

#define HTTP1_CHUNK_DIGITS_MAX 8 /* hexadecimal digits of a chunk's size */

/* A chunked body being read; starts as all zero. */
struct http1_chunks {
    uint64_t left; /* bytes of the current chunk still to come */
    int next;      /* what is expected next, private */
};

/*
 * Reads a piece of a chunked body: bytes consumed, 0, or ERR_PROTOCOL (extensions and trailers are
 * refused) or ERR_TOO_LARGE (too many digits).  *data is what was decoded, a slice of src, often
 * empty.  *done is set with the last byte of the body; nothing may be read after it.
 */
ssize_t http1_chunks_read(struct http1_chunks *c, const uint8_t *src, size_t len,
                          struct slice *data, bool *done);

/* The reason phrase of a status, "Unknown" when it is not in the table. */
const char *http1_status_text(int status);

/*
 * A head is a status or request line, header lines and an end.  Text with a control character in
 * it, which could forge a header, sets w->overflow, as a head without room does.
 */
void http1_write_status(struct wr *w, int status);
void http1_write_request(struct wr *w, const char *method, struct slice target);
void http1_write_header(struct wr *w, const char *name, struct slice value);
void http1_write_number(struct wr *w, const char *name, uint64_t value);
void http1_write_end(struct wr *w);

#define HTTP1_DATE_SIZE 30 /* bytes of "Sun, 06 Nov 1994 08:49:37 GMT" and the terminator */

/* The time as a Date header has it (IMF-fixdate); years 1970 to 9999. */
void http1_date(int64_t unix_s, char out[HTTP1_DATE_SIZE]);

#endif
