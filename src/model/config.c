/* config: each file has one function that knows its keys; config_read opens them in order. */
#include "config.h"

#include "safetensors.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void config_name(const struct config *config, enum config_file file, char name[CONFIG_NAME_BYTES])
{
    static const char *const names[CONFIG_FILES] = {
        [CONFIG_MODULES] = "modules.json",
        [CONFIG_MODEL] = "config.json",
        [CONFIG_POOLING] = "config.json",
        [CONFIG_SENTENCE] = "sentence_bert_config.json",
        [CONFIG_TOKENIZER] = "tokenizer_config.json",
        [CONFIG_PROMPTS] = "config_sentence_transformers.json",
    };
    const bool whole = file == CONFIG_MODULES || file == CONFIG_PROMPTS;
    const char *in = whole ? "" : file == CONFIG_POOLING ? config->pooling : config->transformer;
    snprintf(name, CONFIG_NAME_BYTES, "%s%s%s", in, in[0] ? "/" : "", names[file]);
}

vecmill_status config_folder(const char *dir, const struct config *config, char *path,
                             vecmill_err *err)
{
    if (config->transformer[0]) return io_join(dir, config->transformer, path, err);
    if (strlen(dir) >= IO_PATH_MAX) {
        return err_set(err, VECMILL_E_LIMIT, "a path of %zu bytes, IO_PATH_MAX is %d", strlen(dir),
                       IO_PATH_MAX);
    }
    memcpy(path, dir, strlen(dir) + 1);
    return VECMILL_OK;
}

void config_init(struct config *config)
{
    *config = (struct config){.model = {.pooling = MODEL_POOL_MEAN}};
}

static vecmill_status refuse(const char *shown, const char *key, const char *value,
                             const char *only, vecmill_err *err)
{
    return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is \"%.48s\"; only %s is computed here", shown,
                   key, value, only);
}

static bool one_of(const char *text, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(text, list[i]) == 0) return true;
    }
    return false;
}

#define LENGTH(list) (sizeof(list) / sizeof *(list))

/* ---- config.json ---- */

/* A count from 1 to `most`; a larger one is refused by the maximum's name. */
static vecmill_status read_count(const json_t *o, const char *key, uint32_t most,
                                 const char *most_name, const char *shown, uint32_t *out,
                                 vecmill_err *err)
{
    uint32_t n = 0;
    VM_TRY(jsonx_u32(o, key, true, 1, UINT32_MAX, shown, VECMILL_E_MODEL, &n, err));
    if (n > most) {
        return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is %u, %s is %u", shown, key, n, most_name,
                       most);
    }
    *out = n;
    return VECMILL_OK;
}

/* A text that must be `only` where it is given. */
static vecmill_status expect_text(const json_t *o, const char *key, bool required, const char *only,
                                  const char *shown, vecmill_err *err)
{
    const char *text = only;
    VM_TRY(jsonx_string(o, key, required, shown, VECMILL_E_MODEL, &text, err));
    return strcmp(text, only) == 0 ? VECMILL_OK : refuse(shown, key, text, only, err);
}

/* The class that was saved: BERT's encoder with whatever head. A head is no part of a vector, and the
 * weights are checked tensor by tensor; another body says so here. */
static vecmill_status check_architectures(const json_t *o, const char *shown, vecmill_err *err)
{
    const json_t *list = json_object_get(o, "architectures");
    if (!list || json_is_null(list)) return VECMILL_OK;
    if (!json_is_array(list)) {
        return err_set(err, VECMILL_E_MODEL, "%s: \"architectures\" is not an array", shown);
    }
    size_t i;
    const json_t *name;
    json_array_foreach(list, i, name)
    {
        if (!json_is_string(name)) {
            return err_set(err, VECMILL_E_MODEL, "%s: \"architectures\"[%zu] is not a string",
                           shown, i);
        }
        const char *text = json_string_value(name);
        if (strncmp(text, "Bert", 4) != 0 && strcmp(text, "HF_ColBERT") != 0) {
            return refuse(shown, "architectures", text, "Bert with any head", err);
        }
    }
    return VECMILL_OK;
}

/* Members that change what is computed when they are anything but absent, null, false or empty. */
static vecmill_status check_absent(const json_t *o, const char *shown, vecmill_err *err)
{
    static const char *const keys[] = {"is_decoder",   "add_cross_attention", "auto_map",
                                       "pruned_heads", "quantization_config", "is_encoder_decoder"};
    for (size_t i = 0; i < LENGTH(keys); i++) {
        const json_t *v = json_object_get(o, keys[i]);
        if (!v || json_is_null(v) || json_is_false(v)) continue;
        if (json_is_object(v) && json_object_size(v) == 0) continue;
        return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is set; such models are not computed here",
                       shown, keys[i]);
    }
    return VECMILL_OK;
}

static vecmill_status parse_model(const json_t *o, const char *shown, struct config *config,
                                  vecmill_err *err)
{
    struct model_config *m = &config->model;
    VM_TRY(expect_text(o, "model_type", true, "bert", shown, err));
    VM_TRY(check_architectures(o, shown, err));
    VM_TRY(expect_text(o, "hidden_act", false, "gelu", shown, err));
    VM_TRY(expect_text(o, "position_embedding_type", false, "absolute", shown, err));
    VM_TRY(check_absent(o, shown, err));
    VM_TRY(read_count(o, "num_hidden_layers", MODEL_LAYERS_MAX, "MODEL_LAYERS_MAX", shown,
                      &m->n_layers, err));
    VM_TRY(
        read_count(o, "hidden_size", MODEL_HIDDEN_MAX, "MODEL_HIDDEN_MAX", shown, &m->hidden, err));
    VM_TRY(read_count(o, "num_attention_heads", MODEL_HIDDEN_MAX, "MODEL_HIDDEN_MAX", shown,
                      &m->n_heads, err));
    VM_TRY(read_count(o, "intermediate_size", CONFIG_INTERMEDIATE_MAX, "CONFIG_INTERMEDIATE_MAX",
                      shown, &m->intermediate, err));
    VM_TRY(
        read_count(o, "vocab_size", CONFIG_VOCAB_MAX, "CONFIG_VOCAB_MAX", shown, &m->vocab, err));
    VM_TRY(read_count(o, "max_position_embeddings", MODEL_LENGTH_MAX, "MODEL_LENGTH_MAX", shown,
                      &m->max_positions, err));
    config->types = 2;
    if (json_object_get(o, "type_vocab_size")) {
        VM_TRY(read_count(o, "type_vocab_size", CONFIG_TYPES_MAX, "CONFIG_TYPES_MAX", shown,
                          &config->types, err));
    }
    double eps = 1e-12;
    VM_TRY(jsonx_double(o, "layer_norm_eps", false, 1e-20, 1.0, shown, VECMILL_E_MODEL, &eps, err));
    m->eps = (float)eps;
    return config_check(m, shown, err);
}

/* ---- modules.json ---- */

/* A path within the folder: relative, no empty part, none of dots alone, no control character. What ends
 * in slashes is taken without them. */
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

/* A module's class: what follows the last dot of a type of sentence-transformers' own. */
static vecmill_status module_class(const json_t *module, const char *shown, const char **class_name,
                                   vecmill_err *err)
{
    const char *type = "";
    VM_TRY(jsonx_string(module, "type", true, shown, VECMILL_E_MODEL, &type, err));
    const char *dot = strrchr(type, '.');
    if (strncmp(type, "sentence_transformers.", 22) != 0 || !dot) {
        return refuse(shown, "type", type,
                      "sentence_transformers' Transformer, Pooling and Normalize", err);
    }
    *class_name = dot + 1;
    return VECMILL_OK;
}

static vecmill_status parse_module(const json_t *module, size_t place, const char *shown,
                                   struct config *config, vecmill_err *err)
{
    static const char *const order[] = {"Transformer", "Pooling", "Normalize"};
    if (!json_is_object(module)) {
        return err_set(err, VECMILL_E_MODEL, "%s: module %zu is not an object", shown, place);
    }
    const char *class_name = "", *path = "";
    VM_TRY(module_class(module, shown, &class_name, err));
    if (!one_of(class_name, order, LENGTH(order))) {
        return refuse(shown, "type", class_name, "Transformer, Pooling and Normalize", err);
    }
    if (strcmp(class_name, order[place]) != 0) {
        return err_set(err, VECMILL_E_MODEL, "%s: module %zu is %s where %s is expected", shown,
                       place, class_name, order[place]);
    }
    uint32_t idx = (uint32_t)place;
    VM_TRY(jsonx_u32(module, "idx", false, 0, UINT32_MAX, shown, VECMILL_E_MODEL, &idx, err));
    if (idx != place) {
        return err_set(err, VECMILL_E_MODEL, "%s: module %zu has \"idx\" %u", shown, place, idx);
    }
    const json_t *kwargs = json_object_get(module, "kwargs");
    if (kwargs && (json_array_size(kwargs) != 0 || json_object_size(kwargs) != 0)) {
        return err_set(err, VECMILL_E_MODEL, "%s: \"kwargs\" of module %zu are not understood",
                       shown, place);
    }
    VM_TRY(jsonx_string(module, "path", false, shown, VECMILL_E_MODEL, &path, err));
    /* The transformer may be the folder itself. Normalize has no file, so its folder is not looked at. */
    if (place == 0 && path[0] == '\0') return VECMILL_OK;
    if (place <= 1 && !safe_path(path, place == 0 ? config->transformer : config->pooling)) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"path\" of module %zu is \"%.64s\", no folder within the model's",
                       shown, place, path);
    }
    return VECMILL_OK;
}

static vecmill_status parse_modules(const json_t *list, const char *shown, struct config *config,
                                    vecmill_err *err)
{
    if (!json_is_array(list)) {
        return err_set(err, VECMILL_E_MODEL, "%s: not an array of modules", shown);
    }
    size_t n = json_array_size(list);
    if (n < 2 || n > 3) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: %zu modules, 2 or 3 are computed: Transformer, Pooling, Normalize",
                       shown, n);
    }
    for (size_t i = 0; i < n; i++) {
        VM_TRY(parse_module(json_array_get(list, i), i, shown, config, err));
    }
    config->has_pooling_file = true;
    config->model.normalize = n == 3;
    return VECMILL_OK;
}

/* ---- N_Pooling/config.json ---- */

static vecmill_status check_dimension(const json_t *o, const char *shown,
                                      const struct config *config, vecmill_err *err)
{
    static const char *const keys[] = {"word_embedding_dimension", "embedding_dimension"};
    bool given = false;
    for (size_t i = 0; i < LENGTH(keys); i++) {
        uint32_t n = config->model.hidden;
        if (!json_object_get(o, keys[i])) continue;
        VM_TRY(jsonx_u32(o, keys[i], true, 1, UINT32_MAX, shown, VECMILL_E_MODEL, &n, err));
        if (n != config->model.hidden) {
            return err_set(err, VECMILL_E_MODEL,
                           "%s: \"%s\" is %u, \"hidden_size\" of config.json is %u", shown, keys[i],
                           n, config->model.hidden);
        }
        given = true;
    }
    if (!given) {
        return err_set(err, VECMILL_E_MODEL, "%s: \"word_embedding_dimension\" is missing", shown);
    }
    return VECMILL_OK;
}

static const char pooling_only[] = "mean or cls pooling";

/* The flags of one mode each; several that are set would be concatenated. Mean is on unless it is said
 * to be off (sentence-transformers, Pooling.__init__). */
static vecmill_status pooling_flags(const json_t *o, const char *shown, struct config *config,
                                    vecmill_err *err)
{
    static const char *const flags[] = {
        "pooling_mode_mean_tokens",         "pooling_mode_cls_token",
        "pooling_mode_max_tokens",          "pooling_mode_mean_sqrt_len_tokens",
        "pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken"};
    const char *set = NULL;
    for (size_t i = 0; i < LENGTH(flags); i++) {
        bool on = i == 0;
        VM_TRY(jsonx_bool(o, flags[i], false, shown, VECMILL_E_MODEL, &on, err));
        if (!on) continue;
        if (i > 1) {
            return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is true; only %s is computed here",
                           shown, flags[i], pooling_only);
        }
        if (set) {
            return err_set(err, VECMILL_E_MODEL,
                           "%s: \"%s\" and \"%s\" are both true; one is computed", shown, set,
                           flags[i]);
        }
        set = flags[i];
        config->model.pooling = i == 0 ? MODEL_POOL_MEAN : MODEL_POOL_CLS;
    }
    if (!set) return err_set(err, VECMILL_E_MODEL, "%s: no pooling mode is true", shown);
    return VECMILL_OK;
}

static vecmill_status parse_pooling(const json_t *o, const char *shown, struct config *config,
                                    vecmill_err *err)
{
    static const char *const known[] = {"word_embedding_dimension",
                                        "embedding_dimension",
                                        "pooling_mode",
                                        "pooling_mode_mean_tokens",
                                        "pooling_mode_cls_token",
                                        "pooling_mode_max_tokens",
                                        "pooling_mode_mean_sqrt_len_tokens",
                                        "pooling_mode_weightedmean_tokens",
                                        "pooling_mode_lasttoken",
                                        "include_prompt"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)o, key, value)
    {
        if (!one_of(key, known, LENGTH(known))) {
            return err_set(err, VECMILL_E_MODEL, "%s: \"%.64s\" is not understood", shown, key);
        }
    }
    VM_TRY(check_dimension(o, shown, config, err));
    const char *mode = NULL;
    VM_TRY(jsonx_string(o, "pooling_mode", false, shown, VECMILL_E_MODEL, &mode, err));
    if (!mode) return pooling_flags(o, shown, config, err);
    if (strcmp(mode, "mean") != 0 && strcmp(mode, "cls") != 0) {
        return refuse(shown, "pooling_mode", mode, pooling_only, err);
    }
    config->model.pooling = mode[0] == 'c' ? MODEL_POOL_CLS : MODEL_POOL_MEAN;
    return VECMILL_OK;
}

/* ---- the others ---- */

static vecmill_status parse_sentence(const json_t *o, const char *shown, struct config *config,
                                     vecmill_err *err)
{
    /* modality_config says how sentence-transformers 5.4 and later call the module, not what it does */
    static const char *const known[] = {"max_seq_length", "do_lower_case", "transformer_task",
                                        "modality_config", "module_output_name"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)o, key, value)
    {
        if (!one_of(key, known, LENGTH(known)) && !json_is_null(value)) {
            return err_set(err, VECMILL_E_MODEL, "%s: \"%.64s\" is not understood", shown, key);
        }
    }
    const char *output = "token_embeddings";
    VM_TRY(expect_text(o, "transformer_task", false, "feature-extraction", shown, err));
    VM_TRY(jsonx_string(o, "module_output_name", false, shown, VECMILL_E_MODEL, &output, err));
    if (strcmp(output, "token_embeddings") != 0 && strcmp(output, "last_hidden_state") != 0) {
        return refuse(shown, "module_output_name", output, "token_embeddings", err);
    }
    VM_TRY(jsonx_u32(o, "max_seq_length", false, 3, UINT32_MAX, shown, VECMILL_E_MODEL,
                     &config->max_seq_length, err));
    return jsonx_bool(o, "do_lower_case", false, shown, VECMILL_E_MODEL, &config->lower_case, err);
}

/* Lengths that are no positive number, or none that a table could have (transformers writes 1e30 for
 * "unlimited"), are as good as absent. */
static vecmill_status parse_tokenizer(const json_t *o, const char *shown, struct config *config,
                                      vecmill_err *err)
{
    static const char *const keys[] = {"model_max_length", "max_length"};
    for (size_t i = 0; i < LENGTH(keys); i++) {
        double n = json_number_value(json_object_get(o, keys[i]));
        if (!(n >= 3.0 && n <= (double)INT32_MAX) || n != (double)(uint32_t)n) continue;
        if (config->tokenizer_max_length == 0 || n < config->tokenizer_max_length) {
            config->tokenizer_max_length = (uint32_t)n;
        }
    }
    bool lower = true;
    VM_TRY(jsonx_bool(o, "do_lower_case", false, shown, VECMILL_E_MODEL, &lower, err));
    config->cased = !lower;
    return VECMILL_OK;
}

/* config_sentence_transformers.json. A default prompt is text that sentence-transformers puts before every
 * document; truncate_dim is how many components it keeps of a vector, all where that is more. */
static vecmill_status parse_prompts(const json_t *o, const char *shown, struct config *config,
                                    vecmill_err *err)
{
    const char *name = NULL, *prompt = "";
    VM_TRY(jsonx_u32(o, "truncate_dim", false, 1, UINT32_MAX, shown, VECMILL_E_MODEL,
                     &config->model.truncate_dim, err));
    VM_TRY(jsonx_string(o, "default_prompt_name", false, shown, VECMILL_E_MODEL, &name, err));
    if (name) {
        const json_t *prompts = json_object_get(o, "prompts");
        VM_TRY(jsonx_string(prompts, name, true, shown, VECMILL_E_MODEL, &prompt, err));
        if (prompt[0] != '\0') return refuse(shown, "default_prompt_name", name, "no prompt", err);
    }
    return expect_text(o, "model_type", false, "SentenceTransformer", shown, err);
}

/* ---- all of them ---- */

vecmill_status config_parse(enum config_file file, const void *data, size_t bytes,
                            const char *shown, struct config *config, vecmill_err *err)
{
    json_t *o = NULL;
    if (file == CONFIG_TOKENIZER) {
        VM_TRY(jsonx_parse_wide(data, bytes, shown, VECMILL_E_MODEL, &o, err));
    } else {
        VM_TRY(jsonx_parse(data, bytes, shown, VECMILL_E_MODEL, &o, err));
    }
    struct config next = *config;
    vecmill_status status = VECMILL_OK;
    if (file == CONFIG_MODULES) {
        status = parse_modules(o, shown, &next, err);
    } else if (!json_is_object(o)) {
        status = err_set(err, VECMILL_E_MODEL, "%s: not a JSON object", shown);
    } else if (file == CONFIG_MODEL) {
        status = parse_model(o, shown, &next, err);
    } else if (file == CONFIG_POOLING) {
        status = parse_pooling(o, shown, &next, err);
    } else if (file == CONFIG_SENTENCE) {
        status = parse_sentence(o, shown, &next, err);
    } else if (file == CONFIG_TOKENIZER) {
        status = parse_tokenizer(o, shown, &next, err);
    } else {
        status = parse_prompts(o, shown, &next, err);
    }
    json_decref(o);
    if (status == VECMILL_OK) *config = next;
    return status;
}

/* Reads a file of dir into b and parses it; a missing one is fine unless required. */
static vecmill_status read_one(const char *dir, enum config_file file, struct buf *b,
                               struct config *config, vecmill_err *err)
{
    const bool required = file == CONFIG_MODEL || file == CONFIG_POOLING;
    char path[IO_PATH_MAX], name[CONFIG_NAME_BYTES];
    config_name(config, file, name);
    VM_TRY(io_join(dir, name, path, err));
    /* lstat, since a link that leads nowhere is there and broken, not missing */
    struct stat link;
    if (!required && lstat(path, &link) != 0 && errno == ENOENT) return VECMILL_OK;
    const char *shown = model_path_shown(path);
    vecmill_status status = io_read_file(path, b, VECMILL_E_MODEL, VECMILL_E_MODEL, err);
    if (status != VECMILL_OK && shown != path) { /* io's message begins with all of the path */
        return err_set(err, status,
                       "%s: cannot be read, or is more than MODEL_CONFIG_MAX, %u bytes", shown,
                       MODEL_CONFIG_MAX);
    }
    VM_TRY(status);
    VM_TRY(stray_check(b->data, b->bytes, shown, VECMILL_E_MODEL, err));
    return config_parse(file, b->data, b->bytes, shown, config, err);
}

vecmill_status config_read_most(const char *dir, const struct config *config, size_t *bytes,
                                vecmill_err *err)
{
    size_t largest = 0;
    for (int i = 0; i < CONFIG_FILES; i++) {
        char path[IO_PATH_MAX], name[CONFIG_NAME_BYTES];
        struct stat file;
        config_name(config, (enum config_file)i, name);
        VM_TRY(io_join(dir, name, path, err));
        if (stat(path, &file) != 0) continue; /* config_read tells what is missing */
        /* What is over the maximum is refused before it is read. */
        if ((uint64_t)file.st_size <= MODEL_CONFIG_MAX)
            largest = num_max(largest, (size_t)file.st_size);
    }
    *bytes = largest + jsonx_plan_bytes(largest);
    return VECMILL_OK;
}

vecmill_status config_read_modules(const char *dir, struct config *config, vecmill_err *err)
{
    struct buf b;
    config_init(config);
    buf_init(&b, MODEL_CONFIG_MAX, "MODEL_CONFIG_MAX");
    const vecmill_status status = read_one(dir, CONFIG_MODULES, &b, config, err);
    buf_done(&b);
    return status;
}

/* peft, and transformers where it is installed, put an adapter of that name over the weights. */
static vecmill_status check_no_adapter(const char *dir, const struct config *config,
                                       vecmill_err *err)
{
    static const char adapter[] = "adapter_config.json";
    char folder[IO_PATH_MAX], path[IO_PATH_MAX];
    VM_TRY(config_folder(dir, config, folder, err));
    VM_TRY(io_join(folder, adapter, path, err));
    if (!io_exists(path)) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL,
                   "%s: adapters are not computed here; merge it into the weights first "
                   "(merge_and_unload of peft)",
                   model_path_shown(path));
}

vecmill_status config_read(const char *dir, struct config *config, vecmill_err *err)
{
    struct buf b;
    buf_init(&b, MODEL_CONFIG_MAX, "MODEL_CONFIG_MAX");
    struct config next;
    config_init(&next);
    vecmill_status status = VECMILL_OK;
    for (int file = 0; file < CONFIG_FILES && status == VECMILL_OK; file++) {
        if (file == CONFIG_POOLING && !next.has_pooling_file) continue;
        status = read_one(dir, (enum config_file)file, &b, &next, err);
    }
    buf_done(&b);
    if (status == VECMILL_OK) status = check_no_adapter(dir, &next, err);
    if (status == VECMILL_OK && next.lower_case && next.cased) {
        status = err_set(err, VECMILL_E_MODEL,
                         "sentence_bert_config.json asks for lower case (\"do_lower_case\": true) "
                         "and tokenizer_config.json for none");
    }
    if (status == VECMILL_OK) *config = next;
    return status;
}

vecmill_status config_max_length(const struct config *config, uint32_t max_positions,
                                 uint32_t *length, vecmill_err *err)
{
    uint32_t n = max_positions;
    if (config->max_seq_length > max_positions) {
        return err_set(
            err, VECMILL_E_MODEL,
            "sentence_bert_config.json: \"max_seq_length\" is %u, the position table has "
            "%u rows",
            config->max_seq_length, max_positions);
    }
    if (config->max_seq_length != 0) {
        n = config->max_seq_length;
    } else if (config->tokenizer_max_length != 0 && config->tokenizer_max_length < n) {
        n = config->tokenizer_max_length;
    }
    *length = n;
    return VECMILL_OK;
}

static vecmill_status check_range(const char *shown, const char *what, uint32_t n, uint32_t least,
                                  uint32_t most, vecmill_err *err)
{
    if (n >= least && n <= most) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is %u, outside %u to %u", shown, what, n,
                   least, most);
}

vecmill_status config_check(const struct model_config *m, const char *shown, vecmill_err *err)
{
    VM_TRY(check_range(shown, "num_hidden_layers", m->n_layers, 1, MODEL_LAYERS_MAX, err));
    VM_TRY(check_range(shown, "hidden_size", m->hidden, 1, MODEL_HIDDEN_MAX, err));
    VM_TRY(check_range(shown, "num_attention_heads", m->n_heads, 1, m->hidden, err));
    VM_TRY(
        check_range(shown, "intermediate_size", m->intermediate, 1, CONFIG_INTERMEDIATE_MAX, err));
    VM_TRY(check_range(shown, "vocab_size", m->vocab, 1, CONFIG_VOCAB_MAX, err));
    VM_TRY(
        check_range(shown, "max_position_embeddings", m->max_positions, 3, MODEL_LENGTH_MAX, err));
    VM_TRY(check_range(shown, "pooling", m->pooling, MODEL_POOL_MEAN, MODEL_POOL_CLS, err));
    VM_TRY(check_range(shown, "normalize", m->normalize, 0, 1, err));
    VM_TRY(check_range(shown, "precision", m->precision, KERN_FP32, KERN_INT8, err));
    assert(m->n_heads > 0);
    if (m->hidden % m->n_heads != 0) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"hidden_size\" %u is not a multiple of \"num_attention_heads\" %u",
                       shown, m->hidden, m->n_heads);
    }
    if (!(m->eps >= 9e-21f && m->eps <= 1.0f)) {
        return err_set(err, VECMILL_E_MODEL, "%s: \"layer_norm_eps\" is %g, outside 1e-20 to 1",
                       shown, (double)m->eps);
    }
    return VECMILL_OK;
}
