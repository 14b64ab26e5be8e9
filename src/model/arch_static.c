/* Static embeddings: a document is the mean of its tokens' rows of one table. model2vec 0.10
 * (StaticModel.encode and its persistence), and sentence-transformers' StaticEmbedding, which is a
 * module of modules.json and has no config.json. They differ in what becomes of the text. */
#include "arch.h"
#include "weights.h"

#define MODEL2VEC_LENGTH 512u /* model2vec, DEFAULT_MAX_LENGTH */

/* The table's size, and which of the two other tensors there are. */
static vecmill_status measure(struct config *config, const struct weights *weights,
                              vecmill_err *err)
{
    struct model_config *m = &config->model;
    const struct arch *arch = arch_named(m->family);
    const char *name = arch->weights[0].sources[0].tensor;
    const struct tensor *table = weights_find(weights, name);
    const struct tensor *row_of = weights_find(weights, "mapping");
    if (!table)
        return err_set(err, VECMILL_E_MODEL, "%s: tensor \"%s\" is missing", weights->shown, name);
    if (table->rank != 2 || table->shape[0] < 1 || table->shape[0] > CONFIG_VOCAB_MAX ||
        table->shape[1] < 1 || table->shape[1] > MODEL_HIDDEN_MAX) {
        char shape[TENSOR_SHAPE_TEXT];
        tensor_shape_text(table->shape, table->rank, shape);
        return err_set(err, VECMILL_E_MODEL,
                       "%s: tensor \"%s\" has shape %.48s; 1 to CONFIG_VOCAB_MAX, %u, rows of 1 to "
                       "MODEL_HIDDEN_MAX, %u, are computed here",
                       table->file->shown, name, shape, CONFIG_VOCAB_MAX, MODEL_HIDDEN_MAX);
    }
    m->rows = m->vocab = (uint32_t)table->shape[0];
    m->hidden = (uint32_t)table->shape[1];
    if (arch->n_weights == 1) return VECMILL_OK;
    if (row_of &&
        (row_of->rank != 1 || row_of->shape[0] < 1 || row_of->shape[0] > CONFIG_VOCAB_MAX))
        return err_set(
            err, VECMILL_E_MODEL,
            "%s: tensor \"mapping\" is not a vector of 1 to CONFIG_VOCAB_MAX, %u, numbers",
            row_of->file->shown, CONFIG_VOCAB_MAX);
    if (row_of) m->vocab = (uint32_t)row_of->shape[0];
    if (row_of) m->has |= MODEL_HAS_ROW_OF;
    if (weights_find(weights, "weights")) m->has |= MODEL_HAS_FACTOR;
    return VECMILL_OK;
}

#define ARCH_TABLE(name)                                                                           \
    {                                                                                              \
        .part = PART_WORD, .storage = STORE_TABLE, .columns = SIZE_HIDDEN, .sources = {            \
            {.tensor = (name), .rows = SIZE_ROWS}                                                  \
        }                                                                                          \
    }

/* ---- model2vec ---- */

/* null: no limit. */
static vecmill_status read_length(const struct json_reading *reading,
                                  const struct json_field *field, const struct json_value *value,
                                  vecmill_err *err)
{
    struct config *config = reading->target;
    uint64_t n = MODEL_BAG_MAX;
    if (value->kind != JSON_KIND_NULL && (!json_u64(value, &n) || n < 1))
        return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is neither null nor an integer from 1 on",
                       reading->name, field->key);
    config->model.max_length = (uint32_t)num_min(n, MODEL_BAG_MAX);
    return VECMILL_OK;
}

static const struct json_field model2vec_fields[] = {
    JSON_MAY("max_length", OWN, 0, .own = read_length, .takes_null = true),
    ARCH_FLAG("normalize", normalize),
};

static void model2vec_defaults(struct config *config)
{
    config->model.max_positions = MODEL_BAG_MAX;
    config->model.max_length = MODEL2VEC_LENGTH;
    config->model.text = MODEL_TEXT_BARE | MODEL_TEXT_KNOWN | MODEL_TEXT_CHARACTERS;
}

/* model2vec reads "normalize", sentence-transformers the modules. Files of model2vec agree. */
static vecmill_status model2vec_settle(struct config *config, const char *shown, vecmill_err *err)
{
    struct model_ending *e = &config->model.ending;
    const bool normalizes = config->keys.normalize;
    if (config->has_pooling_file)
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"model_type\" is \"model2vec\", and modules.json has a Pooling",
                       shown);
    if (config->is_bag && normalizes != model_normalizes(&config->model))
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"normalize\" is %s, and modules.json ends with%s a Normalize", shown,
                       normalizes ? "true" : "false", normalizes ? "out" : "");
    if (config->is_bag) return VECMILL_OK;
    *e = (struct model_ending){.n_poolings = 1, .poolings = {MODEL_POOL_MEAN}};
    if (normalizes) e->steps[e->n_steps++].kind = MODEL_STEP_NORMALIZE;
    return VECMILL_OK;
}

static const struct arch_weight model2vec_weights[] = {
    ARCH_TABLE("embeddings"),
    {.part = PART_ROW_OF,
     .storage = STORE_INDEX,
     .sources = {{.tensor = "mapping", .rows = SIZE_VOCAB}},
     .needs = MODEL_HAS_ROW_OF},
    ARCH_VECTOR(FACTOR, "weights", VOCAB, .needs = MODEL_HAS_FACTOR),
};

const struct arch arch_model2vec = {
    .name = "model2vec",
    .title = "model2vec",
    .model_types = (const char *const[]){"model2vec", NULL},
    .classes = (const char *const[]){"StaticModel", NULL},
    .fields = model2vec_fields,
    .n_fields = ARCH_LENGTH(model2vec_fields),
    .defaults = model2vec_defaults,
    .settle = model2vec_settle,
    .measure = measure,
    .weights = model2vec_weights,
    .n_weights = ARCH_LENGTH(model2vec_weights),
    .roots = (const char *const[]){"embeddings", "mapping", "weights", NULL},
    .ignored = (const char *const[]){NULL},
    .bag = true,
};

/* ---- sentence-transformers ---- */

static void static_defaults(struct config *config)
{
    config->model.max_positions = MODEL_BAG_MAX;
    config->model.text = MODEL_TEXT_BARE;
}

static const struct arch_weight static_weights[] = {ARCH_TABLE("embedding.weight")};

const struct arch arch_static_embedding = {
    .name = "static",
    .title = "StaticEmbedding",
    .model_types = (const char *const[]){NULL},
    .classes = (const char *const[]){NULL},
    .module = "StaticEmbedding",
    .defaults = static_defaults,
    .measure = measure,
    .weights = static_weights,
    .n_weights = ARCH_LENGTH(static_weights),
    .roots = (const char *const[]){"embedding.", NULL},
    .ignored = (const char *const[]){NULL},
    .bag = true,
};
