#ifndef SLUICE_TESTS_UNIT_PROTO_SDP_FILES_H
#define SLUICE_TESTS_UNIT_PROTO_SDP_FILES_H

#include "proto/sdp.h"

#include <stdio.h>

/* Offers as Chromium, Firefox's and Node's stacks, ffmpeg and GStreamer made them. */
#define SDP_FILES "fuzz/corpus/sdp_offer/"

static char sdp_file_text[SDP_BYTES_MAX];

static inline struct slice sdp_file(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, SDP_FILES "%s", name);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        fail_msg("%s cannot be read", path);
    size_t n = fread(sdp_file_text, 1, sizeof sdp_file_text, f);
    fclose(f);
    return slice_of(sdp_file_text, n);
}

/* Everything that an offer needs; `more` follows the m-line's own attributes. */
#define SDP_HEAD                                                                                   \
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"                    \
    "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\n"                  \
    "a=fingerprint:sha-256 " SDP_32 "\r\n"
#define SDP_8  "00:01:02:03:04:05:06:07"
#define SDP_32 SDP_8 ":" SDP_8 ":" SDP_8 ":" SDP_8
#define SDP_VIDEO_LINE(types)                                                                      \
    "m=video 9 UDP/TLS/RTP/SAVPF " types "\r\na=mid:0\r\na=rtcp-mux\r\na=sendonly\r\n"
#define SDP_AUDIO_LINE                                                                             \
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\na=rtcp-mux\r\na=sendonly\r\n"                   \
    "a=rtpmap:111 opus/48000/2\r\n"

#endif
