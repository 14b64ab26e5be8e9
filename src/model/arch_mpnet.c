/* MPNet (Song et al. 2020): BERT's encoder without token types; what is added to attention's scores
 * depends on the distance, by a table that all layers share. */
#include "arch.h"

#include <math.h>

enum {
    BUCKET_FAR = 128
}; /* distances from here on are one bucket (modeling_mpnet, max_distance) */

static const struct json_field fields[] = {
    ARCH_ACT("hidden_act"),
    ARCH_UNSET("auto_map"),
    ARCH_NO_DECODER,
    ARCH_SIZES,
    ARCH_POSITIONS,
    ARCH_EPS("layer_norm_eps"),
    JSON_MAY("relative_attention_num_buckets", U32, ARCH_AT(model.buckets), .least = 4,
             .most = CONFIG_BUCKETS_MAX, .most_name = "CONFIG_BUCKETS_MAX"),
};

static void defaults(struct config *config)
{
    config->model.eps = 1e-12f;
    config->model.buckets = 32;
}

/* modeling_mpnet has padding_idx 1 whatever "pad_token_id" is. */
static vecmill_status settle(struct config *config, const char *shown, vecmill_err *err)
{
    (void)shown;
    (void)err;
    config->model.pad = 1;
    config->model.first_position = 2;
    config->model.span = BUCKET_FAR;
    return VECMILL_OK;
}

/* The bucket of a key at distance r = key - query (Raffel et al. 2020, 2.1): half of the buckets for
 * either sign; of a half, one each for near distances, then logarithmic ones up to BUCKET_FAR. */
static uint32_t bucket_of(int32_t r, uint32_t buckets)
{
    const uint32_t half = buckets / 2, near = half / 2;
    const uint32_t sign = r > 0 ? half : 0, n = (uint32_t)(r < 0 ? -r : r);
    if (n < near) return sign + n;
    const float share = logf((float)n / (float)near) / logf((float)BUCKET_FAR / (float)near);
    const uint32_t far = near + (uint32_t)(share * (float)(half - near));
    return sign + (far < half ? far : half - 1);
}

/* [heads, 2 span + 1] from [buckets, heads]. */
static void distances(const struct model_config *c, const float *tensor, uint32_t first, uint32_t n,
                      float *out)
{
    for (uint32_t head = first; head < first + n; head++) {
        for (int32_t r = -(int32_t)c->span; r <= (int32_t)c->span; r++)
            *out++ = tensor[bucket_of(r, c->buckets) * c->n_heads + head];
    }
}

static const struct arch_weight weights[] = {
    ARCH_WORDS("embeddings.word_embeddings.weight"),
    ARCH_POSITION_TABLE("embeddings.position_embeddings.weight"),
    ARCH_VECTOR(EMBED_NORM, "embeddings.LayerNorm.weight", HIDDEN),
    ARCH_VECTOR(EMBED_NORM_BIAS, "embeddings.LayerNorm.bias", HIDDEN),
    {.part = PART_DISTANCE,
     .storage = STORE_COMPUTED,
     .columns = SIZE_HEADS,
     .sources = {{.tensor = "encoder.relative_attention_bias.weight", .rows = SIZE_BUCKETS}},
     .rows = SIZE_HEADS,
     .width = SIZE_SPAN,
     .compute = distances},
    ARCH_QKV("encoder.layer.%u.attention.attn.q.weight", "encoder.layer.%u.attention.attn.k.weight",
             "encoder.layer.%u.attention.attn.v.weight"),
    ARCH_QKV_BIAS("encoder.layer.%u.attention.attn.q.bias",
                  "encoder.layer.%u.attention.attn.k.bias",
                  "encoder.layer.%u.attention.attn.v.bias"),
    ARCH_MATRIX(OUT, "encoder.layer.%u.attention.attn.o.weight", HIDDEN, QUERIES),
    ARCH_VECTOR(OUT_BIAS, "encoder.layer.%u.attention.attn.o.bias", HIDDEN),
    ARCH_VECTOR(NORM1, "encoder.layer.%u.attention.LayerNorm.weight", HIDDEN),
    ARCH_VECTOR(NORM1_BIAS, "encoder.layer.%u.attention.LayerNorm.bias", HIDDEN),
    ARCH_MATRIX(UP, "encoder.layer.%u.intermediate.dense.weight", INTER, HIDDEN),
    ARCH_VECTOR(UP_BIAS, "encoder.layer.%u.intermediate.dense.bias", INTER),
    ARCH_MATRIX(DOWN, "encoder.layer.%u.output.dense.weight", HIDDEN, INTER),
    ARCH_VECTOR(DOWN_BIAS, "encoder.layer.%u.output.dense.bias", HIDDEN),
    ARCH_VECTOR(NORM2, "encoder.layer.%u.output.LayerNorm.weight", HIDDEN),
    ARCH_VECTOR(NORM2_BIAS, "encoder.layer.%u.output.LayerNorm.bias", HIDDEN),
};

const struct arch arch_mpnet = {
    .name = "mpnet",
    .title = "MPNet",
    .model_types = (const char *const[]){"mpnet", NULL},
    .classes = (const char *const[]){"MPNet", NULL},
    .fields = fields,
    .n_fields = ARCH_LENGTH(fields),
    .defaults = defaults,
    .settle = settle,
    .weights = weights,
    .n_weights = ARCH_LENGTH(weights),
    .vocab = arch_lm_head,
    .n_vocab = ARCH_VOCAB_HEAD,
    .vocab_act = GEMM_GELU_ERF,
    .roots = (const char *const[]){"embeddings.", "encoder.", NULL},
    .ignored = (const char *const[]){"embeddings.position_ids", NULL},
    .embed = arch_norm_embedding,
    .layer = arch_post_norm_layer,
    .final = arch_nothing,
    .bias = ATTENTION_TABLE,
};
