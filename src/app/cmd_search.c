/* search: the rows of a .npy file nearest to a text, by cosine similarity; of documents with several rows the
 * nearest by MaxSim.
 *
 * Each query reads all rows once, directly from the mapped file. The best k are kept in a heap of a
 * fixed size. A row that is zero or not finite has no direction and is never shown, nor is a document without
 * rows. Of equal scores the lower row comes first. */
#include "hits.h"
#include "multi.h"
#include "stored.h"

#include <string.h>

/* Rows of bits that --rescore looks at for each that is shown: sentence-transformers' rescore_multiplier. */
#define SEARCH_RESCORED 4u

struct search {
    struct app *app;
    vecmill_session *session;
    struct stored stored;
    struct multi multi; /* where a document has several rows; else not open */
    float *query;       /* [dim] */
    struct hits hits;
    struct hit *memory, *spare; /* [SEARCH_RESCORED * top], [top] */
    bool is_first;
};

/* Into s->hits those of the rows that are the best, by bits or not. */
static void score_rows(struct search *s, bool by_bits)
{
    double score;
    hits_clear(&s->hits);
    if (!stored_ask(&s->stored, s->query)) return;
    for (uint64_t row = 0; row < s->stored.vectors.n; row++)
        if (by_bits ? stored_score_bits(&s->stored, row, &score)
                    : stored_score(&s->stored, row, &score))
            hits_keep(&s->hits, (struct hit){.score = score, .row = row});
}

/* Of SEARCH_RESCORED times as many rows, those that are the best by the query's own numbers. */
static void score_again(struct search *s)
{
    const struct hits found = s->hits;
    s->hits = (struct hits){.at = s->spare, .top = s->app->options->top};
    for (size_t i = 0; i < found.n; i++) {
        struct hit hit = found.at[i];
        if (stored_score(&s->stored, hit.row, &hit.score)) hits_keep(&s->hits, hit);
    }
}

static void find_rows(struct search *s)
{
    const struct options *o = s->app->options;
    s->hits = (struct hits){.at = s->memory, .top = o->top * (o->rescore ? SEARCH_RESCORED : 1)};
    score_rows(s, stored_is_bits(&s->stored));
    if (o->rescore) score_again(s);
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
    if (multi_is_open(&s->multi)) {
        s->hits = (struct hits){.at = s->memory, .top = s->app->options->top};
        VM_TRY(multi_find(&s->multi, s->session, query, &s->hits, err));
    } else {
        VM_TRY(vecmill_embed(s->session, &query, 1, s->query, NULL, err));
        find_rows(s);
    }
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

/* What can be seen without a model. */
static vecmill_status check_search(struct search *s, vecmill_err *err)
{
    const struct options *o = s->app->options;
    VM_TRY(stored_open(o->input, o->ranges, &s->stored, err));
    VM_TRY(multi_open(&s->multi, o, &s->stored.vectors, err));
    if (!o->texts) return VECMILL_OK;
    struct job_options job = app_job_options(o);
    job.input = o->texts;
    job.ranges = NULL; /* of the rows */
    return app_input_check(&job, err);
}

static vecmill_status open_search(struct search *s, vecmill_err *err)
{
    const struct options *o = s->app->options;
    void *memory = NULL;
    VM_TRY(multi_is_open(&s->multi) ? multi_session_open(&s->multi, &s->session, err)
                                    : app_session_open(o, &s->session, err));
    const uint32_t dim = app_facts(s->session).dim;
    VM_TRY(stored_settle(&s->stored, o->input, o->ranges, o->model, dim, err));
    if (o->rescore && !stored_is_bits(&s->stored))
        return err_set(err, VECMILL_E_USAGE, "--rescore says nothing of the %s that %s holds",
                       quantize_word(s->stored.dtype), o->input);
    VM_TRY(mem_new_array(dim, sizeof(float), "a query's vector", &memory, err));
    s->query = memory;
    VM_TRY(mem_new_array(SEARCH_RESCORED * (size_t)o->top, sizeof(struct hit), "the best rows",
                         &memory, err));
    s->memory = memory;
    VM_TRY(mem_new_array(o->top, sizeof(struct hit), "the best rows", &memory, err));
    s->spare = memory;
    return VECMILL_OK;
}

vecmill_status cmd_search(struct app *app, vecmill_err *err)
{
    struct search s = {.app = app, .is_first = true};
    vecmill_status status = check_search(&s, err);
    if (status == VECMILL_OK) status = open_search(&s, err);
    if (status == VECMILL_OK) status = answer_all(&s, err);
    mem_free(s.spare);
    mem_free(s.memory);
    mem_free(s.query);
    vecmill_session_close(s.session);
    multi_close(&s.multi);
    stored_close(&s.stored);
    return status;
}
