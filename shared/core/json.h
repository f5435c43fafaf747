#ifndef SLUICE_CORE_JSON_H
#define SLUICE_CORE_JSON_H

#include "base/buf.h"
#include "base/slice.h"

#include <jansson.h>

/* Parses peers' text: duplicates refused, depth and size bounded.  NULL on any error. */
#define JSON_INPUT_MAX 65536
json_t *json_parse(struct slice text);

/* Appends the compact text of j; 0 or an enum err. */
int json_print(const json_t *j, struct buf *out);

#endif
