#include "link.h"

#include "base/err.h"
#include "base/must.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define DISCARD_BYTES (4 * 1024 * 1024) /* at once, in the kernel */

SSL_CTX *link_tls_new(bool insecure)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    must(tls != NULL && SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) == 1);
    /* Ends without a close_notify are told apart by who waits for something. */
    SSL_CTX_set_options(tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(tls, insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (!insecure)
        SSL_CTX_set_default_verify_paths(tls);
    return tls;
}

void link_init(struct link *l)
{
    *l = (struct link){.fd = -1};
}

void link_close(struct link *l)
{
    SSL_free(l->ssl);
    l->ssl = NULL;
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    l->connecting = false;
}

static int failed(struct link *l, int error)
{
    l->error = error;
    return ERR_IO;
}

/* The certificate has to name the host that was asked for. */
static bool begin_tls(struct link *l, const struct target *to, SSL_CTX *tls)
{
    uint8_t address[sizeof(struct in6_addr)];
    l->ssl = SSL_new(tls);
    if (l->ssl == NULL || SSL_set_fd(l->ssl, l->fd) != 1)
        return false;
    SSL_set_connect_state(l->ssl);
    if (inet_pton(AF_INET, to->host, address) == 1 || inet_pton(AF_INET6, to->host, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(l->ssl), to->host) == 1;
    void *sni = (void *)(uintptr_t)to->host;
    return SSL_set1_host(l->ssl, to->host) == 1 &&
           SSL_ctrl(l->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, sni) == 1;
}

int link_open(struct link *l, int epoll, void *owner, const struct target *to, SSL_CTX *tls)
{
    link_close(l);
    *l =
        (struct link){.fd = target_connect(to), .epoll = epoll, .owner = owner, .connecting = true};
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = owner};
    if (l->fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, l->fd, &e) < 0)
        return failed(l, errno);
    return !to->tls || begin_tls(l, to, tls) ? 0 : failed(l, ENOMEM);
}

void link_move(struct link *l, int epoll)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = l->owner};
    must(epoll_ctl(l->epoll, EPOLL_CTL_DEL, l->fd, NULL) == 0 &&
         epoll_ctl(epoll, EPOLL_CTL_ADD, l->fd, &e) == 0);
    l->epoll = epoll;
}

static int tls_failed(struct link *l)
{
    long verified = SSL_get_verify_result(l->ssl);
    const char *text = verified != X509_V_OK ? X509_verify_cert_error_string(verified)
                                             : ERR_reason_error_string(ERR_peek_error());
    snprintf(l->why, sizeof l->why, "TLS: %s", text != NULL ? text : "the server hung up");
    ERR_clear_error();
    return failed(l, EPROTO);
}

static bool would_block(const struct link *l, int result)
{
    int error = SSL_get_error(l->ssl, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

static int shake_hands(struct link *l)
{
    int done = SSL_do_handshake(l->ssl);
    if (done != 1)
        return would_block(l, done) ? LINK_WAIT : tls_failed(l);
    l->connecting = false;
    return LINK_READY;
}

int link_event(struct link *l)
{
    int code = 0;
    socklen_t len = sizeof code;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = l->owner};
    if (!l->connecting)
        return LINK_DATA;
    if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0 || code != 0 ||
        epoll_ctl(l->epoll, EPOLL_CTL_MOD, l->fd, &e) < 0)
        return failed(l, code != 0 ? code : errno);
    if (l->ssl != NULL)
        return shake_hands(l);
    l->connecting = false;
    return LINK_READY;
}

static ssize_t plain_result(struct link *l, ssize_t n)
{
    if (n > 0)
        return n;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return n == 0 ? ERR_CLOSED : failed(l, errno);
}

ssize_t link_recv(struct link *l, uint8_t *to, size_t room)
{
    if (l->ssl == NULL)
        return plain_result(l, recv(l->fd, to, room, MSG_DONTWAIT));
    size_t total = 0, n;
    int result = 1;
    while (total < room && (result = SSL_read_ex(l->ssl, to + total, room - total, &n)) == 1)
        total += n;
    if (total > 0 || would_block(l, result))
        return (ssize_t)total;
    return SSL_get_error(l->ssl, result) == SSL_ERROR_ZERO_RETURN ? ERR_CLOSED : tls_failed(l);
}

bool link_has_more(const struct link *l)
{
    return l->ssl != NULL && SSL_has_pending(l->ssl);
}

ssize_t link_discard(struct link *l, uint8_t *scratch, size_t room)
{
    if (l->ssl == NULL)
        return plain_result(l, recv(l->fd, NULL, DISCARD_BYTES, MSG_TRUNC | MSG_DONTWAIT));
    return link_recv(l, scratch, room);
}

int link_send(struct link *l, struct slice bytes)
{
    size_t n = 0;
    if (bytes.len == 0)
        return 0;
    if (l->ssl != NULL)
        return SSL_write_ex(l->ssl, bytes.p, bytes.len, &n) == 1 ? 0 : tls_failed(l);
    return send(l->fd, bytes.p, bytes.len, MSG_NOSIGNAL) == (ssize_t)bytes.len ? 0
                                                                               : failed(l, errno);
}

const char *link_why(const struct link *l)
{
    return l->why[0] != '\0' ? l->why : strerror(l->error);
}
