/* outbuf: bytes on their way out, collected in a fixed piece of memory.
 *
 * Promises: memory is the caller's and never grows; a failed write names the file; a wait for a slow
 * reader ends when the stop flag is set, and what the reader would not take is dropped.
 * Knows numbers as text, but not what a line means. */
#ifndef JOB_OUTBUF_H
#define JOB_OUTBUF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

#define OUTBUF_BYTES     ((size_t)64 << 10)
#define OUTBUF_FLOAT_MAX 24u /* bytes of a float as text */

struct outbuf {
    int fd;
    const char *name; /* of the file, for messages; borrowed */
    char *data;       /* [OUTBUF_BYTES] */
    size_t used;
    uint64_t total; /* bytes put in, those of an earlier run included: where the next one goes */
    bool waits;     /* no regular file: its reader may stall */
    const atomic_int *stop; /* NULL, or nonzero when such a reader is waited for no longer */
};

/* All of these: E_OUTPUT, or E_STOPPED when the reader stalls and the stop flag is set. */
vecmill_status outbuf_put(struct outbuf *o, const void *data, size_t bytes, vecmill_err *err);
vecmill_status outbuf_text(struct outbuf *o, const char *text, vecmill_err *err);
vecmill_status outbuf_u64(struct outbuf *o, uint64_t value, vecmill_err *err);
/* As JSON: the fewest of 7 to 9 digits that read back as the same float32, zeros at the end left off;
 * null for what is no number. */
vecmill_status outbuf_float(struct outbuf *o, float value, vecmill_err *err);
vecmill_status outbuf_flush(struct outbuf *o, vecmill_err *err);

/* The text itself, not terminated; returns its bytes. */
size_t outbuf_float_text(float value, char out[OUTBUF_FLOAT_MAX]);

#endif
