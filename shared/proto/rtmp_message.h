#ifndef SLUICE_PROTO_RTMP_MESSAGE_H
#define SLUICE_PROTO_RTMP_MESSAGE_H

#include "base/bytes.h"
#include "base/slice.h"
#include "proto/amf0.h"

#include <stddef.h>
#include <stdint.h>

/*
 * RTMP messages (Adobe RTMP 1.0 sections 5.4, 6 and 7): what the chunk reader delivers and the
 * chunk writer sends, and the meaning of the bodies that are not media.
 *
 *   chunks -> struct rtmp_message -> rtmp_control_read() | rtmp_command_read() |
 * rtmp_aggregate_next()
 *
 * Nothing here allocates; results point into the message's body.  Thread: any.
 */

enum rtmp_type {
    RTMP_SET_CHUNK_SIZE = 1,
    RTMP_ABORT = 2,
    RTMP_ACK = 3,
    RTMP_USER_CONTROL = 4,
    RTMP_WINDOW_ACK_SIZE = 5,
    RTMP_SET_PEER_BANDWIDTH = 6,
    RTMP_AUDIO = 8,
    RTMP_VIDEO = 9,
    RTMP_DATA_AMF3 = 15,
    RTMP_SHARED_OBJECT_AMF3 = 16,
    RTMP_COMMAND_AMF3 = 17,
    RTMP_DATA = 18,
    RTMP_SHARED_OBJECT = 19,
    RTMP_COMMAND = 20,
    RTMP_AGGREGATE = 22,
};

/* The chunk streams we send on; from peers any id is accepted. */
enum rtmp_csid {
    RTMP_CSID_CONTROL = 2,
    RTMP_CSID_COMMAND = 3,
    RTMP_CSID_AUDIO = 4,
    RTMP_CSID_DATA = 5,
    RTMP_CSID_VIDEO = 6,
};

struct rtmp_message {
    uint8_t type; /* enum rtmp_type, or what else the peer wrote */
    uint32_t csid;
    uint32_t sid;          /* message stream id; 0 is the connection itself */
    uint32_t timestamp_ms; /* absolute; wraps at 2^32 */
    struct slice body;     /* somebody else's bytes; see who filled the message */
};

/* Events of RTMP_USER_CONTROL, section 7.1.7. */
enum rtmp_event {
    RTMP_EVENT_STREAM_BEGIN = 0,
    RTMP_EVENT_STREAM_EOF = 1,
    RTMP_EVENT_STREAM_DRY = 2,
    RTMP_EVENT_SET_BUFFER_LENGTH = 3,
    RTMP_EVENT_STREAM_IS_RECORDED = 4,
    RTMP_EVENT_PING_REQUEST = 6,
    RTMP_EVENT_PING_RESPONSE = 7,
    RTMP_EVENT_SWF_VERIFY_REQUEST = 26,
    RTMP_EVENT_SWF_VERIFY_RESPONSE = 27,
    RTMP_EVENT_BUFFER_EMPTY = 31,
    RTMP_EVENT_BUFFER_READY = 32,
};

/* Limit types of RTMP_SET_PEER_BANDWIDTH, section 5.4.5. */
enum rtmp_limit {
    RTMP_LIMIT_HARD = 0,
    RTMP_LIMIT_SOFT = 1,
    RTMP_LIMIT_DYNAMIC = 2,
};

#define RTMP_CHUNK_SIZE_MAX   0xffffff /* bytes; the most that a peer may announce, section 5.4.1 */
#define RTMP_CONTROL_BODY_MAX 10       /* bytes of the longest control body we write */

/* The body of a message of type 1 to 6. */
struct rtmp_control {
    /* SET_CHUNK_SIZE: bytes, 1 .. RTMP_CHUNK_SIZE_MAX.  ABORT: csid.  ACK: bytes received mod 2^32.
     * WINDOW_ACK_SIZE, SET_PEER_BANDWIDTH: bytes, possibly 0.  USER_CONTROL: the event's first
     * argument: stream id, or the timestamp of a ping. */
    uint32_t value;
    uint8_t limit;      /* SET_PEER_BANDWIDTH: enum rtmp_limit, or what else the peer wrote */
    uint16_t event;     /* USER_CONTROL: enum rtmp_event, or what else the peer wrote */
    uint32_t buffer_ms; /* RTMP_EVENT_SET_BUFFER_LENGTH */
};

/*
 * Reads the body of a control message.  0, ERR_PROTOCOL (too short, or an impossible chunk size),
 * or ERR_TYPE when m is no control message.  Arguments of events that are not listed above are not
 * required.  Bytes too many are ignored.
 */
int rtmp_control_read(const struct rtmp_message *m, struct rtmp_control *c);

/* Writes the body of a control message of this type; rtmp_chunk_write_control() sends it whole. */
void rtmp_control_write(struct wr *w, enum rtmp_type type, const struct rtmp_control *c);

#define RTMP_AGGREGATE_MAX 4096 /* messages inside one aggregate */

/* An RTMP_AGGREGATE message being taken apart, section 7.1.6. */
struct rtmp_aggregate {
    struct rd r;
    struct rtmp_message whole;
    uint32_t first_ms; /* timestamp of the first tag */
    size_t count;      /* messages delivered */
};

/* m's body must outlive a. */
void rtmp_aggregate_init(struct rtmp_aggregate *a, const struct rtmp_message *m);

/*
 * The next message inside: 1 and *sub filled (body in the aggregate's body, timestamp moved so that
 * the first one has the aggregate's), 0 at the end, or ERR_PROTOCOL (cut short, or neither audio,
 * video nor data) or ERR_TOO_MANY.
 */
int rtmp_aggregate_next(struct rtmp_aggregate *a, struct rtmp_message *sub);

/* The AMF0 values of a command or data message: the body, without the format byte 0 that the AMF3
 * types 15 and 17 put in front. */
struct slice rtmp_amf_body(const struct rtmp_message *m);

/* A command, section 7.2: name, transaction, command object or null, further arguments. */
struct rtmp_command {
    struct slice name;
    double transaction;            /* 0 when no answer is expected */
    const struct amf0_value *args; /* what follows the transaction, in the array given */
    size_t count;                  /* values in args, nested ones included */
};

/*
 * Reads an RTMP_COMMAND or RTMP_COMMAND_AMF3 message into the caller's values (room for
 * AMF0_VALUES_MAX of them).  0, ERR_TYPE when m is no command, ERR_PROTOCOL when it does not begin
 * with a name and a number, or what amf0_parse_all() says.  A transaction that is missing is 0.
 */
int rtmp_command_read(const struct rtmp_message *m, struct amf0_value *values, size_t room,
                      struct rtmp_command *command);

/* Argument n (0: the command object), or NULL when there are not so many. */
const struct amf0_value *rtmp_command_arg(const struct rtmp_command *command, size_t n);

#endif
