#include "core/redis_url.h"

#include "base/err.h"
#include "base/hex.h"
#include "base/slice.h"

#include <string.h>

static bool percent_decode(struct slice s, char *dst, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];
        if (c == '%') {
            if (s.len - i < 3 || hex_decode(slice_of(s.p + i + 1, 2), &c, 1) < 0)
                return false;
            i += 2;
        }
        if (c == '\0' || n + 1 >= room)
            return false;
        dst[n++] = (char)c;
    }
    dst[n] = '\0';
    return true;
}

static int parse_credentials(struct slice s, struct redis_url *u, const char **why)
{
    *why = "the user and password";
    struct slice password;
    bool found;
    struct slice user = slice_cut(s, ':', &password, &found);
    if (!found || password.len == 0)
        return ERR_TYPE;
    if (!percent_decode(user, u->user, sizeof u->user) ||
        !percent_decode(password, u->password, sizeof u->password))
        return ERR_TYPE;
    return 0;
}

static int parse_number(struct slice s, uint64_t max, uint64_t *out)
{
    return s.len == 0 ? ERR_TYPE : slice_u64(s, max, out);
}

static bool host_ok(struct slice s, bool v6)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && c != '.' && c != '-' && c != '_' && !(v6 && (c == ':' || c == '%')))
            return false;
    }
    return s.len > 0;
}

/* The host and what follows it: nothing, or ":PORT". */
static int split_host(struct slice s, struct slice *host, struct slice *port, bool *has_port)
{
    bool v6 = s.len > 0 && s.p[0] == '[';
    if (!v6) {
        *host = slice_cut(s, ':', port, has_port);
        return host_ok(*host, false) ? 0 : ERR_TYPE;
    }
    bool closed;
    struct slice rest;
    *host = slice_cut(slice_of(s.p + 1, s.len - 1), ']', &rest, &closed);
    if (!closed || !host_ok(*host, true) || (rest.len > 0 && rest.p[0] != ':'))
        return ERR_TYPE;
    *has_port = rest.len > 0;
    *port = *has_port ? slice_of(rest.p + 1, rest.len - 1) : rest;
    return 0;
}

static int parse_host(struct slice s, struct redis_url *u, const char **why)
{
    *why = "the host";
    struct slice host, port;
    bool has_port = false;
    if (split_host(s, &host, &port, &has_port) < 0)
        return ERR_TYPE;
    if (!slice_copy(host, u->host, sizeof u->host))
        return ERR_TYPE;
    uint64_t number = REDIS_PORT_DEFAULT;
    *why = "the port";
    if (has_port && (parse_number(port, UINT16_MAX, &number) < 0 || number == 0))
        return ERR_TYPE;
    u->port = (uint16_t)number;
    return 0;
}

static int parse_scheme(struct slice *s, struct redis_url *u)
{
    static const struct {
        const char *text;
        bool tls;
    } schemes[] = {{"redis://", false}, {"rediss://", true}};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (!slice_starts(*s, schemes[i].text))
            continue;
        size_t n = strlen(schemes[i].text);
        *s = slice_of(s->p + n, s->len - n);
        u->tls = schemes[i].tls;
        return 0;
    }
    return ERR_TYPE;
}

int redis_url_parse(const char *text, struct redis_url *out, const char **why)
{
    struct redis_url u = {0};
    struct slice s = slice_text(text), db, host;
    *why = "the scheme (redis:// or rediss://)";
    if (parse_scheme(&s, &u) < 0)
        return ERR_TYPE;
    bool has_db, has_credentials;
    struct slice authority = slice_cut(s, '/', &db, &has_db);
    struct slice credentials = slice_cut(authority, '@', &host, &has_credentials);
    if (has_credentials && parse_credentials(credentials, &u, why) < 0)
        return ERR_TYPE;
    if (parse_host(has_credentials ? host : authority, &u, why) < 0)
        return ERR_TYPE;
    uint64_t number = 0;
    *why = "the database number (0-15)";
    if (has_db && db.len > 0 && parse_number(db, REDIS_DB_MAX, &number) < 0)
        return ERR_TYPE;
    u.db = (int)number;
    *out = u;
    *why = "";
    return 0;
}
