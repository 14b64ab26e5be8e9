/* fake_engine: as much of vecmill.h as the room job calls, without a model.
 *
 * A vector is a hash of its text, so that a row out of place is seen. The text "TOO LONG" fails with
 * E_LIMIT, "TRUNCATE ME" counts as truncated, "BREAK" makes the whole call fail. */
#ifndef FAKE_ENGINE_H
#define FAKE_ENGINE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "vecmill.h"

struct vecmill_session {
    uint32_t dim;
    size_t n_calls, n_docs, most_docs;
    atomic_int *stop; /* set in call number stop_at, from 1; NULL: never */
    size_t stop_at;
};

/* The vector that vecmill_embed gives for a text. */
void fake_vector(const void *text, size_t bytes, uint32_t dim, float *vector);

#endif
