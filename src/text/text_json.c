/* text_json: tokenizer.json, the file of PyPI tokenizers, to a spec.
 *
 * Every member of every object is either understood here or refused by name: ignoring a member
 * could change ids. Defaults are the reference's (tokenizers 0.23.3, serialization). */
#include "stage_kinds.h"
#include "text_model.h"

#include <stddef.h>
#include <stdio.h>

#define WHERE_BYTES  64u /* "post_processor.special_tokens" and the like */
#define LENGTH(list) (sizeof(list) / sizeof *(list))

/* The "type" of a part that is an object; JSON_KIND_ABSENT when the part is null or absent. It is
 * checked before the other members, which depend on it. */
static vecmill_status part_type(const struct spec *s, const struct json_value *part,
                                const char *name, struct json_value *type, vecmill_err *err)
{
    static const struct json_field field = JSON_MUST("type", STRING, 0);
    const struct json_reading reading = {
        .name = s->file, .failure = VECMILL_E_MODEL, .target = type};
    *type = (struct json_value){.kind = JSON_KIND_ABSENT};
    if (part->kind <= JSON_KIND_NULL) return VECMILL_OK;
    if (part->kind != JSON_KIND_OBJECT)
        return err_set(err, VECMILL_E_MODEL, "%s: %s is not an object", s->file, name);
    return json_fields(part, &field, 1, &reading, err);
}

/* ---- the root ---- */

struct root {
    struct json_value version, truncation, padding, added, normalizer, pre_tokenizer,
        post_processor, decoder, model;
};

/* ---- the steps before and after it ---- */

static vecmill_status read_normalizer(const struct json_value *part, struct spec *s,
                                      vecmill_err *err)
{
    struct spec_stage stage = {.flags = 0};
    if (part->kind <= JSON_KIND_NULL) return VECMILL_OK;
    VM_TRY(norm_basic_read(s, &stage, part, "normalizer", err));
    s->flags = stage.flags;
    return VECMILL_OK;
}

static vecmill_status read_pre_tokenizer(const struct json_value *part, struct spec *s,
                                         vecmill_err *err)
{
    static const struct json_field fields[] = {JSON_MAY("type", UNREAD, 0)};
    struct json_value type;
    VM_TRY(part_type(s, part, "pre_tokenizer", &type, err));
    return spec_read_part(s, part, "pre_tokenizer", fields, LENGTH(fields), NULL, err);
}

/* Whether the steps are those of BERT's tokenizer, which text_encode.c does in one pass. */
static bool is_fused(const struct root *root, const struct text_model *model)
{
    const struct json_value normalizer = json_get(&root->normalizer, "type");
    const struct json_value pre_tokenizer = json_get(&root->pre_tokenizer, "type");
    return model == &text_model_wordpiece && json_is(&pre_tokenizer, "BertPreTokenizer") &&
           (root->normalizer.kind <= JSON_KIND_NULL || json_is(&normalizer, "BertNormalizer"));
}

/* The decoder turns ids into text, which is not done here. */
static vecmill_status read_decoder(const struct json_value *part, const struct spec *s,
                                   vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("type", UNREAD, 0), JSON_MAY("prefix", UNREAD, 0), JSON_MAY("cleanup", UNREAD, 0)};
    struct json_value type;
    VM_TRY(part_type(s, part, "decoder", &type, err));
    if (type.kind == JSON_KIND_ABSENT) return VECMILL_OK;
    if (!json_is(&type, "WordPiece"))
        return spec_refuse_value(s, "decoder.type", &type, "WordPiece", err);
    return spec_read_part(s, part, "decoder", fields, LENGTH(fields), NULL, err);
}

/* Truncation uses the caller's length, at the right; the file's members are only understood. */
static vecmill_status read_truncation(const struct json_value *part, const struct spec *s,
                                      vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("direction", STRING, 0), JSON_MAY("max_length", UNREAD, 0),
        JSON_MAY("strategy", UNREAD, 0), JSON_MAY("stride", UNREAD, 0)};
    struct json_value direction = {.kind = JSON_KIND_ABSENT};
    if (part->kind <= JSON_KIND_NULL) return VECMILL_OK;
    if (part->kind != JSON_KIND_OBJECT)
        return err_set(err, VECMILL_E_MODEL, "%s: truncation is not an object", s->file);
    VM_TRY(spec_read_part(s, part, "truncation", fields, LENGTH(fields), &direction, err));
    if (direction.kind != JSON_KIND_ABSENT && !json_is(&direction, "Right"))
        return spec_refuse_value(s, "truncation.direction", &direction, "Right", err);
    return VECMILL_OK;
}

/* Nothing is ever padded; the file's members are only understood. */
static vecmill_status read_padding(const struct json_value *part, const struct spec *s,
                                   vecmill_err *err)
{
    static const struct json_field fields[] = {JSON_MAY("strategy", UNREAD, 0),
                                               JSON_MAY("direction", UNREAD, 0),
                                               JSON_MAY("pad_to_multiple_of", UNREAD, 0),
                                               JSON_MAY("pad_token", UNREAD, 0),
                                               JSON_MAY("pad_id", UNREAD, 0),
                                               JSON_MAY("pad_type_id", UNREAD, 0)};
    if (part->kind <= JSON_KIND_NULL) return VECMILL_OK;
    if (part->kind != JSON_KIND_OBJECT)
        return err_set(err, VECMILL_E_MODEL, "%s: padding is not an object", s->file);
    return spec_read_part(s, part, "padding", fields, LENGTH(fields), NULL, err);
}

/* ---- added tokens ---- */

struct added {
    struct json_value content;
    uint32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
};

static vecmill_status read_added_token(const struct json_value *token, size_t i, struct spec *s,
                                       vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MUST("content", ANY, offsetof(struct added, content)),
        JSON_MUST("id", U32, offsetof(struct added, id), .most = TEXT_VOCAB_MAX - 1),
        JSON_MUST("single_word", BOOL, offsetof(struct added, single_word)),
        JSON_MUST("lstrip", BOOL, offsetof(struct added, lstrip)),
        JSON_MUST("rstrip", BOOL, offsetof(struct added, rstrip)),
        JSON_MUST("normalized", BOOL, offsetof(struct added, normalized)),
        JSON_MUST("special", BOOL, offsetof(struct added, special)),
    };
    char where[WHERE_BYTES];
    snprintf(where, sizeof where, "added_tokens[%zu]", i);
    if (json_get(token, "content").kind != JSON_KIND_STRING)
        return err_set(err, VECMILL_E_MODEL, "%s: %s has no content that is a string", s->file,
                       where);
    struct added a = {.id = 0};
    size_t bytes;
    VM_TRY(spec_read_part(s, token, where, fields, LENGTH(fields), &a, err));
    const char *text = spec_keep_text(s, &a.content, &bytes);
    const struct spec_added added = {
        .text = text,
        .bytes = bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes,
        .single_word = a.single_word,
        .lstrip = a.lstrip,
        .rstrip = a.rstrip,
        .normalized = a.normalized,
    };
    return spec_add_added(s, &added, a.id, err);
}

static vecmill_status read_added(const struct json_value *array, size_t file_bytes, struct spec *s,
                                 vecmill_err *err)
{
    struct json_each each = json_begin(array);
    struct json_value none, token;
    if (array->kind == JSON_KIND_ABSENT) return VECMILL_OK;
    if (array->kind != JSON_KIND_ARRAY)
        return err_set(err, VECMILL_E_MODEL, "%s: added_tokens is not an array", s->file);
    VM_TRY(spec_reserve_added(s, json_count(array), file_bytes, err));
    for (size_t i = 0; json_each(&each, &none, &token); i++)
        VM_TRY(read_added_token(&token, i, s, err));
    return VECMILL_OK;
}

/* ---- the template ---- */

struct special {
    struct json_value ids, tokens;
};

/* The ids of one special token that a template names. */
enum place { PLACE_BEFORE, PLACE_AFTER, PLACE_PAIR };

static vecmill_status read_special(const struct json_value *table, const struct json_value *name,
                                   enum place place, uint32_t type, struct spec *s,
                                   vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("id", UNREAD, 0), JSON_MAY("ids", ANY, offsetof(struct special, ids)),
        JSON_MAY("tokens", ANY, offsetof(struct special, tokens))};
    char quoted[SPEC_QUOTE_BYTES], where[SPEC_QUOTE_BYTES + WHERE_BYTES];
    const struct json_value entry = json_find(table, name);
    spec_quote_value(name, quoted);
    if (entry.kind != JSON_KIND_OBJECT) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: the template names %s, which special_tokens does not have", s->file,
                       quoted);
    }
    struct special special = {.ids.kind = JSON_KIND_ABSENT};
    snprintf(where, sizeof where, "special_tokens.%s", quoted);
    VM_TRY(spec_read_part(s, &entry, where, fields, LENGTH(fields), &special, err));
    const bool are_arrays =
        special.ids.kind == JSON_KIND_ARRAY && special.tokens.kind == JSON_KIND_ARRAY;
    const size_t n_ids = special.ids.kind == JSON_KIND_ARRAY ? json_count(&special.ids) : 0;
    const size_t n_tokens =
        special.tokens.kind == JSON_KIND_ARRAY ? json_count(&special.tokens) : 0;
    if (!are_arrays || n_ids != n_tokens) {
        return err_set(err, VECMILL_E_MODEL, "%s: %s has %zu ids and %zu tokens", s->file, where,
                       n_ids, n_tokens);
    }
    struct json_each ids = json_begin(&special.ids), tokens = json_begin(&special.tokens);
    struct json_value key, id, token;
    while (json_each(&ids, &key, &id) && json_each(&tokens, &key, &token)) {
        int64_t n;
        uint32_t found;
        if (!json_i64(&id, &n) || token.kind != JSON_KIND_STRING) {
            return err_set(err, VECMILL_E_MODEL, "%s: %s is not an integer id and a string token",
                           s->file, where);
        }
        VM_TRY(spec_need_value(s, where, &token, &found, err));
        /* The reference takes the id. model2vec's files have those of the tokenizer before its
         * vocabulary was cut. */
        const bool is_token = n >= 0 && n < TEXT_VOCAB_MAX && spec_has_id(s, (uint32_t)n);
        if (n != found && !is_token) {
            return err_set(err, VECMILL_E_MODEL, "%s: %s says id %lld, by the vocabulary it is %u",
                           s->file, where, (long long)n, found);
        }
        if (place == PLACE_PAIR)
            VM_TRY(spec_add_pair(s, PAIR_WORD(PAIR_SPECIAL, type, (uint32_t)n), err));
        else
            VM_TRY(spec_add_special(s, (uint32_t)n, place == PLACE_AFTER, err));
    }
    return VECMILL_OK;
}

struct piece {
    struct json_value id;
    uint32_t type_id;
};

/* One piece of a template: exactly one member, Sequence or SpecialToken, with id and type_id. Types
 * are those of the two segments of a pair; one text is all of type 0. *n_texts: those before this
 * piece. */
static vecmill_status read_piece(const struct json_value *value, const struct json_value *table,
                                 bool is_pair, uint32_t *n_texts, struct spec *s, vecmill_err *err)
{
    const struct json_field fields[] = {JSON_MUST("id", STRING, offsetof(struct piece, id)),
                                        JSON_MUST("type_id", U32, offsetof(struct piece, type_id),
                                                  .most = is_pair ? PAIR_TYPE_MAX : 0)};
    static const char *const texts[] = {"A", "B"};
    struct json_value body = json_get(value, "Sequence");
    const bool is_special = body.kind == JSON_KIND_ABSENT;
    if (is_special) body = json_get(value, "SpecialToken");
    if (json_count(value) != 1 || body.kind != JSON_KIND_OBJECT) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: a piece of the template is neither Sequence nor SpecialToken", s->file);
    }
    struct piece piece = {.type_id = 0};
    VM_TRY(
        spec_read_part(s, &body, "a piece of the template", fields, LENGTH(fields), &piece, err));
    if (is_special) {
        const enum place place = is_pair ? PLACE_PAIR : *n_texts > 0 ? PLACE_AFTER : PLACE_BEFORE;
        return read_special(table, &piece.id, place, piece.type_id, s, err);
    }
    if (*n_texts > is_pair || !json_is(&piece.id, texts[*n_texts]))
        return spec_refuse_value(s, "a further Sequence of the template", &piece.id,
                                 is_pair ? "A, then B" : "one, A", err);
    ++*n_texts;
    return is_pair ? spec_add_pair(s, PAIR_WORD(*n_texts, piece.type_id, 0), err) : VECMILL_OK;
}

/* The pieces of one template. */
static vecmill_status read_pieces(const struct json_value *pieces, const struct json_value *table,
                                  bool is_pair, struct spec *s, vecmill_err *err)
{
    struct json_each each = json_begin(pieces);
    struct json_value none, piece;
    uint32_t n_texts = 0;
    while (json_each(&each, &none, &piece))
        VM_TRY(read_piece(&piece, table, is_pair, &n_texts, s, err));
    if (n_texts == (is_pair ? 2 : 1)) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL, "%s: the template has no Sequence %s", s->file,
                   n_texts == 0 ? "A" : "B");
}

struct processor {
    struct json_value single, pair, special_tokens, cls, sep;
    bool trims, prefix;
};

static vecmill_status read_template(const struct json_value *part, struct spec *s, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("type", UNREAD, 0), JSON_MAY("single", ANY, offsetof(struct processor, single)),
        JSON_MAY("pair", ANY, offsetof(struct processor, pair)),
        JSON_MAY("special_tokens", ANY, offsetof(struct processor, special_tokens))};
    struct processor p = {.single.kind = JSON_KIND_ABSENT};
    VM_TRY(spec_read_part(s, part, "post_processor", fields, LENGTH(fields), &p, err));
    if (p.single.kind != JSON_KIND_ARRAY || p.special_tokens.kind != JSON_KIND_OBJECT) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: post_processor.single is no array or special_tokens no object",
                       s->file);
    }
    VM_TRY(read_pieces(&p.single, &p.special_tokens, false, s, err));
    /* A template for pairs that is not understood does not hinder single texts. */
    s->n_pair = 0;
    if (p.pair.kind != JSON_KIND_ARRAY ||
        read_pieces(&p.pair, &p.special_tokens, true, s, NULL) != VECMILL_OK)
        s->n_pair = 0;
    return VECMILL_OK;
}

/* Member cls or sep of BertProcessing and RobertaProcessing: ["[CLS]", 101]. */
static vecmill_status read_pair(const struct json_value *pair, const char *name, bool after,
                                struct spec *s, vecmill_err *err)
{
    struct json_each each = json_begin(pair);
    struct json_value none, token, id;
    int64_t n;
    uint32_t found;
    if (pair->kind != JSON_KIND_ARRAY || json_count(pair) != 2 ||
        !json_each(&each, &none, &token) || !json_each(&each, &none, &id) ||
        token.kind != JSON_KIND_STRING || !json_i64(&id, &n)) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: post_processor.%s is not an array of token and id", s->file, name);
    }
    VM_TRY(spec_need_value(s, name, &token, &found, err));
    if (n != found) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: post_processor.%s says id %lld, by the vocabulary it is %u", s->file,
                       name, (long long)n, found);
    }
    return spec_add_special(s, found, after, err);
}

/* White space at the ends of a token is left out of its place (processors: process_offsets). */
static void set_trim(struct spec *s, const struct processor *p)
{
    if (p->trims) s->trim = SECTION_TRIMS | (p->prefix ? SECTION_TRIM_PREFIX : 0u);
}

/* BertProcessing and RobertaProcessing, of one text: [cls] text [sep]. The latter has two members more, about
 * offsets, which change no id (processors/roberta.rs). */
static vecmill_status read_cls_and_sep(const struct json_value *part, bool offsets, struct spec *s,
                                       vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("type", UNREAD, 0), JSON_MAY("sep", ANY, offsetof(struct processor, sep)),
        JSON_MAY("cls", ANY, offsetof(struct processor, cls)),
        JSON_MAY("trim_offsets", BOOL, offsetof(struct processor, trims)),
        JSON_MAY("add_prefix_space", BOOL, offsetof(struct processor, prefix))};
    const unsigned n_fields = offsets ? LENGTH(fields) : LENGTH(fields) - 2;
    struct processor p = {.trims = offsets, .prefix = true};
    VM_TRY(spec_read_part(s, part, "post_processor", fields, n_fields, &p, err));
    set_trim(s, &p);
    VM_TRY(read_pair(&p.cls, "cls", false, s, err));
    VM_TRY(read_pair(&p.sep, "sep", true, s, err));
    if (offsets)
        spec_pair_untyped(s, s->specials[0], s->specials[1]);
    else
        spec_pair_typed(s, s->specials[0], s->specials[1]);
    return VECMILL_OK;
}

/* One post-processor. ByteLevel's changes positions only. *n: those that add special tokens. */
static vecmill_status read_processor(const struct json_value *part, const struct json_value *type,
                                     uint32_t *n, struct spec *s, vecmill_err *err)
{
    static const struct json_field byte_level[] = {
        JSON_MAY("type", UNREAD, 0),
        JSON_MAY("add_prefix_space", BOOL, offsetof(struct processor, prefix)),
        JSON_MAY("trim_offsets", BOOL, offsetof(struct processor, trims)),
        JSON_MAY("use_regex", UNREAD, 0)};
    if (json_is(type, "ByteLevel")) {
        struct processor p = {.trims = true, .prefix = true};
        VM_TRY(spec_read_part(s, part, "post_processor", byte_level, LENGTH(byte_level), &p, err));
        set_trim(s, &p);
        return VECMILL_OK;
    }
    if (++*n > 1)
        return err_set(
            err, VECMILL_E_MODEL,
            "%s: post_processor has two parts that add special tokens, understood is one", s->file);
    if (json_is(type, "TemplateProcessing")) return read_template(part, s, err);
    const bool offsets = json_is(type, "RobertaProcessing");
    if (offsets || json_is(type, "BertProcessing")) return read_cls_and_sep(part, offsets, s, err);
    return spec_refuse_value(
        s, "post_processor.type", type,
        "TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel or a "
        "Sequence of these",
        err);
}

static vecmill_status read_post_processor(const struct json_value *part, struct spec *s,
                                          vecmill_err *err)
{
    static const struct json_field fields[] = {JSON_MAY("type", UNREAD, 0),
                                               JSON_MUST("processors", ANY, 0)};
    struct json_value type, list = {.kind = JSON_KIND_ABSENT}, none, each_part;
    uint32_t n = 0;
    spec_pair_alone(s); /* unless a processor has a template */
    VM_TRY(part_type(s, part, "post_processor", &type, err));
    if (type.kind == JSON_KIND_ABSENT) return VECMILL_OK;
    if (!json_is(&type, "Sequence")) return read_processor(part, &type, &n, s, err);
    VM_TRY(spec_read_part(s, part, "post_processor", fields, LENGTH(fields), &list, err));
    if (list.kind != JSON_KIND_ARRAY)
        return err_set(err, VECMILL_E_MODEL, "%s: post_processor.processors is not an array",
                       s->file);
    struct json_each each = json_begin(&list);
    while (json_each(&each, &none, &each_part)) {
        VM_TRY(part_type(s, &each_part, "post_processor.processors[]", &type, err));
        VM_TRY(read_processor(&each_part, &type, &n, s, err));
    }
    return VECMILL_OK;
}

/* The members of the file, and the kind of its model. */
static vecmill_status read_root(const char *json, size_t bytes, struct spec *s, struct root *root,
                                const struct text_model **model, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("version", STRING, offsetof(struct root, version)),
        JSON_MAY("truncation", ANY, offsetof(struct root, truncation)),
        JSON_MAY("padding", ANY, offsetof(struct root, padding)),
        JSON_MAY("added_tokens", ANY, offsetof(struct root, added)),
        JSON_MAY("normalizer", ANY, offsetof(struct root, normalizer)),
        JSON_MAY("pre_tokenizer", ANY, offsetof(struct root, pre_tokenizer)),
        JSON_MAY("post_processor", ANY, offsetof(struct root, post_processor)),
        JSON_MAY("decoder", ANY, offsetof(struct root, decoder)),
        JSON_MAY("model", ANY, offsetof(struct root, model)),
    };
    struct json_value file;
    *root = (struct root){.model.kind = JSON_KIND_ABSENT};
    spec_init(s, "tokenizer.json", spec_tokens_plan(true, bytes));
    s->merges_plan = spec_merges_plan(bytes);
    VM_TRY(json_check(json, bytes, s->file, VECMILL_E_MODEL, &file, err));
    if (file.kind != JSON_KIND_OBJECT)
        return err_set(err, VECMILL_E_MODEL, "%s: the file is not an object", s->file);
    VM_TRY(spec_read_part(s, &file, "the file", fields, LENGTH(fields), root, err));
    s->other_text_bytes = root->added.bytes;
    if (root->model.kind != JSON_KIND_OBJECT)
        return err_set(err, VECMILL_E_MODEL, "%s: model is missing or not an object", s->file);
    return text_model_of(s, &root->model, model, err);
}

vecmill_status spec_model_of_json(const char *json, size_t bytes, struct spec *s,
                                  const struct text_model **model, vecmill_err *err)
{
    struct root root;
    VM_TRY(read_root(json, bytes, s, &root, model, err));
    if (is_fused(&root, *model)) *model = NULL;
    return VECMILL_OK;
}

vecmill_status spec_from_json(const char *json, size_t bytes, struct spec *s, vecmill_err *err)
{
    struct root root;
    const struct text_model *model;
    VM_TRY(read_root(json, bytes, s, &root, &model, err));
    const bool fused = is_fused(&root, model);
    s->unk = UINT32_MAX;
    VM_TRY(model->read(s, &root.model, err));
    if (!fused) s->model = model;
    if (root.version.kind != JSON_KIND_ABSENT && !json_is(&root.version, "1.0"))
        return spec_refuse_value(s, "version", &root.version, "1.0", err);
    if (fused) {
        VM_TRY(read_normalizer(&root.normalizer, s, err));
        VM_TRY(read_pre_tokenizer(&root.pre_tokenizer, s, err));
        VM_TRY(read_decoder(&root.decoder, s, err));
    } else {
        VM_TRY(stage_read(s, &root.normalizer, &root.pre_tokenizer, err));
    }
    VM_TRY(read_truncation(&root.truncation, s, err));
    VM_TRY(read_padding(&root.padding, s, err));
    VM_TRY(read_added(&root.added, bytes, s, err));
    return read_post_processor(&root.post_processor, s, err);
}
