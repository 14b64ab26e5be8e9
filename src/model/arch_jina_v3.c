/* jina-embeddings-v3 (Sturua et al. 2024): XLM-RoBERTa's encoder with rotary positions in place of a
 * position table. Its checkpoint has the plain weights and low-rank parts for each task (Hu et al.
 * 2022, LoRA, arXiv 2106.09685): W + scale * B A, which is computed as x W^T + scale (x A^T) B^T.
 * It has XLM-RoBERTa's model type. */
#include "arch.h"

#include <string.h>

static vecmill_status read_tasks(const struct json_reading *reading, const struct json_field *field,
                                 const struct json_value *value, vecmill_err *err)
{
    struct model_config *m = &((struct config *)reading->target)->model;
    struct json_each each = json_begin(value);
    struct json_value none, name;
    m->n_tasks = 0;
    if (value->kind != JSON_KIND_ARRAY || json_count(value) > MODEL_TASKS_MAX)
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"%s\" is not an array of at most MODEL_TASKS_MAX, %u, names",
                       reading->name, field->key, MODEL_TASKS_MAX);
    while (json_each(&each, &none, &name)) {
        char text[49], *to = m->tasks[m->n_tasks];
        memset(to, 0, MODEL_TASK_BYTES);
        if (name.kind != JSON_KIND_STRING || !json_string_into(&name, to, MODEL_TASK_BYTES) ||
            to[0] == '\0' || model_task(m, to) != 0)
            return err_set(err, VECMILL_E_MODEL,
                           "%s: \"%s\"[%u] is \"%s\", which is no name of 1 to %u bytes, or there "
                           "twice",
                           reading->name, field->key, m->n_tasks,
                           json_show(&name, text, sizeof text), MODEL_TASK_BYTES - 1);
        m->n_tasks++;
    }
    return VECMILL_OK;
}

static const struct json_field fields[] = {
    ARCH_ACT("hidden_act"),
    ARCH_UNREAD("auto_map"),
    ARCH_NO_DECODER,
    ARCH_SIZES,
    ARCH_SIZE("max_position_embeddings", max_positions, MODEL_LENGTH_MAX),
    ARCH_TYPES,
    ARCH_EPS("layer_norm_eps"),
    ARCH_ROPE("rotary_emb_base"),
    ARCH_UNSET("rotary_emb_interleaved"),
    ARCH_UNSET("rotary_emb_scale_base"),
    JSON_MAY("lora_adaptations", OWN, 0, .own = read_tasks),
    JSON_MAY("lora_rank", U32, ARCH_AT(model.task_rank), ARCH_LIMIT(MODEL_RANK_MAX)),
    JSON_MAY("lora_alpha", FLOAT, ARCH_AT(keys.scalar), .low = 1e-6, .high = 1e6),
};

static void defaults(struct config *config)
{
    config->model.types = 1;
    config->model.eps = 1e-5f;
    config->model.task_rank = 4;
    config->keys.scalar = 1;
}

static vecmill_status settle(struct config *config, const char *shown, vecmill_err *err)
{
    struct model_config *m = &config->model;
    if (m->n_tasks > 0) {
        m->has |= MODEL_HAS_TASKS;
        m->task_scale = config->keys.scalar / (float)m->task_rank;
    }
    return arch_settle_rope(config, shown, 10000, 0, err);
}

static bool is_rotary(const struct json_value *config)
{
    const struct json_value type = json_get(config, "position_embedding_type");
    return json_is(&type, "rotary");
}

#define PLAIN(name)  name ".parametrizations.weight.original"
#define LORA_A(name) name ".parametrizations.weight.0.lora_A"
#define LORA_B(name) name ".parametrizations.weight.0.lora_B"

/* A product and the first matrices of its tasks. */
#define JINA_PRODUCT(place, name, to, from)                                                        \
    ARCH_MATRIX(place, PLAIN(name), to, from, .task = PART_##place##_TASKS,                        \
                .task_tensor = LORA_B(name)),                                                      \
    {                                                                                              \
        .part = PART_##place##_TASKS, .storage = STORE_PRODUCT, .columns = SIZE_##from,            \
        .sources = {{.tensor = LORA_A(name), .rows = SIZE_RANK, .slabs = SIZE_TASKS}},             \
        .needs = MODEL_HAS_TASKS, .each = SIZE_TASKS, .exact = true                                \
    }

/* A tensor [tasks, rows, columns]. */
#define JINA_TABLE(place, name, rows_of, columns_of)                                               \
    {                                                                                              \
        .part = PART_##place, .storage = STORE_FLOATS, .columns = SIZE_##columns_of,               \
        .sources = {{.tensor = (name), .rows = SIZE_##rows_of, .slabs = SIZE_TASKS}},              \
        .needs = MODEL_HAS_TASKS                                                                   \
    }

/* scale * A[task][0] B[task], from A [tasks, types, rank] and then B [tasks, rank, hidden]. */
static void type_tasks(const struct model_config *c, const float *tensor, uint32_t first,
                       uint32_t n, float *out)
{
    const size_t rank = c->task_rank, h = c->hidden;
    const float *const second = tensor + (size_t)c->n_tasks * c->types * rank;
    for (size_t task = first; task < (size_t)first + n; task++, out += h) {
        const float *a = tensor + task * c->types * rank, *b = second + task * rank * h;
        for (size_t k = 0; k < h; k++) {
            double sum = 0;
            for (size_t i = 0; i < rank; i++)
                sum += (double)a[i] * (double)b[i * h + k];
            out[k] = (float)(sum * (double)c->task_scale);
        }
    }
}

#define WORDS "embeddings.word_embeddings"
#define TYPES "embeddings.token_type_embeddings"
#define LAYER "encoder.layers.%u."

static const struct arch_weight weights[] = {
    ARCH_WORDS(PLAIN(WORDS)),
    JINA_TABLE(WORD_TASKS, LORA_A(WORDS), VOCAB, RANK),
    JINA_TABLE(WORD_TASKS_OUT, LORA_B(WORDS), RANK, HIDDEN),
    ARCH_TYPE_TABLE(PLAIN(TYPES)),
    {.part = PART_TYPE_TASKS,
     .storage = STORE_COMPUTED,
     .columns = SIZE_HIDDEN,
     .sources =
         {{.tensor = LORA_A(TYPES), .rows = SIZE_TYPES, .columns = SIZE_RANK, .slabs = SIZE_TASKS},
          {.tensor = LORA_B(TYPES), .rows = SIZE_RANK, .slabs = SIZE_TASKS}},
     .needs = MODEL_HAS_TASKS | MODEL_HAS_TYPES,
     .rows = SIZE_TASKS,
     .width = SIZE_HIDDEN,
     .compute = type_tasks},
    ARCH_VECTOR(EMBED_NORM, "emb_ln.weight", HIDDEN),
    ARCH_VECTOR(EMBED_NORM_BIAS, "emb_ln.bias", HIDDEN),
    ARCH_ROPE_GLOBAL,
    JINA_PRODUCT(QKV, LAYER "mixer.Wqkv", QKV, HIDDEN),
    ARCH_VECTOR(QKV_BIAS, LAYER "mixer.Wqkv.bias", QKV),
    JINA_PRODUCT(OUT, LAYER "mixer.out_proj", HIDDEN, QUERIES),
    ARCH_VECTOR(OUT_BIAS, LAYER "mixer.out_proj.bias", HIDDEN),
    ARCH_VECTOR(NORM1, LAYER "norm1.weight", HIDDEN),
    ARCH_VECTOR(NORM1_BIAS, LAYER "norm1.bias", HIDDEN),
    JINA_PRODUCT(UP, LAYER "mlp.fc1", INTER, HIDDEN),
    ARCH_VECTOR(UP_BIAS, LAYER "mlp.fc1.bias", INTER),
    JINA_PRODUCT(DOWN, LAYER "mlp.fc2", HIDDEN, INTER),
    ARCH_VECTOR(DOWN_BIAS, LAYER "mlp.fc2.bias", HIDDEN),
    ARCH_VECTOR(NORM2, LAYER "norm2.weight", HIDDEN),
    ARCH_VECTOR(NORM2_BIAS, LAYER "norm2.bias", HIDDEN),
};

const struct arch arch_jina_v3 = {
    .name = "jina_v3",
    .title = "jina-v3",
    .model_types = (const char *const[]){"xlm-roberta", NULL},
    .matches = is_rotary,
    .classes = (const char *const[]){"XLMRoberta", NULL},
    .fields = fields,
    .n_fields = ARCH_LENGTH(fields),
    .defaults = defaults,
    .settle = settle,
    .weights = weights,
    .n_weights = ARCH_LENGTH(weights),
    .roots = (const char *const[]){"embeddings.", "emb_ln.", "encoder.", NULL},
    .ignored = (const char *const[]){"*.lora_A", "*.lora_B", NULL},
    .embed = arch_norm_embedding,
    .layer = arch_rotary_layer,
    .final = arch_nothing,
};
