/*
 * One GET with blocking calls: connect, ask, read until the body is whole or the time is over.
 */
#include "admin/status.h"

#include "base/buf.h"
#include "base/err.h"
#include "core/clock.h"
#include "proto/http1.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define FETCH_HOST_MAX    256
#define FETCH_REQUEST_MAX 2048
#define FETCH_READ        65536

struct target {
    char host[FETCH_HOST_MAX], port[8];
    char authority[FETCH_HOST_MAX + 16]; /* as given, for the Host header */
};

/* HOST, HOST:PORT, [V6], [V6]:PORT */
static bool split_authority(struct slice text, struct target *t)
{
    bool bracket = text.len > 0 && text.p[0] == '[', has_port = false;
    struct slice host, port = slice_text("80");
    if (bracket) {
        struct slice rest, inside = slice_of(text.p + 1, text.len - 1);
        host = slice_cut(inside, ']', &rest, &bracket);
        if (!bracket || (rest.len > 0 && rest.p[0] != ':'))
            return false;
        if (rest.len > 0)
            port = slice_of(rest.p + 1, rest.len - 1);
    } else {
        struct slice rest;
        host = slice_cut(text, ':', &rest, &has_port);
        if (has_port)
            port = rest;
    }
    uint64_t number;
    return host.len > 0 && slice_u64(port, UINT16_MAX, &number) == 0 && number > 0 &&
           slice_copy(host, t->host, sizeof t->host) && slice_copy(port, t->port, sizeof t->port) &&
           slice_copy(text, t->authority, sizeof t->authority);
}

static bool read_url(const char *url, struct target *t, char error[STATUS_ERROR_MAX])
{
    static const char scheme[] = "http://";
    struct slice rest, text = slice_text(url);
    if (slice_starts(text, "https://")) {
        snprintf(error, STATUS_ERROR_MAX, "%.200s: https is not spoken here, ask an http port",
                 url);
        return false;
    }
    if (slice_starts(text, scheme))
        text = slice_of(text.p + sizeof scheme - 1, text.len - (sizeof scheme - 1));
    if (split_authority(slice_cut(text, '/', &rest, NULL), t))
        return true;
    snprintf(error, STATUS_ERROR_MAX, "%.200s: not an address such as http://127.0.0.1:8080", url);
    return false;
}

static bool wait_for(int fd, short events, int64_t due_us)
{
    struct pollfd p = {.fd = fd, .events = events};
    int64_t left_ms = (due_us - clock_us()) / 1000;
    return left_ms > 0 && poll(&p, 1, (int)left_ms) == 1;
}

/* A connected socket, or -1 with errno. */
static int connect_one(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    int err = connect(fd, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    if (err == EINPROGRESS) {
        socklen_t len = sizeof err;
        if (!wait_for(fd, POLLOUT, clock_us() + STATUS_CONNECT_MS * 1000))
            err = ETIMEDOUT;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
            err = errno;
    }
    if (err == 0)
        return fd;
    close(fd);
    errno = err;
    return -1;
}

static int connect_to(const struct target *t, char error[STATUS_ERROR_MAX])
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int fd = -1, err = getaddrinfo(t->host, t->port, &hints, &found);
    if (err != 0) {
        snprintf(error, STATUS_ERROR_MAX, "%s: %s", t->authority, gai_strerror(err));
        return -1;
    }
    for (const struct addrinfo *a = found; a != NULL && fd < 0; a = a->ai_next)
        fd = connect_one(a);
    if (fd < 0)
        snprintf(error, STATUS_ERROR_MAX, "%s: %s", t->authority, strerror(errno));
    freeaddrinfo(found);
    return fd;
}

static bool send_all(int fd, struct slice text, int64_t due_us)
{
    while (text.len > 0) {
        ssize_t n = send(fd, text.p, text.len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        if (n < 0 && !wait_for(fd, POLLOUT, due_us))
            return false;
        if (n > 0)
            text = slice_of(text.p + n, text.len - (size_t)n);
    }
    return true;
}

static bool ask(int fd, const struct status_options *o, const struct target *t, const char *path,
                int64_t due_us)
{
    uint8_t room[FETCH_REQUEST_MAX];
    char bearer[FETCH_REQUEST_MAX / 2];
    struct wr w = wr_init(room, sizeof room);
    http1_write_request(&w, "GET", slice_text(path));
    http1_write_header(&w, "Host", slice_text(t->authority));
    http1_write_header(&w, "Connection", slice_text("close"));
    if (o->token != NULL && o->token[0] != '\0') {
        snprintf(bearer, sizeof bearer, "Bearer %s", o->token);
        http1_write_header(&w, "Authorization", slice_text(bearer));
    }
    http1_write_end(&w);
    return !w.overflow && send_all(fd, wr_slice(&w), due_us);
}

/* Everything up to the end of the connection: we have asked for it to close. */
static const char *read_all(int fd, struct buf *in, int64_t due_us)
{
    for (;;) {
        if (!wait_for(fd, POLLIN, due_us))
            return "no answer in time";
        uint8_t *room = buf_reserve(in, FETCH_READ);
        if (room == NULL)
            return "the answer is too large";
        ssize_t n = recv(fd, room, FETCH_READ, 0);
        if (n == 0)
            return NULL;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return strerror(errno);
        buf_commit(in, n > 0 ? (size_t)n : 0);
    }
}

static json_t *read_answer(const struct buf *in, char error[STATUS_ERROR_MAX])
{
    struct http1_response head;
    struct slice all = buf_slice(in);
    ssize_t n = http1_response_read(all.p, all.len, &head);
    if (n <= 0) {
        snprintf(error, STATUS_ERROR_MAX, "the answer is not HTTP");
        return NULL;
    }
    struct slice body = slice_of(all.p + n, all.len - (size_t)n);
    if (head.status != 200) {
        snprintf(error, STATUS_ERROR_MAX, "the answer is %d %.*s", head.status,
                 SLICE_ARG(head.reason));
        return NULL;
    }
    bool whole = head.fields.body == HTTP1_BODY_UNTIL_CLOSE ||
                 (head.fields.body == HTTP1_BODY_LENGTH && head.fields.content_length == body.len);
    json_t *j = whole ? json_loadb((const char *)body.p, body.len, 0, NULL) : NULL;
    if (json_is_object(j))
        return j;
    json_decref(j);
    snprintf(error, STATUS_ERROR_MAX, "the answer is not a whole JSON object");
    return NULL;
}

json_t *status_fetch(const struct status_options *o, const char *path, char error[STATUS_ERROR_MAX],
                     bool *usage)
{
    struct target t;
    struct buf in;
    char why[STATUS_ERROR_MAX] = "";
    json_t *out = NULL;
    *usage = !read_url(o->url, &t, error);
    int fd = *usage ? -1 : connect_to(&t, error);
    if (fd < 0)
        return NULL;
    int64_t due_us = clock_us() + STATUS_ANSWER_MS * 1000;
    buf_init(&in, STATUS_ANSWER_MAX);
    const char *failure =
        ask(fd, o, &t, path, due_us) ? read_all(fd, &in, due_us) : "the request cannot be sent";
    if (failure == NULL)
        out = read_answer(&in, why);
    if (out == NULL)
        snprintf(error, STATUS_ERROR_MAX, "%.200s%s: %.100s", t.authority, path,
                 failure != NULL ? failure : why);
    buf_fini(&in);
    close(fd);
    return out;
}
