/*
 * Viewers of HLS and LL-HLS.
 *
 *   playlist ─▶ the next part (or segment) that is listed ─▶ … ─▶ nothing new ─▶ playlist
 *                                              held by the server (CAN-BLOCK-RELOAD), or asked
 * again
 *
 * A viewer begins as far from the end as the playlist says and takes every part from there on, or
 * every segment where there are no parts.  What is checked: that numbers go on, that each fragment
 * begins where the one before it ended, that a player's buffer would not have run empty.
 */
#include "fetch.h"
#include "fmp4_scan.h"
#include "hls_list.h"

#include "base/err.h"
#include "base/list.h"
#include "base/slice.h"
#include "core/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PLAYLIST_MAX  (1024 * 1024) /* bytes */
#define REDIRECTS_MAX 4             /* and multivariant playlists, before the first media */

enum asked { NOTHING, PLAYLIST, MEDIA };

struct hls_viewer {
    struct viewer viewer;
    struct fetch fetch;
    struct fmp4_scan scan;
    struct buf text; /* of the last playlist */
    char playlist[FETCH_PATH_MAX];
    enum asked asked;
    int redirects;
    bool joined, whole;      /* whole: what is being fetched is a segment */
    uint64_t msn, first_msn; /* next to fetch; of the last playlist */
    uint32_t part;
    bool marked;
    int64_t duration_us;   /* of what is being fetched */
    int64_t buffer_end_us; /* when a player would have shown all it has */
    int64_t again_us;      /* when to ask for the playlist again, 0: not waited for */
};

static struct hls_viewer *of(struct viewer *v)
{
    return container_of(v, struct hls_viewer, viewer);
}

/* ---- requests ---- */

/* A reference of a playlist as a path; false when there is no room. */
static bool resolve(const char *base, struct slice ref, char *out)
{
    static const char scheme[] = "http://";
    if (slice_starts(ref, scheme)) {
        size_t skip = sizeof scheme - 1;
        struct slice rest;
        (void)slice_cut(slice_of(ref.p + skip, ref.len - skip), '/', &rest, NULL);
        int n = snprintf(out, FETCH_PATH_MAX, "/%.*s", (int)rest.len, (const char *)rest.p);
        return n < FETCH_PATH_MAX;
    }
    size_t keep = 0;
    for (size_t i = 0; base[i] != '\0' && base[i] != '?'; i++)
        keep = base[i] == '/' ? i + 1 : keep;
    if (ref.len > 0 && ref.p[0] == '/')
        keep = 0;
    int n = snprintf(out, FETCH_PATH_MAX, "%.*s%.*s", (int)keep, base, (int)ref.len,
                     (const char *)ref.p);
    return n < FETCH_PATH_MAX;
}

static int ask_playlist(struct hls_viewer *h, bool block, bool parts)
{
    char path[FETCH_PATH_MAX + 64];
    int n = snprintf(path, sizeof path, "%s", h->playlist);
    const char *joint = strchr(h->playlist, '?') != NULL ? "&" : "?";
    if (block && parts)
        snprintf(path + n, sizeof path - (size_t)n, "%s_HLS_msn=%" PRIu64 "&_HLS_part=%u", joint,
                 h->msn, h->part);
    else if (block)
        snprintf(path + n, sizeof path - (size_t)n, "%s_HLS_msn=%" PRIu64, joint, h->msn);
    buf_consume(&h->text, buf_len(&h->text));
    h->asked = PLAYLIST;
    return fetch_ask(&h->fetch, path);
}

static int ask_media(struct hls_viewer *h, const struct hls_entry *e)
{
    char path[FETCH_PATH_MAX];
    if (!resolve(h->playlist, e->uri, path))
        return ERR_TOO_LARGE;
    h->asked = MEDIA;
    h->whole = !e->is_part;
    h->duration_us = e->duration_us;
    fmp4_scan_begin(&h->scan);
    if (e->discontinuity && (h->whole || e->part == 0))
        fmp4_scan_forget(&h->scan);
    return fetch_ask(&h->fetch, path);
}

/* ---- what is next ---- */

/* The viewer has fallen out of what is listed, or something that was to come did not. */
static void jump(struct hls_viewer *h, const struct hls_list *l)
{
    viewer_hole(&h->viewer, 0);
    fmp4_scan_forget(&h->scan);
    h->msn = hls_list_join(l);
    h->part = 0;
}

/* The entry at the viewer's place, or NULL when it is not listed yet. */
static const struct hls_entry *next_entry(struct hls_viewer *h, const struct hls_list *l)
{
    if (h->msn < l->first_msn)
        jump(h, l);
    for (;;) {
        const struct hls_entry *whole = hls_list_segment(l, h->msn);
        const struct hls_entry *part =
            l->part_target_us > 0 ? hls_list_part(l, h->msn, h->part) : NULL;
        if (part != NULL)
            return part;
        if (whole == NULL || h->part == 0)
            return whole;
        /* All its parts were taken. */
        if (l->part_target_us > 0 && hls_list_part(l, h->msn, h->part - 1) == NULL)
            viewer_hole(&h->viewer, 0);
        h->msn++;
        h->part = 0;
    }
}

static int wait_for_more(struct hls_viewer *h, const struct hls_list *l)
{
    if (l->ended)
        return ERR_CLOSED;
    if (l->can_block)
        return ask_playlist(h, true, l->part_target_us > 0);
    h->asked = NOTHING;
    h->again_us = clock_us() + (l->target_us > 0 ? l->target_us : 1000000) / 2;
    return 0;
}

static int go_on(struct hls_viewer *h)
{
    struct hls_list l;
    int err = hls_list_read(buf_slice(&h->text), &l);
    const struct hls_entry *e = NULL;
    if (err == 0 && !h->joined) {
        h->msn = hls_list_join(&l);
        h->joined = l.count > 0;
    }
    if (err == 0 && l.first_msn < h->first_msn)
        h->viewer.stats->backs++;
    h->first_msn = l.first_msn;
    if (err == 0 && h->joined)
        e = next_entry(h, &l);
    /* There is nothing behind a gap's URI. */
    while (e != NULL && e->gap) {
        h->part = e->is_part ? h->part + 1 : 0;
        h->msn += !e->is_part;
        viewer_hole(&h->viewer, 0);
        e = next_entry(h, &l);
    }
    if (err == 0)
        err = e != NULL ? ask_media(h, e) : wait_for_more(h, &l);
    hls_list_free(&l);
    return err;
}

/* ---- answers ---- */

static int on_playlist(struct hls_viewer *h)
{
    struct hls_list l;
    char path[FETCH_PATH_MAX];
    int err = hls_list_read(buf_slice(&h->text), &l);
    bool multivariant = l.variant.len > 0;
    if (multivariant && !resolve(h->playlist, l.variant, path))
        err = ERR_TOO_LARGE;
    hls_list_free(&l);
    if (err < 0 || !multivariant)
        return err < 0 ? err : go_on(h);
    if (h->redirects++ == REDIRECTS_MAX)
        return ERR_TOO_MANY;
    snprintf(h->playlist, sizeof h->playlist, "%s", path);
    return ask_playlist(h, false, false);
}

static void check_buffer(struct hls_viewer *h, int64_t now_us)
{
    if (h->buffer_end_us == 0) {
        h->buffer_end_us = now_us;
    } else if (h->buffer_end_us < now_us) {
        h->viewer.stats->stalls++;
        h->buffer_end_us = now_us;
    }
    h->buffer_end_us += h->duration_us;
}

static int on_media(struct hls_viewer *h)
{
    struct viewer_stats *stats = h->viewer.stats;
    viewer_framed(&h->viewer);
    check_buffer(h, clock_us());
    stats->backs += h->scan.backs;
    if (h->scan.holes > 0)
        viewer_hole(&h->viewer, 0);
    h->scan.holes = h->scan.backs = 0;
    h->msn += h->whole;
    h->part = h->whole ? 0 : h->part + 1;
    return go_on(h);
}

static int redirected(struct hls_viewer *h)
{
    char path[FETCH_PATH_MAX];
    if (h->asked != PLAYLIST || h->redirects++ == REDIRECTS_MAX ||
        !resolve(h->playlist, slice_text(h->fetch.location), path))
        return ERR_PROTOCOL;
    snprintf(h->playlist, sizeof h->playlist, "%s", path);
    return ask_playlist(h, false, false);
}

static int on_answer(struct hls_viewer *h)
{
    if (h->fetch.location[0] != '\0')
        return redirected(h);
    if (h->fetch.status != 200) {
        viewer_why(&h->viewer, "status %d of %s", h->fetch.status, h->fetch.path);
        return ERR_REFUSED;
    }
    return h->asked == PLAYLIST ? on_playlist(h) : on_media(h);
}

/* Marks that lie whole in what came at once. */
static void look_for_marks(struct viewer *v, struct slice piece)
{
    struct mark m;
    const uint8_t *p = piece.p, *end = piece.p + piece.len;
    while (p != NULL && (size_t)(end - p) > MARK_SIZE &&
           (p = memmem(p, (size_t)(end - p), "SLMT", 4)) != NULL && end - p >= MARK_SIZE) {
        p += MARK_SIZE;
        if (mark_read(slice_of(piece.p, (size_t)(p - piece.p)), &m))
            viewer_latency(v, m.session);
    }
}

static void on_body(struct fetch *f, struct slice piece)
{
    struct hls_viewer *h = container_of(f, struct hls_viewer, fetch);
    if (f->status != 200 || piece.len == 0)
        return;
    if (h->asked == PLAYLIST) {
        (void)buf_append(&h->text, piece.p, piece.len);
        return;
    }
    viewer_media(&h->viewer);
    if (h->viewer.play->options.unchecked)
        return;
    fmp4_scan_feed(&h->scan, piece);
    look_for_marks(&h->viewer, piece);
}

/* ---- the protocol ---- */

static int hls_open(struct viewer *v)
{
    struct hls_viewer *h = of(v);
    const struct target *to = &v->play->options.target;
    char stream[TARGET_TEXT_MAX];
    fetch_init(&h->fetch, v, on_body);
    fmp4_scan_init(&h->scan);
    buf_init(&h->text, PLAYLIST_MAX);
    if (!target_stream(to, viewer_stream(v), stream, sizeof stream))
        return ERR_TOO_LARGE;
    snprintf(h->playlist, sizeof h->playlist, "/%s/%s", to->app, stream);
    return ask_playlist(h, false, false);
}

static int hls_event(struct viewer *v, uint32_t events)
{
    struct hls_viewer *h = of(v);
    int done = fetch_event(&h->fetch);
    if (done > 0)
        done = on_answer(h);
    if (done < 0)
        viewer_why(v, "%s at %s", err_text(done), h->fetch.path);
    return done;
}

static int hls_tick(struct viewer *v, int64_t now_us)
{
    struct hls_viewer *h = of(v);
    if (h->again_us == 0 || now_us < h->again_us)
        return 0;
    h->again_us = 0;
    return ask_playlist(h, false, false);
}

static void hls_close(struct viewer *v)
{
    struct hls_viewer *h = of(v);
    fetch_fini(&h->fetch);
    fmp4_scan_fini(&h->scan);
    buf_fini(&h->text);
}

static bool is_playlist(const char *url)
{
    const char *query = strchr(url, '?');
    size_t len = query != NULL ? (size_t)(query - url) : strlen(url);
    return slice_starts(slice_text(url), "http") && len > 5 &&
           memcmp(url + len - 5, ".m3u8", 5) == 0;
}

const struct play_protocol play_hls = {.name = "HLS",
                                       .matches = is_playlist,
                                       .viewer_size = sizeof(struct hls_viewer),
                                       .open = hls_open,
                                       .event = hls_event,
                                       .tick = hls_tick,
                                       .close = hls_close};
