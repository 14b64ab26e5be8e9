/* fake_engine: as much of vecmill.h as the room job calls, without a model and without processes.
 *
 * A vector is a hash of its text, so that a row out of place is seen. Results of other kinds are made of
 * it: rows are this vector, as many times as the text has bytes (modulo FAKE_ROWS_MAX + 1); sparse weights
 * are its components that are not negative. The text "TOO LONG" fails with
 * E_LIMIT, "TOO LARGE" too, but when it is submitted, "CONDEMN ME" with E_WORKERS; "TRUNCATE ME" counts
 * as truncated, "TWIN" as a duplicate, "BREAK" ends the pool; the vector of "HUGE" begins with a million. */
#ifndef FAKE_ENGINE_H
#define FAKE_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vecmill.h"

#define FAKE_CAPACITY_MAX 256u
#define FAKE_DIM_MAX      8u
#define FAKE_ROWS_MAX     9u

struct fake_doc {
    float vector[FAKE_DIM_MAX];
    size_t bytes;
    vecmill_result result;
    bool breaks;
};

struct vecmill_pool {
    /* Set by the test; zeros are a pool that computes at once and never fails. */
    uint32_t dim;
    vecmill_kind kind;      /* of results */
    uint32_t capacity;      /* 0: 64 */
    uint32_t late;          /* so often take finds the next document not ready */
    uint32_t flight;        /* documents that a held pool still computes; 0: all */
    uint32_t behind;        /* instead: so many, all behind one that it will not compute */
    uint32_t batches_a_doc; /* told by count, so that checkpoints are due */
    uint64_t fail_after;    /* E_WORKERS once so many were taken; 0: never */
    atomic_int *stop; /* set when document number stop_at, from 1, is submitted; NULL: never */
    uint64_t stop_at;
    const char *identity, *isa; /* NULL: some */
    bool is_damaged;            /* vecmill_pool_verify says so */

    /* What it saw. */
    uint64_t n_submitted, n_taken, n_refused, most_held;
    uint64_t held_at; /* documents that are still computed since it is held */
    uint64_t n_told;  /* calls of take that said so of the next document */
    bool held;
    uint32_t waited;
    struct fake_doc docs[FAKE_CAPACITY_MAX];
};

/* The vector for a text. */
void fake_vector(const void *text, size_t bytes, uint32_t dim, float *vector);

#endif
