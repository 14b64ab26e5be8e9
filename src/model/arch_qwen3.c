/* Qwen3 (Yang et al. 2025) and EuroBERT (Boizard et al. 2025): Llama's layer, a norm before each half
 * without biases, rotary positions, gated products, and fewer key heads than query heads. Qwen3
 * also normalises the queries and keys of each head, and a token sees no later one. */
#include "arch.h"

#define LLAMA_SIZES                                                                                \
    ARCH_SIZES, ARCH_SIZE("max_position_embeddings", max_positions, MODEL_LENGTH_MAX),             \
        ARCH_KV_HEADS, ARCH_HEAD_DIM, ARCH_EPS("rms_norm_eps"), ARCH_ROPE("rope_theta")

#define LLAMA_WEIGHTS                                                                              \
    ARCH_WORDS("embed_tokens.weight"), ARCH_ROPE_GLOBAL,                                           \
        ARCH_VECTOR(FINAL_NORM, "norm.weight", HIDDEN),                                            \
        ARCH_QKV("layers.%u.self_attn.q_proj.weight", "layers.%u.self_attn.k_proj.weight",         \
                 "layers.%u.self_attn.v_proj.weight"),                                             \
        ARCH_QKV_BIAS("layers.%u.self_attn.q_proj.bias", "layers.%u.self_attn.k_proj.bias",        \
                      "layers.%u.self_attn.v_proj.bias", .needs = MODEL_HAS_QKV_BIAS),             \
        ARCH_MATRIX(OUT, "layers.%u.self_attn.o_proj.weight", HIDDEN, QUERIES),                    \
        ARCH_VECTOR(OUT_BIAS, "layers.%u.self_attn.o_proj.bias", HIDDEN,                           \
                    .needs = MODEL_HAS_OUT_BIAS),                                                  \
        ARCH_VECTOR(NORM1, "layers.%u.input_layernorm.weight", HIDDEN),                            \
        ARCH_VECTOR(NORM2, "layers.%u.post_attention_layernorm.weight", HIDDEN),                   \
        ARCH_GATED("layers.%u.mlp.gate_proj.weight", "layers.%u.mlp.up_proj.weight"),              \
        ARCH_MATRIX(DOWN, "layers.%u.mlp.down_proj.weight", HIDDEN, INTER)

static void settle_bias(struct config *config)
{
    if (config->keys.qkv_bias) config->model.has |= MODEL_HAS_QKV_BIAS | MODEL_HAS_OUT_BIAS;
}

/* ---- Qwen3 ---- */

static const struct json_field qwen3_fields[] = {
    ARCH_ACT("hidden_act"),
    ARCH_UNREAD("auto_map"),
    ARCH_UNSET("quantization_config"),
    LLAMA_SIZES,
    ARCH_FLAG("attention_bias", qkv_bias),
    ARCH_FLAG("use_sliding_window", sliding),
    JSON_MAY("sliding_window", U32, ARCH_AT(keys.window), .least = 1, .most = UINT32_MAX),
    ARCH_LAYER_TYPES,
    ARCH_FLAG("is_causal", causal),
    ARCH_UNSET("use_bidirectional_attention"), /* transformers' class does not read it */
};

static void qwen3_defaults(struct config *config)
{
    config->model.act = GEMM_SILU;
    config->model.eps = 1e-6f;
    config->model.n_kv_heads = 32;
    config->model.head_dim = 128;
    config->keys.causal = true;
}

/* A causal window of W tokens holds the token itself, so its keys are at most W - 1 away; another has W
 * on either side (transformers, masking_utils). */
static vecmill_status qwen3_settle(struct config *config, const char *shown, vecmill_err *err)
{
    struct model_config *m = &config->model;
    const struct config_keys *keys = &config->keys;
    settle_bias(config);
    m->causal = keys->causal;
    if (keys->sliding && keys->layer_types.kind <= JSON_KIND_NULL)
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"use_sliding_window\" is set and \"layer_types\" is missing", shown);
    VM_TRY(arch_settle_layers(config, shown, 0, err));
    if (m->local != 0 && keys->window == 0)
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"layer_types\" has windows and \"sliding_window\" is missing", shown);
    if (m->local != 0) m->window = keys->causal ? keys->window - 1 : keys->window;
    return arch_settle_rope(config, shown, 10000, 0, err);
}

static const struct arch_weight qwen3_weights[] = {
    LLAMA_WEIGHTS,
    ARCH_VECTOR(Q_NORM, "layers.%u.self_attn.q_norm.weight", HEAD),
    ARCH_VECTOR(K_NORM, "layers.%u.self_attn.k_norm.weight", HEAD),
};

static const struct arch_step qwen3_layer[] = {
    STEP_NORM(NORM1, X, Z),
    STEP_PRODUCT(QKV, Z, QKV),
    STEP_QK_NORM,
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

static const struct arch_head qwen3_head = {
    .pooling = MODEL_POOL_LAST,
    .steps = {{.kind = MODEL_STEP_DENSE, .weight = "score.weight", .is_last = true}},
};

/* Qwen3-Reranker's card: Zhang et al. 2025 (2506.05176), section 2. */
static const struct model_question qwen3_question = {
    .yes = "yes",
    .no = "no",
    .head =
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query "
        "and the Instruct provided. Note that the answer can only be \"yes\" or "
        "\"no\".<|im_end|>\n<|im_start|>user\n",
    .before_instruction = "<Instruct>: ",
    .instruction = "Given a web search query, retrieve relevant passages that answer the query",
    .before_query = "\n<Query>: ",
    .before_text = "\n<Document>: ",
    .tail = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    .max_length = 8192,
};

const struct arch arch_qwen3 = {
    .name = "qwen3",
    .title = "Qwen3",
    .model_types = (const char *const[]){"qwen3", NULL},
    .classes = (const char *const[]){"Qwen3", NULL},
    .fields = qwen3_fields,
    .n_fields = ARCH_LENGTH(qwen3_fields),
    .defaults = qwen3_defaults,
    .settle = qwen3_settle,
    .weights = qwen3_weights,
    .n_weights = ARCH_LENGTH(qwen3_weights),
    .roots = (const char *const[]){"embed_tokens.", "layers.", "norm.", NULL},
    .ignored = (const char *const[]){NULL},
    .embed = arch_nothing,
    .layer = qwen3_layer,
    .final = arch_final_norm,
    .norm = NORM_RMS,
    .gated = true,
    .head = &qwen3_head,
    .question = &qwen3_question,
};

/* ---- EuroBERT ---- */

static const struct json_field eurobert_fields[] = {
    ARCH_ACT("hidden_act"),
    ARCH_UNREAD("auto_map"),
    ARCH_UNSET("quantization_config"),
    LLAMA_SIZES,
    ARCH_FLAG("attention_bias", qkv_bias),
    ARCH_UNSET("mlp_bias"),
};

static void eurobert_defaults(struct config *config)
{
    config->model.act = GEMM_SILU;
    config->model.eps = 1e-5f;
}

static vecmill_status eurobert_settle(struct config *config, const char *shown, vecmill_err *err)
{
    settle_bias(config);
    return arch_settle_rope(config, shown, 10000, 0, err);
}

static const struct arch_weight eurobert_weights[] = {LLAMA_WEIGHTS};

const struct arch arch_eurobert = {
    .name = "eurobert",
    .title = "EuroBERT",
    .model_types = (const char *const[]){"eurobert", NULL},
    .classes = (const char *const[]){"EuroBert", NULL},
    .fields = eurobert_fields,
    .n_fields = ARCH_LENGTH(eurobert_fields),
    .defaults = eurobert_defaults,
    .settle = eurobert_settle,
    .weights = eurobert_weights,
    .n_weights = ARCH_LENGTH(eurobert_weights),
    .roots = (const char *const[]){"embed_tokens.", "layers.", "norm.", NULL},
    .ignored = (const char *const[]){NULL},
    .embed = arch_nothing,
    .layer = arch_pre_norm_layer,
    .final = arch_final_norm,
    .norm = NORM_RMS,
    .gated = true,
};
