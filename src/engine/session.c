/* session: one model, ready to compute; the heart of vecmill.h.
 *
 * A call's documents are tokenized one by one into the pass that is being filled; a pass runs when the
 * next document does not fit under batch_tokens. A document longer than that forms a pass alone, so
 * the arena holds the larger of the two. Promises that nothing is allocated after open. Does not know
 * where documents come from. */
#include "vecmill.h"

#include "engine/engine.h"
#include "engine/source.h"
#include "kern/kern.h"
#include "model/model.h"
#include "text/text.h"

#include <stdlib.h>
#include <string.h>

/* Smallest pass at full speed on MiniLM-L6 (docs/SPEED.md). */
#define BATCH_TOKENS_AUTO 960u

struct vecmill_session {
    const struct kern *kern;
    struct pack pack;
    struct text text;
    struct model *model;
    vecmill_long long_policy;
    uint32_t batch_tokens;
    uint32_t max_length;
    char pack_path[IO_PATH_MAX];

    /* in the arena */
    void *arena;
    size_t arena_bytes;
    uint32_t pass_tokens; /* most tokens of a pass: the larger of batch_tokens and max_length */
    int32_t *ids;     /* [pass_tokens + max_length]: the pass, and the document that may not fit */
    uint32_t *starts; /* [pass_tokens + 1]; a document has its special tokens at least */
    void *workspace;
};

static void lay_out(struct arena *a, vecmill_session *s)
{
    s->ids = arena_take_array(a, (size_t)s->pass_tokens + s->max_length, sizeof(int32_t), 64);
    s->starts = arena_take_array(a, (size_t)s->pass_tokens + 1, sizeof(uint32_t), 64);
    s->workspace =
        arena_take(a, model_workspace_bytes(s->model, s->pass_tokens, s->max_length), 4096);
}

/* ---- opening ---- */

static vecmill_status check_options(const vecmill_options *o, vecmill_err *err)
{
    if (o->struct_bytes != sizeof(*o)) {
        return err_set(err, VECMILL_E_USAGE,
                       "vecmill_options has %zu bytes, this library's has %zu", o->struct_bytes,
                       sizeof(*o));
    }
    if (!o->model_dir) return err_set(err, VECMILL_E_USAGE, "no model folder was given");
    if (o->precision != VECMILL_FP32) {
        return err_set(err, VECMILL_E_UNSUPPORTED,
                       "a precision other than fp32 is not in version %s", VECMILL_VERSION);
    }
    if (o->long_policy != VECMILL_LONG_TRUNCATE && o->long_policy != VECMILL_LONG_ERROR) {
        return err_set(err, VECMILL_E_UNSUPPORTED, "splitting long documents is not in version %s",
                       VECMILL_VERSION);
    }
    if (o->batch_tokens > VECMILL_MAX_BATCH_TOKENS) {
        return err_set(err, VECMILL_E_USAGE,
                       "batch_tokens is %u, over VECMILL_MAX_BATCH_TOKENS, %u", o->batch_tokens,
                       VECMILL_MAX_BATCH_TOKENS);
    }
    return VECMILL_OK;
}

/* Maps the model's pack; has it built first when there is none that fits. */
static vecmill_status open_pack(const vecmill_options *o, vecmill_session *s, vecmill_err *err)
{
    struct engine_source source;
    char worker[IO_PATH_MAX];
    VM_TRY(source_describe(o->model_dir, o->cache_dir, s->kern, &source, err));
    memcpy(s->pack_path, source.path, sizeof(s->pack_path));
    if (source_open(&source, &s->pack, NULL) == VECMILL_OK) return VECMILL_OK;
    VM_TRY(source_worker(o->worker_path, worker, err));
    VM_TRY(source_build(&source, worker, s->kern->name, err));
    if (source_open(&source, &s->pack, NULL) == VECMILL_OK) return VECMILL_OK;
    return err_set(err, VECMILL_E_MODEL,
                   "%s: is missing or of other files right after it was built", source.path);
}

static vecmill_status open_parts(vecmill_session *s, const char *dir, vecmill_err *err)
{
    const void *section;
    size_t bytes;
    VM_TRY(pack_find(&s->pack, ENGINE_TEXT_SECTION, &section, &bytes, err));
    VM_TRY(text_open(section, bytes, &s->text, err));
    if (s->text.n_specials == 0) {
        return err_set(
            err, VECMILL_E_MODEL,
            "%s: the tokenizer adds no special token, so an empty document would have none", dir);
    }
    VM_TRY(model_open(&s->pack, s->kern, &s->model, err));
    const uint32_t rows = model_describe(s->model)->vocab;
    if (s->text.vocab_size != rows) {
        return err_set(err, VECMILL_E_MODEL,
                       "%s: the tokenizer has %u tokens, the word embeddings have %u rows", dir,
                       s->text.vocab_size, rows);
    }
    return VECMILL_OK;
}

static vecmill_status choose(const vecmill_options *o, vecmill_session *s, vecmill_err *err)
{
    const struct model_config *c = model_describe(s->model);
    s->long_policy = o->long_policy;
    s->batch_tokens = o->batch_tokens ? o->batch_tokens : BATCH_TOKENS_AUTO;
    s->max_length = o->max_length ? o->max_length : c->max_length;
    uint32_t least = s->text.n_specials + 1;
    if (s->max_length < least || s->max_length > c->max_positions) {
        return err_set(err, VECMILL_E_USAGE, "a maximum length of %u tokens, outside %u to %u",
                       s->max_length, least, c->max_positions);
    }
    s->pass_tokens = s->batch_tokens > s->max_length ? s->batch_tokens : s->max_length;
    return VECMILL_OK;
}

static vecmill_status take_memory(vecmill_session *s, vecmill_err *err)
{
    struct arena a;
    arena_count(&a);
    lay_out(&a, s);
    size_t bytes = arena_bytes(&a);
    VM_TRY(mem_map(bytes, "a session's arena", &s->arena, err));
    s->arena_bytes = bytes;
    arena_init(&a, s->arena, bytes);
    lay_out(&a, s);
    return VECMILL_OK;
}

vecmill_status vecmill_session_open(const vecmill_options *options, vecmill_session **session,
                                    vecmill_err *err)
{
    void *memory = NULL;
    VM_TRY(check_options(options, err));
    VM_TRY(mem_new(sizeof(vecmill_session), "a session", &memory, err));
    vecmill_session *s = memory;
    vecmill_status status = kern_select(options->isa, &s->kern, err);
    if (status == VECMILL_OK) status = open_pack(options, s, err);
    if (status == VECMILL_OK) status = open_parts(s, options->model_dir, err);
    if (status == VECMILL_OK) status = choose(options, s, err);
    if (status == VECMILL_OK) status = take_memory(s, err);
    if (status == VECMILL_OK) {
        *session = s;
    } else {
        vecmill_session_close(s);
    }
    return status;
}

void vecmill_session_close(vecmill_session *session)
{
    if (!session) return;
    mem_unmap(session->arena, session->arena_bytes);
    model_close(session->model);
    pack_close(&session->pack);
    mem_free(session);
}

void vecmill_session_describe(const vecmill_session *session, vecmill_facts *facts)
{
    const struct model_config *c = model_describe(session->model);
    vecmill_facts f = {
        .struct_bytes = facts->struct_bytes,
        .dim = c->hidden,
        .max_length = session->max_length,
        .most_length = c->max_positions,
        .batch_tokens = session->batch_tokens,
        .layers = c->n_layers,
        .heads = c->n_heads,
        .hidden = c->hidden,
        .intermediate = c->intermediate,
        .vocab = c->vocab,
        .precision = VECMILL_FP32,
        .normalized = c->normalize != 0,
        .pooling = c->pooling == MODEL_POOL_CLS ? "cls" : "mean",
        .isa = session->kern->name,
        .pack_path = session->pack_path,
        .pack_bytes = session->pack.map.bytes,
        .arena_bytes = session->arena_bytes,
    };
    memcpy(facts, &f, num_min(facts->struct_bytes, sizeof(f)));
}

/* ---- computing ---- */

/* The pass that is being filled: documents first .. first + n_docs of the call. */
struct pass {
    size_t first;
    uint32_t n_docs;
    uint32_t n_tokens;
};

static vecmill_status run(vecmill_session *s, struct pass *p, float *vectors, vecmill_err *err)
{
    if (p->n_docs == 0) return VECMILL_OK;
    const size_t dim = model_describe(s->model)->hidden;
    VM_TRY(model_forward(s->model, s->workspace, s->pass_tokens, s->max_length, s->ids, s->starts,
                         p->n_docs, vectors + p->first * dim, err));
    p->first += p->n_docs;
    p->n_docs = 0;
    p->n_tokens = 0;
    return VECMILL_OK;
}

static vecmill_result encode(vecmill_session *s, vecmill_doc doc, int32_t *ids)
{
    struct text_result t;
    text_encode(&s->text, doc.text, doc.bytes, s->max_length, ids, &t);
    bool failed = t.truncated && s->long_policy == VECMILL_LONG_ERROR;
    return (vecmill_result){
        .status = failed ? VECMILL_E_LIMIT : VECMILL_OK,
        .n_tokens = t.n_ids,
        .truncated = t.truncated,
        .replaced_bytes = t.replaced_bytes,
    };
}

vecmill_status vecmill_embed(vecmill_session *session, const vecmill_doc *docs, size_t n_docs,
                             float *vectors, vecmill_result *results, vecmill_err *err)
{
    vecmill_session *s = session;
    const size_t dim = model_describe(s->model)->hidden;
    struct pass p = {0};
    s->starts[0] = 0;
    for (size_t i = 0; i < n_docs; i++) {
        int32_t *ids = s->ids + p.n_tokens;
        vecmill_result r = encode(s, docs[i], ids);
        const bool failed = r.status != VECMILL_OK;
        /* A pass is a run of documents, so that its rows lie together: a failed one ends it. */
        if (failed || (p.n_docs && r.n_tokens > s->batch_tokens - p.n_tokens)) {
            VM_TRY(run(s, &p, vectors, err));
            memmove(s->ids, ids, r.n_tokens * sizeof(*ids));
        }
        if (failed) {
            memset(vectors + i * dim, 0, dim * sizeof(*vectors));
            r.n_tokens = 0;
            p.first = i + 1;
        } else {
            p.n_tokens += r.n_tokens;
            s->starts[++p.n_docs] = p.n_tokens;
        }
        if (results) results[i] = r;
        if (p.n_tokens >= s->batch_tokens) VM_TRY(run(s, &p, vectors, err));
    }
    return run(s, &p, vectors, err);
}

vecmill_status vecmill_tokenize(vecmill_session *session, vecmill_doc doc, int32_t *ids,
                                size_t capacity, size_t *n_ids, vecmill_result *result,
                                vecmill_err *err)
{
    vecmill_result r = encode(session, doc, session->ids);
    if (r.status != VECMILL_OK) {
        return err_set(err, r.status, "the document is longer than the maximum of %u tokens",
                       session->max_length);
    }
    if (r.n_tokens > capacity) {
        return err_set(err, VECMILL_E_LIMIT, "the document has %u tokens, there is room for %zu",
                       r.n_tokens, capacity);
    }
    memcpy(ids, session->ids, r.n_tokens * sizeof(*ids));
    *n_ids = r.n_tokens;
    if (result) *result = r;
    return VECMILL_OK;
}

const char *vecmill_token_text(const vecmill_session *session, int32_t id, size_t *bytes)
{
    return text_token(&session->text, id, bytes);
}

double vecmill_session_flops(const vecmill_session *session, uint32_t n_tokens)
{
    return model_flops(model_describe(session->model), n_tokens);
}

double vecmill_session_peak(const vecmill_session *session, double seconds)
{
    return kern_peak(session->kern, seconds < 0.01 ? 0.01 : seconds > 10.0 ? 10.0 : seconds);
}
