/* layout: the table of parts, and the one function that places them. */
#include "layout.h"

#include "ending.h"

#include <math.h>

/* Sizes in words of the configuration, resolved by size_of. */
enum size { NONE, ONE, HIDDEN, INTER, VOCAB, POSITIONS, TYPES };

static const struct {
    const char *tensors[LAYOUT_SOURCES_MAX];
    enum size tensor_rows, rows, columns;
    enum layout_gemm gemm;
} parts[PARTS] = {
    [PART_WORD] = {{"word_embeddings.weight"}, VOCAB, VOCAB, HIDDEN, LAYOUT_PLAIN},
    [PART_POSITION] = {{"position_embeddings.weight"}, POSITIONS, POSITIONS, HIDDEN, LAYOUT_PLAIN},
    [PART_TYPE] = {{"token_type_embeddings.weight"}, TYPES, ONE, HIDDEN, LAYOUT_PLAIN},
    [PART_EMBED_GAMMA] = {{"LayerNorm.weight"}, HIDDEN, HIDDEN, NONE, LAYOUT_PLAIN},
    [PART_EMBED_BETA] = {{"LayerNorm.bias"}, HIDDEN, HIDDEN, NONE, LAYOUT_PLAIN},
    [PART_QKV_WEIGHT] = {{"attention.self.query.weight", "attention.self.key.weight",
                          "attention.self.value.weight"},
                         HIDDEN,
                         HIDDEN,
                         HIDDEN,
                         GEMM_QKV},
    [PART_QKV_BIAS] = {{"attention.self.query.bias", "attention.self.key.bias",
                        "attention.self.value.bias"},
                       HIDDEN,
                       HIDDEN,
                       NONE,
                       LAYOUT_PLAIN},
    [PART_OUT_WEIGHT] = {{"attention.output.dense.weight"}, HIDDEN, HIDDEN, HIDDEN, GEMM_OUT},
    [PART_OUT_BIAS] = {{"attention.output.dense.bias"}, HIDDEN, HIDDEN, NONE, LAYOUT_PLAIN},
    [PART_NORM1_GAMMA] =
        {{"attention.output.LayerNorm.weight"}, HIDDEN, HIDDEN, NONE, LAYOUT_PLAIN},
    [PART_NORM1_BETA] = {{"attention.output.LayerNorm.bias"}, HIDDEN, HIDDEN, NONE, LAYOUT_PLAIN},
    [PART_UP_WEIGHT] = {{"intermediate.dense.weight"}, INTER, INTER, HIDDEN, GEMM_UP},
    [PART_UP_BIAS] = {{"intermediate.dense.bias"}, INTER, INTER, NONE, LAYOUT_PLAIN},
    [PART_DOWN_WEIGHT] = {{"output.dense.weight"}, HIDDEN, HIDDEN, INTER, GEMM_DOWN},
    [PART_DOWN_BIAS] = {{"output.dense.bias"}, HIDDEN, HIDDEN, NONE, LAYOUT_PLAIN},
    [PART_NORM2_GAMMA] = {{"output.LayerNorm.weight"}, HIDDEN, HIDDEN, NONE, LAYOUT_PLAIN},
    [PART_NORM2_BETA] = {{"output.LayerNorm.bias"}, HIDDEN, HIDDEN, NONE, LAYOUT_PLAIN},
};

static uint32_t size_of(const struct model_config *c, uint32_t types, enum size size)
{
    switch (size) {
    case NONE:
        return 0;
    case ONE:
        return 1;
    case HIDDEN:
        return c->hidden;
    case INTER:
        return c->intermediate;
    case VOCAB:
        return c->vocab;
    case POSITIONS:
        return c->max_positions;
    case TYPES:
        return types;
    }
    return 0;
}

struct layout_source layout_source(const struct model_config *config, uint32_t types,
                                   enum layout_part part)
{
    struct layout_source source = {
        .rows = size_of(config, types, parts[part].rows),
        .columns = size_of(config, types, parts[part].columns),
        .tensor_rows = size_of(config, types, parts[part].tensor_rows),
        .gemm = parts[part].gemm,
    };
    for (uint32_t i = 0; i < LAYOUT_SOURCES_MAX; i++) {
        source.tensors[i] = parts[part].tensors[i];
    }
    return source;
}

struct gemm_shape layout_gemm_shape(const struct model_config *config, enum layout_gemm gemm)
{
    const uint32_t h = config->hidden, inter = config->intermediate;
    struct gemm_shape shape = {.k = h, .n = h, .precision = (enum kern_precision)config->precision};
    if (gemm == GEMM_QKV) shape.n = 3 * h;
    if (gemm == GEMM_UP) shape.n = inter;
    if (gemm == GEMM_UP) shape.act = GEMM_GELU_ERF;
    if (gemm == GEMM_DOWN) shape.k = inter;
    return shape;
}

struct attention_shape layout_attention_shape(const struct model_config *config)
{
    const uint32_t d = config->hidden / config->n_heads;
    return (struct attention_shape){
        .heads = config->n_heads,
        .kv_heads = config->n_heads,
        .d = d,
        .divisor = sqrtf((float)d),
        .window = ATTENTION_ALL,
    };
}

/* Bytes of a part that is stored as plain floats. */
static bool plain_bytes(const struct layout_source *source, size_t *bytes)
{
    size_t n = source->rows, tensors = 0;
    while (tensors < LAYOUT_SOURCES_MAX && source->tensors[tensors]) {
        tensors++;
    }
    return num_mul(n, source->columns ? source->columns : 1, &n) && num_mul(n, tensors, &n) &&
           num_mul(n, sizeof(float), bytes);
}

/* Moves *pos past `bytes` and up to the next multiple of LAYOUT_ALIGN. */
static bool place(size_t *pos, size_t bytes)
{
    if (!num_add(*pos, bytes, pos) || !num_add(*pos, LAYOUT_ALIGN - 1, pos)) return false;
    *pos &= ~(size_t)(LAYOUT_ALIGN - 1);
    return true;
}

vecmill_status layout_make(const struct model_config *config, const struct kern *kern,
                           struct layout *layout, vecmill_err *err)
{
    struct layout made = {0};
    size_t packed[LAYOUT_GEMMS], pos = 0, layers = 0;
    bool fits = true;
    const size_t word_bytes =
        table_row_bytes((enum kern_precision)config->precision, config->hidden);
    for (int i = 0; i < LAYOUT_GEMMS; i++) {
        struct gemm_shape shape = layout_gemm_shape(config, (enum layout_gemm)i);
        VM_TRY(gemm_packed_bytes(kern, shape, &packed[i], err));
    }
    for (int part = 0; part < PARTS; part++) {
        if (part == PARTS_ONCE) {
            made.first_layer = pos;
            pos = 0;
        }
        struct layout_source source = layout_source(config, 1, (enum layout_part)part);
        if (part == PART_WORD) {
            fits = fits && num_mul(config->vocab, word_bytes, &made.bytes[part]);
        } else if (source.gemm != LAYOUT_PLAIN) {
            made.bytes[part] = packed[source.gemm];
        } else {
            fits = fits && plain_bytes(&source, &made.bytes[part]);
        }
        made.at[part] = pos;
        fits = fits && place(&pos, made.bytes[part]);
    }
    made.layer_bytes = pos;
    fits = fits && num_mul(made.layer_bytes, config->n_layers, &layers) &&
           num_add(made.first_layer, layers, &made.total);
    if (!fits) {
        return err_set(err, VECMILL_E_MODEL, "the weights of %u layers pass the address space",
                       config->n_layers);
    }
    *layout = made;
    return VECMILL_OK;
}

uint64_t model_weight_bytes(const struct model_config *config, const struct kern *kern)
{
    struct layout layout;
    struct ending_layout ending;
    if (layout_make(config, kern, &layout, NULL) != VECMILL_OK ||
        ending_layout(config, kern, &ending, NULL) != VECMILL_OK)
        return UINT64_MAX;
    return (uint64_t)layout.total + ending.total;
}
