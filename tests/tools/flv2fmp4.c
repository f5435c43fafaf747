#include "base/must.h"
#include "proto/fmp4.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/*
 * usage: flv2fmp4 IN.flv OUT.mp4 [PART_MS]
 *
 * Writes an FLV file as an initialization segment and parts of PART_MS (500) one after the other,
 * with the writer that HLS uses, and a line for each track on standard output.  Tracks other than
 * those with a configuration and a frame at the time of the first part are left out.
 */

#define PART_MS_DEFAULT 500
#define HELD_MAX        4096 /* samples of a track in one part */
#define MS_PER_S        1000

struct track {
    struct fmp4_track out;
    struct codec_info info;
    enum flv_kind kind;
    uint8_t number;
    uint32_t codec;
    struct slice config, meta, first;
    bool known;
    struct fmp4_sample held[HELD_MAX];
    uint32_t count;
    uint32_t last_duration;
    int64_t dts[HELD_MAX]; /* in units of the timescale, of each held sample */
};

static struct track *tracks[FMP4_TRACKS_MAX];
static int track_count;

static struct track *track_of(const struct flv_packet *p)
{
    for (int i = 0; i < track_count; i++) {
        if (tracks[i]->kind == p->kind && tracks[i]->number == p->track)
            return tracks[i];
    }
    must(track_count < FMP4_TRACKS_MAX);
    struct track *t = calloc(1, sizeof *t);
    must(t != NULL);
    t->kind = p->kind;
    t->number = p->track;
    t->codec = p->codec;
    tracks[track_count++] = t;
    return t;
}

static bool is_key(const struct flv_packet *p)
{
    return p->kind == FLV_AUDIO || p->frame_type == FLV_FRAME_KEY;
}

/* Looks at the whole file: each track's first configuration, metadata and key frame. */
static void survey(const struct flv_packet *p, uint32_t timestamp_ms)
{
    if (p->class == FLV_COMMAND || p->class == FLV_END || p->codec == 0)
        return;
    struct track *t = track_of(p);
    if (p->class == FLV_CONFIG && t->config.len == 0)
        t->config = p->payload;
    else if (p->class == FLV_META && p->kind == FLV_VIDEO && t->meta.len == 0)
        t->meta = p->payload;
    else if (p->class == FLV_FRAMES && t->first.len == 0 && is_key(p))
        t->first = p->payload;
}

static int64_t in_ticks(const struct track *t, int64_t ms)
{
    return ms * t->info.timescale / MS_PER_S;
}

static void hold(const struct flv_packet *p, uint32_t timestamp_ms)
{
    if (p->class != FLV_FRAMES)
        return;
    struct track *t = track_of(p);
    if (!t->known || (t->count == 0 && t->last_duration == 0 && !is_key(p)))
        return;
    must(t->count < HELD_MAX);
    t->dts[t->count] = in_ticks(t, timestamp_ms);
    t->held[t->count++] = (struct fmp4_sample){
        .payload = codec_sample(t->codec, p->payload),
        .cts = (int32_t)in_ticks(t, p->cts_ms),
        .sync = is_key(p),
    };
}

/* Durations up to the next sample; the last held one waits for its own unless it is the end. */
static uint32_t finish_durations(struct track *t, bool end)
{
    uint32_t count = end || t->count == 0 ? t->count : t->count - 1;
    for (uint32_t i = 0; i < count; i++) {
        if (i + 1 < t->count)
            t->last_duration = (uint32_t)(t->dts[i + 1] - t->dts[i]);
        t->held[i].duration = t->last_duration;
    }
    return count;
}

static void forget(struct track *t, uint32_t count)
{
    t->count -= count;
    memmove(t->held, t->held + count, t->count * sizeof t->held[0]);
    memmove(t->dts, t->dts + count, t->count * sizeof t->dts[0]);
}

static void write_part(FILE *out, bool end)
{
    static uint32_t parts;
    static struct iovec iov[FMP4_SAMPLES_MAX + 1];
    struct fmp4_run runs[FMP4_TRACKS_MAX];
    for (int i = 0; i < track_count; i++) {
        struct track *t = tracks[i];
        uint32_t count = finish_durations(t, end);
        runs[i] = (struct fmp4_run){
            .track_id = t->out.id,
            .audio = t->kind == FLV_AUDIO,
            .decode_time = (uint64_t)t->dts[0],
            .samples = t->held,
            .count = count,
        };
    }
    struct fmp4_part part = {
        .sequence = fmp4_sequence(0, parts++), .runs = runs, .count = track_count};
    size_t head_size, payload_size;
    must(fmp4_part_size(&part, &head_size, &payload_size) == 0);
    uint8_t *head = malloc(head_size);
    must(head != NULL);
    struct wr w = wr_init(head, head_size);
    fmp4_part_head(&part, &w);
    must(!w.overflow && wr_len(&w) == head_size);
    int n = payload_size > 0 ? fmp4_part_iov(&part, wr_slice(&w), iov, FMP4_SAMPLES_MAX + 1) : 0;
    for (int i = 0; i < n; i++)
        must(fwrite(iov[i].iov_base, 1, iov[i].iov_len, out) == iov[i].iov_len);
    free(head);
    for (int i = 0; i < track_count; i++)
        forget(tracks[i], runs[i].count);
}

static void write_init(FILE *out)
{
    struct fmp4_track list[FMP4_TRACKS_MAX];
    int count = 0;
    for (int i = 0; i < track_count; i++) {
        struct track *t = tracks[i];
        int err = codec_info_read(&t->info, t->kind, t->codec, t->config, t->first);
        if (err == 0 && t->meta.len > 0)
            err = codec_info_colour(&t->info, t->meta);
        t->known = err == 0;
        t->out = (struct fmp4_track){fmp4_track_id(t->kind, t->number), &t->info};
        printf("id=%u codec=%s err=%d codecs=%s timescale=%u", t->out.id, flv_codec_name(t->codec),
               err, t->info.codecs, t->info.timescale);
        const struct codec_video *v = &t->info.video;
        const struct codec_audio *a = &t->info.audio;
        if (t->kind == FLV_VIDEO)
            printf(" size=%ux%u sar=%u:%u rate=%u/%u colour=%d:%u/%u/%u/%d\n", v->width, v->height,
                   v->sar_width, v->sar_height, v->rate_num, v->rate_den, v->colour.known,
                   v->colour.primaries, v->colour.transfer, v->colour.matrix, v->colour.full_range);
        else
            printf(" channels=%u samples=%u first=%u\n", a->channels, a->frame_samples,
                   t->known ? codec_frame_samples(&t->info, t->first) : 0);
        if (t->known)
            list[count++] = t->out;
    }
    must(count > 0);
    size_t room = fmp4_init_size(list, count);
    uint8_t *init = malloc(room);
    must(init != NULL);
    struct wr w = wr_init(init, room);
    fmp4_init(list, count, &w);
    must(!w.overflow && fwrite(init, 1, wr_len(&w), out) == wr_len(&w));
    free(init);
}

typedef void packet_fn(const struct flv_packet *p, uint32_t timestamp_ms);

/* Gives each packet of the file to fn, and ends a part every part_ms when out is set. */
static void walk(struct slice file, packet_fn *fn, FILE *out, uint32_t part_ms)
{
    uint32_t began = UINT32_MAX;
    const uint8_t *p = file.p + FLV_FILE_HEADER_SIZE, *end = file.p + file.len;
    struct flv_tag tag;
    for (ssize_t n; p < end && (n = flv_tag_read(p, (size_t)(end - p), FLV_BODY_MAX, &tag)) > 0;
         p += n) {
        if (tag.type != FLV_TAG_AUDIO && tag.type != FLV_TAG_VIDEO)
            continue;
        if (began == UINT32_MAX)
            began = tag.timestamp_ms;
        if (out != NULL && tag.timestamp_ms >= began + part_ms) {
            write_part(out, false);
            began = tag.timestamp_ms;
        }
        struct flv_packet packets[FLV_PACKETS_MAX];
        int count = flv_packets(tag.type, tag.body, packets);
        for (int i = 0; i < count; i++)
            fn(&packets[i], tag.timestamp_ms);
    }
}

static struct slice read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    if (f == NULL || fstat(fileno(f), &st) < 0) {
        perror(path);
        exit(1);
    }
    uint8_t *bytes = malloc((size_t)st.st_size + 1);
    must(bytes != NULL);
    size_t n = fread(bytes, 1, (size_t)st.st_size, f);
    fclose(f);
    return slice_of(bytes, n);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: flv2fmp4 IN.flv OUT.mp4 [PART_MS]\n");
        return 2;
    }
    uint64_t part_ms = PART_MS_DEFAULT;
    if (argc > 3 && slice_u64(slice_text(argv[3]), UINT32_MAX / 2, &part_ms) < 0)
        return 2;
    struct slice file = read_file(argv[1]);
    bool audio, video;
    if (flv_file_header_read(file.p, file.len, &audio, &video) <= 0)
        return 1;
    FILE *out = fopen(argv[2], "wb");
    if (out == NULL) {
        perror(argv[2]);
        return 1;
    }
    walk(file, survey, NULL, 0);
    write_init(out);
    walk(file, hold, out, (uint32_t)part_ms);
    write_part(out, true);
    return fclose(out) == 0 ? 0 : 1;
}
