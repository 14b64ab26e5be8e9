/* text_spec: what both readers need, and the rules for every tokenizer. */
#include "text_spec.h"

#include <assert.h>
#include <stdlib.h>

#define QUOTED_BYTES 24u /* of a token that a message shows; quoting makes one at most six */

void spec_init(struct spec *s, const char *file, uint32_t tokens_plan)
{
    memset(s, 0, sizeof *s);
    s->file = file;
    s->tokens_plan = tokens_plan;
    buf_init(&s->stage_data, TEXT_FILE_MAX, "TEXT_FILE_MAX");
}

vecmill_status spec_reserve(struct spec *s, size_t n, size_t text_bytes, vecmill_err *err)
{
    void *tokens = NULL, *texts = NULL;
    text_bytes += s->other_text_bytes;
    if (n > TEXT_VOCAB_MAX) {
        return err_set(err, VECMILL_E_MODEL, "%s: %zu tokens, the most is TEXT_VOCAB_MAX, %u",
                       s->file, n, TEXT_VOCAB_MAX);
    }
    if (n > s->tokens_plan) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: %zu tokens, the most that its size allows is SPEC_TOKENS_PLAN, %u",
                       s->file, n, s->tokens_plan);
    }
    VM_TRY(mem_new_array(n, sizeof *s->tokens, "the vocabulary", &tokens, err));
    s->tokens = tokens;
    VM_TRY(mem_new(text_bytes, "the tokens' texts", &texts, err));
    s->texts = texts;
    s->texts_left = text_bytes;
    s->texts_end = texts;
    return VECMILL_OK;
}

void spec_done(struct spec *s)
{
    mem_free(s->tokens);
    mem_free(s->texts);
    mem_free(s->added);
    mem_free(s->model_description);
    buf_done(&s->stage_data);
    s->added = NULL;
    s->model_description = NULL;
    s->tokens = NULL;
    s->texts = NULL;
}

vecmill_status spec_reserve_added(struct spec *s, size_t n, size_t file_bytes, vecmill_err *err)
{
    const uint32_t most = spec_added_plan(file_bytes);
    void *added = NULL;
    if (n > most) {
        return err_set(err, VECMILL_E_MODEL, "%s: %zu added tokens, the most is %s, %u", s->file, n,
                       most < TEXT_ADDED_MAX ? "SPEC_ADDED_PLAN of its size" : "TEXT_ADDED_MAX",
                       most);
    }
    VM_TRY(mem_new_array(n, sizeof *s->added, "the added tokens", &added, err));
    s->added = added;
    s->added_room = (uint32_t)n;
    return VECMILL_OK;
}

const char *spec_keep_text(struct spec *s, const struct json_value *string, size_t *bytes)
{
    char *text = s->texts_end;
    uint64_t replaced = 0;
    assert(string->bytes <= s->texts_left);
    *bytes = json_decode(string, text, &replaced);
    text[*bytes] = '\0';
    s->texts_end += *bytes + 1;
    s->texts_left -= *bytes + 1;
    return text;
}

vecmill_status spec_read_bool(const char *file, const struct json_value *object, const char *key,
                              bool *out, vecmill_err *err)
{
    const struct json_field field = JSON_MAY(key, BOOL, 0);
    const struct json_reading reading = {.name = file, .failure = VECMILL_E_MODEL, .target = out};
    return json_fields(object, &field, 1, &reading, err);
}

static vecmill_status refuse_member(const struct json_reading *reading,
                                    const struct json_value *key, const struct json_value *value,
                                    vecmill_err *err)
{
    const char *where = reading->context;
    char quoted[SPEC_QUOTE_BYTES];
    (void)value;
    return err_set(err, VECMILL_E_MODEL, "%s: %s has a member %s, which is not understood",
                   reading->name, where, spec_quote_value(key, quoted));
}

vecmill_status spec_read_part(const struct spec *s, const struct json_value *object,
                              const char *where, const struct json_field *fields, size_t n,
                              void *target, vecmill_err *err)
{
    const struct json_reading reading = {.name = s->file,
                                         .failure = VECMILL_E_MODEL,
                                         .target = target,
                                         .other = refuse_member,
                                         .context = (void *)where};
    return json_fields(object, fields, n, &reading, err);
}

vecmill_status spec_refuse_value(const struct spec *s, const char *where,
                                 const struct json_value *value, const char *known,
                                 vecmill_err *err)
{
    char quoted[SPEC_QUOTE_BYTES];
    return err_set(err, VECMILL_E_MODEL, "%s: %s is %s, understood is %s", s->file, where,
                   spec_quote_value(value, quoted), known);
}

const char *spec_quote(const char *text, size_t bytes, char out[static SPEC_QUOTE_BYTES])
{
    size_t n = bytes < QUOTED_BYTES ? bytes : QUOTED_BYTES;
    while (n < bytes && n && ((unsigned char)text[n] & 0xC0) == 0x80)
        n--;
    size_t written = json_quote(text, n, out);
    out[written] = '\0';
    return out;
}

const char *spec_quote_value(const struct json_value *value, char out[static SPEC_QUOTE_BYTES])
{
    char text[2 * QUOTED_BYTES];
    json_show(value, text, sizeof text);
    return spec_quote(text, strlen(text), out);
}

vecmill_status spec_add_token(struct spec *s, const char *text, size_t bytes, int64_t id,
                              vecmill_err *err)
{
    char quoted[SPEC_QUOTE_BYTES];
    if (bytes > TEXT_TOKEN_BYTES_MAX) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: token %s has %zu bytes, the most is TEXT_TOKEN_BYTES_MAX, %u", s->file,
                       spec_quote(text, bytes, quoted), bytes, TEXT_TOKEN_BYTES_MAX);
    }
    if (id < 0 || id >= TEXT_VOCAB_MAX) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: token %s has id %lld, the ids are 0 to TEXT_VOCAB_MAX - 1, %u", s->file,
                       spec_quote(text, bytes, quoted), (long long)id, TEXT_VOCAB_MAX - 1);
    }
    if (id >= s->tokens_plan) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: token %s has id %lld, the most that the file's size allows is "
                       "SPEC_TOKENS_PLAN - 1, %u",
                       s->file, spec_quote(text, bytes, quoted), (long long)id, s->tokens_plan - 1);
    }
    s->tokens[s->n_tokens++] =
        (struct trie_key){.text = text, .bytes = (uint32_t)bytes, .value = (uint32_t)id};
    return VECMILL_OK;
}

vecmill_status spec_read_vocab(struct spec *s, const struct json_value *vocab, size_t text_bytes,
                               vecmill_err *err)
{
    struct json_each each = json_begin(vocab);
    struct json_value key, value;
    size_t n = 0;
    if (vocab->kind != JSON_KIND_OBJECT)
        return err_set(err, VECMILL_E_MODEL, "%s: model.vocab is missing or not an object",
                       s->file);
    for (; json_each(&each, &key, &value); n++)
        text_bytes += key.bytes;
    VM_TRY(spec_reserve(s, n, text_bytes, err));
    each = json_begin(vocab);
    while (json_each(&each, &key, &value)) {
        int64_t id;
        size_t bytes;
        const char *text = spec_keep_text(s, &key, &bytes);
        if (!json_i64(&value, &id)) {
            char quoted[SPEC_QUOTE_BYTES];
            return err_set(err, VECMILL_E_MODEL, "%s: the id of token %s is not an integer",
                           s->file, spec_quote(text, bytes, quoted));
        }
        VM_TRY(spec_add_token(s, text, bytes, id, err));
    }
    return spec_index(s, err);
}

static int compare_ids(const void *a, const void *b)
{
    const struct trie_key *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

vecmill_status spec_index(struct spec *s, vecmill_err *err)
{
    char one[SPEC_QUOTE_BYTES], two[SPEC_QUOTE_BYTES];
    if (s->n_tokens == 0)
        return err_set(err, VECMILL_E_MODEL, "%s: the vocabulary is empty", s->file);
    qsort(s->tokens, s->n_tokens, sizeof *s->tokens, compare_ids);
    for (size_t i = 1; i < s->n_tokens; i++) {
        const struct trie_key *a = &s->tokens[i - 1], *b = &s->tokens[i];
        if (a->value == b->value) {
            return err_set(err, VECMILL_E_MODEL, "%s: tokens %s and %s both have id %u", s->file,
                           spec_quote(a->text, a->bytes, one), spec_quote(b->text, b->bytes, two),
                           a->value);
        }
    }
    memset(s->taken, 0, sizeof s->taken);
    for (size_t i = 0; i < s->n_tokens; i++) {
        const size_t after = s->tokens[i].value - s->n_tokens;
        if (after < TEXT_ADDED_MAX) s->taken[after / 64] |= UINT64_C(1) << after % 64;
    }
    trie_sort(s->tokens, s->n_tokens);
    for (size_t i = 1; i < s->n_tokens; i++) {
        const struct trie_key *a = &s->tokens[i - 1], *b = &s->tokens[i];
        if (a->bytes == b->bytes && memcmp(a->text, b->text, a->bytes) == 0) {
            return err_set(err, VECMILL_E_MODEL, "%s: token %s is there twice, with ids %u and %u",
                           s->file, spec_quote(a->text, a->bytes, one), a->value, b->value);
        }
    }
    return VECMILL_OK;
}

bool spec_find_token(const struct spec *s, const char *text, size_t bytes, uint32_t *id)
{
    size_t low = 0, high = s->n_tokens;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct trie_key *k = &s->tokens[middle];
        int order = memcmp(k->text, text, k->bytes < bytes ? k->bytes : bytes);
        if (order == 0) order = (k->bytes > bytes) - (k->bytes < bytes);
        if (order == 0) {
            *id = k->value;
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

bool spec_find(const struct spec *s, const char *text, size_t bytes, uint32_t *id)
{
    for (uint32_t i = 0; i < s->n_added; i++) {
        const struct spec_added *a = &s->added[i];
        if (a->bytes == bytes && memcmp(a->text, text, bytes) == 0) {
            *id = a->id;
            return true;
        }
    }
    return spec_find_token(s, text, bytes, id);
}

bool spec_has_id(const struct spec *s, uint32_t id)
{
    for (uint32_t i = 0; i < s->n_added; i++) {
        if (s->added[i].id == id) return true;
    }
    for (size_t i = 0; i < s->n_tokens; i++) {
        if (s->tokens[i].value == id) return true;
    }
    return false;
}

vecmill_status spec_need(const struct spec *s, const char *what, const char *text, size_t bytes,
                         uint32_t *id, vecmill_err *err)
{
    char quoted[SPEC_QUOTE_BYTES];
    if (spec_find(s, text, bytes, id)) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL, "%s: %s is %s, which is not among the %zu tokens", s->file,
                   what, spec_quote(text, bytes, quoted), s->n_tokens);
}

vecmill_status spec_need_value(const struct spec *s, const char *what,
                               const struct json_value *token, uint32_t *id, vecmill_err *err)
{
    char text[6 * TEXT_TOKEN_BYTES_MAX]; /* \u0041 is the longest form of one byte */
    uint64_t replaced = 0;
    if (token->bytes - 2 <= sizeof text)
        return spec_need(s, what, text, json_decode(token, text, &replaced), id, err);
    json_show(token, text, sizeof text);
    return spec_need(s, what, text, strlen(text), id, err);
}

vecmill_status spec_add_added(struct spec *s, const struct spec_added *added, int64_t claimed,
                              vecmill_err *err)
{
    char quoted[SPEC_QUOTE_BYTES];
    spec_quote(added->text, added->bytes, quoted);
    if (added->bytes == 0 || added->bytes > TEXT_TOKEN_BYTES_MAX) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: added token %s has %u bytes, allowed are 1 to TEXT_TOKEN_BYTES_MAX, %u",
                       s->file, quoted, added->bytes, TEXT_TOKEN_BYTES_MAX);
    }
    assert(s->n_added < s->added_room);
    for (uint32_t i = 0; i < s->n_added; i++) {
        const struct spec_added *a = &s->added[i];
        if (a->bytes == added->bytes && memcmp(a->text, added->text, a->bytes) == 0)
            return err_set(err, VECMILL_E_MODEL, "%s: added token %s is there twice", s->file,
                           quoted);
    }
    uint32_t id;
    if (!spec_find(s, added->text, added->bytes, &id)) {
        const uint32_t i = s->n_outside++;
        id = (uint32_t)s->n_tokens + i;
        if (s->taken[i / 64] >> i % 64 & 1) {
            return err_set(err, VECMILL_E_MODEL,
                           "%s: added token %s is not in the vocabulary, and id %u, its number of "
                           "tokens, is taken",
                           s->file, quoted, id);
        }
    }
    if (claimed >= 0 && claimed != id) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: added token %s says id %lld, by the vocabulary it is %u", s->file,
                       quoted, (long long)claimed, id);
    }
    if (id >= TEXT_VOCAB_MAX) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: added token %s has id %u, the most is TEXT_VOCAB_MAX - 1, %u", s->file,
                       quoted, id, TEXT_VOCAB_MAX - 1);
    }
    s->added[s->n_added] = *added;
    s->added[s->n_added].id = id;
    s->n_added++;
    return VECMILL_OK;
}

vecmill_status spec_add_special(struct spec *s, uint32_t id, bool after, vecmill_err *err)
{
    uint32_t n = s->n_before + s->n_after;
    if (n == TEXT_SPECIALS_MAX) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: the template has more than TEXT_SPECIALS_MAX, %u, special tokens",
                       s->file, TEXT_SPECIALS_MAX);
    }
    s->specials[n] = id;
    if (after)
        s->n_after++;
    else
        s->n_before++;
    return VECMILL_OK;
}

vecmill_status spec_add_pair(struct spec *s, uint32_t piece, vecmill_err *err)
{
    if (s->n_pair == TEXT_PAIR_PIECES_MAX) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: the template for pairs has more than TEXT_PAIR_PIECES_MAX, %u, pieces",
                       s->file, TEXT_PAIR_PIECES_MAX);
    }
    s->pair[s->n_pair++] = piece;
    return VECMILL_OK;
}

static void set_pair(struct spec *s, const uint32_t *pieces, uint32_t n)
{
    memcpy(s->pair, pieces, n * sizeof *pieces);
    s->n_pair = n;
}

void spec_pair_typed(struct spec *s, uint32_t cls, uint32_t sep)
{
    const uint32_t pieces[] = {PAIR_WORD(PAIR_SPECIAL, 0, cls), PAIR_WORD(PAIR_FIRST, 0, 0),
                               PAIR_WORD(PAIR_SPECIAL, 0, sep), PAIR_WORD(PAIR_SECOND, 1, 0),
                               PAIR_WORD(PAIR_SPECIAL, 1, sep)};
    set_pair(s, pieces, sizeof pieces / sizeof *pieces);
}

void spec_pair_untyped(struct spec *s, uint32_t cls, uint32_t sep)
{
    const uint32_t pieces[] = {PAIR_WORD(PAIR_SPECIAL, 0, cls), PAIR_WORD(PAIR_FIRST, 0, 0),
                               PAIR_WORD(PAIR_SPECIAL, 0, sep), PAIR_WORD(PAIR_SPECIAL, 0, sep),
                               PAIR_WORD(PAIR_SECOND, 0, 0),    PAIR_WORD(PAIR_SPECIAL, 0, sep)};
    set_pair(s, pieces, sizeof pieces / sizeof *pieces);
}

void spec_pair_alone(struct spec *s)
{
    const uint32_t pieces[] = {PAIR_WORD(PAIR_FIRST, 0, 0), PAIR_WORD(PAIR_SECOND, 1, 0)};
    set_pair(s, pieces, sizeof pieces / sizeof *pieces);
}
