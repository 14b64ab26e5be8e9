/* err: a message is terminated, printable UTF-8, and never cut in the middle of a character. */
#include "err.h"

#include "utf8.h"

#include <stdio.h>
#include <string.h>

#undef err_set
#undef err_sys

/* Steps back from a cut to the last character boundary: continuation bytes are 10xxxxxx. */
static size_t whole_characters(const char *text, size_t bytes)
{
    size_t lead = bytes;
    while (lead > 0 && bytes - lead < 3 && ((unsigned char)text[lead - 1] & 0xC0) == 0x80) {
        lead--;
    }
    if (lead == 0) return bytes;
    unsigned char first = (unsigned char)text[lead - 1];
    size_t wants = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
    return bytes - (lead - 1) < wants ? lead - 1 : bytes;
}

/* A message may quote hostile bytes, or cut them in the middle of a character. Invalid UTF-8, and
 * what a terminal would act on, becomes a question mark, byte for byte. */
static void make_printable(char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        uint32_t cp;
        bool bad;
        size_t took = utf8_next((const unsigned char *)text + i, bytes - i, &cp, &bad);
        if (bad || cp < 0x20 || (cp >= 0x7F && cp < 0xA0)) memset(text + i, '?', took);
        i += took;
    }
}

vecmill_status err_setv(vecmill_err *err, vecmill_status status, const char *format, va_list ap)
{
    if (!err) return status;
    /* A local buffer first, since an argument may be err->message itself. */
    char message[sizeof err->message];
    int n = vsnprintf(message, sizeof message, format, ap);
    if (n < 0) message[0] = '\0';
    if (n >= (int)sizeof message) {
        size_t keep = whole_characters(message, sizeof message - 4);
        memcpy(message + keep, "...", 4);
    }
    make_printable(message, strlen(message));
    err->status = status;
    memcpy(err->message, message, sizeof message);
    return status;
}

vecmill_status err_set(vecmill_err *err, vecmill_status status, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    err_setv(err, status, format, ap);
    va_end(ap);
    return status;
}

vecmill_status err_sys(vecmill_err *err, vecmill_status status, int errno_value, const char *format,
                       ...)
{
    if (!err) return status;
    char what[sizeof err->message];
    va_list ap;
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    char text[96];
    /* GNU's strerror_r: thread-safe, may return a static string. */
    const char *reason = strerror_r(errno_value, text, sizeof text);
    return err_set(err, status, "%s: %s", what, reason);
}

const char *cause_word(vecmill_cause cause)
{
    static const char *const words[VECMILL_CAUSE_COUNT] = {
#define CAUSE_WORD(name, word) [VECMILL_CAUSE_##name] = (word),
        VECMILL_CAUSE_LIST(CAUSE_WORD)
#undef CAUSE_WORD
    };
    return (unsigned)cause < VECMILL_CAUSE_COUNT ? words[cause] : "unknown";
}
