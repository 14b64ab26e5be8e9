/* outbuf: see outbuf.h. */
#include "outbuf.h"

#include "base/base.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How long a wait for a slow reader lasts before the stop flag is looked at again. */
#define OUTBUF_WAIT_MS 100

/* Whatever the flags of the descriptor, which other processes may share. A pipe that is ready takes
 * PIPE_BUF bytes without blocking; once stopped, a reader gets what it has room for. */
static vecmill_status write_patiently(struct outbuf *o, size_t bytes, vecmill_err *err)
{
    size_t done = 0;
    while (done < bytes) {
        const bool stopped = o->stop != NULL && atomic_load(o->stop) != 0;
        struct pollfd p = {.fd = o->fd, .events = POLLOUT};
        const int ready = poll(&p, 1, stopped ? 0 : OUTBUF_WAIT_MS);
        if (ready == 0 && stopped)
            return err_set(err, VECMILL_E_STOPPED, "stopped while waiting for the reader of %s",
                           o->name);
        if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
        const ssize_t n = write(o->fd, o->data + done, num_min(bytes - done, PIPE_BUF));
        if (n >= 0)
            done += (size_t)n;
        else if (errno != EINTR && errno != EAGAIN)
            return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: cannot be written", o->name);
    }
    return VECMILL_OK;
}

vecmill_status outbuf_flush(struct outbuf *o, vecmill_err *err)
{
    const size_t bytes = o->used;
    o->used = 0;
    if (bytes == 0) return VECMILL_OK;
    if (o->waits) return write_patiently(o, bytes, err);
    return io_write(o->fd, o->data, bytes, o->name, VECMILL_E_OUTPUT, err);
}

vecmill_status outbuf_put(struct outbuf *o, const void *data, size_t bytes, vecmill_err *err)
{
    const char *from = data;
    while (bytes > 0) {
        const size_t n = num_min(bytes, OUTBUF_BYTES - o->used);
        memcpy(o->data + o->used, from, n);
        o->used += n;
        o->total += n;
        from += n;
        bytes -= n;
        if (o->used == OUTBUF_BYTES) VM_TRY(outbuf_flush(o, err));
    }
    return VECMILL_OK;
}

vecmill_status outbuf_text(struct outbuf *o, const char *text, vecmill_err *err)
{
    return outbuf_put(o, text, strlen(text), err);
}

/* Writes value with at least `least` digits; returns the bytes. */
static size_t digits(uint64_t value, size_t least, char *out)
{
    char reversed[20];
    size_t n = 0;
    while (value > 0 || n < least) {
        reversed[n++] = (char)('0' + value % 10);
        value /= 10;
    }
    for (size_t i = 0; i < n; i++)
        out[i] = reversed[n - 1 - i];
    return n;
}

vecmill_status outbuf_u64(struct outbuf *o, uint64_t value, vecmill_err *err)
{
    char text[20];
    return outbuf_put(o, text, digits(value, 1, text), err);
}

/* The distance within which a decimal reads back as x for certain: a little less than half the gap to
 * the nearer neighbour, so that the rounding of the double it is compared with cannot matter. */
static double nearness(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const double gap = ldexp(1.0, (int)(bits >> 23 & 0xFF) - 150);
    return (bits & 0x7FFFFF) == 0 ? 0.24 * gap : 0.49 * gap;
}

size_t outbuf_float_text(float value, char out[OUTBUF_FLOAT_MAX])
{
    static const double power[] = {1e0, 1e1, 1e2, 1e3,  1e4,  1e5,  1e6,
                                   1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13};
    if (!isfinite(value)) {
        memcpy(out, "null", 4);
        return 4;
    }
    const float size = fabsf(value);
    size_t used = 0;
    if (signbit(value)) out[used++] = '-';
    if (size == 0.0f) {
        out[used++] = '0';
        return used;
    }
    /* Components of vectors lie between; the few others may take their time. */
    if ((double)size < 1e-5 || (double)size >= 1e8)
        return (size_t)snprintf(out, OUTBUF_FLOAT_MAX, "%.9g", (double)value);

    /* 10^(whole - 1) <= size < 10^whole, whole from -4 to 8. */
    int whole = 8;
    while (whole > 0 && (double)size < power[whole - 1])
        whole--;
    while (whole <= 0 && (double)size * power[1 - whole] < 1.0)
        whole--;
    const double near = nearness(size);
    uint64_t scaled = 0;
    int decimals = 0;
    for (int n = 7; n <= 9; n++) {
        decimals = n > whole ? n - whole : 0;
        scaled = (uint64_t)((double)size * power[decimals] + 0.5);
        if (fabs((double)scaled / power[decimals] - (double)size) < near) break;
    }
    while (decimals > 0 && scaled % 10 == 0) {
        scaled /= 10;
        decimals--;
    }
    const uint64_t unit = (uint64_t)power[decimals];
    used += digits(scaled / unit, 1, out + used);
    if (decimals == 0) return used;
    out[used++] = '.';
    return used + digits(scaled % unit, (size_t)decimals, out + used);
}

vecmill_status outbuf_float(struct outbuf *o, float value, vecmill_err *err)
{
    char text[OUTBUF_FLOAT_MAX];
    return outbuf_put(o, text, outbuf_float_text(value, text), err);
}
