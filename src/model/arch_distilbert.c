/* DistilBERT (Sanh et al. 2019): BERT's encoder without token types, under names of its own. */
#include "arch.h"

static const struct json_field fields[] = {
    ARCH_ACT("activation"),
    ARCH_UNSET("auto_map"),
    ARCH_NO_DECODER,
    ARCH_SIZE("n_layers", n_layers, MODEL_LAYERS_MAX, .alias = "num_hidden_layers"),
    ARCH_SIZE("dim", hidden, MODEL_HIDDEN_MAX, .alias = "hidden_size"),
    ARCH_SIZE("n_heads", n_heads, MODEL_HIDDEN_MAX, .alias = "num_attention_heads"),
    ARCH_SIZE("hidden_dim", intermediate, CONFIG_INTERMEDIATE_MAX, .alias = "intermediate_size"),
    ARCH_SIZE("vocab_size", vocab, CONFIG_VOCAB_MAX),
    ARCH_POSITIONS,
    /* How the position table was filled; it is among the weights either way. */
    JSON_MAY("sinusoidal_pos_embds", UNREAD, 0),
};

static void defaults(struct config *config)
{
    config->model.eps = 1e-12f; /* modeling_distilbert: no key sets it */
}

static const struct arch_weight weights[] = {
    ARCH_WORDS("embeddings.word_embeddings.weight"),
    ARCH_POSITION_TABLE("embeddings.position_embeddings.weight"),
    ARCH_VECTOR(EMBED_NORM, "embeddings.LayerNorm.weight", HIDDEN),
    ARCH_VECTOR(EMBED_NORM_BIAS, "embeddings.LayerNorm.bias", HIDDEN),
    ARCH_QKV("transformer.layer.%u.attention.q_lin.weight",
             "transformer.layer.%u.attention.k_lin.weight",
             "transformer.layer.%u.attention.v_lin.weight"),
    ARCH_QKV_BIAS("transformer.layer.%u.attention.q_lin.bias",
                  "transformer.layer.%u.attention.k_lin.bias",
                  "transformer.layer.%u.attention.v_lin.bias"),
    ARCH_MATRIX(OUT, "transformer.layer.%u.attention.out_lin.weight", HIDDEN, QUERIES),
    ARCH_VECTOR(OUT_BIAS, "transformer.layer.%u.attention.out_lin.bias", HIDDEN),
    ARCH_VECTOR(NORM1, "transformer.layer.%u.sa_layer_norm.weight", HIDDEN),
    ARCH_VECTOR(NORM1_BIAS, "transformer.layer.%u.sa_layer_norm.bias", HIDDEN),
    ARCH_MATRIX(UP, "transformer.layer.%u.ffn.lin1.weight", INTER, HIDDEN),
    ARCH_VECTOR(UP_BIAS, "transformer.layer.%u.ffn.lin1.bias", INTER),
    ARCH_MATRIX(DOWN, "transformer.layer.%u.ffn.lin2.weight", HIDDEN, INTER),
    ARCH_VECTOR(DOWN_BIAS, "transformer.layer.%u.ffn.lin2.bias", HIDDEN),
    ARCH_VECTOR(NORM2, "transformer.layer.%u.output_layer_norm.weight", HIDDEN),
    ARCH_VECTOR(NORM2_BIAS, "transformer.layer.%u.output_layer_norm.bias", HIDDEN),
};

static const struct arch_head head = {
    .pooling = MODEL_POOL_CLS,
    .steps = {{.kind = MODEL_STEP_DENSE,
               .weight = "pre_classifier.weight",
               .bias = "pre_classifier.bias",
               .act = MODEL_ACT_RELU},
              {.kind = MODEL_STEP_DENSE,
               .weight = "classifier.weight",
               .bias = "classifier.bias",
               .is_last = true}},
};

static const struct arch_weight vocab[] =
    ARCH_VOCAB("vocab_transform", "vocab_layer_norm", "embeddings.word_embeddings.weight",
               "vocab_projector", "vocab_projector.bias");

const struct arch arch_distilbert = {
    .name = "distilbert",
    .title = "DistilBERT",
    .model_types = (const char *const[]){"distilbert", NULL},
    .classes = (const char *const[]){"DistilBert", NULL},
    .fields = fields,
    .n_fields = ARCH_LENGTH(fields),
    .defaults = defaults,
    .weights = weights,
    .n_weights = ARCH_LENGTH(weights),
    .vocab = vocab,
    .n_vocab = ARCH_LENGTH(vocab),
    .roots = (const char *const[]){"embeddings.", "transformer.", NULL},
    .ignored = (const char *const[]){"embeddings.position_ids", NULL},
    .embed = arch_norm_embedding,
    .layer = arch_post_norm_layer,
    .final = arch_nothing,
    .head = &head,
};
