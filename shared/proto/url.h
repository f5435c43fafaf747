#ifndef SLUICE_PROTO_URL_H
#define SLUICE_PROTO_URL_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Paths and queries of HTTP and RTMP URLs (RFC 3986).  A path that could mean two things to two
 * readers is refused here, before it reaches a name, a key, a file or a log line.
 */

/*
 * Decodes a path into terminated text: its length, or ERR_PROTOCOL (a bad percent sequence, %00, or
 * no slash in front), ERR_NAME (a byte outside [!-~], a backslash, an encoded slash, "//", a
 * segment
 * "." or ".."), ERR_TOO_LARGE (no room).  out is "" after an error.
 */
ssize_t url_path_decode(struct slice raw, char *out, size_t room);

/* The next key and value of *query (both as sent, the value empty when there is no '='), which is
 * moved past them; false at the end.  Empty pairs are passed over. */
bool url_query_next(struct slice *query, struct slice *key, struct slice *value);

/* The value, as sent, of the first pair with that key, p NULL when there is none. */
struct slice url_query_find(struct slice query, const char *key);

/* Decodes a value into terminated text ('+' stays '+'): its length, or ERR_PROTOCOL (a bad percent
 * sequence), ERR_NAME (a control character), ERR_TOO_LARGE.  out is "" after an error. */
ssize_t url_value_decode(struct slice raw, char *out, size_t room);

/* url_query_find() and url_value_decode() in one; ERR_NOT_FOUND when there is no such key. */
ssize_t url_query_get(struct slice query, const char *key, char *out, size_t room);

/* What is before the first '?' of an RTMP app or stream name; *query is what follows it. */
struct slice url_cut_query(struct slice text, struct slice *query);

/* Takes the app of a connect apart, "live/inst?token=x": returns the first segment; *instance (the
 * rest of the path) and *query are empty when there is none. */
struct slice url_rtmp_app(struct slice app, struct slice *instance, struct slice *query);

/*
 * Matches a decoded path against a pattern such as "/relay/v1/" "*" "/" "*" ".flv": in each segment
 * of the pattern one '*' may stand for one or more characters other than '/'.  Returns the number
 * of captures, or ERR_NOT_FOUND.  A pattern with more stars than `room`, or two in a segment, is a
 * bug.
 */
int url_match(const char *pattern, struct slice path, struct slice *captures, size_t room);

#endif
