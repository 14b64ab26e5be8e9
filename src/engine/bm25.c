/* bm25: the room lex in vecmill.h's words. */
#include <stddef.h>
#include <string.h>

#include "engine/api.h"
#include "lex/lex.h"

struct vecmill_bm25 {
    struct lex *lex;
};

/* Ends where the first version did. */
#define FIRST (offsetof(vecmill_bm25_options, n_stopwords) + sizeof(size_t))

void vecmill_bm25_options_init_sized(vecmill_bm25_options *options, size_t struct_bytes)
{
    const vecmill_bm25_options defaults = {
        .struct_bytes = struct_bytes,
        .language = "english",
        .k = 1.2,
        .b = 0.75,
        .avg_len = 256,
        .token_max_length = 40,
    };
    memset(options, 0, struct_bytes);
    memcpy(options, &defaults, num_min(struct_bytes, sizeof defaults));
}

vecmill_status vecmill_bm25_open(const vecmill_bm25_options *options, vecmill_bm25 **bm25,
                                 vecmill_err *err)
{
    vecmill_bm25_options o;
    vecmill_bm25_options_init(&o);
    VM_TRY(api_take("vecmill_bm25_options", options, FIRST, &o, sizeof o, err));
    const struct lex_options lex = {
        .language = o.language ? o.language : "english",
        .is_stemmed = !o.disable_stemmer,
        .k = o.k,
        .b = o.b,
        .avg_len = o.avg_len,
        .word_most = o.token_max_length,
        .stop_words = o.stopwords,
        .n_stop_words = o.stopwords ? o.n_stopwords : 0,
    };
    void *memory;
    VM_TRY(mem_new(sizeof **bm25, "an encoder of words", &memory, err));
    vecmill_bm25 *made = memory;
    const vecmill_status status = lex_open(&lex, &made->lex, err);
    if (status != VECMILL_OK) {
        mem_free(made);
        return status;
    }
    *bm25 = made;
    return VECMILL_OK;
}

void vecmill_bm25_close(vecmill_bm25 *bm25)
{
    if (bm25) lex_close(bm25->lex);
    mem_free(bm25);
}

/* As api_check_doc, but a text may have any role. */
static vecmill_status check(const vecmill_doc *docs, size_t n_docs, vecmill_role role,
                            vecmill_err *err)
{
    if ((unsigned)role > VECMILL_ROLE_QUERY)
        return err_set(err, VECMILL_E_USAGE, "role is %u, over VECMILL_ROLE_QUERY, %u",
                       (unsigned)role, (unsigned)VECMILL_ROLE_QUERY);
    for (size_t d = 0; d < n_docs; d++) {
        if (docs[d].kind != VECMILL_DOC_TEXT)
            return err_set(err, VECMILL_E_UNSUPPORTED,
                           "document %zu is of kind %u; words are read from texts, %u", d,
                           (unsigned)docs[d].kind, (unsigned)VECMILL_DOC_TEXT);
        if ((unsigned)docs[d].role > VECMILL_ROLE_QUERY)
            return err_set(err, VECMILL_E_USAGE,
                           "the role of document %zu is %u, over VECMILL_ROLE_QUERY, %u", d,
                           (unsigned)docs[d].role, (unsigned)VECMILL_ROLE_QUERY);
    }
    return VECMILL_OK;
}

/* One document's words as one part, which a buffer of lex holds: indices, then weights. */
static vecmill_status take_one(vecmill_bm25 *bm25, const vecmill_doc *doc, size_t d, bool is_query,
                               vecmill_take_fn take, void *context, vecmill_err *err)
{
    struct lex_words words;
    vecmill_result result = {.kind = VECMILL_KIND_SPARSE, .dtype = VECMILL_DTYPE_FLOAT32};
    const vecmill_status status =
        lex_encode(bm25->lex, doc->text, doc->bytes, is_query, &words, err);
    if (status != VECMILL_OK && status != VECMILL_E_LIMIT) return status;
    if (status == VECMILL_E_LIMIT) {
        result.status = status;
        return take(context, d, &result, NULL, 0, err);
    }
    const uint64_t bytes = words.n * (sizeof(uint32_t) + sizeof(float));
    const vecmill_part part = {
        .kind = VECMILL_KIND_SPARSE,
        .dtype = VECMILL_DTYPE_FLOAT32,
        .n = words.n,
        .bytes = bytes,
        .data = words.indices,
    };
    result.n_tokens = (uint32_t)num_min(words.n_read, UINT32_MAX);
    result.replaced_bytes = words.replaced;
    result.count = words.n;
    result.bytes = bytes;
    return take(context, d, &result, &part, 1, err);
}

vecmill_status vecmill_bm25_compute(vecmill_bm25 *bm25, const vecmill_doc *docs, size_t n_docs,
                                    vecmill_role role, vecmill_take_fn take, void *context,
                                    vecmill_err *err)
{
    VM_TRY(check(docs, n_docs, role, err));
    for (size_t d = 0; d < n_docs; d++) {
        const vecmill_role own = docs[d].role != VECMILL_ROLE_DEFAULT ? docs[d].role : role;
        VM_TRY(take_one(bm25, &docs[d], d, own == VECMILL_ROLE_QUERY, take, context, err));
    }
    return VECMILL_OK;
}
