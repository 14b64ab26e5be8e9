/* JinaBERT v2 (Günther et al. 2023): BERT's encoder without positions; scores fall with the distance
 * (Press et al. 2022, ALiBi, for both directions), and products are gated. A variant normalises
 * queries and keys, and has two more norms. Both have BERT's model type. */
#include "arch.h"

#include <math.h>
#include <string.h>

static vecmill_status read_feed_forward(const struct json_reading *reading,
                                        const struct json_field *field,
                                        const struct json_value *value, vecmill_err *err)
{
    struct config *config = reading->target;
    char text[32];
    if (json_is(value, "geglu")) return VECMILL_OK;
    if (!json_is(value, "reglu"))
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"%s\" is \"%s\"; only geglu and reglu are computed here",
                       reading->name, field->key, json_show(value, text, sizeof text));
    config->model.act = GEMM_RELU;
    return VECMILL_OK;
}

static const struct json_field fields[] = {
    ARCH_ACT("hidden_act"),
    JSON_MUST("feed_forward_type", OWN, 0, .own = read_feed_forward),
    ARCH_UNREAD("auto_map"),
    ARCH_NO_DECODER,
    ARCH_SIZES,
    ARCH_SIZE("max_position_embeddings", max_positions, MODEL_LENGTH_MAX),
    ARCH_TYPES,
    ARCH_EPS("layer_norm_eps"),
};

static void defaults(struct config *config)
{
    config->model.types = 2;
    config->model.eps = 1e-12f;
}

/* A geometric sequence for a power of two of heads; otherwise that of the power below, then every
 * second of the power above (Press et al., the code of the paper). */
static float slope(uint32_t head, uint32_t n_heads)
{
    uint32_t power = 1;
    while (2 * power <= n_heads)
        power *= 2;
    if (head < power) return (float)exp2(-8.0 * (head + 1) / power);
    return (float)exp2(-8.0 * (2 * (head - power) + 1) / (2 * power));
}

static void slopes(const struct model_config *config, const float *tensor, uint32_t first,
                   uint32_t n, float *out)
{
    (void)tensor;
    for (uint32_t i = 0; i < n; i++)
        out[i] = slope(first + i, config->n_heads);
}

static bool is_alibi(const struct json_value *config)
{
    const struct json_value type = json_get(config, "position_embedding_type");
    return json_is(&type, "alibi");
}

/* The class is remote code; its repository's name says which. */
static bool is_qk_norm(const struct json_value *config)
{
    static const char name[] = "qk-post-norm";
    const struct json_value of[] = {json_get(config, "_name_or_path"),
                                    json_get(config, "auto_map")};
    if (!is_alibi(config)) return false;
    for (size_t i = 0; i < ARCH_LENGTH(of); i++)
        if (of[i].kind > JSON_KIND_NULL && memmem(of[i].raw, of[i].bytes, name, sizeof name - 1))
            return true;
    return false;
}

#define JINA_COMMON                                                                                \
    ARCH_WORDS("embeddings.word_embeddings.weight"),                                               \
        ARCH_TYPE_TABLE("embeddings.token_type_embeddings.weight"),                                \
        ARCH_VECTOR(EMBED_NORM, "embeddings.LayerNorm.weight", HIDDEN),                            \
        ARCH_VECTOR(EMBED_NORM_BIAS, "embeddings.LayerNorm.bias", HIDDEN),                         \
        {.part = PART_DISTANCE,                                                                    \
         .storage = STORE_COMPUTED,                                                                \
         .rows = SIZE_HEADS,                                                                       \
         .width = SIZE_ONE,                                                                        \
         .compute = slopes},                                                                       \
        ARCH_QKV("encoder.layer.%u.attention.self.query.weight",                                   \
                 "encoder.layer.%u.attention.self.key.weight",                                     \
                 "encoder.layer.%u.attention.self.value.weight"),                                  \
        ARCH_QKV_BIAS("encoder.layer.%u.attention.self.query.bias",                                \
                      "encoder.layer.%u.attention.self.key.bias",                                  \
                      "encoder.layer.%u.attention.self.value.bias"),                               \
        ARCH_MATRIX(OUT, "encoder.layer.%u.attention.output.dense.weight", HIDDEN, QUERIES),       \
        ARCH_VECTOR(OUT_BIAS, "encoder.layer.%u.attention.output.dense.bias", HIDDEN),             \
        ARCH_VECTOR(NORM1, "encoder.layer.%u.attention.output.LayerNorm.weight", HIDDEN),          \
        ARCH_VECTOR(NORM1_BIAS, "encoder.layer.%u.attention.output.LayerNorm.bias", HIDDEN)

static const struct arch_weight plain_weights[] = {
    JINA_COMMON,
    ARCH_MATRIX(UP, "encoder.layer.%u.mlp.gated_layers.weight", TWO_INTER, HIDDEN),
    ARCH_MATRIX(DOWN, "encoder.layer.%u.mlp.wo.weight", HIDDEN, INTER),
    ARCH_VECTOR(DOWN_BIAS, "encoder.layer.%u.mlp.wo.bias", HIDDEN),
    ARCH_VECTOR(NORM2, "encoder.layer.%u.mlp.layernorm.weight", HIDDEN),
    ARCH_VECTOR(NORM2_BIAS, "encoder.layer.%u.mlp.layernorm.bias", HIDDEN),
};

const struct arch arch_jina_bert = {
    .name = "jina_bert",
    .title = "JinaBERT",
    .model_types = (const char *const[]){"bert", NULL},
    .matches = is_alibi,
    .classes = (const char *const[]){"JinaBert", "Bert", NULL},
    .fields = fields,
    .n_fields = ARCH_LENGTH(fields),
    .defaults = defaults,
    .weights = plain_weights,
    .n_weights = ARCH_LENGTH(plain_weights),
    .roots = (const char *const[]){"embeddings.", "encoder.", NULL},
    .ignored = (const char *const[]){"embeddings.position_ids", NULL},
    .embed = arch_norm_embedding,
    .layer = arch_post_norm_layer,
    .final = arch_nothing,
    .gated = true,
    .bias = ATTENTION_SLOPES,
    .head = &arch_pooler_head,
};

static const struct arch_weight qk_norm_weights[] = {
    JINA_COMMON,
    ARCH_VECTOR(Q_NORM, "encoder.layer.%u.attention.self.layer_norm_q.weight", QUERIES),
    ARCH_VECTOR(Q_NORM_BIAS, "encoder.layer.%u.attention.self.layer_norm_q.bias", QUERIES),
    ARCH_VECTOR(K_NORM, "encoder.layer.%u.attention.self.layer_norm_k.weight", KEYS),
    ARCH_VECTOR(K_NORM_BIAS, "encoder.layer.%u.attention.self.layer_norm_k.bias", KEYS),
    ARCH_VECTOR(NORM2, "encoder.layer.%u.layer_norm_1.weight", HIDDEN),
    ARCH_VECTOR(NORM2_BIAS, "encoder.layer.%u.layer_norm_1.bias", HIDDEN),
    ARCH_GATED_SECOND("encoder.layer.%u.mlp.up_gated_layer.weight"),
    ARCH_MATRIX(DOWN, "encoder.layer.%u.mlp.down_layer.weight", HIDDEN, INTER),
    ARCH_VECTOR(DOWN_BIAS, "encoder.layer.%u.mlp.down_layer.bias", HIDDEN),
    ARCH_VECTOR(NORM3, "encoder.layer.%u.layer_norm_2.weight", HIDDEN),
    ARCH_VECTOR(NORM3_BIAS, "encoder.layer.%u.layer_norm_2.bias", HIDDEN),
};

static const struct arch_step qk_norm_layer[] = {
    STEP_PRODUCT(QKV, X, QKV),
    STEP_QK_NORM,
    STEP_ATTEND,
    STEP_PRODUCT(OUT, CONTEXT, Y),
    STEP_SUM_NORM(NORM1, Y, X, Z),
    STEP_ADD_NORM(NORM2, Z, X),
    STEP_PRODUCT(UP, X, UP),
    STEP_PRODUCT(DOWN, UP, Y),
    STEP_ADD_NORM(NORM3, Y, X),
    STEP_END,
};

const struct arch arch_jina_bert_qk_norm = {
    .name = "jina_bert_qk_norm",
    .title = "JinaBERT (qk-post-norm)",
    .model_types = (const char *const[]){"bert", NULL},
    .matches = is_qk_norm,
    .classes = (const char *const[]){"JinaBert", "Bert", NULL},
    .fields = fields,
    .n_fields = ARCH_LENGTH(fields),
    .defaults = defaults,
    .weights = qk_norm_weights,
    .n_weights = ARCH_LENGTH(qk_norm_weights),
    .roots = (const char *const[]){"embeddings.", "encoder.", NULL},
    .ignored = (const char *const[]){"embeddings.position_ids", NULL},
    .embed = arch_norm_embedding,
    .layer = qk_norm_layer,
    .final = arch_nothing,
    .gated = true,
    .bias = ATTENTION_SLOPES,
    .head = &arch_pooler_head,
};
