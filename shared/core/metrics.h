#ifndef SLUICE_CORE_METRICS_H
#define SLUICE_CORE_METRICS_H

#include "base/buf.h"
#include "core/close_reason.h"
#include "core/limit.h"

#include <stdint.h>

/*
 * Counters and gauges, one set per worker, written only by that worker's thread; a reader sums them
 * (relaxed atomic loads, so a sum is at most one event behind).  One row: name, help.  In
 * Prometheus text each is sluice_<name>.
 */
#define METRIC_COUNTERS(X)                                                                         \
    X(connections_total, "Connections accepted")                                                   \
    X(connections_refused_total, "Connections refused by a limit")                                 \
    X(tls_handshakes_total, "TLS handshakes completed")                                            \
    X(tls_failed_total, "TLS handshakes that failed")                                              \
    X(bytes_in_total, "Bytes read from peers")                                                     \
    X(bytes_out_total, "Bytes written to peers")                                                   \
    X(writes_total, "write and writev calls on connections")                                       \
    X(frames_in_total, "Frames accepted from publishers")                                          \
    X(frames_pulled_total, "Frames accepted from other nodes")                                     \
    X(frames_relayed_total, "Frames sent to other nodes")                                          \
    X(frames_skipped_total, "Frames that viewers did not get because they were behind")            \
    X(cursor_skips_total, "Jumps of slow viewers to a newer key frame")                            \
    X(publish_total, "Publish requests accepted")                                                  \
    X(publish_refused_total, "Publish requests refused")                                           \
    X(play_total, "Play requests accepted")                                                        \
    X(play_refused_total, "Play requests refused")                                                 \
    X(play_not_found_total, "Viewers told that there is no such stream")                           \
    X(pulls_total, "Relay connections opened to other nodes")                                      \
    X(pull_reconnects_total, "Relay connections opened again after a loss")                        \
    X(relays_total, "Relay connections accepted from other nodes")                                 \
    X(carries_total, "Publishers carried on to an origin")                                         \
    X(carry_reconnects_total, "Carried publishers that went on at an origin after a loss")         \
    X(frames_carried_total, "Frames sent on to origins")                                           \
    X(relay_auth_failed_total, "Requests between nodes with a bad signature")                      \
    X(relay_gaps_total, "Relay links ended because the reader fell out of the log")                \
    X(lookups_total, "Streams looked up in the cluster")                                           \
    X(lookup_negative_hits_total, "Look-ups answered by the negative cache")                       \
    X(takeover_total, "Streams that moved to a higher epoch")                                      \
    X(fenced_total, "Publishers closed because another node owns their stream")                    \
    X(redis_commands_total, "Commands sent to Redis")                                              \
    X(redis_errors_total, "Errors answered by Redis")                                              \
    X(redis_reconnects_total, "Connections opened to Redis after the first")                       \
    X(claims_restored_total, "Claims written again because Redis had lost them")                   \
    X(epoch_regress_total, "Lower epochs accepted after a steady absence of the higher")           \
    X(gossip_sent_total, "Datagrams sent to other nodes")                                          \
    X(gossip_received_total, "Datagrams of other nodes that were taken")                           \
    X(gossip_forged_total, "Datagrams dropped: not signed with the cluster's secret")              \
    X(gossip_replayed_total, "Datagrams dropped: seen before")                                     \
    X(gossip_foreign_total, "Datagrams dropped: of another cluster")                               \
    X(gossip_malformed_total, "Datagrams dropped: malformed")                                      \
    X(gossip_fetches_total, "Sets of streams fetched from other nodes")                            \
    X(gossip_challenges_total, "Nodes asked to prove that they live now")                          \
    X(http_requests_total, "HTTP requests answered")                                               \
    X(http_bad_requests_total, "HTTP requests refused as malformed")                               \
    X(http2_connections_total, "Connections that spoke HTTP/2")                                    \
    X(http2_refused_total, "HTTP/2 connections ended because of what the peer sent")               \
    X(rtc_offers_total, "Offers posted to WHIP and WHEP endpoints")                                \
    X(rtc_offers_refused_total, "Offers that were refused")                                        \
    X(rtc_carries_total, "Requests to WebRTC sessions carried to another node")                    \
    X(rtc_peers_total, "WebRTC peers opened")                                                      \
    X(rtc_joins_total, "WebRTC peers that connected")                                              \
    X(rtc_join_ms_total, "Milliseconds from offer to connected, of all joins")                     \
    X(rtc_refused_total, "WebRTC peers refused: too many are not connected yet")                   \
    X(rtc_ice_timeouts_total, "WebRTC peers closed: no valid check came in time")                  \
    X(rtc_consent_lost_total, "WebRTC peers closed: nothing valid came any more")                  \
    X(rtc_dtls_timeouts_total, "WebRTC peers closed: the handshake took too long")                 \
    X(rtc_dtls_failed_total, "WebRTC peers closed: the handshake failed")                          \
    X(rtc_fingerprint_failed_total, "WebRTC peers closed: another certificate than announced")     \
    X(rtc_moves_total, "WebRTC peers that went on from another address")                           \
    X(rtc_checks_total, "Connectivity checks answered")                                            \
    X(rtc_checks_dropped_total, "Connectivity checks that were not valid")                         \
    X(rtc_strays_total, "Datagrams from unknown addresses, or of no known kind")                   \
    X(rtc_handshakes_dropped_total, "Handshake datagrams dropped because too many waited")         \
    X(rtc_auth_failed_total, "SRTP and SRTCP packets that were forged, damaged or replayed")       \
    X(rtc_datagrams_in_total, "Datagrams that WebRTC ports received")                              \
    X(rtc_datagrams_out_total, "Datagrams that WebRTC ports sent")                                 \
    X(rtc_messages_out_total, "Messages that these were sent in: UDP GSO segments them")           \
    X(rtc_send_errors_total, "Messages and datagrams that the system refused to send")             \
    X(rtc_media_in_total, "RTP packets of WebRTC publishers")                                      \
    X(rtc_missing_total, "RTP packets of publishers that were found missing")                      \
    X(rtc_repaired_total, "Of those, packets that came later: sent again, or overtaken")           \
    X(rtc_nacks_out_total, "RTP packets that publishers were asked for again")                     \
    X(rtc_given_up_total, "Times that missing packets of publishers were given up")                \
    X(rtc_plis_out_total, "Key frames that WebRTC publishers were asked for")                      \
    X(rtc_unsegmented_total, "Of the messages out, those that went datagram by datagram")          \
    X(rtc_send_blocked_total, "Times that a WebRTC socket took no more at once")                   \
    X(rtc_send_dropped_total, "Datagrams lost because the way out was full")                       \
    X(rtc_pack_failed_total, "Frames that could not be made into RTP packets")                     \
    X(rtc_b_frames_dropped_total, "Frames of B slices that WebRTC viewers were not sent")          \
    X(rtc_nacked_total, "Packets that WebRTC viewers asked for again")                             \
    X(rtc_resent_total, "Packets sent again to WebRTC viewers")                                    \
    X(rtc_resend_refused_total, "Packets not sent again: beyond a quarter of the viewer's rate")   \
    X(rtc_key_requests_total, "Key frames asked for by WebRTC viewers (PLI, FIR)")                 \
    X(rtc_video_skips_total, "Times that a WebRTC viewer got no video up to the next key frame")   \
    X(rtc_started_over_total, "Times that a WebRTC viewer was sent the newest key frame again")    \
    X(rtc_audio_only_total, "Times that a WebRTC viewer got sound alone because it lost too much") \
    X(rtc_reports_total, "Receiver reports of WebRTC viewers")                                     \
    X(rtc_reported_loss_total, "Loss in receiver reports of WebRTC viewers, 1/256 each")           \
    X(loop_slow_total, "Handlers that ran longer than the limit")                                  \
    X(loop_gaps_total, "Times that a worker stood still for more than two seconds")                \
    X(viewers_shed_total, "Viewers refused because a worker's loop was late")                      \
    X(log_lines_suppressed_total, "Log lines held back by the rate limit")

#define METRIC_GAUGES(X)                                                                           \
    X(connections_open, "Open connections")                                                        \
    X(viewers_rtmp, "RTMP players")                                                                \
    X(viewers_flv, "HTTP-FLV players")                                                             \
    X(viewers_hls, "HLS players, by what they ask for")                                            \
    X(viewers_whep, "WebRTC players")                                                              \
    X(hls_held, "HLS requests that wait for what they ask for")                                    \
    X(hls_units, "HLS segments and parts in memory, kept or being sent")                           \
    X(publishers, "Publishers")                                                                    \
    X(carried_publishers, "Publishers of this node that are carried on to an origin")              \
    X(rtc_peers, "WebRTC peers")                                                                   \
    X(rtc_half_open, "WebRTC peers that are not connected yet")                                    \
    X(pulls, "Streams pulled from other nodes")                                                    \
    X(relays, "Relay connections being served")                                                    \
    X(feeds, "Streams known on a worker, replicas counted")                                        \
    X(redis_up, "1 while the connection to Redis works")                                           \
    X(gossip_nodes, "Other nodes that live, as datagrams have it")                                 \
    X(gossip_streams, "Streams of other nodes, as datagrams have it")                              \
    X(clock_offset_ms_max, "Largest clock difference to another node that was learned")            \
    X(merge_ms, "Present merging of writes, milliseconds")                                         \
    X(load_percent, "Share of the worker's time spent in handlers")                                \
    X(loop_lag_us, "How late handlers came in the last seconds, 95th percentile, microseconds")

struct metrics {
#define X(name, help) uint64_t name;
    METRIC_COUNTERS(X)
#undef X
#define X(name, help) int64_t name;
    METRIC_GAUGES(X)
#undef X
    uint64_t closed[CLOSE_REASON_COUNT]; /* sessions by reason: sluice_closed_total{reason="…"} */
    uint64_t limited[LIMIT_COUNT];       /* sluice_limit_reached_total{setting="…"} */
};

/* The only ways a counter or gauge is written (owner thread) and read (any thread). */
#define METRIC_ADD(field, n)                                                                       \
    __atomic_store_n(&(field), __atomic_load_n(&(field), __ATOMIC_RELAXED) + (n), __ATOMIC_RELAXED)
#define METRIC_INC(field)    METRIC_ADD(field, 1)
#define METRIC_SET(field, v) __atomic_store_n(&(field), (v), __ATOMIC_RELAXED)
#define METRIC_GET(field)    __atomic_load_n(&(field), __ATOMIC_RELAXED)

/* Adds `from` (another thread's) to `sum`, field by field (maximum for *_max gauges, merge_ms,
 * load_percent, loop_lag_us and redis_up). */
void metrics_add(struct metrics *sum, const struct metrics *from);

/* A gauge that is not counted per worker, for the caller to add: "frames_alive", its help, its
 * value. */
struct metric_extra {
    const char *name, *help;
    int64_t value;
};

/* Writes the sum as Prometheus text (version 0.0.4), with the process-wide values (resident memory,
 * open descriptors, start time, version) and `extra_count` rows of the caller.  0, ERR_TOO_LARGE or
 * ERR_NOMEM. */
int metrics_print(const struct metrics *sum, const struct metric_extra *extra, size_t extra_count,
                  struct buf *out);

#endif
