/* layout: where each weight is in the pack's section "model.weights".
 *
 * The family says which parts there are, of which tensors, and how large (arch.h). The writer
 * (model_compile.c) and the reader (forward.c) both use this layout, so they cannot differ. Every
 * part begins at a multiple of 64 bytes. docs/MODEL.md, "Pack", shows it. */
#ifndef MODEL_LAYOUT_H
#define MODEL_LAYOUT_H

#include "arch.h"

#define LAYOUT_ALIGN  64u
#define LAYOUT_ABSENT SIZE_MAX

struct layout {
    /* Of layers of a kind, offset from the layer's start; of what there is once, kind 0, in the
     * section. LAYOUT_ABSENT: no such part. */
    size_t at[KINDS][PARTS];
    /* Without the padding to LAYOUT_ALIGN; of a part of several products, all of them, each padded. */
    size_t bytes[KINDS][PARTS];
    size_t layers[MODEL_LAYERS_MAX]; /* where each begins */
    size_t total;
};

/* Moves *pos past `bytes` and up to the next multiple of LAYOUT_ALIGN; false: the address space. */
bool layout_place(size_t *pos, size_t bytes);

/* E_MODEL when the sum exceeds the address space; kern's error for a shape it refuses. */
vecmill_status layout_make(const struct arch *arch, const struct model_config *config,
                           const struct kern *kern, struct layout *layout, vecmill_err *err);

/* The pack's section "model.config". */
#define LAYOUT_CONFIG_VERSION 15u
struct layout_config {
    uint32_t version;
    uint32_t bytes; /* sizeof(struct layout_config) */
    char kern[48];  /* kern_signature of the level and precision that the weights are packed for */
    uint64_t total; /* layout.total */
    struct model_config model;
};

#define LAYOUT_CONFIG_SECTION  "model.config"
#define LAYOUT_WEIGHTS_SECTION "model.weights"
#define LAYOUT_WORDS_SECTION   "model.words"

#endif
