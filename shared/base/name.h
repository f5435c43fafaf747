#ifndef SLUICE_BASE_NAME_H
#define SLUICE_BASE_NAME_H

#include "base/slice.h"

#include <stdbool.h>

/*
 * Names of streams and nodes.  They are checked here before they reach a log line, a key, a file or
 * a URL, and nothing else is accepted anywhere.
 */
#define NAME_PART_MAX    128 /* characters of APP and of STREAM */
#define NAME_DERIVED_MAX 8   /* of a derivation, with its semicolon */
#define NAME_STREAM_MAX                                                                            \
    (2 * NAME_PART_MAX + 1 + NAME_DERIVED_MAX) /* APP/STREAM;DERIVATION, without terminator */
#define NAME_NODE_MAX 64

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

/*
 * A derived track is a stream of its own beside the one that it is made of, with that one's name, a
 * semicolon and its derivation: "live/cam1;opus".  Nodes name them to each other; publishers and
 * viewers cannot.
 */
/* The derivations there are, by index; NULL beyond the last. */
const char *name_derivation_at(size_t index);
/* As name_stream(), and STREAM may end in a derivation. */
int name_stream_or_derived(struct slice app, struct slice stream, char out[NAME_STREAM_MAX + 1]);
/* must(): name is no derived one, derivation is one of them. */
void name_derive(const char *name, const char *derivation, char out[NAME_STREAM_MAX + 1]);
/* The derivation in a name, or NULL. */
const char *name_derivation(const char *name);
/* The name without it. */
void name_base(const char *name, char out[NAME_STREAM_MAX + 1]);

#endif
