#include "base/must.h"
#include "proto/fmp4.h"
#include "tests/unit/mp4_walk.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TRACKS  4
#define SAMPLES 64

struct input {
    struct fmp4_sample samples[TRACKS][SAMPLES];
    struct fmp4_run runs[TRACKS];
    struct fmp4_part part;
    size_t total;
};

/* Samples made of the input: a byte of count and two numbers each. */
static void make_runs(struct rd *r, struct input *in)
{
    for (int t = 0; t < TRACKS; t++) {
        struct fmp4_run *run = &in->runs[t];
        uint8_t first = rd_u8(r);
        *run = (struct fmp4_run){
            .track_id = (uint32_t)t + 1,
            .audio = (first & 0x80) != 0,
            .decode_time = rd_u64(r),
            .samples = in->samples[t],
            .count = first % SAMPLES,
        };
        for (uint32_t i = 0; i < run->count; i++) {
            struct fmp4_sample *s = &in->samples[t][i];
            s->duration = rd_u32(r);
            s->cts = run->audio ? 0 : rd_s24(r);
            s->sync = run->audio || (rd_u8(r) & 1) != 0;
            size_t len = rd_u8(r);
            s->payload = rd_slice_of(r, len < rd_left(r) ? len : rd_left(r));
        }
        in->total += run->count;
    }
}

static struct slice write_part(const struct fmp4_part *part, uint8_t **bytes)
{
    size_t head, payload, len = 0;
    must(fmp4_part_size(part, &head, &payload) == 0);
    *bytes = malloc(head + payload);
    uint8_t *head_bytes = malloc(head);
    must(*bytes != NULL && head_bytes != NULL);
    struct wr w = wr_init(head_bytes, head);
    fmp4_part_head(part, &w);
    must(!w.overflow && wr_len(&w) == head);
    struct iovec iov[TRACKS * SAMPLES + 1];
    int n = fmp4_part_iov(part, wr_slice(&w), iov, TRACKS * SAMPLES + 1);
    for (int i = 0; i < n; i++) {
        memcpy(*bytes + len, iov[i].iov_base, iov[i].iov_len);
        len += iov[i].iov_len;
    }
    must(len == head + payload);
    free(head_bytes);
    return slice_of(*bytes, len);
}

static void check_run(const struct fmp4_run *run, const struct mp4_walk_sample *found)
{
    uint64_t time = run->decode_time;
    for (uint32_t i = 0; i < run->count; i++) {
        const struct fmp4_sample *s = &run->samples[i];
        must(found[i].track == run->track_id && found[i].decode_time == time);
        must(found[i].duration == s->duration && found[i].cts == s->cts);
        must(run->audio || (found[i].flags == FMP4_SAMPLE_SYNC) == s->sync);
        must(slice_eq(found[i].data, s->payload));
        time += s->duration;
    }
}

/* What was written is read back by another reader, and is what was put in. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct input in;
    static struct mp4_walk_sample found[TRACKS * SAMPLES];
    struct rd r = rd_init(data, size);
    in.total = 0;
    make_runs(&r, &in);
    in.part = (struct fmp4_part){.sequence = rd_u32(&r), .runs = in.runs, .count = TRACKS};
    uint8_t *bytes;
    uint32_t sequence;
    struct slice part = write_part(&in.part, &bytes);
    must(mp4_walk_boxes(part) >= 3);
    must(mp4_walk_part(part, &sequence, found, TRACKS * SAMPLES) == in.total);
    must(sequence == in.part.sequence);
    size_t at = 0;
    for (int t = 0; t < TRACKS; t++) {
        check_run(&in.runs[t], &found[at]);
        at += in.runs[t].count;
    }
    free(bytes);
    return 0;
}
