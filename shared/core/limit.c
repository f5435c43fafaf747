#include "core/limit.h"

#include "core/clock.h"
#include "core/config.h"
#include "core/worker.h"

const char *limit_setting(enum limit which)
{
    static const char *const settings[] = {
#define X(name, setting) setting,
        LIMITS(X)
#undef X
    };
    return settings[which];
}

void limit_reached(struct worker *w, enum limit which, const char *who)
{
    METRIC_INC(w->metrics.limited[which]);
    if (log_limit_pass(&w->limit_lines[which], clock_us(), &w->log))
        log_warn(&w->log, "limit.reached setting=%s who=%s", limit_setting(which), who);
    else
        METRIC_INC(w->metrics.log_lines_suppressed_total);
}

int64_t limit_handshake_ms(const struct worker *w)
{
    return w->config != NULL && w->config->limits.handshake_ms > 0 ? w->config->limits.handshake_ms
                                                                   : LIMIT_HANDSHAKE_MS;
}

int64_t limit_request_ms(const struct worker *w)
{
    return w->config != NULL && w->config->limits.request_ms > 0 ? w->config->limits.request_ms
                                                                 : LIMIT_REQUEST_MS;
}

int64_t limit_unaccepted_bytes(const struct worker *w)
{
    return w->config != NULL && w->config->limits.unaccepted_bytes > 0
               ? w->config->limits.unaccepted_bytes
               : LIMIT_UNACCEPTED_BYTES;
}
