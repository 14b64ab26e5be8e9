/* text_json: tokenizer.json, the file of PyPI tokenizers, to a spec.
 *
 * Every member of every object is either understood here or refused by its name: a member that was
 * ignored could mean other ids. Defaults are the reference's (tokenizers 0.23.3, serialization). */
#include "text_spec.h"

#define WHERE_BYTES 64u /* "post_processor.special_tokens" and the like */

/* Fails on the first member of an object that is not in the NULL-terminated list. */
static vecmill_status only_members(const struct spec *s, const json_t *object, const char *where,
                                   const char *const *known, vecmill_err *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        size_t i = 0;
        while (known[i] && strcmp(known[i], key) != 0)
            i++;
        if (known[i]) continue;
        char quoted[SPEC_QUOTE_BYTES];
        return err_set(err, VECMILL_E_MODEL, "%s: %s has a member %s, which is not understood",
                       s->file, where, spec_quote(key, strlen(key), quoted));
    }
    return VECMILL_OK;
}

static vecmill_status refuse_value(const struct spec *s, const char *where, const char *value,
                                   const char *known, vecmill_err *err)
{
    char quoted[SPEC_QUOTE_BYTES];
    return err_set(err, VECMILL_E_MODEL, "%s: %s is %s, understood is %s", s->file, where,
                   spec_quote(value, strlen(value), quoted), known);
}

/* A part that is an object with a "type"; *type NULL when the part is null or absent. */
static vecmill_status part(const struct spec *s, const json_t *root, const char *name,
                           const json_t **object, const char **type, vecmill_err *err)
{
    const json_t *v = json_object_get(root, name);
    *object = v;
    *type = NULL;
    if (!v || json_is_null(v)) return VECMILL_OK;
    if (!json_is_object(v))
        return err_set(err, VECMILL_E_MODEL, "%s: %s is not an object", s->file, name);
    return jsonx_string(v, "type", true, s->file, VECMILL_E_MODEL, type, err);
}

/* "model": WordPiece and its vocabulary. */
static vecmill_status read_model(const json_t *root, const char *file, size_t file_bytes,
                                 struct spec *s, vecmill_err *err)
{
    static const char *const known[] = {
        "type", "unk_token", "continuing_subword_prefix", "vocab", "max_input_chars_per_word",
        NULL};
    const json_t *model = json_object_get(root, "model");
    const json_t *vocab = json_object_get(model, "vocab");
    VM_TRY(spec_init(s, file, spec_tokens_plan(true, file_bytes), json_object_size(vocab), err));
    if (!json_is_object(model))
        return err_set(err, VECMILL_E_MODEL, "%s: model is missing or not an object", file);
    const char *type = "WordPiece", *unk;
    VM_TRY(jsonx_string(model, "type", false, file, VECMILL_E_MODEL, &type, err));
    if (strcmp(type, "WordPiece") != 0)
        return refuse_value(s, "model.type", type, "WordPiece", err);
    VM_TRY(only_members(s, model, "model", known, err));
    VM_TRY(jsonx_string(model, "unk_token", true, file, VECMILL_E_MODEL, &unk, err));
    VM_TRY(jsonx_string(model, "continuing_subword_prefix", true, file, VECMILL_E_MODEL, &s->prefix,
                        err));
    VM_TRY(jsonx_u32(model, "max_input_chars_per_word", true, 0, TEXT_WORD_CHARS_MAX, file,
                     VECMILL_E_MODEL, &s->word_chars, err));
    if (!json_is_object(vocab))
        return err_set(err, VECMILL_E_MODEL, "%s: model.vocab is missing or not an object", file);

    const char *text;
    json_t *id;
    json_object_foreach((json_t *)vocab, text, id)
    {
        if (!json_is_integer(id)) {
            char quoted[SPEC_QUOTE_BYTES];
            return err_set(err, VECMILL_E_MODEL, "%s: the id of token %s is not an integer", file,
                           spec_quote(text, strlen(text), quoted));
        }
        VM_TRY(spec_add_token(s, text, strlen(text), json_integer_value(id), err));
    }
    VM_TRY(spec_index(s, err));
    return spec_need(s, "model.unk_token", unk, strlen(unk), &s->unk, err);
}

static vecmill_status read_normalizer(const json_t *root, struct spec *s, vecmill_err *err)
{
    static const char *const known[] = {"type",          "clean_text", "handle_chinese_chars",
                                        "strip_accents", "lowercase",  NULL};
    const json_t *object;
    const char *type;
    VM_TRY(part(s, root, "normalizer", &object, &type, err));
    if (!type) return VECMILL_OK;
    if (strcmp(type, "BertNormalizer") != 0)
        return refuse_value(s, "normalizer.type", type, "BertNormalizer", err);
    VM_TRY(only_members(s, object, "normalizer", known, err));
    bool clean, chinese, lower;
    VM_TRY(jsonx_bool(object, "clean_text", true, s->file, VECMILL_E_MODEL, &clean, err));
    VM_TRY(
        jsonx_bool(object, "handle_chinese_chars", true, s->file, VECMILL_E_MODEL, &chinese, err));
    VM_TRY(jsonx_bool(object, "lowercase", true, s->file, VECMILL_E_MODEL, &lower, err));
    bool strip = lower; /* null: as lowercase */
    VM_TRY(jsonx_bool(object, "strip_accents", false, s->file, VECMILL_E_MODEL, &strip, err));
    s->flags = (clean ? NORM_CLEAN : 0u) | (chinese ? NORM_CHINESE : 0u) |
               (strip ? NORM_STRIP : 0u) | (lower ? NORM_LOWER : 0u);
    return VECMILL_OK;
}

static vecmill_status read_pre_tokenizer(const json_t *root, struct spec *s, vecmill_err *err)
{
    static const char *const known[] = {"type", NULL};
    const json_t *object;
    const char *type;
    VM_TRY(part(s, root, "pre_tokenizer", &object, &type, err));
    if (!type)
        return err_set(err, VECMILL_E_MODEL, "%s: pre_tokenizer is null, understood is %s", s->file,
                       "BertPreTokenizer");
    if (strcmp(type, "BertPreTokenizer") != 0)
        return refuse_value(s, "pre_tokenizer.type", type, "BertPreTokenizer", err);
    return only_members(s, object, "pre_tokenizer", known, err);
}

/* The decoder turns ids into text, which is not done here. */
static vecmill_status read_decoder(const json_t *root, const struct spec *s, vecmill_err *err)
{
    static const char *const known[] = {"type", "prefix", "cleanup", NULL};
    const json_t *object;
    const char *type;
    VM_TRY(part(s, root, "decoder", &object, &type, err));
    if (!type) return VECMILL_OK;
    if (strcmp(type, "WordPiece") != 0)
        return refuse_value(s, "decoder.type", type, "WordPiece", err);
    return only_members(s, object, "decoder", known, err);
}

/* Truncation is done to the caller's length, at the right; what the file says is only understood. */
static vecmill_status read_truncation(const json_t *root, const struct spec *s, vecmill_err *err)
{
    static const char *const known[] = {"direction", "max_length", "strategy", "stride", NULL};
    const json_t *v = json_object_get(root, "truncation");
    if (!v || json_is_null(v)) return VECMILL_OK;
    if (!json_is_object(v))
        return err_set(err, VECMILL_E_MODEL, "%s: truncation is not an object", s->file);
    VM_TRY(only_members(s, v, "truncation", known, err));
    const char *direction = "Right";
    VM_TRY(jsonx_string(v, "direction", false, s->file, VECMILL_E_MODEL, &direction, err));
    if (strcmp(direction, "Right") != 0)
        return refuse_value(s, "truncation.direction", direction, "Right", err);
    return VECMILL_OK;
}

/* Nothing is ever padded; what the file says is only understood. */
static vecmill_status read_padding(const json_t *root, const struct spec *s, vecmill_err *err)
{
    static const char *const known[] = {
        "strategy", "direction", "pad_to_multiple_of", "pad_token", "pad_id", "pad_type_id", NULL};
    const json_t *v = json_object_get(root, "padding");
    if (!v || json_is_null(v)) return VECMILL_OK;
    if (!json_is_object(v))
        return err_set(err, VECMILL_E_MODEL, "%s: padding is not an object", s->file);
    return only_members(s, v, "padding", known, err);
}

static vecmill_status read_added(const json_t *root, struct spec *s, vecmill_err *err)
{
    static const char *const known[] = {"id",     "content",    "single_word", "lstrip",
                                        "rstrip", "normalized", "special",     NULL};
    const json_t *array = json_object_get(root, "added_tokens");
    if (!array) return VECMILL_OK;
    if (!json_is_array(array))
        return err_set(err, VECMILL_E_MODEL, "%s: added_tokens is not an array", s->file);
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *v = json_array_get(array, i);
        char where[WHERE_BYTES];
        snprintf(where, sizeof where, "added_tokens[%zu]", i);
        const json_t *content = json_object_get(v, "content");
        if (!json_is_string(content))
            return err_set(err, VECMILL_E_MODEL, "%s: %s has no content that is a string", s->file,
                           where);
        VM_TRY(only_members(s, v, where, known, err));
        uint32_t id;
        bool single_word, lstrip, rstrip, normalized, special;
        VM_TRY(jsonx_u32(v, "id", true, 0, TEXT_VOCAB_MAX - 1, s->file, VECMILL_E_MODEL, &id, err));
        VM_TRY(jsonx_bool(v, "single_word", true, s->file, VECMILL_E_MODEL, &single_word, err));
        VM_TRY(jsonx_bool(v, "lstrip", true, s->file, VECMILL_E_MODEL, &lstrip, err));
        VM_TRY(jsonx_bool(v, "rstrip", true, s->file, VECMILL_E_MODEL, &rstrip, err));
        VM_TRY(jsonx_bool(v, "normalized", true, s->file, VECMILL_E_MODEL, &normalized, err));
        VM_TRY(jsonx_bool(v, "special", true, s->file, VECMILL_E_MODEL, &special, err));
        size_t bytes = json_string_length(content);
        const struct spec_added added = {
            .text = json_string_value(content),
            .bytes = bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes,
            .single_word = single_word,
            .strips = lstrip || rstrip,
            .normalized = normalized,
        };
        VM_TRY(spec_add_added(s, &added, id, err));
    }
    return VECMILL_OK;
}

/* The ids of one special token that a template names. */
static vecmill_status read_special(const json_t *table, const char *name, bool after,
                                   struct spec *s, vecmill_err *err)
{
    static const char *const known[] = {"id", "ids", "tokens", NULL};
    char quoted[SPEC_QUOTE_BYTES], where[SPEC_QUOTE_BYTES + WHERE_BYTES];
    const json_t *entry = json_object_get(table, name);
    spec_quote(name, strlen(name), quoted);
    if (!json_is_object(entry)) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: the template names %s, which special_tokens does not have", s->file,
                       quoted);
    }
    snprintf(where, sizeof where, "special_tokens.%s", quoted);
    VM_TRY(only_members(s, entry, where, known, err));
    const json_t *ids = json_object_get(entry, "ids"), *tokens = json_object_get(entry, "tokens");
    if (!json_is_array(ids) || !json_is_array(tokens) ||
        json_array_size(ids) != json_array_size(tokens)) {
        return err_set(err, VECMILL_E_MODEL, "%s: %s has %zu ids and %zu tokens", s->file, where,
                       json_array_size(ids), json_array_size(tokens));
    }
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i), *token = json_array_get(tokens, i);
        if (!json_is_integer(id) || !json_is_string(token)) {
            return err_set(err, VECMILL_E_MODEL, "%s: %s is not an integer id and a string token",
                           s->file, where);
        }
        uint32_t found;
        VM_TRY(
            spec_need(s, where, json_string_value(token), json_string_length(token), &found, err));
        if (json_integer_value(id) != found) {
            return err_set(err, VECMILL_E_MODEL, "%s: %s says id %lld, by the vocabulary it is %u",
                           s->file, where, (long long)json_integer_value(id), found);
        }
        VM_TRY(spec_add_special(s, found, after, err));
    }
    return VECMILL_OK;
}

/* One piece of a template: exactly one member, Sequence or SpecialToken, with id and type_id. Types
 * are those of the two segments of a pair; embeddings are of one text, all of type 0. */
static vecmill_status read_piece(const json_t *piece, const json_t *table, bool *seen,
                                 struct spec *s, vecmill_err *err)
{
    static const char *const known[] = {"id", "type_id", NULL};
    const json_t *sequence = json_object_get(piece, "Sequence");
    const json_t *special = json_object_get(piece, "SpecialToken");
    const json_t *body = sequence ? sequence : special;
    if (json_object_size(piece) != 1 || !json_is_object(body)) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: a piece of the template is neither Sequence nor SpecialToken", s->file);
    }
    const char *id;
    uint32_t type_id;
    VM_TRY(only_members(s, body, "a piece of the template", known, err));
    VM_TRY(jsonx_string(body, "id", true, s->file, VECMILL_E_MODEL, &id, err));
    VM_TRY(jsonx_u32(body, "type_id", true, 0, 0, s->file, VECMILL_E_MODEL, &type_id, err));
    if (special) return read_special(table, id, *seen, s, err);
    if (strcmp(id, "A") != 0 || *seen)
        return refuse_value(s, "a further Sequence of the template", id, "one, A", err);
    *seen = true;
    return VECMILL_OK;
}

static vecmill_status read_template(const json_t *object, struct spec *s, vecmill_err *err)
{
    static const char *const known[] = {"type", "single", "pair", "special_tokens", NULL};
    VM_TRY(only_members(s, object, "post_processor", known, err));
    const json_t *single = json_object_get(object, "single");
    const json_t *table = json_object_get(object, "special_tokens");
    if (!json_is_array(single) || !json_is_object(table)) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: post_processor.single is no array or special_tokens no object",
                       s->file);
    }
    bool seen = false;
    for (size_t i = 0; i < json_array_size(single); i++)
        VM_TRY(read_piece(json_array_get(single, i), table, &seen, s, err));
    if (!seen) return err_set(err, VECMILL_E_MODEL, "%s: the template has no Sequence A", s->file);
    return VECMILL_OK;
}

/* BertProcessing: [cls] text [sep], each as ["[CLS]", 101]. */
static vecmill_status read_bert_processing(const json_t *object, struct spec *s, vecmill_err *err)
{
    static const char *const known[] = {"type", "sep", "cls", NULL};
    static const char *const names[] = {"cls", "sep"};
    VM_TRY(only_members(s, object, "post_processor", known, err));
    for (size_t i = 0; i < 2; i++) {
        const json_t *pair = json_object_get(object, names[i]);
        const json_t *token = json_array_get(pair, 0), *id = json_array_get(pair, 1);
        if (json_array_size(pair) != 2 || !json_is_string(token) || !json_is_integer(id)) {
            return err_set(err, VECMILL_E_MODEL,
                           "%s: post_processor.%s is not an array of token and id", s->file,
                           names[i]);
        }
        uint32_t found;
        VM_TRY(spec_need(s, names[i], json_string_value(token), json_string_length(token), &found,
                         err));
        if (json_integer_value(id) != found) {
            return err_set(err, VECMILL_E_MODEL,
                           "%s: post_processor.%s says id %lld, by the vocabulary it is %u",
                           s->file, names[i], (long long)json_integer_value(id), found);
        }
        VM_TRY(spec_add_special(s, found, i == 1, err));
    }
    return VECMILL_OK;
}

static vecmill_status read_post_processor(const json_t *root, struct spec *s, vecmill_err *err)
{
    const json_t *object;
    const char *type;
    VM_TRY(part(s, root, "post_processor", &object, &type, err));
    if (!type) return VECMILL_OK;
    if (strcmp(type, "TemplateProcessing") == 0) return read_template(object, s, err);
    if (strcmp(type, "BertProcessing") == 0) return read_bert_processing(object, s, err);
    return refuse_value(s, "post_processor.type", type, "TemplateProcessing or BertProcessing",
                        err);
}

vecmill_status spec_from_json(const json_t *root, size_t file_bytes, struct spec *s,
                              vecmill_err *err)
{
    static const char *const known[] = {
        "version",       "truncation",     "padding", "added_tokens", "normalizer",
        "pre_tokenizer", "post_processor", "decoder", "model",        NULL};
    static const char file[] = "tokenizer.json";
    if (!json_is_object(root))
        return err_set(err, VECMILL_E_MODEL, "%s: the file is not an object", file);
    const char *version = "1.0";
    VM_TRY(jsonx_string(root, "version", false, file, VECMILL_E_MODEL, &version, err));
    VM_TRY(read_model(root, file, file_bytes, s, err));
    VM_TRY(only_members(s, root, "the file", known, err));
    if (strcmp(version, "1.0") != 0) return refuse_value(s, "version", version, "1.0", err);
    VM_TRY(read_normalizer(root, s, err));
    VM_TRY(read_pre_tokenizer(root, s, err));
    VM_TRY(read_decoder(root, s, err));
    VM_TRY(read_truncation(root, s, err));
    VM_TRY(read_padding(root, s, err));
    VM_TRY(read_added(root, s, err));
    return read_post_processor(root, s, err);
}
