/* token_heads: what a model makes of each row of the last hidden state by itself: vectors
 * (MODEL_MULTI), and weights of the document's own tokens (MODEL_SPARSE_OWN; docs/MODEL.md, "A vector
 * for each token" and "Weights of a document's own tokens").
 *
 * Rows go through their ending (ending.h) in blocks, which the team shares, in fp32 whatever the
 * model's precision. A document's bits depend on its rows alone. Private to model. */
#ifndef MODEL_TOKEN_HEADS_H
#define MODEL_TOKEN_HEADS_H

#include "pass.h"

/* Bytes of scratch that a thread needs for a block of so many rows. */
size_t token_heads_scratch(const struct model_config *config, const struct kern *kern,
                           uint32_t kinds, size_t rows);

/* Computes a pass's vectors of rows into its output's `rows`, and says where each document's begin. */
void token_heads_multi(struct pass *p);

/* Computes a pass's weights and gives them to its output's `sparse`. E_MODEL: one is not finite. */
vecmill_status token_heads_sparse(struct pass *p, vecmill_err *err);

/* Operations of `kinds` for a document of n tokens. */
double token_heads_flops(const struct model_config *config, uint32_t kinds, uint32_t n);

#endif
