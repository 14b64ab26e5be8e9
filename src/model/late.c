#include "late.h"

#include "arch.h"
#include "ending.h"
#include "weights.h"

#include <stdio.h>
#include <string.h>

#define EXPANDS_TO 32u /* where pylate's files do not say it */

/* string.punctuation, which pylate leaves out where no list is given */
static const char punctuation[] = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

bool late_is(const struct json_value *modules)
{
    static const char mask[] = ".MultiVectorMask", pylate[] = "pylate.";
    struct json_each each = json_begin(modules);
    struct json_value none, module;
    bool has_pooling = false, is_pylate = false;
    while (modules->kind == JSON_KIND_ARRAY && json_each(&each, &none, &module)) {
        const struct json_value type = json_get(&module, "type");
        char text[256];
        if (type.kind != JSON_KIND_STRING || !json_string_into(&type, text, sizeof text)) continue;
        const char *dot = strrchr(text, '.');
        if (dot && strcmp(dot, mask) == 0) return true;
        has_pooling = has_pooling || (dot && strcmp(dot, ".Pooling") == 0);
        is_pylate = is_pylate || strncmp(text, pylate, sizeof pylate - 1) == 0;
    }
    return is_pylate && !has_pooling;
}

/* ---- words ---- */

static vecmill_status add_word(struct config *config, const struct json_value *value,
                               enum model_word_use use, const char *key, const char *shown,
                               vecmill_err *err)
{
    struct model_words *words = &config->words;
    struct model_word word = {.use = use};
    char text[MODEL_WORD_BYTES];
    if (words->n == MODEL_WORDS_MAX)
        return err_set(err, VECMILL_E_MODEL, "%s: \"%s\": more than MODEL_WORDS_MAX, %u tokens",
                       shown, key, MODEL_WORDS_MAX);
    if (value->kind != JSON_KIND_STRING || !json_string_into(value, text, sizeof text) ||
        text[0] == '\0')
        return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" has what is no token of 1 to %u bytes",
                       shown, key, MODEL_WORD_BYTES - 1);
    memcpy(word.text, text, strlen(text));
    words->at[words->n++] = word;
    return VECMILL_OK;
}

static vecmill_status add_words(struct config *config, const struct json_value *list,
                                const char *key, const char *shown, vecmill_err *err)
{
    struct json_each each = json_begin(list);
    struct json_value none, word;
    if (list->kind != JSON_KIND_ARRAY)
        return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is not an array", shown, key);
    while (json_each(&each, &none, &word))
        VM_TRY(add_word(config, &word, MODEL_WORD_NO_ROW, key, shown, err));
    return VECMILL_OK;
}

static void add_punctuation(struct config *config)
{
    struct model_words *words = &config->words;
    for (const char *c = punctuation; *c && words->n < MODEL_WORDS_MAX; c++)
        words->at[words->n++] = (struct model_word){.use = MODEL_WORD_NO_ROW, .text = {*c}};
}

/* ---- MultiVectorMask ---- */

static vecmill_status add_role(const struct json_value *role, const char *shown,
                               struct config *config, vecmill_err *err)
{
    static const char key[] = "skiplist_tasks";
    if (json_is(role, "document"))
        config->model.skip_roles |= MODEL_ROLE_DOCUMENT;
    else if (json_is(role, "query"))
        config->model.skip_roles |= MODEL_ROLE_QUERY;
    else
        return config_refuse(shown, key, role, "document or query", err);
    return VECMILL_OK;
}

struct mask_file {
    struct json_value words, roles;
};

vecmill_status late_parse_mask(const struct json_value *o, const char *shown, struct config *config,
                               vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("skiplist_words", ANY, offsetof(struct mask_file, words)),
        JSON_MAY("skiplist_tasks", ANY, offsetof(struct mask_file, roles)),
        JSON_MAY("keep_only_token_ids", OWN, 0, .own = config_read_unset),
    };
    struct mask_file file = {0};
    struct json_value none, role;
    VM_TRY(config_fields(o, fields, ARCH_LENGTH(fields), config_refuse_key, shown, &file, err));
    config->late.has_skip_list = true;
    config->model.skip_roles = 0;
    if (file.words.kind > JSON_KIND_NULL)
        VM_TRY(add_words(config, &file.words, "skiplist_words", shown, err));
    if (file.roles.kind <= JSON_KIND_NULL) {
        config->model.skip_roles = MODEL_ROLE_DOCUMENT;
        return VECMILL_OK;
    }
    if (file.roles.kind != JSON_KIND_ARRAY) return add_role(&file.roles, shown, config, err);
    struct json_each each = json_begin(&file.roles);
    while (json_each(&each, &none, &role))
        VM_TRY(add_role(&role, shown, config, err));
    return VECMILL_OK;
}

/* ---- expansion ---- */

struct expansion_file {
    struct json_value strategy, token;
    uint32_t length;
    bool attend;
};

static vecmill_status parse_expansion(const struct json_value *o, const char *shown,
                                      struct config *config, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MUST("strategy", STRING, offsetof(struct expansion_file, strategy)),
        JSON_MUST("length", U32, offsetof(struct expansion_file, length), .least = 1,
                  .most = MODEL_LENGTH_MAX, .most_name = "MODEL_LENGTH_MAX"),
        JSON_MAY("attend", BOOL, offsetof(struct expansion_file, attend)),
        JSON_MAY("token", ANY, offsetof(struct expansion_file, token)),
    };
    struct expansion_file file = {.length = 0};
    struct config_late *late = &config->late;
    VM_TRY(config_fields(o, fields, ARCH_LENGTH(fields), config_refuse_key, shown, &file, err));
    const bool is_min = json_is(&file.strategy, "min");
    if (!is_min && !json_is(&file.strategy, "fixed"))
        return config_refuse(shown, "strategy", &file.strategy, "fixed or min", err);
    late->expands_to = file.length;
    late->expands = (is_min ? MODEL_EXPAND_LONGER : 0) | (file.attend ? MODEL_EXPAND_ATTENDED : 0);
    if (file.token.kind <= JSON_KIND_NULL) return VECMILL_OK;
    late->has_token = true;
    return add_word(config, &file.token, MODEL_WORD_EXPANSION, "token", shown, err);
}

vecmill_status late_read_expansion(const struct json_reading *reading,
                                   const struct json_field *field, const struct json_value *value,
                                   vecmill_err *err)
{
    struct config *config = reading->target;
    char shown[IO_PATH_MAX + 32];
    if (config->late.is_given) return VECMILL_OK; /* the transformer's own file has said it */
    config->late.is_given = true;
    if (value->kind == JSON_KIND_NULL) return VECMILL_OK;
    snprintf(shown, sizeof shown, "%s: \"%s\"", reading->name, field->key);
    if (value->kind != JSON_KIND_OBJECT)
        return err_set(err, VECMILL_E_MODEL, "%s is not an object", shown);
    return parse_expansion(value, shown, config, err);
}

/* ---- pylate's keys ---- */

struct pylate_file {
    struct json_value type, prefixes[2], words, expansion;
    uint32_t query_length, document_length;
    bool expands, attends, attends_to_masks;
};

/* Whether the file has any of the keys that only pylate writes. */
static bool has_marks(const struct json_value *o)
{
    static const char *const keys[] = {
        "query_length",       "document_length",       "query_expansion",
        "do_query_expansion", "query_prefix",          "attend_to_expansion_tokens",
        "document_prefix",    "attend_to_mask_tokens", "skiplist_words"};
    for (size_t i = 0; i < ARCH_LENGTH(keys); i++)
        if (json_get(o, keys[i]).kind != JSON_KIND_ABSENT) return true;
    return false;
}

vecmill_status late_parse_prompts(const struct json_value *o, const char *shown,
                                  struct config *config, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("model_type", STRING, offsetof(struct pylate_file, type)),
        JSON_MAY("query_prefix", ANY, offsetof(struct pylate_file, prefixes[0])),
        JSON_MAY("document_prefix", ANY, offsetof(struct pylate_file, prefixes[1])),
        JSON_MAY("query_length", U32, offsetof(struct pylate_file, query_length), .least = 1,
                 .most = UINT32_MAX),
        JSON_MAY("document_length", U32, offsetof(struct pylate_file, document_length), .least = 1,
                 .most = UINT32_MAX),
        JSON_MAY("do_query_expansion", BOOL, offsetof(struct pylate_file, expands)),
        JSON_MAY("attend_to_expansion_tokens", BOOL, offsetof(struct pylate_file, attends)),
        JSON_MAY("attend_to_mask_tokens", BOOL, offsetof(struct pylate_file, attends_to_masks)),
        JSON_MAY("skiplist_words", ANY, offsetof(struct pylate_file, words)),
        JSON_MAY("query_expansion", ANY, offsetof(struct pylate_file, expansion)),
    };
    static const enum model_word_use uses[] = {MODEL_WORD_QUERY, MODEL_WORD_DOCUMENT};
    static const char *const keys[] = {"query_prefix", "document_prefix"};
    struct pylate_file file = {.expands = true};
    struct config_late *late = &config->late;
    if (!config->is_multi) return VECMILL_OK;
    VM_TRY(config_fields(o, fields, ARCH_LENGTH(fields), NULL, shown, &file, err));
    for (int i = 0; i < 2; i++) {
        if (file.prefixes[i].kind <= JSON_KIND_NULL || json_is(&file.prefixes[i], "")) continue;
        VM_TRY(add_word(config, &file.prefixes[i], uses[i], keys[i], shown, err));
    }
    if (!late->document_length) late->document_length = file.document_length;
    late->is_pylate = json_is(&file.type, "ColBERT");
    if (!late->has_skip_list && file.words.kind > JSON_KIND_NULL) {
        late->has_skip_list = true;
        config->model.skip_roles = MODEL_ROLE_DOCUMENT;
        VM_TRY(add_words(config, &file.words, "skiplist_words", shown, err));
    }
    if (file.expansion.kind != JSON_KIND_ABSENT) {
        static const struct json_field expansion[] = {
            JSON_MAY("query_expansion", OWN, 0, .own = late_read_expansion, .takes_null = true)};
        VM_TRY(config_fields(o, expansion, 1, NULL, shown, config, err));
    }
    if (!late->is_given && has_marks(o) && file.expands) {
        const bool says = json_get(o, "attend_to_expansion_tokens").kind > JSON_KIND_NULL;
        const uint32_t given = late->query_length ? late->query_length : file.query_length;
        late->expands = (says ? file.attends : file.attends_to_masks) ? MODEL_EXPAND_ATTENDED : 0;
        late->expands_to = given ? given : EXPANDS_TO;
    } else if (!late->query_length) {
        late->query_length = file.query_length;
    }
    return VECMILL_OK;
}

/* ---- Stanford's folders ---- */

bool late_is_inline(const struct json_value *transformer)
{
    const struct json_value names = json_get(transformer, "architectures");
    struct json_each each = json_begin(&names);
    struct json_value none, name;
    while (names.kind == JSON_KIND_ARRAY && json_each(&each, &none, &name))
        if (json_is(&name, "HF_ColBERT")) return true;
    return false;
}

struct metadata_file {
    struct json_value markers[2];
    uint32_t query_length, document_length;
    bool attends, masks_punctuation;
};

static vecmill_status parse_metadata(const struct json_value *o, const char *shown,
                                     struct config *config, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("query_token_id", ANY, offsetof(struct metadata_file, markers[0])),
        JSON_MAY("doc_token_id", ANY, offsetof(struct metadata_file, markers[1])),
        JSON_MAY("query_maxlen", U32, offsetof(struct metadata_file, query_length), .least = 1,
                 .most = UINT32_MAX),
        JSON_MAY("doc_maxlen", U32, offsetof(struct metadata_file, document_length), .least = 1,
                 .most = UINT32_MAX),
        JSON_MAY("attend_to_mask_tokens", BOOL, offsetof(struct metadata_file, attends)),
        JSON_MAY("mask_punctuation", BOOL, offsetof(struct metadata_file, masks_punctuation)),
    };
    static const char *const keys[] = {"query_token_id", "doc_token_id"};
    static const char *const usual[] = {"[unused0]", "[unused1]"};
    struct metadata_file file = {.query_length = EXPANDS_TO, .masks_punctuation = true};
    struct config_late *late = &config->late;
    VM_TRY(config_fields(o, fields, ARCH_LENGTH(fields), NULL, shown, &file, err));
    for (int i = 0; i < 2; i++) {
        const enum model_word_use use = i == 0 ? MODEL_WORD_QUERY : MODEL_WORD_DOCUMENT;
        if (file.markers[i].kind > JSON_KIND_NULL && !json_is(&file.markers[i], "")) {
            VM_TRY(add_word(config, &file.markers[i], use, keys[i], shown, err));
            continue;
        }
        struct model_word *word = &config->words.at[config->words.n++];
        *word = (struct model_word){.use = use};
        snprintf(word->text, sizeof word->text, "%s", usual[i]);
    }
    late->document_length = file.document_length;
    late->expands_to = file.query_length;
    late->expands = file.attends ? MODEL_EXPAND_ATTENDED : 0;
    late->is_given = true;
    late->has_skip_list = !file.masks_punctuation;
    return VECMILL_OK;
}

static vecmill_status read_metadata(const char *folder, struct config *config, vecmill_err *err)
{
    static const char empty[] = "{}";
    char path[IO_PATH_MAX];
    struct json_value root;
    struct buf b;
    VM_TRY(io_join(folder, LATE_METADATA, path, err));
    const char *shown = model_path_shown(path);
    const bool is_there = io_exists(path);
    buf_init(&b, MODEL_CONFIG_MAX, "MODEL_CONFIG_MAX");
    vecmill_status status = VECMILL_OK;
    if (is_there) status = io_read_file(path, &b, VECMILL_E_MODEL, VECMILL_E_MODEL, err);
    if (status == VECMILL_OK)
        status = json_check(is_there ? b.data : empty, is_there ? b.bytes : sizeof empty - 1, shown,
                            VECMILL_E_MODEL, &root, err);
    if (status == VECMILL_OK && root.kind != JSON_KIND_OBJECT)
        status = err_set(err, VECMILL_E_MODEL, "%s: not a JSON object", shown);
    if (status == VECMILL_OK) status = parse_metadata(&root, shown, config, err);
    buf_done(&b);
    return status;
}

static vecmill_status measure_projection(const char *folder, struct config *config,
                                         vecmill_err *err)
{
    struct weights weights;
    VM_TRY(weights_open(folder, &weights, err));
    const struct tensor *t = weights_find(&weights, "linear.weight");
    vecmill_status status = VECMILL_OK;
    if (!t || t->rank != 2 || t->shape[0] < 1 || t->shape[0] > MODEL_DIM_MAX)
        status = err_set(err, VECMILL_E_MODEL,
                         "%s: tensor \"linear.weight\" of HF_ColBERT is missing, or no matrix of 1 "
                         "to %u rows",
                         weights.shown, MODEL_DIM_MAX);
    else
        config->model.ending.steps[0].width = (uint32_t)t->shape[0];
    weights_close(&weights);
    return status;
}

vecmill_status late_read_inline(const char *folder, struct config *config, vecmill_err *err)
{
    if (!config->is_inline) return VECMILL_OK;
    config->model.ending =
        (struct model_ending){.n_steps = 1, .steps = {{.kind = MODEL_STEP_DENSE}}};
    VM_TRY(measure_projection(folder, config, err));
    return read_metadata(folder, config, err);
}

/* ---- all of it ---- */

static vecmill_status settle_expansion(struct config *config, const char *shown, vecmill_err *err)
{
    const struct config_late *late = &config->late;
    struct model_config *m = &config->model;
    struct model_words *words = &config->words;
    const char *token = config->specials[CONFIG_MASK][0] ? config->specials[CONFIG_MASK]
                                                         : config->specials[CONFIG_EOS];
    m->expands_to = late->expands_to;
    m->expands = late->expands;
    if (late->expands_to == 0 || late->has_token) return VECMILL_OK;
    if (token[0] == '\0' || words->n == MODEL_WORDS_MAX)
        return err_set(err, VECMILL_E_MODEL,
                       "%s: queries are expanded, and tokenizer_config.json has no \"mask_token\"",
                       shown);
    struct model_word *word = &words->at[words->n++];
    word->use = MODEL_WORD_EXPANSION;
    memcpy(word->text, token, sizeof word->text);
    return VECMILL_OK;
}

vecmill_status late_settle(struct config *config, const char *shown, vecmill_err *err)
{
    struct model_config *m = &config->model;
    struct config_late *late = &config->late;
    const struct model_ending one = {.n_poolings = 1, .poolings = {MODEL_POOL_MEAN}};
    if (!config->is_multi) return VECMILL_OK;
    if (!late->has_skip_list) {
        m->skip_roles = MODEL_ROLE_DOCUMENT;
        add_punctuation(config);
    }
    m->multi = m->ending;
    m->ending = one; /* of no vector, but one that could be */
    const uint32_t n = m->multi.n_steps;
    const bool is_last = n > 0 && m->multi.steps[n - 1].kind == MODEL_STEP_NORMALIZE;
    /* pylate scales vectors without a module that says so */
    if ((late->is_pylate || !config->has_pooling_file) && !is_last) {
        if (n == MODEL_STEPS_MAX)
            return err_set(err, VECMILL_E_MODEL, "%s: %u modules, MODEL_STEPS_MAX is %u", shown, n,
                           MODEL_STEPS_MAX);
        const uint32_t width = n > 0 ? m->multi.steps[n - 1].width : arch_size(m, 0, SIZE_STATE);
        m->multi.steps[m->multi.n_steps++] =
            (struct model_step){.kind = MODEL_STEP_NORMALIZE, .width = width};
    }
    m->query_length = late->query_length;
    m->document_length = late->document_length;
    VM_TRY(settle_expansion(config, shown, err));
    return late_check(m, shown, err);
}

/* Tokens that are no keys are computed as if they stood among the others: so no score may depend on
 * where a query is, once the rotary positions are in it. */
static bool takes_unattended(const struct model_config *m)
{
    const struct arch *arch = arch_named(m->family);
    for (uint32_t layer = 0; layer < m->n_layers; layer++) {
        const struct attention_shape shape = arch_attention(arch, m, arch_kind(m, layer));
        if (shape.causal || shape.bias != ATTENTION_PLAIN || shape.window < m->expands_to - 1)
            return false;
    }
    return true;
}

vecmill_status late_check(const struct model_config *m, const char *shown, vecmill_err *err)
{
    const struct {
        const char *what;
        uint32_t n;
    } lengths[] = {{"query_length", m->query_length},
                   {"document_length", m->document_length},
                   {"length of queries", m->expands_to}};
    if (m->skip_roles > (MODEL_ROLE_DOCUMENT | MODEL_ROLE_QUERY) ||
        m->expands > (MODEL_EXPAND_ATTENDED | MODEL_EXPAND_LONGER))
        return err_set(err, VECMILL_E_MODEL, "%s: roles %u and expansion %u of late interaction",
                       shown, m->skip_roles, m->expands);
    for (size_t i = 0; i < ARCH_LENGTH(lengths); i++) {
        if (lengths[i].n <= m->max_positions) continue;
        return err_set(err, VECMILL_E_MODEL, "%s: \"%s\" is %u, the model takes at most %u tokens",
                       shown, lengths[i].what, lengths[i].n, m->max_positions);
    }
    if (m->expands_to == 0 || m->expands & MODEL_EXPAND_ATTENDED || takes_unattended(m))
        return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL,
                   "%s: tokens that queries are expanded with are not attended, which is not "
                   "computed here for %s",
                   shown, arch_named(m->family)->title);
}
