#include "edge/player.h"

#include "base/err.h"
#include "proto/url.h"

#define PLAYER_USER_TIMEOUT_MS 20000 /* a peer that acknowledges nothing this long is gone */

bool player_wants_all_tracks(struct slice query)
{
    return slice_is(url_query_find(query, "tracks"), "all");
}

enum close_reason player_refusal(int err)
{
    return err == ERR_CLOSED ? CLOSE_DRAIN : CLOSE_OVERLOAD;
}

const char *player_refusal_text(int err)
{
    return err == ERR_CLOSED ? "this node is going out of service"
                             : "this node has as many players as it can serve";
}

int player_buffer_bytes(int64_t bitrate_bps)
{
    int64_t bytes = bitrate_bps / 8 * PLAYER_BUFFER_MS / 1000;
    if (bytes < PLAYER_BUFFER_MIN)
        return PLAYER_BUFFER_MIN;
    return bytes > PLAYER_BUFFER_MAX ? PLAYER_BUFFER_MAX : (int)bytes;
}

void player_follow_bitrate(struct io *io, int64_t bitrate_bps)
{
    if (io != NULL)
        io_set_send_buffer(io, player_buffer_bytes(bitrate_bps));
}

void player_set_buffers(struct io *io, const struct audience *a)
{
    if (io == NULL)
        return;
    io_set_dead_peer(io, PLAYER_USER_TIMEOUT_MS);
    player_follow_bitrate(io, audience_bitrate_bps(a));
}
