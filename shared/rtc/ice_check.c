#include "rtc/ice_check.h"

#include "base/bytes.h"
#include "base/err.h"

#define STUN_HEADER    20
#define STUN_COOKIE    0x2112a442U
#define INTEGRITY_SIZE 20
#define CRC_SIZE       4
#define PRIORITY_SIZE  4

/* What has been seen of the attributes. */
struct seen {
    struct slice username;
    bool has_username, priority, integrity, fingerprint, nominates;
};

static bool note(struct seen *s, unsigned type, struct slice value)
{
    /* FINGERPRINT is the last one, and only it may follow MESSAGE-INTEGRITY (RFC 8489 14.5): what
     * came after would not be signed. */
    if (s->fingerprint || (s->integrity && type != STUN_ATTRIBUTE_FINGERPRINT))
        return false;
    switch (type) {
    case STUN_ATTRIBUTE_USERNAME:
        if (s->has_username)
            return false;
        s->has_username = true;
        s->username = value;
        return true;
    case STUN_ATTRIBUTE_PRIORITY:
        s->priority = true;
        return value.len == PRIORITY_SIZE;
    case STUN_ATTRIBUTE_USE_CANDIDATE:
        s->nominates = true;
        return value.len == 0;
    case STUN_ATTRIBUTE_MESSAGE_INTEGRITY:
        /* The library compares 20 bytes, whatever the length says. */
        s->integrity = true;
        return value.len == INTEGRITY_SIZE;
    case STUN_ATTRIBUTE_FINGERPRINT:
        s->fingerprint = true;
        return value.len == CRC_SIZE;
    }
    return true;
}

static bool read_attributes(struct rd *r, struct seen *s)
{
    while (rd_left(r) > 0) {
        unsigned type = rd_u16(r);
        size_t len = rd_u16(r);
        struct slice value = rd_slice_of(r, len);
        rd_take(r, -len & 3);
        if (r->underrun || !note(s, type, value))
            return false;
    }
    return s->has_username && s->priority && s->integrity && s->fingerprint;
}

int ice_check_read(struct slice datagram, struct ice_check *out)
{
    struct rd r = rd_slice(datagram);
    struct seen seen = {0};
    unsigned type = rd_u16(&r);
    size_t len = rd_u16(&r);
    uint32_t cookie = rd_u32(&r);
    const uint8_t *transaction = rd_take(&r, ICE_TRANSACTION_SIZE);
    if (r.underrun || type != STUN_BINDING || cookie != STUN_COOKIE || len != rd_left(&r) ||
        !read_attributes(&r, &seen))
        return ERR_PROTOCOL;
    bool colon;
    struct ice_check c = {.datagram = datagram, .transaction = transaction};
    c.local_ufrag = slice_cut(seen.username, ':', &c.remote_ufrag, &colon);
    c.nominates = seen.nominates;
    if (!colon)
        return ERR_PROTOCOL;
    *out = c;
    return 0;
}

void ice_check_agent_init(StunAgent *agent)
{
    static const uint16_t known[] = {
        STUN_ATTRIBUTE_USERNAME,      STUN_ATTRIBUTE_MESSAGE_INTEGRITY,  STUN_ATTRIBUTE_PRIORITY,
        STUN_ATTRIBUTE_USE_CANDIDATE, STUN_ATTRIBUTE_XOR_MAPPED_ADDRESS, 0,
    };
    /* The library writes on standard error when something is odd. */
    stun_debug_disable();
    stun_agent_init(agent, (uint16_t *)(uintptr_t)known, STUN_COMPATIBILITY_RFC5389,
                    STUN_AGENT_USAGE_SHORT_TERM_CREDENTIALS | STUN_AGENT_USAGE_USE_FINGERPRINT);
}

/* Called by the library for the password of a user name that has been found already.  An empty one
 * would make it skip the comparison. */
static bool give_password(StunAgent *agent, StunMessage *message, uint8_t *username,
                          uint16_t username_len, uint8_t **password, size_t *password_len,
                          void *pwd)
{
    *password = pwd;
    *password_len = strlen(pwd);
    return *password_len > 0;
}

/* A lite agent is controlled, always; a remote that wants to be so, too, has to change its mind
 * (RFC 8445 7.3.1.1). */
static bool begin_answer(StunAgent *agent, const StunMessage *request,
                         const struct net_address *from, StunMessage *answer, struct ice_reply *out)
{
    if (!out->accepted)
        return stun_agent_init_error(agent, answer, out->bytes, sizeof out->bytes, request,
                                     STUN_ERROR_ROLE_CONFLICT);
    return stun_agent_init_response(agent, answer, out->bytes, sizeof out->bytes, request) &&
           stun_message_append_xor_addr(answer, STUN_ATTRIBUTE_XOR_MAPPED_ADDRESS, &from->sa,
                                        from->len) == STUN_MESSAGE_RETURN_SUCCESS;
}

bool ice_check_answer(StunAgent *agent, const struct ice_check *c, const char *pwd,
                      const struct net_address *from, struct ice_reply *out)
{
    StunMessage request, answer;
    out->len = 0;
    out->accepted = false;
    if (stun_agent_validate(agent, &request, c->datagram.p, c->datagram.len, give_password,
                            (void *)(uintptr_t)pwd) != STUN_VALIDATION_SUCCESS)
        return false;
    out->accepted = !stun_message_has_attribute(&request, STUN_ATTRIBUTE_ICE_CONTROLLED);
    if (begin_answer(agent, &request, from, &answer, out))
        out->len = stun_agent_finish_message(agent, &answer, (const uint8_t *)pwd, strlen(pwd));
    return out->len > 0;
}
