/* model_wordpiece: WordPiece. The longest token that begins a word, then repeatedly the longest of
 * prefix + rest; a word that has no such pieces, or too many characters, is the unknown token
 * (tokenizers 0.23.3, models/wordpiece).
 *
 * A pipeline of BertNormalizer and BertPreTokenizer has its own path, text_encode.c; this table is
 * for the others. */
#include "model_table.h"

#include <stddef.h>

enum {
    WORDS_AT, /* all tokens; pieces that continue a word are under the node of the prefix */
    WORDS_UNITS,
    CONTINUATION, /* that node, or TRIE_NONE */
    UNK,
    WORD_CHARS, /* longer words are unknown */
    N_WORDS
};

struct file {
    struct json_value unk, prefix, vocab;
    uint32_t word_chars;
};

static vecmill_status read(struct spec *s, const struct json_value *model, vecmill_err *err)
{
    static const struct json_field fields[] = {
        JSON_MAY("type", UNREAD, 0),
        JSON_MUST("unk_token", STRING, offsetof(struct file, unk)),
        JSON_MUST("continuing_subword_prefix", STRING, offsetof(struct file, prefix)),
        JSON_MUST("max_input_chars_per_word", U32, offsetof(struct file, word_chars),
                  .most = TEXT_WORD_CHARS_MAX),
        JSON_MAY("vocab", ANY, offsetof(struct file, vocab)),
    };
    struct file file = {.vocab.kind = JSON_KIND_ABSENT};
    size_t prefix_bytes;
    VM_TRY(spec_read_part(s, model, "model", fields, sizeof fields / sizeof *fields, &file, err));
    VM_TRY(spec_read_vocab(s, &file.vocab, file.prefix.bytes, err));
    s->word_chars = file.word_chars;
    s->prefix = spec_keep_text(s, &file.prefix, &prefix_bytes);
    return spec_need_value(s, "model.unk_token", &file.unk, &s->unk, err);
}

static vecmill_status compile(const struct spec *s, struct buf *out, vecmill_err *err)
{
    struct table_writer w;
    VM_TRY(table_begin(&w, out, N_WORDS, err));
    VM_TRY(table_add_trie(&w, WORDS_AT, s->tokens, s->n_tokens, err));
    const struct trie words = table_trie(table_data(&w), WORDS_AT);
    table_set(&w, CONTINUATION, trie_walk(&words, s->prefix, strlen(s->prefix)));
    table_set(&w, UNK, s->unk);
    table_set(&w, WORD_CHARS, s->word_chars);
    return VECMILL_OK;
}

static vecmill_status check(const unsigned char *table, size_t bytes, uint32_t vocab,
                            vecmill_err *err)
{
    if (bytes < N_WORDS * sizeof(uint32_t))
        return table_refuse(&text_model_wordpiece, "the words", bytes, err);
    const uint32_t continuation = table_word(table, CONTINUATION);
    if (!table_holds_trie(table, bytes, WORDS_AT, vocab) || table_word(table, UNK) >= vocab ||
        table_word(table, WORD_CHARS) > TEXT_WORD_CHARS_MAX ||
        (continuation != TRIE_NONE && continuation >= table_word(table, WORDS_UNITS)))
        return table_refuse(&text_model_wordpiece, "tokens", bytes, err);
    return VECMILL_OK;
}

/* Each piece has a character of the word, of which there are at most TEXT_WORD_CHARS_MAX. */
static size_t scratch_bytes(size_t bytes)
{
    return num_min(num_max(bytes, 1), (size_t)4 * TEXT_WORD_CHARS_MAX) * sizeof(struct model_piece);
}

static bool is_long(const unsigned char *word, size_t bytes, uint32_t most)
{
    size_t n = 0;
    for (size_t i = 0; i < bytes && n <= most; i++)
        n += (word[i] & 0xC0) != 0x80;
    return n > most;
}

static size_t encode(const unsigned char *table, const unsigned char *word, size_t bytes,
                     void *scratch, const struct model_piece **pieces)
{
    const struct trie words = table_trie(table, WORDS_AT);
    struct model_piece *out = scratch;
    size_t n = 0;
    *pieces = out;
    bool known = !is_long(word, bytes, table_word(table, WORD_CHARS));
    for (uint32_t at = 0; known && at < bytes;) {
        const uint32_t node = at > 0 ? table_word(table, CONTINUATION) : TRIE_ROOT;
        uint32_t id = 0, taken = 0;
        if (node != TRIE_NONE)
            taken = trie_longest(&words, node, word + at, (uint32_t)bytes - at, &id);
        known = taken > 0;
        out[n] = (struct model_piece){id, at, at + taken};
        n += known;
        at += taken;
    }
    if (known) return n;
    out[0] = (struct model_piece){table_word(table, UNK), 0, (uint32_t)bytes};
    return 1;
}

/* A word's first piece may be as long as the word, and an unknown part makes all of it unknown. */
static bool splits(const unsigned char *table, uint32_t a, uint32_t b)
{
    (void)table, (void)a, (void)b;
    return false;
}

const struct text_model text_model_wordpiece = {"WordPiece",   read,   compile, check,
                                                scratch_bytes, encode, splits};
