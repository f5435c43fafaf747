/*
 * For machines that watch: health, readiness, metrics.  None of it looks at the directory: a probe
 * that did would take the whole cluster out of service with it.
 */
#include "admin/api_internal.h"

#include "base/obj.h"
#include "core/memory_guard.h"

#define METRICS_BYTES_MAX (256 * 1024) /* of the whole text */

static void respond_text(struct http_exchange *x, int status, const char *type, struct slice body)
{
    const struct http_header headers[] = {{"Content-Type", slice_text(type)},
                                          {"Cache-Control", slice_text("no-store")}};
    http_respond(x, status, headers, sizeof headers / sizeof headers[0], body);
}

void api_get_healthz(struct http_exchange *x, const struct http_request *req, void *arg)
{
    respond_text(x, 200, "text/plain", slice_text("ok\n"));
}

void api_get_readyz(struct http_exchange *x, const struct http_request *req, void *arg)
{
    const struct api *a = OBJ_CAST(struct api, arg, API_MAGIC);
    bool draining = a->o.is_draining(a->o.node);
    respond_text(x, draining ? 503 : 200, "text/plain",
                 slice_text(draining ? "draining\n" : "ok\n"));
}

static int print_metrics(const struct api *a, struct buf *out)
{
    const struct api_options *o = &a->o;
    const struct log_account *account = hub_account(o->hub);
    const struct metric_extra extra[] = {
        {"frames_alive", "Frames held by anybody", frames_alive()},
        {"frames_alive_bytes", "Bytes of their payloads", frames_alive_bytes()},
        {"log_memory_bytes", "Bytes counted against stream.memory_bytes",
         (int64_t)atomic_load_explicit(&account->bytes, memory_order_relaxed)},
        {"log_memory_max_bytes", "stream.memory_bytes", (int64_t)account->max},
        {"memory_max_bytes", "limits.memory_bytes", o->config->limits.memory_bytes},
        {"memory_level", "0: enough, 1: no new viewers, 2: no new streams, slow viewers go",
         memory_level(o->workers)},
        {"viewers", "Viewers of all kinds", o->viewers(o->node)},
        {"workers", "Worker threads", o->workers->count},
        {"draining", "1 while the node goes out of service", o->is_draining(o->node)},
    };
    struct metrics sum = {0};
    for (int i = 0; i < o->workers->count; i++)
        metrics_add(&sum, &o->workers->workers[i].metrics);
    return metrics_print(&sum, extra, sizeof extra / sizeof extra[0], out);
}

void api_get_metrics(struct http_exchange *x, const struct http_request *req, void *arg)
{
    const struct api *a = OBJ_CAST(struct api, arg, API_MAGIC);
    struct buf text;
    buf_init(&text, METRICS_BYTES_MAX);
    if (print_metrics(a, &text) == 0)
        respond_text(x, 200, "text/plain; version=0.0.4; charset=utf-8", buf_slice(&text));
    else
        http_respond_error(x, 500, "too_large", "the metrics do not fit");
    buf_fini(&text);
}
