#include "base/err.h"
#include "base/must.h"
#include "proto/fmp4.h"
#include "proto/mp4_box.h"

/* A part: moof (ISO/IEC 14496-12, 8.8.4 to 8.8.12) and the header of its mdat. */

#define MFHD_SIZE         16
#define TFHD_SIZE         16
#define TFDT_SIZE         20
#define TRUN_SIZE         20 /* without its samples */
#define TFHD_BASE_IS_MOOF 0x020000
#define TRUN_DATA_OFFSET  0x000001
#define TRUN_DURATION     0x000100
#define TRUN_SIZE_OF_EACH 0x000200
#define TRUN_FLAGS        0x000400
#define TRUN_CTS          0x000800

static bool has_cts(const struct fmp4_run *run)
{
    for (uint32_t i = 0; i < run->count; i++) {
        if (run->samples[i].cts != 0)
            return true;
    }
    return false;
}

static uint32_t trun_flags(const struct fmp4_run *run)
{
    uint32_t flags = TRUN_DATA_OFFSET | TRUN_DURATION | TRUN_SIZE_OF_EACH;
    if (!run->audio)
        flags |= TRUN_FLAGS;
    return has_cts(run) ? flags | TRUN_CTS : flags;
}

static size_t traf_size(const struct fmp4_run *run)
{
    uint32_t flags = trun_flags(run);
    size_t each = 8 + ((flags & TRUN_FLAGS) != 0 ? 4 : 0) + ((flags & TRUN_CTS) != 0 ? 4 : 0);
    return MP4_BOX_HEADER_SIZE + TFHD_SIZE + TFDT_SIZE + TRUN_SIZE + each * run->count;
}

/* Size of moof and of mdat's header. */
static size_t head_size(const struct fmp4_part *part)
{
    size_t size = MP4_BOX_HEADER_SIZE + MFHD_SIZE + MP4_BOX_HEADER_SIZE;
    for (int i = 0; i < part->count; i++) {
        if (part->runs[i].count > 0)
            size += traf_size(&part->runs[i]);
    }
    return size;
}

static size_t run_bytes(const struct fmp4_run *run)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < run->count; i++)
        bytes += run->samples[i].payload.len;
    return bytes;
}

int fmp4_part_size(const struct fmp4_part *part, size_t *head, size_t *payload)
{
    uint64_t samples = 0;
    size_t bytes = 0;
    if (part->count > FMP4_TRACKS_MAX)
        return ERR_TOO_MANY;
    for (int i = 0; i < part->count; i++) {
        samples += part->runs[i].count;
        if (samples > FMP4_SAMPLES_MAX)
            return ERR_TOO_MANY;
        for (uint32_t n = 0; n < part->runs[i].count; n++) {
            bytes += part->runs[i].samples[n].payload.len;
            if (bytes > FMP4_PART_BYTES_MAX)
                return ERR_TOO_LARGE;
        }
    }
    *head = head_size(part);
    *payload = bytes;
    return 0;
}

static void write_tfhd(const struct fmp4_run *run, struct wr *w)
{
    size_t box = mp4_full_box_open(w, FOURCC('t', 'f', 'h', 'd'), 0, TFHD_BASE_IS_MOOF);
    wr_u32(w, run->track_id);
    mp4_box_close(w, box);
}

static void write_tfdt(const struct fmp4_run *run, struct wr *w)
{
    size_t box = mp4_full_box_open(w, FOURCC('t', 'f', 'd', 't'), 1, 0);
    wr_u64(w, run->decode_time);
    mp4_box_close(w, box);
}

static void write_trun(const struct fmp4_run *run, size_t data_offset, struct wr *w)
{
    uint32_t flags = trun_flags(run);
    size_t box = mp4_full_box_open(w, FOURCC('t', 'r', 'u', 'n'), 1, flags);
    wr_u32(w, run->count);
    wr_u32(w, (uint32_t)data_offset);
    for (uint32_t i = 0; i < run->count; i++) {
        const struct fmp4_sample *s = &run->samples[i];
        wr_u32(w, s->duration);
        wr_u32(w, (uint32_t)s->payload.len);
        if ((flags & TRUN_FLAGS) != 0)
            wr_u32(w, s->sync ? FMP4_SAMPLE_SYNC : FMP4_SAMPLE_INTER);
        if ((flags & TRUN_CTS) != 0)
            wr_u32(w, (uint32_t)s->cts);
    }
    mp4_box_close(w, box);
}

void fmp4_part_head(const struct fmp4_part *part, struct wr *w)
{
    size_t offset = head_size(part), payload = 0;
    size_t moof = mp4_box_open(w, FOURCC('m', 'o', 'o', 'f'));
    size_t mfhd = mp4_full_box_open(w, FOURCC('m', 'f', 'h', 'd'), 0, 0);
    wr_u32(w, part->sequence);
    mp4_box_close(w, mfhd);
    for (int i = 0; i < part->count; i++) {
        const struct fmp4_run *run = &part->runs[i];
        if (run->count == 0)
            continue;
        size_t traf = mp4_box_open(w, FOURCC('t', 'r', 'a', 'f'));
        write_tfhd(run, w);
        write_tfdt(run, w);
        write_trun(run, offset + payload, w);
        mp4_box_close(w, traf);
        payload += run_bytes(run);
    }
    mp4_box_close(w, moof);
    must(payload <= FMP4_PART_BYTES_MAX);
    wr_u32(w, (uint32_t)(MP4_BOX_HEADER_SIZE + payload));
    wr_u32(w, FOURCC('m', 'd', 'a', 't'));
}

/* writev() only reads what an iovec points at. */
static struct iovec iovec_of(struct slice s)
{
    union {
        const uint8_t *read;
        void *base;
    } p = {.read = s.p};
    return (struct iovec){.iov_base = p.base, .iov_len = s.len};
}

int fmp4_part_iov(const struct fmp4_part *part, struct slice head, struct iovec *iov, int room)
{
    int n = 0;
    if (room < 1)
        return ERR_TOO_MANY;
    iov[n++] = iovec_of(head);
    for (int i = 0; i < part->count; i++) {
        for (uint32_t s = 0; s < part->runs[i].count; s++) {
            struct slice payload = part->runs[i].samples[s].payload;
            if (payload.len == 0)
                continue;
            if (n == room)
                return ERR_TOO_MANY;
            iov[n++] = iovec_of(payload);
        }
    }
    return n;
}
