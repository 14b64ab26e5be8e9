/* XLM-RoBERTa as jina-reranker-v2 has it: the encoder of arch_roberta.c under the names of
 * flash-attention's implementation, with one matrix for queries, keys and values. */
#include "arch.h"

#include <string.h>

static const struct json_field fields[] = {
    ARCH_ACT("hidden_act"),
    ARCH_ONLY("position_embedding_type", "absolute"),
    ARCH_UNREAD("auto_map"),
    ARCH_NO_DECODER,
    ARCH_SIZES,
    ARCH_POSITIONS,
    ARCH_TYPES,
    ARCH_EPS("layer_norm_eps"),
    JSON_MAY("pad_token_id", U32, ARCH_AT(model.pad), .most = CONFIG_VOCAB_MAX),
    ARCH_UNSET("lora_adaptations"),
};

static void defaults(struct config *config)
{
    config->model.types = 1;
    config->model.eps = 1e-5f;
    config->model.pad = 1;
}

static vecmill_status settle(struct config *config, const char *shown, vecmill_err *err)
{
    (void)shown;
    (void)err;
    config->model.first_position = config->model.pad + 1;
    return VECMILL_OK;
}

/* The class is remote code; its name says which. */
static bool is_flash(const struct json_value *config)
{
    static const char name[] = "XLMRobertaFlash";
    const struct json_value of = json_get(config, "auto_map");
    return of.kind > JSON_KIND_NULL && memmem(of.raw, of.bytes, name, sizeof name - 1);
}

#define LAYER "encoder.layers.%u."

static const struct arch_weight weights[] = {
    ARCH_WORDS("embeddings.word_embeddings.weight"),
    ARCH_POSITION_TABLE("embeddings.position_embeddings.weight"),
    ARCH_TYPE_TABLE("embeddings.token_type_embeddings.weight"),
    ARCH_VECTOR(EMBED_NORM, "emb_ln.weight", HIDDEN),
    ARCH_VECTOR(EMBED_NORM_BIAS, "emb_ln.bias", HIDDEN),
    ARCH_MATRIX(QKV, LAYER "mixer.Wqkv.weight", QKV, HIDDEN),
    ARCH_VECTOR(QKV_BIAS, LAYER "mixer.Wqkv.bias", QKV),
    ARCH_MATRIX(OUT, LAYER "mixer.out_proj.weight", HIDDEN, QUERIES),
    ARCH_VECTOR(OUT_BIAS, LAYER "mixer.out_proj.bias", HIDDEN),
    ARCH_VECTOR(NORM1, LAYER "norm1.weight", HIDDEN),
    ARCH_VECTOR(NORM1_BIAS, LAYER "norm1.bias", HIDDEN),
    ARCH_MATRIX(UP, LAYER "mlp.fc1.weight", INTER, HIDDEN),
    ARCH_VECTOR(UP_BIAS, LAYER "mlp.fc1.bias", INTER),
    ARCH_MATRIX(DOWN, LAYER "mlp.fc2.weight", HIDDEN, INTER),
    ARCH_VECTOR(DOWN_BIAS, LAYER "mlp.fc2.bias", HIDDEN),
    ARCH_VECTOR(NORM2, LAYER "norm2.weight", HIDDEN),
    ARCH_VECTOR(NORM2_BIAS, LAYER "norm2.bias", HIDDEN),
};

const struct arch arch_xlmr_flash = {
    .name = "xlmr_flash",
    .title = "XLM-RoBERTa (flash)",
    .model_types = (const char *const[]){"xlm-roberta", NULL},
    .matches = is_flash,
    .classes = (const char *const[]){"XLMRoberta", NULL},
    .fields = fields,
    .n_fields = ARCH_LENGTH(fields),
    .defaults = defaults,
    .settle = settle,
    .weights = weights,
    .n_weights = ARCH_LENGTH(weights),
    .roots = (const char *const[]){"embeddings.", "emb_ln.", "encoder.", NULL},
    .ignored = (const char *const[]){"embeddings.position_ids", NULL},
    .embed = arch_norm_embedding,
    .layer = arch_post_norm_layer,
    .final = arch_nothing,
    .head = &arch_dense_head,
};
