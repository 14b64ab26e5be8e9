/* NomicBERT v1 and v1.5 (Nussbaum et al. 2024): BERT's encoder with rotary positions and a gated
 * product, under GPT-2's keys or transformers' own. And v2 (Nussbaum and Duderstadt 2025, arXiv
 * 2502.07972), whose products have biases and are not gated, and whose every second layer has
 * experts. */
#include "arch.h"

/* flash-attn names a gated product by its activation. */
static vecmill_status read_act(const struct json_reading *reading, const struct json_field *field,
                               const struct json_value *value, vecmill_err *err)
{
    static const struct {
        const char *name;
        enum gemm_act act;
    } gated[] = {{"swiglu", GEMM_SILU}, {"geglu", GEMM_GELU_ERF}};
    for (size_t i = 0; i < ARCH_LENGTH(gated); i++) {
        if (!json_is(value, gated[i].name)) continue;
        *(uint32_t *)(void *)((char *)reading->target + field->at) = gated[i].act;
        return VECMILL_OK;
    }
    return arch_read_act(reading, field, value, err);
}

/* Of both. v1.5 has both lengths, which differ: the second is the length of training. */
#define NOMIC_COMMON                                                                               \
    ARCH_UNREAD("auto_map"), ARCH_NO_DECODER, ARCH_UNSET("causal"), ARCH_UNSET("prenorm"),         \
        ARCH_UNSET("parallel_block"), ARCH_UNSET("use_rms_norm"),                                  \
        ARCH_UNSET("rotary_emb_interleaved"), ARCH_UNSET("rotary_emb_scale_base"),                 \
        ARCH_UNSET("scale_attn_by_inverse_layer_idx"),                                             \
        JSON_MAY("rotary_emb_fraction", FLOAT, ARCH_AT(keys.scalar), .low = 1, .high = 1),         \
        ARCH_SIZE("n_layer", n_layers, MODEL_LAYERS_MAX, .alias = "num_hidden_layers"),            \
        ARCH_SIZE("n_embd", hidden, MODEL_HIDDEN_MAX, .alias = "hidden_size"),                     \
        ARCH_SIZE("n_head", n_heads, MODEL_HIDDEN_MAX, .alias = "num_attention_heads"),            \
        ARCH_SIZE("n_inner", intermediate, CONFIG_INTERMEDIATE_MAX, .alias = "intermediate_size"), \
        ARCH_SIZE("vocab_size", vocab, CONFIG_VOCAB_MAX), ARCH_HEAD_DIM,                           \
        JSON_MAY("n_positions", U32, ARCH_AT(model.max_positions), ARCH_LIMIT(MODEL_LENGTH_MAX)),  \
        JSON_MAY("max_position_embeddings", U32, ARCH_AT(keys.positions),                          \
                 ARCH_LIMIT(MODEL_LENGTH_MAX)),                                                    \
        ARCH_TYPES, ARCH_EPS("layer_norm_epsilon", .alias = "layer_norm_eps"),                     \
        ARCH_ROPE("rotary_emb_base"),                                                              \
        JSON_MAY("rotary_scaling_factor", FLOAT, ARCH_AT(model.rope_factor), .low = 1,             \
                 .high = 1e6),                                                                     \
        JSON_MAY("max_trained_positions", U32, ARCH_AT(model.rope_trained),                        \
                 ARCH_LIMIT(MODEL_LENGTH_MAX))

/* ---- v1 ---- */

static const struct json_field fields[] = {
    JSON_MAY("activation_function", OWN, ARCH_AT(model.act), .own = read_act),
    JSON_MAY("hidden_act", OWN, ARCH_AT(keys.act), .own = read_act),
    NOMIC_COMMON,
    ARCH_UNSET("num_experts"),
    ARCH_UNSET("qkv_proj_bias"),
    ARCH_UNSET("mlp_fc1_bias"),
    ARCH_UNSET("mlp_fc2_bias"),
};

static void defaults(struct config *config)
{
    config->model.types = 2;
    config->model.eps = 1e-12f;
    config->model.act = GEMM_NONE; /* until one of its two keys is read */
    config->model.rope_trained = 2048;
}

static void settle_lengths(struct config *config)
{
    struct model_config *m = &config->model;
    m->max_positions = (uint32_t)num_max(m->max_positions, config->keys.positions);
    if (m->max_positions == 0) m->max_positions = 2048;
    if (m->rope_factor == 0) m->rope_trained = 0;
}

static vecmill_status settle(struct config *config, const char *shown, vecmill_err *err)
{
    struct model_config *m = &config->model;
    settle_lengths(config);
    if (m->act != GEMM_NONE && config->keys.act != GEMM_NONE && m->act != config->keys.act)
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"activation_function\" and \"hidden_act\" are not the same", shown);
    if (m->act == GEMM_NONE) m->act = config->keys.act;
    if (m->act == GEMM_NONE) m->act = GEMM_SILU;
    return arch_settle_rope(config, shown, 1000, 0, err);
}

#define NOMIC_WEIGHTS                                                                              \
    ARCH_WORDS("embeddings.word_embeddings.weight"),                                               \
        ARCH_TYPE_TABLE("embeddings.token_type_embeddings.weight"),                                \
        ARCH_VECTOR(EMBED_NORM, "emb_ln.weight", HIDDEN),                                          \
        ARCH_VECTOR(EMBED_NORM_BIAS, "emb_ln.bias", HIDDEN), ARCH_ROPE_GLOBAL,                     \
        ARCH_MATRIX(QKV, "encoder.layers.%u.attn.Wqkv.weight", QKV, HIDDEN),                       \
        ARCH_MATRIX(OUT, "encoder.layers.%u.attn.out_proj.weight", HIDDEN, QUERIES),               \
        ARCH_VECTOR(NORM1, "encoder.layers.%u.norm1.weight", HIDDEN),                              \
        ARCH_VECTOR(NORM1_BIAS, "encoder.layers.%u.norm1.bias", HIDDEN),                           \
        ARCH_VECTOR(NORM2, "encoder.layers.%u.norm2.weight", HIDDEN),                              \
        ARCH_VECTOR(NORM2_BIAS, "encoder.layers.%u.norm2.bias", HIDDEN)

static const struct arch_weight weights[] = {
    NOMIC_WEIGHTS,
    ARCH_GATED("encoder.layers.%u.mlp.fc12.weight", "encoder.layers.%u.mlp.fc11.weight"),
    ARCH_MATRIX(DOWN, "encoder.layers.%u.mlp.fc2.weight", HIDDEN, INTER),
};

const struct arch arch_nomic = {
    .name = "nomic_bert",
    .title = "NomicBERT",
    .model_types = (const char *const[]){"nomic_bert", NULL},
    .classes = (const char *const[]){"NomicBert", NULL},
    .fields = fields,
    .n_fields = ARCH_LENGTH(fields),
    .defaults = defaults,
    .settle = settle,
    .weights = weights,
    .n_weights = ARCH_LENGTH(weights),
    .roots = (const char *const[]){"embeddings.", "emb_ln.", "encoder.", NULL},
    .ignored = (const char *const[]){"embeddings.position_ids", NULL},
    .embed = arch_norm_embedding,
    .layer = arch_rotary_layer,
    .final = arch_nothing,
    .gated = true,
};

/* ---- v2 ---- */

static const struct json_field moe_fields[] = {
    ARCH_ACT("activation_function"),
    NOMIC_COMMON,
    ARCH_FLAG("qkv_proj_bias", qkv_bias),
    ARCH_FLAG("mlp_fc1_bias", mlp_bias),
    ARCH_FLAG("mlp_fc2_bias", down_bias),
    JSON_MUST("num_experts", U32, ARCH_AT(model.n_experts), ARCH_LIMIT(MODEL_EXPERTS_MAX)),
    JSON_MUST("moe_top_k", U32, ARCH_AT(model.n_chosen), ARCH_LIMIT(MODEL_EXPERTS_MAX)),
    JSON_MUST("moe_every_n_layers", U32, ARCH_AT(keys.every), .least = 2, .most = MODEL_LAYERS_MAX),
    ARCH_UNSET("moe_normalize_expert_weights"),
    ARCH_UNSET("expert_choice_router"),
    ARCH_UNSET("num_shared_experts"),
    JSON_MAY("ffn_div", FLOAT, ARCH_AT(keys.scalar), .low = 1, .high = 1),
};

static void moe_defaults(struct config *config)
{
    config->model.types = 2;
    config->model.eps = 1e-12f;
    config->model.rope_trained = 2048;
    config->keys.qkv_bias = config->keys.mlp_bias = config->keys.down_bias = true;
}

static bool has_experts(const struct json_value *config)
{
    const struct json_value experts = json_get(config, "num_experts");
    double n = 0;
    return json_double(&experts, &n) && n != 0;
}

static vecmill_status moe_settle(struct config *config, const char *shown, vecmill_err *err)
{
    struct model_config *m = &config->model;
    settle_lengths(config);
    if (config->keys.qkv_bias) m->has |= MODEL_HAS_QKV_BIAS | MODEL_HAS_OUT_BIAS;
    if (config->keys.mlp_bias) m->has |= MODEL_HAS_UP_BIAS;
    if (config->keys.down_bias) m->has |= MODEL_HAS_DOWN_BIAS;
    for (uint32_t layer = 1; layer < m->n_layers; layer += config->keys.every)
        m->expert_layers |= (uint64_t)1 << layer;
    return arch_settle_rope(config, shown, 1000, 0, err);
}

/* Rows of all experts in one tensor; w2 of each is stored as its transpose (megablocks). */
#define NOMIC_EXPERTS(place, name, ...)                                                            \
    {                                                                                              \
        .part = PART_##place, .storage = STORE_PRODUCT, .columns = SIZE_HIDDEN,                    \
        .sources = {{.tensor = (name), .rows = SIZE_INTER, .of = SIZE_EXPERTS_INTER}},             \
        .with = KIND_EXPERTS, .each = SIZE_EXPERTS, __VA_ARGS__                                    \
    }

static const struct arch_weight moe_weights[] = {
    NOMIC_WEIGHTS,
    ARCH_VECTOR(QKV_BIAS, "encoder.layers.%u.attn.Wqkv.bias", QKV, .needs = MODEL_HAS_QKV_BIAS),
    ARCH_VECTOR(OUT_BIAS, "encoder.layers.%u.attn.out_proj.bias", HIDDEN,
                .needs = MODEL_HAS_OUT_BIAS),
    ARCH_MATRIX(UP, "encoder.layers.%u.mlp.fc1.weight", INTER, HIDDEN, .without = KIND_EXPERTS),
    ARCH_VECTOR(UP_BIAS, "encoder.layers.%u.mlp.fc1.bias", INTER, .needs = MODEL_HAS_UP_BIAS,
                .without = KIND_EXPERTS),
    ARCH_MATRIX(DOWN, "encoder.layers.%u.mlp.fc2.weight", HIDDEN, INTER, .without = KIND_EXPERTS),
    ARCH_VECTOR(DOWN_BIAS, "encoder.layers.%u.mlp.fc2.bias", HIDDEN, .needs = MODEL_HAS_DOWN_BIAS,
                .without = KIND_EXPERTS),
    ARCH_MATRIX(ROUTER, "encoder.layers.%u.mlp.router.layer.weight", EXPERTS, HIDDEN,
                .with = KIND_EXPERTS, .exact = true),
    NOMIC_EXPERTS(EXPERTS_UP, "encoder.layers.%u.mlp.experts.mlp.w1"),
    NOMIC_EXPERTS(EXPERTS_DOWN, "encoder.layers.%u.mlp.experts.mlp.w2", .transposed = true),
    ARCH_VECTOR(EXPERTS_BIAS, "encoder.layers.%u.mlp.experts.bias", HIDDEN, .with = KIND_EXPERTS),
};

static const struct arch_step expert_layer[] = {
    STEP_PRODUCT(QKV, X, QKV),
    STEP_ROPE,
    STEP_ATTEND,
    STEP_PRODUCT(OUT, CONTEXT, Y),
    STEP_ADD_NORM(NORM1, Y, X),
    STEP_EXPERTS(X, Y),
    STEP_ADD_NORM(NORM2, Y, X),
    STEP_END,
};

const struct arch arch_nomic_moe = {
    .name = "nomic_bert_moe",
    .title = "NomicBERT with experts",
    .model_types = (const char *const[]){"nomic_bert", NULL},
    .matches = has_experts,
    .classes = (const char *const[]){"NomicBert", NULL},
    .fields = moe_fields,
    .n_fields = ARCH_LENGTH(moe_fields),
    .defaults = moe_defaults,
    .settle = moe_settle,
    .weights = moe_weights,
    .n_weights = ARCH_LENGTH(moe_weights),
    .roots = (const char *const[]){"embeddings.", "emb_ln.", "encoder.", NULL},
    .ignored = (const char *const[]){"embeddings.position_ids", NULL},
    .embed = arch_norm_embedding,
    .layer = arch_rotary_layer,
    .expert_layer = expert_layer,
    .final = arch_nothing,
};
