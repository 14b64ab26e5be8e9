/* vocab: weights of the vocabulary's tokens, from the rows of the last hidden state (SPLADE; Formal et
 * al. 2021; docs/MODEL.md, "Sparse weights").
 *
 * The head that was trained to predict masked tokens gives each row a logit for each token of the
 * vocabulary. They are never held: a few documents at a time, each slice of the vocabulary is one
 * item for the team, which goes through their rows in tiles and keeps each document's largest (or
 * summed) value. A document's bits depend on its rows alone. Private to model. */
#ifndef MODEL_VOCAB_H
#define MODEL_VOCAB_H

#include "pass.h"

/* Documents that go through the vocabulary together, so that its matrix is read once for all of them:
 * as many as fit into VOCAB_BYTES of values, and at least one. */
#define VOCAB_BYTES (1u << 20)
uint32_t vocab_documents(const struct model_config *config, uint32_t rows);

/* Computes a pass's weights after its last layer and gives them to its output's `sparse`. E_MODEL:
 * a value that is not finite. */
vecmill_status vocab_run(struct pass *p, vecmill_err *err);

/* Operations for a document of n tokens. */
double vocab_flops(const struct arch *arch, const struct model_config *config, uint32_t n);

#endif
