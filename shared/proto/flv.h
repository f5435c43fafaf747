#ifndef SLUICE_PROTO_FLV_H
#define SLUICE_PROTO_FLV_H

#include "base/bytes.h"
#include "base/fourcc.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * FLV: the file and tag framing (Adobe FLV 10.1, annex E), and the bodies of audio and video tags,
 * which are RTMP's messages 8 and 9, in their legacy and Enhanced RTMP v2 forms.
 *
 *   body ──flv_packets──> packets ──flv_split──> one body per track
 *                         one body ──flv_downgrade──> the same for a plain player
 *
 * Slices point into the caller's bytes.  Nothing here allocates.
 */

/* Tag types; message types of RTMP are the same numbers. */
enum flv_tag_type { FLV_TAG_AUDIO = 8, FLV_TAG_VIDEO = 9, FLV_TAG_SCRIPT = 18 };

#define FLV_FILE_HEADER_SIZE 13        /* bytes; the header (9) and PreviousTagSize0 */
#define FLV_TAG_HEADER_SIZE  11        /* bytes before a tag's body */
#define FLV_TAG_TRAILER_SIZE 4         /* bytes after it: PreviousTagSize */
#define FLV_BODY_MAX         0xffffffU /* bytes a tag can announce */

/* Writes the start of a file. */
void flv_file_header(uint8_t out[FLV_FILE_HEADER_SIZE], bool audio, bool video);

/* Reads the start of a file: bytes consumed, 0, or ERR_PROTOCOL. */
ssize_t flv_file_header_read(const uint8_t *src, size_t len, bool *audio, bool *video);

/* Writes what goes before a body of body_len (at most FLV_BODY_MAX) bytes. */
void flv_tag_header(uint8_t out[FLV_TAG_HEADER_SIZE], uint8_t type, size_t body_len,
                    uint32_t timestamp_ms);

/* Writes what goes after it. */
void flv_tag_trailer(uint8_t out[FLV_TAG_TRAILER_SIZE], size_t body_len);

struct flv_tag {
    uint8_t type; /* enum flv_tag_type, or another number below 32 */
    uint32_t timestamp_ms;
    struct slice body;
    uint32_t
        back_pointer; /* PreviousTagSize as written; body.len + FLV_TAG_HEADER_SIZE when right */
};

/* Reads one tag with its trailer: bytes consumed, 0, ERR_TOO_LARGE for a body of more than body_max
 * bytes, ERR_UNSUPPORTED for an encrypted tag. */
ssize_t flv_tag_read(const uint8_t *src, size_t len, size_t body_max, struct flv_tag *out);

/*
 * Codecs are FourCCs.  Legacy ids that have one are mapped to it (AVC, HEVC as id 12, AAC, MP3);
 * the others keep their id in the numbers below, which no FourCC can equal.
 */
#define FLV_CODEC_AVC             FOURCC('a', 'v', 'c', '1')
#define FLV_CODEC_HEVC            FOURCC('h', 'v', 'c', '1')
#define FLV_CODEC_VVC             FOURCC('v', 'v', 'c', '1')
#define FLV_CODEC_AV1             FOURCC('a', 'v', '0', '1')
#define FLV_CODEC_VP8             FOURCC('v', 'p', '0', '8')
#define FLV_CODEC_VP9             FOURCC('v', 'p', '0', '9')
#define FLV_CODEC_AAC             FOURCC('m', 'p', '4', 'a')
#define FLV_CODEC_MP3             FOURCC('.', 'm', 'p', '3')
#define FLV_CODEC_OPUS            FOURCC('O', 'p', 'u', 's')
#define FLV_CODEC_FLAC            FOURCC('f', 'L', 'a', 'C')
#define FLV_CODEC_AC3             FOURCC('a', 'c', '-', '3')
#define FLV_CODEC_EAC3            FOURCC('e', 'c', '-', '3')
#define FLV_CODEC_LEGACY_AUDIO(n) (0x800U | (n)) /* SoundFormat n */
#define FLV_CODEC_LEGACY_VIDEO(n) (0x900U | (n)) /* CodecID n */

/* The name for JSON and log lines ("h264", "aac"), "unknown" when there is none, never NULL. */
const char *flv_codec_name(uint32_t codec);

/* Only WebRTC players play it: no browser takes it as HLS, and of RTMP players only those that know
 * its FourCC. */
bool flv_codec_needs_webrtc(uint32_t codec);

/* Coded frames of this codec begin with a composition time (SI24) in the enhanced form. */
bool flv_codec_has_cts(uint32_t codec);

/* The same numbers as frame kinds and relay tracks. */
enum flv_kind { FLV_VIDEO, FLV_AUDIO };

/* How the packet was wrapped in its message. */
enum flv_form { FLV_LEGACY, FLV_PLAIN, FLV_ONE_TRACK, FLV_MANY_TRACKS, FLV_MANY_CODECS };

/* FLV_FRAME_NONE: audio, video Metadata, and reserved numbers where they mean nothing. */
enum flv_frame_type {
    FLV_FRAME_NONE,
    FLV_FRAME_KEY,
    FLV_FRAME_INTER,
    FLV_FRAME_DISPOSABLE,
    FLV_FRAME_GENERATED_KEY,
    FLV_FRAME_COMMAND
};

enum flv_class {
    FLV_CONFIG,  /* sequence start: the payload is the codec configuration, and may be empty */
    FLV_FRAMES,  /* coded frames */
    FLV_END,     /* sequence end, and the zero-length audio message ("silence", codec 0) */
    FLV_META,    /* video Metadata (colorInfo), audio MultichannelConfig */
    FLV_COMMAND, /* video command (start or end of a seek): the payload is its one byte */
};

/* Packet types of the enhanced form (Enhanced RTMP v2, ExVideoTagHeader and ExAudioTagHeader). */
enum flv_packet_type {
    FLV_SEQUENCE_START = 0,
    FLV_CODED_FRAMES = 1,
    FLV_SEQUENCE_END = 2,
    FLV_CODED_FRAMES_X = 3, /* video */
    FLV_METADATA = 4,       /* video; audio: MultichannelConfig */
    FLV_AUDIO_MULTITRACK = 5,
    FLV_MPEG2TS_SEQUENCE_START = 5, /* video */
    FLV_VIDEO_MULTITRACK = 6,
    FLV_MODEX = 7,
};

struct flv_packet {
    enum flv_kind kind;
    enum flv_form form;
    enum flv_class class;
    enum flv_frame_type frame_type;
    uint8_t
        packet_type; /* of the enhanced form, inside of Multitrack; legacy AVC and AAC: theirs */
    uint8_t track;   /* 0 unless the message is a Multitrack one */
    uint32_t codec;  /* FourCC as on the wire, or mapped from a legacy id; 0 for FLV_COMMAND */
    int32_t cts_ms;  /* presentation minus decoding time; 0 when there is none */
    uint32_t nano;   /* ModEx TimestampOffsetNano, 0 to 999999 ns, to add to presentation time */
    struct slice payload; /* without any header and composition time */
    struct slice coded;   /* the same with composition time: what follows FourCC, track and size */
    struct slice
        prefix; /* first byte and ModEx; the low nibble of its last byte is a packet type */
};

#define FLV_PACKETS_MAX 16 /* of one message */

/*
 * Takes a message's body apart: the number of packets in it, or
 *   ERR_PROTOCOL     cut short, or Multitrack inside of Multitrack
 *   ERR_UNSUPPORTED  a reserved codec id, packet or frame type: drop the message, go on
 *   ERR_TOO_MANY     more than FLV_PACKETS_MAX tracks
 * An empty video message holds no packet; an empty audio message holds one of class FLV_END.
 * `type` is FLV_TAG_AUDIO or FLV_TAG_VIDEO.
 */
int flv_packets(uint8_t type, struct slice body, struct flv_packet out[FLV_PACKETS_MAX]);

/* The packet is its whole message, which is kept as published; else it needs flv_split(). */
bool flv_is_whole(const struct flv_packet *p);

/* Bytes flv_split() writes for a packet that is not whole. */
size_t flv_split_size(const struct flv_packet *p);

/* Writes the body of a message of its own for a packet that is not whole: track 0 in the plain
 * enhanced form, others as OneTrack, with the same ModEx. */
void flv_split(const struct flv_packet *p, struct wr *w);

#define FLV_REWRITE_MAX 8 /* bytes of a replaced header */

/* The body is to be sent as header[0 .. header_len) and then its own bytes from `skip` on. */
struct flv_rewrite {
    size_t skip, header_len; /* both 0: send it as it is */
    uint8_t header[FLV_REWRITE_MAX];
};

/*
 * How to send a body to a player that announced neither Multitrack nor ModEx: OneTrack of track 0
 * becomes the plain enhanced form, ModEx is left out.  0, ERR_UNSUPPORTED when the body holds
 * another track or several, or ERR_PROTOCOL.
 */
int flv_downgrade(uint8_t type, struct slice body, struct flv_rewrite *out);

#endif
