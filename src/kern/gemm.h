/* gemm: the order in which the vector variants pack W's rows.
 *
 * A gated product's two halves are packed by turns, a vector of `lanes` rows of each, so that a tile
 * has both sums of the same outputs. The rows of any other product stay as they are. */
#ifndef KERN_GEMM_H
#define KERN_GEMM_H

#include "kern.h"

/* Packed rows, those that fill a last vector of a gated product included. */
static inline size_t gemm_width(const struct gemm_shape *shape, size_t lanes)
{
    return shape->gated ? 2 * num_up(shape->n, lanes) : shape->n;
}

/* Packed row c of w, for a packing loop, which takes those of a panel at once; NULL: none, zeros. */
static inline const float *gemm_row(const struct gemm_shape *shape, const float *w, size_t lanes,
                                    size_t c)
{
    const size_t n = shape->n, half = c / lanes % 2;
    const size_t row = shape->gated ? c / (2 * lanes) * lanes + c % lanes : c;
    if (row >= n) return NULL;
    return w + (shape->gated ? half * n + row : row) * shape->k;
}

#endif
