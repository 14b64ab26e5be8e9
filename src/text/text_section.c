/* text_section: opens a compiled tokenizer, trusting none of its bytes. */
#include "text_section.h"

#include "text_model.h"
#include "text_stage.h"
#include "text_staged.h"

_Static_assert(SECTION_WORDS < sizeof(((struct text *)0)->private_) / sizeof(uint32_t),
               "struct text has room for the section's words");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "sections are little-endian");

/* Fails unless n records of `size` bytes lie inside the section at `at`. */
static vecmill_status check_range(const struct text *t, const char *what, uint32_t at, uint32_t n,
                                  uint32_t size, vecmill_err *err)
{
    uint64_t need = (uint64_t)n * size;
    if (at < SECTION_HEAD_BYTES || at > t->bytes || need > t->bytes - at) {
        return err_set(err, VECMILL_E_MODEL,
                       "tokenizer section: %s at %u need %llu bytes, the section has %zu", what, at,
                       (unsigned long long)need, t->bytes);
    }
    return VECMILL_OK;
}

static vecmill_status check_trie(const struct text *t, const char *what, uint32_t at, uint32_t n,
                                 uint32_t n_values, vecmill_err *err)
{
    if (n == 0) return VECMILL_OK;
    VM_TRY(check_range(t, what, at, n, TRIE_UNIT_BYTES, err));
    const struct trie trie = {t->section + at, n};
    if (!trie_check(&trie, n_values)) {
        return err_set(err, VECMILL_E_MODEL,
                       "tokenizer section: %s of %u units point outside, or past value %u", what, n,
                       n_values);
    }
    return VECMILL_OK;
}

/* The template for pairs has both texts once, the first one first. */
static vecmill_status check_pair(const struct text *t, uint32_t n, uint32_t vocab, vecmill_err *err)
{
    uint32_t n_texts = 0;
    for (uint32_t i = 0; i < num_min(n, TEXT_PAIR_PIECES_MAX); i++) {
        const uint32_t piece = section_u32(t->section + SECTION_PAIR_AT + (size_t)4 * i);
        const uint32_t kind = PAIR_WORD_KIND(piece);
        n_texts += kind != PAIR_SPECIAL;
        if (PAIR_WORD_TYPE(piece) > PAIR_TYPE_MAX ||
            (kind == PAIR_SPECIAL ? PAIR_WORD_ID(piece) >= vocab : kind != n_texts)) {
            return err_set(err, VECMILL_E_MODEL,
                           "tokenizer section: piece %u of the template for pairs is %08x, of %u "
                           "tokens",
                           i, piece, vocab);
        }
    }
    if (n > TEXT_PAIR_PIECES_MAX || (n > 0 && n_texts != PAIR_SECOND)) {
        return err_set(err, VECMILL_E_MODEL,
                       "tokenizer section: the template for pairs has %u pieces and %u texts", n,
                       n_texts);
    }
    return VECMILL_OK;
}

/* Checks the numbers of the head that are not offsets. */
static vecmill_status check_numbers(const struct text *t, const uint32_t *w, vecmill_err *err)
{
    uint32_t vocab = w[SECTION_VOCAB_SIZE];
    if (w[SECTION_FLAGS] > NORM_ALL || vocab == 0 || vocab > TEXT_VOCAB_MAX ||
        (w[SECTION_UNK] >= vocab &&
         (w[SECTION_UNK] != UINT32_MAX || w[SECTION_FAMILY] == FAMILY_FUSED)) ||
        w[SECTION_WORD_CHARS] > TEXT_WORD_CHARS_MAX || w[SECTION_N_ADDED] > TEXT_ADDED_MAX ||
        w[SECTION_N_BEFORE] > TEXT_SPECIALS_MAX ||
        w[SECTION_N_AFTER] > TEXT_SPECIALS_MAX - w[SECTION_N_BEFORE]) {
        return err_set(err, VECMILL_E_MODEL,
                       "tokenizer section: a number is out of range (flags %u, %u tokens, unknown "
                       "%u, %u characters, %u added, %u and %u special)",
                       w[SECTION_FLAGS], vocab, w[SECTION_UNK], w[SECTION_WORD_CHARS],
                       w[SECTION_N_ADDED], w[SECTION_N_BEFORE], w[SECTION_N_AFTER]);
    }
    for (uint32_t i = 0; i < w[SECTION_N_BEFORE] + w[SECTION_N_AFTER]; i++) {
        uint32_t id = section_u32(t->section + SECTION_SPECIALS_AT + (size_t)4 * i);
        if (id >= vocab) {
            return err_set(err, VECMILL_E_MODEL,
                           "tokenizer section: special token %u has id %u of %u", i, id, vocab);
        }
    }
    VM_TRY(check_pair(t, w[SECTION_N_PAIR], vocab, err));
    for (uint32_t i = 0; i < SECTION_ASCII; i++) {
        const unsigned char *pair = t->section + SECTION_ASCII_AT + (size_t)2 * i;
        if (pair[0] >= ASCII_LAST || pair[1] >= SECTION_ASCII) {
            return err_set(err, VECMILL_E_MODEL,
                           "tokenizer section: ASCII byte %u has class %u and becomes %u", i,
                           pair[0], pair[1]);
        }
    }
    return VECMILL_OK;
}

/* Checks the tables of added tokens and of token texts. */
static vecmill_status check_tables(const struct text *t, const uint32_t *w, vecmill_err *err)
{
    uint32_t vocab = w[SECTION_VOCAB_SIZE];
    VM_TRY(check_range(t, "added tokens", w[SECTION_ADDED_AT], w[SECTION_N_ADDED], 8, err));
    for (uint32_t i = 0; i < w[SECTION_N_ADDED]; i++) {
        const unsigned char *pair = t->section + w[SECTION_ADDED_AT] + (size_t)8 * i;
        if (section_u32(pair) >= vocab || section_u32(pair + 4) > ADDED_ALL) {
            return err_set(err, VECMILL_E_MODEL,
                           "tokenizer section: added token %u has id %u of %u, flags %u", i,
                           section_u32(pair), vocab, section_u32(pair + 4));
        }
    }
    VM_TRY(check_range(t, "token texts", w[SECTION_BLOB_AT], w[SECTION_BLOB_BYTES], 1, err));
    VM_TRY(check_range(t, "tokens", w[SECTION_TOKENS_AT], vocab, 8, err));
    for (uint32_t id = 0; id < vocab; id++) {
        const unsigned char *pair = t->section + w[SECTION_TOKENS_AT] + (size_t)8 * id;
        uint32_t at = section_u32(pair), bytes = section_u32(pair + 4);
        if (bytes == SECTION_HOLE) continue;
        if (at > w[SECTION_BLOB_BYTES] || bytes > w[SECTION_BLOB_BYTES] - at) {
            return err_set(err, VECMILL_E_MODEL,
                           "tokenizer section: token %u has %u bytes at %u of %u", id, bytes, at,
                           w[SECTION_BLOB_BYTES]);
        }
    }
    return VECMILL_OK;
}

static void stage_of(const struct text *t, uint32_t i, struct stage *stage)
{
    const unsigned char *w =
        t->section + t->private_[SECTION_STAGES_AT] + (size_t)i * STAGE_WORDS * 4;
    *stage = (struct stage){
        .kind = &STAGE_KINDS[section_u32(w + (size_t)4 * STAGE_KIND)],
        .flags = section_u32(w + (size_t)4 * STAGE_FLAGS),
        .a = t->section + section_u32(w + (size_t)4 * STAGE_A_AT),
        .a_bytes = section_u32(w + (size_t)4 * STAGE_A_BYTES),
        .b = t->section + section_u32(w + (size_t)4 * STAGE_B_AT),
        .b_bytes = section_u32(w + (size_t)4 * STAGE_B_BYTES),
    };
}

/* Checks the stages and the model of a staged pipeline. */
static vecmill_status check_staged(struct text *t, uint32_t *w, vecmill_err *err)
{
    uint32_t n_models = 0;
    while (TEXT_MODELS[n_models])
        n_models++;
    if (w[SECTION_MODEL] >= n_models || w[SECTION_N_STAGES] > TEXT_STAGES_MAX ||
        w[SECTION_N_NORMALIZERS] > w[SECTION_N_STAGES]) {
        return err_set(err, VECMILL_E_MODEL,
                       "tokenizer section: model %u of %u, %u normalizers of %u stages",
                       w[SECTION_MODEL], n_models, w[SECTION_N_NORMALIZERS], w[SECTION_N_STAGES]);
    }
    VM_TRY(
        check_range(t, "stages", w[SECTION_STAGES_AT], w[SECTION_N_STAGES], STAGE_WORDS * 4, err));
    for (uint32_t i = 0; i < w[SECTION_N_STAGES]; i++) {
        const unsigned char *at = t->section + w[SECTION_STAGES_AT] + (size_t)i * STAGE_WORDS * 4;
        const enum stage_phase phase =
            i < w[SECTION_N_NORMALIZERS] ? STAGE_NORMALIZER : STAGE_PRE_TOKENIZER;
        const uint32_t kind = section_u32(at + (size_t)4 * STAGE_KIND);
        struct stage stage;
        VM_TRY(check_range(t, "a stage", section_u32(at + (size_t)4 * STAGE_A_AT),
                           section_u32(at + (size_t)4 * STAGE_A_BYTES), 1, err));
        VM_TRY(check_range(t, "a stage", section_u32(at + (size_t)4 * STAGE_B_AT),
                           section_u32(at + (size_t)4 * STAGE_B_BYTES), 1, err));
        if (kind < STAGE_N_KINDS) stage_of(t, i, &stage);
        if (kind >= STAGE_N_KINDS || stage.kind->phase != phase || !stage.kind->check(&stage)) {
            return err_set(err, VECMILL_E_MODEL,
                           "tokenizer section: stage %u is of kind %u of %u, or is not valid", i,
                           kind, STAGE_N_KINDS);
        }
    }
    VM_TRY(check_range(t, "the model", w[SECTION_MODEL_AT], w[SECTION_MODEL_BYTES], 1, err));
    const struct text_model *model = TEXT_MODELS[w[SECTION_MODEL]];
    VM_TRY(model->check(t->section + w[SECTION_MODEL_AT], w[SECTION_MODEL_BYTES],
                        w[SECTION_VOCAB_SIZE], err));
    w[SECTION_WORD_MOST] = staged_word_most(model);
    return VECMILL_OK;
}

vecmill_status text_open(const void *section, size_t bytes, struct text *text, vecmill_err *err)
{
    struct cur c;
    cur_init(&c, section, bytes);
    uint32_t magic = cur_u32(&c), version = cur_u32(&c), whole = cur_u32(&c);
    if (bytes < SECTION_HEAD_BYTES || magic != SECTION_MAGIC) {
        return err_set(err, VECMILL_E_MODEL,
                       "tokenizer section: %zu bytes do not begin with a head of %u", bytes,
                       SECTION_HEAD_BYTES);
    }
    if (version != SECTION_VERSION) {
        return err_set(err, VECMILL_E_MODEL, "tokenizer section: version %u, this program reads %u",
                       version, SECTION_VERSION);
    }
    if (whole != bytes) {
        return err_set(err, VECMILL_E_MODEL, "tokenizer section: %zu bytes where it says %u", bytes,
                       whole);
    }
    struct text t = {.section = section, .bytes = bytes};
    uint32_t *w = t.private_;
    for (uint32_t i = 0; i < SECTION_WORDS; i++)
        w[i] = cur_u32(&c);

    VM_TRY(check_numbers(&t, w, err));
    VM_TRY(check_tables(&t, w, err));
    uint32_t n_words = w[SECTION_WORDS_UNITS], n_added = w[SECTION_N_ADDED];
    VM_TRY(check_trie(&t, "words", w[SECTION_WORDS_AT], n_words, w[SECTION_VOCAB_SIZE], err));
    VM_TRY(check_trie(&t, "added tokens on raw text", w[SECTION_RAW_AT], w[SECTION_RAW_UNITS],
                      n_added, err));
    VM_TRY(check_trie(&t, "added tokens on normalized text", w[SECTION_NORMALIZED_AT],
                      w[SECTION_NORMALIZED_UNITS], n_added, err));
    uint32_t continuation = w[SECTION_CONTINUATION];
    if (w[SECTION_FAMILY] > FAMILY_STAGED)
        return err_set(err, VECMILL_E_MODEL, "tokenizer section: family %u of %u",
                       w[SECTION_FAMILY], FAMILY_STAGED + 1u);
    if (w[SECTION_FAMILY] == FAMILY_STAGED) {
        VM_TRY(check_staged(&t, w, err));
    } else if (n_words == 0 || (continuation != TRIE_NONE && continuation >= n_words)) {
        return err_set(err, VECMILL_E_MODEL, "tokenizer section: words continue at unit %u of %u",
                       continuation, n_words);
    }
    t.vocab_size = w[SECTION_VOCAB_SIZE];
    t.n_specials = w[SECTION_N_BEFORE] + w[SECTION_N_AFTER];
    t.n_before = w[SECTION_N_BEFORE];
    t.unknown = (int32_t)w[SECTION_UNK];
    t.takes_pairs = w[SECTION_N_PAIR] > 0;
    t.n_pair_specials = t.takes_pairs ? w[SECTION_N_PAIR] - PAIR_SECOND : 0;
    *text = t;
    return VECMILL_OK;
}

void section_view(const struct text *text, struct section_view *view)
{
    const unsigned char *s = text->section;
    const uint32_t *w = text->private_;
    const unsigned char *added = s + w[SECTION_ADDED_AT];
    *view = (struct section_view){
        .flags = w[SECTION_FLAGS],
        .unk = w[SECTION_UNK],
        .word_chars = w[SECTION_WORD_CHARS],
        .n_before = w[SECTION_N_BEFORE],
        .n_after = w[SECTION_N_AFTER],
        .continuation = w[SECTION_CONTINUATION],
        .words = {s + w[SECTION_WORDS_AT], w[SECTION_WORDS_UNITS]},
        .raw = {{s + w[SECTION_RAW_AT], w[SECTION_RAW_UNITS]}, s + SECTION_FIRST_AT, added},
        .normalized = {{s + w[SECTION_NORMALIZED_AT], w[SECTION_NORMALIZED_UNITS]},
                       s + SECTION_FIRST_AT + 32,
                       added},
        .specials = s + SECTION_SPECIALS_AT,
        .ascii = s + SECTION_ASCII_AT,
        .n_normalizers = w[SECTION_N_NORMALIZERS],
        .n_stages = w[SECTION_N_STAGES],
        .cuts = {w[SECTION_CUTS_LOWER], w[SECTION_CUTS_UPPER], w[SECTION_CUTS_MORE]},
        .trim = w[SECTION_TRIM],
        .model = s + w[SECTION_MODEL_AT],
    };
}

void section_stages(const struct text *text, struct stage *stages)
{
    for (uint32_t i = 0; i < text->private_[SECTION_N_STAGES]; i++)
        stage_of(text, i, &stages[i]);
}

const char *text_token(const struct text *text, int32_t id, size_t *bytes)
{
    if (id < 0 || (uint32_t)id >= text->vocab_size) return NULL;
    const uint32_t *w = text->private_;
    const unsigned char *pair = text->section + w[SECTION_TOKENS_AT] + (size_t)8 * (uint32_t)id;
    uint32_t at = section_u32(pair), n = section_u32(pair + 4);
    if (n == SECTION_HOLE) return NULL;
    *bytes = n;
    return (const char *)text->section + w[SECTION_BLOB_AT] + at;
}
