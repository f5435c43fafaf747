/* A viewer that lost the key frame it was to begin at is sent it once more.  Publishers by RTMP
 * cannot be asked for one, and the next of theirs may be seconds away. */
#include "rtc/rtc_sender_internal.h"

#define OVER_AGAIN_US 2000000 /* between two of them: what was sent has to arrive first */
#define OVER_WAIT_US  500000  /* in which a publisher that can be asked has sent a new one */
#define OVER_BEGIN_US 2000000 /* who asks so soon has not seen a picture yet */

/* The newest key frame, when video of it was sent to this viewer. */
static bool key_was_sent(const struct rtc_sender *s, uint64_t *key)
{
    return !s->waits_key && s->tracks[RTC_VIDEO].numbers.begun &&
           rtc_units_start(s->options.stream, key) && *key < s->unit;
}

void sender_over_ask(struct rtc_sender *s, int64_t now_us)
{
    struct sender_over *o = &s->over;
    if (o->due_us != 0 || (o->last_us != 0 && now_us - o->last_us < OVER_AGAIN_US) ||
        !key_was_sent(s, &o->key))
        return;
    bool is_first = o->last_us == 0 && now_us - s->start_us < OVER_BEGIN_US;
    o->due_us = now_us + (is_first ? 0 : OVER_WAIT_US);
}

/* Packets that were sent before get new numbers: what is asked for by the old ones is not sent. */
static void renumber(struct sender_track *track)
{
    struct sender_numbers *n = &track->numbers;
    int64_t index = (n->hole >= 0 ? n->hole : n->next) + n->offset;
    *n = (struct sender_numbers){.offset = index, .hole = -1};
    for (size_t i = 0; i < SENDER_RESENT; i++)
        track->resent[i].packet = -1;
}

bool sender_over_begins(struct rtc_sender *s, int64_t now_us)
{
    struct sender_over *o = &s->over;
    uint64_t key;
    if (o->due_us == 0 || now_us < o->due_us)
        return false;
    o->due_us = 0;
    if (!key_was_sent(s, &key) || key != o->key)
        return false;
    o->last_us = now_us;
    s->packet = 0;
    renumber(&s->tracks[RTC_VIDEO]);
    METRIC_INC(s->options.metrics->rtc_started_over_total);
    return true;
}
