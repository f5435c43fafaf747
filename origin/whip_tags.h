#ifndef SLUICE_ORIGIN_WHIP_TAGS_H
#define SLUICE_ORIGIN_WHIP_TAGS_H

#include "base/bytes.h"
#include "rtc/rtc_receiver.h"

/*
 * Units of a WebRTC publisher as messages of RTMP: onMetaData, sequence headers and coded frames,
 * in the legacy form where there is one (H.264), else in that of Enhanced RTMP.  No I/O.
 */
#define WHIP_METADATA_MAX 512 /* bytes */
#define WHIP_START_MS     1000 /* time of the first message; what was sent before it may come later */

struct whip_tags {
    uint32_t codecs[RTC_TRACKS_MAX]; /* FLV_CODEC_, by the receiver's track; 0: no such track */
    bool started;
    int64_t start_us; /* the receiver's time of the first unit */
    bool config_due[RTC_TRACKS_MAX];
};

/* One message. */
struct whip_tag {
    uint8_t type; /* enum flv_tag_type */
    uint32_t timestamp_ms;
    struct slice body;
};

#define WHIP_TAGS_MAX 3 /* of one unit */

/*
 * The messages of a unit, in order; how many.  Their bodies are in the unit (whose headroom is
 * used) and in `scratch`, which holds WHIP_METADATA_MAX + CODEC_CONFIG_MAX + RTP_UNIT_HEADROOM
 * bytes.
 */
int whip_tags_of(struct whip_tags *t, const struct rtc_received *u, struct wr *scratch,
                 struct whip_tag out[WHIP_TAGS_MAX]);

/* The unit was not passed on: what it changed is still to be told. */
void whip_tags_skip(struct whip_tags *t, const struct rtc_received *u);

#endif
