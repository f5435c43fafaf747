#include "proto/http1.h"

#include "base/must.h"

#include <stdio.h>

static const struct {
    int status;
    const char *text;
} statuses[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
};

const char *http1_status_text(int status)
{
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        if (statuses[i].status == status)
            return statuses[i].text;
    }
    return "Unknown";
}

/* Text that stays in its line. */
static void write_text(struct wr *w, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f)
            w->overflow = true;
    }
    wr_put(w, s);
}

static void write_decimal(struct wr *w, uint64_t v)
{
    char digits[20]; /* of the largest 64-bit number */
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    wr_bytes(w, digits + at, sizeof digits - at);
}

void http1_write_status(struct wr *w, int status)
{
    must(status >= 100 && status <= 599);
    wr_text(w, "HTTP/1.1 ");
    write_decimal(w, (uint64_t)status);
    wr_text(w, " ");
    wr_text(w, http1_status_text(status));
    wr_text(w, "\r\n");
}

void http1_write_request(struct wr *w, const char *method, struct slice target)
{
    wr_text(w, method);
    wr_text(w, " ");
    write_text(w, target);
    if (target.len == 0 || memchr(target.p, ' ', target.len) != NULL)
        w->overflow = true;
    wr_text(w, " HTTP/1.1\r\n");
}

void http1_write_header(struct wr *w, const char *name, struct slice value)
{
    write_text(w, slice_text(name));
    wr_text(w, ": ");
    write_text(w, value);
    wr_text(w, "\r\n");
}

void http1_write_number(struct wr *w, const char *name, uint64_t value)
{
    write_text(w, slice_text(name));
    wr_text(w, ": ");
    write_decimal(w, value);
    wr_text(w, "\r\n");
}

void http1_write_end(struct wr *w)
{
    wr_text(w, "\r\n");
}

#define SECONDS_PER_DAY       86400
#define DAYS_PER_ERA          146097 /* 400 Gregorian years */
#define DAYS_0000_03_TO_EPOCH 719468 /* from 0000-03-01 to 1970-01-01 */

struct date {
    unsigned year, month, day; /* month from 1 */
};

/* The proleptic Gregorian date of a day counted from 1970-01-01.  Years are counted from March, so
 * that the leap day is the last of its year. */
static struct date date_of(uint32_t days)
{
    uint32_t z = days + DAYS_0000_03_TO_EPOCH;
    uint32_t era = z / DAYS_PER_ERA, doe = z % DAYS_PER_ERA;
    uint32_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint32_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    uint32_t mp = (5 * doy + 2) / 153;
    uint32_t month = mp < 10 ? mp + 3 : mp - 9;
    return (struct date){era * 400 + yoe + (month <= 2 ? 1 : 0), month,
                         doy - (153 * mp + 2) / 5 + 1};
}

void http1_date(int64_t unix_s, char out[HTTP1_DATE_SIZE])
{
    static const char days[] = "ThuFriSatSunMonTueWed"; /* 1970-01-01 was a Thursday */
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    must(unix_s >= 0 && unix_s < 253402300800);
    uint32_t day = (uint32_t)(unix_s / SECONDS_PER_DAY);
    unsigned second = (unsigned)(unix_s % SECONDS_PER_DAY);
    struct date d = date_of(day);
    snprintf(out, HTTP1_DATE_SIZE, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", days + day % 7 * 3,
             d.day % 100, months + (d.month - 1) * 3, d.year % 10000, second / 3600,
             second / 60 % 60, second % 60);
}
