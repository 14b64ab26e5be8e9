/* NomicBERT v1 and v1.5 (Nussbaum et al. 2024): BERT's encoder with rotary positions and a gated
 * product, under GPT-2's keys or transformers' own. */
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

static const struct json_field fields[] = {
    JSON_MAY("activation_function", OWN, ARCH_AT(model.act), .own = read_act),
    JSON_MAY("hidden_act", OWN, ARCH_AT(keys.act), .own = read_act),
    ARCH_UNREAD("auto_map"),
    ARCH_NO_DECODER,
    ARCH_UNSET("causal"),
    ARCH_UNSET("prenorm"),
    ARCH_UNSET("parallel_block"),
    ARCH_UNSET("use_rms_norm"),
    ARCH_UNSET("rotary_emb_interleaved"),
    ARCH_UNSET("rotary_emb_scale_base"),
    ARCH_UNSET("scale_attn_by_inverse_layer_idx"),
    ARCH_UNSET("num_experts"),
    ARCH_UNSET("qkv_proj_bias"),
    ARCH_UNSET("mlp_fc1_bias"),
    ARCH_UNSET("mlp_fc2_bias"),
    JSON_MAY("rotary_emb_fraction", FLOAT, ARCH_AT(keys.scalar), .low = 1, .high = 1),
    ARCH_SIZE("n_layer", n_layers, MODEL_LAYERS_MAX, .alias = "num_hidden_layers"),
    ARCH_SIZE("n_embd", hidden, MODEL_HIDDEN_MAX, .alias = "hidden_size"),
    ARCH_SIZE("n_head", n_heads, MODEL_HIDDEN_MAX, .alias = "num_attention_heads"),
    ARCH_SIZE("n_inner", intermediate, CONFIG_INTERMEDIATE_MAX, .alias = "intermediate_size"),
    ARCH_SIZE("vocab_size", vocab, CONFIG_VOCAB_MAX),
    ARCH_HEAD_DIM,
    /* v1.5 has both, which differ: the second is the length of training. */
    JSON_MAY("n_positions", U32, ARCH_AT(model.max_positions), ARCH_LIMIT(MODEL_LENGTH_MAX)),
    JSON_MAY("max_position_embeddings", U32, ARCH_AT(keys.positions), ARCH_LIMIT(MODEL_LENGTH_MAX)),
    ARCH_TYPES,
    ARCH_EPS("layer_norm_epsilon", .alias = "layer_norm_eps"),
    ARCH_ROPE("rotary_emb_base"),
    JSON_MAY("rotary_scaling_factor", FLOAT, ARCH_AT(model.rope_factor), .low = 1, .high = 1e6),
    JSON_MAY("max_trained_positions", U32, ARCH_AT(model.rope_trained),
             ARCH_LIMIT(MODEL_LENGTH_MAX)),
};

static void defaults(struct config *config)
{
    config->model.types = 2;
    config->model.eps = 1e-12f;
    config->model.act = GEMM_NONE; /* until one of its two keys is read */
    config->model.rope_trained = 2048;
}

static vecmill_status settle(struct config *config, const char *shown, vecmill_err *err)
{
    struct model_config *m = &config->model;
    m->max_positions = (uint32_t)num_max(m->max_positions, config->keys.positions);
    if (m->max_positions == 0) m->max_positions = 2048;
    if (m->rope_factor == 0) m->rope_trained = 0;
    if (m->act != GEMM_NONE && config->keys.act != GEMM_NONE && m->act != config->keys.act)
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"activation_function\" and \"hidden_act\" are not the same", shown);
    if (m->act == GEMM_NONE) m->act = config->keys.act;
    if (m->act == GEMM_NONE) m->act = GEMM_SILU;
    return arch_settle_rope(config, shown, 1000, 0, err);
}

static const struct arch_weight weights[] = {
    ARCH_WORDS("embeddings.word_embeddings.weight"),
    ARCH_TYPE_TABLE("embeddings.token_type_embeddings.weight"),
    ARCH_VECTOR(EMBED_NORM, "emb_ln.weight", HIDDEN),
    ARCH_VECTOR(EMBED_NORM_BIAS, "emb_ln.bias", HIDDEN),
    ARCH_ROPE_GLOBAL,
    ARCH_MATRIX(QKV, "encoder.layers.%u.attn.Wqkv.weight", QKV, HIDDEN),
    ARCH_MATRIX(OUT, "encoder.layers.%u.attn.out_proj.weight", HIDDEN, QUERIES),
    ARCH_VECTOR(NORM1, "encoder.layers.%u.norm1.weight", HIDDEN),
    ARCH_VECTOR(NORM1_BIAS, "encoder.layers.%u.norm1.bias", HIDDEN),
    ARCH_GATED("encoder.layers.%u.mlp.fc12.weight", "encoder.layers.%u.mlp.fc11.weight"),
    ARCH_MATRIX(DOWN, "encoder.layers.%u.mlp.fc2.weight", HIDDEN, INTER),
    ARCH_VECTOR(NORM2, "encoder.layers.%u.norm2.weight", HIDDEN),
    ARCH_VECTOR(NORM2_BIAS, "encoder.layers.%u.norm2.bias", HIDDEN),
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
