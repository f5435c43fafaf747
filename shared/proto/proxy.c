#include "proto/proxy.h"

#include "base/bytes.h"
#include "base/err.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static const uint8_t v1_signature[] = {'P', 'R', 'O', 'X', 'Y', ' '};
static const uint8_t v2_signature[] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                       '\n', 'Q',  'U',  'I',  'T', '\n'};

#define V1_ADDRESS_MAX INET6_ADDRSTRLEN
#define V2_LOCAL       0x20 /* version 2, command LOCAL */
#define V2_PROXY       0x21

/* Family and transport of version 2 and what they mean for us. */
static const struct v2_family {
    uint8_t number;
    int family;       /* AF_UNSPEC: valid, but not an address of ours */
    size_t addresses; /* bytes of both addresses and ports */
    bool datagram;
} v2_families[] = {
    {0x00, AF_UNSPEC, 0, false},  {0x11, AF_INET, 12, false}, {0x12, AF_INET, 12, true},
    {0x21, AF_INET6, 36, false},  {0x22, AF_INET6, 36, true}, {0x31, AF_UNSPEC, 216, false},
    {0x32, AF_UNSPEC, 216, true},
};

static void set_source(struct proxy_header *h, int family, const void *address, uint16_t port)
{
    if (family == AF_INET) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
        memcpy(&in.sin_addr, address, sizeof in.sin_addr);
        memcpy(&h->source, &in, sizeof in);
        h->source_len = sizeof in;
    } else {
        struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
        memcpy(&in.sin6_addr, address, sizeof in.sin6_addr);
        memcpy(&h->source, &in, sizeof in);
        h->source_len = sizeof in;
    }
    h->has_source = true;
}

/* An address as text; `out` has room for either family. */
static bool read_address(struct slice text, int family, struct in6_addr *out)
{
    char terminated[V1_ADDRESS_MAX];
    return slice_copy(text, terminated, sizeof terminated) && strlen(terminated) == text.len &&
           inet_pton(family, terminated, out) == 1;
}

static bool read_port(struct slice text, uint16_t *out)
{
    uint64_t port = 0;
    if (text.len > 5 || (text.len > 1 && text.p[0] == '0') ||
        slice_u64(text, UINT16_MAX, &port) < 0)
        return false;
    *out = (uint16_t)port;
    return true;
}

/* What follows "PROXY ", without CR LF: family, two addresses, two ports, one space between them.
 */
static int read_v1_fields(struct slice line, struct proxy_header *h)
{
    enum { FAMILY, SOURCE, DESTINATION, SOURCE_PORT, DESTINATION_PORT, FIELDS };
    struct slice fields[FIELDS];
    bool more = true;
    for (size_t i = 0; i < FIELDS; i++) {
        struct slice rest;
        fields[i] = slice_cut(line, ' ', &rest, &more);
        if (i == FAMILY && slice_is(fields[i], "UNKNOWN"))
            return 0;
        if (more != (i + 1 < FIELDS))
            return ERR_PROTOCOL;
        line = rest;
    }
    bool v4 = slice_is(fields[FAMILY], "TCP4");
    if (!v4 && !slice_is(fields[FAMILY], "TCP6"))
        return ERR_PROTOCOL;
    int family = v4 ? AF_INET : AF_INET6;
    struct in6_addr source, destination;
    uint16_t source_port, destination_port;
    if (!read_address(fields[SOURCE], family, &source) ||
        !read_address(fields[DESTINATION], family, &destination) ||
        !read_port(fields[SOURCE_PORT], &source_port) ||
        !read_port(fields[DESTINATION_PORT], &destination_port))
        return ERR_PROTOCOL;
    set_source(h, family, &source, source_port);
    return 0;
}

static ssize_t read_v1(const uint8_t *src, size_t len, struct proxy_header *out)
{
    size_t seen = len < PROXY_V1_MAX ? len : PROXY_V1_MAX;
    const uint8_t *lf = memchr(src, '\n', seen);
    if (lf == NULL)
        return seen == PROXY_V1_MAX ? ERR_PROTOCOL : 0;
    size_t n = (size_t)(lf - src) + 1;
    if (lf[-1] != '\r')
        return ERR_PROTOCOL;
    struct proxy_header h = {0};
    size_t skip = sizeof v1_signature;
    if (n < skip + 2 || memchr(src, '\r', n - 2) != NULL)
        return ERR_PROTOCOL;
    int err = read_v1_fields(slice_of(src + skip, n - 2 - skip), &h);
    if (err < 0)
        return err;
    *out = h;
    return (ssize_t)n;
}

static const struct v2_family *find_family(uint8_t number)
{
    for (size_t i = 0; i < sizeof v2_families / sizeof v2_families[0]; i++) {
        if (v2_families[i].number == number)
            return &v2_families[i];
    }
    return NULL;
}

/* The TLVs after the addresses end where the header ends. */
static int check_tlvs(struct slice tlvs)
{
    struct rd r = rd_slice(tlvs);
    while (rd_left(&r) > 0) {
        rd_u8(&r);
        rd_take(&r, rd_u16(&r));
    }
    return r.underrun ? ERR_PROTOCOL : 0;
}

/* `rest` is what follows the fixed part of a PROXY command. */
static int read_v2_addresses(uint8_t number, struct slice rest, struct proxy_header *h)
{
    const struct v2_family *f = find_family(number);
    if (f == NULL)
        return ERR_PROTOCOL;
    if (f->datagram)
        return ERR_UNSUPPORTED;
    if (rest.len < f->addresses)
        return ERR_PROTOCOL;
    if (number == 0)
        return 0; /* UNSPEC: whatever follows is to be ignored */
    struct rd r = rd_slice(rest);
    if (f->family != AF_UNSPEC) {
        size_t size = f->family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
        const uint8_t *source = rd_take(&r, size);
        rd_take(&r, size);
        set_source(h, f->family, source, rd_u16(&r));
    }
    return check_tlvs(slice_of(rest.p + f->addresses, rest.len - f->addresses));
}

static ssize_t read_v2(const uint8_t *src, size_t len, struct proxy_header *out)
{
    struct rd r = rd_init(src, len);
    rd_take(&r, sizeof v2_signature);
    uint8_t command = rd_u8(&r), family = rd_u8(&r);
    uint16_t length = rd_u16(&r);
    if (r.underrun)
        return 0;
    if (command != V2_LOCAL && command != V2_PROXY)
        return ERR_PROTOCOL;
    if (length > PROXY_V2_LENGTH_MAX)
        return ERR_TOO_LARGE;
    struct slice rest = rd_slice_of(&r, length);
    if (r.underrun)
        return 0;
    struct proxy_header h = {0};
    int err = command == V2_PROXY ? read_v2_addresses(family, rest, &h) : 0;
    if (err < 0)
        return err;
    *out = h;
    return PROXY_V2_HEADER_SIZE + (ssize_t)length;
}

/* As far as src goes it begins with the signature. */
static bool has_signature(const uint8_t *src, size_t len, const uint8_t *signature, size_t size)
{
    return memcmp(src, signature, len < size ? len : size) == 0;
}

ssize_t proxy_header_read(const uint8_t *src, size_t len, struct proxy_header *out)
{
    if (len == 0)
        return 0;
    if (has_signature(src, len, v1_signature, sizeof v1_signature))
        return read_v1(src, len, out);
    if (has_signature(src, len, v2_signature, sizeof v2_signature))
        return read_v2(src, len, out);
    return ERR_PROTOCOL;
}
