#ifndef SLUICE_EDGE_WHEP_INTERNAL_H
#define SLUICE_EDGE_WHEP_INTERNAL_H

#include "base/map.h"
#include "edge/play_whep.h"
#include "rtc/rtc_sender.h"

/* play_whep.c is a player: its offer, peer and sender; whep_stream.c is what all players of a
 * stream on one worker share. */
#define WHEP_STREAM_MAGIC 0x77687374
#define WHEP_VIEWER_MAGIC 0x77687677

struct whep {
    struct workers *group;
    struct hub *hub;
    struct edge *edge;
    struct rtc_ports *ports;
    struct map **streams; /* by worker: the whep_streams by name */
};

struct whep_stream {
    uint32_t magic;
    struct whep *whep;
    struct worker *worker;
    struct feed_reader main;
    /* Derived tracks; feed NULL: the stream's own is sent, or it has none. */
    struct feed_reader derived[RTC_TRACKS];
    struct rtc_units *units;
    struct list newcomers; /* wait for their answer; joined first, first */
    struct list viewers;   /* were answered */
    struct list due;       /* of them: those for whom there is something new (turn_node) */
    struct list behind;    /* of them: those that get more at the next tick (turn_node) */
    uint32_t count;
    uint32_t listeners; /* players that get sound */
    struct log_id log;
    uint32_t video_codec; /* when the players were looked at last */
    bool refuses;         /* B slices, and transcode.bframes says so */
    struct timer tick, rest, sweep;
    struct timer ride;  /* runs while sound waits for a picture */
    int64_t video_next; /* number of the packet that follows those that were seen */
    int64_t video_us;   /* when it came; clock_us */
    struct task look, close;
    char cname[RTC_CNAME_MAX];
    char name[NAME_STREAM_MAX + 1];
};

struct whep_viewer {
    uint32_t magic;
    struct list node, turn_node;
    bool is_due; /* turn_node is in the stream's `due` */
    struct whep_stream *stream;
    struct edge_seat seat;
    struct rtc_resource *resource; /* NULL: gone */
    struct rtc_peer *peer;         /* NULL: not yet, or gone */
    struct rtc_sender *sender;     /* with the peer */
    bool answered, listens, audio_only;
    bool watches;         /* it asked for video */
    uint32_t video_codec; /* that it was told; 0: the stream had none */
    int64_t joined_us;
    struct log_id log;
    char client[NET_ADDRESS_TEXT_MAX];
};

struct whep_stream *whep_stream_get(struct whep *w, struct worker *worker, const char *name);
/* A newcomer is in its list: looks at it at the end of this turn, and when its time is up. */
void whep_stream_enter(struct whep_stream *s, struct whep_viewer *v);
void whep_stream_leave(struct whep_stream *s, struct whep_viewer *v);
/* What the viewer can have now, and the rest at the next tick. */
void whep_stream_pump(struct whep_stream *s, struct whep_viewer *v);
/* The stream has sound, or may get some soon. */
bool whep_stream_has_sound(const struct whep_stream *s);

/* The stream is there: the offer is answered or refused. */
void whep_viewer_answer(struct whep_viewer *v);
/* Ends and frees. */
void whep_viewer_end(struct whep_viewer *v, enum close_reason why);

#endif
