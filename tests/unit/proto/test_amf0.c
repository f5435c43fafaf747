#include "test.h"

#include "base/err.h"
#include "hex_bytes.h"
#include "proto/amf0.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Values as text: 1, true, "s", {a=1 b=2}, E{...}, T:class{...}, [1 2], null, undefined, @1,
 * xml(..), date(..). */
struct text {
    char s[1024];
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void say(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    t->len += (size_t)vsnprintf(t->s + t->len, sizeof t->s - t->len, format, args);
    va_end(args);
    assert_true(t->len < sizeof t->s);
}

static void say_value(struct text *t, const struct amf0_value *v);

static void say_children(struct text *t, const struct amf0_value *v, char open, char close)
{
    say(t, "%c", open);
    for (const struct amf0_value *c = v + 1; c < v + v->span; c += c->span) {
        say(t, "%s", c == v + 1 ? "" : " ");
        if (open == '{')
            say(t, "%.*s=", SLICE_ARG(c->key));
        say_value(t, c);
    }
    say(t, "%c", close);
}

static void say_value(struct text *t, const struct amf0_value *v)
{
    switch (v->type) {
    case AMF0_NUMBER:
        say(t, "%.17g", v->number);
        break;
    case AMF0_BOOL:
        say(t, "%s", v->number != 0 ? "true" : "false");
        break;
    case AMF0_STRING:
        say(t, "\"%.*s\"", SLICE_ARG(v->text));
        break;
    case AMF0_OBJECT:
        say_children(t, v, '{', '}');
        break;
    case AMF0_NULL:
        say(t, "null");
        break;
    case AMF0_UNDEFINED:
        say(t, "undefined");
        break;
    case AMF0_REFERENCE:
        say(t, "@%g", v->number);
        break;
    case AMF0_ECMA_ARRAY:
        say(t, "E");
        say_children(t, v, '{', '}');
        break;
    case AMF0_STRICT_ARRAY:
        say_children(t, v, '[', ']');
        break;
    case AMF0_DATE:
        say(t, "date(%g)", v->number);
        break;
    case AMF0_XML:
        say(t, "xml(%.*s)", SLICE_ARG(v->text));
        break;
    case AMF0_TYPED_OBJECT:
        say(t, "T:%.*s", SLICE_ARG(v->text));
        say_children(t, v, '{', '}');
        break;
    }
}

static const struct {
    const char *hex;
    const char *text;
} values_on_the_wire[] = {
    {"00 3ff0000000000000", "1"},
    {"00 c0a24c0000000000", "-2342"},
    {"01 00", "false"},
    {"01 07", "true"},
    {"02 0000", "\"\""},
    {"02 0003 616263", "\"abc\""},
    {"0c 00000003 616263", "\"abc\""},
    {"03 000009", "{}"},
    {"03 0001 61 05 000009", "{a=null}"},
    {"03 0000 05 000009", "{=null}"},
    {"03 0001 61 03 0001 62 0100 000009 0001 63 06 000009", "{a={b=false} c=undefined}"},
    {"05", "null"},
    {"06", "undefined"},
    {"0d", "undefined"},
    {"07 0102", "@258"},
    {"08 00000000 0001 61 05 0001 62 05 000009", "E{a=null b=null}"},
    {"08 ffffffff 000009", "E{}"},
    {"0a 00000000", "[]"},
    {"0a 00000002 05 0a 00000001 06", "[null [undefined]]"},
    {"0a 00000001 03 000009", "[{}]"},
    {"03 0001 61 0a 00000001 05 0001 62 0101 000009", "{a=[null] b=true}"},
    {"0b 4034000000000000 0000", "date(20)"},
    {"0f 00000002 3c3e", "xml(<>)"},
    {"10 0002 4162 0001 61 0101 000009", "T:Ab{a=true}"},
    {"11 00", "undefined"},
    {"11 01", "null"},
    {"11 02", "false"},
    {"11 03", "true"},
    {"11 04 7f", "127"},
    {"11 04 8100", "128"},
    {"11 04 81808000", "4194304"},
    {"11 04 bfffffff", "268435455"},
    {"11 04 c0808000", "-268435456"},
    {"11 04 ffffffff", "-1"},
    {"11 05 4000000000000000", "2"},
    {"11 06 07 616263", "\"abc\""},
    {"11 06 01", "\"\""},
    {"03 0001 61 11 04 05 000009", "{a=5}"},
};

static void test_values(void **state)
{
    for (size_t i = 0; i < COUNT_OF(values_on_the_wire); i++) {
        uint8_t room[HEX_BYTES_MAX];
        struct slice s = hex_bytes(values_on_the_wire[i].hex, room);
        struct amf0_value v[16];
        size_t count;
        /* Every cut wants more, and a copy of exactly the cut's size shows reads past it. */
        for (size_t cut = 0; cut < s.len; cut++) {
            uint8_t *copy = malloc(cut + 1);
            assert_non_null(copy);
            memcpy(copy + 1, s.p, cut);
            assert_int_equal(amf0_parse(copy + 1, cut, v, COUNT_OF(v), &count), 0);
            assert_int_equal(count, 0);
            free(copy);
        }
        assert_int_equal(amf0_parse(s.p, s.len, v, COUNT_OF(v), &count), s.len);
        assert_int_equal(v[0].span, count);
        struct text t = {.len = 0};
        say_value(&t, v);
        assert_string_equal(t.s, values_on_the_wire[i].text);
    }
}

static void test_bytes_after_a_value_are_left(void **state)
{
    static const uint8_t two[] = {0x05, 0x06};
    struct amf0_value v[2];
    size_t count;
    assert_int_equal(amf0_parse(two, sizeof two, v, 2, &count), 1);
    assert_int_equal(count, 1);
}

static const struct {
    const char *hex;
    int err;
} refused[] = {
    {"09", ERR_PROTOCOL},             /* an end without a beginning */
    {"12", ERR_PROTOCOL},             /* no such marker */
    {"ff", ERR_PROTOCOL},             /* no such marker */
    {"0a 00000001 09", ERR_PROTOCOL}, /* an end inside a strict array */
    {"03 0001 61 09", ERR_PROTOCOL},  /* a named end */
    {"04", ERR_UNSUPPORTED},          /* MovieClip */
    {"0e", ERR_UNSUPPORTED},          /* RecordSet */
    {"11 09 0101", ERR_UNSUPPORTED},  /* AMF3 array */
    {"11 0a", ERR_UNSUPPORTED},       /* AMF3 object */
    {"11 ff", ERR_UNSUPPORTED},       /* no such marker */
    {"11 06 02", ERR_UNSUPPORTED},    /* AMF3 string by reference */
    {"05 05 05 05 05 05 05 05 05", ERR_TOO_MANY} /* nine where eight have room */,
    {"0a ffffffff 0505050505050505", ERR_TOO_MANY},
    {"0a ffffffff 0505", ERR_PROTOCOL}, /* elements announced that are not there */
    {"0c ffffffff 61", ERR_PROTOCOL},   /* characters announced that are not there */
    {"02 ffff 61", ERR_PROTOCOL},
    {"0f 7fffffff 61", ERR_PROTOCOL},
    {"08 00000001 0001 61 05", ERR_PROTOCOL}, /* no end */
    {"00 3ff0", ERR_PROTOCOL},
    {"05 11", ERR_PROTOCOL},
};

static void test_refusals(void **state)
{
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        uint8_t room[HEX_BYTES_MAX];
        struct amf0_value v[8];
        size_t count = 1;
        struct slice body = hex_bytes(refused[i].hex, room);
        assert_int_equal(amf0_parse_all(body, false, v, COUNT_OF(v), &count), refused[i].err);
        assert_int_equal(count, 0);
    }
}

/* `levels` containers inside each other, each begun by these bytes. */
static int parse_nested(const char *begin_hex, size_t levels)
{
    uint8_t begin[HEX_BYTES_MAX];
    struct slice b = hex_bytes(begin_hex, begin);
    uint8_t *body = malloc(levels * b.len);
    assert_non_null(body);
    for (size_t i = 0; i < levels; i++)
        memcpy(body + i * b.len, b.p, b.len);
    struct amf0_value v[AMF0_VALUES_MAX];
    size_t count;
    int err = amf0_parse_all(slice_of(body, levels * b.len), true, v, COUNT_OF(v), &count);
    free(body);
    return err;
}

static void test_depth(void **state)
{
    /* Objects and ECMA arrays begin with a property name, which the innermost one lacks a value
     * for. */
    assert_int_equal(parse_nested("0a 00000001", AMF0_DEPTH_MAX), ERR_PROTOCOL);
    assert_int_equal(parse_nested("03 0001 61", AMF0_DEPTH_MAX), ERR_PROTOCOL);
    assert_int_equal(parse_nested("0a 00000001", AMF0_DEPTH_MAX + 1), ERR_TOO_DEEP);
    static const char *const begins[] = {"03 0001 61", "08 00000001 0001 61", "0a 00000001",
                                         "0a ffffffff", "10 0001 41 0001 61"};
    for (size_t i = 0; i < COUNT_OF(begins); i++)
        assert_int_equal(parse_nested(begins[i], 100000), ERR_TOO_DEEP);
}

static void test_deepest_allowed(void **state)
{
    uint8_t body[256];
    struct wr w = wr_init(body, sizeof body);
    for (int i = 0; i < AMF0_DEPTH_MAX; i++)
        amf0_write_strict_array(&w, 1);
    amf0_write_bool(&w, true);
    struct amf0_value v[AMF0_DEPTH_MAX + 1];
    size_t count;
    assert_int_equal(amf0_parse_all(wr_slice(&w), false, v, COUNT_OF(v), &count), 0);
    assert_int_equal(count, AMF0_DEPTH_MAX + 1);
    assert_int_equal(v[0].span, AMF0_DEPTH_MAX + 1);
    assert_int_equal(v[AMF0_DEPTH_MAX].type, AMF0_BOOL);
}

static const struct {
    const char *hex;
    int err;
    size_t count;
} unended[] = {
    {"08 00000002 0001 61 05", 0, 2},
    {"08 00000002 0001 61 05 00", 0, 2},
    {"08 00000002 0001 61 05 0000", 0, 2},
    {"08 00000002 0001 61 05 000009", 0, 2},
    {"02 0001 61 03", 0, 2},
    {"03 0001 61 08 00000000", 0, 2},
    {"03 0001 61 0a 00000001 03", 0, 0},
    {"03 0001 61", ERR_PROTOCOL, 0},
    {"03 0001 61 00 3ff0", ERR_PROTOCOL, 0},
    {"03 0001", ERR_PROTOCOL, 0},
    {"0a 00000002 03", ERR_PROTOCOL, 0},
    {"0a 00000001", ERR_PROTOCOL, 0},
};

static void test_unended_objects(void **state)
{
    for (size_t i = 0; i < COUNT_OF(unended); i++) {
        uint8_t room[HEX_BYTES_MAX];
        struct amf0_value v[8];
        size_t count;
        struct slice body = hex_bytes(unended[i].hex, room);
        assert_int_equal(amf0_parse_all(body, true, v, COUNT_OF(v), &count), unended[i].err);
        if (unended[i].count > 0)
            assert_int_equal(count, unended[i].count);
    }
}

static void write_metadata(struct wr *w)
{
    amf0_write_text(w, "onMetaData");
    amf0_write_ecma_array(w, 4);
    amf0_property_number(w, "width", 1280);
    amf0_property_bool(w, "stereo", true);
    amf0_property_text(w, "encoder", "e");
    amf0_write_key(w, slice_text("tracks"));
    amf0_write_object(w);
    amf0_property_string(w, "x", slice_of("yz", 2));
    amf0_write_end(w);
    amf0_write_end(w);
    amf0_write_strict_array(w, 2);
    amf0_write_null(w);
    amf0_write_undefined(w);
}

static void test_writer(void **state)
{
    uint8_t body[256], again[256];
    struct wr w = wr_init(body, sizeof body);
    write_metadata(&w);
    assert_false(w.overflow);
    struct amf0_value v[16];
    size_t count;
    assert_int_equal(amf0_parse_all(wr_slice(&w), false, v, COUNT_OF(v), &count), 0);
    struct text t = {.len = 0};
    for (size_t i = 0; i < count; i += v[i].span)
        say_value(&t, &v[i]);
    assert_string_equal(
        t.s,
        "\"onMetaData\"E{width=1280 stereo=true encoder=\"e\" tracks={x=\"yz\"}}[null undefined]");
    for (size_t room = 0; room < wr_len(&w); room++) {
        struct wr shorter = wr_init(again, room);
        write_metadata(&shorter);
        assert_true(shorter.overflow);
    }
}

static void test_long_strings(void **state)
{
    static const size_t lengths[] = {65535, 65536, 100000};
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        size_t len = lengths[i];
        uint8_t *text = calloc(2, len + 8);
        assert_non_null(text);
        struct wr w = wr_init(text + len, len + 8);
        amf0_write_string(&w, slice_of(text, len));
        assert_false(w.overflow);
        assert_int_equal(w.start[0], len > 65535 ? 0x0c : 0x02);
        struct amf0_value v;
        size_t count;
        assert_int_equal(amf0_parse(w.start, wr_len(&w), &v, 1, &count), wr_len(&w));
        assert_int_equal(v.text.len, len);
        w = wr_init(text + len, len + 8);
        amf0_write_key(&w, slice_of(text, len));
        assert_int_equal(w.overflow, len > 65535);
        free(text);
    }
}

static void test_lookups(void **state)
{
    uint8_t room[HEX_BYTES_MAX];
    /* {n=2.5 b=true s="x" o={n=7} n=9} */
    struct slice s = hex_bytes("03 0001 6e 00 4004000000000000 0001 62 0101 0001 73 02 0001 78"
                               "0001 6f 03 0001 6e 00 401c000000000000 000009"
                               "0001 6e 00 4022000000000000 000009",
                               room);
    struct amf0_value v[16];
    size_t count;
    assert_int_equal(amf0_parse(s.p, s.len, v, COUNT_OF(v), &count), s.len);
    assert_true(amf0_number(amf0_get(v, "n"), 0) == 2.5);
    assert_int_equal(amf0_u32(amf0_get(v, "n"), 0), 2);
    assert_true(amf0_bool(amf0_get(v, "b"), false));
    assert_true(amf0_number(amf0_get(v, "b"), 0) == 1);
    assert_true(slice_is(amf0_text(amf0_get(v, "s")), "x"));
    assert_true(amf0_number(amf0_get(amf0_get(v, "o"), "n"), 0) == 7);
    assert_null(amf0_get(v, "missing"));
    assert_null(amf0_get(v, ""));
    assert_null(amf0_get(amf0_get(v, "s"), "n"));
    assert_null(amf0_get(NULL, "n"));
    assert_int_equal(amf0_text(amf0_get(v, "n")).len, 0);
    assert_int_equal(amf0_text(NULL).len, 0);
    assert_true(amf0_number(amf0_get(v, "s"), -1) == -1);
    assert_true(amf0_bool(NULL, true));
}

static void test_u32_range(void **state)
{
    const struct {
        double number;
        uint32_t expected;
    } cases[] = {
        {0, 0},
        {-0.0, 0},
        {4294967295.0, UINT32_MAX},
        {4294967295.5, UINT32_MAX},
        {-1, 77},
        {-0.5, 77},
        {4294967296.0, 77},
        {1e300, 77},
        {INFINITY, 77},
        {-INFINITY, 77},
        {NAN, 77},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct amf0_value v = {.type = AMF0_NUMBER, .span = 1, .number = cases[i].number};
        assert_int_equal(amf0_u32(&v, 77), cases[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),          cmocka_unit_test(test_bytes_after_a_value_are_left),
        cmocka_unit_test(test_refusals),        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_deepest_allowed), cmocka_unit_test(test_unended_objects),
        cmocka_unit_test(test_writer),          cmocka_unit_test(test_long_strings),
        cmocka_unit_test(test_lookups),         cmocka_unit_test(test_u32_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
