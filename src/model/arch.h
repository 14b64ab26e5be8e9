/* arch: what an encoder is made of.
 *
 * A family of models is one const struct arch in a file of its own (arch_*.c), listed in arch.c: the
 * keys of its config.json, the tensors of its checkpoint, and the steps of a pass. Everything else
 * is derived from it: the pack's layout (layout.c), compilation (model_compile.c), working memory
 * (work.c), the pass itself and its operations (forward.c). No other file names a family. */
#ifndef MODEL_ARCH_H
#define MODEL_ARCH_H

#include "config.h"

struct weights;

/* ---- kinds of layers ---- */

/* Layers of one kind have the same parts, sizes and steps. A kind is a set of these bits; which
 * layers have which is in the configuration (model.h). */
enum {
    KIND_LOCAL = 1,   /* keys at most `window` away, heads of a width and number of their own */
    KIND_EXPERTS = 2, /* the feed-forward is of experts */
    KINDS = 4
};
uint32_t arch_kind(const struct model_config *config, uint32_t layer);

/* ---- sizes ---- */

/* In words of the configuration; arch_size resolves them for layers of a kind, arch_most for the layer
 * that has the most. */
enum arch_size {
    SIZE_NONE,
    SIZE_ONE,
    SIZE_HIDDEN,
    SIZE_INTER,
    SIZE_TWO_INTER,
    SIZE_QUERIES, /* heads * head_dim */
    SIZE_KEYS,    /* key heads * head_dim */
    SIZE_QKV,     /* queries, keys and values */
    SIZE_HEAD,    /* width of a head */
    SIZE_HEADS,
    SIZE_KEY_HEADS,
    SIZE_LOCAL_HEAD, /* width of a head in layers with a window */
    SIZE_VOCAB,
    SIZE_ROWS,      /* of a word table that has not a row for each token */
    SIZE_POSITIONS, /* rows of the position table */
    SIZE_LENGTHS,   /* the longest document */
    SIZE_TYPES,
    SIZE_EXPERTS,
    SIZE_EXPERTS_INTER, /* intermediate of all experts together */
    SIZE_INPUT,         /* width of a layer's own input */
    SIZE_INPUTS,        /* of all layers' */
    SIZE_STATE,         /* of a row of the last hidden state */
    SIZE_TASKS,         /* tasks that have low-rank parts */
    SIZE_RANK,          /* of these parts */
    SIZE_DISTANCES,     /* vectors that stand for distances */
    SIZE_BUCKETS,       /* of relative positions */
    SIZE_SPAN           /* distances of a table of relative positions: 2 * span + 1 */
};
uint32_t arch_size(const struct model_config *config, uint32_t kind, enum arch_size size);
uint32_t arch_most(const struct model_config *config, enum arch_size size);

/* ---- weights ---- */

/* What a pack may hold. A weight's bias follows it. */
enum arch_part {
    /* once */
    PART_WORD,           /* rows of a table (kern.h), in the precision */
    PART_ROW_OF,         /* [vocab], as uint32_t: each token's row of the word table */
    PART_FACTOR,         /* [vocab]: of each token's row */
    PART_POSITION,       /* [positions, hidden] */
    PART_TYPE,           /* [types, hidden] */
    PART_WORD_TASKS,     /* [tasks, vocab, rank]: the first low-rank part of the word table */
    PART_WORD_TASKS_OUT, /* [tasks, rank, hidden]: the second */
    PART_TYPE_TASKS,     /* [tasks, hidden]: both, of row 0 of the type table */
    PART_EMBED_NORM,
    PART_EMBED_NORM_BIAS,
    PART_DISTANCE,   /* what is added to scores by distance: slopes or a table (kern.h) */
    PART_ROPE,       /* [lengths, head_dim]: cosines and sines of positions */
    PART_ROPE_LOCAL, /* the same for layers with a window */
    PART_FINAL_NORM,
    PART_FINAL_NORM_BIAS,
    PART_STATE, /* product [state, hidden]: the last hidden state of the normalised one */
    PART_STATE_BIAS,
    PART_VOCAB_DENSE, /* product [hidden, hidden], activated: what the vocabulary's weights are of */
    PART_VOCAB_DENSE_BIAS,
    PART_VOCAB_NORM,
    PART_VOCAB_NORM_BIAS,
    PART_VOCAB, /* sliced product [vocab, hidden]: logits of the vocabulary */
    PART_VOCAB_BIAS,
    PARTS_ONCE,

    /* in each layer */
    PART_QKV = PARTS_ONCE, /* product [qkv, hidden]: queries, keys, values */
    PART_QKV_BIAS,
    PART_OUT, /* product [hidden, queries] */
    PART_OUT_BIAS,
    PART_UP, /* product [inter, hidden], or [2 inter, hidden]: the activated half first */
    PART_UP_BIAS,
    PART_DOWN, /* product [hidden, inter] */
    PART_DOWN_BIAS,
    PART_NORM1,
    PART_NORM1_BIAS,
    PART_NORM2,
    PART_NORM2_BIAS,
    PART_NORM3,
    PART_NORM3_BIAS,
    PART_NORM4,
    PART_NORM4_BIAS,
    PART_NORM5,
    PART_NORM5_BIAS,
    PART_ROUTER,       /* product [experts, hidden], in fp32 */
    PART_EXPERTS_UP,   /* of each expert a product [inter, hidden] */
    PART_EXPERTS_DOWN, /* of each a product [hidden, inter] */
    PART_EXPERTS_BIAS, /* [hidden]: of their sum */
    PART_INPUT,        /* product [input, hidden]: the layer's own input, of the embedding */
    PART_INPUT_BIAS,
    PART_INPUT_NORM,
    PART_INPUT_NORM_BIAS,
    PART_INPUT_GATE, /* product [input, hidden], activated */
    PART_INPUT_GATE_BIAS,
    PART_INPUT_OUT, /* product [hidden, input] */
    PART_INPUT_OUT_BIAS,
    PART_SCALAR,           /* [1]: factor of the layer's output */
    PART_DISTANCE_KEYS,    /* of each head a product [distances, head]: a query's with distances */
    PART_DISTANCE_QUERIES, /* the same: a key's with distances */
    PART_QKV_TASKS, /* of each task a product [rank, inputs], in fp32, of the product before it */
    PART_OUT_TASKS,
    PART_UP_TASKS,
    PART_DOWN_TASKS,
    PART_Q_NORM,
    PART_Q_NORM_BIAS,
    PART_K_NORM,
    PART_K_NORM_BIAS,
    PARTS
};

/* How a part is stored. */
enum arch_storage {
    STORE_FLOATS,    /* as they are */
    STORE_INDEX,     /* whole numbers from 0 to SIZE_ROWS - 1, as uint32_t */
    STORE_TABLE,     /* rows of a table in the precision (kern.h) */
    STORE_PRODUCT,   /* packed by gemm_pack */
    STORE_SLICED,    /* the same, each ARCH_SLICE rows as a product by itself (arch_slice) */
    STORE_PROJECTED, /* a product of each head, whose matrix is itself what a product makes */
    STORE_COMPUTED   /* floats that `compute` makes */
};

/* Rows of a tensor of the checkpoint: `rows` of them from `skip` on, of `of` in all (SIZE_NONE: no
 * others). Names are without the encoder's prefix, or whole after a slash; %u is the layer. */
struct arch_source {
    const char *tensor;
    enum arch_size rows, skip, of;
    enum arch_size columns; /* SIZE_NONE: the weight's */
    enum arch_size slabs;   /* number of such matrices in the tensor, all used; SIZE_NONE: one */
};

#define ARCH_SOURCES_MAX 3u

/* STORE_PROJECTED: the rows of sources[0], normalised where the configuration has norm_needs, times
 * matrix [queries, columns], plus bias: [rows, queries]. The columns of each head are a product's
 * matrix [rows, head]. It is computed when the pack is built, in fp32. */
struct arch_projection {
    const char *norm, *norm_bias, *matrix, *bias;
    uint32_t norm_needs;
};

/* A part that a family has. Products and tables stack their sources' rows. */
struct arch_weight {
    enum arch_part part;
    enum arch_storage storage;
    enum arch_size columns; /* of the tensors; SIZE_NONE: vectors */
    struct arch_source sources[ARCH_SOURCES_MAX];
    uint32_t needs; /* MODEL_HAS_* that the configuration must have, else the part is absent */
    uint32_t with, without; /* bits that the layer's kind has and lacks, else it is absent */
    bool not_first;         /* absent in layer 0 */
    bool by_layer;          /* of one tensor without %u, in which each layer has its own rows */

    /* STORE_PRODUCT */
    enum arch_size each; /* number of products that the rows make, in order; SIZE_NONE: one */
    bool transposed;     /* the tensor's rows are the product's inputs */
    bool exact;          /* in fp32, whatever the precision */
    /* Low-rank parts of tasks (Hu et al. 2022, LoRA): after its own inputs the product has `rank` of
     * each task, whose columns are those of task_tensor [tasks, outputs, rank] times the
     * configuration's task_scale. A row's inputs of the pass's task are what the part `task` makes
     * of it, those of others are 0. */
    enum arch_part task; /* 0: none */
    const char *task_tensor;

    struct arch_projection through; /* STORE_PROJECTED */

    /* STORE_COMPUTED: a part of [rows, width] floats; `compute` writes n rows from row `first` on.
     * tensor: the source's floats, NULL where there is none. */
    enum arch_size rows, width;
    void (*compute)(const struct model_config *config, const float *tensor, uint32_t first,
                    uint32_t n, float *out);
};

/* ---- steps ---- */

/* Rows that a pass computes with; of a block of tokens. */
enum arch_rows {
    ROWS_NONE,
    ROWS_X,        /* [hidden]: the residual stream, from layer to layer */
    ROWS_Y,        /* [hidden]: what is added to it */
    ROWS_Z,        /* [hidden]: normalised, where X is kept */
    ROWS_QKV,      /* [qkv] */
    ROWS_CONTEXT,  /* [queries]: attention's output */
    ROWS_UP,       /* [inter], or [input] */
    ROWS_EMBEDDED, /* [hidden]: the embedding, kept for all layers */
    ROWS_STATE,    /* [state]: the last hidden state, where it is not X */
    ROWS_KINDS
};

enum arch_op {
    OP_END,
    OP_PRODUCT, /* out = in W^T + b; PART_UP: act of it, gated where the family is */
    OP_NORM,    /* out = norm(in + add); the norm of a part that is absent: in */
    OP_ADD,     /* out = out + in */
    OP_EXPERTS, /* out = what the experts that a row chooses make of in, by their shares (experts.h) */
    OP_COPY,    /* out = in */
    OP_MULTIPLY, /* out = out * in, of PART_INPUT's outputs */
    OP_SCALE,    /* out = out * PART_SCALAR */
    OP_V_NORM,   /* values are normalised, a head each, without weights */
    OP_QK_NORM,  /* queries and keys, by PART_Q_NORM and PART_K_NORM: over a head, or over all */
    OP_ROPE,     /* queries and keys are rotated by their positions */
    OP_ATTEND    /* context = attention of a document's queries, keys and values */
};

struct arch_step {
    enum arch_op op;
    enum arch_part part;
    enum arch_rows in, add, out;
    enum arch_size eps_times; /* of OP_NORM: factor of the configuration's epsilon; SIZE_NONE: 1 */
};

#define STEP_PRODUCT(weight, from, to)                                                             \
    {                                                                                              \
        .op = OP_PRODUCT, .part = PART_##weight, .in = ROWS_##from, .out = ROWS_##to               \
    }
#define STEP_NORM(weight, from, to)                                                                \
    {                                                                                              \
        .op = OP_NORM, .part = PART_##weight, .in = ROWS_##from, .out = ROWS_##to                  \
    }
/* to = norm(to + added) */
#define STEP_ADD_NORM(weight, added, to)                                                           \
    {                                                                                              \
        .op = OP_NORM, .part = PART_##weight, .in = ROWS_##to, .add = ROWS_##added,                \
        .out = ROWS_##to                                                                           \
    }
/* to = norm(from + added); `to` is neither, and `from` is overwritten */
#define STEP_SUM_NORM(weight, from, added, to)                                                     \
    {                                                                                              \
        .op = OP_NORM, .part = PART_##weight, .in = ROWS_##from, .add = ROWS_##added,              \
        .out = ROWS_##to                                                                           \
    }
#define STEP_ADD(from, to)                                                                         \
    {                                                                                              \
        .op = OP_ADD, .in = ROWS_##from, .out = ROWS_##to                                          \
    }
#define STEP_EXPERTS(from, to)                                                                     \
    {                                                                                              \
        .op = OP_EXPERTS, .in = ROWS_##from, .out = ROWS_##to                                      \
    }
#define STEP_COPY(from, to)                                                                        \
    {                                                                                              \
        .op = OP_COPY, .in = ROWS_##from, .out = ROWS_##to                                         \
    }
#define STEP_MULTIPLY(from, to)                                                                    \
    {                                                                                              \
        .op = OP_MULTIPLY, .part = PART_INPUT, .in = ROWS_##from, .out = ROWS_##to                 \
    }
#define STEP_SCALE(rows)                                                                           \
    {                                                                                              \
        .op = OP_SCALE, .out = ROWS_##rows                                                         \
    }
#define STEP_V_NORM                                                                                \
    {                                                                                              \
        .op = OP_V_NORM                                                                            \
    }
#define STEP_QK_NORM                                                                               \
    {                                                                                              \
        .op = OP_QK_NORM                                                                           \
    }
#define STEP_ROPE                                                                                  \
    {                                                                                              \
        .op = OP_ROPE                                                                              \
    }
#define STEP_ATTEND                                                                                \
    {                                                                                              \
        .op = OP_ATTEND                                                                            \
    }
#define STEP_END                                                                                   \
    {                                                                                              \
        .op = OP_END                                                                               \
    }

/* ---- heads ---- */

/* A step of the head that scores pairs (classifier.h). Tensors are the transformer's; a name is the
 * whole of one's, or its end after a dot. */
struct arch_head_step {
    enum model_step_kind kind; /* a Dense or a LayerNorm */
    const char *weight, *bias; /* tensors; NULL at the end of the list, or for no bias */
    enum model_act act;
    const char *act_key;  /* of config.json, where it may say another activation */
    const char *bias_key; /* where it says whether there is a bias */
    bool without_bias;    /* there is none unless bias_key says so */
    bool is_last;         /* its outputs are the labels' logits; of others as many as inputs */
};

#define ARCH_HEAD_STEPS 4u
struct arch_head {
    enum model_pooling pooling;
    const char *pooling_key; /* where config.json may say "cls" or "mean" */
    struct arch_head_step steps[ARCH_HEAD_STEPS];
};

/* Row 0 through a Dense with tanh, and the labels of it, by the names of BERT and by RoBERTa's. */
extern const struct arch_head arch_pooler_head, arch_dense_head;

/* ---- a family ---- */

struct arch {
    const char *name;  /* in packs and facts: "bert" */
    const char *title; /* in messages: "BERT" */

    /* config.json. The first family of the list counts whose model types hold "model_type" and whose
     * `matches`, where it has one, agrees. */
    const char *const *model_types;
    bool (*matches)(const struct json_value *config);
    const char *section; /* member of config.json that has the keys; NULL, or absent: itself */
    const char *const *classes; /* beginnings of the names in "architectures" */
    const struct json_field *fields;
    size_t n_fields;
    /* Values before any key was read; NULL: zeros. And after all were: what follows from them. */
    void (*defaults)(struct config *config);
    vecmill_status (*settle)(struct config *config, const char *shown, vecmill_err *err);
    /* Sizes that only the weights say; NULL: config.json has all. */
    vecmill_status (*measure)(struct config *config, const struct weights *weights,
                              vecmill_err *err);
    /* The class in modules.json that is such a model without a config.json; NULL: none. */
    const char *module;

    /* The checkpoint. Tensors under the prefix that begin with a root are the encoder's: each is
     * either used or in `ignored`, by its name or, after a star, by how it ends. */
    const struct arch_weight *weights;
    size_t n_weights;
    /* Parts PART_VOCAB_*, of the head that predicts masked tokens (vocab.h), where a model makes weights
     * of it; NULL: it is not known. The activation of its Dense; GEMM_NONE: the configuration's. */
    const struct arch_weight *vocab;
    size_t n_vocab;
    enum gemm_act vocab_act;
    const char *const *roots, *const *ignored; /* NULL at their ends */

    /* The pass: X = sum of the tables' rows, then `embed`; each layer; `final`. Or, of a bag, a
     * document's vector is the mean of its tokens' rows of the word table, each times its factor;
     * there are no layers, and a document may have no token: then it is zeros. */
    bool bag;
    const struct arch_step *embed, *layer, *final;
    const struct arch_step *expert_layer; /* of layers with experts, which most families lack */
    enum norm_kind norm;
    bool gated;
    enum attention_bias bias;
    const struct arch_head *head;          /* of models that score pairs; NULL: none is known */
    const struct model_question *question; /* of language models; NULL: they are not asked */
};

/* The family of this name; NULL: there is none. And by what config.json says. */
const struct arch *arch_named(const char *name);
const struct arch *arch_of_config(const struct json_value *config);
/* The family of a class of modules.json, without the packages before it; NULL: none. */
const struct arch *arch_of_module(const char *class);

/* Names of all model types, for a message: "bert, xlm-roberta, ..."; false when they do not fit. */
bool arch_model_types(char *out, size_t most);

/* The weight of this part, in layers of a kind; NULL: the family, or this configuration, has none. The
 * kind of what there is once is 0. */
const struct arch_weight *arch_weight(const struct arch *arch, const struct model_config *config,
                                      uint32_t kind, enum arch_part part);

/* The steps of layers of a kind. */
const struct arch_step *arch_steps(const struct arch *arch, uint32_t kind);

/* Inputs, outputs and activation of a product; and how many there are of it. */
uint32_t arch_each(const struct model_config *config, uint32_t kind, const struct arch_weight *w);
struct gemm_shape arch_product(const struct arch *arch, const struct model_config *config,
                               uint32_t kind, enum arch_part part);

/* Of a sliced part: the number of slices, and the product that slice i is. */
#define ARCH_SLICE 256u
uint32_t arch_slices(const struct arch *arch, const struct model_config *config,
                     enum arch_part part);
struct gemm_shape arch_slice(const struct arch *arch, const struct model_config *config,
                             enum arch_part part, uint32_t i);

struct attention_shape arch_attention(const struct arch *arch, const struct model_config *config,
                                      uint32_t kind);

/* Whether a step writes or reads these rows. */
bool arch_uses(const struct arch *arch, enum arch_rows rows);

/* ---- what families share (arch_common.c) ---- */

#define ARCH_AT(member)    offsetof(struct config, member)
#define ARCH_LIMIT(number) .least = 1, .most = (number), .most_name = #number
#define ARCH_LENGTH(list)  (sizeof(list) / sizeof *(list))

/* A key that changes what is computed unless it is absent, null, false or empty. */
#define ARCH_UNSET(word) JSON_MAY(word, OWN, 0, .own = config_read_unset)
/* A text that must be this one. */
#define ARCH_ONLY(word, text) JSON_MAY(word, OWN, 0, .own = config_read_only, .detail = (text))
#define ARCH_EPS(word, ...)                                                                        \
    JSON_MAY(word, FLOAT, ARCH_AT(model.eps), .low = 1e-20, .high = 1.0, __VA_ARGS__)
#define ARCH_ACT(word) JSON_MAY(word, OWN, ARCH_AT(model.act), .own = arch_read_act)
#define ARCH_SIZE(word, member, limit, ...)                                                        \
    JSON_MUST(word, U32, ARCH_AT(model.member), .least = 1, .most = (limit), .most_name = #limit,  \
              __VA_ARGS__)

/* The sizes that most families call alike. */
#define ARCH_SIZES                                                                                 \
    ARCH_SIZE("num_hidden_layers", n_layers, MODEL_LAYERS_MAX),                                    \
        ARCH_SIZE("hidden_size", hidden, MODEL_HIDDEN_MAX),                                        \
        ARCH_SIZE("num_attention_heads", n_heads, MODEL_HIDDEN_MAX),                               \
        ARCH_SIZE("intermediate_size", intermediate, CONFIG_INTERMEDIATE_MAX),                     \
        ARCH_SIZE("vocab_size", vocab, CONFIG_VOCAB_MAX)
#define ARCH_HEAD_DIM                                                                              \
    JSON_MAY("head_dim", U32, ARCH_AT(model.head_dim), ARCH_LIMIT(CONFIG_HEAD_MAX))
#define ARCH_KV_HEADS                                                                              \
    JSON_MAY("num_key_value_heads", OWN, 0, .own = arch_read_kv_heads, .takes_null = true)
#define ARCH_POSITIONS ARCH_SIZE("max_position_embeddings", positions, MODEL_LENGTH_MAX)
#define ARCH_TYPES                                                                                 \
    JSON_MAY("type_vocab_size", U32, ARCH_AT(model.types), ARCH_LIMIT(CONFIG_TYPES_MAX))
/* Keys of transformers' encoders that would make another model of it. */
#define ARCH_NO_DECODER                                                                            \
    ARCH_UNSET("is_decoder"), ARCH_UNSET("add_cross_attention"), ARCH_UNSET("pruned_heads"),       \
        ARCH_UNSET("quantization_config"), ARCH_UNSET("is_encoder_decoder")

/* A flag that must be as the models of the family have it. */
#define ARCH_TRUE(word)         JSON_MAY(word, OWN, 0, .own = arch_read_true)
#define ARCH_FLAG(word, member) JSON_MAY(word, BOOL, ARCH_AT(keys.member))
#define ARCH_UNREAD(word)       JSON_MAY(word, UNREAD, 0)
#define ARCH_THETA(word, member, ...)                                                              \
    JSON_MAY(word, FLOAT, ARCH_AT(keys.member), .low = 1, .high = 1e12, __VA_ARGS__)
/* Rotary positions in the spelling of transformers 5 and in the one before it. */
#define ARCH_ROPE(word)                                                                            \
    ARCH_THETA(word, theta), JSON_MAY("rope_parameters", ANY, ARCH_AT(keys.rope_parameters)),      \
        JSON_MAY("rope_scaling", ANY, ARCH_AT(keys.rope_scaling))
#define ARCH_LAYER_TYPES JSON_MAY("layer_types", ANY, ARCH_AT(keys.layer_types))

json_field_own arch_read_true, arch_read_act, arch_read_kv_heads;

/* Fills model.rope_theta and rope_local_theta from the keys of ARCH_ROPE: "rope_parameters", flat or
 * by layer type, then the old keys, then these defaults (local_theta 0: the family has no layers with
 * a window). E_MODEL when two spellings differ, or for a scaling that is not computed. */
vecmill_status arch_settle_rope(struct config *config, const char *shown, float theta,
                                float local_theta, vecmill_err *err);

/* Fills model.local from "layer_types", else from `every`: all layers have the window but each
 * every-th, the first of them `first`. */
vecmill_status arch_settle_layers(struct config *config, const char *shown, uint32_t first,
                                  vecmill_err *err);

/* Parts PART_ROPE and PART_ROPE_LOCAL: cosines, then sines, of position * theta^(-2i/d), for
 * i < d / 2, in float as transformers computes them (Su et al. 2021, eq. 15 and 34). */
#define ARCH_ROPE_TABLE(place, width_of_row, function)                                             \
    {                                                                                              \
        .part = PART_##place, .storage = STORE_COMPUTED, .rows = SIZE_LENGTHS,                     \
        .width = SIZE_##width_of_row, .compute = (function)                                        \
    }
#define ARCH_ROPE_GLOBAL ARCH_ROPE_TABLE(ROPE, HEAD, arch_rope)
#define ARCH_ROPE_LOCAL  ARCH_ROPE_TABLE(ROPE_LOCAL, LOCAL_HEAD, arch_rope_local)
void arch_rope(const struct model_config *config, const float *tensor, uint32_t first, uint32_t n,
               float *out);
void arch_rope_local(const struct model_config *config, const float *tensor, uint32_t first,
                     uint32_t n, float *out);
/* One row of d floats, for a document of `len` tokens where the family scales by it. */
void arch_rope_row(const struct model_config *config, float theta, uint32_t d, uint32_t len,
                   uint32_t position, float *row);

/* out = 1 + tensor: norms that are stored around zero (RMSNorm of Gemma). */
void arch_one_plus(const struct model_config *config, const float *tensor, uint32_t first,
                   uint32_t n, float *out);
#define ARCH_ONE_PLUS(place, name, size)                                                           \
    {                                                                                              \
        .part = PART_##place, .storage = STORE_COMPUTED,                                           \
        .sources = {{.tensor = (name), .rows = SIZE_##size}}, .rows = SIZE_##size,                 \
        .width = SIZE_ONE, .compute = arch_one_plus                                                \
    }

/* Rows of weights: a vector, a product's matrix, and a product of queries, keys and values. */
#define ARCH_VECTOR(place, name, size, ...)                                                        \
    {                                                                                              \
        .part = PART_##place, .storage = STORE_FLOATS,                                             \
        .sources = {{.tensor = (name), .rows = SIZE_##size}}, __VA_ARGS__                          \
    }
#define ARCH_MATRIX(place, name, to, from, ...)                                                    \
    {                                                                                              \
        .part = PART_##place, .storage = STORE_PRODUCT, .columns = SIZE_##from,                    \
        .sources = {{.tensor = (name), .rows = SIZE_##to}}, __VA_ARGS__                            \
    }
#define ARCH_SLICED(place, name, to, from, ...)                                                    \
    {                                                                                              \
        .part = PART_##place, .storage = STORE_SLICED, .columns = SIZE_##from,                     \
        .sources = {{.tensor = (name), .rows = SIZE_##to}}, __VA_ARGS__                            \
    }
/* Of two tensors, or two halves of one, the activated first. */
#define ARCH_GATED(gate, up)                                                                       \
    {                                                                                              \
        .part = PART_UP, .storage = STORE_PRODUCT, .columns = SIZE_HIDDEN, .sources = {            \
            {.tensor = (gate), .rows = SIZE_INTER},                                                \
            {.tensor = (up), .rows = SIZE_INTER}                                                   \
        }                                                                                          \
    }
#define ARCH_GATED_SECOND(name)                                                                    \
    {                                                                                              \
        .part = PART_UP, .storage = STORE_PRODUCT, .columns = SIZE_HIDDEN, .sources = {            \
            {.tensor = (name), .rows = SIZE_INTER, .skip = SIZE_INTER, .of = SIZE_TWO_INTER},      \
            {.tensor = (name), .rows = SIZE_INTER, .of = SIZE_TWO_INTER}                           \
        }                                                                                          \
    }
#define ARCH_QKV(q, k, v)                                                                          \
    {                                                                                              \
        .part = PART_QKV, .storage = STORE_PRODUCT, .columns = SIZE_HIDDEN, .sources = {           \
            {.tensor = (q), .rows = SIZE_QUERIES},                                                 \
            {.tensor = (k), .rows = SIZE_KEYS},                                                    \
            {.tensor = (v), .rows = SIZE_KEYS}                                                     \
        }                                                                                          \
    }
#define ARCH_QKV_BIAS(q, k, v, ...)                                                                \
    {                                                                                              \
        .part = PART_QKV_BIAS, .storage = STORE_FLOATS,                                            \
        .sources = {{.tensor = (q), .rows = SIZE_QUERIES},                                         \
                    {.tensor = (k), .rows = SIZE_KEYS},                                            \
                    {.tensor = (v), .rows = SIZE_KEYS}},                                           \
        __VA_ARGS__                                                                                \
    }
#define ARCH_WORDS(name)                                                                           \
    {                                                                                              \
        .part = PART_WORD, .storage = STORE_TABLE, .columns = SIZE_HIDDEN, .sources = {            \
            {.tensor = (name), .rows = SIZE_VOCAB}                                                 \
        }                                                                                          \
    }
#define ARCH_POSITION_TABLE(name, ...)                                                             \
    {                                                                                              \
        .part = PART_POSITION, .storage = STORE_FLOATS, .columns = SIZE_HIDDEN,                    \
        .sources = {{.tensor = (name), .rows = SIZE_POSITIONS}}, __VA_ARGS__                       \
    }
#define ARCH_TYPE_TABLE(name)                                                                      \
    {                                                                                              \
        .part = PART_TYPE, .storage = STORE_FLOATS, .columns = SIZE_HIDDEN,                        \
        .sources = {{.tensor = (name), .rows = SIZE_TYPES}}, .needs = MODEL_HAS_TYPES              \
    }

/* A vocabulary's head: a Dense, a LayerNorm, and the product whose matrix is the word table, or a layer
 * of its own where the configuration has MODEL_HAS_OWN_VOCAB. All but the word table are outside the
 * encoder. */
#define ARCH_VOCAB_HEAD 8
#define ARCH_VOCAB(dense, norm, words, own, bias_name)                                             \
    {                                                                                              \
        ARCH_MATRIX(VOCAB_DENSE, "/" dense ".weight", HIDDEN, HIDDEN, .needs = MODEL_HAS_VOCAB),   \
            ARCH_VECTOR(VOCAB_DENSE_BIAS, "/" dense ".bias", HIDDEN, .needs = MODEL_HAS_VOCAB),    \
            ARCH_VECTOR(VOCAB_NORM, "/" norm ".weight", HIDDEN, .needs = MODEL_HAS_VOCAB),         \
            ARCH_VECTOR(VOCAB_NORM_BIAS, "/" norm ".bias", HIDDEN, .needs = MODEL_HAS_VOCAB),      \
            ARCH_SLICED(VOCAB, "/" own ".weight", VOCAB, HIDDEN,                                   \
                        .needs = MODEL_HAS_VOCAB | MODEL_HAS_OWN_VOCAB),                           \
            ARCH_SLICED(VOCAB, words, VOCAB, HIDDEN, .needs = MODEL_HAS_VOCAB),                    \
            ARCH_VECTOR(VOCAB_BIAS, "/" own ".bias", VOCAB,                                        \
                        .needs = MODEL_HAS_VOCAB | MODEL_HAS_OWN_VOCAB),                           \
            ARCH_VECTOR(VOCAB_BIAS, "/" bias_name, VOCAB, .needs = MODEL_HAS_VOCAB),               \
    }
/* That of RoBERTa and of those that took it over. */
extern const struct arch_weight arch_lm_head[ARCH_VOCAB_HEAD];

/* The weights of arch_post_norm_layer with learned positions, by the names of its first family
 * (arch_bert.c), which its relatives keep. */
#define ARCH_POST_NORM_WEIGHTS 17
extern const struct arch_weight arch_post_norm_weights[ARCH_POST_NORM_WEIGHTS];

/* Steps: a norm of the sum of tables; a layer with a norm after each half (Vaswani et al. 2017, 3.1),
 * and with rotary positions; a layer with a norm before each half, with rotary positions (Xiong et
 * al. 2020); the last norm of such layers; none. */
extern const struct arch_step arch_norm_embedding[], arch_post_norm_layer[], arch_rotary_layer[],
    arch_pre_norm_layer[], arch_final_norm[], arch_nothing[];

#endif
