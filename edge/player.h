#ifndef SLUICE_EDGE_PLAYER_H
#define SLUICE_EDGE_PLAYER_H

#include "edge/audience.h"
#include "net/io.h"

/* What players of every protocol have in common. */

/* ?tracks=all: give every track, not only the first of each kind. */
bool player_wants_all_tracks(struct slice query);

/* Why viewer_join() refused, as a reason and as a sentence for the client. */
enum close_reason player_refusal(int err);
const char *player_refusal_text(int err);
/* The same of a stream whose video this kind of player cannot play (CLOSE_UNSUPPORTED). */
#define PLAYER_NEEDS_WEBRTC "the video of this stream is for WebRTC players: play it by WHEP"

/*
 * The kernel's buffer of a player holds about PLAYER_BUFFER_MS of the stream, so that a slow reader
 * holds little and falls behind where the judge sees it.
 */
#define PLAYER_BUFFER_MS  1000
#define PLAYER_BUFFER_MIN (64 * 1024)
#define PLAYER_BUFFER_MAX (2 * 1024 * 1024)
int player_buffer_bytes(int64_t bitrate_bps);
void player_set_buffers(struct io *io, const struct audience *a);
void player_follow_bitrate(struct io *io, int64_t bitrate_bps);

#endif
