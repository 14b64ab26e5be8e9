/* The text model of EmbeddingGemma 2 (Google 2026; transformers, embedding_gemma2): Gemma 3's layers
 * with norms whose weights are not around zero, normalised values, and heads of another width and
 * number in layers without a window; each layer is given its own product of the embedding; each row
 * of the last hidden state goes through a product. */
#include "arch.h"

#include <math.h>
#include <stdio.h>

static const struct json_field fields[] = {
    ARCH_ACT("hidden_activation"),
    ARCH_UNREAD("auto_map"),
    ARCH_UNSET("quantization_config"),
    ARCH_UNSET("attention_bias"),
    ARCH_SIZES,
    /* the class's default is more than MODEL_LENGTH_MAX */
    JSON_MAY("max_position_embeddings", U32, ARCH_AT(keys.positions), .least = 3,
             .most = UINT32_MAX),
    ARCH_KV_HEADS,
    ARCH_HEAD_DIM,
    JSON_MAY("per_layer_config", ANY, ARCH_AT(keys.per_layer)),
    JSON_MAY("global_head_dim", U32, ARCH_AT(keys.global_head_dim), ARCH_LIMIT(CONFIG_HEAD_MAX)),
    JSON_MAY("num_global_key_value_heads", U32, ARCH_AT(keys.global_kv_heads),
             ARCH_LIMIT(MODEL_HIDDEN_MAX)),
    ARCH_EPS("rms_norm_eps"),
    ARCH_ROPE("rope_theta"),
    ARCH_LAYER_TYPES,
    JSON_MAY("sliding_window_pattern", U32, ARCH_AT(keys.every), .least = 1,
             .most = MODEL_LAYERS_MAX),
    JSON_MAY("sliding_window", U32, ARCH_AT(keys.window), .least = 1, .most = UINT32_MAX),
    JSON_MAY("hidden_size_per_layer_input", U32, ARCH_AT(model.input),
             ARCH_LIMIT(MODEL_HIDDEN_MAX)),
    JSON_MAY("embedding_dim", U32, ARCH_AT(model.state), ARCH_LIMIT(MODEL_HIDDEN_MAX)),
};

static void defaults(struct config *config)
{
    config->model.act = GEMM_GELU_TANH;
    config->model.eps = 1e-6f;
    config->model.n_kv_heads = 2;
    config->model.head_dim = 256;
    config->model.input = 512;
    config->model.state = 768;
    config->keys.positions = MODEL_LENGTH_MAX;
    config->keys.window = 512;
    config->keys.every = 6;
    config->keys.global_head_dim = 512;
    config->keys.global_kv_heads = 1;
}

/* Heads of one layer. */
struct heads {
    uint32_t d, keys;
};

/* What "per_layer_config" changes for a layer. */
static vecmill_status read_heads(const struct json_value *entry, const char *shown,
                                 struct heads *heads, vecmill_err *err)
{
    static const struct json_field entry_fields[] = {
        JSON_MAY("head_dim", U32, offsetof(struct heads, d), ARCH_LIMIT(CONFIG_HEAD_MAX)),
        JSON_MAY("num_key_value_heads", U32, offsetof(struct heads, keys),
                 ARCH_LIMIT(MODEL_HIDDEN_MAX)),
    };
    if (entry->kind != JSON_KIND_OBJECT)
        return err_set(err, VECMILL_E_MODEL, "%s is not an object", shown);
    return config_fields(entry, entry_fields, ARCH_LENGTH(entry_fields), config_refuse_key, shown,
                         heads, err);
}

/* Layers of one type have the same heads: the two kinds that are computed. */
static vecmill_status settle_heads(struct config *config, const char *shown, vecmill_err *err)
{
    struct model_config *m = &config->model;
    const struct json_value *entries = &config->keys.per_layer;
    struct heads of_kind[2] = {{0}};
    uint32_t seen = 0;
    size_t found = 0;
    for (uint32_t layer = 0; layer < m->n_layers; layer++) {
        char number[12], words[IO_PATH_MAX + 64];
        struct heads heads = {m->head_dim, m->n_kv_heads};
        const uint32_t kind = arch_kind(m, layer);
        snprintf(number, sizeof number, "%u", layer);
        snprintf(words, sizeof words, "%s: \"per_layer_config\": \"%s\"", shown, number);
        const struct json_value entry = json_get(entries, number);
        if (entry.kind != JSON_KIND_ABSENT) {
            found++;
            VM_TRY(read_heads(&entry, words, &heads, err));
        } else if (entries->kind <= JSON_KIND_NULL && kind == 0) {
            heads = (struct heads){config->keys.global_head_dim, config->keys.global_kv_heads};
        }
        if (seen & 1u << kind && (of_kind[kind].d != heads.d || of_kind[kind].keys != heads.keys)) {
            return err_set(err, VECMILL_E_MODEL,
                           "%s: layer %u has %u key heads of width %u, a layer of its type before "
                           "it %u of width %u",
                           shown, layer, heads.keys, heads.d, of_kind[kind].keys, of_kind[kind].d);
        }
        of_kind[kind] = heads;
        seen |= 1u << kind;
    }
    if (found != json_count(entries))
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"per_layer_config\" has %zu members, %zu of them of the %u layers",
                       shown, json_count(entries), found, m->n_layers);
    const struct heads local = of_kind[KIND_LOCAL], global = seen & 1 ? of_kind[0] : local;
    m->head_dim = global.d;
    m->n_kv_heads = global.keys;
    m->local_head_dim = local.d;
    m->local_kv_heads = local.keys;
    return VECMILL_OK;
}

static vecmill_status settle(struct config *config, const char *shown, vecmill_err *err)
{
    struct model_config *m = &config->model;
    const struct config_keys *keys = &config->keys;
    m->max_positions = (uint32_t)num_min(keys->positions, MODEL_LENGTH_MAX);
    m->window = keys->window; /* on either side */
    m->divisor = 1;
    m->embed_scale = sqrtf((float)m->hidden);
    if (m->n_kv_heads == 0) m->n_kv_heads = m->n_heads;
    VM_TRY(arch_settle_layers(config, shown, keys->every - 1, err));
    m->local &= ~((uint64_t)1 << (m->n_layers - 1)); /* as transformers has it, whatever the file */
    VM_TRY(settle_heads(config, shown, err));
    return arch_settle_rope(config, shown, 1e6f, 1e4f, err);
}

static const struct arch_weight weights[] = {
    ARCH_WORDS("embed_tokens.weight"),
    ARCH_ROPE_GLOBAL,
    ARCH_ROPE_LOCAL,
    ARCH_VECTOR(FINAL_NORM, "norm.weight", HIDDEN),
    ARCH_MATRIX(STATE, "embedding_projection.weight", STATE, HIDDEN),
    ARCH_QKV("layers.%u.self_attn.q_proj.weight", "layers.%u.self_attn.k_proj.weight",
             "layers.%u.self_attn.v_proj.weight"),
    ARCH_VECTOR(Q_NORM, "layers.%u.self_attn.q_norm.weight", HEAD),
    ARCH_VECTOR(K_NORM, "layers.%u.self_attn.k_norm.weight", HEAD),
    ARCH_MATRIX(OUT, "layers.%u.self_attn.o_proj.weight", HIDDEN, QUERIES),
    ARCH_VECTOR(NORM1, "layers.%u.input_layernorm.weight", HIDDEN),
    ARCH_VECTOR(NORM2, "layers.%u.post_attention_layernorm.weight", HIDDEN),
    ARCH_VECTOR(NORM3, "layers.%u.pre_feedforward_layernorm.weight", HIDDEN),
    ARCH_GATED("layers.%u.mlp.gate_proj.weight", "layers.%u.mlp.up_proj.weight"),
    ARCH_MATRIX(DOWN, "layers.%u.mlp.down_proj.weight", HIDDEN, INTER),
    ARCH_VECTOR(NORM4, "layers.%u.post_feedforward_layernorm.weight", HIDDEN),
    {.part = PART_INPUT,
     .storage = STORE_PRODUCT,
     .columns = SIZE_HIDDEN,
     .sources = {{.tensor = "ple.per_layer_model_projection.weight",
                  .rows = SIZE_INPUT,
                  .of = SIZE_INPUTS}},
     .by_layer = true},
    ARCH_VECTOR(INPUT_NORM, "ple.per_layer_projection_norm.weight", INPUT),
    ARCH_MATRIX(INPUT_GATE, "layers.%u.ple_block.per_layer_input_gate.weight", INPUT, HIDDEN),
    ARCH_MATRIX(INPUT_OUT, "layers.%u.ple_block.per_layer_projection.weight", HIDDEN, INPUT),
    ARCH_VECTOR(NORM5, "layers.%u.ple_block.post_per_layer_input_norm.weight", HIDDEN),
    ARCH_VECTOR(SCALAR, "layers.%u.layer_scalar", ONE),
};

static const struct arch_step embed[] = {STEP_COPY(X, EMBEDDED), STEP_END};

/* The product of the embedding is scaled by 1 / sqrt(hidden) before its norm; the norm's epsilon times
 * hidden is the same. */
static const struct arch_step layer[] = {
    STEP_NORM(NORM1, X, Z),
    STEP_PRODUCT(QKV, Z, QKV),
    STEP_QK_NORM,
    STEP_V_NORM,
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
    STEP_PRODUCT(INPUT_GATE, X, UP),
    STEP_PRODUCT(INPUT, EMBEDDED, Z),
    {.op = OP_NORM, .part = PART_INPUT_NORM, .in = ROWS_Z, .out = ROWS_Z, .eps_times = SIZE_HIDDEN},
    STEP_MULTIPLY(Z, UP),
    STEP_PRODUCT(INPUT_OUT, UP, Y),
    STEP_NORM(NORM5, Y, Y),
    STEP_ADD(Y, X),
    STEP_SCALE(X),
    STEP_END,
};

static const struct arch_step final[] = {
    STEP_NORM(FINAL_NORM, X, X),
    STEP_PRODUCT(STATE, X, STATE),
    STEP_END,
};

const struct arch arch_embeddinggemma2 = {
    .name = "embedding_gemma2",
    .title = "EmbeddingGemma 2",
    .model_types = (const char *const[]){"embedding_gemma2", "embedding_gemma2_text", NULL},
    .section = "text_config",
    .classes = (const char *const[]){"EmbeddingGemma2", NULL},
    .fields = fields,
    .n_fields = ARCH_LENGTH(fields),
    .defaults = defaults,
    .settle = settle,
    .weights = weights,
    .n_weights = ARCH_LENGTH(weights),
    .roots = (const char *const[]){"embed_tokens.", "layers.", "norm.", "ple.",
                                   "embedding_projection.", NULL},
    .ignored = (const char *const[]){NULL},
    .embed = embed,
    .layer = layer,
    .final = final,
    .norm = NORM_RMS,
    .gated = true,
};
