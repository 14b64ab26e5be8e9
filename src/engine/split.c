/* A document that fits is one window; so all that a pass holds are windows, in the
 * order of documents and in a document of its text, and rows are added up as they come. */
#include "engine/split.h"

#include <assert.h>
#include <string.h>

struct split_window {
    size_t doc;
    uint32_t n_text; /* tokens without the special ones: its weight */
    bool last;       /* of its document */
};

/* ---- shape ---- */

struct split_shape split_shape(uint32_t max_length, uint32_t n_specials)
{
    assert(max_length > n_specials);
    const uint32_t content = max_length - n_specials, overlap = content / SPLIT_OVERLAP_PART;
    return (struct split_shape){content, overlap, content - overlap};
}

struct split_shape split_shape_of(const struct resolved *resolved)
{
    struct split_shape shape =
        split_shape(resolved->max_length, resolved->n_specials + resolved->prompt_tokens);
    if (model_is_bag(&resolved->config)) {
        shape.overlap = 0;
        shape.stride = shape.content;
    }
    return shape;
}

uint64_t split_windows(const struct split_shape *shape, uint64_t n_tokens)
{
    if (n_tokens <= shape->content) return 1;
    return 1 + (n_tokens - shape->content + shape->stride - 1) / shape->stride;
}

uint64_t split_guess_tokens(const char *text, size_t bytes)
{
    uint64_t n = 0;
    bool odd = false; /* an odd number of letters is before this character */
    for (size_t i = 0; i < bytes; i++) {
        const unsigned char c = (unsigned char)text[i];
        const bool letter = (c | 32) >= 'a' && (c | 32) <= 'z';
        if (letter)
            n += !odd;
        else
            n += c > ' ' && (c & 0xC0) != 0x80;
        odd = letter && !odd;
    }
    return n;
}

/* ---- memory ---- */

void split_lay_out(struct arena *a, const struct resolved *resolved, struct split *split)
{
    const size_t n_windows = resolved_docs(resolved);
    const size_t dim = resolved->config.dim;
    split->stream = arena_take(a, text_stream_bytes(), 64);
    split->windows = arena_take_array(a, n_windows, sizeof(struct split_window), 64);
    split->rows = arena_take_array(a, n_windows, dim * sizeof(float), 64);
    split->sum = arena_take_array(a, dim, sizeof(double), 64);
    /* Of a plan its number of tokens is not known; it is less than a window's. */
    if (resolved->prompt_bytes > 0)
        split->prompt = arena_take_array(a, resolved->max_length, sizeof(int32_t), 64);
}

void split_begin(struct split *s)
{
    const struct resolved *r = s->resolved;
    uint32_t n;
    bool more;
    if (r->prompt_bytes == 0) return;
    struct text_stream *stream =
        text_stream_begin(s->stream, s->text_scratch, s->text, r->prompt, r->prompt_bytes);
    (void)text_stream_next(stream, s->prompt, r->prompt_tokens, &n, &more,
                           NULL); /* counted before */
}

/* ---- computing ---- */

struct split_progress {
    uint32_t n_windows, n_tokens; /* of the pass that is being filled */
    uint64_t weight;              /* in split->sum; 0: no document is being added up */
    float *vectors;               /* the call's */
};

/* A document's next row, which is overwritten. A product is exact in double (24 bits and 17), so that the
 * sum's error is that of adding, 1e-16 a window, however many there are. */
static void add_row(const struct split *s, struct split_progress *p, const struct split_window *w,
                    float *row)
{
    const uint32_t dim = s->resolved->config.dim;
    float *vector = p->vectors + w->doc * s->resolved->dim;
    if (w->last && p->weight == 0) {
        resolved_finish(s->resolved, row, vector); /* the only one */
        return;
    }
    for (uint32_t k = 0; k < dim; k++)
        s->sum[k] = (p->weight ? s->sum[k] : 0.0) + (double)w->n_text * (double)row[k];
    p->weight += w->n_text;
    if (!w->last) return;
    for (uint32_t k = 0; k < dim; k++)
        row[k] = (float)(s->sum[k] / (double)p->weight);
    if (model_normalizes(&s->resolved->config)) s->resolved->kern->normalize(row, dim);
    resolved_finish(s->resolved, row, vector);
    p->weight = 0;
}

static vecmill_status run_windows(const struct split *s, struct split_progress *p, vecmill_err *err)
{
    const struct resolved *resolved = s->resolved;
    const struct model_input input = {.ids = s->ids, .starts = s->starts, .n_docs = p->n_windows};
    const struct model_output output = {.vectors = s->rows};
    VM_TRY(model_forward(s->model, s->workspace, &resolved->extent, s->team, &input, &output, err));
    for (uint32_t i = 0; i < p->n_windows; i++)
        add_row(s, p, &s->windows[i], s->rows + (size_t)i * resolved->config.dim);
    p->n_windows = p->n_tokens = 0;
    return VECMILL_OK;
}

/* Puts the window of n_ids at `ids`, after the pass, into it, or into the next when it does not fit. */
static vecmill_status add_window(const struct split *s, struct split_progress *p,
                                 struct split_window w, const int32_t *ids, uint32_t n_ids,
                                 vecmill_err *err)
{
    if (p->n_windows > 0 && n_ids > s->resolved->batch_tokens - p->n_tokens) {
        VM_TRY(run_windows(s, p, err));
        memmove(s->ids, ids, n_ids * sizeof(*ids));
    }
    s->windows[p->n_windows++] = w;
    p->n_tokens += n_ids;
    s->starts[p->n_windows] = p->n_tokens;
    return VECMILL_OK;
}

/* Takes a document's windows out of the pass, and gives it a row of zeros: its text has no end that the
 * tokenizer can reach. n_added: its windows that were put into passes. */
static void drop_document(const struct split *s, struct split_progress *p, size_t i,
                          uint32_t n_added, vecmill_result *result)
{
    uint32_t n_dropped = 0;
    for (; p->n_windows > 0 && s->windows[p->n_windows - 1].doc == i; n_dropped++)
        p->n_windows--;
    p->n_tokens = s->starts[p->n_windows];
    if (n_dropped < n_added) p->weight = 0; /* of those that were computed */
    memset(p->vectors + i * s->resolved->dim, 0, s->resolved->dim * sizeof(*p->vectors));
    *result = (vecmill_result){.status = VECMILL_E_LIMIT};
}

static vecmill_status add_document(const struct split *s, struct split_progress *p, size_t i,
                                   vecmill_doc doc, vecmill_result *result, vecmill_err *err)
{
    const struct text *text = s->text;
    const struct split_shape shape = split_shape_of(s->resolved);
    const bool encloses = resolved_encloses(s->resolved);
    const uint32_t n_before = encloses ? text->n_before : 0;
    struct text_stream *stream =
        text_stream_begin(s->stream, s->text_scratch, text, doc.text, doc.bytes);
    const uint32_t n_prompt = s->resolved->prompt_tokens, n_most = n_prompt + shape.content;
    uint64_t n_tokens = 0;
    uint32_t n_added = 0;
    /* Tokens that a window begins with: the prompt's, and the last ones of the window before. The first
     * window's are all of the stream, which begins with the prompt. */
    uint32_t n_begun = 0;
    bool more = true;
    while (more) {
        int32_t *ids = s->ids + p->n_tokens, *first = ids + n_before;
        uint32_t n_new;
        if (text_stream_next(stream, first + n_begun, n_most - n_begun, &n_new, &more, NULL) !=
            VECMILL_OK) {
            drop_document(s, p, i, n_added, result);
            return VECMILL_OK;
        }
        const uint32_t n = resolved_keep_known(s->resolved, text, first, n_begun + n_new);
        const uint32_t n_ids = encloses ? text_enclose(text, ids, n) : n;
        const uint32_t n_text = n - (uint32_t)num_min(n, n_prompt);
        n_added++;
        n_tokens += n_ids;
        VM_TRY(add_window(s, p, (struct split_window){i, n_text, !more}, ids, n_ids, err));
        const int32_t *end = s->ids + p->n_tokens - n_ids + n_before + n;
        if (p->n_tokens >= s->resolved->batch_tokens || p->n_windows == resolved_docs(s->resolved))
            VM_TRY(run_windows(s, p, err));
        if (!more) break;
        int32_t *next = s->ids + p->n_tokens + n_before;
        memmove(next + n_prompt, end - shape.overlap, shape.overlap * sizeof(*ids));
        if (n_prompt > 0) memcpy(next, s->prompt, n_prompt * sizeof(*ids));
        n_begun = n_prompt + shape.overlap;
    }
    *result = (vecmill_result){
        .status = VECMILL_OK,
        .n_tokens = (uint32_t)num_min(n_tokens, UINT32_MAX),
        .replaced_bytes = text_stream_replaced(stream),
    };
    resolved_result_is_dense(s->resolved, result);
    return VECMILL_OK;
}

vecmill_status split_embed(struct split *split, const vecmill_doc *docs, size_t n_docs,
                           float *vectors, vecmill_result *results, vecmill_err *err)
{
    struct split_progress p = {.vectors = vectors};
    split->starts[0] = 0;
    for (size_t i = 0; i < n_docs; i++) {
        vecmill_result r = {.status = VECMILL_E_LIMIT};
        if (split->buffer && docs[i].bytes > VECMILL_TEXT_BYTES) {
            memset(vectors + i * split->resolved->dim, 0, split->resolved->dim * sizeof *vectors);
        } else {
            const vecmill_doc doc = resolved_prepend(split->resolved, split->buffer, docs[i]);
            VM_TRY(add_document(split, &p, i, doc, &r, err));
        }
        if (results) results[i] = r;
    }
    return run_windows(split, &p, err);
}
