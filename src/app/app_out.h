/* app_out: text and JSON written to a descriptor.
 *
 * Promises: what is written between two flushes goes out in one write where it fits; the first
 * failure sticks and is returned by app_out_flush; text of any bytes becomes valid JSON (invalid UTF-8 is
 * replaced); a lossy output never waits long for its reader. Does not know what the lines mean. */
#ifndef APP_OUT_H
#define APP_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

#define APP_OUT_MAX   (64u << 20) /* bytes held before a flush: one line at most */
#define APP_OUT_FLUSH (64u << 10) /* from this many bytes on, a finished line is written */

/* How long the reader of a lossy output is waited for, and that of the program's last sentence. A reader that
 * lives takes something sooner, also on a machine whose processors are all taken. */
#define APP_LOSSY_MS    100u
#define APP_COMPLAIN_MS 1000u

#define APP_SENTENCE_MAX 512u /* bytes of a sentence for people with its NUL; a longer one is cut */

/* The most that app_json_text reserves for this many bytes: each three when repaired, and each of these
 * six when escaped; quotes and a comma. */
#define APP_JSON_ROOM(bytes) (21u * (size_t)(bytes) + 3u)

struct app_out {
    int fd;
    const char *name; /* said in messages: a path, or "standard output" */
    struct buf buf;
    bool comma; /* the next JSON value is not the first of its array or object */
    /* Of a lossy output: */
    bool is_lossy, owns_fd;
    bool is_stalled; /* something was dropped, and nothing taken since: no flush waits */
    bool is_begun;   /* buf begins inside a line, whose beginning was taken */
    uint64_t n_dropped;
    vecmill_status status;
    vecmill_err err;
};

/* In place; pair: app_out_done, which flushes nothing and closes nothing of the caller's. */
void app_out_init(struct app_out *out, int fd, const char *name);
void app_out_done(struct app_out *out);

/* From now on a flush waits APP_LOSSY_MS at most for whoever reads; whole lines that were not taken by
 * then are dropped and counted, the rest of a line that was begun is kept and goes first. Once something
 * was dropped no flush waits until the reader takes something, so that one that has stalled costs that
 * wait once. A regular file, which takes all, stays as it was. */
void app_out_set_lossy(struct app_out *out);

void app_put(struct app_out *out, const void *data, size_t bytes);
void app_print(struct app_out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* JSON: a key before each value of an object; commas are set by themselves. */
void app_json_open(struct app_out *out, char bracket);  /* '{' or '[' */
void app_json_close(struct app_out *out, char bracket); /* '}' or ']' */
void app_json_key(struct app_out *out, const char *key);
void app_json_text(struct app_out *out, const char *text, size_t bytes);
void app_json_string(struct app_out *out, const char *text); /* NULL: null */
void app_json_u64(struct app_out *out, uint64_t value);
/* A key and bytes; UINT64_MAX, which is unknown or no limit, is null. */
void app_json_bytes(struct app_out *out, const char *key, uint64_t bytes);
void app_json_i64(struct app_out *out, int64_t value);
void app_json_real(struct app_out *out, double value, int decimals); /* not finite: null */
void app_json_bool(struct app_out *out, bool value);
void app_json_raw(struct app_out *out, const char *value); /* is JSON already */

/* A key and its value. */
void app_json_key_string(struct app_out *out, const char *key, const char *text);
void app_json_key_u64(struct app_out *out, const char *key, uint64_t value);
void app_json_key_i64(struct app_out *out, const char *key, int64_t value);
void app_json_key_real(struct app_out *out, const char *key, double value, int decimals);
void app_json_key_bool(struct app_out *out, const char *key, bool value);

/* Ends a line of JSON, and writes when enough has come together. */
void app_json_line(struct app_out *out);

/* Writes all that is held. E_OUTPUT: this or an earlier write failed; then nothing more is written. */
vecmill_status app_out_flush(struct app_out *out, vecmill_err *err);

/* "vecmill: SENTENCE" as a line; control characters become '?'. */
void app_out_sentence(struct app_out *out, const char *sentence);

/* 1234567 as "1,234,567" into text[APP_NUMBER_BYTES], which is returned. */
#define APP_NUMBER_BYTES 28
const char *app_number(uint64_t value, char *text);

/* Bytes as "21.7 MB" (powers of 1,000) into text[APP_NUMBER_BYTES], which is returned. */
const char *app_megabytes(uint64_t bytes, char *text);

/* The same on stderr at once; waits APP_COMPLAIN_MS at most for whoever reads. */
void app_complain(const char *sentence);

#endif
