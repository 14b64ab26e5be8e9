/* text_vocab: vocab.txt, with a tokenizer_config.json if there is one, to a spec.
 *
 * The tokenizer is the one that transformers' BertTokenizer is converted to: clean_text always,
 * BertPreTokenizer, WordPiece with "##" and 100 characters, [CLS] text [SEP], and the special
 * tokens as added tokens on raw text. A token's id is its line, counted from 0. */
#include "text_spec.h"

#include <stddef.h>
#include <stdio.h>

#define WORD_CHARS 100u /* transformers, BertTokenizer's WordPiece: max_input_chars_per_word */

static const char vocab_file[] = "vocab.txt";
static const char config_file[] = "tokenizer_config.json";

/* The line at *at, without its end (LF, CR or CR LF, as Python reads text); moves *at past it. */
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

static vecmill_status read_lines(const char *vocab, size_t bytes, size_t text_bytes, struct spec *s,
                                 vecmill_err *err)
{
    size_t n = 0;
    for (size_t at = 0; at < bytes; n++)
        next_line(vocab, bytes, &at);
    VM_TRY(spec_reserve(s, n, text_bytes, err));
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

enum role { ROLE_UNK, ROLE_SEP, ROLE_PAD, ROLE_CLS, ROLE_MASK, ROLES };

/* tokenizer_config.json. */
struct file {
    struct json_value class, never_split, decoder, additional, roles[ROLES];
    bool basic, lower, chinese;
};

static vecmill_status read_file(const struct json_value *config, struct file *file,
                                vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("do_lower_case", BOOL, offsetof(struct file, lower)),
        JSON_MAY("tokenize_chinese_chars", BOOL, offsetof(struct file, chinese)),
        JSON_MAY("tokenizer_class", STRING, offsetof(struct file, class)),
        JSON_MAY("do_basic_tokenize", BOOL, offsetof(struct file, basic)),
        JSON_MAY("never_split", ANY, offsetof(struct file, never_split)),
        JSON_MAY("added_tokens_decoder", ANY, offsetof(struct file, decoder)),
        JSON_MAY("additional_special_tokens", ANY, offsetof(struct file, additional)),
        JSON_MAY("unk_token", ANY, offsetof(struct file, roles[ROLE_UNK])),
        JSON_MAY("sep_token", ANY, offsetof(struct file, roles[ROLE_SEP])),
        JSON_MAY("pad_token", ANY, offsetof(struct file, roles[ROLE_PAD])),
        JSON_MAY("cls_token", ANY, offsetof(struct file, roles[ROLE_CLS])),
        JSON_MAY("mask_token", ANY, offsetof(struct file, roles[ROLE_MASK])),
    };
    const struct json_reading reading = {
        .name = config_file, .failure = VECMILL_E_MODEL, .target = file};
    *file = (struct file){.basic = true, .lower = true, .chinese = true};
    return json_fields(config, fields, sizeof fields / sizeof *fields, &reading, err);
}

/* Refuses what would make a different tokenizer from the vocabulary. */
static vecmill_status check_class(const struct file *file, vecmill_err *err)
{
    static const char *const known[] = {"BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer",
                                        "DistilBertTokenizerFast"};
    bool is_known = file->class.kind == JSON_KIND_ABSENT;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        is_known = is_known || json_is(&file->class, known[i]);
    if (!is_known) {
        char quoted[SPEC_QUOTE_BYTES];
        return err_set(err, VECMILL_E_MODEL, "%s: tokenizer_class is %s, understood is %s",
                       config_file, spec_quote_value(&file->class, quoted), known[0]);
    }
    if (!file->basic)
        return err_set(err, VECMILL_E_MODEL, "%s: do_basic_tokenize is false, understood is true",
                       config_file);
    if (file->never_split.kind == JSON_KIND_ARRAY && json_count(&file->never_split) > 0) {
        return err_set(err, VECMILL_E_MODEL, "%s: never_split has %zu tokens, understood is none",
                       config_file, json_count(&file->never_split));
    }
    return VECMILL_OK;
}

struct flags {
    bool single_word, lstrip, rstrip, normalized;
};

static vecmill_status read_flags(const struct json_value *token, struct flags *flags,
                                 vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("single_word", BOOL, offsetof(struct flags, single_word)),
        JSON_MAY("lstrip", BOOL, offsetof(struct flags, lstrip)),
        JSON_MAY("rstrip", BOOL, offsetof(struct flags, rstrip)),
        JSON_MAY("normalized", BOOL, offsetof(struct flags, normalized)),
    };
    const struct json_reading reading = {
        .name = config_file, .failure = VECMILL_E_MODEL, .target = flags};
    return json_fields(token, fields, sizeof fields / sizeof *fields, &reading, err);
}

/* Adds a special token, described by a string or by an object with content and flags. */
static vecmill_status add_token(const struct json_value *value, const char *key, struct spec *s,
                                uint32_t *id, vecmill_err *err)
{
    const struct json_value content =
        value->kind == JSON_KIND_OBJECT ? json_get(value, "content") : *value;
    struct flags flags = {.normalized = false};
    size_t bytes;
    if (content.kind != JSON_KIND_STRING) {
        return err_set(err, VECMILL_E_MODEL, "%s: %s is neither a string nor a token with content",
                       config_file, key);
    }
    VM_TRY(read_flags(value, &flags, err));
    const char *text = spec_keep_text(s, &content, &bytes);
    VM_TRY(spec_need(s, key, text, bytes, id, err));
    for (uint32_t i = 0; i < s->n_added; i++) {
        if (s->added[i].id == *id) return VECMILL_OK; /* two roles of one token */
    }
    const struct spec_added added = {
        .text = text,
        .bytes = (uint32_t)bytes,
        .single_word = flags.single_word,
        .lstrip = flags.lstrip,
        .rstrip = flags.rstrip,
        .normalized = flags.normalized,
    };
    return spec_add_added(s, &added, -1, err);
}

/* A special token by its role in tokenizer_config.json, or by the name that BERT gives it. A name
 * that is not in the configuration may be missing from the vocabulary if it is not required. */
static vecmill_status add_role(const struct file *file, enum role role, struct spec *s,
                               uint32_t *id, vecmill_err *err)
{
    static const struct {
        const char *key, *name;
        bool is_required;
    } roles[ROLES] = {[ROLE_UNK] = {"unk_token", "[UNK]", true},
                      [ROLE_SEP] = {"sep_token", "[SEP]", true},
                      [ROLE_PAD] = {"pad_token", "[PAD]", false},
                      [ROLE_CLS] = {"cls_token", "[CLS]", true},
                      [ROLE_MASK] = {"mask_token", "[MASK]", false}};
    const struct json_value *value = &file->roles[role];
    const char *key = roles[role].key, *name = roles[role].name;
    if (value->kind > JSON_KIND_NULL) return add_token(value, key, s, id, err);
    if (!roles[role].is_required && !spec_find(s, name, strlen(name), id)) return VECMILL_OK;
    VM_TRY(spec_need(s, key, name, strlen(name), id, err));
    const struct spec_added added = {.text = name, .bytes = (uint32_t)strlen(name)};
    for (uint32_t i = 0; i < s->n_added; i++) {
        if (s->added[i].id == *id) return VECMILL_OK;
    }
    return spec_add_added(s, &added, -1, err);
}

/* added_tokens_decoder and additional_special_tokens: tokens besides the five roles. */
static vecmill_status add_others(const struct file *file, struct spec *s, vecmill_err *err)
{
    struct json_each each = json_begin(&file->decoder);
    struct json_value id, value;
    uint32_t found;
    while (file->decoder.kind == JSON_KIND_OBJECT && json_each(&each, &id, &value)) {
        char number[16];
        VM_TRY(add_token(&value, "added_tokens_decoder", s, &found, err));
        snprintf(number, sizeof number, "%u", found);
        if (!json_is(&id, number)) {
            char quoted[SPEC_QUOTE_BYTES];
            return err_set(err, VECMILL_E_MODEL,
                           "%s: added_tokens_decoder says id %s where the vocabulary has %u",
                           config_file, spec_quote_value(&id, quoted), found);
        }
    }
    each = json_begin(&file->additional);
    while (file->additional.kind == JSON_KIND_ARRAY && json_each(&each, &id, &value))
        VM_TRY(add_token(&value, "additional_special_tokens", s, &found, err));
    return VECMILL_OK;
}

vecmill_status spec_from_vocab(const char *vocab, size_t bytes, const struct json_value *config,
                               struct spec *s, vecmill_err *err)
{
    struct file file;
    spec_init(s, vocab_file, spec_tokens_plan(false, bytes));
    VM_TRY(read_lines(vocab, bytes, config->bytes, s, err));
    VM_TRY(read_file(config, &file, err));
    bool strip = file.lower; /* null: as do_lower_case */
    VM_TRY(spec_read_bool(config_file, config, "strip_accents", &strip, err));
    VM_TRY(check_class(&file, err));
    VM_TRY(spec_reserve_added(s, ROLES + json_count(&file.decoder) + json_count(&file.additional),
                              bytes, err));
    s->flags = NORM_CLEAN | (file.chinese ? NORM_CHINESE : 0u) | (strip ? NORM_STRIP : 0u) |
               (file.lower ? NORM_LOWER : 0u);
    s->word_chars = WORD_CHARS;
    s->prefix = "##";

    uint32_t cls, sep, other;
    VM_TRY(add_others(&file, s, err));
    VM_TRY(add_role(&file, ROLE_UNK, s, &s->unk, err));
    VM_TRY(add_role(&file, ROLE_SEP, s, &sep, err));
    VM_TRY(add_role(&file, ROLE_PAD, s, &other, err));
    VM_TRY(add_role(&file, ROLE_CLS, s, &cls, err));
    VM_TRY(add_role(&file, ROLE_MASK, s, &other, err));
    VM_TRY(spec_add_special(s, cls, false, err));
    spec_pair_typed(s, cls, sep);
    return spec_add_special(s, sep, true, err);
}
