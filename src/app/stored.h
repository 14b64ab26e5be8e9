/* stored: the rows of a .npy file, whatever they are stored as, and how near each is to a query.
 *
 * A row of floats, of float16 or of bytes is as near as the cosine of the query and what its numbers stand
 * for (vecmill_dequantize), so that scores of one model compare whatever is stored. A row of bits is as near
 * as the cosine of both rows' signs, 1 - 2 * (bits that differ) / dim. A row of zero bytes is a failed
 * document's; it, and a row that is not finite, is near nothing. Does not know files. */
#ifndef APP_STORED_H
#define APP_STORED_H

#include "app.h"

struct stored {
    struct job_vectors vectors;
    struct job_vectors given; /* the file of ranges; n 0: there is none */
    enum quantize_dtype dtype;
    uint32_t dim; /* of the model's vectors */
    size_t row_bytes;
    float *restored;     /* [dim] */
    unsigned char *bits; /* [row_bytes], the query's */
    const float *query;  /* [dim], borrowed */
    double query_square;
};

/* The file `input`, and for bytes `ranges` (NULL: input + ".ranges.npy"). E_INPUT. Pair: stored_close. */
vecmill_status stored_open(const char *input, const char *ranges, struct stored *s,
                           vecmill_err *err);
void stored_close(struct stored *s);

/* Settles what the rows are, for vectors of dim floats that `model` makes. E_INPUT, E_USAGE, E_MEMORY. */
vecmill_status stored_settle(struct stored *s, const char *input, const char *ranges,
                             const char *model, uint32_t dim, vecmill_err *err);

static inline bool stored_is_bits(const struct stored *s)
{
    return s->dtype == QUANTIZE_BINARY || s->dtype == QUANTIZE_UBINARY;
}

/* The query for the next rows, borrowed; false: it has no direction, and nothing is near it. */
bool stored_ask(struct stored *s, const float *query);

/* The score of a row by its bits, or by what its numbers stand for; false: it is near nothing. */
bool stored_score_bits(struct stored *s, uint64_t row, double *score);
bool stored_score(struct stored *s, uint64_t row, double *score);

#endif
