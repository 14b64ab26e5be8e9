/* jina-embeddings-v3 (Sturua et al. 2024): XLM-RoBERTa's encoder with rotary positions in place of a
 * position table. Its checkpoint has the plain weights and low-rank parts for each task; without a
 * task the plain weights are all there is. It has XLM-RoBERTa's model type. */
#include "arch.h"

static const struct json_field fields[] = {
    ARCH_ACT("hidden_act"),
    ARCH_UNREAD("auto_map"),
    ARCH_NO_DECODER,
    ARCH_SIZES,
    ARCH_SIZE("max_position_embeddings", max_positions, MODEL_LENGTH_MAX),
    ARCH_TYPES,
    ARCH_EPS("layer_norm_eps"),
    ARCH_ROPE("rotary_emb_base"),
    ARCH_UNSET("rotary_emb_interleaved"),
    ARCH_UNSET("rotary_emb_scale_base"),
};

static void defaults(struct config *config)
{
    config->model.types = 1;
    config->model.eps = 1e-5f;
}

static vecmill_status settle(struct config *config, const char *shown, vecmill_err *err)
{
    return arch_settle_rope(config, shown, 10000, 0, err);
}

static bool is_rotary(const struct json_value *config)
{
    const struct json_value type = json_get(config, "position_embedding_type");
    return json_is(&type, "rotary");
}

#define PLAIN(name) name ".parametrizations.weight.original"

static const struct arch_weight weights[] = {
    ARCH_WORDS(PLAIN("embeddings.word_embeddings")),
    ARCH_TYPE_TABLE(PLAIN("embeddings.token_type_embeddings")),
    ARCH_VECTOR(EMBED_NORM, "emb_ln.weight", HIDDEN),
    ARCH_VECTOR(EMBED_NORM_BIAS, "emb_ln.bias", HIDDEN),
    ARCH_ROPE_GLOBAL,
    ARCH_MATRIX(QKV, PLAIN("encoder.layers.%u.mixer.Wqkv"), QKV, HIDDEN),
    ARCH_VECTOR(QKV_BIAS, "encoder.layers.%u.mixer.Wqkv.bias", QKV),
    ARCH_MATRIX(OUT, PLAIN("encoder.layers.%u.mixer.out_proj"), HIDDEN, QUERIES),
    ARCH_VECTOR(OUT_BIAS, "encoder.layers.%u.mixer.out_proj.bias", HIDDEN),
    ARCH_VECTOR(NORM1, "encoder.layers.%u.norm1.weight", HIDDEN),
    ARCH_VECTOR(NORM1_BIAS, "encoder.layers.%u.norm1.bias", HIDDEN),
    ARCH_MATRIX(UP, PLAIN("encoder.layers.%u.mlp.fc1"), INTER, HIDDEN),
    ARCH_VECTOR(UP_BIAS, "encoder.layers.%u.mlp.fc1.bias", INTER),
    ARCH_MATRIX(DOWN, PLAIN("encoder.layers.%u.mlp.fc2"), HIDDEN, INTER),
    ARCH_VECTOR(DOWN_BIAS, "encoder.layers.%u.mlp.fc2.bias", HIDDEN),
    ARCH_VECTOR(NORM2, "encoder.layers.%u.norm2.weight", HIDDEN),
    ARCH_VECTOR(NORM2_BIAS, "encoder.layers.%u.norm2.bias", HIDDEN),
};

const struct arch arch_jina_v3 = {
    .name = "jina_v3",
    .title = "jina-v3",
    .model_types = (const char *const[]){"xlm-roberta", NULL},
    .matches = is_rotary,
    .classes = (const char *const[]){"XLMRoberta", NULL},
    .fields = fields,
    .n_fields = ARCH_LENGTH(fields),
    .defaults = defaults,
    .settle = settle,
    .weights = weights,
    .n_weights = ARCH_LENGTH(weights),
    .roots = (const char *const[]){"embeddings.", "emb_ln.", "encoder.", NULL},
    .ignored = (const char *const[]){"*.lora_A", "*.lora_B", NULL},
    .embed = arch_norm_embedding,
    .layer = arch_rotary_layer,
    .final = arch_nothing,
};
