#include "target.h"

#include "base/err.h"
#include "base/slice.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* HOST, HOST:PORT or [ADDRESS]:PORT; *port is left alone when there is none. */
static bool cut_authority(struct slice text, char *host, size_t room, const char **port)
{
    if (!slice_copy(text, host, room))
        return false;
    char *end = host[0] == '[' ? strchr(host, ']') : NULL;
    char *colon = strchr(end != NULL ? end : host, ':');
    if (colon != NULL) {
        *colon = '\0';
        *port = colon + 1;
    }
    if (end != NULL) {
        *end = '\0';
        memmove(host, host + 1, (size_t)(end - host));
    }
    return host[0] != '\0';
}

static int look_up(struct slice authority, struct target *t)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    const char *port = t->tls ? "443" : t->http ? "80" : "1935";
    struct addrinfo *found = NULL;
    if (!slice_copy(authority, t->authority, sizeof t->authority) ||
        !cut_authority(authority, t->host, sizeof t->host, &port))
        return ERR_TYPE;
    int code = getaddrinfo(t->host, port, &hints, &found);
    if (code != 0)
        return code == EAI_SERVICE || port[0] == '\0' ? ERR_TYPE : ERR_NOT_FOUND;
    memcpy(&t->address, found->ai_addr, found->ai_addrlen);
    t->address_len = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static const struct scheme {
    const char *text;
    bool http, tls;
} schemes[] = {{"rtmp://", false, false},
               {"rtmps://", false, true},
               {"http://", true, false},
               {"https://", true, true}};

static const struct scheme *scheme_of(struct slice url)
{
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (slice_starts(url, schemes[i].text))
            return &schemes[i];
    return NULL;
}

int target_parse(const char *url, struct target *t)
{
    *t = (struct target){0};
    struct slice rest, s = slice_text(url);
    const struct scheme *scheme = scheme_of(s);
    if (scheme == NULL)
        return ERR_TYPE;
    t->http = scheme->http;
    t->tls = scheme->tls;
    size_t skip = strlen(scheme->text);
    struct slice authority = slice_cut(slice_of(s.p + skip, s.len - skip), '/', &rest, NULL);
    struct slice stream, app = slice_cut(rest, '/', &stream, NULL);
    bool fits =
        slice_copy(app, t->app, sizeof t->app) && slice_copy(stream, t->stream, sizeof t->stream);
    return fits && stream.len > 0 ? look_up(authority, t) : ERR_TYPE;
}

int target_parse_plain(const char *url, struct target *t)
{
    int err = target_parse(url, t);
    return err == 0 && t->tls ? ERR_TYPE : err;
}

bool targets_add(struct target *list, int *count, const char *url)
{
    if (*count == TARGETS_MAX || target_parse_plain(url, &list[*count]) < 0)
        return false;
    ++*count;
    return true;
}

bool target_stream(const struct target *t, int n, char *out, size_t room)
{
    const char *mark = strstr(t->stream, "%d");
    int len = mark == NULL ? snprintf(out, room, "%s", t->stream)
                           : snprintf(out, room, "%.*s%d%s", (int)(mark - t->stream), t->stream, n,
                                      mark + 2);
    return len > 0 && (size_t)len < room;
}

int target_connect(const struct target *t)
{
    int fd = socket(t->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (const struct sockaddr *)&t->address, t->address_len) == 0 ||
        errno == EINPROGRESS)
        return fd;
    close(fd);
    return -1;
}
