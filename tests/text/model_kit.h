/* model_kit: a tokenizer's model alone, out of a tokenizer.json or as an object: read, compiled and
 * checked, for tests and for the drivers of tools. */
#ifndef MODEL_KIT_H
#define MODEL_KIT_H

#include "text/text_model.h"

struct model_kit {
    const struct text_model *kind;
    struct buf table;
    uint32_t vocab; /* largest id + 1 */
    void *scratch;
    size_t scratch_for; /* bytes of a word */
};

/* On failure nothing is kept. Pair: model_kit_done. */
vecmill_status model_kit_open(struct model_kit *k, const char *json, size_t bytes,
                              vecmill_err *err);
void model_kit_done(struct model_kit *k);

/* The pieces of a word, until the next call. */
size_t model_kit_encode(struct model_kit *k, const char *word, size_t bytes,
                        const struct model_piece **pieces);

#endif
