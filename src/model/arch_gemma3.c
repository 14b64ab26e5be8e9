/* Gemma 3's text model, bidirectional as in EmbeddingGemma (Vera et al. 2025), or causal: norms before
 * and after each half of a layer, whose weights are stored around zero; rotary positions, gated
 * products, fewer key heads than query heads, and a window in five layers of six. */
#include "arch.h"

#include <math.h>

static const struct json_field fields[] = {
    ARCH_ACT("hidden_activation"),
    ARCH_UNREAD("auto_map"),
    ARCH_UNSET("quantization_config"),
    ARCH_UNSET("attn_logit_softcapping"),
    ARCH_UNSET("attention_bias"),
    ARCH_SIZES,
    ARCH_SIZE("max_position_embeddings", max_positions, MODEL_LENGTH_MAX),
    ARCH_KV_HEADS,
    ARCH_HEAD_DIM,
    ARCH_EPS("rms_norm_eps"),
    ARCH_ROPE("rope_theta"),
    ARCH_THETA("rope_local_base_freq", local_theta),
    JSON_MAY("query_pre_attn_scalar", FLOAT, ARCH_AT(keys.scalar), .low = 1e-6, .high = 1e6),
    ARCH_LAYER_TYPES,
    JSON_MAY("_sliding_window_pattern", U32, ARCH_AT(keys.every), .alias = "sliding_window_pattern",
             .least = 1, .most = MODEL_LAYERS_MAX),
    JSON_MAY("sliding_window", U32, ARCH_AT(keys.window), .least = 1, .most = UINT32_MAX),
    ARCH_FLAG("use_bidirectional_attention", bidirectional),
    ARCH_FLAG("is_causal", causal),
};

static void defaults(struct config *config)
{
    config->model.act = GEMM_GELU_TANH;
    config->model.eps = 1e-6f;
    config->model.n_kv_heads = 4;
    config->model.head_dim = 256;
    config->keys.scalar = 256;
    config->keys.window = 4096;
    config->keys.every = 6;
    config->keys.causal = true;
}

/* modeling_gemma3: a bidirectional window of W tokens has W / 2 keys on either side, a causal one the
 * token itself and W - 1 before it. */
static vecmill_status settle(struct config *config, const char *shown, vecmill_err *err)
{
    struct model_config *m = &config->model;
    const struct config_keys *keys = &config->keys;
    if (!keys->causal && !keys->bidirectional)
        return err_set(
            err, VECMILL_E_MODEL,
            "%s: \"is_causal\" is false and \"use_bidirectional_attention\" is not set; such "
            "models are not computed here",
            shown);
    m->causal = !keys->bidirectional;
    m->window = keys->bidirectional ? keys->window / 2 : keys->window - 1;
    m->divisor = sqrtf(keys->scalar);
    m->embed_scale = sqrtf((float)m->hidden);
    VM_TRY(arch_settle_layers(config, shown, keys->every - 1, err));
    return arch_settle_rope(config, shown, 1e6f, 1e4f, err);
}

static const struct arch_weight weights[] = {
    ARCH_WORDS("embed_tokens.weight"),
    ARCH_ROPE_GLOBAL,
    ARCH_ROPE_LOCAL,
    ARCH_ONE_PLUS(FINAL_NORM, "norm.weight", HIDDEN),
    ARCH_QKV("layers.%u.self_attn.q_proj.weight", "layers.%u.self_attn.k_proj.weight",
             "layers.%u.self_attn.v_proj.weight"),
    ARCH_ONE_PLUS(Q_NORM, "layers.%u.self_attn.q_norm.weight", HEAD),
    ARCH_ONE_PLUS(K_NORM, "layers.%u.self_attn.k_norm.weight", HEAD),
    ARCH_MATRIX(OUT, "layers.%u.self_attn.o_proj.weight", HIDDEN, QUERIES),
    ARCH_ONE_PLUS(NORM1, "layers.%u.input_layernorm.weight", HIDDEN),
    ARCH_ONE_PLUS(NORM2, "layers.%u.post_attention_layernorm.weight", HIDDEN),
    ARCH_ONE_PLUS(NORM3, "layers.%u.pre_feedforward_layernorm.weight", HIDDEN),
    ARCH_GATED("layers.%u.mlp.gate_proj.weight", "layers.%u.mlp.up_proj.weight"),
    ARCH_MATRIX(DOWN, "layers.%u.mlp.down_proj.weight", HIDDEN, INTER),
    ARCH_ONE_PLUS(NORM4, "layers.%u.post_feedforward_layernorm.weight", HIDDEN),
};

static const struct arch_step layer[] = {
    STEP_NORM(NORM1, X, Z),
    STEP_PRODUCT(QKV, Z, QKV),
    STEP_QK_NORM,
    STEP_ROPE,
    STEP_ATTEND,
    STEP_PRODUCT(OUT, CONTEXT, Y),
    STEP_NORM(NORM2, Y, Y),
    STEP_ADD(Y, X),
    STEP_NORM(NORM3, X, Z),
    STEP_PRODUCT(UP, Z, UP),
    STEP_PRODUCT(DOWN, UP, Y),
    STEP_NORM(NORM4, Y, Y),
    STEP_ADD(Y, X),
    STEP_END,
};

const struct arch arch_gemma3 = {
    .name = "gemma3_text",
    .title = "Gemma 3",
    .model_types = (const char *const[]){"gemma3_text", NULL},
    .classes = (const char *const[]){"Gemma3", NULL},
    .fields = fields,
    .n_fields = ARCH_LENGTH(fields),
    .defaults = defaults,
    .settle = settle,
    .weights = weights,
    .n_weights = ARCH_LENGTH(weights),
    .roots = (const char *const[]){"embed_tokens.", "layers.", "norm.", NULL},
    .ignored = (const char *const[]){NULL},
    .embed = arch_nothing,
    .layer = layer,
    .final = arch_final_norm,
    .norm = NORM_RMS,
    .gated = true,
};
