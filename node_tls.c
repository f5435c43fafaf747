/*
 * The certificate of the public ports.
 */
#include "core/clock.h"
#include "node_internal.h"

#include <inttypes.h>

#define HTTP_ALPN "\x02h2\x08http/1.1"

static void tell_expired(const struct node *n, struct tls_context *t)
{
    int64_t left_s = tls_ends_s(t) - clock_wall_us() / 1000000;
    if (left_s <= 0)
        log_warn(&n->log, "tls.expired days=%" PRId64, -left_s / 86400);
}

static int open_context(struct node *n, struct tls_context **out, const char *listen,
                        const char *alpn)
{
    const struct config *c = n->config;
    char error[TLS_ERROR_MAX];
    if (listen[0] == '\0')
        return 0;
    const struct tls_server_options o = {c->tls.certificate, c->tls.key, alpn};
    int err = tls_server_new(out, &o, error);
    if (err < 0) {
        log_error(&n->log, "tls.failed error=\"%s\"", error);
        atomic_store(&n->fatal, true);
    }
    return err;
}

int node_open_tls(struct node *n)
{
    int err = open_context(n, &n->http_tls, n->config->http.tls_listen, HTTP_ALPN);
    if (err == 0)
        err = open_context(n, &n->rtmp_tls, n->config->rtmp.tls_listen, NULL);
    struct tls_context *any = n->http_tls != NULL ? n->http_tls : n->rtmp_tls;
    if (err == 0 && any != NULL)
        tell_expired(n, any);
    return err;
}

void node_reload_tls(struct node *n, const struct config *next)
{
    struct tls_context *contexts[TLS_RELOAD_MAX];
    size_t count = 0;
    char error[TLS_ERROR_MAX];
    if (n->http_tls != NULL)
        contexts[count++] = n->http_tls;
    if (n->rtmp_tls != NULL)
        contexts[count++] = n->rtmp_tls;
    if (cluster_tls(n->cluster) != NULL)
        contexts[count++] = cluster_tls(n->cluster);
    if (count == 0)
        return;
    if (tls_reload(contexts, count, next->tls.certificate, next->tls.key, error) < 0) {
        log_error(&n->log, "tls.reload_failed error=\"%s\" help=\"the old certificate stays\"",
                  error);
        return;
    }
    tell_expired(n, contexts[0]);
    log_info(&n->log, "tls.reloaded certificate=%s", next->tls.certificate);
}
