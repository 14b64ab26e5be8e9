/* config: each file has one function that knows its keys; config_read opens them in order. */
#include "arch.h"
#include "classifier.h"
#include "ending.h"
#include "head_files.h"
#include "late.h"
#include "modules.h"
#include "prompts.h"
#include "question.h"
#include "tensor.h"
#include "weights.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void config_name(const struct config *config, enum config_file file, char name[CONFIG_NAME_BYTES])
{
    static const char *const names[CONFIG_STEPS] = {
        [CONFIG_MODULES] = "modules.json",
        [CONFIG_MODEL] = "config.json",
        [CONFIG_POOLING] = "config.json",
        [CONFIG_SENTENCE] = "sentence_bert_config.json",
        [CONFIG_TOKENIZER] = "tokenizer_config.json",
        [CONFIG_PROMPTS] = "config_sentence_transformers.json",
    };
    const bool is_step = file >= CONFIG_STEPS;
    const bool whole = file == CONFIG_MODULES || file == CONFIG_PROMPTS;
    const char *in = is_step                  ? config->steps[file - CONFIG_STEPS]
                     : whole                  ? ""
                     : file == CONFIG_POOLING ? config->pooling
                                              : config->transformer;
    snprintf(name, CONFIG_NAME_BYTES, "%s%s%s", in, in[0] ? "/" : "",
             is_step ? "config.json" : names[file]);
}

bool config_has(const struct config *config, enum config_file file)
{
    if (file == CONFIG_POOLING) return config->has_pooling_file;
    if (file == CONFIG_SENTENCE || file == CONFIG_TOKENIZER) return !config->is_bag;
    return file < CONFIG_STEPS || config->steps[file - CONFIG_STEPS][0] != '\0';
}

bool config_needs(const struct config *config, enum config_file file)
{
    if (file == CONFIG_MODEL) return !config->is_bag;
    if (file == CONFIG_POOLING) return true;
    return file >= CONFIG_STEPS &&
           config->model.ending.steps[file - CONFIG_STEPS].kind != MODEL_STEP_NORMALIZE;
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
    *config =
        (struct config){.model = {.ending = {.n_poolings = 1, .poolings = {MODEL_POOL_MEAN}}}};
}

#define SHOWN_BYTES  49u /* of a value in a message, with the NUL */
#define LENGTH(list) (sizeof(list) / sizeof *(list))

vecmill_status config_refuse(const char *shown, const char *key, const struct json_value *value,
                             const char *only, vecmill_err *err)
{
    char text[SHOWN_BYTES];
    return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is \"%s\"; only %s is computed here", shown,
                   key, json_show(value, text, sizeof text), only);
}

/* A text that must be field->detail. */
vecmill_status config_read_only(const struct json_reading *reading, const struct json_field *field,
                                const struct json_value *value, vecmill_err *err)
{
    const char *only = field->detail;
    VM_TRY(json_field_string(reading, field, value, err));
    return json_is(value, only) ? VECMILL_OK
                                : config_refuse(reading->name, field->key, value, only, err);
}

vecmill_status config_fields(const struct json_value *o, const struct json_field *fields, size_t n,
                             json_field_other *other, const char *shown, void *target,
                             vecmill_err *err)
{
    const struct json_reading reading = {
        .name = shown, .failure = VECMILL_E_MODEL, .target = target, .other = other};
    return json_fields(o, fields, n, &reading, err);
}

vecmill_status config_refuse_key(const struct json_reading *reading, const struct json_value *key,
                                 const struct json_value *value, vecmill_err *err)
{
    char text[65];
    (void)value;
    return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is not understood", reading->name,
                   json_show(key, text, sizeof text));
}

/* A member that changes what is computed unless it is absent, null, false, 0 or empty. */
vecmill_status config_read_unset(const struct json_reading *reading, const struct json_field *field,
                                 const struct json_value *value, vecmill_err *err)
{
    double number = 1;
    if (value->kind == JSON_KIND_BOOLEAN && value->raw[0] == 'f') return VECMILL_OK;
    if (value->kind == JSON_KIND_OBJECT && json_count(value) == 0) return VECMILL_OK;
    if (json_double(value, &number) && number == 0) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is set; such models are not computed here",
                   reading->name, field->key);
}

/* ---- config.json ---- */

/* The class that was saved: the family's encoder with any head. Vectors do not depend on the head,
 * and the weights are checked tensor by tensor; another body is found here. */
static vecmill_status read_architectures(const struct json_reading *reading,
                                         const struct json_field *field,
                                         const struct json_value *value, vecmill_err *err)
{
    const struct arch *arch = *(const struct arch *const *)reading->context;
    struct json_each each = json_begin(value);
    struct json_value none, name;
    if (value->kind != JSON_KIND_ARRAY) {
        return err_set(err, VECMILL_E_MODEL, "%s: \"architectures\" is not an array",
                       reading->name);
    }
    for (size_t i = 0; json_each(&each, &none, &name); i++) {
        char text[SHOWN_BYTES], only[SHOWN_BYTES];
        if (name.kind != JSON_KIND_STRING) {
            return err_set(err, VECMILL_E_MODEL, "%s: \"architectures\"[%zu] is not a string",
                           reading->name, i);
        }
        bool is_known = false;
        json_show(&name, text, sizeof text);
        for (size_t k = 0; arch->classes[k] && !is_known; k++)
            is_known = strncmp(text, arch->classes[k], strlen(arch->classes[k])) == 0;
        if (is_known) continue;
        snprintf(only, sizeof only, "%s with any head", arch->classes[0]);
        return config_refuse(reading->name, field->key, &name, only, err);
    }
    return VECMILL_OK;
}

/* What SpladePooling takes: the family's head, whose last matrix may be its own. */
static vecmill_status settle_vocab(struct config *config, const struct arch *arch,
                                   const char *shown, vecmill_err *err)
{
    const struct json_value *tied = &config->keys.tied;
    if (!config->model.sparse) return VECMILL_OK;
    config->model.has |= MODEL_HAS_VOCAB;
    if (tied->kind == JSON_KIND_BOOLEAN && tied->raw[0] == 'f')
        config->model.has |= MODEL_HAS_OWN_VOCAB;
    if (arch_weight(arch, &config->model, 0, PART_VOCAB)) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL,
                   "%s: SpladePooling takes logits of the vocabulary, which are not computed here "
                   "for %s",
                   shown, arch->title);
}

static vecmill_status find_family(const struct json_value *o, const char *shown,
                                  const struct arch **arch, vecmill_err *err)
{
    static const struct json_field fields[] = {JSON_MUST("model_type", STRING, 0)};
    struct json_value type;
    char types[512];
    VM_TRY(config_fields(o, fields, LENGTH(fields), NULL, shown, &type, err));
    *arch = arch_of_config(o);
    if (*arch) return VECMILL_OK;
    if (!arch_model_types(types, sizeof types)) types[0] = '\0';
    return config_refuse(shown, "model_type", &type, types, err);
}

/* What follows from the keys alike for all families. */
static vecmill_status settle_shape(struct model_config *m, const char *shown, vecmill_err *err)
{
    if (m->head_dim == 0 && m->hidden % m->n_heads != 0) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"hidden_size\" %u is not a multiple of \"num_attention_heads\" %u",
                       shown, m->hidden, m->n_heads);
    }
    if (m->head_dim == 0) m->head_dim = m->hidden / m->n_heads;
    if (m->n_kv_heads == 0) m->n_kv_heads = m->n_heads;
    if (m->divisor == 0) m->divisor = sqrtf((float)m->head_dim);
    if (m->types > 0) m->has |= MODEL_HAS_TYPES;
    if (m->positions > 0 && m->first_position + 3 > m->positions) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: \"max_position_embeddings\" is %u, and the first position is %u", shown,
                       m->positions, m->first_position);
    }
    if (m->positions > 0) m->max_positions = m->positions - m->first_position;
    return VECMILL_OK;
}

static vecmill_status parse_model(const struct json_value *o, const char *shown,
                                  struct config *config, vecmill_err *err)
{
    static const struct json_field classes[] = {
        JSON_MAY("architectures", OWN, 0, .own = read_architectures),
        JSON_MAY("tie_word_embeddings", ANY, ARCH_AT(keys.tied))};
    const struct arch *arch = arch_of_config(o);
    /* sentence-transformers' module does not read the file */
    if (config->is_bag && (!arch || !arch->bag)) return VECMILL_OK;
    char words[IO_PATH_MAX + 32];
    VM_TRY(find_family(o, shown, &arch, err));
    struct json_reading reading = {
        .name = shown, .failure = VECMILL_E_MODEL, .target = config, .context = &arch};
    VM_TRY(json_fields(o, classes, LENGTH(classes), &reading, err));
    const struct json_value section = arch->section ? json_get(o, arch->section) : *o;
    if (section.kind != JSON_KIND_ABSENT && section.kind != JSON_KIND_OBJECT)
        return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is not an object", shown, arch->section);
    if (arch->section && section.kind == JSON_KIND_OBJECT) {
        snprintf(words, sizeof words, "%s: \"%s\"", shown, arch->section);
        reading.name = shown = words;
        o = &section;
    }
    snprintf(config->model.family, sizeof config->model.family, "%s", arch->name);
    config->model.embed_scale = 1;
    config->model.act = GEMM_GELU_ERF;
    if (arch->defaults) arch->defaults(config);
    VM_TRY(json_fields(o, arch->fields, arch->n_fields, &reading, err));
    if (arch->settle) VM_TRY(arch->settle(config, shown, err));
    VM_TRY(settle_vocab(config, arch, shown, err));
    config->keys = (struct config_keys){0}; /* its values point into the file */
    config->is_bag = arch->bag;
    if (arch->measure) return VECMILL_OK; /* it checks what it has measured */
    VM_TRY(settle_shape(&config->model, shown, err));
    return config_check(&config->model, shown, err);
}

/* ---- the others ---- */

static vecmill_status refuse_set_key(const struct json_reading *reading,
                                     const struct json_value *key, const struct json_value *value,
                                     vecmill_err *err)
{
    if (value->kind == JSON_KIND_NULL) return VECMILL_OK;
    return config_refuse_key(reading, key, value, err);
}

static vecmill_status read_output_name(const struct json_reading *reading,
                                       const struct json_field *field,
                                       const struct json_value *value, vecmill_err *err)
{
    VM_TRY(json_field_string(reading, field, value, err));
    if (json_is(value, "token_embeddings") || json_is(value, "last_hidden_state"))
        return VECMILL_OK;
    return config_refuse(reading->name, field->key, value, "token_embeddings", err);
}

/* What a Transformer of sentence-transformers 5.4 and later makes: states, or the logits of an
 * MLMTransformer. */
static vecmill_status read_task(const struct json_reading *reading, const struct json_field *field,
                                const struct json_value *value, vecmill_err *err)
{
    struct config *config = reading->target;
    VM_TRY(json_field_string(reading, field, value, err));
    config->gives_logits = json_is(value, "fill-mask");
    if (config->gives_logits || json_is(value, "feature-extraction")) return VECMILL_OK;
    return config_refuse(reading->name, field->key, value, "feature-extraction or fill-mask", err);
}

static vecmill_status parse_sentence(const struct json_value *o, const char *shown,
                                     struct config *config, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("transformer_task", OWN, 0, .own = read_task),
        JSON_MAY("module_output_name", OWN, 0, .own = read_output_name),
        JSON_MAY("max_seq_length", U32, ARCH_AT(max_seq_length), .least = 3, .most = UINT32_MAX),
        JSON_MAY("do_lower_case", BOOL, ARCH_AT(lower_case)),
        JSON_MAY("query_length", U32, ARCH_AT(late.query_length), .least = 1, .most = UINT32_MAX),
        JSON_MAY("document_length", U32, ARCH_AT(late.document_length), .least = 1,
                 .most = UINT32_MAX),
        JSON_MAY("query_expansion", OWN, 0, .own = late_read_expansion, .takes_null = true),
        /* how sentence-transformers 5.4 and later call the module, not what it does */
        JSON_MAY("modality_config", UNREAD, 0),
    };
    return config_fields(o, fields, LENGTH(fields), refuse_set_key, shown, config, err);
}

struct tokenizer_file {
    struct json_value lengths[2], specials[CONFIG_SPECIALS];
    bool lower;
};

/* A token as a string, or as an object with its "content"; of anything else there is none. */
static void take_special(const struct json_value *value, char text[MODEL_WORD_BYTES],
                         struct config *config)
{
    const struct json_value content =
        value->kind == JSON_KIND_OBJECT ? json_get(value, "content") : *value;
    memset(text, 0, MODEL_WORD_BYTES);
    if (content.kind != JSON_KIND_STRING) return;
    char whole[MODEL_WORD_BYTES] = "";
    if (json_string_into(&content, whole, sizeof whole))
        memcpy(text, whole, strlen(whole));
    else
        config->long_special = true;
}

/* Lengths that are not positive numbers, or larger than any table (transformers writes 1e30 for
 * "unlimited"), count as absent. */
static vecmill_status parse_tokenizer(const struct json_value *o, const char *shown,
                                      struct config *config, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("model_max_length", ANY, offsetof(struct tokenizer_file, lengths[0])),
        JSON_MAY("max_length", ANY, offsetof(struct tokenizer_file, lengths[1])),
        JSON_MAY("do_lower_case", BOOL, offsetof(struct tokenizer_file, lower)),
        JSON_MAY("cls_token", ANY, offsetof(struct tokenizer_file, specials[0])),
        JSON_MAY("eos_token", ANY, offsetof(struct tokenizer_file, specials[1])),
        JSON_MAY("pad_token", ANY, offsetof(struct tokenizer_file, specials[2])),
        JSON_MAY("unk_token", ANY, offsetof(struct tokenizer_file, specials[3])),
        JSON_MAY("mask_token", ANY, offsetof(struct tokenizer_file, specials[4])),
    };
    struct tokenizer_file file = {.lower = true};
    VM_TRY(config_fields(o, fields, LENGTH(fields), NULL, shown, &file, err));
    for (size_t i = 0; i < LENGTH(file.lengths); i++) {
        double n = 0;
        if (!json_double(&file.lengths[i], &n)) continue;
        if (!(n >= 3.0 && n <= (double)INT32_MAX) || n != (double)(uint32_t)n) continue;
        if (config->tokenizer_max_length == 0 || n < config->tokenizer_max_length)
            config->tokenizer_max_length = (uint32_t)n;
    }
    config->cased = !file.lower;
    for (size_t i = 0; i < CONFIG_SPECIALS; i++)
        take_special(&file.specials[i], config->specials[i], config);
    return VECMILL_OK;
}

/* ---- all of them ---- */

static vecmill_status parse_file(enum config_file file, const struct json_value *root,
                                 const char *shown, struct config *next, vecmill_err *err)
{
    static vecmill_status (*const parsers[CONFIG_STEPS])(const struct json_value *, const char *,
                                                         struct config *, vecmill_err *) = {
        [CONFIG_MODULES] = modules_parse,         [CONFIG_MODEL] = parse_model,
        [CONFIG_POOLING] = modules_parse_pooling, [CONFIG_SENTENCE] = parse_sentence,
        [CONFIG_TOKENIZER] = parse_tokenizer,     [CONFIG_PROMPTS] = prompts_parse,
    };
    if (file != CONFIG_MODULES && root->kind != JSON_KIND_OBJECT)
        return err_set(err, VECMILL_E_MODEL, "%s: not a JSON object", shown);
    if (file < CONFIG_STEPS) {
        VM_TRY(parsers[file](root, shown, next, err));
    } else {
        VM_TRY(modules_parse_step(root, (uint32_t)(file - CONFIG_STEPS), shown, next, err));
    }
    if (file != CONFIG_MODEL || next->has_pooling_file || next->is_bag || next->is_multi)
        return VECMILL_OK;
    modules_default(root, next);
    next->is_inline = next->is_multi = late_is_inline(root);
    if (classifier_is(root)) VM_TRY(classifier_parse(root, shown, next, err));
    next->is_asked = question_is(root, next);
    return VECMILL_OK;
}

vecmill_status config_parse(enum config_file file, const void *data, size_t bytes,
                            const char *shown, struct config *config, vecmill_err *err)
{
    struct json_value root;
    void *memory = NULL; /* large for a small stack */
    VM_TRY(json_check(data, bytes, shown, VECMILL_E_MODEL, &root, err));
    VM_TRY(mem_new(sizeof *config, "a model's configuration", &memory, err));
    memcpy(memory, config, sizeof *config);
    const vecmill_status status = parse_file(file, &root, shown, memory, err);
    if (status == VECMILL_OK) memcpy(config, memory, sizeof *config);
    mem_free(memory);
    return status;
}

/* Reads a file of dir into b and parses it; a missing one is fine unless required. */
static vecmill_status read_one(const char *dir, enum config_file file, struct buf *b,
                               struct config *config, vecmill_err *err)
{
    const bool required = config_needs(config, file);
    char path[IO_PATH_MAX], name[CONFIG_NAME_BYTES];
    config_name(config, file, name);
    VM_TRY(io_join(dir, name, path, err));
    /* lstat: a link that leads nowhere exists and is broken, not missing */
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
        if (!config_has(config, (enum config_file)i)) continue;
        config_name(config, (enum config_file)i, name);
        VM_TRY(io_join(dir, name, path, err));
        if (stat(path, &file) != 0) continue; /* config_read reports what is missing */
        /* A file over the maximum is refused before it is read. */
        if ((uint64_t)file.st_size <= MODEL_CONFIG_MAX)
            largest = num_max(largest, (size_t)file.st_size);
    }
    *bytes = largest;
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

/* Logits and what takes them come together. */
static vecmill_status check_logits(const char *dir, const struct config *config, vecmill_err *err)
{
    const bool takes = model_takes_logits(&config->model);
    if (takes == config->gives_logits) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL,
                   takes ? "%s: SpladePooling after a Transformer that makes no logits: neither an "
                           "MLMTransformer nor of the task fill-mask"
                         : "%s: a Transformer makes logits of the vocabulary (fill-mask), and no "
                           "SpladePooling takes them",
                   model_path_shown(dir));
}

/* After config.json: what the modules after it are checked against may be in the weights alone. */
static vecmill_status measure(const char *dir, struct config *config, vecmill_err *err)
{
    const struct arch *arch = arch_named(config->model.family);
    struct weights weights;
    char folder[IO_PATH_MAX];
    if (!arch || !arch->measure) return VECMILL_OK;
    VM_TRY(config_folder(dir, config, folder, err));
    vecmill_status status = weights_open(folder, &weights, err);
    if (status == VECMILL_OK) status = arch->measure(config, &weights, err);
    if (status == VECMILL_OK) status = config_check(&config->model, weights.shown, err);
    weights_close(&weights);
    return status;
}

static vecmill_status read_all(const char *dir, struct config *next, vecmill_err *err)
{
    struct buf b;
    buf_init(&b, MODEL_CONFIG_MAX, "MODEL_CONFIG_MAX");
    config_init(next);
    vecmill_status status = VECMILL_OK;
    for (int file = 0; file < CONFIG_FILES && status == VECMILL_OK; file++) {
        if (file >= CONFIG_STEPS && !next->head)
            modules_begin_step((uint32_t)(file - CONFIG_STEPS), next);
        if (config_has(next, (enum config_file)file))
            status = read_one(dir, (enum config_file)file, &b, next, err);
        if (file == CONFIG_MODEL && status == VECMILL_OK) status = measure(dir, next, err);
    }
    buf_done(&b);
    /* Without a position table, sentence-transformers takes whatever length its own file says. */
    if (next->model.positions == 0)
        next->model.max_positions = (uint32_t)num_max(
            next->model.max_positions,
            num_min(num_max(next->max_seq_length, next->head ? next->tokenizer_max_length : 0),
                    MODEL_LENGTH_MAX));
    char folder[IO_PATH_MAX];
    if (status == VECMILL_OK) status = config_folder(dir, next, folder, err);
    if (status == VECMILL_OK) status = late_read_inline(folder, next, err);
    if (status == VECMILL_OK) status = late_settle(next, model_path_shown(dir), err);
    next->model.kinds = 1u << (next->head           ? MODEL_SCORE
                               : next->is_multi     ? MODEL_MULTI
                               : next->model.sparse ? MODEL_SPARSE
                                                    : MODEL_DENSE);
    if (next->model.n_layers > 0) next->model.kinds |= 1u << MODEL_TOKENS;
    if (status == VECMILL_OK && next->is_asked) question_take(&next->model);
    next->model.dim = ending_width(&next->model, next->model.ending.n_steps);
    if (status == VECMILL_OK) status = head_files_read(dir, next, err);
    if (status == VECMILL_OK) status = ending_check(&next->model, model_path_shown(dir), err);
    if (status == VECMILL_OK) status = check_logits(dir, next, err);
    if (status == VECMILL_OK) status = check_no_adapter(dir, next, err);
    if (status == VECMILL_OK && next->lower_case && next->cased) {
        status = err_set(err, VECMILL_E_MODEL,
                         "sentence_bert_config.json asks for lower case (\"do_lower_case\": true) "
                         "and tokenizer_config.json for none");
    }
    return status;
}

vecmill_status config_read(const char *dir, struct config *config, vecmill_err *err)
{
    void *memory = NULL; /* large for a small stack */
    VM_TRY(mem_new(sizeof *config, "a model's configuration", &memory, err));
    const vecmill_status status = read_all(dir, memory, err);
    if (status == VECMILL_OK) memcpy(config, memory, sizeof *config);
    mem_free(memory);
    return status;
}

vecmill_status model_text_folder(const char *dir, char *path, uint32_t *length, vecmill_err *err)
{
    static const struct json_field field =
        JSON_MAY("max_position_embeddings", U32, 0, .most = UINT32_MAX);
    struct config config;
    struct json_value root;
    struct buf b;
    char name[IO_PATH_MAX];
    uint32_t positions = 0;
    if (config_read_modules(dir, &config, NULL) != VECMILL_OK) config_init(&config);
    VM_TRY(config_folder(dir, &config, path, err));
    buf_init(&b, MODEL_CONFIG_MAX, "MODEL_CONFIG_MAX");
    vecmill_status status = read_one(dir, CONFIG_SENTENCE, &b, &config, err);
    if (status == VECMILL_OK) status = read_one(dir, CONFIG_TOKENIZER, &b, &config, err);
    if (status == VECMILL_OK) status = io_join(path, "config.json", name, err);
    if (status == VECMILL_OK && io_exists(name)) {
        const struct json_reading reading = {
            .name = "config.json", .failure = VECMILL_E_MODEL, .target = &positions};
        status = io_read_file(name, &b, VECMILL_E_MODEL, VECMILL_E_MODEL, err);
        if (status == VECMILL_OK)
            status = json_check(b.data, b.bytes, name, VECMILL_E_MODEL, &root, err);
        if (status == VECMILL_OK) status = json_fields(&root, &field, 1, &reading, err);
    }
    buf_done(&b);
    *length = config.max_seq_length         ? config.max_seq_length
              : config.tokenizer_max_length ? config.tokenizer_max_length
                                            : positions;
    return status;
}

vecmill_status config_max_length(const struct config *config, uint32_t max_positions,
                                 uint32_t *length, vecmill_err *err)
{
    uint32_t n = config->model.max_length ? config->model.max_length : max_positions;
    if (config->max_seq_length > max_positions) {
        const bool is_table = config->model.positions == max_positions;
        return err_set(err, VECMILL_E_MODEL,
                       is_table
                           ? "sentence_bert_config.json: \"max_seq_length\" is %u, the position "
                             "table has %u rows"
                           : "sentence_bert_config.json: \"max_seq_length\" is %u, the model "
                             "takes at most %u tokens",
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

/* A float that products and norms can take. */
static vecmill_status check_float(const char *shown, const char *what, float x, float least,
                                  float most, vecmill_err *err)
{
    if (x >= least && x <= most) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is %g, outside %g to %g", shown, what,
                   (double)x, (double)least, (double)most);
}

/* Rotary positions and the position table: what the family's parts need. */
static vecmill_status check_rope(const struct model_config *m, const char *shown, vecmill_err *err)
{
    const struct arch *arch = arch_named(m->family);
    const bool is_rotary = arch_weight(arch, m, 0, PART_ROPE) != NULL;
    const bool is_local = m->local != 0 && arch_weight(arch, m, 0, PART_ROPE_LOCAL) != NULL;
    VM_TRY(check_float(shown, "rope_theta", m->rope_theta, is_rotary ? 1 : 0, is_rotary ? 1e12f : 0,
                       err));
    VM_TRY(
        check_float(shown, "rope_local_theta", m->rope_local_theta, is_local ? 1 : 0, 1e12f, err));
    VM_TRY(
        check_float(shown, "rope_factor", m->rope_factor, m->rope_trained > 0 ? 1 : 0, 1e6f, err));
    if (m->rope_trained > 0 && (!is_rotary || m->local != 0))
        return err_set(err, VECMILL_E_MODEL,
                       "%s: rotary positions are scaled by length in layers with a window", shown);
    if (m->positions == 0 && arch_weight(arch, m, 0, PART_POSITION))
        return err_set(err, VECMILL_E_MODEL, "%s: no rows of the position table", shown);
    return VECMILL_OK;
}

/* Of layers of a kind: heads, groups and pairs of rotary columns are whole. */
static vecmill_status check_heads(const struct model_config *m, uint32_t kind, const char *shown,
                                  vecmill_err *err)
{
    const uint32_t d = arch_size(m, kind, SIZE_HEAD), keys = arch_size(m, kind, SIZE_KEY_HEADS);
    if (m->n_heads % keys != 0) {
        return err_set(err, VECMILL_E_MODEL, "%s: %u heads are not a multiple of %u key heads",
                       shown, m->n_heads, keys);
    }
    if ((uint64_t)m->n_heads * d > CONFIG_QUERIES_MAX) {
        return err_set(err, VECMILL_E_MODEL, "%s: %u heads of width %u, CONFIG_QUERIES_MAX is %u",
                       shown, m->n_heads, d, CONFIG_QUERIES_MAX);
    }
    if (m->rope_theta > 0 && d % 2 != 0)
        return err_set(err, VECMILL_E_MODEL,
                       "%s: rotary positions take an even width of a head, it is %u", shown, d);
    return VECMILL_OK;
}

/* What an encoder with layers has, a bag has not. */
static vecmill_status check_bag(const struct model_config *m, const char *shown, vecmill_err *err)
{
    const struct {
        const char *what;
        uint32_t n, least, most;
    } ranges[] = {
        {"layers", m->n_layers, 0, 0},
        {"columns", m->hidden, 1, MODEL_HIDDEN_MAX},
        {"rows", m->rows, 1, CONFIG_VOCAB_MAX},
        {"tokens", m->vocab, 1, CONFIG_VOCAB_MAX},
        {"length", m->max_positions, 1, MODEL_BAG_MAX},
        {"precision", m->precision, KERN_FP32, KERN_INT8},
        {"text", m->text, 0, MODEL_TEXT_ALL},
        {"pooling_strategy", m->sparse, 0, 0},
    };
    for (size_t i = 0; i < LENGTH(ranges); i++)
        VM_TRY(
            check_range(shown, ranges[i].what, ranges[i].n, ranges[i].least, ranges[i].most, err));
    if ((m->has & MODEL_HAS_ROW_OF) != 0 || m->rows == m->vocab) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL, "%s: %u rows for %u tokens", shown, m->rows, m->vocab);
}

vecmill_status config_check(const struct model_config *m, const char *shown, vecmill_err *err)
{
    if (memchr(m->family, '\0', sizeof m->family) == NULL || !arch_named(m->family)) {
        return err_set(err, VECMILL_E_MODEL, "%s: family \"%.*s\" is not known", shown,
                       (int)sizeof m->family, m->family);
    }
    if (arch_named(m->family)->bag) return check_bag(m, shown, err);
    const bool is_relative = arch_named(m->family)->bias == ATTENTION_RELATIVE;
    const bool has_tasks = m->has & MODEL_HAS_TASKS, takes_logits = model_takes_logits(m);
    const struct {
        const char *what;
        uint32_t n, least, most;
    } ranges[] = {
        {"num_hidden_layers", m->n_layers, 1, MODEL_LAYERS_MAX},
        {"hidden_size", m->hidden, 1, MODEL_HIDDEN_MAX},
        {"num_attention_heads", m->n_heads, 1, MODEL_HIDDEN_MAX},
        {"num_key_value_heads", m->n_kv_heads, 1, m->n_heads},
        {"head_dim", m->head_dim, 1, CONFIG_HEAD_MAX},
        {"num_key_value_heads", m->local_kv_heads, 0, m->n_heads},
        {"head_dim", m->local_head_dim, 0, CONFIG_HEAD_MAX},
        {"intermediate_size", m->intermediate, 1, CONFIG_INTERMEDIATE_MAX},
        {"num_experts", m->n_experts, m->expert_layers ? 1 : 0, MODEL_EXPERTS_MAX},
        {"moe_top_k", m->n_chosen, m->expert_layers ? 1 : 0, m->n_experts},
        {"hidden_size_per_layer_input", m->input, 0, MODEL_HIDDEN_MAX},
        {"embedding_dim", m->state, 0, MODEL_HIDDEN_MAX},
        {"vocab_size", m->vocab, 1, CONFIG_VOCAB_MAX},
        {"type_vocab_size", m->types, 0, CONFIG_TYPES_MAX},
        {"max_position_embeddings", m->max_positions, 3, MODEL_LENGTH_MAX},
        {"lora_adaptations", m->n_tasks, has_tasks ? 1 : 0, has_tasks ? MODEL_TASKS_MAX : 0},
        {"lora_rank", m->task_rank, has_tasks ? 1 : 0, MODEL_RANK_MAX},
        {"precision", m->precision, KERN_FP32, KERN_INT8},
        {"hidden_act", m->act, GEMM_GELU_ERF, GEMM_TANH},
        {"causal", m->causal, 0, 1},
        {"include_prompt", m->skips_prompt, 0, 1},
        {"pooling_strategy", m->sparse, 0, MODEL_SPARSES - 1},
        {"activation_function", m->sparse_logs, takes_logits ? 1 : 0, takes_logits ? 2 : 0},
        {"num_buckets", m->buckets, 0, CONFIG_BUCKETS_MAX},
        {"max_trained_positions", m->rope_trained, 0, MODEL_LENGTH_MAX},
        {"span", m->span, 0, MODEL_LENGTH_MAX},
        {"max_relative_positions", m->distances, is_relative ? 2 : 0, CONFIG_DISTANCES_MAX},
        {"position_buckets", m->distance_buckets, 0, CONFIG_DISTANCES_MAX},
        {"max_relative_positions", m->distance_most,
         m->distance_buckets ? m->distance_buckets / 2 + 2 : 0, MODEL_LENGTH_MAX},
    };
    for (size_t i = 0; i < LENGTH(ranges); i++)
        VM_TRY(
            check_range(shown, ranges[i].what, ranges[i].n, ranges[i].least, ranges[i].most, err));
    if (takes_logits != (arch_weight(arch_named(m->family), m, 0, PART_VOCAB_DENSE) != NULL))
        return err_set(err, VECMILL_E_MODEL, "%s: a vocabulary's head without weights of it",
                       shown);
    for (uint32_t kind = 0; kind < KINDS; kind++)
        VM_TRY(check_heads(m, kind, shown, err));
    if (m->distance_buckets == 1)
        return err_set(err, VECMILL_E_MODEL, "%s: \"position_buckets\" is 1, at least 2 are needed",
                       shown);
    if (m->positions > 0 && (uint64_t)m->first_position + m->max_positions != m->positions) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: %u positions of which %u are left from position %u", shown,
                       m->positions, m->max_positions, m->first_position);
    }
    VM_TRY(late_check(m, shown, err));
    VM_TRY(check_float(shown, "layer_norm_eps", m->eps, 9e-21f, 1, err));
    for (uint32_t i = 0; i < m->n_tasks; i++) {
        if (m->tasks[i][0] == '\0' || !memchr(m->tasks[i], '\0', MODEL_TASK_BYTES))
            return err_set(err, VECMILL_E_MODEL, "%s: task %u has no name", shown, i + 1);
    }
    if (has_tasks) VM_TRY(check_float(shown, "lora_alpha", m->task_scale, 1e-6f, 1e6f, err));
    VM_TRY(check_float(shown, "divisor", m->divisor, 1e-6f, 1e6f, err));
    VM_TRY(check_rope(m, shown, err));
    return check_float(shown, "embed_scale", m->embed_scale, 1e-6f, 1e6f, err);
}
