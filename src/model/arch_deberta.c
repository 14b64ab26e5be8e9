/* DeBERTa-v2 and v3 (He et al. 2021): BERT's encoder whose attention has products of queries, and of
 * keys, with vectors that stand for distances; in v3 these are all that says where a token is. */
#include "arch.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* "p2c|c2p", or an array of such words. */
static vecmill_status read_terms(const struct json_reading *reading, const struct json_field *field,
                                 const struct json_value *value, vecmill_err *err)
{
    struct config *config = reading->target;
    struct json_each each = json_begin(value);
    struct json_value none, one;
    char text[32] = "", *rest = text;
    if (value->kind == JSON_KIND_STRING && !json_string_into(value, text, sizeof text))
        return config_refuse(reading->name, field->key, value, "c2p and p2c", err);
    for (size_t used = 0; value->kind == JSON_KIND_ARRAY && json_each(&each, &none, &one);) {
        char word[8];
        if (one.kind != JSON_KIND_STRING || !json_string_into(&one, word, sizeof word) ||
            used + strlen(word) + 2 > sizeof text)
            return config_refuse(reading->name, field->key, &one, "c2p and p2c", err);
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used ? "|" : "", word);
    }
    for (char *word; (word = strsep(&rest, "|")) != NULL;) {
        if (strcmp(word, "c2p") == 0)
            config->model.has |= MODEL_HAS_DISTANCE_KEYS;
        else if (strcmp(word, "p2c") == 0)
            config->model.has |= MODEL_HAS_DISTANCE_QUERIES;
        else
            return config_refuse(reading->name, field->key, value, "c2p and p2c", err);
    }
    return VECMILL_OK;
}

static vecmill_status read_norm(const struct json_reading *reading, const struct json_field *field,
                                const struct json_value *value, vecmill_err *err)
{
    struct config *config = reading->target;
    if (json_is(value, "layer_norm"))
        config->model.has |= MODEL_HAS_DISTANCE_NORM;
    else if (!json_is(value, "none"))
        return config_refuse(reading->name, field->key, value, "layer_norm or none", err);
    return VECMILL_OK;
}

/* -1: none, or as many as there are positions. */
static vecmill_status read_number(const struct json_reading *reading,
                                  const struct json_field *field, const struct json_value *value,
                                  vecmill_err *err)
{
    int64_t n = 0;
    if (!json_i64(value, &n) || n < -1 || n > CONFIG_DISTANCES_MAX / 2)
        return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is not an integer from -1 to %u",
                       reading->name, field->key, CONFIG_DISTANCES_MAX / 2);
    *(uint32_t *)(void *)((char *)reading->target + field->at) = n < 0 ? 0 : (uint32_t)n;
    return VECMILL_OK;
}

static const struct json_field fields[] = {
    ARCH_ACT("hidden_act"),
    ARCH_UNSET("auto_map"),
    ARCH_NO_DECODER,
    ARCH_SIZES,
    ARCH_POSITIONS,
    JSON_MAY("type_vocab_size", U32, ARCH_AT(model.types), .least = 0, .most = CONFIG_TYPES_MAX),
    ARCH_EPS("layer_norm_eps"),
    JSON_MAY("attention_head_size", U32, ARCH_AT(model.head_dim), ARCH_LIMIT(CONFIG_HEAD_MAX)),
    JSON_MAY("embedding_size", U32, ARCH_AT(keys.positions), ARCH_LIMIT(MODEL_HIDDEN_MAX)),
    ARCH_UNSET("conv_kernel_size"), /* v2-xlarge */
    JSON_MUST("relative_attention", OWN, 0, .own = arch_read_true),
    JSON_MUST("pos_att_type", OWN, 0, .own = read_terms),
    JSON_MAY("norm_rel_ebd", OWN, 0, .own = read_norm),
    JSON_MAY("position_buckets", OWN, ARCH_AT(model.distance_buckets), .own = read_number),
    JSON_MAY("max_relative_positions", OWN, ARCH_AT(model.distance_most), .own = read_number),
    ARCH_FLAG("share_att_key", shared_distances),
    ARCH_FLAG("position_biased_input", position_input),
};

static void defaults(struct config *config)
{
    config->model.eps = 1e-7f;
    config->keys.position_input = true;
}

static vecmill_status settle(struct config *config, const char *shown, vecmill_err *err)
{
    struct model_config *m = &config->model;
    const struct config_keys *keys = &config->keys;
    const uint32_t terms = 1 + ((m->has & MODEL_HAS_DISTANCE_KEYS) != 0) +
                           ((m->has & MODEL_HAS_DISTANCE_QUERIES) != 0);
    const uint32_t d = m->head_dim ? m->head_dim : m->hidden / m->n_heads;
    if (keys->positions != 0 && keys->positions != m->hidden)
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"embedding_size\" is %u, \"hidden_size\" %u; only equal ones are "
                       "computed here",
                       shown, keys->positions, m->hidden);
    if (m->distance_most == 0) m->distance_most = m->positions;
    if (m->distance_buckets > 0 && m->distance_most < m->distance_buckets / 2 + 2)
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"position_buckets\" is %u, and the longest distance only %u", shown,
                       m->distance_buckets, m->distance_most);
    m->distances = 2 * (m->distance_buckets > 0 ? m->distance_buckets : m->distance_most);
    m->divisor = sqrtf((float)d * (float)terms);
    m->has |= keys->shared_distances ? MODEL_HAS_SHARED_DISTANCES : MODEL_HAS_OWN_DISTANCES;
    m->max_positions = m->positions;
    if (keys->position_input)
        m->has |= MODEL_HAS_POSITIONS;
    else
        m->positions = 0;
    return VECMILL_OK;
}

#define SELF "encoder.layer.%u.attention.self."

/* Of distances through one of two matrices. */
#define DEBERTA_DISTANCES(place, name, flags)                                                      \
    {                                                                                              \
        .part = PART_DISTANCE_##place, .storage = STORE_PROJECTED, .columns = SIZE_HIDDEN,         \
        .sources = {{.tensor = "encoder.rel_embeddings.weight", .rows = SIZE_DISTANCES}},          \
        .needs = MODEL_HAS_DISTANCE_##place | (flags), .through = {                                \
            .norm = "encoder.LayerNorm.weight",                                                    \
            .norm_bias = "encoder.LayerNorm.bias",                                                 \
            .matrix = SELF name ".weight",                                                         \
            .bias = SELF name ".bias",                                                             \
            .norm_needs = MODEL_HAS_DISTANCE_NORM                                                  \
        }                                                                                          \
    }

static const struct arch_weight weights[] = {
    ARCH_WORDS("embeddings.word_embeddings.weight"),
    ARCH_POSITION_TABLE("embeddings.position_embeddings.weight", .needs = MODEL_HAS_POSITIONS),
    ARCH_TYPE_TABLE("embeddings.token_type_embeddings.weight"),
    ARCH_VECTOR(EMBED_NORM, "embeddings.LayerNorm.weight", HIDDEN),
    ARCH_VECTOR(EMBED_NORM_BIAS, "embeddings.LayerNorm.bias", HIDDEN),
    ARCH_QKV(SELF "query_proj.weight", SELF "key_proj.weight", SELF "value_proj.weight"),
    ARCH_QKV_BIAS(SELF "query_proj.bias", SELF "key_proj.bias", SELF "value_proj.bias"),
    DEBERTA_DISTANCES(KEYS, "key_proj", MODEL_HAS_SHARED_DISTANCES),
    DEBERTA_DISTANCES(KEYS, "pos_key_proj", MODEL_HAS_OWN_DISTANCES),
    DEBERTA_DISTANCES(QUERIES, "query_proj", MODEL_HAS_SHARED_DISTANCES),
    DEBERTA_DISTANCES(QUERIES, "pos_query_proj", MODEL_HAS_OWN_DISTANCES),
    ARCH_MATRIX(OUT, "encoder.layer.%u.attention.output.dense.weight", HIDDEN, QUERIES),
    ARCH_VECTOR(OUT_BIAS, "encoder.layer.%u.attention.output.dense.bias", HIDDEN),
    ARCH_VECTOR(NORM1, "encoder.layer.%u.attention.output.LayerNorm.weight", HIDDEN),
    ARCH_VECTOR(NORM1_BIAS, "encoder.layer.%u.attention.output.LayerNorm.bias", HIDDEN),
    ARCH_MATRIX(UP, "encoder.layer.%u.intermediate.dense.weight", INTER, HIDDEN),
    ARCH_VECTOR(UP_BIAS, "encoder.layer.%u.intermediate.dense.bias", INTER),
    ARCH_MATRIX(DOWN, "encoder.layer.%u.output.dense.weight", HIDDEN, INTER),
    ARCH_VECTOR(DOWN_BIAS, "encoder.layer.%u.output.dense.bias", HIDDEN),
    ARCH_VECTOR(NORM2, "encoder.layer.%u.output.LayerNorm.weight", HIDDEN),
    ARCH_VECTOR(NORM2_BIAS, "encoder.layer.%u.output.LayerNorm.bias", HIDDEN),
};

static const struct arch_head head = {
    .pooling = MODEL_POOL_CLS,
    .steps = {{.kind = MODEL_STEP_DENSE,
               .weight = "pooler.dense.weight",
               .bias = "pooler.dense.bias",
               .act = MODEL_ACT_GELU,
               .act_key = "pooler_hidden_act"},
              {.kind = MODEL_STEP_DENSE,
               .weight = "classifier.weight",
               .bias = "classifier.bias",
               .is_last = true}},
};

const struct arch arch_deberta = {
    .name = "deberta_v2",
    .title = "DeBERTa",
    .model_types = (const char *const[]){"deberta-v2", NULL},
    .classes = (const char *const[]){"DebertaV2", NULL},
    .fields = fields,
    .n_fields = ARCH_LENGTH(fields),
    .defaults = defaults,
    .settle = settle,
    .weights = weights,
    .n_weights = ARCH_LENGTH(weights),
    .roots = (const char *const[]){"embeddings.", "encoder.", NULL},
    .ignored = (const char *const[]){"embeddings.position_ids", NULL},
    .embed = arch_norm_embedding,
    .layer = arch_post_norm_layer,
    .final = arch_nothing,
    .bias = ATTENTION_RELATIVE,
    .head = &head,
};
