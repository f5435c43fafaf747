#include "target.h"

#include "base/err.h"
#include "base/slice.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int parse_authority(struct slice text, struct sockaddr_in *out)
{
    struct slice port_text, host_text = slice_cut(text, ':', &port_text, NULL);
    char host[INET_ADDRSTRLEN];
    uint64_t port = 0;
    out->sin_family = AF_INET;
    if (!slice_copy(host_text, host, sizeof host) || inet_pton(AF_INET, host, &out->sin_addr) != 1)
        return ERR_TYPE;
    if (slice_u64(port_text, 65535, &port) < 0)
        return ERR_TYPE;
    out->sin_port = htons((uint16_t)port);
    return 0;
}

int target_parse(const char *url, struct target *t)
{
    *t = (struct target){0};
    struct slice rest, s = slice_text(url);
    t->http = slice_starts(s, "http://");
    if (!t->http && !slice_starts(s, "rtmp://"))
        return ERR_TYPE;
    size_t scheme = strlen("http://");
    struct slice authority = slice_cut(slice_of(s.p + scheme, s.len - scheme), '/', &rest, NULL);
    int err = parse_authority(authority, &t->address);
    if (err < 0)
        return err;
    struct slice stream, app = slice_cut(rest, '/', &stream, NULL);
    bool fits =
        slice_copy(app, t->app, sizeof t->app) && slice_copy(stream, t->stream, sizeof t->stream);
    return fits && stream.len > 0 ? 0 : ERR_TYPE;
}

bool targets_add(struct target *list, int *count, const char *url)
{
    if (*count == TARGETS_MAX || target_parse(url, &list[*count]) < 0)
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
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (const struct sockaddr *)&t->address, sizeof t->address) == 0 ||
        errno == EINPROGRESS)
        return fd;
    close(fd);
    return -1;
}
