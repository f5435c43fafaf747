/*
 * The AMF0 parser and the look-ups.  One loop, one small stack of the objects and arrays that are
 * open; every value is read by the function its marker selects.
 */
#include "proto/amf0.h"

#include "base/err.h"
#include "proto/amf0_marker.h"

struct amf0_open {
    size_t node;
    uint32_t left; /* elements still to come of a strict array */
};

struct amf0_parser {
    struct rd r;
    bool unended_ok;
    struct amf0_value *values;
    size_t room, count;
    struct amf0_open open[AMF0_DEPTH_MAX];
    size_t depth;
};

typedef int amf0_read(struct amf0_parser *p, struct amf0_value *v);

static bool has_keys(const struct amf0_value *v)
{
    return v->type == AMF0_OBJECT || v->type == AMF0_ECMA_ARRAY || v->type == AMF0_TYPED_OBJECT;
}

static int open_container(struct amf0_parser *p, struct amf0_value *v, enum amf0_type type,
                          uint32_t left)
{
    if (p->depth == AMF0_DEPTH_MAX)
        return ERR_TOO_DEEP;
    v->type = type;
    p->open[p->depth++] = (struct amf0_open){(size_t)(v - p->values), left};
    return 0;
}

static int read_number(struct amf0_parser *p, struct amf0_value *v)
{
    v->type = AMF0_NUMBER;
    v->number = rd_f64(&p->r);
    return 0;
}

static int read_bool(struct amf0_parser *p, struct amf0_value *v)
{
    v->type = AMF0_BOOL;
    v->number = rd_u8(&p->r) != 0;
    return 0;
}

static int read_string(struct amf0_parser *p, struct amf0_value *v)
{
    v->type = AMF0_STRING;
    v->text = rd_slice_of(&p->r, rd_u16(&p->r));
    return 0;
}

static int read_long_string(struct amf0_parser *p, struct amf0_value *v)
{
    v->type = AMF0_STRING;
    v->text = rd_slice_of(&p->r, rd_u32(&p->r));
    return 0;
}

static int read_xml(struct amf0_parser *p, struct amf0_value *v)
{
    v->type = AMF0_XML;
    v->text = rd_slice_of(&p->r, rd_u32(&p->r));
    return 0;
}

static int read_object(struct amf0_parser *p, struct amf0_value *v)
{
    return open_container(p, v, AMF0_OBJECT, 0);
}

static int read_typed_object(struct amf0_parser *p, struct amf0_value *v)
{
    v->text = rd_slice_of(&p->r, rd_u16(&p->r));
    return open_container(p, v, AMF0_TYPED_OBJECT, 0);
}

static int read_ecma_array(struct amf0_parser *p, struct amf0_value *v)
{
    /* The count is a hint that GStreamer and FMS get wrong: the end mark ends the array. */
    rd_u32(&p->r);
    return open_container(p, v, AMF0_ECMA_ARRAY, 0);
}

static int read_strict_array(struct amf0_parser *p, struct amf0_value *v)
{
    return open_container(p, v, AMF0_STRICT_ARRAY, rd_u32(&p->r));
}

static int read_null(struct amf0_parser *p, struct amf0_value *v)
{
    v->type = AMF0_NULL;
    return 0;
}

static int read_undefined(struct amf0_parser *p, struct amf0_value *v)
{
    v->type = AMF0_UNDEFINED;
    return 0;
}

static int read_reference(struct amf0_parser *p, struct amf0_value *v)
{
    v->type = AMF0_REFERENCE;
    v->number = rd_u16(&p->r);
    return 0;
}

static int read_date(struct amf0_parser *p, struct amf0_value *v)
{
    v->type = AMF0_DATE;
    v->number = rd_f64(&p->r);
    rd_u16(&p->r); /* the time zone, reserved and to be ignored */
    return 0;
}

/* AMF3 section 1.3.1: three bytes of seven bits and a fourth of eight. */
static uint32_t read_u29(struct rd *r)
{
    uint32_t v = 0;
    for (int i = 0; i < 3; i++) {
        uint8_t b = rd_u8(r);
        v = v << 7 | (b & 0x7f);
        if ((b & 0x80) == 0)
            return v;
    }
    return v << 8 | rd_u8(r);
}

static int read_amf3_integer(struct amf0_parser *p, struct amf0_value *v)
{
    const uint32_t sign = 1U << 28;
    v->type = AMF0_NUMBER;
    v->number = (double)(int32_t)(read_u29(&p->r) ^ sign) - (double)sign;
    return 0;
}

static int read_amf3_string(struct amf0_parser *p, struct amf0_value *v)
{
    uint32_t head = read_u29(&p->r);
    if ((head & 1) == 0)
        return ERR_UNSUPPORTED; /* an index into a table of earlier strings */
    v->type = AMF0_STRING;
    v->text = rd_slice_of(&p->r, head >> 1);
    return 0;
}

static int read_amf3_bool(struct amf0_parser *p, struct amf0_value *v)
{
    v->type = AMF0_BOOL;
    v->number = p->r.p[-1] == AMF3_TRUE;
    return 0;
}

static int read_amf3(struct amf0_parser *p, struct amf0_value *v)
{
    static amf0_read *const readers[] = {
        [AMF3_UNDEFINED] = read_undefined,  [AMF3_NULL] = read_null,
        [AMF3_FALSE] = read_amf3_bool,      [AMF3_TRUE] = read_amf3_bool,
        [AMF3_DOUBLE] = read_number,        [AMF3_STRING] = read_amf3_string,
        [AMF3_INTEGER] = read_amf3_integer,
    };
    uint8_t marker = rd_u8(&p->r);
    if (marker >= sizeof readers / sizeof readers[0])
        return ERR_UNSUPPORTED;
    return readers[marker](p, v);
}

static amf0_read *const readers[] = {
    [MARKER_NUMBER] = read_number,
    [MARKER_BOOL] = read_bool,
    [MARKER_STRING] = read_string,
    [MARKER_OBJECT] = read_object,
    [MARKER_NULL] = read_null,
    [MARKER_UNDEFINED] = read_undefined,
    [MARKER_REFERENCE] = read_reference,
    [MARKER_ECMA_ARRAY] = read_ecma_array,
    [MARKER_STRICT_ARRAY] = read_strict_array,
    [MARKER_DATE] = read_date,
    [MARKER_LONG_STRING] = read_long_string,
    [MARKER_UNSUPPORTED] = read_undefined,
    [MARKER_XML] = read_xml,
    [MARKER_TYPED_OBJECT] = read_typed_object,
    [MARKER_AMF3] = read_amf3,
};

static int read_value(struct amf0_parser *p, struct slice key)
{
    uint8_t marker = rd_u8(&p->r);
    if (p->r.underrun)
        return 0;
    if (marker == MARKER_OBJECT_END || marker > MARKER_AMF3)
        return ERR_PROTOCOL;
    if (readers[marker] == NULL)
        return ERR_UNSUPPORTED;
    if (p->count == p->room)
        return ERR_TOO_MANY;
    struct amf0_value *v = &p->values[p->count++];
    *v = (struct amf0_value){.span = 1, .key = key};
    return readers[marker](p, v);
}

static void close_container(struct amf0_parser *p)
{
    size_t node = p->open[--p->depth].node;
    p->values[node].span = (uint32_t)(p->count - node);
}

/* Whether the innermost container ends here (its end mark is then consumed); if not, *key is the
 * name of the value that follows. */
static bool at_end(struct amf0_parser *p, struct slice *key)
{
    struct amf0_open *top = &p->open[p->depth - 1];
    if (!has_keys(&p->values[top->node]))
        return top->left == 0 || (top->left--, false);
    *key = rd_slice_of(&p->r, rd_u16(&p->r));
    if (key->len > 0 || rd_left(&p->r) == 0 || *p->r.p != MARKER_OBJECT_END)
        return false;
    rd_u8(&p->r);
    return true;
}

/* Whether nothing follows but what may be left of a cut end mark, and only objects are open. */
static bool at_tolerated_end(const struct amf0_parser *p)
{
    static const uint8_t mark[2] = {0};
    size_t left = rd_left(&p->r);
    if (!p->unended_ok || left > sizeof mark || (left > 0 && memcmp(p->r.p, mark, left) != 0))
        return false;
    for (size_t i = 0; i < p->depth; i++)
        if (!has_keys(&p->values[p->open[i].node]) && p->open[i].left > 0)
            return false;
    return true;
}

/* One value with everything in it; on underrun p->r.underrun is set and the result is 0. */
static int parse_value(struct amf0_parser *p)
{
    do {
        struct slice key = {0};
        if (p->depth > 0 && at_tolerated_end(p)) {
            rd_rest(&p->r);
            while (p->depth > 0)
                close_container(p);
            break;
        }
        if (p->depth > 0 && at_end(p, &key)) {
            close_container(p);
            continue;
        }
        int err = read_value(p, key);
        if (err < 0 && !p->r.underrun)
            return err;
    } while (p->depth > 0 && !p->r.underrun);
    return 0;
}

ssize_t amf0_parse(const uint8_t *src, size_t len, struct amf0_value *values, size_t room,
                   size_t *count)
{
    struct amf0_parser p = {.r = rd_init(src, len), .values = values, .room = room};
    *count = 0;
    int err = parse_value(&p);
    if (err < 0)
        return err;
    if (p.r.underrun)
        return 0;
    *count = p.count;
    return (ssize_t)(len - rd_left(&p.r));
}

int amf0_parse_all(struct slice body, bool unended_ok, struct amf0_value *values, size_t room,
                   size_t *count)
{
    struct amf0_parser p = {
        .r = rd_slice(body), .unended_ok = unended_ok, .values = values, .room = room};
    *count = 0;
    while (rd_left(&p.r) > 0) {
        int err = parse_value(&p);
        if (err < 0)
            return err;
        if (p.r.underrun)
            return ERR_PROTOCOL;
    }
    *count = p.count;
    return 0;
}

const struct amf0_value *amf0_get(const struct amf0_value *v, const char *key)
{
    if (v == NULL || !has_keys(v))
        return NULL;
    for (const struct amf0_value *c = v + 1; c < v + v->span; c += c->span)
        if (slice_is(c->key, key))
            return c;
    return NULL;
}

static bool is_scalar(const struct amf0_value *v)
{
    return v != NULL && (v->type == AMF0_NUMBER || v->type == AMF0_BOOL);
}

double amf0_number(const struct amf0_value *v, double fallback)
{
    return is_scalar(v) ? v->number : fallback;
}

bool amf0_bool(const struct amf0_value *v, bool fallback)
{
    return is_scalar(v) ? v->number != 0 : fallback;
}

uint32_t amf0_u32(const struct amf0_value *v, uint32_t fallback)
{
    if (!is_scalar(v) || !(v->number >= 0) || v->number >= (double)UINT32_MAX + 1)
        return fallback;
    return (uint32_t)v->number;
}

struct slice amf0_text(const struct amf0_value *v)
{
    return v != NULL && v->type == AMF0_STRING ? v->text : slice_of(NULL, 0);
}
