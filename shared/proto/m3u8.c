#include "proto/m3u8.h"

#include "base/err.h"
#include "base/must.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define VERSION_MAP  6 /* EXT-X-MAP in a playlist that is not of I frames only */
#define VERSION_GAP  8
#define VERSION_SKIP 9

#define SECOND_US       1000000
#define PART_LEAST      85  /* percent of PART-TARGET that parts have at least */
#define PART_TARGET     115 /* percent of what parts are meant to last */
#define PART_NEARLY     99  /* percent of it that are as good as all of it */
#define PART_SLACK      40  /* a part of longer steps may be this share longer, and is rounded up */
#define PART_GRAIN      20  /* to this share of what parts are meant to last */
#define WALL_US_MAX     (253402300800LL * SECOND_US) /* the year 10000 */
#define SECONDS_TEXT    32
#define WALL_TEXT       32
#define SEGMENT_STRETCH 2 /* of segment_ms that a segment without key frames lasts */

uint32_t m3u8_target_s(int64_t segment_ms)
{
    return (uint32_t)((SEGMENT_STRETCH * segment_ms + 999) / 1000);
}

static int64_t round_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

int64_t m3u8_part_target_us(int64_t part_ms, int64_t step_us)
{
    int64_t usual_us = part_ms * PART_TARGET * 10;
    int64_t lasts_us = step_us > 0 ? round_up(part_ms * PART_NEARLY * 10, step_us) : 0;
    lasts_us += lasts_us / PART_SLACK;
    if (lasts_us <= usual_us)
        return round_up(usual_us, 1000);
    return round_up(round_up(lasts_us, part_ms * 1000 / PART_GRAIN), 1000);
}

int64_t m3u8_part_least_us(int64_t part_target_us)
{
    return (part_target_us * PART_LEAST + 99) / 100;
}

bool m3u8_can_skip(int64_t segment_ms, size_t window_segments)
{
    return segment_ms * (int64_t)window_segments >
           (int64_t)m3u8_target_s(segment_ms) * M3U8_SKIP_TARGETS * 1000;
}

/* Seconds with three digits when those are exact, else with six. */
static const char *seconds_text(int64_t us, char out[SECONDS_TEXT])
{
    int64_t positive_us = us > 0 ? us : 0;
    int64_t rest = positive_us % SECOND_US;
    if (rest % 1000 == 0)
        snprintf(out, SECONDS_TEXT, "%" PRId64 ".%03" PRId64, positive_us / SECOND_US, rest / 1000);
    else
        snprintf(out, SECONDS_TEXT, "%" PRId64 ".%06" PRId64, positive_us / SECOND_US, rest);
    return out;
}

static const char *wall_text(int64_t wall_us, char out[WALL_TEXT])
{
    int64_t us = wall_us < 0 ? 0 : wall_us < WALL_US_MAX ? wall_us : WALL_US_MAX - 1;
    time_t s = (time_t)(us / SECOND_US);
    struct tm t;
    must(gmtime_r(&s, &t) != NULL);
    size_t n = strftime(out, WALL_TEXT, "%Y-%m-%dT%H:%M:%S", &t);
    snprintf(out + n, WALL_TEXT - n, ".%03dZ", (int)(us % SECOND_US / 1000));
    return out;
}

static int put(struct buf *out, const char *text)
{
    return buf_append(out, text, strlen(text));
}

static int64_t target_us(const struct m3u8_media *m)
{
    return (int64_t)m->target_s * SECOND_US;
}

static int64_t segment_us(const struct m3u8_segment *s)
{
    if (s->complete)
        return s->duration_us;
    int64_t sum_us = 0;
    for (uint32_t i = 0; i < s->part_count; i++)
        sum_us += s->parts[i].duration_us;
    return sum_us;
}

/* Head of a media playlist. */

static int write_control(const struct m3u8_media *m, struct buf *out)
{
    char a[SECONDS_TEXT], b[SECONDS_TEXT];
    if (m->part_target_us == 0)
        return 0;
    int err = buf_printf(out, "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=%s",
                         seconds_text(m->part_target_us * M3U8_HOLD_PARTS, a));
    if (err == 0 && m->can_skip)
        err = buf_printf(out, ",CAN-SKIP-UNTIL=%s",
                         seconds_text(target_us(m) * M3U8_SKIP_TARGETS, b));
    if (err == 0)
        err = buf_printf(out, "\n#EXT-X-PART-INF:PART-TARGET=%s\n",
                         seconds_text(m->part_target_us, a));
    return err;
}

static bool all_independent(const struct m3u8_media *m)
{
    for (size_t i = 0; i < m->segment_count; i++)
        if (!m->segments[i].independent)
            return false;
    return true;
}

static int version(const struct m3u8_media *m, size_t skip)
{
    if (skip > 0)
        return VERSION_SKIP;
    for (size_t i = 0; i < m->segment_count; i++)
        if (m->segments[i].gap && m->segments[i].complete)
            return VERSION_GAP;
    return VERSION_MAP;
}

static int write_media_head(const struct m3u8_media *m, size_t skip, struct buf *out)
{
    int err = buf_printf(out, "#EXTM3U\n#EXT-X-VERSION:%d\n#EXT-X-TARGETDURATION:%" PRIu32 "\n",
                         version(m, skip), m->target_s);
    if (err == 0)
        err = write_control(m, out);
    if (err == 0)
        err = buf_printf(out, "#EXT-X-MEDIA-SEQUENCE:%" PRIu64 "\n", m->first_msn);
    if (err == 0 && m->segment_count > 0 && m->segments[0].dsn > 0)
        err = buf_printf(out, "#EXT-X-DISCONTINUITY-SEQUENCE:%" PRIu64 "\n", m->segments[0].dsn);
    if (err == 0 && all_independent(m))
        err = put(out, "#EXT-X-INDEPENDENT-SEGMENTS\n");
    if (err == 0 && skip > 0)
        err = buf_printf(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS=%zu\n", skip);
    return err;
}

/* Segments. */

static int write_uri(struct buf *out, const struct hls_object *o, const char *before,
                     const char *after)
{
    char name[HLS_NAME_MAX];
    hls_name_write(o, name);
    return buf_printf(out, "%s%s%s", before, name, after);
}

static int write_parts(const struct m3u8_media *m, const struct m3u8_segment *s, uint64_t msn,
                       struct buf *out)
{
    char text[SECONDS_TEXT];
    int err = 0;
    for (uint32_t i = 0; i < s->part_count && err == 0; i++) {
        const struct m3u8_part *p = &s->parts[i];
        const struct hls_object o = {HLS_PART, m->rendition, s->epoch, msn, i, 0};
        err = buf_printf(out, "#EXT-X-PART:DURATION=%s,URI=\"", seconds_text(p->duration_us, text));
        if (err == 0)
            err = write_uri(out, &o, "", p->independent ? "\",INDEPENDENT=YES" : "\"");
        if (err == 0)
            err = put(out, p->gap ? ",GAP=YES\n" : "\n");
    }
    return err;
}

/* What a segment has in front of its parts. */
static int write_segment_head(const struct m3u8_media *m, size_t i, bool is_first, struct buf *out)
{
    const struct m3u8_segment *s = &m->segments[i], *before = i > 0 ? s - 1 : NULL;
    const struct hls_object init = {
        .kind = HLS_INIT, .rendition = m->rendition, .hash = s->init_hash};
    bool breaks = before != NULL && before->dsn != s->dsn;
    char text[WALL_TEXT];
    int err = breaks ? put(out, "#EXT-X-DISCONTINUITY\n") : 0;
    bool renewed = is_first || breaks || before == NULL || before->init_hash != s->init_hash;
    if (err == 0 && renewed && s->init_hash != 0)
        err = write_uri(out, &init, "#EXT-X-MAP:URI=\"", "\"\n");
    if (err == 0)
        err = buf_printf(out, "#EXT-X-PROGRAM-DATE-TIME:%s\n", wall_text(s->wall_us, text));
    return err;
}

static int write_segment(const struct m3u8_media *m, size_t i, bool with_parts, struct buf *out)
{
    const struct m3u8_segment *s = &m->segments[i];
    const struct hls_object o = {HLS_SEGMENT, m->rendition, s->epoch, m->first_msn + i, 0, 0};
    char text[SECONDS_TEXT];
    int err = with_parts ? write_parts(m, s, o.msn, out) : 0;
    if (err < 0 || !s->complete)
        return err;
    if (s->gap)
        err = put(out, "#EXT-X-GAP\n");
    if (err == 0)
        err = buf_printf(out, "#EXTINF:%s,\n", seconds_text(s->duration_us, text));
    return err == 0 ? write_uri(out, &o, "", "\n") : err;
}

/* The first segment whose parts are listed: all of it lies near enough to the end. */
static size_t first_with_parts(const struct m3u8_media *m)
{
    int64_t left_us = target_us(m) * M3U8_PART_TARGETS;
    size_t i = m->segment_count;
    if (m->part_target_us == 0 || m->ended)
        return i;
    size_t written = i > 0 && !m->segments[i - 1].complete ? 1 : 0;
    size_t listed = M3U8_PART_SEGMENTS - 1 + written;
    size_t least = i > listed ? i - listed : 0;
    while (i > least && (left_us -= segment_us(&m->segments[i - 1])) >= 0)
        i--;
    return i;
}

/* Segments that a delta update leaves out: they end before the skip boundary, which is counted from
 * the end of the last complete segment. */
static size_t count_skipped(const struct m3u8_media *m)
{
    int64_t boundary_us = target_us(m) * M3U8_SKIP_TARGETS, behind_us = 0;
    if (!m->can_skip || m->ended || m->part_target_us == 0)
        return 0;
    for (size_t i = m->segment_count; i > 0; i--) {
        if (behind_us > boundary_us)
            return i;
        if (m->segments[i - 1].complete)
            behind_us += m->segments[i - 1].duration_us;
    }
    return 0;
}

/* End of a media playlist. */

static int write_reports(const struct m3u8_media *m, struct buf *out)
{
    int err = 0;
    for (size_t i = 0; i < m->report_count && err == 0; i++) {
        const struct m3u8_report *r = &m->reports[i];
        const struct hls_object o = {.kind = HLS_PLAYLIST, .rendition = r->rendition};
        err = write_uri(out, &o, "#EXT-X-RENDITION-REPORT:URI=\"", "\"");
        if (err == 0)
            err = buf_printf(out, ",LAST-MSN=%" PRIu64, r->msn);
        if (err == 0 && r->has_part)
            err = buf_printf(out, ",LAST-PART=%" PRIu32, r->part);
        if (err == 0)
            err = put(out, "\n");
    }
    return err;
}

static int write_media_end(const struct m3u8_media *m, struct buf *out)
{
    int err = 0;
    if (m->ended)
        return put(out, "#EXT-X-ENDLIST\n");
    if (m->hint != NULL && m->part_target_us > 0)
        err = write_uri(out, m->hint, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"", "\"\n");
    return err == 0 ? write_reports(m, out) : err;
}

int m3u8_write_media(const struct m3u8_media *m, bool delta, struct buf *out)
{
    size_t skip = delta ? count_skipped(m) : 0, with_parts = first_with_parts(m);
    int err = write_media_head(m, skip, out);
    for (size_t i = skip; i < m->segment_count && err == 0; i++) {
        err = write_segment_head(m, i, i == skip, out);
        if (err == 0)
            err = write_segment(m, i, i >= with_parts, out);
    }
    return err == 0 ? write_media_end(m, out) : err;
}

/* The multivariant playlist. */

static int write_audio(const struct m3u8_audio *a, struct buf *out)
{
    const struct hls_object o = {.kind = HLS_PLAYLIST, .rendition = a->rendition};
    int err = buf_printf(out, "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"%s\",NAME=\"%s\",DEFAULT=%s",
                         a->group, a->name, a->is_default ? "YES" : "NO");
    if (err == 0)
        err = put(out, ",AUTOSELECT=YES");
    if (err == 0 && a->channels > 0)
        err = buf_printf(out, ",CHANNELS=\"%" PRIu32 "\"", a->channels);
    if (err == 0 && !a->in_variant)
        err = write_uri(out, &o, ",URI=\"", "\"");
    return err == 0 ? put(out, "\n") : err;
}

static int write_variant(const struct m3u8_variant *v, struct buf *out)
{
    const struct hls_object o = {.kind = HLS_PLAYLIST, .rendition = v->rendition};
    int err = buf_printf(out, "#EXT-X-STREAM-INF:BANDWIDTH=%" PRIu32, v->bandwidth_bps);
    if (err == 0 && v->average_bps > 0)
        err = buf_printf(out, ",AVERAGE-BANDWIDTH=%" PRIu32, v->average_bps);
    if (err == 0)
        err = buf_printf(out, ",CODECS=\"%s\"", v->codecs);
    if (err == 0 && v->width > 0 && v->height > 0)
        err = buf_printf(out, ",RESOLUTION=%" PRIu32 "x%" PRIu32, v->width, v->height);
    if (err == 0 && v->frame_rate_milli > 0)
        err = buf_printf(out, ",FRAME-RATE=%" PRIu32 ".%03" PRIu32, v->frame_rate_milli / 1000,
                         v->frame_rate_milli % 1000);
    if (err == 0 && v->audio_group != NULL)
        err = buf_printf(out, ",AUDIO=\"%s\"", v->audio_group);
    return err == 0 ? write_uri(out, &o, "\n", "\n") : err;
}

int m3u8_write_multivariant(const struct m3u8_multivariant *m, struct buf *out)
{
    int err = put(out, "#EXTM3U\n");
    for (size_t i = 0; i < m->audio_count && err == 0; i++)
        err = write_audio(&m->audios[i], out);
    for (size_t i = 0; i < m->variant_count && err == 0; i++)
        err = write_variant(&m->variants[i], out);
    return err;
}
