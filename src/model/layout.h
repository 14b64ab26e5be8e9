/* layout: where each weight is in the pack's section "model.weights".
 *
 * One table lists the parts, the tensors they are made of and their sizes. The writer
 * (model_compile.c) and the reader (forward.c) both use it, so they cannot differ. Every part
 * begins at a multiple of 64 bytes. docs/MODEL.md, "Pack", shows it. */
#ifndef MODEL_LAYOUT_H
#define MODEL_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "model.h"

#define LAYOUT_ALIGN       64u
#define LAYOUT_SOURCES_MAX 3u /* tensors stacked into one part: query, key, value */

/* The four products of a layer. */
enum layout_gemm {
    GEMM_QKV,
    GEMM_OUT,
    GEMM_UP,
    GEMM_DOWN,
    LAYOUT_GEMMS,
    LAYOUT_PLAIN = LAYOUT_GEMMS
};

enum layout_part {
    /* once, before the layers */
    PART_WORD,     /* [vocab] rows of a table (kern.h) of hidden, in the precision */
    PART_POSITION, /* [max_positions, hidden] */
    PART_TYPE,     /* [hidden]: row 0 of the token type table */
    PART_EMBED_GAMMA,
    PART_EMBED_BETA,
    PARTS_ONCE,

    /* in each layer */
    PART_QKV_WEIGHT = PARTS_ONCE, /* packed [3 hidden, hidden]: query, key, value */
    PART_QKV_BIAS,                /* [3 hidden] */
    PART_OUT_WEIGHT,              /* packed [hidden, hidden] */
    PART_OUT_BIAS,
    PART_NORM1_GAMMA,
    PART_NORM1_BETA,
    PART_UP_WEIGHT,   /* packed [intermediate, hidden] */
    PART_UP_BIAS,     /* [intermediate] */
    PART_DOWN_WEIGHT, /* packed [hidden, intermediate] */
    PART_DOWN_BIAS,
    PART_NORM2_GAMMA,
    PART_NORM2_BETA,
    PARTS
};

/* What a part is made of. */
struct layout_source {
    /* Names after "embeddings." or "encoder.layer.N."; NULL: no more */
    const char *tensors[LAYOUT_SOURCES_MAX];
    uint32_t rows; /* rows of each tensor that are used; the vector's length when columns is 0 */
    uint32_t columns;
    uint32_t tensor_rows; /* rows of each tensor in the file */
    enum layout_gemm gemm;
};
struct layout_source layout_source(const struct model_config *config, uint32_t types,
                                   enum layout_part part);

/* Inputs, outputs and activation of a product. */
struct gemm_shape layout_gemm_shape(const struct model_config *config, enum layout_gemm gemm);

struct attention_shape layout_attention_shape(const struct model_config *config);

struct layout {
    size_t at[PARTS];    /* offset in the section; in a layer: from the layer's start */
    size_t bytes[PARTS]; /* without the padding to LAYOUT_ALIGN */
    size_t first_layer;
    size_t layer_bytes; /* from one layer to the next */
    size_t total;
};

/* E_MODEL when the sum exceeds the address space; kern's error for a shape it refuses. */
vecmill_status layout_make(const struct model_config *config, const struct kern *kern,
                           struct layout *layout, vecmill_err *err);

/* The pack's section "model.config". */
#define LAYOUT_CONFIG_VERSION 5u
struct layout_config {
    uint32_t version;
    uint32_t bytes; /* sizeof(struct layout_config) */
    char kern[48];  /* kern_signature of the level and precision that the weights are packed for */
    uint64_t total; /* layout.total */
    struct model_config model;
};

#define LAYOUT_CONFIG_SECTION  "model.config"
#define LAYOUT_WEIGHTS_SECTION "model.weights"

#endif
