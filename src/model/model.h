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

/* The most memory that model_compile holds at one time, in a program that has called jsonx_claim and
 * mem_map_large, without what the matrix library takes for itself: from config.json, the sizes of the other
 * files and the first eight bytes of the weights. E_MODEL as for model_compile. */
vecmill_status model_compile_most(const char *dir, const struct kern *kern, size_t *bytes,
                                  vecmill_err *err);

/* The configuration that a pack of this folder would have. Checks names and shapes of all tensors, and
 * reads none: milliseconds. E_MODEL as for model_compile, except for what only values tell. */
vecmill_status model_config_of_folder(const char *dir, struct model_config *config,
                                      vecmill_err *err);

/* The configuration in a pack, checked, without opening the model: reads no weights and makes no product.
 * E_MODEL when it is damaged or the pack was made for another level. */
vecmill_status model_read_config(const struct pack *pack, const struct kern *kern,
                                 struct model_config *config, vecmill_err *err);

/* Bytes of all weights as plain floats: about what a pack's section of them will have (levels that pack
 * them fill up to whole blocks). UINT64_MAX: more than there can be. */
uint64_t model_weight_bytes(const struct model_config *config);

/* A model mapped from a pack, with the products ready to run. Pair: model_close. The pack stays
 * open longer. E_MODEL when sections and their sizes disagree. */
struct model;
vecmill_status model_open(const struct pack *pack, const struct kern *kern, struct model **model,
                          vecmill_err *err);
void model_close(struct model *model);
const struct model_config *model_describe(const struct model *model);

/* What working memory depends on beside the configuration. */
struct model_extent {
    uint32_t tokens;  /* of a pass at most */
    uint32_t longest; /* tokens of a document at most; a longer one than `tokens` is a pass alone */
    size_t gemm_scratch; /* bytes for the products, model_gemm_scratch at least */
};

/* Working memory for such passes; planned and carved by one function. Needs no open model, so that it
 * can be told beforehand. SIZE_MAX: more than there can be. */
size_t model_workspace_bytes(const struct model_config *config, const struct kern *kern,
                             const struct model_extent *extent);

/* Scratch that this model's products ask for. */
size_t model_gemm_scratch(const struct model *model);

/* One pass: n_docs documents end to end, no padding between them.
 *   ids     [starts[n_docs]], each in [0, vocab) (checked: E_INTERNAL)
 *   starts  [n_docs + 1], starts[0] = 0; document d is ids[starts[d] .. starts[d + 1]), 1 to longest
 *   vectors [n_docs, hidden], written
 *   memory  model_workspace_bytes of this extent, aligned to 4096 */
vecmill_status model_forward(struct model *model, void *memory, const struct model_extent *extent,
                             const int32_t *ids, const uint32_t *starts, uint32_t n_docs,
                             float *vectors, vecmill_err *err);

/* Runs a little of everything that passes run, so that what libraries take at first use is taken: one
 * layer over a few tokens, which is every product, attention and pooling, and one product at every row
 * count. memory and extent as for model_forward; what was in memory is overwritten. All products
 * at all row counts would be six times the work, and take nothing more (tests/engine/test_fence.c). */
vecmill_status model_warm(struct model *model, void *memory, const struct model_extent *extent,
                          vecmill_err *err);

/* The products of a layer: what model_open prepares, once for all layers. */
#define MODEL_PRODUCTS 4
void model_products(const struct model_config *config, struct gemm_shape shapes[MODEL_PRODUCTS]);

/* Floating-point operations of one document of n tokens (docs/MODEL.md, "Operations"). */
double model_flops(const struct model_config *config, uint32_t n);

#endif
