/* app_out: a buffer in front of a descriptor. JSON text is escaped by base; this counts commas and
 * remembers the first failure. */
#include "app_out.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void app_out_init(struct app_out *out, int fd, const char *name)
{
    *out = (struct app_out){.fd = fd, .name = name};
    buf_init(&out->buf, APP_OUT_MAX, "APP_OUT_MAX");
}

void app_out_done(struct app_out *out)
{
    buf_done(&out->buf);
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

    /* Invalid text is repaired behind the room its quoted form will need. */
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
    out->buf.bytes += jsonx_quote(text, bytes, to);
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

vecmill_status app_out_flush(struct app_out *out, vecmill_err *err)
{
    if (out->status == VECMILL_OK && out->buf.bytes > 0)
        out->status = io_write(out->fd, out->buf.data, out->buf.bytes, out->name, VECMILL_E_OUTPUT,
                               &out->err);
    buf_clear(&out->buf);
    if (out->status == VECMILL_OK) return VECMILL_OK;
    return err_set(err, out->status, "%s", out->err.message);
}

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

void app_complain(const char *message)
{
    char line[512];
    int n = snprintf(line, sizeof(line) - 1, "vecmill: %s", message);
    if (n > (int)sizeof(line) - 2) n = (int)sizeof(line) - 2;
    for (int i = 0; i < n; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) line[i] = '?';
    line[n++] = '\n';
    (void)io_write(STDERR_FILENO, line, (size_t)n, "standard error", VECMILL_E_IO, NULL);
}
