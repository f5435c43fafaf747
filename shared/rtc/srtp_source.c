/* Which numbers of a source were seen (RFC 3711, 3.3.2). */
#include "base/err.h"
#include "rtc/srtp_internal.h"

static uint64_t *word_of(struct srtp_source *s, int64_t index)
{
    return &s->seen[(uint64_t)index % RTC_SRTP_WINDOW / 64];
}

static uint64_t bit_of(int64_t index)
{
    return 1ULL << ((uint64_t)index % 64);
}

int srtp_source_judge(const struct srtp_source *s, int64_t index)
{
    if (index < 0)
        return ERR_EXISTS;
    if (index > s->newest)
        return 0;
    if (s->newest - index >= RTC_SRTP_WINDOW)
        return ERR_EXISTS;
    return s->seen[(uint64_t)index % RTC_SRTP_WINDOW / 64] & bit_of(index) ? ERR_EXISTS : 0;
}

void srtp_source_note(struct srtp_source *s, int64_t index)
{
    if (index - s->newest >= RTC_SRTP_WINDOW)
        memset(s->seen, 0, sizeof s->seen);
    else
        for (int64_t i = s->newest + 1; i < index; i++)
            *word_of(s, i) &= ~bit_of(i);
    *word_of(s, index) |= bit_of(index);
    if (index > s->newest)
        s->newest = index;
}
