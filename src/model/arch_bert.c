/* BERT (Devlin et al. 2018): learned positions, token types, a norm after each half of a layer. */
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
};

static void defaults(struct config *config)
{
    config->model.types = 2;
    config->model.eps = 1e-12f;
}

const struct arch_weight arch_post_norm_weights[ARCH_POST_NORM_WEIGHTS] = {
    ARCH_WORDS("embeddings.word_embeddings.weight"),
    ARCH_POSITION_TABLE("embeddings.position_embeddings.weight"),
    ARCH_TYPE_TABLE("embeddings.token_type_embeddings.weight"),
    ARCH_VECTOR(EMBED_NORM, "embeddings.LayerNorm.weight", HIDDEN),
    ARCH_VECTOR(EMBED_NORM_BIAS, "embeddings.LayerNorm.bias", HIDDEN),
    ARCH_QKV("encoder.layer.%u.attention.self.query.weight",
             "encoder.layer.%u.attention.self.key.weight",
             "encoder.layer.%u.attention.self.value.weight"),
    ARCH_QKV_BIAS("encoder.layer.%u.attention.self.query.bias",
                  "encoder.layer.%u.attention.self.key.bias",
                  "encoder.layer.%u.attention.self.value.bias"),
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

static const struct arch_weight vocab[] = ARCH_VOCAB(
    "cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm",
    "embeddings.word_embeddings.weight", "cls.predictions.decoder", "cls.predictions.bias");

const struct arch arch_bert = {
    .name = "bert",
    .title = "BERT",
    .model_types = (const char *const[]){"bert", NULL},
    .classes = (const char *const[]){"Bert", "HF_ColBERT", NULL},
    .fields = fields,
    .n_fields = ARCH_LENGTH(fields),
    .defaults = defaults,
    .weights = arch_post_norm_weights,
    .n_weights = ARCH_POST_NORM_WEIGHTS,
    .vocab = vocab,
    .n_vocab = ARCH_LENGTH(vocab),
    .roots = (const char *const[]){"embeddings.", "encoder.", NULL},
    .ignored = (const char *const[]){"embeddings.position_ids", NULL},
    .embed = arch_norm_embedding,
    .layer = arch_post_norm_layer,
    .final = arch_nothing,
    .head = &arch_pooler_head,
};
