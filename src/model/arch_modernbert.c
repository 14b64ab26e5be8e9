/* ModernBERT (Warner et al. 2024): norms without biases before each half of a layer, rotary positions,
 * gated products, and a window in two layers of three. */
#include "arch.h"

static vecmill_status read_local_theta(const struct json_reading *reading,
                                       const struct json_field *field,
                                       const struct json_value *value, vecmill_err *err)
{
    struct config *config = reading->target;
    double theta = 0;
    config->keys.local_theta_is_null = value->kind == JSON_KIND_NULL;
    if (config->keys.local_theta_is_null) return VECMILL_OK;
    if (!json_double(value, &theta) || !(theta >= 1 && theta <= 1e12))
        return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is not a number from 1 to 1e12",
                       reading->name, field->key);
    config->keys.local_theta = (float)theta;
    return VECMILL_OK;
}

static const struct json_field fields[] = {
    ARCH_ACT("hidden_activation"),
    ARCH_UNREAD("auto_map"),
    ARCH_NO_DECODER,
    ARCH_SIZES,
    ARCH_SIZE("max_position_embeddings", max_positions, MODEL_LENGTH_MAX),
    ARCH_EPS("norm_eps"),
    ARCH_UNREAD("layer_norm_eps"), /* some files have it too; transformers does not read it */
    ARCH_FLAG("attention_bias", qkv_bias),
    ARCH_FLAG("mlp_bias", mlp_bias),
    ARCH_FLAG("norm_bias", norm_bias),
    ARCH_LAYER_TYPES,
    JSON_MAY("global_attn_every_n_layers", U32, ARCH_AT(keys.every), .least = 1,
             .most = MODEL_LAYERS_MAX),
    JSON_MAY("local_attention", U32, ARCH_AT(keys.window), .least = 1, .most = UINT32_MAX),
    ARCH_ROPE("global_rope_theta"),
    JSON_MAY("local_rope_theta", OWN, 0, .own = read_local_theta, .takes_null = true),
};

static void defaults(struct config *config)
{
    config->model.eps = 1e-5f;
    config->keys.every = 3;
    config->keys.window = 128;
}

static vecmill_status settle(struct config *config, const char *shown, vecmill_err *err)
{
    struct model_config *m = &config->model;
    const struct config_keys *keys = &config->keys;
    if (keys->qkv_bias) m->has |= MODEL_HAS_QKV_BIAS | MODEL_HAS_OUT_BIAS;
    if (keys->mlp_bias) m->has |= MODEL_HAS_UP_BIAS | MODEL_HAS_DOWN_BIAS;
    if (keys->norm_bias) m->has |= MODEL_HAS_NORM_BIAS;
    m->window = keys->window / 2;
    VM_TRY(arch_settle_layers(config, shown, 0, err));
    const bool is_null = keys->local_theta_is_null;
    VM_TRY(arch_settle_rope(config, shown, 160000, is_null ? 0 : 10000, err));
    if (m->rope_local_theta == 0) m->rope_local_theta = m->rope_theta;
    return VECMILL_OK;
}

static const struct arch_weight weights[] = {
    ARCH_WORDS("embeddings.tok_embeddings.weight"),
    ARCH_VECTOR(EMBED_NORM, "embeddings.norm.weight", HIDDEN),
    ARCH_VECTOR(EMBED_NORM_BIAS, "embeddings.norm.bias", HIDDEN, .needs = MODEL_HAS_NORM_BIAS),
    ARCH_ROPE_GLOBAL,
    ARCH_ROPE_LOCAL,
    ARCH_VECTOR(FINAL_NORM, "final_norm.weight", HIDDEN),
    ARCH_VECTOR(FINAL_NORM_BIAS, "final_norm.bias", HIDDEN, .needs = MODEL_HAS_NORM_BIAS),
    ARCH_MATRIX(QKV, "layers.%u.attn.Wqkv.weight", QKV, HIDDEN),
    ARCH_VECTOR(QKV_BIAS, "layers.%u.attn.Wqkv.bias", QKV, .needs = MODEL_HAS_QKV_BIAS),
    ARCH_MATRIX(OUT, "layers.%u.attn.Wo.weight", HIDDEN, QUERIES),
    ARCH_VECTOR(OUT_BIAS, "layers.%u.attn.Wo.bias", HIDDEN, .needs = MODEL_HAS_OUT_BIAS),
    /* The embedding is normalised, so the first layer does not do it again. */
    ARCH_VECTOR(NORM1, "layers.%u.attn_norm.weight", HIDDEN, .not_first = true),
    ARCH_VECTOR(NORM1_BIAS, "layers.%u.attn_norm.bias", HIDDEN, .needs = MODEL_HAS_NORM_BIAS,
                .not_first = true),
    ARCH_VECTOR(NORM2, "layers.%u.mlp_norm.weight", HIDDEN),
    ARCH_VECTOR(NORM2_BIAS, "layers.%u.mlp_norm.bias", HIDDEN, .needs = MODEL_HAS_NORM_BIAS),
    ARCH_MATRIX(UP, "layers.%u.mlp.Wi.weight", TWO_INTER, HIDDEN),
    ARCH_VECTOR(UP_BIAS, "layers.%u.mlp.Wi.bias", TWO_INTER, .needs = MODEL_HAS_UP_BIAS),
    ARCH_MATRIX(DOWN, "layers.%u.mlp.Wo.weight", HIDDEN, INTER),
    ARCH_VECTOR(DOWN_BIAS, "layers.%u.mlp.Wo.bias", HIDDEN, .needs = MODEL_HAS_DOWN_BIAS),
};

static const struct arch_head head = {
    .pooling = MODEL_POOL_CLS,
    .pooling_key = "classifier_pooling",
    .steps = {{.kind = MODEL_STEP_DENSE,
               .weight = "head.dense.weight",
               .bias = "head.dense.bias",
               .act = MODEL_ACT_GELU,
               .act_key = "classifier_activation",
               .bias_key = "classifier_bias",
               .without_bias = true},
              {.kind = MODEL_STEP_LAYER_NORM,
               .weight = "head.norm.weight",
               .bias = "head.norm.bias",
               .bias_key = "norm_bias",
               .without_bias = true},
              {.kind = MODEL_STEP_DENSE,
               .weight = "classifier.weight",
               .bias = "classifier.bias",
               .is_last = true}},
};

const struct arch arch_modernbert = {
    .name = "modernbert",
    .title = "ModernBERT",
    .model_types = (const char *const[]){"modernbert", NULL},
    .classes = (const char *const[]){"ModernBert", "HF_ColBERT", NULL},
    .fields = fields,
    .n_fields = ARCH_LENGTH(fields),
    .defaults = defaults,
    .settle = settle,
    .weights = weights,
    .n_weights = ARCH_LENGTH(weights),
    .roots = (const char *const[]){"embeddings.", "layers.", "final_norm.", NULL},
    .ignored = (const char *const[]){NULL},
    .embed = arch_norm_embedding,
    .layer = arch_pre_norm_layer,
    .final = arch_final_norm,
    .gated = true,
    .head = &head,
};
