/* session: one model, ready to compute; the heart of vecmill.h.
 *
 * A call's documents are tokenized one by one into the pass that is being filled; a pass runs when the
 * next document does not fit under batch_tokens. A document longer than that forms a pass alone, so
 * the arena holds the larger of the two. Promises that nothing is allocated after open. Does not know
 * where documents come from. */
#include "vecmill_bench.h"

#include "engine/api.h"
#include "engine/asking.h"
#include "engine/explain.h"
#include "engine/output.h"
#include "engine/split.h"

#include <stdlib.h>
#include <string.h>

/* Documents whose vectors vecmill_compute has at a time, where results have one size. */
#define COMPUTE_DOCS 64u

struct vecmill_session {
    struct resolved resolved;
    struct output output;
    struct pack pack;
    struct text text;
    struct model *model;
    struct team *team; /* NULL: one thread */

    /* in the arena */
    void *arena;
    size_t arena_bytes;
    /* [extent.tokens + longest]: the pass, and the document that may not fit; of pairs
     * [extent.tokens + 3 * longest], as text_encode_pair needs */
    int32_t *ids;
    uint8_t *types;        /* [extent.tokens + longest] of pairs; NULL: of texts */
    uint32_t *starts;      /* [extent.tokens + 1]; of resolved_docs at most */
    struct asking *asking; /* NULL: the model is not asked */
    /* [documents of a pass], of queries whose expansion is not attended; NULL: of others */
    uint32_t *attended;
    uint32_t last_attended; /* of the document that was encoded last */
    char *buffer;           /* of a text and its prompt; NULL: there is none to be put before it */
    void *workspace;
    void *text_scratch; /* of the tokenizer */
    /* [documents of a pass, config.dim], where vectors are cut or are parts of results of several
     * sizes; split has its own. */
    float *rows;
    uint32_t *row_starts;    /* [documents of a pass + 1], of rows of tokens */
    vecmill_result *results; /* of as many; else of COMPUTE_DOCS */
    unsigned char
        *sparse;    /* [sparse_most], where rows come with it; else it is written to its place */
    void *tails;    /* the rows of a pass, or sparse weights of a document, for vecmill_compute */
    float *vectors; /* [COMPUTE_DOCS, dim], likewise */
    struct split split; /* under VECMILL_LONG_SPLIT */
};

static void lay_out_session(struct arena *a, vecmill_session *s)
{
    const uint32_t pass = s->resolved.extent.tokens, longest = s->resolved.extent.longest;
    const bool scores = resolved_scores(&s->resolved);
    s->ids = arena_take_array(a, pass + (size_t)longest * (scores ? 3 : 1), sizeof(int32_t), 64);
    if (s->resolved.question) s->asking = arena_take(a, sizeof *s->asking, 64);
    if (scores) s->types = arena_take(a, (size_t)pass + longest, 64);
    s->starts = arena_take_array(a, (size_t)pass + 1, sizeof(uint32_t), 64);
    if (resolved_leaves_keys(&s->resolved))
        s->attended = arena_take_array(a, resolved_docs(&s->resolved), sizeof(uint32_t), 64);
    if (resolved_buffer_bytes(&s->resolved) > 0)
        s->buffer = arena_take(a, resolved_buffer_bytes(&s->resolved), 64);
    s->workspace = arena_take(
        a, model_workspace_bytes(&s->resolved.config, s->resolved.kern, &s->resolved.extent), 4096);
    s->text_scratch = arena_take(a, s->resolved.text_scratch, 64);
    s->split = (struct split){.resolved = &s->resolved,
                              .text = &s->text,
                              .model = s->model,
                              .team = s->team,
                              .workspace = s->workspace,
                              .text_scratch = s->text_scratch,
                              .buffer = s->buffer,
                              .ids = s->ids,
                              .starts = s->starts};
    const struct output *o = &s->output;
    const uint32_t docs = resolved_docs(&s->resolved);
    const size_t row = s->resolved.config.dim * sizeof(float);
    if (s->resolved.long_policy == VECMILL_LONG_SPLIT)
        split_lay_out(a, &s->resolved, &s->split);
    else if (o->n_tails > 0 ? o->dim > 0 : s->resolved.dim < s->resolved.config.dim)
        s->rows = arena_take_array(a, docs, row, 64);
    if (o->n_tails > 0) {
        s->row_starts = arena_take_array(a, (size_t)docs + 1, sizeof(uint32_t), 64);
        s->results = arena_take_array(a, docs, sizeof(vecmill_result), 64);
    }
    if (o->rows > 0) s->sparse = arena_take(a, o->sparse_most, 64);
    if (s->resolved.prepends && o->n_tails > 0)
        s->tails = arena_take(a, num_max(o->rows, o->tail_most), 64);
    if (s->resolved.prepends && o->n_tails == 0) {
        s->vectors = arena_take_array(a, COMPUTE_DOCS, o->dim * sizeof(float), 64);
        s->results = arena_take_array(a, COMPUTE_DOCS, sizeof(vecmill_result), 64);
    }
}

size_t resolved_session_bytes(const struct resolved *resolved)
{
    struct arena a;
    vecmill_session s = {.resolved = *resolved};
    output_of(resolved, &s.output);
    arena_count(&a);
    lay_out_session(&a, &s);
    return arena_bytes(&a);
}

/* ---- opening ---- */

static vecmill_status take_arena(vecmill_session *s, vecmill_err *err)
{
    struct arena a;
    const size_t bytes = resolved_session_bytes(&s->resolved);
    VM_TRY(mem_map(bytes, "a session's arena", &s->arena, err));
    s->arena_bytes = bytes;
    arena_init(&a, s->arena, bytes);
    output_of(&s->resolved, &s->output);
    lay_out_session(&a, s);
    if (s->resolved.long_policy == VECMILL_LONG_SPLIT) split_begin(&s->split);
    if (s->asking) asking_open(&s->text, s->text_scratch, s->resolved.question, s->asking);
    s->resolved.model = s->model;
    return VECMILL_OK;
}

/* known: the one pack to open, a worker's; NULL: find the model's, build it if need be. */
static vecmill_status open_session(const vecmill_options *options, const struct model_ref *known,
                                   vecmill_session **session, vecmill_err *err)
{
    void *memory = NULL;
    VM_TRY(mem_new(sizeof(vecmill_session), "a session", &memory, err));
    vecmill_session *s = memory;
    vecmill_status status = resolve_session(options, known, &s->resolved, &s->pack, &s->text, err);
    if (status == VECMILL_OK)
        status = model_open(&s->pack, s->resolved.kern, s->resolved.precision, &s->model, err);
    if (status == VECMILL_OK && s->resolved.threads > 1)
        status = team_open(s->resolved.threads, &s->team, err);
    if (status == VECMILL_OK) status = take_arena(s, err);
    if (status == VECMILL_OK) {
        *session = s;
    } else {
        vecmill_session_close(s);
    }
    return status;
}

struct session_opening {
    vecmill_options options;
    vecmill_session **session;
};

static vecmill_status open_from_options(void *context, vecmill_err *err)
{
    const struct session_opening *o = context;
    return open_session(&o->options, NULL, o->session, err);
}

vecmill_status vecmill_session_open(const vecmill_options *options, vecmill_session **session,
                                    vecmill_err *err)
{
    struct session_opening o = {.session = session};
    VM_TRY(api_take_options(options, &o.options, err));
    return api_call(open_from_options, &o, err);
}

vecmill_status engine_session_open(const struct model_ref *ref, const vecmill_options *options,
                                   vecmill_session **session, vecmill_err *err)
{
    return open_session(options, ref, session, err);
}

vecmill_status engine_session_commit(vecmill_session *s, vecmill_err *err)
{
    return mem_commit(s->arena, s->arena_bytes, "a session's arena", err);
}

void vecmill_session_close(vecmill_session *session)
{
    if (!session) return;
    team_close(session->team);
    mem_unmap(session->arena, session->arena_bytes);
    model_close(session->model);
    pack_close(&session->pack);
    mem_free(session);
}

void vecmill_session_describe(const vecmill_session *session, vecmill_facts *facts)
{
    resolved_describe(&session->resolved, session->arena_bytes, facts);
}

/* ---- computing ---- */

/* The pass that is being filled: documents first .. first + n_docs of the call. */
struct pass {
    size_t first;
    uint32_t n_docs;
    uint32_t n_tokens;
};

/* Where the results of a call go: into arrays, or to a sink. */
struct delivery {
    float *vectors;          /* [n_docs, dim] */
    vecmill_result *results; /* [n_docs], or NULL */
    const struct output_sink *sink;
};

/* The results of a pass, which is computed but for sparse weights: these are given as they come. */
struct giving {
    vecmill_session *session;
    size_t first; /* document of the pass */
    const float *token_rows;
    const struct output_sink *sink;
    vecmill_status status;
    vecmill_err *err;
};

/* Document i of the pass. sparse: the part of its weights; NULL where none are computed. */
static vecmill_status give_document(const struct giving *g, uint32_t i, const vecmill_part *sparse,
                                    vecmill_err *err)
{
    vecmill_session *s = g->session;
    const struct output *o = &s->output;
    vecmill_part parts[VECMILL_PARTS_MAX];
    uint32_t n = 0;
    for (uint32_t k = 0; k <= VECMILL_KIND_TOKENS; k++) {
        const vecmill_kind kind = (vecmill_kind)k;
        if ((o->kinds >> k & 1) == 0) continue;
        if (kind == VECMILL_KIND_SPARSE) {
            parts[n++] = *sparse;
        } else if (OUTPUT_ROW_KINDS >> k & 1) {
            const uint32_t first = s->row_starts[i], end = s->row_starts[i + 1];
            parts[n++] =
                output_part(o, kind, end - first, g->token_rows + (size_t)first * o->row_floats);
        } else {
            float *vector = s->rows + i * (size_t)s->resolved.config.dim;
            resolved_finish(&s->resolved, vector, vector);
            parts[n++] = output_part(o, kind, 1, vector);
        }
    }
    output_describe(parts, n, &s->results[i]);
    return g->sink->take(g->sink->context, g->first + i, &s->results[i], parts, n, err);
}

static void give_sparse(void *context, uint32_t doc, const uint32_t *indices, const float *weights,
                        uint32_t n)
{
    struct giving *g = context;
    const struct output *o = &g->session->output;
    vecmill_part part = output_part(o, VECMILL_KIND_SPARSE, n, NULL);
    if (g->status != VECMILL_OK) return;
    unsigned char *to = o->rows > 0
                            ? g->session->sparse
                            : g->sink->room(g->sink->context, (size_t)part.bytes, sizeof(float));
    if (!to) {
        g->status = err_set(g->err, VECMILL_E_STOPPED, "there is no room for sparse weights");
        return;
    }
    memcpy(to, indices, n * sizeof *indices);
    memcpy(to + n * sizeof *indices, weights, n * sizeof *weights);
    part.data = to;
    g->status = give_document(g, doc, &part, g->err);
}

static vecmill_status run_pass(vecmill_session *s, struct pass *p, const struct delivery *to,
                               vecmill_err *err)
{
    if (p->n_docs == 0) return VECMILL_OK;
    const size_t dim = s->resolved.dim, whole = s->resolved.config.dim;
    float *const out = to->sink ? s->rows : to->vectors + p->first * dim;
    float *const rows = dim < whole ? s->rows : out;
    const struct model_input input = {.ids = s->ids,
                                      .starts = s->starts,
                                      .n_docs = p->n_docs,
                                      .types = s->resolved.config.types > 1 ? s->types : NULL,
                                      .no_weight = s->resolved.no_weight,
                                      .n_no_weight = s->resolved.n_no_weight,
                                      .no_row = s->resolved.no_row,
                                      .n_no_row = s->resolved.n_no_row,
                                      .attended = s->attended};
    const bool is_sparse = s->output.kinds >> VECMILL_KIND_SPARSE & 1;
    struct giving giving = {s, p->first, NULL, to->sink, VECMILL_OK, err};
    struct model_output output = {.vectors = rows,
                                  .row_starts = s->row_starts,
                                  .sparse = is_sparse ? give_sparse : NULL,
                                  .context = &giving};
    if (s->output.rows > 0 &&
        !(output.rows = to->sink->room(to->sink->context, (size_t)s->output.rows, 64)))
        return err_set(err, VECMILL_E_STOPPED, "there is no room for rows of tokens");
    giving.token_rows = output.rows;
    VM_TRY(
        model_forward(s->model, s->workspace, &s->resolved.extent, s->team, &input, &output, err));
    VM_TRY(giving.status);
    for (uint32_t i = 0; to->sink && !is_sparse && i < p->n_docs; i++)
        VM_TRY(give_document(&giving, i, NULL, err));
    for (size_t i = 0; !to->sink && i < p->n_docs && resolved_finishes(&s->resolved); i++)
        resolved_finish(&s->resolved, rows + i * whole, out + i * dim);
    p->first += p->n_docs;
    p->n_docs = 0;
    p->n_tokens = 0;
    return VECMILL_OK;
}

/* Head, what is between, cut at the right, and tail. */
static void encode_asking(vecmill_session *s, const struct text_part parts[2], int32_t *ids,
                          struct text_result *t)
{
    const struct asking *a = s->asking;
    const size_t bytes = asking_write(&s->resolved, s->resolved.question, parts, s->buffer);
    memcpy(ids, a->ids, a->n_head * sizeof *ids);
    text_encode_bare(&s->text, s->text_scratch, s->buffer, bytes,
                     s->resolved.max_length - a->n_head - a->n_tail, ids + a->n_head, t);
    t->n_ids += a->n_head;
    memcpy(ids + t->n_ids, a->ids + a->n_head, a->n_tail * sizeof *ids);
    t->n_ids += a->n_tail;
}

static vecmill_result encode_pair(vecmill_session *s, const vecmill_doc *doc, int32_t *ids)
{
    vecmill_doc texts[2] = {{.text = doc->text, .bytes = doc->bytes},
                            {.text = doc->pair, .bytes = doc->pair_bytes}};
    struct text_result t;
    bool cut = resolved_cut(&s->resolved, &texts[0]);
    cut = resolved_cut(&s->resolved, &texts[1]) || cut;
    const struct text_part parts[2] = {{texts[0].text, texts[0].bytes},
                                       {texts[1].text, texts[1].bytes}};
    if (s->asking)
        encode_asking(s, parts, ids, &t);
    else
        text_encode_pair(&s->text, s->text_scratch, parts, s->resolved.max_length, ids,
                         s->types + (ids - s->ids), &t);
    t.truncated = t.truncated || cut;
    const bool failed = t.truncated && s->resolved.long_policy == VECMILL_LONG_ERROR;
    return (vecmill_result){
        .status = failed ? VECMILL_E_LIMIT : VECMILL_OK,
        .n_tokens = t.n_ids,
        .truncated = t.truncated,
        .replaced_bytes = t.replaced_bytes,
    };
}

/* What late interaction adds to a text: a marker after the first special tokens, and what fills a
 * query. */
static void mark_and_expand(vecmill_session *s, int32_t *ids, struct text_result *t)
{
    const struct resolved *r = &s->resolved;
    const uint32_t at = s->text.n_before;
    if (r->marker >= 0) {
        memmove(ids + at + 1, ids + at, (t->n_ids - at) * sizeof *ids);
        ids[at] = r->marker;
        t->n_ids++;
    }
    s->last_attended = t->n_ids;
    while (t->n_ids < r->expands_to)
        ids[t->n_ids++] = r->expansion;
}

static vecmill_result encode_document(vecmill_session *s, vecmill_doc doc, int32_t *ids)
{
    struct text_result t;
    if (resolved_scores(&s->resolved)) return encode_pair(s, &doc, ids);
    doc = resolved_prepend(&s->resolved, s->buffer, doc);
    const bool cut = resolved_cut(&s->resolved, &doc);
    if (resolved_encloses(&s->resolved)) {
        const uint32_t marks = s->resolved.marker >= 0 ? 1 : 0;
        text_encode(&s->text, s->text_scratch, doc.text, doc.bytes, s->resolved.max_length - marks,
                    ids, &t);
        mark_and_expand(s, ids, &t);
    } else {
        text_encode_bare(&s->text, s->text_scratch, doc.text, doc.bytes, s->resolved.max_length,
                         ids, &t);
        /* those that are left out have counted for the length */
        t.n_ids = resolved_keep_known(&s->resolved, &s->text, ids, t.n_ids);
    }
    t.truncated = t.truncated || cut;
    bool failed = t.truncated && s->resolved.long_policy == VECMILL_LONG_ERROR;
    return (vecmill_result){
        .status = failed ? VECMILL_E_LIMIT : VECMILL_OK,
        .n_tokens = t.n_ids,
        .truncated = t.truncated,
        .replaced_bytes = t.replaced_bytes,
    };
}

/* A document that failed: a row of zeros, or no part. */
static vecmill_status give_failed(const vecmill_session *s, size_t i, const vecmill_result *r,
                                  const struct delivery *to, vecmill_err *err)
{
    const size_t dim = s->resolved.dim;
    if (to->sink) return to->sink->take(to->sink->context, i, r, NULL, 0, err);
    memset(to->vectors + i * dim, 0, dim * sizeof(*to->vectors));
    return VECMILL_OK;
}

static vecmill_status compute(vecmill_session *s, const vecmill_doc *docs, size_t n_docs,
                              const struct delivery *to, vecmill_err *err)
{
    struct pass p = {0};
    s->starts[0] = 0;
    for (size_t i = 0; i < n_docs; i++) {
        int32_t *ids = s->ids + p.n_tokens;
        vecmill_result r = encode_document(s, docs[i], ids);
        const bool failed = r.status != VECMILL_OK;
        /* A pass is a run of documents, so that its rows lie together: a failed one ends it. */
        if (failed || (p.n_docs && r.n_tokens > s->resolved.batch_tokens - p.n_tokens)) {
            VM_TRY(run_pass(s, &p, to, err));
            memmove(s->ids, ids, r.n_tokens * sizeof(*ids));
            if (s->types) memmove(s->types, s->types + (ids - s->ids), r.n_tokens);
        }
        if (failed) {
            r.n_tokens = 0;
            p.first = i + 1;
            VM_TRY(give_failed(s, i, &r, to, err));
        } else {
            p.n_tokens += r.n_tokens;
            if (s->attended) s->attended[p.n_docs] = s->last_attended;
            s->starts[++p.n_docs] = p.n_tokens;
            if (to->sink)
                s->results[p.n_docs - 1] = r;
            else
                resolved_result_is_dense(&s->resolved, &r);
        }
        if (to->results) to->results[i] = r;
        if (p.n_tokens >= s->resolved.batch_tokens || p.n_docs == resolved_docs(&s->resolved))
            VM_TRY(run_pass(s, &p, to, err));
    }
    return run_pass(s, &p, to, err);
}

static vecmill_status check_docs(const vecmill_session *s, const vecmill_doc *docs, size_t n_docs,
                                 vecmill_err *err)
{
    for (size_t i = 0; i < n_docs; i++)
        VM_TRY(resolved_check_doc(&s->resolved, &docs[i], err));
    return VECMILL_OK;
}

vecmill_status vecmill_embed(vecmill_session *session, const vecmill_doc *docs, size_t n_docs,
                             float *vectors, vecmill_result *results, vecmill_err *err)
{
    vecmill_session *s = session;
    const struct delivery to = {.vectors = vectors, .results = results};
    VM_TRY(check_docs(s, docs, n_docs, err));
    if (s->output.n_tails > 0)
        return err_set(err, VECMILL_E_USAGE,
                       "results of this session differ in size: vecmill_compute takes them");
    if (s->resolved.long_policy == VECMILL_LONG_SPLIT)
        return split_embed(&s->split, docs, n_docs, vectors, results, err);
    return compute(s, docs, n_docs, &to, err);
}

void engine_session_output(const vecmill_session *s, struct output *output)
{
    *output = s->output;
}

vecmill_status engine_compute(vecmill_session *s, const vecmill_doc *docs, size_t n_docs,
                              const struct output_sink *sink, vecmill_err *err)
{
    const struct delivery to = {.sink = sink};
    VM_TRY(check_docs(s, docs, n_docs, err));
    return compute(s, docs, n_docs, &to, err);
}

/* A caller's of vecmill_compute. */
struct taker {
    vecmill_session *session;
    vecmill_take_fn take;
    void *context;
};

static void *take_room(void *context, size_t bytes, size_t align)
{
    (void)bytes;
    (void)align;
    return ((struct taker *)context)->session->tails;
}

static vecmill_status take_result(void *context, size_t d, const vecmill_result *result,
                                  const vecmill_part *parts, uint32_t n_parts, vecmill_err *err)
{
    const struct taker *t = context;
    return t->take(t->context, d, result, parts, n_parts, err);
}

/* Results of one size, some documents at a time. */
static vecmill_status take_vectors(const struct taker *t, const vecmill_doc *docs, size_t n_docs,
                                   vecmill_err *err)
{
    vecmill_session *s = t->session;
    for (size_t first = 0; first < n_docs; first += COMPUTE_DOCS) {
        const size_t n = num_min(COMPUTE_DOCS, n_docs - first);
        VM_TRY(vecmill_embed(s, docs + first, n, s->vectors, s->results, err));
        for (size_t i = 0; i < n; i++) {
            vecmill_part part[VECMILL_PARTS_MAX];
            const uint32_t n_parts =
                s->results[i].status == VECMILL_OK
                    ? output_parts(&s->output, s->vectors + i * s->output.dim, NULL, 0, part)
                    : 0;
            VM_TRY(t->take(t->context, first + i, &s->results[i], part, n_parts, err));
        }
    }
    return VECMILL_OK;
}

vecmill_status vecmill_compute(vecmill_session *session, const vecmill_doc *docs, size_t n_docs,
                               vecmill_take_fn take, void *context, vecmill_err *err)
{
    struct taker t = {session, take, context};
    const struct output_sink sink = {take_room, take_result, &t};
    if (session->output.n_tails == 0) return take_vectors(&t, docs, n_docs, err);
    return engine_compute(session, docs, n_docs, &sink, err);
}

vecmill_status vecmill_tokenize(vecmill_session *session, vecmill_doc doc, int32_t *ids,
                                size_t capacity, size_t *n_ids, vecmill_result *result,
                                vecmill_err *err)
{
    VM_TRY(resolved_check_doc(&session->resolved, &doc, err));
    vecmill_result r = encode_document(session, doc, session->ids);
    if (r.status != VECMILL_OK) {
        return err_set(err, r.status, "the document is longer than the maximum of %u tokens",
                       session->resolved.max_length);
    }
    if (r.n_tokens > capacity) {
        return err_set(err, VECMILL_E_LIMIT, "the document has %u tokens, there is room for %zu",
                       r.n_tokens, capacity);
    }
    memcpy(ids, session->ids, r.n_tokens * sizeof(*ids));
    *n_ids = r.n_tokens;
    r.kind = VECMILL_KIND_IDS;
    r.dtype = VECMILL_DTYPE_INT32;
    r.count = r.n_tokens;
    r.bytes = r.n_tokens * sizeof(*ids);
    if (result) *result = r;
    return VECMILL_OK;
}

/* Tokens of a text that are kept as far as there is room. */
struct token_list {
    vecmill_token *at;
    size_t n, capacity;
};

static void keep_token(struct token_list *t, vecmill_token token)
{
    if (t->n < t->capacity) t->at[t->n] = token;
    t->n++;
}

static void keep_piece(void *context, const struct text_piece *p)
{
    keep_token(context, (vecmill_token){p->id, p->word, p->start, p->end});
}

vecmill_status vecmill_tokens(vecmill_session *session, vecmill_doc doc, int specials,
                              vecmill_token *tokens, size_t capacity, size_t *n_tokens,
                              vecmill_err *err)
{
    const struct text *text = &session->text;
    int32_t around[TEXT_SPECIALS_MAX];
    void *memory = NULL;
    if (!resolved_scores(&session->resolved))
        VM_TRY(resolved_check_doc(&session->resolved, &doc, err));
    VM_TRY(api_check_doc(&doc, err));
    if (doc.bytes > VECMILL_MAX_DOCUMENT) {
        return err_set(err, VECMILL_E_LIMIT, "a text of %zu bytes, over VECMILL_MAX_DOCUMENT, %u",
                       doc.bytes, VECMILL_MAX_DOCUMENT);
    }
    VM_TRY(mem_new(text_pieces_bytes(text, doc.bytes), "the tokens of a text", &memory, err));
    struct token_list t = {.at = tokens, .capacity = capacity};
    const bool encloses = specials && resolved_encloses(&session->resolved);
    const uint32_t n_around = encloses ? text_enclose(text, around, 0) : 0;
    for (uint32_t i = 0; i < n_around && i < text->n_before; i++)
        keep_token(&t, (vecmill_token){.id = around[i], .word = UINT32_MAX});
    const vecmill_status status =
        text_pieces(memory, text, doc.text, doc.bytes, keep_piece, &t, err);
    for (uint32_t i = text->n_before; i < n_around; i++)
        keep_token(&t, (vecmill_token){.id = around[i], .word = UINT32_MAX});
    mem_free(memory);
    if (status == VECMILL_OK) *n_tokens = t.n;
    return status;
}

vecmill_status vecmill_explain(vecmill_session *session, vecmill_doc doc,
                               void (*each)(void *context, const vecmill_made *made), void *context,
                               vecmill_err *err)
{
    const struct explain explain = {.text = &session->text,
                                    .resolved = &session->resolved,
                                    .max_tokens = session->resolved.max_length};
    return explain_run(&explain, doc, each, context, err);
}

const char *vecmill_token_text(const vecmill_session *session, int32_t id, size_t *bytes)
{
    return text_token(&session->text, id, bytes);
}

double vecmill_session_flops(const vecmill_session *session, uint32_t n_tokens)
{
    return model_flops(model_describe(session->model), session->resolved.kinds, n_tokens);
}

double vecmill_session_peak(const vecmill_session *session, double seconds)
{
    return kern_peak(session->resolved.kern, session->resolved.precision,
                     seconds < 0.01   ? 0.01
                     : seconds > 10.0 ? 10.0
                                      : seconds);
}
