/* reference: texts with the token ids and the vectors that all-MiniLM-L6-v2 must give
 * (tests/data/reference/SOURCE). All 542 where $VECMILL_SHARED, else ../shared, has them, otherwise the 64 of
 * the tree; for tests that run in its root. Knows nothing of models and tokenizers. */
#ifndef TESTS_REFERENCE_H
#define TESTS_REFERENCE_H

#include "base/base.h"

#define REFERENCE_MOST   1000
#define REFERENCE_DIM    384
#define REFERENCE_LENGTH 256 /* ids of a text, at most */

struct reference {
    size_t n;
    struct reference_row {
        char *text;
        size_t bytes;
        int32_t *ids;
        size_t n_ids;
    } rows[REFERENCE_MOST];
    const float *vectors; /* [n, REFERENCE_DIM] */
    bool whole;           /* not those of the tree, most of which are edges */
    struct io_map npy;
};

/* Reads them into *r, which is zeros, and prints how many and from where. Pair: reference_close, after a
 * failure too. */
vecmill_status reference_open(struct reference *r, vecmill_err *err);
void reference_close(struct reference *r);

/* Frees a row that was taken out. */
void reference_drop(struct reference_row *row);

#endif
