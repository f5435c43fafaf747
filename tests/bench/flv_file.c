#include "flv_file.h"

#include "mp4_file.h"

#include "base/err.h"
#include "base/mem.h"
#include "proto/flv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX (256L * 1024 * 1024)
#define FRAME_STEP_MS  40 /* from a round's last frame to the next round's first */

static uint8_t *read_all(const char *path, size_t *len)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return NULL;
    uint8_t *bytes = NULL;
    long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    rewind(file);
    if (size > 0 && size <= FILE_BYTES_MAX) {
        bytes = xmalloc((size_t)size);
        *len = fread(bytes, 1, (size_t)size, file);
    }
    fclose(file);
    return bytes;
}

/* Frames count from the first key frame on, which is sent at once: what came before it would only
 * put off the moment when players see something. */
static void add(struct flv_file *f, const struct flv_tag *tag)
{
    struct flv_packet packets[FLV_PACKETS_MAX];
    if ((tag->type != FLV_TAG_AUDIO && tag->type != FLV_TAG_VIDEO) || tag->body.len == 0 ||
        flv_packets(tag->type, tag->body, packets) < 1)
        return;
    bool config = packets[0].class == FLV_CONFIG;
    if (!f->begun && packets[0].class == FLV_FRAMES && packets[0].frame_type == FLV_FRAME_KEY) {
        f->begun = true;
        f->first_ms = tag->timestamp_ms;
    }
    if (!f->begun && !config)
        return;
    uint32_t at_ms = config && !f->begun ? 0 : tag->timestamp_ms - f->first_ms;
    f->entries[f->count++] = (struct flv_entry){tag->type, config, at_ms, tag->body};
    if (f->round_ms < at_ms + FRAME_STEP_MS)
        f->round_ms = at_ms + FRAME_STEP_MS;
}

/* What is MP4 becomes FLV; 0 or a negative enum err. */
static int from_mp4(uint8_t **bytes, size_t *len)
{
    struct buf flv;
    buf_init(&flv, 2 * FILE_BYTES_MAX);
    int err = mp4_file_to_flv(slice_of(*bytes, *len), &flv);
    struct slice s = buf_slice(&flv);
    if (err == 0) {
        free(*bytes);
        *bytes = xmalloc(s.len);
        memcpy(*bytes, s.p, s.len);
        *len = s.len;
    }
    buf_fini(&flv);
    return err;
}

int flv_file_open(struct flv_file *f, const char *path)
{
    *f = (struct flv_file){0};
    size_t len = 0;
    f->bytes = read_all(path, &len);
    if (f->bytes == NULL)
        return ERR_IO;
    int err = mp4_file_is(slice_of(f->bytes, len)) ? from_mp4(&f->bytes, &len) : 0;
    if (err < 0) {
        flv_file_close(f);
        return err;
    }
    bool audio, video;
    ssize_t n = flv_file_header_read(f->bytes, len, &audio, &video);
    f->entries = xcalloc(len / FLV_TAG_HEADER_SIZE + 1, sizeof f->entries[0]);
    for (size_t at = 0; n > 0;) {
        struct flv_tag tag;
        at += (size_t)n;
        n = flv_tag_read(f->bytes + at, len - at, FLV_BODY_MAX, &tag);
        if (n > 0)
            add(f, &tag);
    }
    if (f->begun)
        return 0;
    flv_file_close(f);
    return ERR_PROTOCOL;
}

void flv_file_close(struct flv_file *f)
{
    free(f->entries);
    free(f->bytes);
    *f = (struct flv_file){0};
}

const struct flv_entry *flv_file_at(const struct flv_file *f, const struct flv_place *at)
{
    return &f->entries[at->index];
}

int64_t flv_file_due_ms(const struct flv_file *f, const struct flv_place *at)
{
    return at->round * f->round_ms + f->entries[at->index].timestamp_ms;
}

void flv_file_next(const struct flv_file *f, struct flv_place *at)
{
    do {
        if (++at->index == f->count) {
            at->index = 0;
            at->round++;
        }
    } while (at->round > 0 && f->entries[at->index].config);
}
