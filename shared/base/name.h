#ifndef SLUICE_BASE_NAME_H
#define SLUICE_BASE_NAME_H

#include "base/slice.h"

#include <stdbool.h>

/*
 * Names of streams and nodes.  They are checked here before they reach a log line, a key, a file or
 * a URL, and nothing else is accepted anywhere.
 */
#define NAME_PART_MAX   128                     /* characters of APP and of STREAM */
#define NAME_STREAM_MAX (2 * NAME_PART_MAX + 1) /* APP/STREAM, without terminator */
#define NAME_NODE_MAX   64

/* [A-Za-z0-9_-][A-Za-z0-9._-]{0,127}, without "..". */
bool name_part_ok(struct slice s);

/* [A-Za-z0-9._-]{1,64}. */
bool name_node_ok(struct slice s);

/*
 * Joins and checks APP and STREAM into "APP/STREAM".  APP may not be a word of our own URLs (api,
 * rtc, relay), STREAM may not end in .flv or .m3u8.  0 or ERR_NAME (and an empty string).
 */
int name_stream(struct slice app, struct slice stream, char out[NAME_STREAM_MAX + 1]);

/* The same from one text with exactly one slash. */
int name_stream_of(struct slice text, char out[NAME_STREAM_MAX + 1]);

#endif
