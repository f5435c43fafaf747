#ifndef SLUICE_RTC_RTC_UNITS_H
#define SLUICE_RTC_RTC_UNITS_H

#include "base/slice.h"
#include "core/metrics.h"
#include "media/cursor.h"
#include "media/log.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * One stream as RTP packets, made once for all viewers of a worker: the recent past of the log's
 * first video and first audio track as units (one access unit each), which viewers read like a log
 * and in which what they lost is found again.
 *
 *   log ──rtc_units_read──▶ units, the same bytes, SSRC and timestamps for everybody
 *                              ▲ a cursor, numbers of its own and keys of its own per viewer
 * (rtc_sender)
 *
 * The last packet of a picture is as long as those before it: a little padding makes up for what
 * does not divide.  So all of them and the sound behind them, the shorter last segment, are one GSO
 * message.
 *
 * Units go on over runs: a new publisher continues numbers and timestamps.  Nothing here does I/O;
 * everything belongs to one worker.
 */
enum rtc_track { RTC_VIDEO, RTC_AUDIO, RTC_TRACKS };

#define RTC_START_MAX_US 4000000 /* media behind the key frame from which a viewer may start */
#define RTC_HISTORY_US   2000000 /* media that is kept for who lost some of it */
#define RTC_UNITS_MAX    8192
#define RTC_PACKETS_MAX  8192 /* of one track, held; what a unit may have */

struct rtc_packet {
    const struct slice *pieces;
    uint16_t piece_count, len; /* bytes of payload, padding included */
    uint8_t padding;           /* bytes of it (RFC 3550, 5.1) */
};

/* One access unit; immutable. */
struct rtc_unit {
    enum rtc_track track;
    bool key; /* a viewer may begin here: video */
    uint32_t timestamp;
    int64_t media_us;    /* decoding time on the line of all runs */
    int64_t first;       /* number of its first packet, from 0 on in its track */
    uint32_t count;      /* packets; the last one has the marker */
    uint32_t bytes;      /* of payloads, without padding */
    struct frame *frame; /* which pieces point into */
    struct rtc_packet packets[];
};

/* How a track is sent now. */
struct rtc_units_track {
    uint32_t codec; /* FLV_CODEC_; 0: none that goes over RTP was seen */
    uint32_t ssrc, rtx_ssrc;
    uint32_t clock_hz;
    int64_t next;        /* number of the next packet */
    struct slice config; /* FLV_CONFIG payload in force; len 0: none; valid until the next read */
};

/* What becomes of H.264 with B slices, which browsers do not play. */
enum rtc_b_frames {
    RTC_B_SEND,
    RTC_B_DROP,   /* frames that have them are left out: no other frame needs one */
    RTC_B_REPLACE /* from the first one on, the video is that of a derived track */
};

struct rtc_units_options {
    enum rtc_b_frames b_frames;
    struct metrics *metrics;
};

struct rtc_units;
struct rtc_units *rtc_units_new(const struct rtc_units_options *o);
void rtc_units_free(struct rtc_units **sp);

/* Takes what the log has more than before; from its newest key frame when it is asked first, or
 * when its place has left the log.  True when there are new units. */
bool rtc_units_read(struct rtc_units *s, const struct log *l);
/* The same with the log of a derived track of the stream (name_derive()), of the run that
 * rtc_units_read() has come to: sound for a stream whose own is not Opus, video when
 * rtc_units_is_replaced(). */
bool rtc_units_read_derived(struct rtc_units *s, enum rtc_track t, const struct log *l);
/* The stream's own video is left out, for good: a derived track is to take its place. */
bool rtc_units_is_replaced(const struct rtc_units *s);
/* That track has not come, in this run. */
bool rtc_units_waits(const struct rtc_units *s);
/* It does not come: the stream's own is taken, as with RTC_B_DROP, from the newest key frame of l
 * (the stream's log) that comes after what was sent. */
void rtc_units_drop_b(struct rtc_units *s, const struct log *l);

const struct rtc_units_track *rtc_units_track(const struct rtc_units *s, enum rtc_track t);
/* The run that it has come to; 0: none so far. */
uint64_t rtc_units_epoch(const struct rtc_units *s);
/* B slices were seen in the present run. */
bool rtc_units_is_bidirectional(const struct rtc_units *s);

/* Units [oldest, next) are held, in order of arrival. */
uint64_t rtc_units_oldest(const struct rtc_units *s);
uint64_t rtc_units_next(const struct rtc_units *s);
const struct rtc_unit *rtc_units_unit(const struct rtc_units *s, uint64_t number);
/* The newest key frame's number when a viewer may begin there (not more than RTC_START_MAX_US ago);
 * false when there is none. */
bool rtc_units_start(const struct rtc_units *s, uint64_t *number);
/* The unit that has packet `number` of the track, NULL when it is not held. */
const struct rtc_unit *rtc_units_find(const struct rtc_units *s, enum rtc_track t, int64_t number);
/* Media time of the newest unit of a track; 0: it had none. */
int64_t rtc_units_track_us(const struct rtc_units *s, enum rtc_track t);
/* Media time of the newest unit, and of the newest frame of the stream's own log: derived tracks
 * come behind it. */
int64_t rtc_units_newest_us(const struct rtc_units *s);
int64_t rtc_units_live_us(const struct rtc_units *s);
/* Payload bytes per second over what is held; 0 when too little is. */
uint64_t rtc_units_bytes_per_s(const struct rtc_units *s);

/* The track's RTP timestamp of a media time. */
uint32_t rtc_units_timestamp(const struct rtc_units *s, enum rtc_track t, int64_t media_us);

#endif
