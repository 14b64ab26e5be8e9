/* model: token ids to vectors.
 *
 * Reads a BERT encoder in Hugging Face layout (config.json, model.safetensors, and
 * sentence-transformers' modules.json, 1_Pooling, 2_Normalize, sentence_bert_config.json), compiles it
 * into a pack's section, and computes it: embeddings, encoder layers, pooling, normalisation.
 * docs/MODEL.md has every formula, shape and tensor name.
 *
 * Promises: files are hostile until checked; what is not understood is refused by name. The function
 * that plans a workspace also carves it. A forward pass allocates nothing. A document's vector does
 * not depend on the other documents of the pass. Does not know: text, processes. */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "kern/kern.h"

#define MODEL_CONFIG_MAX  (1u << 20) /* bytes of one configuration file */
#define MODEL_HEADER_MAX  (8u << 20) /* bytes of a safetensors header */
#define MODEL_TENSORS_MAX 4096u
#define MODEL_LAYERS_MAX  64u
#define MODEL_HIDDEN_MAX  8192u
#define MODEL_LENGTH_MAX  65536u /* rows of a position table */

enum model_pooling { MODEL_POOL_MEAN, MODEL_POOL_CLS };

/* What the forward pass needs to know; fixed-width, stored as is in the pack's section
 * "model.config". */
struct model_config {
    uint32_t n_layers, hidden, n_heads, intermediate;
    uint32_t vocab; /* rows of the word table, from the weights */
    uint32_t
        max_positions;   /* rows of the position table, from the weights: the most allowed length */
    uint32_t max_length; /* the default: sentence_bert_config.json, else the smallest positive
                               integer of tokenizer_config.json, else max_positions */
    uint32_t pooling;    /* enum model_pooling */
    uint32_t normalize;  /* 1: vectors are scaled to length 1 */
    float eps;           /* LayerNorm's */
};

/* Identity of the model's files, for a pack's key: path, device, inode, size, mtime and ctime of each
 * file that is read, hashed (XXH3-128) to 32 hex digits and a NUL. E_MODEL when a required file is
 * missing; cheap: stat calls only. `names` are further files that the caller reads (tokenizer.json). */
vecmill_status model_identity(const char *dir, const char *const *names, size_t n_names,
                              char identity[33], vecmill_err *err);

/* Reads configuration and weights of a folder and writes the sections "model.config" and
 * "model.weights" into an open pack writer: one tensor at a time through a fixed buffer. */
vecmill_status model_compile(const char *dir, const struct kern *kern, struct pack_writer *w,
                             vecmill_err *err);

/* The configuration in a pack, checked, without opening the model: reads no weights and makes no product.
 * E_MODEL when it is damaged or the pack was made for another level. */
vecmill_status model_read_config(const struct pack *pack, const struct kern *kern,
                                 struct model_config *config, vecmill_err *err);

/* A model mapped from a pack, with the products ready to run. Pair: model_close. The pack stays
 * open longer. E_MODEL when sections and their sizes disagree. */
struct model;
vecmill_status model_open(const struct pack *pack, const struct kern *kern, struct model **model,
                          vecmill_err *err);
void model_close(struct model *model);
const struct model_config *model_describe(const struct model *model);

/* Rows that a pass of `tokens` occupies: rounded up to the kernels' row step. */
uint32_t model_rows(const struct model *model, uint32_t tokens);

/* Working memory for passes of at most `tokens` tokens, documents of at most `longest`; planned and
 * carved by one function. */
size_t model_workspace_bytes(const struct model *model, uint32_t tokens, uint32_t longest);

/* One pass: n_docs documents end to end, no padding between them.
 *   ids     [starts[n_docs]], each in [0, vocab) (checked: E_INTERNAL)
 *   starts  [n_docs + 1], starts[0] = 0; document d is ids[starts[d] .. starts[d + 1]), 1 to `longest`
 *   vectors [n_docs, hidden], written
 *   memory  model_workspace_bytes(model, tokens, longest) bytes, aligned to 4096; same tokens, longest */
vecmill_status model_forward(struct model *model, void *memory, uint32_t tokens, uint32_t longest,
                             const int32_t *ids, const uint32_t *starts, uint32_t n_docs,
                             float *vectors, vecmill_err *err);

/* Floating-point operations of one document of n tokens (docs/MODEL.md, "Operations"). */
double model_flops(const struct model_config *config, uint32_t n);

#endif
