/* text_vocab: vocab.txt alone, with what tokenizer_config.json says beside it, to a spec.
 *
 * The tokenizer is the one that transformers' BertTokenizer is converted to: clean_text always,
 * BertPreTokenizer, WordPiece with "##" and 100 characters, [CLS] text [SEP], and the special tokens
 * as added tokens on raw text. A token's id is its line, counted from 0. */
#include "text_spec.h"

#include <stdio.h>

#define WORD_CHARS 100u /* transformers, BertTokenizer's WordPiece: max_input_chars_per_word */

static const char vocab_file[] = "vocab.txt";
static const char config_file[] = "tokenizer_config.json";

/* The line at *at, without its end (LF, CR or CR LF, as Python reads text); moves *at behind it. */
static size_t next_line(const char *data, size_t bytes, size_t *at)
{
    size_t end = *at;
    while (end < bytes && data[end] != '\n' && data[end] != '\r')
        end++;
    size_t length = end - *at;
    if (end < bytes) end += end + 1 < bytes && data[end] == '\r' && data[end + 1] == '\n' ? 2 : 1;
    *at = end;
    return length;
}

static vecmill_status read_lines(const char *vocab, size_t bytes, struct spec *s, vecmill_err *err)
{
    size_t n = 0;
    for (size_t at = 0; at < bytes; n++)
        next_line(vocab, bytes, &at);
    VM_TRY(spec_init(s, vocab_file, spec_tokens_plan(false, bytes), n, err));
    int64_t id = 0;
    for (size_t at = 0; at < bytes; id++) {
        const char *line = vocab + at;
        size_t length = next_line(vocab, bytes, &at);
        if (!utf8_valid(line, length)) {
            return err_set(err, VECMILL_E_MODEL, "%s: line %lld is not valid UTF-8", vocab_file,
                           (long long)id + 1);
        }
        VM_TRY(spec_add_token(s, line, length, id, err));
    }
    return spec_index(s, err);
}

/* Refuses what would make another tokenizer of the vocabulary. */
static vecmill_status check_class(const json_t *config, vecmill_err *err)
{
    static const char *const known[] = {"BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer",
                                        "DistilBertTokenizerFast"};
    const char *class = known[0];
    VM_TRY(
        jsonx_string(config, "tokenizer_class", false, config_file, VECMILL_E_MODEL, &class, err));
    bool is_known = false;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        is_known = is_known || strcmp(class, known[i]) == 0;
    if (!is_known) {
        char quoted[SPEC_QUOTE_BYTES];
        return err_set(err, VECMILL_E_MODEL, "%s: tokenizer_class is %s, understood is %s",
                       config_file, spec_quote(class, strlen(class), quoted), known[0]);
    }
    bool basic = true;
    VM_TRY(
        jsonx_bool(config, "do_basic_tokenize", false, config_file, VECMILL_E_MODEL, &basic, err));
    if (!basic)
        return err_set(err, VECMILL_E_MODEL, "%s: do_basic_tokenize is false, understood is true",
                       config_file);
    size_t n_never = json_array_size(json_object_get(config, "never_split"));
    if (n_never) {
        return err_set(err, VECMILL_E_MODEL, "%s: never_split has %zu tokens, understood is none",
                       config_file, n_never);
    }
    return VECMILL_OK;
}

/* Adds a special token that a string, or an object with content and flags, describes. */
static vecmill_status add_token(const json_t *value, const char *key, struct spec *s, uint32_t *id,
                                vecmill_err *err)
{
    const json_t *content = json_is_object(value) ? json_object_get(value, "content") : value;
    bool single_word = false, lstrip = false, rstrip = false, normalized = false;
    if (!json_is_string(content)) {
        return err_set(err, VECMILL_E_MODEL, "%s: %s is neither a string nor a token with content",
                       config_file, key);
    }
    if (json_is_object(value)) {
        VM_TRY(jsonx_bool(value, "single_word", false, config_file, VECMILL_E_MODEL, &single_word,
                          err));
        VM_TRY(jsonx_bool(value, "lstrip", false, config_file, VECMILL_E_MODEL, &lstrip, err));
        VM_TRY(jsonx_bool(value, "rstrip", false, config_file, VECMILL_E_MODEL, &rstrip, err));
        VM_TRY(
            jsonx_bool(value, "normalized", false, config_file, VECMILL_E_MODEL, &normalized, err));
    }
    const char *text = json_string_value(content);
    size_t bytes = json_string_length(content);
    VM_TRY(spec_need(s, key, text, bytes, id, err));
    for (uint32_t i = 0; i < s->n_added; i++) {
        if (s->added[i].id == *id) return VECMILL_OK; /* two roles of one token */
    }
    const struct spec_added added = {
        .text = text,
        .bytes = (uint32_t)bytes,
        .single_word = single_word,
        .strips = lstrip || rstrip,
        .normalized = normalized,
    };
    return spec_add_added(s, &added, -1, err);
}

/* A special token by its key of tokenizer_config.json, or by the name that BERT gives it. A name that
 * the configuration does not say may be missing from the vocabulary when `required` is false. */
static vecmill_status add_role(const json_t *config, const char *key, const char *name,
                               bool required, struct spec *s, uint32_t *id, vecmill_err *err)
{
    const json_t *value = json_object_get(config, key);
    if (value && !json_is_null(value)) return add_token(value, key, s, id, err);
    if (!required && !spec_find(s, name, strlen(name), id)) return VECMILL_OK;
    VM_TRY(spec_need(s, key, name, strlen(name), id, err));
    const struct spec_added added = {.text = name, .bytes = (uint32_t)strlen(name)};
    uint32_t before = s->n_added;
    for (uint32_t i = 0; i < before; i++) {
        if (s->added[i].id == *id) return VECMILL_OK;
    }
    return spec_add_added(s, &added, -1, err);
}

/* added_tokens_decoder and additional_special_tokens: tokens beside the five roles. */
static vecmill_status add_others(const json_t *config, struct spec *s, vecmill_err *err)
{
    uint32_t found;
    const char *id;
    json_t *value;
    json_object_foreach(json_object_get(config, "added_tokens_decoder"), id, value)
    {
        char number[16];
        VM_TRY(add_token(value, "added_tokens_decoder", s, &found, err));
        snprintf(number, sizeof number, "%u", found);
        if (strcmp(number, id) != 0) {
            char quoted[SPEC_QUOTE_BYTES];
            return err_set(err, VECMILL_E_MODEL,
                           "%s: added_tokens_decoder says id %s where the vocabulary has %u",
                           config_file, spec_quote(id, strlen(id), quoted), found);
        }
    }
    const json_t *more = json_object_get(config, "additional_special_tokens");
    for (size_t i = 0; i < json_array_size(more); i++)
        VM_TRY(add_token(json_array_get(more, i), "additional_special_tokens", s, &found, err));
    return VECMILL_OK;
}

vecmill_status spec_from_vocab(const char *vocab, size_t bytes, const json_t *config,
                               struct spec *s, vecmill_err *err)
{
    VM_TRY(read_lines(vocab, bytes, s, err));
    bool lower = true, chinese = true;
    VM_TRY(jsonx_bool(config, "do_lower_case", false, config_file, VECMILL_E_MODEL, &lower, err));
    VM_TRY(jsonx_bool(config, "tokenize_chinese_chars", false, config_file, VECMILL_E_MODEL,
                      &chinese, err));
    bool strip = lower;
    VM_TRY(jsonx_bool(config, "strip_accents", false, config_file, VECMILL_E_MODEL, &strip, err));
    VM_TRY(check_class(config, err));
    s->flags = NORM_CLEAN | (chinese ? NORM_CHINESE : 0u) | (strip ? NORM_STRIP : 0u) |
               (lower ? NORM_LOWER : 0u);
    s->word_chars = WORD_CHARS;
    s->prefix = "##";

    uint32_t cls, sep, other;
    VM_TRY(add_others(config, s, err));
    VM_TRY(add_role(config, "unk_token", "[UNK]", true, s, &s->unk, err));
    VM_TRY(add_role(config, "sep_token", "[SEP]", true, s, &sep, err));
    VM_TRY(add_role(config, "pad_token", "[PAD]", false, s, &other, err));
    VM_TRY(add_role(config, "cls_token", "[CLS]", true, s, &cls, err));
    VM_TRY(add_role(config, "mask_token", "[MASK]", false, s, &other, err));
    VM_TRY(spec_add_special(s, cls, false, err));
    return spec_add_special(s, sep, true, err);
}
