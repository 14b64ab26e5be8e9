/* experts: a feed-forward of which each row takes a few parts (Shazeer et al. 2017, arXiv 1701.06538).
 * Private to model.
 *
 *   p = softmax(x R^T), over all experts, in fp32 in every precision
 *   out = b + sum of p[e] * (act(x U[e]^T) D[e]^T), over the n_chosen experts with the largest p
 *
 * Of equal shares the lower expert's counts as larger. Shares are not scaled to a sum of 1
 * (NomicBERT's moe_normalize_expert_weights is false). The sum is in the order of experts. */
#ifndef MODEL_EXPERTS_H
#define MODEL_EXPERTS_H

#include "pass.h"

/* x, out: [b->n, hidden], no overlap. The rows that take an expert are gathered, so that its products
 * are of many rows; a row's bits depend on nothing but the row. */
void experts_run(const struct pass *p, const struct block *b, const float *x, float *out);

/* Operations of a row: the router's and the chosen experts'. */
double experts_flops(const struct arch *arch, const struct model_config *config, uint32_t kind);

#endif
