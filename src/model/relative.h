/* relative: attention whose scores have products with vectors that stand for distances (He et al. 2021,
 * DeBERTa, arXiv 2006.03654, eq. 4; transformers, deberta_v2). Private to model.
 *
 *   score(i, j) = (q_i . k_j + q_i . K[b] + k_j . Q[b]) / divisor,  b = bucket(i - j)
 *
 * K and Q are a layer's, [distances, head] of each head, computed when the pack is built
 * (PART_DISTANCE_KEYS, PART_DISTANCE_QUERIES); a model may have one of them only. The products with
 * them are made first, a head at a time, of the distances that the document has, and the kernel looks
 * them up. */
#ifndef MODEL_RELATIVE_H
#define MODEL_RELATIVE_H

#include "pass.h"

/* Attention of a document as `call` says it, but for its member `relative`. */
void relative_run(const struct pass *p, uint32_t thread, const struct attention_call *call);

/* Operations of the products with distances, of n tokens of which `queries` are queries. */
double relative_flops(const struct arch *arch, const struct model_config *config, uint32_t kind,
                      uint32_t n, uint32_t queries);

#endif
