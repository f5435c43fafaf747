#include "rtc/dtls_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <sys/time.h>

#define EXPORTER_LABEL "EXTRACTOR-dtls_srtp" /* RFC 5764 4.2 */

/* --- life --- */

struct dtls *dtls_new(const struct dtls_options *o)
{
    struct dtls *d = xcalloc(1, sizeof *d);
    must(o->fingerprint_count <= RTC_FINGERPRINTS);
    d->identity = dtls_identity_ref(o->identity);
    memcpy(d->fingerprints, o->fingerprints, o->fingerprint_count * sizeof *o->fingerprints);
    d->fingerprint_count = o->fingerprint_count;
    d->client = o->client;
    d->send = o->send;
    d->owner = o->owner;
    return d;
}

void dtls_free(struct dtls **dp)
{
    struct dtls *d = *dp;
    *dp = NULL;
    if (d == NULL)
        return;
    SSL_free(d->ssl);
    dtls_identity_unref(&d->identity);
    free(d);
}

static unsigned next_repeat_us(SSL *ssl, unsigned last_us)
{
    if (last_us == 0)
        return DTLS_FIRST_REPEAT_US;
    return last_us < DTLS_REPEAT_MAX_US / 2 ? 2 * last_us : DTLS_REPEAT_MAX_US;
}

static int begin(struct dtls *d)
{
    BIO *bio = BIO_new(d->identity->datagrams);
    d->ssl = SSL_new(d->client ? d->identity->client : d->identity->server);
    if (bio == NULL || d->ssl == NULL) {
        BIO_free(bio);
        return ERR_NOMEM;
    }
    BIO_set_data(bio, d);
    BIO_set_init(bio, 1);
    SSL_set_bio(d->ssl, bio, bio);
    SSL_set_app_data(d->ssl, d);
    SSL_set_mtu(d->ssl, DTLS_MTU);
    DTLS_set_timer_cb(d->ssl, next_repeat_us);
    if (d->client)
        SSL_set_connect_state(d->ssl);
    else
        SSL_set_accept_state(d->ssl);
    return 0;
}

/* --- the handshake, and what comes after --- */

/* What OpenSSL says was wrong, or 0 when it only wants more. */
static int judge(struct dtls *d, int result, const char **why)
{
    int code = SSL_get_error(d->ssl, result);
    if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE)
        return 0;
    if (code == SSL_ERROR_ZERO_RETURN) {
        *why = "close_notify";
        return ERR_CLOSED;
    }
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    *why = d->impostor ? "another certificate than announced" : text != NULL ? text : "no reason";
    ERR_clear_error();
    return d->impostor ? ERR_AUTH : ERR_TLS;
}

static int finish_handshake(struct dtls *d, const char **why)
{
    if (SSL_get_selected_srtp_profile(d->ssl) == NULL) {
        *why = "no use_srtp";
        return ERR_AUTH;
    }
    d->connected = true;
    return 0;
}

/* Alerts have their effect, data does not concern us. */
static int drop_data(struct dtls *d, const char **why)
{
    uint8_t sink[2048];
    int n;
    do {
        n = SSL_read(d->ssl, sink, sizeof sink);
    } while (n > 0);
    return judge(d, n, why);
}

static int proceed(struct dtls *d, const char **why)
{
    ERR_clear_error();
    if (!d->connected) {
        int n = SSL_do_handshake(d->ssl);
        int err = n == 1 ? finish_handshake(d, why) : judge(d, n, why);
        if (err < 0 || n != 1)
            return err;
    }
    return drop_data(d, why);
}

int dtls_start(struct dtls *d, const char **why)
{
    must(d->client && d->ssl == NULL);
    *why = "out of memory";
    return begin(d) < 0 ? ERR_TLS : proceed(d, why);
}

int dtls_receive(struct dtls *d, struct slice datagram, const char **why)
{
    if (d->released || (d->client && d->ssl == NULL))
        return 0;
    *why = "out of memory";
    if (d->ssl == NULL && begin(d) < 0)
        return ERR_TLS;
    d->in = datagram;
    int err = proceed(d, why);
    d->in = (struct slice){0};
    return err;
}

int dtls_on_time(struct dtls *d, const char **why)
{
    if (d->ssl == NULL)
        return 0;
    ERR_clear_error();
    return DTLSv1_handle_timeout(d->ssl) < 0 ? judge(d, -1, why) : 0;
}

int64_t dtls_next_us(const struct dtls *d)
{
    struct timeval left;
    if (d->ssl == NULL || DTLSv1_get_timeout(d->ssl, &left) != 1)
        return INT64_MAX;
    return (int64_t)left.tv_sec * 1000000 + left.tv_usec;
}

/* --- what comes of it --- */

bool dtls_is_client(const struct dtls *d)
{
    return d->client;
}

const char *dtls_fingerprint(const struct dtls *d)
{
    return d->identity->fingerprint;
}

bool dtls_is_connected(const struct dtls *d)
{
    return d->connected;
}

static const uint8_t *take(void *dst, const uint8_t *src, size_t len)
{
    memcpy(dst, src, len);
    return src + len;
}

void dtls_keys(const struct dtls *d, struct srtp_keys *out)
{
    uint8_t block[2 * (SRTP_KEY_LEN + SRTP_SALT_MAX)];
    must(d->connected && d->ssl != NULL);
    unsigned long id = SSL_get_selected_srtp_profile(d->ssl)->id;
    bool gcm = id == DTLS_SRTP_AEAD_AES_128_GCM;
    *out = (struct srtp_keys){.profile = gcm ? SRTP_AEAD_AES_128_GCM : SRTP_AES128_CM_HMAC_SHA1_80};
    size_t salt = srtp_salt_len(out->profile);
    must(SSL_export_keying_material(d->ssl, block, 2 * (SRTP_KEY_LEN + salt), EXPORTER_LABEL,
                                    sizeof EXPORTER_LABEL - 1, NULL, 0, 0) == 1);
    struct srtp_secret *client = d->client ? &out->local : &out->remote;
    struct srtp_secret *server = d->client ? &out->remote : &out->local;
    const uint8_t *p = take(client->key, block, SRTP_KEY_LEN);
    p = take(server->key, p, SRTP_KEY_LEN);
    p = take(client->salt, p, salt);
    take(server->salt, p, salt);
    OPENSSL_cleanse(block, sizeof block);
}

void dtls_close(struct dtls *d)
{
    ERR_clear_error();
    if (d->ssl != NULL && d->connected)
        SSL_shutdown(d->ssl);
    ERR_clear_error();
}

size_t dtls_release(struct dtls *d, uint8_t goodbye[DTLS_GOODBYE_MAX])
{
    d->goodbye = goodbye;
    dtls_close(d);
    d->goodbye = NULL;
    d->released = true;
    SSL_free(d->ssl);
    d->ssl = NULL;
    return d->goodbye_len;
}
