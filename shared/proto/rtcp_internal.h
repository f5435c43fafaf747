#ifndef SLUICE_PROTO_RTCP_INTERNAL_H
#define SLUICE_PROTO_RTCP_INTERNAL_H

#include "proto/rtcp.h"

/* Of the files rtcp*.c only. */

/* Writes the first word of a packet; where it lies, for rtcp_finish(). */
size_t rtcp_begin(struct wr *w, uint8_t type, unsigned count);

/* Fills the last word with zeros and writes the length into the first. */
void rtcp_finish(struct wr *w, size_t at);

#endif
