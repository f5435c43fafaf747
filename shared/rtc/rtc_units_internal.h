#ifndef SLUICE_RTC_RTC_UNITS_INTERNAL_H
#define SLUICE_RTC_RTC_UNITS_INTERNAL_H

/* What the parts of rtc_units share: rtc_units.c holds units, rtc_units_frame.c makes them of
 * frames, rtc_units_read.c reads the logs. */

#include "proto/rtp_pack.h"
#include "rtc/rtc_units.h"

/* One track of them. */
struct units_track {
    struct rtc_units_track face;
    struct rtp_packer *packer;
    uint32_t published; /* codec of the frames; face.codec when that goes over RTP */
    uint32_t timestamp_base;
    struct frame *config;        /* in force; NULL: none */
    int64_t newest_us;           /* media time of its newest unit */
    struct rtc_unit **by_packet; /* RTC_PACKETS_MAX of them, by number modulo that */
    int64_t oldest;              /* number of the oldest packet that is held */
};

struct rtc_units {
    struct rtc_units_options options;
    struct units_track tracks[RTC_TRACKS];
    struct cursor cursor;
    struct {
        uint64_t epoch, seq; /* the next frame */
    } derived[RTC_TRACKS];
    bool replaced;         /* video is derived */
    bool exposed;          /* units were there before this reading */
    bool video_begun;      /* of this run, from its present source */
    int64_t video_from_us; /* derived video begins at a key frame not before */

    bool run_begun; /* base_us is set */
    bool bidirectional;
    int64_t base_us;  /* media time of the run's dts 0 */
    int64_t begin_us; /* media time of the run's first unit */
    int64_t gap_us;   /* from the newest unit to the first of the run */
    int64_t newest_us, live_us;
    int64_t shown_us; /* when the latest picture so far is shown */
    bool any;         /* a unit was ever made */

    struct rtc_unit **ring;
    uint32_t room; /* a power of two */
    uint64_t oldest, next;
    uint64_t newest_key;
    bool has_key; /* newest_key is held */
    uint64_t bytes;
};

/* Takes ownership of the unit; the oldest ones go where there is no room. */
void rtc_units_append(struct rtc_units *s, struct rtc_unit *u);

/* A configuration frame comes into force, if it is of the source that the track is sent from. */
void rtc_units_take_config(struct rtc_units *s, struct frame *f, bool derived);
/* A frame of the stream's own log, or of a derived track's.  True when it became a unit. */
bool rtc_units_take(struct rtc_units *s, struct frame *f, bool derived);

#endif
