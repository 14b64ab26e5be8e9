#include "late.h"

#include <math.h>
#include <string.h>

/* Places of --kinds' words (options.c). */
enum { KINDS_AUTO, KINDS_DENSE, KINDS_SPARSE, KINDS_MULTI, KINDS_TOKENS };

static vecmill_status check_kind(const struct late *late, vecmill_err *err)
{
    const struct options *o = late->options;
    const bool has_rows = late_is_open(late);
    if (has_rows && (o->kinds == KINDS_DENSE || o->kinds == KINDS_SPARSE))
        return err_set(err, VECMILL_E_USAGE,
                       "%s has several rows a document (%s.offsets.npy), --kinds multi or tokens",
                       o->input, o->input);
    if (!has_rows && o->kinds > KINDS_DENSE)
        return err_set(err, VECMILL_E_USAGE,
                       "%s has one row a document, --kinds dense: there is no %s.offsets.npy",
                       o->input, o->input);
    if (has_rows && late->vectors->dtype != VECMILL_DTYPE_FLOAT32)
        return err_set(err, VECMILL_E_INPUT,
                       "%s has several rows a document, of %s; those of float32 are searched",
                       o->input, quantize_word((enum quantize_dtype)late->vectors->dtype));
    return VECMILL_OK;
}

vecmill_status late_open(struct late *late, const struct options *options,
                         const struct job_vectors *vectors, vecmill_err *err)
{
    void *memory = NULL;
    *late = (struct late){.options = options, .vectors = vectors};
    VM_TRY(job_offsets_open(options->input, vectors->n, &late->offsets, err));
    VM_TRY(check_kind(late, err));
    if (!late_is_open(late)) return VECMILL_OK;
    VM_TRY(
        mem_new_array((size_t)late->offsets.n, sizeof(float), "documents' scores", &memory, err));
    late->scores = memory;
    return VECMILL_OK;
}

void late_close(struct late *late)
{
    mem_free(late->scores);
    job_offsets_close(&late->offsets);
    *late = (struct late){0};
}

vecmill_status late_session_open(const struct late *late, vecmill_session **session,
                                 vecmill_err *err)
{
    struct options o = *late->options;
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
    struct late *late;
    bool is_scored; /* false: the query has no rows */
};

static vecmill_status score(void *context, size_t d, const vecmill_result *result,
                            const vecmill_part *parts, uint32_t n_parts, vecmill_err *err)
{
    struct scoring *s = context;
    const struct late *late = s->late;
    (void)d;
    if (result->status != VECMILL_OK)
        return err_set(err, result->status, "the query failed: %s",
                       vecmill_status_words(result->status));
    if (n_parts == 0 || parts->n == 0) return VECMILL_OK;
    s->is_scored = true;
    return vecmill_maxsim(parts->data, (uint32_t)parts->n, parts->dim, late->vectors->rows,
                          late->offsets.starts, late->offsets.n, (uint32_t)late->options->threads,
                          late->scores, err);
}

vecmill_status late_find(struct late *late, vecmill_session *session, vecmill_doc query,
                         struct hits *hits, vecmill_err *err)
{
    struct scoring s = {.late = late};
    VM_TRY(vecmill_compute(session, &query, 1, score, &s, err));
    hits_clear(hits);
    for (uint64_t i = 0; s.is_scored && i < late->offsets.n; i++)
        if (isfinite(late->scores[i]))
            hits_keep(hits, (struct hit){.score = (double)late->scores[i], .row = i});
    hits_sort(hits);
    return VECMILL_OK;
}
