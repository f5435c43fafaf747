#ifndef SLUICE_ORIGIN_RTMP_PUBLISH_H
#define SLUICE_ORIGIN_RTMP_PUBLISH_H

#include "net/rtmp_session.h"
#include "origin/publisher.h"

/*
 * RTMP connections that publish: the key is checked, the session waits until the claim on the name
 * is decided, then its messages go to the publisher.
 *
 *   rtmp_session ──on_message──▶ publisher_push ──on_input_end──▶ publisher_flush
 *
 * publish_arg of the RTMP server's options is the node's struct ingest.
 */
extern const struct rtmp_handler rtmp_publish_handler;

/*
 * Who publishes with this query, as struct publisher_options wants it: the hash of the key that
 * ?token= names, which has to be one of `keys`; without keys the hash of the token, else of the
 * whole query, or "" when that is empty.  0, or ERR_AUTH (and "").
 */
int rtmp_publish_identity(const struct text_list *keys, const char *query,
                          char out[CLUSTER_PUBLISHER_MAX]);

#endif
