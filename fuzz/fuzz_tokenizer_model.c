/* needs: dep_text */
/* Models of tokenizers from anywhere. An input that begins with '{' is the member "model" of a
 * tokenizer.json: it is refused, or its table is good and encodes. Any other begins with the number of a
 * good model and of triples { u16 offset, u8 bits }, then the triples, which are turned over in the
 * model's table, then a text whose words the table encodes if it is not refused. */
#include "text/text_model.h"

#include <stdlib.h>
#include <string.h>

#define TABLE_BYTES_MAX (8u << 20)
#define WORD_MAX        4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const char *const models[] = {
    "{\"type\":\"WordPiece\",\"unk_token\":\"u\",\"continuing_subword_prefix\":\"##\","
    "\"max_input_chars_per_word\":9,\"vocab\":{\"u\":0,\"a\":1,\"##b\":2,\"ab\":3,\"##ba\":4}}",
    "{\"type\":\"Unigram\",\"unk_id\":0,\"byte_fallback\":true,\"vocab\":[[\"u\",0],[\"a\",-1.5],"
    "[\"b\",-2],[\"ab\",-3],[\"aba\",-4],[\"<0xC3>\",-5],[\"<0xA9>\",-6]]}",
    "{\"type\":\"BPE\",\"unk_token\":\"u\",\"fuse_unk\":true,\"byte_fallback\":true,\"vocab\":{"
    "\"u\":0,"
    "\"a\":1,\"b\":2,\"ab\":3,\"ba\":4,\"aba\":5,\"abab\":6,\"<0xC3>\":7,\"<0xA9>\":8,\"aa\":9},"
    "\"merges\":[\"a b\",\"b a\",\"ab a\",\"ab ab\",\"a a\"]}",
    "{\"type\":\"BPE\",\"unk_token\":\"u\",\"continuing_subword_prefix\":\"#\",\"end_of_word_"
    "suffix\":"
    "\"$\",\"vocab\":{\"u\":0,\"a\":1,\"#b\":2,\"#b$\":3,\"ab\":4,\"ab$\":5,\"abb$\":6},"
    "\"merges\":[\"a #b\",\"a #b$\",\"ab #b$\"]}",
    "{\"type\":\"BPE\",\"ignore_merges\":true,\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"bab\":3},"
    "\"merges\":[[\"a\",\"b\"]]}",
};
#define N_MODELS (sizeof models / sizeof *models)

static struct made {
    const struct text_model *kind;
    struct buf table;
    uint32_t vocab;
} made[N_MODELS];

static vecmill_status compile(struct made *m, const char *json, size_t bytes)
{
    static struct spec spec;
    struct json_value model;
    vecmill_err err;
    spec_init(&spec, "tokenizer.json", spec_tokens_plan(true, bytes));
    spec.merges_plan = spec_merges_plan(bytes);
    m->vocab = 0;
    buf_init(&m->table, TABLE_BYTES_MAX, "TABLE_BYTES_MAX");
    vecmill_status status = json_check(json, bytes, spec.file, VECMILL_E_MODEL, &model, &err);
    if (status == VECMILL_OK) status = text_model_of(&spec, &model, &m->kind, &err);
    if (status == VECMILL_OK) status = m->kind->read(&spec, &model, &err);
    if (status == VECMILL_OK) status = m->kind->compile(&spec, &m->table, &err);
    for (size_t i = 0; status == VECMILL_OK && i < spec.n_tokens; i++)
        m->vocab = spec.tokens[i].value >= m->vocab ? spec.tokens[i].value + 1 : m->vocab;
    spec_done(&spec);
    if (status != VECMILL_OK && (err.status != status || !err.message[0])) abort();
    return status;
}

/* In memory of exactly the size that the model says. */
static void encode(const struct made *m, const char *word, size_t bytes)
{
    const unsigned char *table = (const unsigned char *)m->table.data;
    const struct model_piece *pieces;
    void *scratch = NULL;
    if (bytes == 0) return;
    if (posix_memalign(&scratch, 64, m->kind->scratch(bytes)) != 0) abort();
    const size_t n = m->kind->encode(table, (const unsigned char *)word, bytes, scratch, &pieces);
    if (n > bytes) abort();
    for (size_t i = 0; i < n; i++)
        if (pieces[i].id >= m->vocab || pieces[i].start > pieces[i].end || pieces[i].end > bytes)
            abort();
    (void)m->kind->splits(table, (unsigned char)word[0], 0xE9);
    free(scratch);
}

static void use_json(const uint8_t *data, size_t bytes)
{
    static const char word[] = "abbabab\xC3\xA9zu##a aab";
    struct made m = {.vocab = 0};
    if (compile(&m, (const char *)data, bytes) == VECMILL_OK) {
        if (m.kind->check((const unsigned char *)m.table.data, m.table.bytes, m.vocab, NULL) !=
            VECMILL_OK)
            abort();
        encode(&m, word, sizeof word - 1);
    }
    buf_done(&m.table);
}

static void use_edits(const struct made *good, const uint8_t *data, size_t bytes, unsigned n_edits)
{
    struct made m = *good;
    char word[3 * WORD_MAX];
    buf_init(&m.table, TABLE_BYTES_MAX, "TABLE_BYTES_MAX");
    if (buf_add(&m.table, good->table.data, good->table.bytes, NULL) != VECMILL_OK) abort();
    for (; n_edits > 0 && bytes >= 3; n_edits--, data += 3, bytes -= 3) {
        const size_t at = ((size_t)data[0] | (size_t)data[1] << 8) % m.table.bytes;
        m.table.data[at] = (char)(m.table.data[at] ^ data[2]);
    }
    if (m.kind->check((const unsigned char *)m.table.data, m.table.bytes, m.vocab, NULL) ==
        VECMILL_OK) {
        uint64_t replaced;
        encode(&m, word, utf8_repair(data, num_min(bytes, WORD_MAX), word, &replaced));
    }
    buf_done(&m.table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < N_MODELS; i++)
        if (made[i].kind == NULL && compile(&made[i], models[i], strlen(models[i])) != VECMILL_OK)
            abort();
    if (bytes > 0 && data[0] == '{')
        use_json(data, bytes);
    else if (bytes >= 2)
        use_edits(&made[data[0] % N_MODELS], data + 2, bytes - 2, data[1] & 15u);
    return 0;
}
