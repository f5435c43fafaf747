/*
 * Bytes of the owner -> record -> socket, or `sealed` when it is full; socket -> record -> bytes.
 */
#include "net/io_tls.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/must.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

/* Plain bytes in one record (RFC 8446 5.1). */
#define RECORD_MAX ((size_t)16 * 1024)
/* Bytes that wait for the socket: one record, or one flight of a handshake with a long chain of
 * certificates. */
#define SEALED_MAX (128 * 1024)
/* Bytes that may have come before TLS was started. */
#define EARLY_MAX (64 * 1024)

/* The socket. */

static int bio_read(BIO *bio, char *dst, int room)
{
    struct io *io = BIO_get_data(bio);
    struct io_tls *t = io->tls;
    struct slice early = buf_slice(&t->early);
    BIO_clear_retry_flags(bio);
    if (early.p != NULL) {
        size_t n = early.len < (size_t)room ? early.len : (size_t)room;
        memcpy(dst, early.p, n);
        buf_consume(&t->early, n);
        return (int)n;
    }
    ssize_t n = recv(io->fd, dst, (size_t)room, 0);
    if (n > 0) {
        io_got_bytes(io, (size_t)n);
        return (int)n;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_read(bio);
    else
        t->socket_error = n == 0 ? ERR_CLOSED : io_err_of_errno(errno);
    return n == 0 ? 0 : -1;
}

static int bio_write(BIO *bio, const char *src, int len)
{
    struct io *io = BIO_get_data(bio);
    struct io_tls *t = io->tls;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)src, .iov_len = (size_t)len};
    bool direct = buf_len(&t->sealed) == 0 && !io->blocked;
    ssize_t n = direct ? io_send_some(io, &iov, 1) : 0;
    if (n == len)
        return len;
    int err = n < 0 ? (int)n : buf_append(&t->sealed, src + n, (size_t)(len - n));
    if (err < 0) {
        t->socket_error = err;
        return -1;
    }
    io_block(io);
    return len;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *io_tls_bio_method_new(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "io");
    must(m != NULL && BIO_meth_set_read(m, bio_read) == 1 &&
         BIO_meth_set_write(m, bio_write) == 1 && BIO_meth_set_ctrl(m, bio_ctrl) == 1);
    return m;
}

/* Life. */

void io_start_tls(struct io *io, struct tls_context *context, const char *server_name)
{
    must(io->tls == NULL && !(io->outgoing && server_name == NULL));
    if (io->fd < 0)
        return;
    struct io_tls *t = xcalloc(1, sizeof *t);
    t->context = context;
    t->handshaking = true;
    t->begun = !io->connecting;
    buf_init(&t->sealed, SEALED_MAX);
    buf_init(&t->early, EARLY_MAX);
    struct slice in = io_data(io);
    int err = buf_append(&t->early, in.p, in.len);
    io_consume(io, in.len);
    t->bio = BIO_new(tls_bio_method(context));
    must(t->bio != NULL);
    BIO_set_data(t->bio, io);
    BIO_set_init(t->bio, 1);
    t->ssl = tls_session(context, t->bio, !io->outgoing, server_name);
    io->tls = t;
    io->connecting = true;
    if (err < 0 || t->ssl == NULL)
        io_fail_later(io, err < 0 ? err : ERR_NOMEM);
    else if (t->begun)
        task_defer(io->worker, &io->turn);
}

void io_tls_close(struct io *io)
{
    struct io_tls *t = io->tls;
    if (t == NULL || t->ssl == NULL)
        return;
    if (io->error == 0 && !io->blocked && buf_len(&io->out) == 0)
        io_tls_say_end(io);
    SSL_free(t->ssl);
    t->ssl = NULL;
    t->more = t->awaits_peer = false;
    buf_fini(&t->sealed);
    buf_fini(&t->early);
}

void io_tls_free(struct io_tls **tp)
{
    free(*tp);
    *tp = NULL;
}

/* What a failed call means: 0 when it only waits for the peer's next bytes. */
static int failure(struct io *io, int result)
{
    struct io_tls *t = io->tls;
    switch (SSL_get_error(t->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        t->ended = true;
        return 0;
    default:
        break;
    }
    t->error = t->socket_error;
    if (t->error == 0) {
        t->error = ERR_TLS;
        tls_explain(t->context, t->ssl, t->text);
    } else if (t->handshaking) {
        snprintf(t->text, sizeof t->text, "%s during the TLS handshake", err_text(t->error));
    }
    return t->error;
}

/* The handshake. */

/* TLS does not answer what is none of it; a fatal alert tells a plain peer why it is let go. */
static void tell_foreign(struct io *io)
{
    static const uint8_t protocol_version[] = {21, 3, 1, 0, 2, 2, 70}; /* RFC 8446 6 */
    struct iovec iov = {.iov_base = (void *)(uintptr_t)protocol_version,
                        .iov_len = sizeof protocol_version};
    if (!io->outgoing && !io->blocked)
        (void)io_send_some(io, &iov, 1);
}

static int handshake_failed(struct io *io, int err)
{
    METRIC_INC(io->worker->metrics.tls_failed_total);
    if (err == ERR_TLS && tls_is_foreign())
        tell_foreign(io);
    return err;
}

int io_tls_handshake(struct io *io)
{
    struct io_tls *t = io->tls;
    ERR_clear_error();
    int n = SSL_do_handshake(t->ssl);
    if (n != 1) {
        int err = failure(io, n);
        if (err == 0 && t->ended)
            err = t->error = ERR_CLOSED;
        return err < 0 ? handshake_failed(io, err) : 0;
    }
    if (!tls_is_proven(t->context, t->ssl)) {
        snprintf(t->text, sizeof t->text, "the peer has not shown who it is");
        return handshake_failed(io, t->error = ERR_TLS);
    }
    t->handshaking = false;
    t->more = true; /* with the handshake's last bytes more may have been read */
    METRIC_INC(io->worker->metrics.tls_handshakes_total);
    return 1;
}

/* Bytes. */

ssize_t io_tls_receive(struct io *io, uint8_t *dst, size_t room, bool *eof)
{
    struct io_tls *t = io->tls;
    size_t total = 0, n;
    while (total < room && t->error == 0 && !t->ended) {
        ERR_clear_error();
        int result = SSL_read_ex(t->ssl, dst + total, room - total, &n);
        if (result == 1) {
            total += n;
            continue;
        }
        t->more = false;
        if (failure(io, result) == 0 && !t->ended)
            return (ssize_t)total;
    }
    /* What has ended it is told once the bytes before it have been. */
    t->more = total > 0;
    *eof = total == 0 && t->ended;
    return total > 0 || t->ended ? (ssize_t)total : t->error;
}

/* Bytes from iov for one record: where they lie, or gathered in `record`. */
static struct slice next_record(const struct iovec *iov, int count, size_t offset, uint8_t *record)
{
    size_t left = iov[0].iov_len - offset, len = 0;
    const uint8_t *p = (const uint8_t *)iov[0].iov_base + offset;
    if (left >= RECORD_MAX || count == 1)
        return slice_of(p, left < RECORD_MAX ? left : RECORD_MAX);
    for (int i = 0; i < count && len < RECORD_MAX; i++, offset = 0) {
        size_t n = iov[i].iov_len - offset;
        if (n > RECORD_MAX - len)
            n = RECORD_MAX - len;
        memcpy(record + len, (const uint8_t *)iov[i].iov_base + offset, n);
        len += n;
    }
    return slice_of(record, len);
}

/* One record: the bytes taken, 0 when the peer's bytes are needed first, or an error. */
static ssize_t seal(struct io *io, struct slice bytes)
{
    size_t n = 0;
    ERR_clear_error();
    int result = SSL_write_ex(io->tls->ssl, bytes.p, bytes.len, &n);
    if (result == 1)
        return (ssize_t)n;
    int err = failure(io, result);
    if (err == 0)
        io_await_peer(io);
    return err;
}

ssize_t io_tls_writev(struct io *io, const struct iovec *iov, int count)
{
    LEFT_AS_IT_IS uint8_t record[RECORD_MAX];
    size_t total = 0, offset = 0;
    if (io->tls->error != 0)
        return io->tls->error;
    while (count > 0 && !io->blocked) {
        if (offset == iov->iov_len) {
            iov++, count--, offset = 0;
            continue;
        }
        ssize_t n = seal(io, next_record(iov, count, offset, record));
        if (n < 0)
            return n;
        total += (size_t)n;
        for (offset += (size_t)n; count > 1 && offset >= iov->iov_len; iov++, count--)
            offset -= iov->iov_len;
    }
    return (ssize_t)total;
}

int io_tls_flush(struct io *io)
{
    struct io_tls *t = io->tls;
    while (buf_len(&t->sealed) > 0 && !io->blocked) {
        struct slice s = buf_slice(&t->sealed);
        struct iovec iov = {.iov_base = (void *)(uintptr_t)s.p, .iov_len = s.len};
        ssize_t n = io_send_some(io, &iov, 1);
        if (n < 0)
            return (int)n;
        buf_consume(&t->sealed, (size_t)n);
        if ((size_t)n < s.len)
            io_block(io);
    }
    return 0;
}

void io_tls_say_end(struct io *io)
{
    struct io_tls *t = io->tls;
    if (t->handshaking || t->error != 0 || (SSL_get_shutdown(t->ssl) & SSL_SENT_SHUTDOWN) != 0)
        return;
    ERR_clear_error();
    (void)SSL_shutdown(t->ssl); /* a connection that cannot take it ends all the same */
}
