/* fake_engine: see fake_engine.h. */
#include "fake_engine.h"

#include "base/base.h"

#include <string.h>

void fake_vector(const void *text, size_t bytes, uint32_t dim, float *vector)
{
    const unsigned char *p = text;
    uint64_t hash = 14695981039346656037u; /* FNV-1a, 64 bits */
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ p[i]) * 1099511628211u;
    for (uint32_t i = 0; i < dim; i++) {
        hash = (hash ^ (i + 1)) * 1099511628211u;
        vector[i] = (float)((double)(int64_t)hash / 9223372036854775808.0);
    }
}

void vecmill_session_describe(const vecmill_session *session, vecmill_facts *facts)
{
    facts->dim = session->dim;
    facts->max_length = 256;
}

const char *vecmill_status_words(vecmill_status status)
{
    return status == VECMILL_OK ? "success" : "a status of the fake";
}

static int is(const vecmill_doc *doc, const char *text)
{
    return doc->bytes == strlen(text) && memcmp(doc->text, text, doc->bytes) == 0;
}

vecmill_status vecmill_embed(vecmill_session *session, const vecmill_doc *docs, size_t n_docs,
                             float *vectors, vecmill_result *results, vecmill_err *err)
{
    session->n_calls++;
    session->n_docs += n_docs;
    if (n_docs > session->most_docs) session->most_docs = n_docs;
    if (session->stop != NULL && session->n_calls == session->stop_at)
        atomic_store(session->stop, 1);
    for (size_t i = 0; i < n_docs; i++) {
        if (is(&docs[i], "BREAK")) return err_set(err, VECMILL_E_MODEL, "the fake model broke");
        results[i] = (vecmill_result){.status = VECMILL_OK, .n_tokens = 2};
        float *row = vectors + i * session->dim;
        if (is(&docs[i], "TOO LONG")) {
            results[i] = (vecmill_result){.status = VECMILL_E_LIMIT};
            memset(row, 0, session->dim * sizeof *row);
            continue;
        }
        results[i].truncated = is(&docs[i], "TRUNCATE ME");
        for (size_t at = 0; at < docs[i].bytes;) {
            uint32_t cp;
            bool bad;
            const size_t took =
                utf8_next((const unsigned char *)docs[i].text + at, docs[i].bytes - at, &cp, &bad);
            if (bad) results[i].replaced_bytes += took;
            at += took;
        }
        fake_vector(docs[i].text, docs[i].bytes, session->dim, row);
    }
    return VECMILL_OK;
}
