#include "base/must.h"
#include "proto/relay_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A state that was read can be written, and is then the same size as what is known of it. */
static void check_state(struct slice payload)
{
    struct relay_state s;
    if (relay_state_decode(payload, &s) < 0)
        return;
    must(s.track_count <= RELAY_TRACKS_MAX && s.in_force_count <= RELAY_IN_FORCE_MAX);
    struct buf b;
    buf_init(&b, 1 << 20);
    if (relay_state_encode(&s, &b) == 0) {
        struct relay_state again;
        must(relay_state_decode(buf_slice(&b), &again) == 0);
        must(again.epoch == s.epoch && again.tail_seq == s.tail_seq);
        must(again.track_count == s.track_count && again.in_force_count == s.in_force_count);
    }
    buf_fini(&b);
}

/* A cut that was read can be written, and is the same then. */
static void check_cut(struct slice payload)
{
    struct relay_cut cut, again;
    uint8_t room[RELAY_CUT_SIZE_MAX];
    if (relay_cut_decode(payload, &cut) < 0)
        return;
    struct wr w = wr_init(room, sizeof room);
    relay_cut_write(&w, &cut);
    must(!w.overflow && wr_len(&w) <= payload.len);
    must(relay_cut_decode(wr_slice(&w), &again) == 0);
    must(again.msn == cut.msn && again.part == cut.part && again.track_count == cut.track_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_state(slice_of(data, size));
    for (ssize_t n = 1; size > 0 && n > 0;) {
        struct relay_record rec;
        struct relay_end end;
        uint64_t seq;
        n = relay_record_read(data, size, &rec);
        must(n <= (ssize_t)size);
        if (n <= 0)
            break;
        must(rec.payload.len + RELAY_RECORD_HEADER_SIZE == (size_t)n);
        check_state(rec.payload);
        check_cut(rec.payload);
        relay_end_decode(rec.payload, &end);
        relay_gap_decode(rec.payload, &seq);
        relay_accepted_decode(rec.payload, &seq);
        data += n;
        size -= (size_t)n;
    }
    return 0;
}
