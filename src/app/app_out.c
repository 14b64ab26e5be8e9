/* app_out: a buffer in front of a descriptor. base escapes JSON text. This file writes the commas and
 * remembers the first failure. */
#include "app_out.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void app_out_init(struct app_out *out, int fd, const char *name)
{
    *out = (struct app_out){.fd = fd, .name = name};
    buf_init(&out->buf, APP_OUT_MAX, "APP_OUT_MAX");
}

void app_out_done(struct app_out *out)
{
    buf_done(&out->buf);
    if (out->owns_fd) (void)close(out->fd);
    out->owns_fd = false;
}

void app_put(struct app_out *out, const void *data, size_t bytes)
{
    if (out->status == VECMILL_OK) out->status = buf_add(&out->buf, data, bytes, &out->err);
}

void app_print(struct app_out *out, const char *format, ...)
{
    if (out->status != VECMILL_OK) return;
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    const int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    const size_t room = n < 0 ? 1 : (size_t)n + 1;
    out->status = buf_reserve(&out->buf, room, &out->err);
    if (out->status == VECMILL_OK) {
        (void)vsnprintf(out->buf.data + out->buf.bytes, room, format, again);
        out->buf.bytes += room - 1;
    }
    va_end(again);
}

static void before_value(struct app_out *out)
{
    if (out->comma) app_put(out, ",", 1);
    out->comma = true;
}

void app_json_open(struct app_out *out, char bracket)
{
    before_value(out);
    app_put(out, &bracket, 1);
    out->comma = false;
}

void app_json_close(struct app_out *out, char bracket)
{
    app_put(out, &bracket, 1);
    out->comma = true;
}

void app_json_key(struct app_out *out, const char *key)
{
    before_value(out);
    app_print(out, "\"%s\":", key);
    out->comma = false;
}

void app_json_text(struct app_out *out, const char *text, size_t bytes)
{
    before_value(out);
    if (out->status != VECMILL_OK) return;

    /* Invalid text is repaired in the same buffer, after the room for its quoted form. */
    const bool is_valid = utf8_valid(text, bytes);
    size_t repaired = 0, quoted = 0, room = 0;
    if ((!is_valid && !num_mul(bytes, 3, &repaired)) ||
        !num_mul(is_valid ? bytes : repaired, 6, &quoted) || !num_add(quoted, 2, &quoted) ||
        !num_add(quoted, repaired, &room)) {
        out->status = err_set(&out->err, VECMILL_E_LIMIT, "a text of %zu bytes is too long", bytes);
        return;
    }
    out->status = buf_reserve(&out->buf, room, &out->err);
    if (out->status != VECMILL_OK) return;
    char *to = out->buf.data + out->buf.bytes;
    if (!is_valid) {
        uint64_t replaced;
        bytes = utf8_repair(text, bytes, to + quoted, &replaced);
        text = to + quoted;
    }
    out->buf.bytes += json_quote(text, bytes, to);
}

void app_json_string(struct app_out *out, const char *text)
{
    if (text)
        app_json_text(out, text, strlen(text));
    else
        app_json_raw(out, "null");
}

void app_json_u64(struct app_out *out, uint64_t value)
{
    before_value(out);
    app_print(out, "%llu", (unsigned long long)value);
}

void app_json_bytes(struct app_out *out, const char *key, uint64_t bytes)
{
    app_json_key(out, key);
    if (bytes == UINT64_MAX)
        app_json_raw(out, "null");
    else
        app_json_u64(out, bytes);
}

void app_json_i64(struct app_out *out, int64_t value)
{
    before_value(out);
    app_print(out, "%lld", (long long)value);
}

void app_json_real(struct app_out *out, double value, int decimals)
{
    if (!isfinite(value)) {
        app_json_raw(out, "null");
        return;
    }
    before_value(out);
    app_print(out, "%.*f", decimals, value);
}

void app_json_bool(struct app_out *out, bool value)
{
    app_json_raw(out, value ? "true" : "false");
}

void app_json_key_string(struct app_out *out, const char *key, const char *text)
{
    app_json_key(out, key);
    app_json_string(out, text);
}

void app_json_key_u64(struct app_out *out, const char *key, uint64_t value)
{
    app_json_key(out, key);
    app_json_u64(out, value);
}

void app_json_key_i64(struct app_out *out, const char *key, int64_t value)
{
    app_json_key(out, key);
    app_json_i64(out, value);
}

void app_json_key_real(struct app_out *out, const char *key, double value, int decimals)
{
    app_json_key(out, key);
    app_json_real(out, value, decimals);
}

void app_json_key_bool(struct app_out *out, const char *key, bool value)
{
    app_json_key(out, key);
    app_json_bool(out, value);
}

void app_json_raw(struct app_out *out, const char *value)
{
    before_value(out);
    app_put(out, value, strlen(value));
}

void app_json_line(struct app_out *out)
{
    app_put(out, "\n", 1);
    out->comma = false;
    if (out->status == VECMILL_OK && out->buf.bytes >= APP_OUT_FLUSH)
        (void)app_out_flush(out, NULL);
}

/* ---- writing ---- */

/* Opens the pipe or terminal of fd a second time, so that writes do not block. The flags of fd itself
 * are shared with other processes and stay as they are. Returns -1 if fd is neither, or cannot be
 * opened again (a socket, another user's terminal, no /proc). */
static int open_unblocked(int fd)
{
    char path[32];
    struct stat st;
    if (fstat(fd, &st) != 0 || (!S_ISFIFO(st.st_mode) && isatty(fd) != 1)) return -1;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

/* Writes what the reader accepts within wait_ms, and returns the number of bytes written. *failure is
 * the errno of a failed write, else 0. A write has at most PIPE_BUF bytes: a pipe that is ready
 * accepts these without blocking, whatever its flags. */
static size_t offer(int fd, const char *data, size_t bytes, unsigned wait_ms, int *failure)
{
    const uint64_t until_ns = clock_ns() + (uint64_t)wait_ms * 1000000u;
    size_t done = 0;
    *failure = 0;
    while (done < bytes) {
        const uint64_t now_ns = clock_ns();
        const uint64_t left_ns = now_ns < until_ns ? until_ns - now_ns : 0;
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        const int ready = poll(&p, 1, (int)((left_ns + 999999u) / 1000000u));
        if (ready == 0) break;
        const ssize_t n = ready < 0 ? -1 : write(fd, data + done, num_min(bytes - done, PIPE_BUF));
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno != EINTR && errno != EAGAIN) {
            *failure = errno;
            break;
        } else if (errno == EAGAIN && left_ns == 0) {
            break;
        }
    }
    return done;
}

void app_out_set_lossy(struct app_out *out)
{
    struct stat st;
    if (fstat(out->fd, &st) == 0 && S_ISREG(st.st_mode)) return;
    const int fd = open_unblocked(out->fd);
    out->is_lossy = true;
    out->owns_fd = fd >= 0;
    if (fd >= 0) out->fd = fd;
}

/* `done` bytes of the buffer were written. Keeps the rest of a line that was written in part, and drops
 * the lines after it. */
static void drop(struct app_out *out, size_t done)
{
    struct buf *b = &out->buf;
    size_t keep = done; /* end of what is kept */
    if (done > 0) out->is_begun = b->data[done - 1] != '\n';
    if (out->is_begun) {
        const char *end = memchr(b->data + done, '\n', b->bytes - done);
        keep = end ? (size_t)(end - b->data) + 1 : b->bytes;
    }
    for (size_t i = keep; i < b->bytes; i++)
        out->n_dropped += b->data[i] == '\n';
    memmove(b->data, b->data + done, keep - done);
    b->bytes = keep - done;
}

static void flush_lossy(struct app_out *out)
{
    int failure;
    const size_t done =
        offer(out->fd, out->buf.data, out->buf.bytes, out->is_stalled ? 0 : APP_LOSSY_MS, &failure);
    if (failure != 0)
        out->status =
            err_sys(&out->err, VECMILL_E_OUTPUT, failure, "%s: cannot be written", out->name);
    if (done > 0) out->is_stalled = false;
    if (failure != 0 || done == out->buf.bytes) {
        buf_clear(&out->buf);
        out->is_begun = false;
    } else {
        drop(out, done);
        out->is_stalled = true;
    }
}

vecmill_status app_out_flush(struct app_out *out, vecmill_err *err)
{
    if (out->status != VECMILL_OK)
        buf_clear(&out->buf);
    else if (out->buf.bytes > 0 && out->is_lossy)
        flush_lossy(out);
    else if (out->buf.bytes > 0) {
        out->status = io_write(out->fd, out->buf.data, out->buf.bytes, out->name, VECMILL_E_OUTPUT,
                               &out->err);
        buf_clear(&out->buf);
    }
    if (out->status == VECMILL_OK) return VECMILL_OK;
    return err_set(err, out->status, "%s", out->err.message);
}

/* ---- numbers and sentences ---- */

const char *app_number(uint64_t value, char *text)
{
    char plain[24];
    const int n = snprintf(plain, sizeof(plain), "%llu", (unsigned long long)value);
    char *to = text;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0) *to++ = ',';
        *to++ = plain[i];
    }
    *to = 0;
    return text;
}

const char *app_megabytes(uint64_t bytes, char *text)
{
    (void)snprintf(text, APP_NUMBER_BYTES, "%.1f MB", (double)bytes / 1e6);
    return text;
}

/* Writes a sentence as a line into line[APP_SENTENCE_MAX]. Returns its length in bytes. */
static size_t write_sentence(const char *sentence, char *line)
{
    int n = snprintf(line, APP_SENTENCE_MAX - 1, "vecmill: %s", sentence);
    if (n > (int)APP_SENTENCE_MAX - 2) n = (int)APP_SENTENCE_MAX - 2;
    for (int i = 0; i < n; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) line[i] = '?';
    line[n++] = '\n';
    return (size_t)n;
}

void app_out_sentence(struct app_out *out, const char *sentence)
{
    char line[APP_SENTENCE_MAX];
    app_put(out, line, write_sentence(sentence, line));
}

void app_complain(const char *sentence)
{
    char line[APP_SENTENCE_MAX];
    int failure;
    const size_t bytes = write_sentence(sentence, line);
    const int fd = open_unblocked(STDERR_FILENO);
    (void)offer(fd >= 0 ? fd : STDERR_FILENO, line, bytes, APP_COMPLAIN_MS, &failure);
    if (fd >= 0) (void)close(fd);
}
