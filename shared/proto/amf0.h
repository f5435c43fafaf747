#ifndef SLUICE_PROTO_AMF0_H
#define SLUICE_PROTO_AMF0_H

#include "base/bytes.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * AMF0, the values inside RTMP commands and metadata (Adobe "Action Message Format - AMF 0").
 *
 *   bytes -> amf0_parse() -> flat array of struct amf0_value, parents before children -> amf0_get()
 *   amf0_write_...() -> struct wr -> bytes
 *
 * The parser does not recurse and allocates nothing: depth and number of values are bounded, counts
 * that the peer announces are only compared with the bytes that are there.  Texts and keys are
 * slices of the input and live as long as it does.  Thread: any; nothing is shared.
 */

#define AMF0_DEPTH_MAX  16   /* objects and arrays inside each other */
#define AMF0_VALUES_MAX 1024 /* values of one message, nested ones included */

enum amf0_type {
    AMF0_NUMBER,
    AMF0_BOOL,
    AMF0_STRING, /* short and long ones */
    AMF0_OBJECT,
    AMF0_NULL,
    AMF0_UNDEFINED,
    AMF0_REFERENCE, /* to an earlier object; not followed */
    AMF0_ECMA_ARRAY,
    AMF0_STRICT_ARRAY,
    AMF0_DATE,
    AMF0_XML,
    AMF0_TYPED_OBJECT,
};

/*
 * One value.  The children of an object or array follow it; `span` counts the value and everything
 * below it, so that
 *
 *     for (const struct amf0_value *c = v + 1; c < v + v->span; c += c->span)
 *
 * visits the children of v, and v + v->span is the value after v.
 */
struct amf0_value {
    enum amf0_type type;
    uint32_t span;
    struct slice key;  /* the property's name inside an object or ECMA array, else empty */
    struct slice text; /* STRING, XML: the characters; TYPED_OBJECT: the class name */
    double number;     /* NUMBER; BOOL: 0 or 1; DATE: ms since 1970; REFERENCE: index */
};

/*
 * Parses one value.  Returns the bytes consumed, 0 when src ends inside the value, or a negative
 * enum err: ERR_PROTOCOL, ERR_TOO_DEEP, ERR_TOO_MANY (more than `room` values), ERR_UNSUPPORTED (a
 * MovieClip, a RecordSet, an AMF3 value that is not simple).  values[0 .. *count) are set on
 * success; on anything else *count is 0 and the array's content is undefined.
 */
ssize_t amf0_parse(const uint8_t *src, size_t len, struct amf0_value *values, size_t room,
                   size_t *count);

/*
 * Parses all values of a message body.  Returns 0 or a negative enum err as above; a body that ends
 * inside a value is ERR_PROTOCOL.  With unended_ok, objects and ECMA arrays (never strict arrays)
 * that are still open where the body ends are closed there; the end may also be cut inside the
 * three bytes of the end mark.  Encoders do that to onMetaData.
 */
int amf0_parse_all(struct slice body, bool unended_ok, struct amf0_value *values, size_t room,
                   size_t *count);

/* The property `key` of an object, typed object or ECMA array (the first one of that name), or NULL
 * when there is none, or v is NULL or of another type. */
const struct amf0_value *amf0_get(const struct amf0_value *v, const char *key);

/* What v holds, or `fallback` when v is NULL or of another type.  Numbers and bools stand in for
 * each other. */
double amf0_number(const struct amf0_value *v, double fallback);
bool amf0_bool(const struct amf0_value *v, bool fallback);

/* The whole part of a number in 0 .. 2^32-1, else `fallback` (also for NaN). */
uint32_t amf0_u32(const struct amf0_value *v, uint32_t fallback);

/* The characters of a string, or an empty slice. */
struct slice amf0_text(const struct amf0_value *v);

/*
 * Writers; what does not fit sets w->overflow.  Objects and ECMA arrays: begin, then key and value
 * by turns (or the property shortcuts), then amf0_write_end().  A strict array is followed by
 * `count` values and has no end.
 */
void amf0_write_number(struct wr *w, double v);
void amf0_write_bool(struct wr *w, bool v);
/* A long string where 65,535 bytes are not enough. */
void amf0_write_string(struct wr *w, struct slice v);
void amf0_write_text(struct wr *w, const char *v);
void amf0_write_null(struct wr *w);
void amf0_write_undefined(struct wr *w);
void amf0_write_object(struct wr *w);
void amf0_write_ecma_array(struct wr *w, uint32_t count);
void amf0_write_strict_array(struct wr *w, uint32_t count);
/* At most 65,535 bytes, else w->overflow. */
void amf0_write_key(struct wr *w, struct slice key);
void amf0_write_end(struct wr *w);

void amf0_property_number(struct wr *w, const char *key, double v);
void amf0_property_bool(struct wr *w, const char *key, bool v);
void amf0_property_string(struct wr *w, const char *key, struct slice v);
void amf0_property_text(struct wr *w, const char *key, const char *v);

#endif
