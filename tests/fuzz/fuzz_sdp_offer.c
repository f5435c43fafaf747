#include "base/must.h"
#include "proto/sdp_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answer(const struct sdp_offer *o, const struct sdp_wish *wish)
{
    static const struct sdp_local local = {.ufrag = "u",
                                           .pwd = "p",
                                           .fingerprint = "sha-256 AA",
                                           .candidates = {"1 1 udp 1 192.0.2.1 9 typ host"},
                                           .candidate_count = 1};
    static const struct sdp_names names = {.cname = "c", .stream_id = "s"};
    static char text[SDP_ANSWER_MAX];
    struct sdp_session s;
    struct sdp_error error;
    if (sdp_negotiate(o, wish, &s, &error) < 0) {
        must(error.why != NULL);
        return;
    }
    struct wr w = wr_init(text, sizeof text);
    sdp_answer_write(&w, o, &s, &local, &names);
    must(!w.overflow);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sdp_offer o;
    struct sdp_error error;
    struct sdp_wish wish;
    int err = sdp_offer_read(slice_of(data, size), &o, &error);
    must(err <= 0 && (err == 0) == (error.why == NULL));
    if (err < 0)
        return 0;
    sdp_wish_publish(&wish, SDP_VP9);
    answer(&o, &wish);
    wish.receive = false;
    answer(&o, &wish);
    return 0;
}
