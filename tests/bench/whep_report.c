/* What WebRTC players saw, and what it cost the server. */
#include "whep.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* Prints the times that are set, in milliseconds. */
static void print_times(const char *what, int64_t *times_us, int count)
{
    if (count == 0)
        return;
    int middle = count / 2, late = (count - 1) * 99 / 100;
    qsort(times_us, (size_t)count, sizeof *times_us, by_value);
    printf(",\"%s_p50_ms\":%.1f,\"%s_p99_ms\":%.1f,\"%s_max_ms\":%.1f", what,
           (double)times_us[middle] / 1000, what, (double)times_us[late] / 1000, what,
           (double)times_us[count - 1] / 1000);
}

static int64_t join_us(const struct whep_player *p)
{
    return p->connected_us != 0 ? p->connected_us - p->posted_us : -1;
}

static int64_t first_us(const struct whep_player *p)
{
    return p->frame_us != 0 ? p->frame_us - p->posted_us : -1;
}

static int64_t silence_us(const struct whep_player *p)
{
    return p->packet_us != 0 ? p->silence_us : -1;
}

static void print_each(const struct whep_load *l, const char *what,
                       int64_t (*of)(const struct whep_player *p))
{
    int64_t *times_us = xcalloc((size_t)l->options.players, sizeof *times_us);
    int n = 0;
    for (int i = 0; i < l->started; i++)
        if (of(&l->players[i].player) >= 0)
            times_us[n++] = of(&l->players[i].player);
    print_times(what, times_us, n);
    free(times_us);
}

static double seconds_of(const struct procstat *from, const struct procstat *to)
{
    return to->user_s + to->system_s - from->user_s - from->system_s;
}

void whep_report(const struct whep_load *l)
{
    uint64_t missing = 0, missing_before = 0, bad = 0, opened = 0;
    int joined = 0;
    for (int i = 0; i < l->started; i++) {
        const struct whep_player *p = &l->players[i].player;
        missing += whep_player_missing(p);
        missing_before += l->players[i].missing_before;
        bad += p->remote.bad;
        opened += p->remote.rtp;
        joined += p->connected_us != 0;
    }
    const struct whep_moment *from = &l->from, *to = &l->to;
    double window_s = (double)(to->at_us - from->at_us) / 1e6;
    double cpu_s = seconds_of(&from->server, &to->server), player_s = window_s * joined;
    printf("{\"event\":\"whep\",\"label\":\"%s\",\"players\":%d,\"joined\":%d,\"framed\":%d,"
           "\"refused\":%d,\"window_s\":%.3f,\"packets\":%llu,\"opened\":%llu,\"bad\":%llu,"
           "\"missing\":%llu,\"missing_before\":%llu,\"mbps_per_player\":%.3f,\"cpu_s\":%.3f,"
           "\"cpu_ms_per_player_s\":%.4f,\"load_cpu_s\":%.3f",
           l->options.label, l->options.players, joined, l->framed, l->gone, window_s,
           (unsigned long long)(to->packets - from->packets), (unsigned long long)opened,
           (unsigned long long)bad, (unsigned long long)(missing - missing_before),
           (unsigned long long)missing_before,
           (double)(to->bytes - from->bytes) * 8e-6 / (player_s > 0 ? player_s : 1), cpu_s,
           player_s > 0 ? cpu_s * 1000 / player_s : 0, seconds_of(&from->self, &to->self));
    print_each(l, "join", join_us);
    print_each(l, "first_frame", first_us);
    print_each(l, "silence", silence_us);
    printf("}\n");
}
