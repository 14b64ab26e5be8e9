/* RoBERTa (Liu et al. 2019), XLM-RoBERTa (Conneau et al. 2019), CamemBERT (Martin et al. 2019): BERT's
 * encoder, with positions that begin after the padding token's id and do not count padding
 * (transformers, create_position_ids_from_input_ids). */
#include "arch.h"

static const struct json_field fields[] = {
    ARCH_ACT("hidden_act"),
    ARCH_ONLY("position_embedding_type", "absolute"),
    ARCH_UNSET("auto_map"),
    ARCH_NO_DECODER,
    ARCH_SIZES,
    ARCH_POSITIONS,
    ARCH_TYPES,
    ARCH_EPS("layer_norm_eps"),
    JSON_MAY("pad_token_id", U32, ARCH_AT(model.pad), .most = CONFIG_VOCAB_MAX),
};

static void defaults(struct config *config)
{
    config->model.types = 2;
    config->model.eps = 1e-12f;
    config->model.pad = 1;
}

static vecmill_status settle(struct config *config, const char *shown, vecmill_err *err)
{
    (void)shown;
    (void)err;
    config->model.first_position = config->model.pad + 1;
    return VECMILL_OK;
}

const struct arch arch_roberta = {
    .name = "roberta",
    .title = "RoBERTa",
    .model_types = (const char *const[]){"roberta", "xlm-roberta", "camembert", NULL},
    .classes = (const char *const[]){"Roberta", "XLMRoberta", "Camembert", "HF_ColBERT", NULL},
    .fields = fields,
    .n_fields = ARCH_LENGTH(fields),
    .defaults = defaults,
    .settle = settle,
    .weights = arch_post_norm_weights,
    .n_weights = ARCH_POST_NORM_WEIGHTS,
    .vocab = arch_lm_head,
    .n_vocab = ARCH_VOCAB_HEAD,
    .vocab_act = GEMM_GELU_ERF,
    .roots = (const char *const[]){"embeddings.", "encoder.", NULL},
    .ignored = (const char *const[]){"embeddings.position_ids", NULL},
    .embed = arch_norm_embedding,
    .layer = arch_post_norm_layer,
    .final = arch_nothing,
    .head = &arch_dense_head,
};
