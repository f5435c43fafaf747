#ifndef SLUICE_CORE_REDIS_URL_H
#define SLUICE_CORE_REDIS_URL_H

#include <stdbool.h>
#include <stdint.h>

/*
 * redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS.  USER and PASSWORD are
 * percent-decoded; HOST is a name, an IPv4 address or an IPv6 address in brackets (kept without).
 */
#define REDIS_PORT_DEFAULT 6379
#define REDIS_DB_MAX       15

struct redis_url {
    bool tls;
    char host[256];
    uint16_t port;
    char user[128];     /* empty: the default user */
    char password[512]; /* empty: no AUTH */
    int db;
};

/* 0, or negative with *why naming the part (a literal, never the password). */
int redis_url_parse(const char *text, struct redis_url *out, const char **why);

#endif
