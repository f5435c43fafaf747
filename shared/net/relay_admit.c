#include "core/metrics.h"
#include "net/relay_sign.h"

static const struct {
    int status;
    const char *code, *message;
} refusals[] = {
    [RELAY_BAD_SIGNATURE] = {403, "bad_signature", "the signature is not valid"},
    [RELAY_REPLAY] = {403, "replay", "the request was seen before"},
    [RELAY_SKEWED] = {401, "clock", "the clocks are too far apart"},
    [RELAY_NOT_FOR_US] = {403, "not_for_us", "the request is for another node"},
    [RELAY_MISSING] = {401, "unsigned", "requests between nodes are signed"},
};

bool relay_admit(struct relay_guard *g, const struct relay_identity *self, struct http_exchange *x,
                 const struct http_request *req, int64_t wall_ms, struct relay_sender *sender)
{
    enum relay_verdict v = relay_verify(g, self, req, wall_ms, sender);
    if (v == RELAY_OK)
        return true;
    METRIC_INC(http_exchange_worker(x)->metrics.relay_auth_failed_total);
    char text[RELAY_AUTH_TEXT_MAX] = "";
    if (v == RELAY_SKEWED)
        relay_time_text(self, req, wall_ms, text);
    const struct http_header time = {RELAY_TIME_HEADER, slice_text(text)};
    http_respond_error_with(x, refusals[v].status, refusals[v].code, refusals[v].message, &time,
                            v == RELAY_SKEWED ? 1 : 0);
    return false;
}
