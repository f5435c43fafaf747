#include "cluster/redis_reply.h"

#include "base/err.h"

#include <string.h>

#define NUMBER_DIGITS_MAX 18 /* fits int64_t whatever the digits are */
#define NUMBER_LINE_MAX   (NUMBER_DIGITS_MAX + 1)

/* The line at s->at after its type byte: its length without CRLF in *n.  1, 0 or negative. */
static int find_line(const struct redis_scan *s, const uint8_t *src, size_t len, size_t max,
                     size_t *n)
{
    const uint8_t *line = src + s->at + 1;
    size_t have = len - s->at - 1;
    const uint8_t *lf = memchr(line, '\n', have);
    if (lf == NULL)
        return have > max + 1 ? ERR_TOO_LARGE : 0;
    if (lf == line || lf[-1] != '\r')
        return ERR_PROTOCOL;
    *n = (size_t)(lf - line) - 1;
    return *n > max ? ERR_TOO_LARGE : 1;
}

static int parse_number(const uint8_t *p, size_t n, int64_t *out)
{
    bool negative = n > 0 && p[0] == '-';
    size_t i = negative ? 1 : 0;
    if (i == n || n - i > NUMBER_DIGITS_MAX)
        return ERR_PROTOCOL;
    /* The reader takes no leading zero and no -0 either. */
    if (p[i] == '0' && n > 1)
        return ERR_PROTOCOL;
    int64_t v = 0;
    for (; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return ERR_PROTOCOL;
        v = v * 10 + (p[i] - '0');
    }
    *out = negative ? -v : v;
    return 0;
}

static int number_line(const struct redis_scan *s, const uint8_t *src, size_t len, size_t *n,
                       int64_t *value)
{
    int r = find_line(s, src, len, NUMBER_LINE_MAX, n);
    if (r <= 0)
        return r == ERR_TOO_LARGE ? ERR_PROTOCOL : r;
    int err = parse_number(src + s->at + 1, *n, value);
    return err < 0 ? err : 1;
}

/* One element is complete at s->at: so are the arrays it was the last of. */
static void element_done(struct redis_scan *s)
{
    while (s->depth > 0 && --s->left[s->depth - 1] == 0)
        s->depth--;
}

static int scan_line(struct redis_scan *s, const uint8_t *src, size_t len)
{
    size_t n;
    int r = find_line(s, src, len, REDIS_LINE_MAX, &n);
    if (r <= 0)
        return r;
    s->at += 1 + n + 2;
    element_done(s);
    return 1;
}

static int scan_integer(struct redis_scan *s, const uint8_t *src, size_t len)
{
    size_t n;
    int64_t value;
    int r = number_line(s, src, len, &n, &value);
    if (r <= 0)
        return r;
    s->at += 1 + n + 2;
    element_done(s);
    return 1;
}

static int scan_bulk(struct redis_scan *s, const uint8_t *src, size_t len)
{
    size_t n;
    int64_t size;
    int r = number_line(s, src, len, &n, &size);
    if (r <= 0)
        return r;
    if (size < -1)
        return ERR_PROTOCOL;
    if (size > REDIS_BULK_MAX)
        return ERR_TOO_LARGE;
    size_t at = s->at + 1 + n + 2;
    if (size >= 0) {
        size_t body = (size_t)size;
        if (len - at < body + 2)
            return 0;
        if (src[at + body] != '\r' || src[at + body + 1] != '\n')
            return ERR_PROTOCOL;
        at += body + 2;
    }
    s->at = at;
    element_done(s);
    return 1;
}

static int scan_array(struct redis_scan *s, const uint8_t *src, size_t len)
{
    size_t n;
    int64_t count;
    int r = number_line(s, src, len, &n, &count);
    if (r <= 0)
        return r;
    if (count < -1)
        return ERR_PROTOCOL;
    if (count > REDIS_ARRAY_MAX)
        return ERR_TOO_MANY;
    if (count > 0 && s->depth == REDIS_DEPTH_MAX)
        return ERR_TOO_DEEP;
    s->at += 1 + n + 2;
    if (count > 0)
        s->left[s->depth++] = (uint32_t)count;
    else
        element_done(s);
    return 1;
}

static int scan_element(struct redis_scan *s, const uint8_t *src, size_t len)
{
    static const struct {
        char type;
        int (*scan)(struct redis_scan *s, const uint8_t *src, size_t len);
    } types[] = {{'+', scan_line},
                 {'-', scan_line},
                 {':', scan_integer},
                 {'$', scan_bulk},
                 {'*', scan_array}};
    if (s->at == len)
        return 0;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (src[s->at] == (uint8_t)types[i].type)
            return types[i].scan(s, src, len);
    return ERR_PROTOCOL;
}

ssize_t redis_scan(struct redis_scan *s, const uint8_t *src, size_t len)
{
    int r;
    do {
        r = scan_element(s, src, len);
        if (r > 0 && s->at > REDIS_REPLY_MAX)
            r = ERR_TOO_LARGE;
    } while (r > 0 && s->depth > 0);
    if (r == 0)
        return 0;
    ssize_t whole = r < 0 ? r : (ssize_t)s->at;
    *s = (struct redis_scan){0};
    return whole;
}

redisReply *redis_reply_parse(redisReader *reader, struct slice whole)
{
    void *reply = NULL;
    if (redisReaderFeed(reader, (const char *)whole.p, whole.len) != REDIS_OK)
        return NULL;
    if (redisReaderGetReply(reader, &reply) != REDIS_OK)
        return NULL;
    return reply;
}

bool redis_is_error(const redisReply *r)
{
    return r != NULL && r->type == REDIS_REPLY_ERROR;
}

bool redis_is_error_word(const redisReply *r, const char *word)
{
    size_t n = strlen(word);
    return redis_is_error(r) && strncmp(r->str, word, n) == 0 &&
           (r->str[n] == ' ' || r->str[n] == '\0');
}

const char *redis_error_text(const redisReply *r)
{
    if (r == NULL)
        return "no answer";
    return redis_is_error(r) ? r->str : "unexpected reply";
}

bool redis_is_array(const redisReply *r, size_t n)
{
    return r != NULL && r->type == REDIS_REPLY_ARRAY && r->elements >= n;
}

const redisReply *redis_element(const redisReply *r, size_t i)
{
    return redis_is_array(r, i + 1) ? r->element[i] : NULL;
}

struct slice redis_text(const redisReply *r)
{
    if (r == NULL || (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_STATUS))
        return slice_of(NULL, 0);
    return slice_of(r->str, r->len);
}

struct slice redis_text_at(const redisReply *r, size_t i)
{
    return redis_text(redis_element(r, i));
}
