/* GTE's encoder, "NewModel" (Zhang et al. 2024): BERT's with rotary positions, whose frequencies may
 * be scaled for all lengths, and gated products. */
#include "arch.h"

#include <stdio.h>

struct scaling {
    struct json_value type;
    float factor;
};

/* {"type": "ntk", "factor": F}: the base times F, and all frequencies divided by F^(2/d). */
static vecmill_status read_scaling(const struct json_reading *reading,
                                   const struct json_field *field, const struct json_value *value,
                                   vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MUST("type", STRING, offsetof(struct scaling, type), .alias = "rope_type"),
        JSON_MAY("factor", FLOAT, offsetof(struct scaling, factor), .low = 1, .high = 1e6),
        ARCH_UNSET("mixed_b"),
    };
    struct config *config = reading->target;
    struct scaling scaling = {0};
    struct json_reading of_scaling = *reading;
    char words[80];
    snprintf(words, sizeof words, "%.48s: \"%.24s\"", reading->name, field->key);
    of_scaling.name = words;
    of_scaling.target = &scaling;
    if (value->kind != JSON_KIND_OBJECT)
        return err_set(err, VECMILL_E_MODEL, "%s is not an object", words);
    VM_TRY(json_fields(value, fields, ARCH_LENGTH(fields), &of_scaling, err));
    if (json_is(&scaling.type, "default")) return VECMILL_OK;
    if (!json_is(&scaling.type, "ntk"))
        return config_refuse(words, "type", &scaling.type, "ntk", err);
    if (scaling.factor == 0)
        return err_set(err, VECMILL_E_MODEL, "%s: \"factor\" is missing", words);
    config->model.rope_factor = scaling.factor;
    return VECMILL_OK;
}

/* The class of the hub and transformers' own have other bases where no key has one. */
static vecmill_status read_type(const struct json_reading *reading, const struct json_field *field,
                                const struct json_value *value, vecmill_err *err)
{
    struct config *config = reading->target;
    (void)field;
    (void)err;
    config->keys.scalar = json_is(value, "gte") ? 160000 : 10000;
    return VECMILL_OK;
}

static const struct json_field fields[] = {
    JSON_MAY("model_type", OWN, 0, .own = read_type),
    ARCH_ACT("hidden_act"),
    ARCH_ONLY("position_embedding_type", "rope"),
    ARCH_ONLY("layer_norm_type", "layer_norm"),
    ARCH_TRUE("pack_qkv"),
    ARCH_UNSET("logn_attention_scale"),
    ARCH_UNSET("logn_attention_clip1"),
    ARCH_UNREAD("auto_map"),
    ARCH_NO_DECODER,
    ARCH_SIZES,
    ARCH_SIZE("max_position_embeddings", max_positions, MODEL_LENGTH_MAX),
    JSON_MAY("type_vocab_size", U32, ARCH_AT(model.types), .most = CONFIG_TYPES_MAX,
             .most_name = "CONFIG_TYPES_MAX"),
    ARCH_EPS("layer_norm_eps"),
    ARCH_THETA("rope_theta", theta),
    JSON_MAY("rope_parameters", ANY, ARCH_AT(keys.rope_parameters)),
    JSON_MAY("rope_scaling", OWN, 0, .own = read_scaling),
};

static void defaults(struct config *config)
{
    config->model.types = 1;
    config->model.eps = 1e-12f;
}

static vecmill_status settle(struct config *config, const char *shown, vecmill_err *err)
{
    return arch_settle_rope(config, shown, config->keys.scalar, 0, err);
}

static const struct arch_weight weights[] = {
    ARCH_WORDS("embeddings.word_embeddings.weight"),
    ARCH_TYPE_TABLE("embeddings.token_type_embeddings.weight"),
    ARCH_VECTOR(EMBED_NORM, "embeddings.LayerNorm.weight", HIDDEN),
    ARCH_VECTOR(EMBED_NORM_BIAS, "embeddings.LayerNorm.bias", HIDDEN),
    ARCH_ROPE_GLOBAL,
    ARCH_MATRIX(QKV, "encoder.layer.%u.attention.qkv_proj.weight", QKV, HIDDEN),
    ARCH_VECTOR(QKV_BIAS, "encoder.layer.%u.attention.qkv_proj.bias", QKV),
    ARCH_MATRIX(OUT, "encoder.layer.%u.attention.o_proj.weight", HIDDEN, QUERIES),
    ARCH_VECTOR(OUT_BIAS, "encoder.layer.%u.attention.o_proj.bias", HIDDEN),
    ARCH_VECTOR(NORM1, "encoder.layer.%u.attn_ln.weight", HIDDEN),
    ARCH_VECTOR(NORM1_BIAS, "encoder.layer.%u.attn_ln.bias", HIDDEN),
    ARCH_GATED_SECOND("encoder.layer.%u.mlp.up_gate_proj.weight"),
    ARCH_MATRIX(DOWN, "encoder.layer.%u.mlp.down_proj.weight", HIDDEN, INTER),
    ARCH_VECTOR(DOWN_BIAS, "encoder.layer.%u.mlp.down_proj.bias", HIDDEN),
    ARCH_VECTOR(NORM2, "encoder.layer.%u.mlp_ln.weight", HIDDEN),
    ARCH_VECTOR(NORM2_BIAS, "encoder.layer.%u.mlp_ln.bias", HIDDEN),
};

const struct arch arch_gte = {
    .name = "gte",
    .title = "GTE",
    .model_types = (const char *const[]){"new", "gte", NULL},
    .classes = (const char *const[]){"New", "Gte", NULL},
    .fields = fields,
    .n_fields = ARCH_LENGTH(fields),
    .defaults = defaults,
    .settle = settle,
    .weights = weights,
    .n_weights = ARCH_LENGTH(weights),
    .roots = (const char *const[]){"embeddings.", "encoder.", NULL},
    .ignored = (const char *const[]){"embeddings.position_ids", NULL},
    .embed = arch_norm_embedding,
    .layer = arch_rotary_layer,
    .final = arch_nothing,
    .gated = true,
    .head = &arch_pooler_head,
};
