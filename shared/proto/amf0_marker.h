#ifndef SLUICE_PROTO_AMF0_MARKER_H
#define SLUICE_PROTO_AMF0_MARKER_H

/* The first byte of a value, AMF0 section 2.1; shared by the parser and the writer. */
enum amf0_marker {
    MARKER_NUMBER = 0x00,
    MARKER_BOOL = 0x01,
    MARKER_STRING = 0x02,
    MARKER_OBJECT = 0x03,
    MARKER_NULL = 0x05,
    MARKER_UNDEFINED = 0x06,
    MARKER_REFERENCE = 0x07,
    MARKER_ECMA_ARRAY = 0x08,
    MARKER_OBJECT_END = 0x09,
    MARKER_STRICT_ARRAY = 0x0a,
    MARKER_DATE = 0x0b,
    MARKER_LONG_STRING = 0x0c,
    MARKER_UNSUPPORTED = 0x0d,
    MARKER_XML = 0x0f,
    MARKER_TYPED_OBJECT = 0x10,
    MARKER_AMF3 = 0x11,
};

/* The first byte of an AMF3 value, AMF3 section 3.1; only the simple ones. */
enum amf3_marker {
    AMF3_UNDEFINED = 0x00,
    AMF3_NULL = 0x01,
    AMF3_FALSE = 0x02,
    AMF3_TRUE = 0x03,
    AMF3_INTEGER = 0x04,
    AMF3_DOUBLE = 0x05,
    AMF3_STRING = 0x06,
};

#endif
