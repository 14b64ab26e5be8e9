#include "multi.h"

#include <math.h>
#include <string.h>

/* Places of --kinds' words (options.c). */
enum { KINDS_AUTO, KINDS_DENSE, KINDS_SPARSE, KINDS_MULTI, KINDS_TOKENS };

static vecmill_status check_kind(const struct multi *multi, vecmill_err *err)
{
    const struct options *o = multi->options;
    const bool has_rows = multi_is_open(multi);
    if (has_rows && (o->kinds == KINDS_DENSE || o->kinds == KINDS_SPARSE))
        return err_set(err, VECMILL_E_USAGE,
                       "%s has several rows a document (%s.offsets.npy), --kinds multi or tokens",
                       o->input, o->input);
    if (!has_rows && o->kinds > KINDS_DENSE)
        return err_set(err, VECMILL_E_USAGE,
                       "%s has one row a document, --kinds dense: there is no %s.offsets.npy",
                       o->input, o->input);
    if (has_rows && multi->vectors->dtype != VECMILL_DTYPE_FLOAT32)
        return err_set(err, VECMILL_E_INPUT,
                       "%s has several rows a document, of %s; those of float32 are searched",
                       o->input, quantize_word((enum quantize_dtype)multi->vectors->dtype));
    return VECMILL_OK;
}

vecmill_status multi_open(struct multi *multi, const struct options *options,
                          const struct job_vectors *vectors, vecmill_err *err)
{
    void *memory = NULL;
    *multi = (struct multi){.options = options, .vectors = vectors};
    VM_TRY(job_offsets_open(options->input, vectors->n, &multi->offsets, err));
    VM_TRY(check_kind(multi, err));
    if (!multi_is_open(multi)) return VECMILL_OK;
    VM_TRY(
        mem_new_array((size_t)multi->offsets.n, sizeof(float), "documents' scores", &memory, err));
    multi->scores = memory;
    return VECMILL_OK;
}

void multi_close(struct multi *multi)
{
    mem_free(multi->scores);
    job_offsets_close(&multi->offsets);
    *multi = (struct multi){0};
}

vecmill_status multi_session_open(const struct multi *multi, vecmill_session **session,
                                  vecmill_err *err)
{
    struct options o = *multi->options;
    vecmill_err none;
    if (o.kinds != KINDS_AUTO) return app_session_open(&o, session, err);
    o.kinds = KINDS_MULTI;
    const vecmill_status status = app_session_open(&o, session, &none);
    if (status == VECMILL_OK) return VECMILL_OK;
    o.kinds = KINDS_TOKENS;
    if (status == VECMILL_E_USAGE) return app_session_open(&o, session, err);
    if (err) *err = none;
    return status;
}

struct scoring {
    struct multi *multi;
    bool is_scored; /* false: the query has no rows */
};

static vecmill_status score(void *context, size_t d, const vecmill_result *result,
                            const vecmill_part *parts, uint32_t n_parts, vecmill_err *err)
{
    struct scoring *s = context;
    const struct multi *multi = s->multi;
    (void)d;
    if (result->status != VECMILL_OK)
        return err_set(err, result->status, "the query failed: %s",
                       vecmill_status_words(result->status));
    if (n_parts == 0 || parts->n == 0) return VECMILL_OK;
    s->is_scored = true;
    return vecmill_maxsim(parts->data, (uint32_t)parts->n, parts->dim, multi->vectors->rows,
                          multi->offsets.starts, multi->offsets.n,
                          (uint32_t)multi->options->threads, multi->scores, err);
}

vecmill_status multi_find(struct multi *multi, vecmill_session *session, vecmill_doc query,
                          struct hits *hits, vecmill_err *err)
{
    struct scoring s = {.multi = multi};
    VM_TRY(vecmill_compute(session, &query, 1, score, &s, err));
    hits_clear(hits);
    for (uint64_t i = 0; s.is_scored && i < multi->offsets.n; i++)
        if (isfinite(multi->scores[i]))
            hits_keep(hits, (struct hit){.score = (double)multi->scores[i], .row = i});
    hits_sort(hits);
    return VECMILL_OK;
}
