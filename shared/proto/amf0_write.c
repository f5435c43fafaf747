#include "proto/amf0.h"
#include "proto/amf0_marker.h"

void amf0_write_number(struct wr *w, double v)
{
    wr_u8(w, MARKER_NUMBER);
    wr_f64(w, v);
}

void amf0_write_bool(struct wr *w, bool v)
{
    wr_u8(w, MARKER_BOOL);
    wr_u8(w, v);
}

void amf0_write_string(struct wr *w, struct slice v)
{
    if (v.len > UINT32_MAX) {
        w->overflow = true;
        return;
    }
    if (v.len <= UINT16_MAX) {
        wr_u8(w, MARKER_STRING);
        wr_u16(w, (unsigned)v.len);
    } else {
        wr_u8(w, MARKER_LONG_STRING);
        wr_u32(w, (uint32_t)v.len);
    }
    wr_put(w, v);
}

void amf0_write_text(struct wr *w, const char *v)
{
    amf0_write_string(w, slice_text(v));
}

void amf0_write_null(struct wr *w)
{
    wr_u8(w, MARKER_NULL);
}

void amf0_write_undefined(struct wr *w)
{
    wr_u8(w, MARKER_UNDEFINED);
}

void amf0_write_object(struct wr *w)
{
    wr_u8(w, MARKER_OBJECT);
}

void amf0_write_ecma_array(struct wr *w, uint32_t count)
{
    wr_u8(w, MARKER_ECMA_ARRAY);
    wr_u32(w, count);
}

void amf0_write_strict_array(struct wr *w, uint32_t count)
{
    wr_u8(w, MARKER_STRICT_ARRAY);
    wr_u32(w, count);
}

void amf0_write_key(struct wr *w, struct slice key)
{
    if (key.len > UINT16_MAX) {
        w->overflow = true;
        return;
    }
    wr_u16(w, (unsigned)key.len);
    wr_put(w, key);
}

void amf0_write_end(struct wr *w)
{
    wr_u16(w, 0);
    wr_u8(w, MARKER_OBJECT_END);
}

void amf0_property_number(struct wr *w, const char *key, double v)
{
    amf0_write_key(w, slice_text(key));
    amf0_write_number(w, v);
}

void amf0_property_bool(struct wr *w, const char *key, bool v)
{
    amf0_write_key(w, slice_text(key));
    amf0_write_bool(w, v);
}

void amf0_property_string(struct wr *w, const char *key, struct slice v)
{
    amf0_write_key(w, slice_text(key));
    amf0_write_string(w, v);
}

void amf0_property_text(struct wr *w, const char *key, const char *v)
{
    amf0_property_string(w, key, slice_text(v));
}
