/* arch_common: keys of config.json, computed parts and steps that families share. */
#include "arch.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_BYTES 49u /* of a value in a message, with the NUL */

/* ---- keys ---- */

vecmill_status arch_read_true(const struct json_reading *reading, const struct json_field *field,
                              const struct json_value *value, vecmill_err *err)
{
    if (value->kind == JSON_KIND_BOOLEAN && value->raw[0] == 't') return VECMILL_OK;
    return config_refuse(reading->name, field->key, value, "true", err);
}

vecmill_status arch_read_act(const struct json_reading *reading, const struct json_field *field,
                             const struct json_value *value, vecmill_err *err)
{
    /* transformers, ACT2FN */
    static const struct {
        const char *name;
        enum gemm_act act;
    } names[] = {
        {"gelu", GEMM_GELU_ERF},       {"gelu_python", GEMM_GELU_ERF},
        {"gelu_new", GEMM_GELU_TANH},  {"gelu_pytorch_tanh", GEMM_GELU_TANH},
        {"gelu_fast", GEMM_GELU_TANH}, {"quick_gelu", GEMM_QUICK_GELU},
        {"silu", GEMM_SILU},           {"swish", GEMM_SILU},
        {"relu", GEMM_RELU},           {"tanh", GEMM_TANH},
    };
    VM_TRY(json_field_string(reading, field, value, err));
    for (size_t i = 0; i < ARCH_LENGTH(names); i++) {
        if (!json_is(value, names[i].name)) continue;
        *(uint32_t *)(void *)((char *)reading->target + field->at) = names[i].act;
        return VECMILL_OK;
    }
    return config_refuse(reading->name, field->key, value, "gelu, its variants, silu, relu or tanh",
                         err);
}

/* null, as in transformers: as many as query heads. */
vecmill_status arch_read_kv_heads(const struct json_reading *reading,
                                  const struct json_field *field, const struct json_value *value,
                                  vecmill_err *err)
{
    struct config *config = reading->target;
    uint64_t n = 0;
    config->model.n_kv_heads = 0;
    if (value->kind == JSON_KIND_NULL) return VECMILL_OK;
    if (!json_u64(value, &n) || n < 1 || n > MODEL_HIDDEN_MAX)
        return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is not an integer from 1 to %u",
                       reading->name, field->key, MODEL_HIDDEN_MAX);
    config->model.n_kv_heads = (uint32_t)n;
    return VECMILL_OK;
}

/* ---- rotary positions ---- */

struct rope_keys {
    float theta;
    struct json_value partial;
};

/* One object of "rope_parameters", or "rope_scaling" of older files. *theta is what another key has
 * given, 0: none. */
static vecmill_status read_rope(const struct json_value *object, const char *name,
                                const char *shown, float *theta, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("rope_theta", FLOAT, offsetof(struct rope_keys, theta), .low = 1, .high = 1e12),
        JSON_MAY("rope_type", OWN, 0, .alias = "type", .own = config_read_only,
                 .detail = "default"),
        JSON_MAY("partial_rotary_factor", ANY, offsetof(struct rope_keys, partial)),
    };
    struct rope_keys keys = {0};
    char words[IO_PATH_MAX + 32];
    double partial = 1;
    snprintf(words, sizeof words, "%s: \"%s\"", shown, name);
    const struct json_reading reading = {
        .name = words, .failure = VECMILL_E_MODEL, .target = &keys};
    if (object->kind <= JSON_KIND_NULL) return VECMILL_OK;
    if (object->kind != JSON_KIND_OBJECT)
        return err_set(err, VECMILL_E_MODEL, "%s is not an object", words);
    VM_TRY(json_fields(object, fields, ARCH_LENGTH(fields), &reading, err));
    if (json_double(&keys.partial, &partial) && partial != 1)
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"partial_rotary_factor\" is %g; only 1 is computed here", words,
                       partial);
    if (keys.theta == 0) return VECMILL_OK;
    if (*theta != 0 && *theta != keys.theta)
        return err_set(err, VECMILL_E_MODEL, "%s has the base %g, the older key %g", words,
                       (double)keys.theta, (double)*theta);
    *theta = keys.theta;
    return VECMILL_OK;
}

vecmill_status arch_settle_rope(struct config *config, const char *shown, float theta,
                                float local_theta, vecmill_err *err)
{
    static const char full[] = "full_attention", sliding[] = "sliding_attention";
    struct config_keys *keys = &config->keys;
    struct model_config *m = &config->model;
    const struct json_value of_full = json_get(&keys->rope_parameters, full);
    const struct json_value of_sliding = json_get(&keys->rope_parameters, sliding);
    VM_TRY(read_rope(&keys->rope_scaling, "rope_scaling", shown, &keys->theta, err));
    if (of_full.kind == JSON_KIND_OBJECT || of_sliding.kind == JSON_KIND_OBJECT) {
        VM_TRY(read_rope(&of_full, full, shown, &keys->theta, err));
        VM_TRY(read_rope(&of_sliding, sliding, shown, &keys->local_theta, err));
    } else if (local_theta > 0 && json_count(&keys->rope_parameters) > 0) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"rope_parameters\" has neither \"%s\" nor \"%s\"", shown, full,
                       sliding);
    } else {
        VM_TRY(read_rope(&keys->rope_parameters, "rope_parameters", shown, &keys->theta, err));
    }
    m->rope_theta = keys->theta > 0 ? keys->theta : theta;
    m->rope_local_theta = keys->local_theta > 0 ? keys->local_theta : local_theta;
    return VECMILL_OK;
}

/* Of a document of `len` tokens, with NTK-aware scaling where the family has it: of the base, fixed,
 * with all frequencies divided so that the lowest is 1 / factor of what it was; or by the length
 * beyond that of the training (transformers, modeling_rope_utils, "dynamic"). */
void arch_rope_row(const struct model_config *c, float theta, uint32_t d, uint32_t len,
                   uint32_t position, float *row)
{
    const uint32_t half = d / 2;
    const double factor = (double)c->rope_factor;
    double base = (double)theta, divisor = 1;
    if (factor > 0 && c->rope_trained == 0) {
        base *= factor;
        divisor = pow(factor, 2.0 / d);
    } else if (c->rope_trained > 0 && len > c->rope_trained) {
        base *= pow(factor * len / c->rope_trained - (factor - 1.0), d / (d - 2.0));
    }
    for (uint32_t i = 0; i < half; i++) {
        const float power = powf((float)base, (float)(2 * i) / (float)d);
        const float frequency = (float)(1.0 / (double)power / divisor);
        const float angle = (float)position * frequency;
        row[i] = (float)cos((double)angle);
        row[half + i] = (float)sin((double)angle);
    }
}

static void rope_rows(const struct model_config *config, float theta, uint32_t d, uint32_t first,
                      uint32_t n, float *out)
{
    for (uint32_t i = 0; i < n; i++)
        arch_rope_row(config, theta, d, 0, first + i, out + (size_t)i * d);
}

void arch_rope(const struct model_config *config, const float *tensor, uint32_t first, uint32_t n,
               float *out)
{
    (void)tensor;
    rope_rows(config, config->rope_theta, config->head_dim, first, n, out);
}

void arch_rope_local(const struct model_config *config, const float *tensor, uint32_t first,
                     uint32_t n, float *out)
{
    (void)tensor;
    rope_rows(config, config->rope_local_theta, arch_size(config, 0, SIZE_LOCAL_HEAD), first, n,
              out);
}

/* ---- layers with and without a window ---- */

static vecmill_status read_layer_types(struct config *config, const char *shown, vecmill_err *err)
{
    const struct json_value *types = &config->keys.layer_types;
    struct json_each each = json_begin(types);
    struct json_value none, type;
    char text[SHOWN_BYTES];
    const size_t n = json_count(types);
    if (types->kind != JSON_KIND_ARRAY || n != config->model.n_layers)
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"layer_types\" has %zu elements, \"num_hidden_layers\" is %u", shown,
                       n, config->model.n_layers);
    for (uint32_t layer = 0; json_each(&each, &none, &type); layer++) {
        if (json_is(&type, "sliding_attention"))
            config->model.local |= (uint64_t)1 << layer;
        else if (!json_is(&type, "full_attention"))
            return err_set(err, VECMILL_E_MODEL,
                           "%s: \"layer_types\"[%u] is \"%s\"; only full_attention and "
                           "sliding_attention are computed here",
                           shown, layer, json_show(&type, text, sizeof text));
    }
    return VECMILL_OK;
}

vecmill_status arch_settle_layers(struct config *config, const char *shown, uint32_t first,
                                  vecmill_err *err)
{
    if (config->keys.layer_types.kind > JSON_KIND_NULL) return read_layer_types(config, shown, err);
    for (uint32_t layer = 0; layer < config->model.n_layers; layer++) {
        const bool is_full = config->keys.every == 0 || layer % config->keys.every == first;
        if (!is_full) config->model.local |= (uint64_t)1 << layer;
    }
    return VECMILL_OK;
}

/* ---- norms ---- */

void arch_one_plus(const struct model_config *config, const float *tensor, uint32_t first,
                   uint32_t n, float *out)
{
    (void)config;
    for (uint32_t i = 0; i < n; i++)
        out[i] = 1.0f + tensor[first + i];
}

/* ---- heads ---- */

const struct arch_weight arch_lm_head[ARCH_VOCAB_HEAD] =
    ARCH_VOCAB("lm_head.dense", "lm_head.layer_norm", "embeddings.word_embeddings.weight",
               "lm_head.decoder", "lm_head.bias");

/* ---- steps ---- */

/* ---- heads ---- */

const struct arch_head arch_pooler_head = {
    .pooling = MODEL_POOL_CLS,
    .steps = {{.kind = MODEL_STEP_DENSE,
               .weight = "pooler.dense.weight",
               .bias = "pooler.dense.bias",
               .act = MODEL_ACT_TANH},
              {.kind = MODEL_STEP_DENSE,
               .weight = "classifier.weight",
               .bias = "classifier.bias",
               .is_last = true}},
};

const struct arch_head arch_dense_head = {
    .pooling = MODEL_POOL_CLS,
    .steps = {{.kind = MODEL_STEP_DENSE,
               .weight = "classifier.dense.weight",
               .bias = "classifier.dense.bias",
               .act = MODEL_ACT_TANH},
              {.kind = MODEL_STEP_DENSE,
               .weight = "classifier.out_proj.weight",
               .bias = "classifier.out_proj.bias",
               .is_last = true}},
};

const struct arch_step arch_nothing[] = {STEP_END};

const struct arch_step arch_norm_embedding[] = {STEP_NORM(EMBED_NORM, X, X), STEP_END};

const struct arch_step arch_final_norm[] = {STEP_NORM(FINAL_NORM, X, X), STEP_END};

const struct arch_step arch_post_norm_layer[] = {
    STEP_PRODUCT(QKV, X, QKV),     STEP_ATTEND,
    STEP_PRODUCT(OUT, CONTEXT, Y), STEP_ADD_NORM(NORM1, Y, X),
    STEP_PRODUCT(UP, X, UP),       STEP_PRODUCT(DOWN, UP, Y),
    STEP_ADD_NORM(NORM2, Y, X),    STEP_END,
};

const struct arch_step arch_rotary_layer[] = {
    STEP_PRODUCT(QKV, X, QKV),
    STEP_ROPE,
    STEP_ATTEND,
    STEP_PRODUCT(OUT, CONTEXT, Y),
    STEP_ADD_NORM(NORM1, Y, X),
    STEP_PRODUCT(UP, X, UP),
    STEP_PRODUCT(DOWN, UP, Y),
    STEP_ADD_NORM(NORM2, Y, X),
    STEP_END,
};

const struct arch_step arch_pre_norm_layer[] = {
    STEP_NORM(NORM1, X, Z),
    STEP_PRODUCT(QKV, Z, QKV),
    STEP_ROPE,
    STEP_ATTEND,
    STEP_PRODUCT(OUT, CONTEXT, Y),
    STEP_ADD(Y, X),
    STEP_NORM(NORM2, X, Z),
    STEP_PRODUCT(UP, Z, UP),
    STEP_PRODUCT(DOWN, UP, Y),
    STEP_ADD(Y, X),
    STEP_END,
};
