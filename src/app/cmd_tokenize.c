/* tokenize: the token ids of documents, one JSON object a line, as embed would compute them; of a folder
 * whose model is not computed, or has no weights, what its tokenizer gives. */
#include "app.h"

struct tokenizing {
    struct app *app;
    vecmill_session *session;
    vecmill_tokenizer *tokenizer; /* where there is no session */
    int32_t *ids;                 /* [capacity] */
    size_t capacity;
    uint64_t n_documents, n_failed;
};

static void print_failed(struct app_out *out, const char *reason)
{
    app_json_open(out, '{');
    app_json_key_string(out, "error", reason);
    app_json_close(out, '}');
    app_json_line(out);
}

static void print_ids(struct tokenizing *t, size_t n, bool truncated)
{
    struct app_out *out = &t->app->out;
    app_json_open(out, '{');
    app_json_key(out, "ids");
    app_json_open(out, '[');
    for (size_t i = 0; i < n; i++)
        app_json_i64(out, t->ids[i]);
    app_json_close(out, ']');
    app_json_key(out, "tokens");
    app_json_open(out, '[');
    for (size_t i = 0; i < n; i++) {
        size_t bytes = 0;
        const char *text = t->session ? vecmill_token_text(t->session, t->ids[i], &bytes)
                                      : vecmill_tokenizer_text(t->tokenizer, t->ids[i], &bytes);
        if (text)
            app_json_text(out, text, bytes);
        else
            app_json_raw(out, "null");
    }
    app_json_close(out, ']');
    app_json_key_bool(out, "truncated", truncated);
    app_json_close(out, '}');
    app_json_line(out);
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
    } else {
        size_t n = 0;
        vecmill_result result = {0};
        if (t->session)
            VM_TRY(vecmill_tokenize(t->session, doc, t->ids, t->capacity, &n, &result, err));
        else
            VM_TRY(vecmill_tokenizer_encode(t->tokenizer, doc, t->ids, NULL, &n, &result, err));
        print_ids(t, n, result.truncated != 0);
    }
    if (out->status == VECMILL_OK) return VECMILL_OK;
    return app_out_flush(out, err); /* says which write failed */
}

/* Opens the model; where it cannot be computed, its tokenizer. Of two failures the model's is reported. */
static vecmill_status open_any(struct tokenizing *t, const struct options *o, vecmill_err *err)
{
    char dir[IO_PATH_MAX];
    vecmill_options options;
    const vecmill_status status = app_session_open(o, &t->session, err);
    if (status == VECMILL_OK) t->capacity = app_facts(t->session).max_length;
    if (status != VECMILL_E_MODEL || app_library_options(o, dir, &options, NULL) != VECMILL_OK ||
        vecmill_tokenizer_open(&options, &t->tokenizer, NULL) != VECMILL_OK)
        return status;
    t->capacity = vecmill_tokenizer_max_length(t->tokenizer);
    return VECMILL_OK;
}

vecmill_status cmd_tokenize(struct app *app, vecmill_err *err)
{
    const struct options *o = app->options;
    const struct job_options job = app_job_options(o);
    VM_TRY(app_input_check(&job, err));

    struct tokenizing t = {.app = app};
    void *ids = NULL;
    vecmill_status status = open_any(&t, o, err);
    if (status != VECMILL_OK) goto done;
    status = mem_new_array(t.capacity, sizeof(*t.ids), "token ids", &ids, err);
    if (status != VECMILL_OK) goto done;
    t.ids = ids;
    status = job_each(&job, on_document, &t, err);
    if (status == VECMILL_OK && t.n_failed > 0)
        status = err_set(err, VECMILL_E_PARTIAL, "%llu of %llu documents could not be read",
                         (unsigned long long)t.n_failed, (unsigned long long)t.n_documents);

done:
    mem_free(ids);
    vecmill_tokenizer_close(t.tokenizer);
    vecmill_session_close(t.session);
    return status;
}
