/* buf: a growable run of bytes with a maximum. Reaching the maximum is E_LIMIT, which names it. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>

#include "err.h"

struct buf {
    char *data; /* NULL while empty; not terminated unless buf_terminate was called */
    size_t bytes;
    size_t capacity;
    size_t most;
    const char *name; /* of the maximum, for the error: "MODEL_CONFIG_MAX" */
};

/* In place; pair: buf_done. */
void buf_init(struct buf *b, size_t most, const char *name);
void buf_done(struct buf *b);
void buf_clear(struct buf *b);

/* Room for `bytes` more. */
vecmill_status buf_reserve(struct buf *b, size_t bytes, vecmill_err *err);
vecmill_status buf_add(struct buf *b, const void *data, size_t bytes, vecmill_err *err);
vecmill_status buf_add_string(struct buf *b, const char *text, vecmill_err *err);

/* A NUL after the last byte, not counted in b->bytes. */
vecmill_status buf_terminate(struct buf *b, vecmill_err *err);

#endif
