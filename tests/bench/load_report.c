#include "load.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

/* Times of several players, sorted. */
struct sample {
    int64_t *us;
    int count;
};

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The least time, in milliseconds, that `percent` of them do not exceed; -1 when there are none. */
static double percentile_ms(struct sample s, int percent)
{
    if (s.count == 0)
        return -1;
    int rank = (s.count * percent + 99) / 100;
    return (double)s.us[rank > 0 ? rank - 1 : 0] / 1000;
}

static struct sample first_frames(const struct load *l)
{
    struct sample s = {xcalloc((size_t)l->options.players, sizeof s.us[0]), 0};
    for (int i = 0; i < l->started; i++)
        if (l->players[i].frame_us != 0)
            s.us[s.count++] = l->players[i].frame_us - l->players[i].connect_us;
    qsort(s.us, (size_t)s.count, sizeof s.us[0], by_size);
    return s;
}

static struct sample gaps(const struct load *l)
{
    struct sample s = {xcalloc((size_t)l->options.players, sizeof s.us[0]), 0};
    for (int i = 0; i < l->started; i++)
        if (l->players[i].fd >= 0)
            s.us[s.count++] = l->players[i].gap_us;
    qsort(s.us, (size_t)s.count, sizeof s.us[0], by_size);
    return s;
}

/* The least of a player's bytes in the window as a share of the most. */
static double evenness(const struct load *l)
{
    uint64_t least = UINT64_MAX, most = 0;
    for (int i = 0; i < l->started; i++) {
        uint64_t bytes = l->players[i].bytes - l->players[i].bytes_before;
        if (l->players[i].fd < 0)
            continue;
        least = bytes < least ? bytes : least;
        most = bytes > most ? bytes : most;
    }
    return most > 0 ? (double)least / (double)most : 0;
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static void report_times(const char *name, struct sample s)
{
    printf(",\"%s_p50_ms\":%.3f,\"%s_p99_ms\":%.3f,\"%s_max_ms\":%.3f", name, percentile_ms(s, 50),
           name, percentile_ms(s, 99), name, percentile_ms(s, 100));
    free(s.us);
}

void load_report(const struct load *l)
{
    const struct load_moment *a = &l->from, *b = &l->to;
    double gb = (double)(b->bytes - a->bytes) / 1e9;
    double seconds = (double)(b->at_us - a->at_us) / 1e6;
    double user_s = b->server.user_s - a->server.user_s;
    double system_s = b->server.system_s - a->server.system_s;
    double self_s = b->self.user_s + b->self.system_s - a->self.user_s - a->self.system_s;
    double players = l->options.players;
    printf("{\"event\":\"load\",\"label\":\"%s\",\"players\":%d,\"framed\":%d,\"gone\":%d,"
           "\"gone_in_window\":%d,\"window_s\":%.3f,\"gb\":%.4f,\"mbps_per_player\":%.3f,"
           "\"evenness\":%.4f",
           l->options.label, l->options.players, l->framed, l->gone, b->gone - a->gone, seconds, gb,
           ratio(gb * 8e3, seconds * (players - l->gone)), evenness(l));
    printf(",\"cpu_s\":%.3f,\"cpu_s_per_gb\":%.4f,\"user_s_per_gb\":%.4f,\"system_s_per_gb\":%.4f,"
           "\"load_s_per_gb\":%.4f",
           user_s + system_s, ratio(user_s + system_s, gb), ratio(user_s, gb), ratio(system_s, gb),
           ratio(self_s, gb));
    printf(",\"rss_before_kib\":%lld,\"rss_after_kib\":%lld,\"rss_kib_per_player\":%.3f,"
           "\"tcp_kib_per_player\":%.3f",
           (long long)l->begin.server.rss_kib, (long long)b->server.rss_kib,
           (double)(b->server.rss_kib - l->begin.server.rss_kib) / players,
           (double)(b->tcp_kib - l->begin.tcp_kib) / players);
    report_times("first_frame", first_frames(l));
    report_times("gap", gaps(l));
    printf("}\n");
}
