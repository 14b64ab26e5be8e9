/* search: the rows of a .npy file nearest to a text, by cosine similarity.
 *
 * Each query reads all rows once, directly from the mapped file. The best k are kept in a heap of a
 * fixed size. A row that is zero or not finite has no direction and is never shown. Of equal scores
 * the lower row comes first. */
#include "app.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SEARCH_TEXT_MAX   4096u /* bytes of a row's text that are kept */
#define SEARCH_TEXT_SHOWN 100u  /* characters of it on a line of the terminal */
#define SEARCH_LANES      16u

struct hit {
    double score;
    uint64_t row;
    char *id;   /* JSON, heap; NULL: none */
    char *text; /* heap; NULL: none */
    size_t text_bytes;
    bool is_cut;
};

struct search {
    struct app *app;
    vecmill_session *session;
    struct job_vectors vectors;
    float *query;     /* [dim] */
    struct hit *hits; /* [top]; while rows are read: a heap with the worst at 0 */
    size_t n_hits, top;
    bool is_first;
};

static bool is_worse(const struct hit *a, const struct hit *b)
{
    if (a->score != b->score) return a->score < b->score;
    return a->row > b->row;
}

static int best_first(const void *a, const void *b)
{
    return is_worse(a, b) - is_worse(b, a);
}

static int by_row(const void *a, const void *b)
{
    const struct hit *x = a, *y = b;
    return (x->row > y->row) - (x->row < y->row);
}

static void swap(struct hit *a, struct hit *b)
{
    const struct hit c = *a;
    *a = *b;
    *b = c;
}

static void keep_hit(struct search *s, struct hit hit)
{
    struct hit *heap = s->hits;
    size_t i;
    if (s->n_hits < s->top) {
        for (i = s->n_hits++, heap[i] = hit; i > 0; i = (i - 1) / 2) {
            if (!is_worse(&heap[i], &heap[(i - 1) / 2])) return;
            swap(&heap[i], &heap[(i - 1) / 2]);
        }
        return;
    }
    if (!is_worse(&heap[0], &hit)) return;
    heap[0] = hit;
    for (i = 0;;) {
        size_t worst = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < s->n_hits; child++)
            if (is_worse(&heap[child], &heap[worst])) worst = child;
        if (worst == i) return;
        swap(&heap[i], &heap[worst]);
        i = worst;
    }
}

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
    double unused, query_square;
    dot_and_square(s->query, s->query, dim, &unused, &query_square);
    s->n_hits = 0;
    if (!(query_square > 0) || !isfinite(query_square)) return;
    for (uint64_t row = 0; row < s->vectors.n; row++) {
        double dot, square;
        dot_and_square(s->query, s->vectors.rows + row * dim, dim, &dot, &square);
        if (!(square > 0) || !isfinite(square) || !isfinite(dot)) continue;
        keep_hit(s, (struct hit){.score = dot / sqrt(query_square * square), .row = row});
    }
    if (s->n_hits > 1) qsort(s->hits, s->n_hits, sizeof(*s->hits), best_first);
}

static vecmill_status find_ids(struct search *s, vecmill_err *err)
{
    uint64_t rows[OPTIONS_TOP_MAX];
    char *ids[OPTIONS_TOP_MAX] = {0};
    for (size_t i = 0; i < s->n_hits; i++)
        rows[i] = s->hits[i].row;
    VM_TRY(job_ids_find(s->app->options->input, rows, s->n_hits, ids, err));
    for (size_t i = 0; i < s->n_hits; i++)
        s->hits[i].id = ids[i];
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
    if (t->next == t->search->n_hits) return VECMILL_OK;
    struct hit *hit = &t->search->hits[t->next];
    if (index != hit->row) return VECMILL_OK;
    t->next++;
    if (reason) return VECMILL_OK;

    size_t bytes = doc.bytes;
    if (bytes > SEARCH_TEXT_MAX) {
        bytes = SEARCH_TEXT_MAX;
        while (bytes > 0 && ((unsigned char)doc.text[bytes] & 0xC0) == 0x80)
            bytes--;
    }
    void *text;
    VM_TRY(mem_new(bytes, "a text to show", &text, err));
    if (bytes > 0) memcpy(text, doc.text, bytes);
    hit->text = text;
    hit->text_bytes = bytes;
    hit->is_cut = bytes < doc.bytes;
    return VECMILL_OK;
}

static vecmill_status find_texts(struct search *s, vecmill_err *err)
{
    struct job_options job = app_job_options(s->app->options);
    job.input = s->app->options->texts;
    struct text_search t = {.search = s};
    qsort(s->hits, s->n_hits, sizeof(*s->hits), by_row);
    const vecmill_status status = job_each(&job, on_text, &t, err);
    qsort(s->hits, s->n_hits, sizeof(*s->hits), best_first);
    return status;
}

static void print_hits_json(struct search *s, vecmill_doc query)
{
    struct app_out *out = &s->app->out;
    app_json_open(out, '{');
    app_json_key(out, "query");
    app_json_text(out, query.text, query.bytes);
    app_json_key(out, "hits");
    app_json_open(out, '[');
    for (size_t i = 0; i < s->n_hits; i++) {
        const struct hit *hit = &s->hits[i];
        app_json_open(out, '{');
        app_json_key_u64(out, "rank", i + 1);
        app_json_key_real(out, "score", hit->score, 6);
        app_json_key_u64(out, "row", hit->row);
        app_json_key(out, "id");
        app_json_raw(out, hit->id ? hit->id : "null");
        if (s->app->options->texts) {
            app_json_key(out, "text");
            if (hit->text)
                app_json_text(out, hit->text, hit->text_bytes);
            else
                app_json_raw(out, "null");
            app_json_key_bool(out, "cut", hit->is_cut);
        }
        app_json_close(out, '}');
    }
    app_json_close(out, ']');
    app_json_close(out, '}');
    app_json_line(out);
}

/* Prints at most `most` characters on one line of a terminal. Control characters become spaces,
 * invalid UTF-8 becomes '?'. */
static void print_line(struct app_out *out, const char *text, size_t bytes, size_t most)
{
    size_t i = 0, n_shown = 0;
    while (i < bytes && n_shown < most) {
        uint32_t cp;
        bool is_bad;
        const size_t n = utf8_next((const unsigned char *)text + i, bytes - i, &cp, &is_bad);
        if (is_bad)
            app_put(out, "?", 1);
        else if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0))
            app_put(out, " ", 1);
        else
            app_put(out, text + i, n);
        i += n;
        n_shown++;
    }
    if (i < bytes) app_print(out, "...");
}

static void print_table(struct search *s, vecmill_doc query)
{
    struct app_out *out = &s->app->out;
    if (!s->is_first) app_print(out, "\n");
    app_print(out, "query: ");
    print_line(out, query.text, query.bytes, SEARCH_TEXT_SHOWN);
    app_print(out, "\n");
    for (size_t i = 0; i < s->n_hits; i++) {
        const struct hit *hit = &s->hits[i];
        app_print(out, "%4zu  %7.4f  row %llu", i + 1, hit->score, (unsigned long long)hit->row);
        if (hit->id) {
            app_print(out, "  ");
            print_line(out, hit->id, strlen(hit->id), JOB_ID_BYTES_MAX);
        }
        if (hit->text) {
            app_print(out, "  ");
            print_line(out, hit->text, hit->text_bytes, SEARCH_TEXT_SHOWN);
        }
        app_print(out, "\n");
    }
}

static vecmill_status answer(struct search *s, vecmill_doc query, vecmill_err *err)
{
    VM_TRY(vecmill_embed(s->session, &query, 1, s->query, NULL, err));
    score_rows(s);
    vecmill_status status = find_ids(s, err);
    if (status == VECMILL_OK && s->app->options->texts) status = find_texts(s, err);
    if (status == VECMILL_OK) {
        if (s->app->options->json)
            print_hits_json(s, query);
        else
            print_table(s, query);
        s->is_first = false;
        status = app_out_flush(&s->app->out, err);
    }
    for (size_t i = 0; i < s->n_hits; i++) {
        mem_free(s->hits[i].id);
        mem_free(s->hits[i].text);
    }
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
    struct search s = {.app = app, .top = o->top, .is_first = true};
    void *query = NULL, *hits = NULL;
    VM_TRY(job_vectors_open(o->input, &s.vectors, err));

    vecmill_status status = VECMILL_OK;
    if (o->texts) {
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
        status = mem_new_array(s.top, sizeof(struct hit), "the best rows", &hits, err);
    if (status != VECMILL_OK) goto done;
    s.query = query;
    s.hits = hits;
    status = answer_all(&s, err);

done:
    mem_free(hits);
    mem_free(query);
    vecmill_session_close(s.session);
    job_vectors_close(&s.vectors);
    return status;
}
