#ifndef SLUICE_PROTO_SDP_INTERNAL_H
#define SLUICE_PROTO_SDP_INTERNAL_H

#include "proto/sdp.h"

/*
 * What the readers share: sdp.c goes through the lines, sdp_media.c reads m-lines and what belongs
 * to their payload types, sdp_attribute.c the other attributes, sdp_fragment.c fragments.
 */
struct sdp_reader {
    struct slice rest; /* lines to come */
    unsigned line;     /* number of the present one */
    struct sdp_offer *offer;
    struct sdp_media *media;      /* NULL: the session's lines */
    struct sdp_transport session; /* of the session's lines */
    struct slice bundle;          /* mids of the group, as sent */
    const char *why;              /* of the error */
};

/* The refusal of the present line. */
static inline int sdp_refuse(struct sdp_reader *r, int err, const char *why)
{
    r->why = why;
    return err;
}

/* Letters, digits, and what RFC 8866 allows in a token besides; not longer than SDP_TOKEN_MAX. */
bool sdp_token_ok(struct slice s);

/* The next line without its end, its type and value: 1, 0 at the end of the text, or an error. */
int sdp_line_next(struct sdp_reader *r, char *type, struct slice *value);

/* The value of an m-line. */
int sdp_media_begin(struct sdp_reader *r, struct slice value);
/* The value of an a-line of the session (r->media NULL) or of an m-line. */
int sdp_attribute_read(struct sdp_reader *r, struct slice value);

/* Attributes of payload types: rtpmap, fmtp, rtcp-fb; r->media is there. */
int sdp_read_rtpmap(struct sdp_reader *r, struct slice value);
int sdp_read_fmtp(struct sdp_reader *r, struct slice value);
int sdp_read_feedback(struct sdp_reader *r, struct slice value);

/* a=ice-ufrag and a=ice-pwd of any text. */
int sdp_read_ufrag(struct sdp_reader *r, struct slice value, struct slice *out);
int sdp_read_pwd(struct sdp_reader *r, struct slice value, struct slice *out);

#endif
