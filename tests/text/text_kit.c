/* text_kit: compiles through text_compile_bytes, the way a folder is compiled, without a folder. */
#include "text_kit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static vecmill_status compile(struct kit *k, const struct text_files *files, vecmill_err *err)
{
    buf_init(&k->section, TEXT_SECTION_MAX, "TEXT_SECTION_MAX");
    vecmill_status status = text_compile_bytes(files, &k->section, err);
    if (status == VECMILL_OK) status = text_open(k->section.data, k->section.bytes, &k->text, err);
    if (status != VECMILL_OK) buf_done(&k->section);
    return status;
}

vecmill_status kit_json(struct kit *k, const char *json, vecmill_err *err)
{
    const struct text_files files = {.json = json, .json_bytes = strlen(json)};
    return compile(k, &files, err);
}

vecmill_status kit_vocab(struct kit *k, const char *vocab, const char *config, vecmill_err *err)
{
    const struct text_files files = {
        .vocab = vocab,
        .vocab_bytes = strlen(vocab),
        .config = config,
        .config_bytes = config ? strlen(config) : 0,
    };
    return compile(k, &files, err);
}

void kit_done(struct kit *k)
{
    buf_done(&k->section);
}

const char *kit_ids(const struct kit *k, const char *text, uint32_t max_tokens)
{
    static int32_t ids[KIT_IDS];
    static char out[KIT_IDS * 8];
    struct text_result r;
    size_t at = 0;
    text_encode(&k->text, NULL, text, strlen(text), max_tokens, ids, &r);
    out[0] = '\0';
    for (uint32_t i = 0; i < r.n_ids; i++)
        at += (size_t)snprintf(out + at, sizeof out - at, i ? " %d" : "%d", ids[i]);
    return out;
}

uint32_t kit_next(struct text_stream *s, int32_t *ids, uint32_t max, bool *more)
{
    uint32_t n = UINT32_MAX;
    vecmill_err err;
    if (text_stream_next(s, ids, max, &n, more, &err) != VECMILL_OK)
        printf("text_stream_next: %s\n", err.message);
    return n;
}

const char *kit_make(struct kit_parts p)
{
    static char json[1 << 19];
    snprintf(
        json, sizeof json, "{%s,%s,%s,%s,%s,\"decoder\":null,%s}",
        p.head ? p.head : "\"version\":\"1.0\",\"truncation\":null,\"padding\":null",
        p.added ? p.added : "\"added_tokens\":[]",
        p.normalizer ? p.normalizer
                     : "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,"
                       "\"handle_chinese_chars\":true,\"strip_accents\":null,\"lowercase\":true}",
        p.pre_tokenizer ? p.pre_tokenizer : "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}",
        p.post_processor ? p.post_processor
                         : "\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"[SEP]\",2],"
                           "\"cls\":[\"[CLS]\",1]}",
        p.model ? p.model
                : "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\","
                  "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100," KIT_VOCAB
                  "}");
    return json;
}
