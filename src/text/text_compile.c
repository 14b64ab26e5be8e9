/* text_compile: a tokenizer's files to a section.
 *
 * Memory is the larger of two steps (F: bytes of the file; N: spec_tokens_plan, about F / 9 of
 * tokenizer.json; K: bytes of a struct trie_key, 16):
 *   reading    the file, F; texts of tokens, F at most; tokens, K N; sorting them, K N again; then
 *              finding them for merges, K N; scores or merges, D (text_model_description_most)
 *   compiling  the file is freed: texts F, tokens K N, the section; also branches of a trie that
 *              wait, K N at most (each is of one token or more), then added tokens and their texts
 *              normalized, NORMALIZED_MAX, then tokens by id, K N
 * A model with a description holds it, D, and some of the tokens, K N, while it is compiled: its
 * section has so much less.
 * vocab.txt stays in memory throughout, as the texts of tokens; so do its tokenizer_config.json and
 * the texts from there. */
#include "text_cut.h"
#include "text_model.h"
#include "text_normalize.h"
#include "text_stage.h"
#include "text_staged.h"

#include <errno.h>

#define SECTION_ALIGN 8u

/* Bytes of section for each byte of file, in addition to SECTION_PLAN_BASE for the head, the tries'
 * first nodes and added tokens: 12 bytes for a trie's unit, 8 for a token's offset and size, 1 for
 * each byte of its text. There are about as many units as bytes of tokens, less their common
 * prefixes: for BERT's vocabulary 0.14 for each byte of tokenizer.json (0.28 of vocab.txt), for
 * random tokens of 20 letters 0.57 (0.85). */
#define SECTION_JSON_PLAN  12u
#define SECTION_VOCAB_PLAN 16u
#define SECTION_PLAN_BASE  (128u << 10)

/* Bytes of added tokens' texts in the form in which they are matched */
#define NORMALIZED_MAX (256u << 10)

static size_t section_plan(bool is_json, size_t file_bytes)
{
    const size_t n =
        SECTION_PLAN_BASE + (is_json ? SECTION_JSON_PLAN : SECTION_VOCAB_PLAN) * file_bytes;
    return num_min(n, TEXT_SECTION_MAX);
}

/* What a section has after its head: tries, tables, token texts. */
struct compiler {
    const struct spec *spec;
    struct buf *out;
    size_t start; /* of the section in out */
    uint32_t words[SECTION_WORDS];
    uint32_t vocab_size;
    unsigned char ascii[SECTION_ASCII][2];
    unsigned char first[2][32];
    struct staged *staged; /* NULL: BERT's tokenizer */
    struct trie_key *keys; /* [n_added]: added tokens of one kind */
    struct buf normalized; /* texts of added tokens in the form in which they are matched */
};

/* Begins the next table, aligned. */
static vecmill_status begin_table(struct compiler *c, enum section_word word, vecmill_err *err)
{
    static const char zeros[SECTION_ALIGN];
    size_t at = c->out->bytes - c->start;
    VM_TRY(buf_add(c->out, zeros, num_up(at, SECTION_ALIGN) - at, err));
    c->words[word] = (uint32_t)(c->out->bytes - c->start);
    return VECMILL_OK;
}

static vecmill_status add_pair(struct compiler *c, uint32_t a, uint32_t b, vecmill_err *err)
{
    const uint32_t pair[2] = {a, b};
    return buf_add(c->out, pair, sizeof pair, err);
}

/* The trie of words. A piece that continues a word begins with the prefix: walking the prefix leads
 * to its node, so one trie holds both kinds. */
static vecmill_status add_words(struct compiler *c, vecmill_err *err)
{
    const struct spec *s = c->spec;
    VM_TRY(begin_table(c, SECTION_WORDS_AT, err));
    VM_TRY(trie_build(s->tokens, s->n_tokens, c->out, &c->words[SECTION_WORDS_UNITS], err));
    const struct trie words = {(unsigned char *)c->out->data + c->start +
                                   c->words[SECTION_WORDS_AT],
                               c->words[SECTION_WORDS_UNITS]};
    c->words[SECTION_CONTINUATION] = trie_walk(&words, s->prefix, strlen(s->prefix));
    return VECMILL_OK;
}

/* Appends an added token's text, normalized, to c->normalized. */
static vecmill_status normalize(struct compiler *c, const struct spec_added *a, bool *spaced,
                                vecmill_err *err)
{
    struct norm_source source;
    struct norm_cursor cursor;
    const struct raw_cursor raw = {.previous = NORM_NO_CHAR};
    if (c->staged) {
        char quoted[SPEC_QUOTE_BYTES];
        const char *text;
        size_t bytes;
        if (!staged_normalize(c->staged, a->text, a->bytes, &text, &bytes)) {
            return err_set(
                err, VECMILL_E_MODEL,
                "%s: added token %s grows to more than the %zu bytes of a normalized one",
                c->spec->file, spec_quote(a->text, a->bytes, quoted), bytes);
        }
        return buf_add(&c->normalized, text, bytes, err);
    }
    norm_source_init(&source, a->text, a->bytes, c->spec->flags, NULL);
    norm_begin(&cursor, &raw);
    uint32_t cp;
    while (norm_next(&source, &cursor, &cp)) {
        unsigned char bytes[4];
        *spaced = *spaced || unicode_space(cp);
        VM_TRY(buf_add(&c->normalized, bytes, utf8_put(cp, bytes), err));
    }
    return VECMILL_OK;
}

/* One of the two tries of added tokens. Two texts may be equal after normalization. */
static vecmill_status add_added_trie(struct compiler *c, bool normalized, vecmill_err *err)
{
    const struct spec *s = c->spec;
    char quoted[SPEC_QUOTE_BYTES];
    bool strips = false, spaced = false;
    size_t n = 0;
    buf_clear(&c->normalized);
    for (uint32_t i = 0; i < s->n_added; i++)
        strips = strips || (!c->staged && !s->added[i].normalized &&
                            (s->added[i].lstrip || s->added[i].rstrip));
    for (uint32_t i = 0; i < s->n_added; i++) {
        const struct spec_added *a = &s->added[i];
        if (a->normalized != normalized) continue;
        struct trie_key key = {.text = a->text, .bytes = a->bytes, .value = i};
        size_t before = c->normalized.bytes;
        if (normalized) {
            VM_TRY(normalize(c, a, &spaced, err));
            key.bytes = (uint32_t)(c->normalized.bytes - before);
        }
        spec_quote(a->text, a->bytes, quoted);
        if (key.bytes == 0) {
            return err_set(err, VECMILL_E_MODEL,
                           "%s: nothing is left of added token %s when it is "
                           "normalized",
                           s->file, quoted);
        }
        if (strips && spaced) {
            return err_set(err, VECMILL_E_MODEL,
                           "%s: added token %s holds white space and is normalized while another "
                           "strips white space, which is not understood together",
                           s->file, quoted);
        }
        c->keys[n++] = key;
    }
    size_t at = 0;
    for (size_t i = 0; i < n && normalized; i++) { /* the buffer does not move any more */
        c->keys[i].text = c->normalized.data + at;
        at += c->keys[i].bytes;
    }
    for (size_t i = 0; i < n; i++) {
        unsigned char byte = (unsigned char)c->keys[i].text[0];
        c->first[normalized][byte >> 3] |= (unsigned char)(1u << (byte & 7));
    }
    trie_sort(c->keys, n);
    for (size_t i = 1; i < n; i++) {
        const struct trie_key *a = &c->keys[i - 1], *b = &c->keys[i];
        if (a->bytes != b->bytes || memcmp(a->text, b->text, a->bytes) != 0) continue;
        return err_set(err, VECMILL_E_MODEL,
                       "%s: added tokens %u and %u are both %s when normalized", s->file, a->value,
                       b->value, spec_quote(a->text, a->bytes, quoted));
    }
    VM_TRY(begin_table(c, normalized ? SECTION_NORMALIZED_AT : SECTION_RAW_AT, err));
    if (n == 0) return VECMILL_OK;
    return trie_build(c->keys, n, c->out,
                      &c->words[normalized ? SECTION_NORMALIZED_UNITS : SECTION_RAW_UNITS], err);
}

/* Tokens by id, with holes for unused ids. */
static void order_by_id(const struct compiler *c, struct trie_key *keys)
{
    const struct spec *s = c->spec;
    for (uint32_t id = 0; id < c->vocab_size; id++)
        keys[id] = (struct trie_key){.bytes = SECTION_HOLE};
    for (size_t i = 0; i < s->n_tokens; i++)
        keys[s->tokens[i].value] = s->tokens[i];
    for (uint32_t i = 0; i < s->n_added; i++) {
        const struct spec_added *a = &s->added[i];
        keys[a->id] = (struct trie_key){.text = a->text, .bytes = a->bytes};
    }
}

/* Token texts: a pair for each id, then the bytes. */
static vecmill_status write_texts(struct compiler *c, const struct trie_key *keys, vecmill_err *err)
{
    VM_TRY(begin_table(c, SECTION_TOKENS_AT, err));
    uint32_t at = 0;
    for (uint32_t id = 0; id < c->vocab_size; id++) {
        bool hole = keys[id].bytes == SECTION_HOLE;
        VM_TRY(add_pair(c, hole ? 0 : at, keys[id].bytes, err));
        if (!hole) at += keys[id].bytes;
    }
    VM_TRY(begin_table(c, SECTION_BLOB_AT, err));
    for (uint32_t id = 0; id < c->vocab_size; id++) {
        if (keys[id].bytes == SECTION_HOLE) continue;
        VM_TRY(buf_add(c->out, keys[id].text, keys[id].bytes, err));
    }
    c->words[SECTION_BLOB_BYTES] = at;
    return VECMILL_OK;
}

static vecmill_status add_texts(struct compiler *c, vecmill_err *err)
{
    void *keys;
    VM_TRY(mem_new_array(c->vocab_size, sizeof *c->keys, "the vocabulary by id", &keys, err));
    order_by_id(c, keys);
    const vecmill_status status = write_texts(c, keys, err);
    mem_free(keys);
    return status;
}

/* What each ASCII byte does, computed by the normalizer itself. */
static void fill_ascii(struct compiler *c)
{
    for (unsigned char byte = 0; byte < SECTION_ASCII; byte++) {
        struct norm_source source;
        struct norm_cursor cursor;
        const struct raw_cursor raw = {.previous = NORM_NO_CHAR};
        norm_source_init(&source, &byte, 1, c->spec->flags, NULL);
        norm_begin(&cursor, &raw);
        uint32_t cp = 0;
        enum ascii_class class = ASCII_DROP;
        if (norm_next(&source, &cursor, &cp)) {
            class = unicode_space(cp)         ? ASCII_SPACE
                    : unicode_punctuation(cp) ? ASCII_PUNCTUATION
                                              : ASCII_WORD;
        }
        bool raw_token = c->first[0][byte >> 3] >> (byte & 7) & 1;
        bool normalized_token = cp < SECTION_ASCII && c->first[1][cp >> 3] >> (cp & 7) & 1;
        if (raw_token || (normalized_token && class != ASCII_DROP)) class = ASCII_SLOW;
        c->ascii[byte][0] = (unsigned char)class;
        c->ascii[byte][1] = (unsigned char)cp;
    }
}

/* Writes the head into the room left for it. */
static void write_head(const struct compiler *c)
{
    char *head = c->out->data + c->start;
    const uint32_t lead[3] = {SECTION_MAGIC, SECTION_VERSION, (uint32_t)(c->out->bytes - c->start)};
    memcpy(head, lead, sizeof lead);
    memcpy(head + sizeof lead, c->words, sizeof c->words);
    memcpy(head + SECTION_SPECIALS_AT, c->spec->specials, sizeof c->spec->specials);
    memcpy(head + SECTION_PAIR_AT, c->spec->pair, sizeof c->spec->pair);
    memcpy(head + SECTION_ASCII_AT, c->ascii, sizeof c->ascii);
    memcpy(head + SECTION_FIRST_AT, c->first, sizeof c->first);
}

/* ---- a staged pipeline ---- */

static vecmill_status add_stages(struct compiler *c, vecmill_err *err)
{
    const struct spec *s = c->spec;
    uint32_t words[TEXT_STAGES_MAX][STAGE_WORDS] = {{0}};
    VM_TRY(begin_table(c, SECTION_STAGES_AT, err));
    const size_t at = c->out->bytes;
    VM_TRY(buf_add(c->out, words, s->n_stages * sizeof words[0], err));
    const size_t data = c->out->bytes - c->start;
    if (s->stage_data.bytes > 0)
        VM_TRY(buf_add(c->out, s->stage_data.data, s->stage_data.bytes, err));
    for (uint32_t i = 0; i < s->n_stages; i++) {
        const struct spec_stage *stage = &s->stages[i];
        words[i][STAGE_KIND] = (uint32_t)(stage->kind - STAGE_KINDS);
        words[i][STAGE_FLAGS] = stage->flags;
        for (uint32_t k = 0; k < 2; k++) {
            words[i][STAGE_A_AT + 2 * k] = (uint32_t)(data + stage->blobs[k].at);
            words[i][STAGE_A_BYTES + 2 * k] = (uint32_t)stage->blobs[k].bytes;
        }
    }
    memcpy(c->out->data + at, words, s->n_stages * sizeof words[0]);
    c->words[SECTION_N_STAGES] = s->n_stages;
    c->words[SECTION_N_NORMALIZERS] = s->n_normalizers;
    return VECMILL_OK;
}

/* Whether all added tokens are local, in the text and as they are matched. */
static bool added_tokens_are_local(const struct compiler *c)
{
    for (uint32_t i = 0; i < c->spec->n_added; i++) {
        const struct spec_added *a = &c->spec->added[i];
        const char *text = a->text;
        size_t bytes = a->bytes;
        for (int form = 0; form <= (a->normalized ? 1 : 0); form++) {
            if (form == 1) staged_normalize(c->staged, a->text, a->bytes, &text, &bytes);
            if (!cut_token_is_local((const unsigned char *)text, bytes, a->rstrip, a->single_word))
                return false;
        }
    }
    return true;
}

static vecmill_status add_model(struct compiler *c, vecmill_err *err)
{
    const struct text_model *model = c->spec->model;
    VM_TRY(begin_table(c, SECTION_MODEL_AT, err));
    VM_TRY(model->compile(c->spec, c->out, err));
    while (TEXT_MODELS[c->words[SECTION_MODEL]] != model)
        c->words[SECTION_MODEL]++;
    const unsigned char *table =
        (unsigned char *)c->out->data + c->start + c->words[SECTION_MODEL_AT];
    c->words[SECTION_MODEL_BYTES] =
        (uint32_t)(c->out->bytes - c->start - c->words[SECTION_MODEL_AT]);
    c->words[SECTION_FAMILY] = FAMILY_STAGED;
    c->words[SECTION_TRIM] = c->spec->trim;
    if (added_tokens_are_local(c))
        staged_find_cuts(c->staged, model, table, &c->words[SECTION_CUTS_LOWER]);
    return VECMILL_OK;
}

/* The stages as they will be in the section, for what the compiler runs. */
static void prepare_stages(struct compiler *c, void *scratch)
{
    const struct spec *s = c->spec;
    const unsigned char *data = (const unsigned char *)s->stage_data.data;
    struct stage stages[TEXT_STAGES_MAX];
    for (uint32_t i = 0; i < s->n_stages; i++) {
        const struct spec_stage *from = &s->stages[i];
        stages[i] = (struct stage){.kind = from->kind, .flags = from->flags};
        if (!data) continue;
        stages[i].a = data + from->blobs[0].at;
        stages[i].a_bytes = from->blobs[0].bytes;
        stages[i].b = data + from->blobs[1].at;
        stages[i].b_bytes = from->blobs[1].bytes;
    }
    staged_prepare(c->staged, scratch, stages, s->n_normalizers, s->n_stages);
}

/* ---- all of it ---- */

static vecmill_status add_section(struct compiler *c, vecmill_err *err)
{
    static const char head[SECTION_HEAD_BYTES];
    const struct spec *s = c->spec;
    VM_TRY(buf_add(c->out, head, sizeof head, err));
    VM_TRY(c->staged ? add_stages(c, err) : add_words(c, err));
    VM_TRY(add_added_trie(c, false, err));
    VM_TRY(add_added_trie(c, true, err));
    VM_TRY(begin_table(c, SECTION_ADDED_AT, err));
    for (uint32_t i = 0; i < s->n_added; i++) {
        uint32_t flags = s->added[i].single_word ? ADDED_SINGLE_WORD : 0;
        if (s->added[i].lstrip) flags |= ADDED_LSTRIP;
        if (s->added[i].rstrip) flags |= ADDED_RSTRIP;
        VM_TRY(add_pair(c, s->added[i].id, flags, err));
    }
    if (c->staged) VM_TRY(add_model(c, err));
    VM_TRY(add_texts(c, err));
    if (!c->staged) fill_ascii(c);
    c->words[SECTION_FLAGS] = s->flags;
    c->words[SECTION_VOCAB_SIZE] = c->vocab_size;
    c->words[SECTION_UNK] = s->unk;
    c->words[SECTION_WORD_CHARS] = s->word_chars;
    c->words[SECTION_N_BEFORE] = s->n_before;
    c->words[SECTION_N_AFTER] = s->n_after;
    c->words[SECTION_N_PAIR] = s->n_pair;
    c->words[SECTION_N_ADDED] = s->n_added;
    write_head(c);
    return VECMILL_OK;
}

static vecmill_status compile_spec(const struct spec *s, struct buf *section, vecmill_err *err)
{
    struct compiler c = {.spec = s, .out = section, .start = section->bytes};
    for (size_t i = 0; i < s->n_tokens; i++)
        c.vocab_size = s->tokens[i].value >= c.vocab_size ? s->tokens[i].value + 1 : c.vocab_size;
    for (uint32_t i = 0; i < s->n_added; i++)
        c.vocab_size = s->added[i].id >= c.vocab_size ? s->added[i].id + 1 : c.vocab_size;
    void *keys = NULL, *scratch = NULL, *staged = NULL;
    buf_init(&c.normalized, NORMALIZED_MAX, "NORMALIZED_MAX");
    vecmill_status status = mem_new_array(s->n_added, sizeof *c.keys, "added tokens", &keys, err);
    if (status == VECMILL_OK && s->model)
        status = mem_new(staged_prepare_bytes(), "the tokenizer's stages", &scratch, err);
    if (status == VECMILL_OK && s->model)
        status = mem_new(sizeof *c.staged, "the tokenizer's stages", &staged, err);
    if (status == VECMILL_OK) {
        c.keys = keys;
        c.staged = staged;
        if (staged) prepare_stages(&c, scratch);
        status = add_section(&c, err);
    }
    if (status != VECMILL_OK) section->bytes = c.start;
    mem_free(staged);
    mem_free(scratch);
    mem_free(keys);
    buf_done(&c.normalized);
    return status;
}

/* The section within its plan, whatever its caller's maximum. */
static vecmill_status compile_planned(const struct spec *spec, size_t plan, struct buf *section,
                                      vecmill_err *err)
{
    const size_t most = section->most;
    const char *name = section->name;
    if (plan < most - section->bytes) {
        section->most = section->bytes + plan;
        section->name = "SECTION_PLAN";
    }
    const vecmill_status status = compile_spec(spec, section, err);
    section->most = most;
    section->name = name;
    return status;
}

static vecmill_status compile_files(const struct text_files *files, struct buf *file,
                                    struct buf *section, vecmill_err *err)
{
    struct json_value config = {.kind = JSON_KIND_ABSENT};
    void *memory = NULL;
    VM_TRY(mem_new(sizeof(struct spec), "a tokenizer's description", &memory, err));
    struct spec *spec = memory;
    const bool is_json = files->json != NULL;
    vecmill_status status = VECMILL_OK;
    if (is_json) {
        status = spec_from_json(files->json, files->json_bytes, spec, err);
        if (file) buf_done(file); /* the spec borrows nothing of it */
    } else {
        if (files->config) {
            status = json_check(files->config, files->config_bytes, "tokenizer_config.json",
                                VECMILL_E_MODEL, &config, err);
            if (status == VECMILL_OK && config.kind != JSON_KIND_OBJECT)
                status = err_set(err, VECMILL_E_MODEL, "tokenizer_config.json is not an object");
        }
        if (status == VECMILL_OK)
            status = spec_from_vocab(files->vocab, files->vocab_bytes, &config, spec, err);
    }
    if (status == VECMILL_OK) {
        const size_t bytes = is_json ? files->json_bytes : files->vocab_bytes;
        size_t plan = section_plan(is_json, bytes);
        if (spec->model_description) {
            plan -= text_model_description_most(bytes) +
                    sizeof(struct trie_key) * spec_tokens_plan(is_json, bytes);
        }
        status = compile_planned(spec, plan, section, err);
    }
    spec_done(spec);
    mem_free(memory);
    return status;
}

vecmill_status text_compile_bytes(const struct text_files *files, struct buf *section,
                                  vecmill_err *err)
{
    return compile_files(files, NULL, section, err);
}

/* Reads a file of the folder into b; *is_there: whether there is one. */
static vecmill_status read_file(const char *dir, const char *name, struct buf *b, bool *is_there,
                                vecmill_err *err)
{
    char path[IO_PATH_MAX];
    VM_TRY(io_join(dir, name, path, err));
    *is_there = io_exists(path);
    if (!*is_there) return VECMILL_OK;
    VM_TRY(io_read_file(path, b, VECMILL_E_MODEL, VECMILL_E_MODEL, err));
    return stray_check(b->data, b->bytes, path, VECMILL_E_MODEL, err);
}

/* A folder without a tokenizer that is read. transformers makes tokenizer.json of its older files. The
 * command must be whole in the message, so of a long path the end is shown. */
static vecmill_status refuse_folder(const char *dir, vecmill_err *err)
{
    static const struct {
        const char *name;
        bool is_sentencepiece;
    } older[] = {{"sentencepiece.bpe.model", true},
                 {"spiece.model", true},
                 {"spm.model", true},
                 {"tokenizer.model", true},
                 {"merges.txt", false}};
    enum { SHOWN = 56 };
    for (size_t i = 0; i < sizeof older / sizeof *older; i++) {
        char path[IO_PATH_MAX];
        const size_t bytes = strlen(dir);
        VM_TRY(io_join(dir, older[i].name, path, err));
        if (!io_exists(path)) continue;
        return err_set(err, VECMILL_E_MODEL,
                       "%s%s: %s but no tokenizer.json; run there: python -c \"from transformers "
                       "import AutoTokenizer as A; A.from_pretrained('.').save_pretrained('.')\"%s",
                       bytes > SHOWN ? "..." : "", dir + (bytes > SHOWN ? bytes - SHOWN : 0),
                       older[i].name,
                       older[i].is_sentencepiece ? " (needs sentencepiece, protobuf)" : "");
    }
    return err_set(err, VECMILL_E_MODEL, "%s has neither tokenizer.json nor vocab.txt", dir);
}

vecmill_status text_compile(const char *dir, struct buf *section, vecmill_err *err)
{
    struct text_files files = {0};
    bool has_json, has_vocab = false, has_config = false;
    struct buf text, config;
    buf_init(&text, TEXT_FILE_MAX, "TEXT_FILE_MAX");
    buf_init(&config, TEXT_FILE_MAX, "TEXT_FILE_MAX");
    vecmill_status status = read_file(dir, "tokenizer.json", &text, &has_json, err);
    if (status == VECMILL_OK && !has_json)
        status = read_file(dir, "vocab.txt", &text, &has_vocab, err);
    if (status == VECMILL_OK && has_vocab)
        status = read_file(dir, "tokenizer_config.json", &config, &has_config, err);
    if (status != VECMILL_OK) goto done;
    if (!has_json && !has_vocab) {
        status = refuse_folder(dir, err);
        goto done;
    }
    if (has_json) {
        files.json = text.data;
        files.json_bytes = text.bytes;
    } else {
        files.vocab = text.data;
        files.vocab_bytes = text.bytes;
    }
    if (has_config) {
        files.config = config.data;
        files.config_bytes = config.bytes;
    }
    vecmill_err inner;
    status = compile_files(&files, &text, section, &inner);
    if (status == VECMILL_E_MODEL) /* the message begins with the file's name */
        err_set(err, status, "%s/%s", dir, inner.message);
    else if (status != VECMILL_OK)
        err_set(err, status, "%s: %s", dir, inner.message);
done:
    if (status == VECMILL_E_LIMIT) { /* a file that reaches a maximum is a fault of the model */
        status = VECMILL_E_MODEL;
        if (err) err->status = status;
    }
    buf_done(&config);
    buf_done(&text);
    return status;
}

/* ---- the plan ---- */

/* A file's size; 0 when there is none. */
static vecmill_status file_size(const char *dir, const char *name, size_t *bytes, bool *is_there,
                                vecmill_err *err)
{
    char path[IO_PATH_MAX];
    struct stat st;
    VM_TRY(io_join(dir, name, path, err));
    *is_there = stat(path, &st) == 0;
    *bytes = 0;
    if (!*is_there && errno == ENOENT) return VECMILL_OK;
    if (!*is_there) return err_sys(err, VECMILL_E_MODEL, errno, "%s: cannot be looked at", path);
    if ((uint64_t)st.st_size > TEXT_FILE_MAX) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: holds %lld bytes, over the maximum TEXT_FILE_MAX, %u", path,
                       (long long)st.st_size, TEXT_FILE_MAX);
    }
    *bytes = (size_t)st.st_size;
    return VECMILL_OK;
}

/* In addition to each step: the description, and heap that small blocks leave unused. */
#define BESIDE_BYTES (sizeof(struct spec) + (128u << 10))

vecmill_status text_compile_most(const char *dir, size_t *bytes, vecmill_err *err)
{
    size_t file, config = 0;
    bool is_json, is_there;
    VM_TRY(file_size(dir, "tokenizer.json", &file, &is_json, err));
    if (!is_json) {
        VM_TRY(file_size(dir, "vocab.txt", &file, &is_there, err));
        if (!is_there) return refuse_folder(dir, err);
        VM_TRY(file_size(dir, "tokenizer_config.json", &config, &is_there, err));
    }
    const size_t keys = sizeof(struct trie_key) * spec_tokens_plan(is_json, file);
    const size_t tables =
        keys + sizeof(struct trie_key) * 2 * spec_added_plan(file) + NORMALIZED_MAX;
    const size_t compiling = file + keys + tables + section_plan(is_json, file);
    const size_t reading =
        file + 2 * keys + (is_json ? file + text_model_description_most(file) : 0);
    /* With vocab.txt, the configuration stays as long as its texts. */
    const size_t always =
        BESIDE_BYTES + sizeof(struct spec_added) * spec_added_plan(file) + 2 * config;
    *bytes = always + num_max(reading, compiling);
    return VECMILL_OK;
}

vecmill_status text_scratch_of(const char *dir, size_t *bytes, vecmill_err *err)
{
    struct buf file;
    bool is_there = false;
    void *memory = NULL;
    const struct text_model *model = NULL;
    vecmill_err inner;
    buf_init(&file, TEXT_FILE_MAX, "TEXT_FILE_MAX");
    vecmill_status status = read_file(dir, "tokenizer.json", &file, &is_there, err);
    if (status == VECMILL_OK && is_there)
        status = mem_new(sizeof(struct spec), "a tokenizer's description", &memory, err);
    if (status == VECMILL_OK && is_there) {
        status = spec_model_of_json(file.data, file.bytes, memory, &model, &inner);
        if (status != VECMILL_OK) err_set(err, status, "%s/%s", dir, inner.message);
        spec_done(memory);
    }
    struct text staged = {.private_ = {[SECTION_FAMILY] = FAMILY_STAGED}};
    if (model) {
        while (TEXT_MODELS[staged.private_[SECTION_MODEL]] != model)
            staged.private_[SECTION_MODEL]++;
        staged.private_[SECTION_WORD_MOST] = staged_word_most(model);
    }
    if (status == VECMILL_OK) *bytes = model ? text_scratch_bytes(&staged) : 0;
    mem_free(memory);
    buf_done(&file);
    return status;
}
