/* tokenize: the token ids of documents, one JSON object a line, as embed would compute them; of a folder
 * whose model is not computed, or has no weights, what its tokenizer gives. Pairs ask the tokenizer alone. */
#include "app.h"

#include <string.h>

#define QUERY_FIELD "query"

struct tokenizing {
    struct app *app;
    vecmill_session *session;
    vecmill_tokenizer *tokenizer; /* where there is no session */
    uint32_t capacity;            /* tokens */
    int32_t *ids;                 /* [capacity] */
    uint8_t *types;               /* [capacity] */
    uint64_t n_documents, n_failed;
};

static void print_failed(struct app_out *out, const char *reason)
{
    app_json_open(out, '{');
    app_json_key_string(out, "error", reason);
    app_json_close(out, '}');
    app_json_line(out);
}

static void print_text(struct app_out *out, const char *text, size_t bytes)
{
    if (text)
        app_json_text(out, text, bytes);
    else
        app_json_raw(out, "null");
}

/* ---- what the steps made ---- */

struct explaining {
    struct app_out *out;
    vecmill_step step; /* that is printed now */
    struct buf normalized;
    vecmill_status status;
    vecmill_err err;
};

/* Bytes of the text. */
static void print_range(struct app_out *out, const vecmill_made *made)
{
    app_json_open(out, '[');
    app_json_u64(out, made->start);
    app_json_u64(out, made->end);
    app_json_close(out, ']');
}

static void on_made(void *context, const vecmill_made *made)
{
    struct explaining *x = context;
    if (made->step != x->step) return;
    switch (made->step) {
    case VECMILL_STEP_NORMALIZED:
        if (x->status == VECMILL_OK)
            x->status = buf_add(&x->normalized, made->text, made->bytes, &x->err);
        break;
    case VECMILL_STEP_PIECE:
        app_json_open(x->out, '{');
        app_json_key(x->out, "text");
        app_json_text(x->out, made->text, made->bytes);
        app_json_key(x->out, "range");
        print_range(x->out, made);
        app_json_close(x->out, '}');
        break;
    case VECMILL_STEP_TOKEN:
        if (made->is_special)
            app_json_raw(x->out, "null");
        else
            print_range(x->out, made);
        break;
    }
}

static vecmill_status explain(struct tokenizing *t, struct explaining *x, vecmill_step step,
                              vecmill_doc doc, vecmill_err *err)
{
    x->step = step;
    if (t->session)
        VM_TRY(vecmill_explain(t->session, doc, on_made, x, err));
    else
        VM_TRY(vecmill_tokenizer_explain(t->tokenizer, doc, on_made, x, err));
    if (x->status != VECMILL_OK && err) *err = x->err;
    return x->status;
}

/* The members that --explain adds, what was normalized being known: a walk over the text for each. */
static vecmill_status print_steps(struct tokenizing *t, struct explaining *x, vecmill_doc doc,
                                  vecmill_err *err)
{
    struct app_out *out = &t->app->out;
    app_json_key(out, "ranges");
    app_json_open(out, '[');
    VM_TRY(explain(t, x, VECMILL_STEP_TOKEN, doc, err));
    app_json_close(out, ']');
    app_json_key(out, "normalized");
    app_json_text(out, x->normalized.data, x->normalized.bytes);
    app_json_key(out, "pieces");
    app_json_open(out, '[');
    VM_TRY(explain(t, x, VECMILL_STEP_PIECE, doc, err));
    app_json_close(out, ']');
    return VECMILL_OK;
}

/* ---- documents ---- */

static void print_tokens(struct tokenizing *t, size_t n)
{
    const struct options *o = t->app->options;
    struct app_out *out = &t->app->out;
    app_json_key(out, "ids");
    app_json_open(out, '[');
    for (size_t i = 0; i < n; i++)
        app_json_i64(out, t->ids[i]);
    app_json_close(out, ']');
    if (o->pairs) {
        app_json_key(out, "type_ids");
        app_json_open(out, '[');
        for (size_t i = 0; i < n; i++)
            app_json_u64(out, t->types[i]);
        app_json_close(out, ']');
    }
    app_json_key(out, "tokens");
    app_json_open(out, '[');
    for (size_t i = 0; i < n; i++) {
        size_t bytes = 0;
        const char *text = t->session ? vecmill_token_text(t->session, t->ids[i], &bytes)
                                      : vecmill_tokenizer_text(t->tokenizer, t->ids[i], &bytes);
        print_text(out, text, bytes);
    }
    app_json_close(out, ']');
}

/* Nothing is written of a document that fails: what may be refused is done first. */
static vecmill_status print_document(struct tokenizing *t, struct explaining *x, vecmill_doc doc,
                                     vecmill_err *err)
{
    struct app_out *out = &t->app->out;
    size_t n = 0;
    vecmill_result result = {0};
    if (t->session)
        VM_TRY(vecmill_tokenize(t->session, doc, t->ids, t->capacity, &n, &result, err));
    else
        VM_TRY(vecmill_tokenizer_encode(t->tokenizer, doc, t->ids, t->types, &n, &result, err));
    if (x) VM_TRY(explain(t, x, VECMILL_STEP_NORMALIZED, doc, err));
    app_json_open(out, '{');
    print_tokens(t, n);
    if (x) VM_TRY(print_steps(t, x, doc, err));
    app_json_key_bool(out, "truncated", result.truncated != 0);
    app_json_close(out, '}');
    app_json_line(out);
    return VECMILL_OK;
}

static vecmill_status print_explained(struct tokenizing *t, vecmill_doc doc, vecmill_err *err)
{
    struct explaining x = {.out = &t->app->out};
    buf_init(&x.normalized, APP_OUT_MAX, "APP_OUT_MAX");
    const vecmill_status status = print_document(t, &x, doc, err);
    buf_done(&x.normalized);
    return status;
}

static vecmill_status on_document(void *context, uint64_t index, const char *id, vecmill_doc doc,
                                  const char *reason, vecmill_err *err)
{
    (void)index;
    (void)id;
    struct tokenizing *t = context;
    struct app_out *out = &t->app->out;
    t->n_documents++;
    if (reason) {
        t->n_failed++;
        print_failed(out, reason);
    } else if (t->app->options->explain) {
        vecmill_err why;
        const vecmill_status status = print_explained(t, doc, &why);
        if (status == VECMILL_E_LIMIT) {
            t->n_failed++;
            print_failed(out, why.message);
        } else if (status != VECMILL_OK) {
            if (err) *err = why;
            return status;
        }
    } else {
        VM_TRY(print_document(t, NULL, doc, err));
    }
    if (out->status == VECMILL_OK) return VECMILL_OK;
    return app_out_flush(out, err); /* says which write failed */
}

/* Opens the model; where it cannot be computed, its tokenizer, which is enough: of two faults its one is
 * reported. */
static vecmill_status open_any(struct tokenizing *t, const struct options *o, vecmill_err *err)
{
    char dir[IO_PATH_MAX];
    vecmill_options options;
    if (o->pairs) {
        VM_TRY(app_library_options(o, dir, &options, err));
        VM_TRY(vecmill_tokenizer_open(&options, &t->tokenizer, err));
        t->capacity = vecmill_tokenizer_max_length(t->tokenizer);
        return VECMILL_OK;
    }
    const vecmill_status status = app_session_open(o, &t->session, err);
    if (status == VECMILL_OK) t->capacity = app_facts(t->session).max_length;
    if (status != VECMILL_E_MODEL || app_library_options(o, dir, &options, NULL) != VECMILL_OK)
        return status;
    vecmill_err why;
    const vecmill_status alone = vecmill_tokenizer_open(&options, &t->tokenizer, &why);
    if (alone == VECMILL_E_MODEL && err) *err = why;
    if (alone != VECMILL_OK) return status;
    t->capacity = vecmill_tokenizer_max_length(t->tokenizer);
    return VECMILL_OK;
}

vecmill_status cmd_tokenize(struct app *app, vecmill_err *err)
{
    const struct options *o = app->options;
    struct job_options job = app_job_options(o);
    if (o->pairs) {
        job.query_field = QUERY_FIELD;
        if (!job.input_format && strcmp(job.input, "-") == 0) job.input_format = "jsonl";
    }
    VM_TRY(app_input_check(&job, err));

    struct tokenizing t = {.app = app};
    void *ids = NULL, *types = NULL;
    vecmill_status status = open_any(&t, o, err);
    if (status != VECMILL_OK) goto done;
    status = mem_new_array(t.capacity, sizeof(*t.ids), "token ids", &ids, err);
    if (status != VECMILL_OK) goto done;
    status = mem_new(t.capacity, "token types", &types, err);
    if (status != VECMILL_OK) goto done;
    t.ids = ids;
    t.types = types;
    status = job_each(&job, on_document, &t, err);
    if (status == VECMILL_OK && t.n_failed > 0)
        status = err_set(err, VECMILL_E_PARTIAL, "%llu of %llu documents could not be read",
                         (unsigned long long)t.n_failed, (unsigned long long)t.n_documents);

done:
    mem_free(types);
    mem_free(ids);
    vecmill_tokenizer_close(t.tokenizer);
    vecmill_session_close(t.session);
    return status;
}
