/* What `play` prints: progress while it runs, and the report. */
#include "play.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Values of several viewers, sorted. */
struct sample {
    int64_t *values;
    int count;
};

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The least value that `percent` of them do not exceed; -1 when there are none. */
static double percentile_ms(struct sample s, int percent)
{
    if (s.count == 0)
        return -1;
    int rank = (s.count * percent + 99) / 100;
    return (double)s.values[rank > 0 ? rank - 1 : 0] / 1000;
}

static int64_t connect_time(const struct viewer_stats *s)
{
    return s->open_us != 0 ? s->open_us - s->connect_us : -1;
}

static int64_t frame_time(const struct viewer_stats *s)
{
    return s->frame_us != 0 ? s->frame_us - s->connect_us : -1;
}

static int64_t silence(const struct viewer_stats *s)
{
    return s->state == VIEWER_OPEN && s->frame_us != 0 ? s->gap_us : -1;
}

/* Of all viewers that have such a value; to be freed. */
static struct sample collect(const struct play *p, int64_t (*value)(const struct viewer_stats *s))
{
    struct sample s = {xcalloc((size_t)p->options.viewers, sizeof s.values[0]), 0};
    for (int i = 0; i < p->options.viewers; i++) {
        int64_t v = value(&p->shared->stats[i]);
        if (v >= 0)
            s.values[s.count++] = v;
    }
    qsort(s.values, (size_t)s.count, sizeof s.values[0], by_size);
    return s;
}

struct play_sum play_sum(const struct play *p)
{
    struct play_sum sum = {0};
    for (int i = 0; i < p->options.viewers; i++) {
        const struct viewer_stats *s = &p->shared->stats[i];
        sum.started += s->state != VIEWER_WAITING;
        sum.open += s->state == VIEWER_OPEN;
        sum.gone += s->state == VIEWER_GONE;
        sum.framed += s->frame_us != 0;
        sum.bytes += s->bytes;
        sum.stalls += s->stalls;
        sum.holes += s->holes;
        sum.lost_frames += s->lost_frames;
        sum.backs += s->backs;
    }
    return sum;
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

void play_progress(const struct play *p, const char *what)
{
    const struct play_sum s = play_sum(p);
    fprintf(stderr,
            "%ssluice-bench: %-9s %6d started %6d open %6d playing %6d gone  %8.1f MB  %llu stalls "
            "%llu gaps%s",
            isatty(STDERR_FILENO) ? "\r" : "", what, s.started, s.open, s.framed, s.gone,
            (double)s.bytes / 1e6, (unsigned long long)s.stalls, (unsigned long long)s.holes,
            isatty(STDERR_FILENO) ? "" : "\n");
}

/* ---- what is derived ---- */

struct result {
    struct play_sum sum;
    struct sample connects, frames, silences;
    int64_t latency_count;
    double latency_p50_ms, latency_p99_ms, latency_max_ms; /* -1: not known */
    double gb, seconds, mbps, evenness;
    double cpu_s, user_s, system_s, self_s;
    double rss_kib, tcp_kib; /* per viewer */
    const char *why;
};

/* The least of a viewer's bytes in the window as a share of the most. */
static double evenness(const struct play *p)
{
    uint64_t least = UINT64_MAX, most = 0;
    for (int i = 0; i < p->options.viewers; i++) {
        const struct viewer_stats *s = &p->shared->stats[i];
        uint64_t bytes = s->bytes - s->bytes_before;
        if (s->state != VIEWER_OPEN)
            continue;
        least = bytes < least ? bytes : least;
        most = bytes > most ? bytes : most;
    }
    return most > 0 ? (double)least / (double)most : 0;
}

static int64_t latency_at(const struct play *p, int ms)
{
    int64_t n = 0;
    for (int i = 0; i < p->options.processes; i++)
        n += p->shared->tallies[i].latency[ms];
    return n;
}

static void find_latency(const struct play *p, struct result *r)
{
    r->latency_p50_ms = r->latency_p99_ms = r->latency_max_ms = -1;
    for (int ms = 0; ms < PLAY_LATENCY_SLOTS; ms++)
        r->latency_count += latency_at(p, ms);
    int64_t seen = 0;
    for (int ms = 0; ms < PLAY_LATENCY_SLOTS; ms++) {
        int64_t here = latency_at(p, ms);
        seen += here;
        if (here > 0)
            r->latency_max_ms = ms;
        if (r->latency_p50_ms < 0 && here > 0 && seen * 100 >= r->latency_count * 50)
            r->latency_p50_ms = ms;
        if (r->latency_p99_ms < 0 && here > 0 && seen * 100 >= r->latency_count * 99)
            r->latency_p99_ms = ms;
    }
}

static void derive(const struct play *p, struct result *r)
{
    const struct play_moment *a = &p->from, *b = &p->to;
    double viewers = p->options.viewers;
    r->sum = play_sum(p);
    r->connects = collect(p, connect_time);
    r->frames = collect(p, frame_time);
    r->silences = collect(p, silence);
    r->gb = (double)(b->bytes - a->bytes) / 1e9;
    r->seconds = (double)(b->at_us - a->at_us) / 1e6;
    r->mbps = ratio(r->gb * 8e3, r->seconds * (viewers - b->gone));
    r->evenness = evenness(p);
    r->user_s = b->server.user_s - a->server.user_s;
    r->system_s = b->server.system_s - a->server.system_s;
    r->cpu_s = r->user_s + r->system_s;
    r->self_s = b->self.user_s + b->self.system_s - a->self.user_s - a->self.system_s;
    r->rss_kib = (double)(b->server.rss_kib - p->begin.server.rss_kib) / viewers;
    r->tcp_kib = (double)(b->tcp_kib - p->begin.tcp_kib) / viewers;
    find_latency(p, r);
    r->why = "";
    for (int i = 0; i < p->options.processes && r->why[0] == '\0'; i++)
        r->why = p->shared->tallies[i].why;
}

/* ---- as JSON ---- */

static void json_times(const char *name, struct sample s)
{
    printf(",\"%s_p50_ms\":%.3f,\"%s_p99_ms\":%.3f,\"%s_max_ms\":%.3f", name, percentile_ms(s, 50),
           name, percentile_ms(s, 99), name, percentile_ms(s, 100));
}

/* Text that a server said, without what JSON does not take. */
static void json_text(const char *name, const char *text)
{
    printf(",\"%s\":\"", name);
    for (; *text != '\0'; text++)
        putchar(*text < ' ' || *text > '~' || *text == '"' || *text == '\\' ? '?' : *text);
    putchar('"');
}

static void print_json(const struct play *p, const struct result *r)
{
    const struct play_sum *s = &r->sum;
    printf("{\"event\":\"play\",\"label\":\"%s\",\"protocol\":\"%s\",\"viewers\":%d,"
           "\"connected\":%d,\"framed\":%d,\"gone\":%d,\"gone_in_window\":%d,\"window_s\":%.3f",
           p->options.label, p->options.protocol->name, p->options.viewers, r->connects.count,
           s->framed, p->to.gone, p->to.gone - p->from.gone, r->seconds);
    printf(",\"gb\":%.4f,\"mbps_per_viewer\":%.3f,\"evenness\":%.4f,\"stalls\":%llu,\"gaps\":%llu,"
           "\"lost_frames\":%llu,\"backs\":%llu",
           r->gb, r->mbps, r->evenness, (unsigned long long)s->stalls, (unsigned long long)s->holes,
           (unsigned long long)s->lost_frames, (unsigned long long)s->backs);
    printf(",\"cpu_s\":%.3f,\"cpu_s_per_gb\":%.4f,\"user_s_per_gb\":%.4f,\"system_s_per_gb\":%.4f,"
           "\"load_s_per_gb\":%.4f",
           r->cpu_s, ratio(r->cpu_s, r->gb), ratio(r->user_s, r->gb), ratio(r->system_s, r->gb),
           ratio(r->self_s, r->gb));
    printf(",\"rss_before_kib\":%lld,\"rss_after_kib\":%lld,\"rss_kib_per_viewer\":%.3f,"
           "\"tcp_kib_per_viewer\":%.3f",
           (long long)p->begin.server.rss_kib, (long long)p->to.server.rss_kib, r->rss_kib,
           r->tcp_kib);
    json_times("connect", r->connects);
    json_times("first_frame", r->frames);
    json_times("gap", r->silences);
    printf(",\"latency_p50_ms\":%.0f,\"latency_p99_ms\":%.0f,\"latency_max_ms\":%.0f",
           r->latency_p50_ms, r->latency_p99_ms, r->latency_max_ms);
    json_text("why", r->why);
    printf("}\n");
}

/* ---- for people ---- */

static void text_times(const char *name, struct sample s)
{
    if (s.count == 0)
        return;
    printf("  %-16s p50 %.1f, p99 %.1f, max %.1f ms\n", name, percentile_ms(s, 50),
           percentile_ms(s, 99), percentile_ms(s, 100));
}

static void print_text(const struct play *p, const struct result *r)
{
    const struct play_sum *s = &r->sum;
    printf("%d viewers of %s (%s), %.1f s\n", p->options.viewers, p->options.url,
           p->options.protocol->name, r->seconds);
    printf("  %-16s %d, %d of them with a picture, %d ended too early%s%s\n", "connected",
           r->connects.count, s->framed, p->options.leave ? s->gone - s->framed : p->to.gone,
           r->why[0] != '\0' ? ": " : "", r->why);
    text_times("connecting", r->connects);
    text_times("first key frame", r->frames);
    if (p->options.leave || s->framed == 0)
        return;
    text_times("longest silence", r->silences);
    printf("  %-16s %llu stalls, %llu gaps (%llu frames known lost), %llu timestamps went back%s\n",
           "continuity", (unsigned long long)s->stalls, (unsigned long long)s->holes,
           (unsigned long long)s->lost_frames, (unsigned long long)s->backs,
           p->options.unchecked ? " (not checked)" : "");
    if (r->latency_count > 0)
        printf("  %-16s p50 %.0f, p99 %.0f, max %.0f ms, by %lld marked frames\n", "latency",
               r->latency_p50_ms, r->latency_p99_ms, r->latency_max_ms,
               (long long)r->latency_count);
    printf("  %-16s %.3f GB, %.3f Mbit/s per viewer; the least had %.1f %% of the most\n",
           "received", r->gb, r->mbps, r->evenness * 100);
    printf("  %-16s %.2f s of processor time per GB\n", "this program", ratio(r->self_s, r->gb));
    if (p->options.pid_count > 0)
        printf(
            "  %-16s %.2f s of processor time per GB (%.2f user, %.2f system), %.1f %% of a core; "
            "%.1f KiB of memory per viewer, and %.1f KiB of the kernel's\n",
            "server", ratio(r->cpu_s, r->gb), ratio(r->user_s, r->gb), ratio(r->system_s, r->gb),
            ratio(r->cpu_s, r->seconds) * 100, r->rss_kib, r->tcp_kib);
}

void play_report(const struct play *p)
{
    struct result r = {0};
    derive(p, &r);
    if (p->options.json)
        print_json(p, &r);
    else
        print_text(p, &r);
    free(r.connects.values);
    free(r.frames.values);
    free(r.silences.values);
}
