#include "modules.h"

#include "arch.h"
#include "ending.h"
#include "late.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define LENGTH(list) (sizeof(list) / sizeof *(list))

/* ---- modules.json ---- */

#define CLASSES                                                                                    \
    "Transformer, MLMTransformer, StaticEmbedding, Pooling, SpladePooling, Dense, LayerNorm and "  \
    "Normalize, and of late interaction MultiVectorMask,"

/* A module's class, by the last word of its type. */
static const struct class
{
    const char *word;
    uint32_t place; /* 0 and 1: only there; 2: there and after */
    enum model_step_kind step;
    bool has_folder; /* its path must lead to one */
    enum model_sparse sparse;
    bool gives_logits; /* as in struct config */
    bool is_mask;
} classes[] = {
    {.word = "Transformer", .place = 0},
    {.word = "MLMTransformer", .place = 0, .gives_logits = true},
    /* a family of its own (arch.h): Transformer and Pooling in one */
    {.word = "StaticEmbedding", .place = 0},
    {.word = "Pooling", .place = 1, .has_folder = true},
    {.word = "SpladePooling", .place = 1, .has_folder = true, .sparse = MODEL_SPARSE_MAX},
    {.word = "Dense", .place = 2, .step = MODEL_STEP_DENSE, .has_folder = true},
    {.word = "LayerNorm", .place = 2, .step = MODEL_STEP_LAYER_NORM, .has_folder = true},
    {.word = "Normalize", .place = 2, .step = MODEL_STEP_NORMALIZE},
    {.word = "MultiVectorMask", .place = 2, .has_folder = true, .is_mask = true},
};

/* A path within the folder: relative, no empty part, none of dots only, no control character.
 * Slashes at its end are dropped. */
static bool safe_path(const char *path, char out[CONFIG_PATH_BYTES])
{
    size_t bytes = strlen(path), part = 0;
    bool dots = true;
    while (bytes > 1 && path[bytes - 1] == '/')
        bytes--;
    if (bytes >= CONFIG_PATH_BYTES) return false;
    for (size_t i = 0; i <= bytes; i++) {
        if (i == bytes || path[i] == '/') {
            if (part == 0 || dots) return false;
            part = 0;
            dots = true;
            continue;
        }
        if ((unsigned char)path[i] < ' ' || path[i] == '\\') return false;
        dots = dots && path[i] == '.';
        part++;
    }
    memset(out, 0, CONFIG_PATH_BYTES);
    memcpy(out, path, bytes);
    return true;
}

struct module {
    struct json_value type, kwargs, path;
    uint32_t idx;
};

/* The packages whose classes of these names compute the same: sentence-transformers, pylate, and a
 * model's own module custom_st, whose Transformer only takes other arguments. */
static vecmill_status find_class(const struct json_value *type, size_t place, bool no_pooling,
                                 const char *shown, const struct class **found, vecmill_err *err)
{
    static const char *const packages[] = {"sentence_transformers.", "pylate.", "custom_st."};
    char text[256];
    const bool is_whole = json_string_into(type, text, sizeof text);
    const char *dot = strrchr(text, '.');
    bool is_known = false;
    for (size_t i = 0; i < LENGTH(packages); i++)
        is_known = is_known || strncmp(text, packages[i], strlen(packages[i])) == 0;
    if (!is_whole || !is_known || !dot)
        return config_refuse(shown, "type", type, "sentence_transformers' " CLASSES, err);
    const struct class *c = classes;
    while (c < classes + LENGTH(classes) && strcmp(dot + 1, c->word) != 0)
        c++;
    if (c == classes + LENGTH(classes)) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: module %zu is a \"%.48s\"; " CLASSES " are computed here", shown, place,
                       dot + 1);
    }
    const size_t expects = num_min(no_pooling ? place + 1 : place, 2);
    if (c->place != expects) {
        static const char *const expected[] = {"Transformer or StaticEmbedding",
                                               "Pooling or SpladePooling",
                                               "Dense, LayerNorm or Normalize"};
        return err_set(err, VECMILL_E_MODEL, "%s: module %zu is %s where %s is expected", shown,
                       place, dot + 1, expected[expects]);
    }
    *found = c;
    return VECMILL_OK;
}

static vecmill_status read_path(const struct module *module, size_t place, bool has_folder,
                                const char *shown, char out[CONFIG_PATH_BYTES], vecmill_err *err)
{
    char path[2 * CONFIG_PATH_BYTES] = "", text[65];
    const bool is_given = module->path.kind == JSON_KIND_STRING;
    const bool is_whole = !is_given || json_string_into(&module->path, path, sizeof path);
    memset(out, 0, CONFIG_PATH_BYTES);
    if (is_whole && (path[0] == '\0' || strcmp(path, ".") == 0) && !has_folder) return VECMILL_OK;
    if (is_whole && safe_path(path, out)) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL,
                   "%s: \"path\" of module %zu is \"%s\", no folder within the model's", shown,
                   place, json_show(&module->path, text, sizeof text));
}

/* Of a module that is a family by itself; NULL: config.json says which family it is. */
static void take_family(const struct arch *arch, struct config *config)
{
    if (!arch) return;
    snprintf(config->model.family, sizeof config->model.family, "%s", arch->name);
    arch->defaults(config);
    config->is_bag = arch->bag;
    config->model.ending.n_poolings = 1;
    config->model.ending.poolings[0] = MODEL_POOL_MEAN;
}

static vecmill_status parse_module(const struct json_value *value, size_t place, const char *shown,
                                   struct config *config, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MUST("type", STRING, offsetof(struct module, type)),
        JSON_MAY("idx", U32, offsetof(struct module, idx), .most = UINT32_MAX),
        JSON_MAY("kwargs", ANY, offsetof(struct module, kwargs)),
        JSON_MAY("path", STRING, offsetof(struct module, path)),
    };
    struct module module = {.idx = (uint32_t)place};
    const struct class *class = NULL;
    if (value->kind != JSON_KIND_OBJECT) {
        return err_set(err, VECMILL_E_MODEL, "%s: module %zu is not an object", shown, place);
    }
    VM_TRY(config_fields(value, fields, LENGTH(fields), NULL, shown, &module, err));
    const bool no_pooling = config->is_bag || (config->is_multi && place > 0);
    VM_TRY(find_class(&module.type, place, no_pooling, shown, &class, err));
    if (module.idx != place) {
        return err_set(err, VECMILL_E_MODEL, "%s: module %zu has \"idx\" %u", shown, place,
                       module.idx);
    }
    if (json_count(&module.kwargs) != 0) {
        return err_set(err, VECMILL_E_MODEL, "%s: \"kwargs\" of module %zu are not understood",
                       shown, place);
    }
    if (config->model.sparse && place > 1)
        return err_set(err, VECMILL_E_MODEL,
                       "%s: module %zu is %s; none is computed here after SpladePooling", shown,
                       place, class->word);
    if (class->sparse) config->model.sparse = class->sparse;
    if (class->gives_logits) config->gives_logits = true;
    struct model_ending *e = &config->model.ending;
    if (class->is_mask && (!config->is_multi || config->pooling[0]))
        return err_set(err, VECMILL_E_MODEL, "%s: module %zu is a second MultiVectorMask", shown,
                       place);
    char *path = class->place == 0                     ? config->transformer
                 : class->place == 1 || class->is_mask ? config->pooling
                                                       : config->steps[e->n_steps];
    if (class->place == 2 && !class->is_mask)
        e->steps[e->n_steps++] = (struct model_step){.kind = class->step};
    if (place == 0) take_family(arch_of_module(class->word), config);
    return read_path(&module, place, class->has_folder, shown, path, err);
}

vecmill_status modules_parse(const struct json_value *list, const char *shown,
                             struct config *config, vecmill_err *err)
{
    struct json_each each = json_begin(list);
    struct json_value none, module;
    if (list->kind != JSON_KIND_ARRAY) {
        return err_set(err, VECMILL_E_MODEL, "%s: not an array of modules", shown);
    }
    const size_t n = json_count(list);
    if (n > MODEL_STEPS_MAX + 2) {
        return err_set(err, VECMILL_E_MODEL, "%s: %zu modules after Pooling, MODEL_STEPS_MAX is %u",
                       shown, n - 2, MODEL_STEPS_MAX);
    }
    config->model.ending = (struct model_ending){0};
    config->model.sparse = MODEL_SPARSE_NONE;
    config->gives_logits = false;
    config->is_multi = late_is(list);
    for (size_t i = 0; json_each(&each, &none, &module); i++) {
        if (config->model.ending.n_steps == MODEL_STEPS_MAX)
            return err_set(err, VECMILL_E_MODEL,
                           "%s: %zu modules after the first, MODEL_STEPS_MAX is %u", shown, n - 1,
                           MODEL_STEPS_MAX);
        VM_TRY(parse_module(&module, i, shown, config, err));
    }
    if (n < (config->is_bag ? 1 : 2)) {
        return err_set(err, VECMILL_E_MODEL, "%s: %zu modules, Transformer and Pooling are needed",
                       shown, n);
    }
    if (config->gives_logits && !config->model.sparse)
        return err_set(err, VECMILL_E_MODEL,
                       "%s: an MLMTransformer makes logits, and no SpladePooling takes them",
                       shown);
    config->has_pooling_file = config->is_multi ? config->pooling[0] != '\0' : !config->is_bag;
    if (config->model.sparse) {
        config->model.sparse_logs = 1;
        config->model.ending.n_poolings = 1; /* of no vector, but one that could be */
    }
    return VECMILL_OK;
}

void modules_default(const struct json_value *transformer, struct config *config)
{
    static const char causal[] = "ForCausalLM";
    const struct json_value names = json_get(transformer, "architectures");
    const struct json_value is_causal = json_get(transformer, "is_causal");
    struct json_each each = json_begin(&names);
    struct json_value none, first;
    char name[256] = "";
    if (names.kind == JSON_KIND_ARRAY && json_each(&each, &none, &first))
        (void)json_string_into(&first, name, sizeof name);
    const size_t bytes = strlen(name), tail = sizeof causal - 1;
    const bool is_decoder = bytes >= tail && strcmp(name + bytes - tail, causal) == 0 &&
                            !(is_causal.kind == JSON_KIND_BOOLEAN && is_causal.raw[0] == 'f');
    config->model.ending = (struct model_ending){
        .n_poolings = 1, .poolings = {is_decoder ? MODEL_POOL_LAST : MODEL_POOL_MEAN}};
}

/* ---- N_Pooling/config.json ---- */

/* In the order in which sentence-transformers concatenates what flags switch on. */
static const struct {
    const char *word, *flag;
    enum model_pooling pooling;
} modes[MODEL_POOLINGS] = {
    {"cls", "pooling_mode_cls_token", MODEL_POOL_CLS},
    {"max", "pooling_mode_max_tokens", MODEL_POOL_MAX},
    {"mean", "pooling_mode_mean_tokens", MODEL_POOL_MEAN},
    {"mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens", MODEL_POOL_MEAN_SQRT_LEN},
    {"weightedmean", "pooling_mode_weightedmean_tokens", MODEL_POOL_WEIGHTED_MEAN},
    {"lasttoken", "pooling_mode_lasttoken", MODEL_POOL_LAST},
};

struct pooling_file {
    uint32_t dims[2]; /* 0: not given */
    struct json_value mode;
    bool flags[MODEL_POOLINGS], includes_prompt;
};

static vecmill_status check_dimension(const struct pooling_file *file, const char *shown,
                                      const struct config *config, vecmill_err *err)
{
    static const char *const keys[] = {"word_embedding_dimension", "embedding_dimension"};
    const uint32_t state = arch_size(&config->model, 0, SIZE_STATE);
    for (size_t i = 0; i < LENGTH(keys); i++) {
        if (file->dims[i] == 0 || file->dims[i] == state) continue;
        return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is %u, \"%s\" of config.json is %u", shown,
                       keys[i], file->dims[i],
                       config->model.state > 0 ? "embedding_dim" : "hidden_size", state);
    }
    if (file->dims[0] == 0 && file->dims[1] == 0)
        return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is missing", shown, keys[0]);
    return VECMILL_OK;
}

static vecmill_status take_flags(const struct pooling_file *file, const char *shown,
                                 struct model_ending *e, vecmill_err *err)
{
    for (size_t i = 0; i < MODEL_POOLINGS; i++)
        if (file->flags[i]) e->poolings[e->n_poolings++] = modes[i].pooling;
    if (e->n_poolings == 0)
        return err_set(err, VECMILL_E_MODEL, "%s: no pooling mode is true", shown);
    return VECMILL_OK;
}

/* Adds one of "pooling_mode", which has one as a string or several in an array. */
static vecmill_status take_mode(const struct json_value *mode, const char *shown,
                                struct model_ending *e, vecmill_err *err)
{
    size_t i = 0;
    while (i < MODEL_POOLINGS && !json_is(mode, modes[i].word))
        i++;
    if (i == MODEL_POOLINGS)
        return config_refuse(shown, "pooling_mode", mode,
                             "cls, max, mean, mean_sqrt_len_tokens, weightedmean or lasttoken",
                             err);
    for (uint32_t k = 0; k < e->n_poolings; k++) {
        if (e->poolings[k] != (uint32_t)modes[i].pooling) continue;
        return err_set(err, VECMILL_E_MODEL, "%s: \"pooling_mode\" has \"%s\" twice", shown,
                       modes[i].word);
    }
    e->poolings[e->n_poolings++] = modes[i].pooling;
    return VECMILL_OK;
}

static vecmill_status take_modes(const struct json_value *value, const char *shown,
                                 struct model_ending *e, vecmill_err *err)
{
    struct json_each each = json_begin(value);
    struct json_value none, mode;
    if (value->kind != JSON_KIND_ARRAY) return take_mode(value, shown, e, err);
    while (json_each(&each, &none, &mode))
        VM_TRY(take_mode(&mode, shown, e, err));
    if (e->n_poolings == 0)
        return err_set(err, VECMILL_E_MODEL, "%s: \"pooling_mode\" is empty", shown);
    return VECMILL_OK;
}

struct splade_file {
    uint32_t vocab, logs, sparse; /* vocab 0: not given */
};

/* A word of a list, as its place in it. */
static vecmill_status read_word(const struct json_reading *reading, const struct json_field *field,
                                const struct json_value *value, vecmill_err *err)
{
    static const struct {
        const char *key, *word;
        size_t at;
        uint32_t is;
    } words[] = {
        {"pooling_strategy", "max", offsetof(struct splade_file, sparse), MODEL_SPARSE_MAX},
        {"pooling_strategy", "sum", offsetof(struct splade_file, sparse), MODEL_SPARSE_SUM},
        {"activation_function", "relu", offsetof(struct splade_file, logs), 1},
        {"activation_function", "log1p_relu", offsetof(struct splade_file, logs), 2},
    };
    for (size_t i = 0; i < LENGTH(words); i++) {
        if (strcmp(field->key, words[i].key) != 0 || !json_is(value, words[i].word)) continue;
        memcpy((char *)reading->target + words[i].at, &words[i].is, sizeof words[i].is);
        return VECMILL_OK;
    }
    return config_refuse(reading->name, field->key, value, field->detail, err);
}

/* sentence-transformers 6.2, class SpladePooling */
static vecmill_status parse_splade(const struct json_value *o, const char *shown,
                                   struct config *config, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("pooling_strategy", OWN, 0, .own = read_word, .detail = "max or sum"),
        JSON_MAY("activation_function", OWN, 0, .own = read_word, .detail = "relu or log1p_relu"),
        JSON_MAY("embedding_dimension", U32, offsetof(struct splade_file, vocab),
                 .alias = "word_embedding_dimension", .most = UINT32_MAX),
        JSON_MAY("chunk_size", UNREAD, 0), /* of the same sums */
    };
    struct splade_file file = {.logs = 1, .sparse = MODEL_SPARSE_MAX};
    VM_TRY(config_fields(o, fields, LENGTH(fields), config_refuse_key, shown, &file, err));
    if (file.vocab != 0 && file.vocab != config->model.vocab)
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"embedding_dimension\" is %u, \"vocab_size\" of config.json is %u",
                       shown, file.vocab, config->model.vocab);
    config->model.sparse = file.sparse;
    config->model.sparse_logs = file.logs;
    return VECMILL_OK;
}

vecmill_status modules_parse_pooling(const struct json_value *o, const char *shown,
                                     struct config *config, vecmill_err *err)
{
    static const struct json_field common[] = {
        JSON_MAY("word_embedding_dimension", U32, offsetof(struct pooling_file, dims[0]),
                 .least = 1, .most = UINT32_MAX),
        JSON_MAY("embedding_dimension", U32, offsetof(struct pooling_file, dims[1]), .least = 1,
                 .most = UINT32_MAX),
        JSON_MAY("pooling_mode", ANY, offsetof(struct pooling_file, mode)),
        JSON_MAY("include_prompt", BOOL, offsetof(struct pooling_file, includes_prompt)),
    };
    struct json_field fields[LENGTH(common) + MODEL_POOLINGS];
    struct pooling_file file = {.includes_prompt = true};
    struct model_ending *e = &config->model.ending;
    bool has_flags = false;
    if (config->is_multi) return late_parse_mask(o, shown, config, err);
    if (config->model.sparse) return parse_splade(o, shown, config, err);
    memcpy(fields, common, sizeof common);
    for (size_t i = 0; i < MODEL_POOLINGS; i++) {
        fields[LENGTH(common) + i] = (struct json_field)JSON_MAY(
            modes[i].flag, BOOL, offsetof(struct pooling_file, flags) + i * sizeof(bool));
        has_flags = has_flags || json_get(o, modes[i].flag).kind != JSON_KIND_ABSENT;
    }
    VM_TRY(config_fields(o, fields, LENGTH(fields), config_refuse_key, shown, &file, err));
    VM_TRY(check_dimension(&file, shown, config, err));
    config->model.skips_prompt = !file.includes_prompt;
    e->n_poolings = 0;
    memset(e->poolings, 0, sizeof e->poolings);
    if (file.mode.kind != JSON_KIND_ABSENT) return take_modes(&file.mode, shown, e, err);
    if (has_flags) return take_flags(&file, shown, e, err);
    e->poolings[e->n_poolings++] = MODEL_POOL_MEAN;
    return VECMILL_OK;
}

/* ---- the config.json of a module after Pooling ---- */

struct step_file {
    bool is_multi;    /* of rows of tokens */
    uint32_t in, out; /* of a Dense; of a LayerNorm only out */
    bool has_bias;
    enum model_act act;
};

/* torch's class, by the last word. Without the key it is Tanh (Dense.__init__). */
static vecmill_status read_act(const struct json_reading *reading, const struct json_field *field,
                               const struct json_value *value, vecmill_err *err)
{
    static const char *const words[MODEL_ACTS] = {
        [MODEL_ACT_IDENTITY] = "Identity", [MODEL_ACT_TANH] = "Tanh",
        [MODEL_ACT_RELU] = "ReLU",         [MODEL_ACT_GELU] = "GELU",
        [MODEL_ACT_SILU] = "SiLU",         [MODEL_ACT_SIGMOID] = "Sigmoid",
    };
    struct step_file *file = reading->target;
    char text[128];
    const bool is_torch =
        json_string_into(value, text, sizeof text) && strncmp(text, "torch.nn.", 9) == 0;
    for (uint32_t i = 0; is_torch && i < MODEL_ACTS; i++) {
        if (strcmp(strrchr(text, '.') + 1, words[i]) != 0) continue;
        file->act = (enum model_act)i;
        return VECMILL_OK;
    }
    return config_refuse(reading->name, field->key, value,
                         "torch.nn's Identity, Tanh, ReLU, GELU, SiLU or Sigmoid", err);
}

/* What a module reads and writes. */
static vecmill_status read_vector_name(const struct json_reading *reading,
                                       const struct json_field *field,
                                       const struct json_value *value, vecmill_err *err)
{
    const struct step_file *file = reading->target;
    const char *only = file->is_multi ? "token_embeddings" : "sentence_embedding";
    VM_TRY(json_field_string(reading, field, value, err));
    return json_is(value, only) ? VECMILL_OK
                                : config_refuse(reading->name, field->key, value, only, err);
}

#define STEP_AT(member) offsetof(struct step_file, member)
#define VECTOR_NAMES                                                                               \
    JSON_MAY("module_input_name", OWN, 0, .own = read_vector_name),                                \
        JSON_MAY("module_output_name", OWN, 0, .own = read_vector_name)
#define WIDTH(word, member)                                                                        \
    JSON_MUST(word, U32, STEP_AT(member), .least = 1, .most = MODEL_DIM_MAX,                       \
              .most_name = "MODEL_DIM_MAX")

static vecmill_status read_step(const struct json_value *o, enum model_step_kind kind,
                                const char *shown, struct step_file *file, vecmill_err *err)
{
    static const struct json_field dense[] = {
        WIDTH("in_features", in),
        WIDTH("out_features", out),
        JSON_MAY("bias", BOOL, STEP_AT(has_bias)),
        JSON_MAY("activation_function", OWN, 0, .own = read_act, .takes_null = true),
        JSON_MAY("use_residual", OWN, 0, .own = config_read_unset),
        VECTOR_NAMES,
    };
    static const struct json_field layer_norm[] = {WIDTH("dimension", out)};
    static const struct json_field normalize[] = {VECTOR_NAMES};
    switch (kind) {
    case MODEL_STEP_DENSE:
        return config_fields(o, dense, LENGTH(dense), config_refuse_key, shown, file, err);
    case MODEL_STEP_LAYER_NORM:
        return config_fields(o, layer_norm, LENGTH(layer_norm), config_refuse_key, shown, file,
                             err);
    case MODEL_STEP_NORMALIZE:
    case MODEL_STEP_KINDS:
        break;
    }
    return config_fields(o, normalize, LENGTH(normalize), config_refuse_key, shown, file, err);
}

void modules_begin_step(uint32_t step, struct config *config)
{
    struct model_ending *e = &config->model.ending;
    if (step < e->n_steps) e->steps[step].width = ending_width(&config->model, step);
}

vecmill_status modules_parse_step(const struct json_value *o, uint32_t step, const char *shown,
                                  struct config *config, vecmill_err *err)
{
    struct model_step *s = &config->model.ending.steps[step];
    const uint32_t before = ending_width(&config->model, step);
    struct step_file file = {
        .is_multi = config->is_multi, .out = before, .has_bias = true, .act = MODEL_ACT_TANH};
    const bool is_dense = s->kind == MODEL_STEP_DENSE;
    VM_TRY(read_step(o, (enum model_step_kind)s->kind, shown, &file, err));
    const uint32_t in = is_dense ? file.in : file.out;
    if (in != before) {
        return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is %u, the module before it makes %u",
                       shown, is_dense ? "in_features" : "dimension", in, before);
    }
    s->width = file.out;
    if (is_dense) s->act = file.act;
    if (s->kind != MODEL_STEP_NORMALIZE) s->has_bias = file.has_bias;
    if (s->kind == MODEL_STEP_LAYER_NORM) s->eps = 1e-5f; /* torch.nn.LayerNorm's */
    return VECMILL_OK;
}
