#include "model_table.h"

#include <assert.h>
#include <stdio.h>

#define TABLE_ALIGN 8u

vecmill_status table_begin(struct table_writer *w, struct buf *out, unsigned n_words,
                           vecmill_err *err)
{
    assert(out->bytes % TABLE_ALIGN == 0);
    *w = (struct table_writer){out, out->bytes};
    const uint32_t zero = 0;
    for (unsigned i = 0; i < n_words; i++)
        VM_TRY(buf_add(out, &zero, sizeof zero, err));
    return VECMILL_OK;
}

unsigned char *table_data(const struct table_writer *w)
{
    return (unsigned char *)w->out->data + w->start;
}

void table_set(const struct table_writer *w, unsigned word, uint32_t value)
{
    memcpy(table_data(w) + (size_t)4 * word, &value, sizeof value);
}

vecmill_status table_place(const struct table_writer *w, unsigned word, vecmill_err *err)
{
    static const char zeros[TABLE_ALIGN];
    const size_t at = w->out->bytes - w->start;
    VM_TRY(buf_add(w->out, zeros, num_up(at, TABLE_ALIGN) - at, err));
    table_set(w, word, (uint32_t)(w->out->bytes - w->start));
    return VECMILL_OK;
}

vecmill_status table_add_filled(const struct table_writer *w, unsigned word, size_t bytes, int fill,
                                unsigned char **at, vecmill_err *err)
{
    VM_TRY(table_place(w, word, err));
    VM_TRY(buf_reserve(w->out, bytes, err));
    *at = (unsigned char *)w->out->data + w->out->bytes;
    memset(*at, fill, bytes);
    w->out->bytes += bytes;
    return VECMILL_OK;
}

vecmill_status table_add_trie(const struct table_writer *w, unsigned word,
                              const struct trie_key *keys, size_t n, vecmill_err *err)
{
    uint32_t n_units;
    const size_t empty = n > 0 && keys[0].bytes == 0;
    VM_TRY(table_place(w, word, err));
    VM_TRY(trie_build(keys + empty, n - empty, w->out, &n_units, err));
    table_set(w, word + 1, n_units);
    return VECMILL_OK;
}

bool table_holds(const unsigned char *table, size_t bytes, unsigned word, uint64_t n, size_t size)
{
    const uint32_t at = table_word(table, word);
    return at <= bytes && n <= (bytes - at) / size;
}

bool table_holds_trie(const unsigned char *table, size_t bytes, unsigned word, uint32_t n_values)
{
    const struct trie trie = table_trie(table, word);
    return table_holds(table, bytes, word, trie.n_units, TRIE_UNIT_BYTES) &&
           trie_check(&trie, n_values);
}

bool table_holds_ids(const unsigned char *table, size_t bytes, unsigned word, uint32_t n,
                     uint32_t vocab)
{
    if (!table_holds(table, bytes, word, n, 4)) return false;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t id = section_u32(table + table_word(table, word) + (size_t)4 * i);
        if (id >= vocab && id != TRIE_NONE) return false;
    }
    return true;
}

void table_byte_tokens(const struct spec *s, uint32_t ids[static TABLE_BYTE_TOKENS])
{
    for (unsigned byte = 0; byte < TABLE_BYTE_TOKENS; byte++) {
        char text[8];
        const int n = snprintf(text, sizeof text, "<0x%02X>", byte);
        if (!spec_find_token(s, text, (size_t)n, &ids[byte])) ids[byte] = TRIE_NONE;
    }
}

vecmill_status table_refuse(const struct text_model *kind, const char *what, size_t bytes,
                            vecmill_err *err)
{
    return err_set(
        err, VECMILL_E_MODEL,
        "tokenizer section: %s of a %s model point outside its %zu bytes, or at ids that "
        "no token has",
        what, kind->type, bytes);
}
