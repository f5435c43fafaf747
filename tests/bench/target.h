#ifndef SLUICE_TESTS_BENCH_TARGET_H
#define SLUICE_TESTS_BENCH_TARGET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TARGET_TEXT_MAX 256 /* bytes of an app or stream name */

/* Where to connect and what to ask for. */
struct target {
    struct sockaddr_in address;
    bool http;
    char app[TARGET_TEXT_MAX];
    char stream[TARGET_TEXT_MAX]; /* may hold one %d */
};

/* rtmp://IP:PORT/APP/STREAM or http://…; the IP is a numeric IPv4 address.  0 or ERR_TYPE. */
int target_parse(const char *url, struct target *t);

#define TARGETS_MAX 8 /* addresses that one command goes to in turn */

/* Appends an address to a list of TARGETS_MAX; false when it is none or the list is full. */
bool targets_add(struct target *list, int *count, const char *url);

/* The stream's name for number n; false when there is no room. */
bool target_stream(const struct target *t, int n, char *out, size_t room);

/* Starts a non-blocking connection with TCP_NODELAY; the socket or -1. */
int target_connect(const struct target *t);

#endif
