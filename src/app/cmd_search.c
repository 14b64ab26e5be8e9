/* search: the rows of a .npy file nearest to a text, by cosine similarity.
 *
 * Each query reads all rows once, directly from the mapped file. The best k are kept in a heap of a
 * fixed size. A row that is zero or not finite has no direction and is never shown. Of equal scores
 * the lower row comes first. */
#include "hits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SEARCH_LANES 16u

struct search {
    struct app *app;
    vecmill_session *session;
    struct job_vectors vectors;
    float *query; /* [dim] */
    struct hits hits;
    bool is_first;
};

/* Sums in a fixed number of lanes, so that the compiler can vectorize without changing the order of
 * additions. */
static void dot_and_square(const float *a, const float *b, size_t n, double *dot, double *square)
{
    float d[SEARCH_LANES] = {0}, q[SEARCH_LANES] = {0};
    size_t i = 0;
    for (; i + SEARCH_LANES <= n; i += SEARCH_LANES) {
        for (size_t j = 0; j < SEARCH_LANES; j++) {
            d[j] += a[i + j] * b[i + j];
            q[j] += b[i + j] * b[i + j];
        }
    }
    double dots = 0, squares = 0;
    for (size_t j = 0; j < SEARCH_LANES; j++) {
        dots += (double)d[j];
        squares += (double)q[j];
    }
    for (; i < n; i++) {
        dots += (double)a[i] * (double)b[i];
        squares += (double)b[i] * (double)b[i];
    }
    *dot = dots;
    *square = squares;
}

static void score_rows(struct search *s)
{
    const size_t dim = s->vectors.dim;
    const float *rows = s->vectors.rows;
    double unused, query_square;
    dot_and_square(s->query, s->query, dim, &unused, &query_square);
    hits_clear(&s->hits);
    if (!(query_square > 0) || !isfinite(query_square)) return;
    for (uint64_t row = 0; row < s->vectors.n; row++) {
        double dot, square;
        dot_and_square(s->query, rows + row * dim, dim, &dot, &square);
        if (!(square > 0) || !isfinite(square) || !isfinite(dot)) continue;
        hits_keep(&s->hits, (struct hit){.score = dot / sqrt(query_square * square), .row = row});
    }
    hits_sort(&s->hits);
}

static vecmill_status find_ids(struct search *s, vecmill_err *err)
{
    uint64_t rows[OPTIONS_TOP_MAX];
    char *ids[OPTIONS_TOP_MAX] = {0};
    for (size_t i = 0; i < s->hits.n; i++)
        rows[i] = s->hits.at[i].row;
    VM_TRY(job_ids_find(s->app->options->input, rows, s->hits.n, ids, err));
    for (size_t i = 0; i < s->hits.n; i++)
        s->hits.at[i].id = ids[i];
    return VECMILL_OK;
}

/* During this search the hits are sorted by row, and the index only increases. */
struct text_search {
    struct search *search;
    size_t next;
};

static vecmill_status on_text(void *context, uint64_t index, const char *id, vecmill_doc doc,
                              const char *reason, vecmill_err *err)
{
    (void)id;
    struct text_search *t = context;
    if (t->next == t->search->hits.n) return VECMILL_OK;
    struct hit *hit = &t->search->hits.at[t->next];
    if (index != hit->row) return VECMILL_OK;
    t->next++;
    if (reason) return VECMILL_OK;

    return hits_copy_text(doc.text, doc.bytes, hit, err);
}

static vecmill_status find_texts(struct search *s, vecmill_err *err)
{
    struct job_options job = app_job_options(s->app->options);
    job.input = s->app->options->texts;
    struct text_search t = {.search = s};
    hits_sort_by_row(&s->hits);
    const vecmill_status status = job_each(&job, on_text, &t, err);
    hits_sort(&s->hits);
    return status;
}

static vecmill_status answer(struct search *s, vecmill_doc query, vecmill_err *err)
{
    VM_TRY(vecmill_embed(s->session, &query, 1, s->query, NULL, err));
    score_rows(s);
    vecmill_status status = find_ids(s, err);
    if (status == VECMILL_OK && s->app->options->texts) status = find_texts(s, err);
    if (status == VECMILL_OK) {
        if (s->app->options->json)
            hits_print_json(&s->hits, &s->app->out, query, s->app->options->texts != NULL);
        else
            hits_print(&s->hits, &s->app->out, query, s->is_first);
        s->is_first = false;
        status = app_out_flush(&s->app->out, err);
    }
    hits_clear(&s->hits);
    return status;
}

static vecmill_status on_query(void *context, uint64_t index, const char *id, vecmill_doc doc,
                               const char *reason, vecmill_err *err)
{
    (void)id;
    if (reason)
        return err_set(err, VECMILL_E_INPUT, "query %llu on stdin: %s",
                       (unsigned long long)index + 1, reason);
    return answer(context, doc, err);
}

static vecmill_status answer_all(struct search *s, vecmill_err *err)
{
    const struct options *o = s->app->options;
    for (uint32_t i = 0; i < o->n_queries; i++) {
        if (strcmp(o->queries[i], "-") == 0) {
            const struct job_options lines = {.input = "-", .input_format = "txt"};
            VM_TRY(job_each(&lines, on_query, s, err));
        } else {
            const vecmill_doc query = {.text = o->queries[i], .bytes = strlen(o->queries[i])};
            VM_TRY(answer(s, query, err));
        }
    }
    return VECMILL_OK;
}

vecmill_status cmd_search(struct app *app, vecmill_err *err)
{
    const struct options *o = app->options;
    struct search s = {.app = app, .hits.top = o->top, .is_first = true};
    void *query = NULL, *hits = NULL;
    VM_TRY(job_vectors_open(o->input, &s.vectors, err));

    vecmill_status status = VECMILL_OK;
    if (s.vectors.dtype != VECMILL_DTYPE_FLOAT32)
        status =
            err_set(err, VECMILL_E_INPUT, "%s: holds rows of %s, those of float32 are searched",
                    o->input, quantize_word((enum quantize_dtype)s.vectors.dtype));
    if (status == VECMILL_OK && o->texts) {
        struct job_options job = app_job_options(o);
        job.input = o->texts;
        status = app_input_check(&job, err);
    }
    if (status == VECMILL_OK) status = app_session_open(o, &s.session, err);
    if (status != VECMILL_OK) goto done;

    const uint32_t dim = app_facts(s.session).dim;
    if (dim != s.vectors.dim) {
        status =
            err_set(err, VECMILL_E_INPUT,
                    "%s holds rows of %u floats, the model %s makes %u; was it made by another "
                    "model, or with --dimensions %u?",
                    o->input, s.vectors.dim, o->model, dim, s.vectors.dim);
        goto done;
    }
    status = mem_new_array(dim, sizeof(float), "a query's vector", &query, err);
    if (status == VECMILL_OK)
        status = mem_new_array(s.hits.top, sizeof(struct hit), "the best rows", &hits, err);
    if (status != VECMILL_OK) goto done;
    s.query = query;
    s.hits.at = hits;
    status = answer_all(&s, err);

done:
    mem_free(hits);
    mem_free(query);
    vecmill_session_close(s.session);
    job_vectors_close(&s.vectors);
    return status;
}
