/*
 * Fragments of a PATCH (RFC 8840, 9): credentials and candidates, of the session or of m-lines, in
 * any order; with one bundle all of them speak of the same transport.
 */
#include "base/err.h"
#include "proto/sdp_internal.h"

/* The same again is nothing new; something else would be another transport. */
static int keep_one(struct sdp_reader *r, struct slice *kept, struct slice value)
{
    if (kept->len > 0 && !slice_eq(*kept, value))
        return sdp_refuse(r, ERR_PROTOCOL, "two different a=ice-ufrag or a=ice-pwd");
    *kept = value;
    return 0;
}

static int read_attribute(struct sdp_reader *r, struct slice value, struct sdp_fragment *f)
{
    struct slice argument, name = slice_cut(value, ':', &argument, NULL), credential;
    int err = 0;
    if (slice_is(name, "ice-ufrag")) {
        err = sdp_read_ufrag(r, argument, &credential);
        return err < 0 ? err : keep_one(r, &f->ufrag, credential);
    }
    if (slice_is(name, "ice-pwd")) {
        err = sdp_read_pwd(r, argument, &credential);
        return err < 0 ? err : keep_one(r, &f->pwd, credential);
    }
    if (slice_is(name, "candidate"))
        f->candidates++;
    if (slice_is(name, "end-of-candidates"))
        f->end_of_candidates = true;
    return 0;
}

int sdp_fragment_read(struct slice text, struct sdp_fragment *out, struct sdp_error *error)
{
    struct sdp_reader r = {.rest = text, .why = ""};
    char type = '\0';
    struct slice value = {0};
    *out = (struct sdp_fragment){0};
    int n = text.len > SDP_BYTES_MAX ? sdp_refuse(&r, ERR_TOO_LARGE, "larger than 64 KiB") : 1;
    while (n > 0 && (n = sdp_line_next(&r, &type, &value)) > 0) {
        int err = type == 'a' ? read_attribute(&r, value, out) : 0;
        if (err < 0)
            n = err;
    }
    if (n == 0 && (out->ufrag.len == 0) != (out->pwd.len == 0)) {
        r.line = 0;
        n = sdp_refuse(&r, ERR_PROTOCOL, "a=ice-ufrag and a=ice-pwd come together");
    }
    *error = n < 0 ? (struct sdp_error){r.line, r.why} : (struct sdp_error){0};
    return n;
}
