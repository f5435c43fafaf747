#ifndef SLUICE_TESTS_BENCH_TARGET_H
#define SLUICE_TESTS_BENCH_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define TARGET_TEXT_MAX 256 /* bytes of an authority, of an app or of a stream name */

/* Where to connect and what to ask for. */
struct target {
    struct sockaddr_storage address;
    socklen_t address_len;
    bool http, tls;
    char host[TARGET_TEXT_MAX];      /* without its port */
    char authority[TARGET_TEXT_MAX]; /* HOST:PORT as written, for Host and tcUrl */
    char app[TARGET_TEXT_MAX];
    char stream[TARGET_TEXT_MAX]; /* all that follows the app; may hold one %d */
};

/* rtmp[s]://HOST[:PORT]/APP/STREAM or http[s]://…; the host is looked up, an IPv6 address stands in
 * brackets.  0, ERR_TYPE, or ERR_NOT_FOUND when nobody knows the host. */
int target_parse(const char *url, struct target *t);

/* The same of commands that know no TLS. */
int target_parse_plain(const char *url, struct target *t);

#define TARGETS_MAX 8 /* addresses that one command goes to in turn */

/* Appends an address to a list of TARGETS_MAX; false when it is none or the list is full. */
bool targets_add(struct target *list, int *count, const char *url);

/* The stream's name for number n; false when there is no room. */
bool target_stream(const struct target *t, int n, char *out, size_t room);

/* Starts a non-blocking connection with TCP_NODELAY; the socket or -1. */
int target_connect(const struct target *t);

#endif
