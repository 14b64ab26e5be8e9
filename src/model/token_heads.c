#include "token_heads.h"

#include <math.h>
#include <string.h>

static bool has_weights(const struct model_config *c, uint32_t kinds)
{
    return kinds >> MODEL_SPARSE & 1 && c->sparse == MODEL_SPARSE_OWN;
}

/* One of ascending ids. */
static bool is_among(int32_t id, const int32_t *ids, uint32_t n)
{
    uint32_t low = 0;
    while (n > 0) { /* it is one of ids[low .. low + n), if any */
        const uint32_t half = n / 2;
        if (ids[low + half] == id) return true;
        if (ids[low + half] < id) {
            low += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return false;
}

size_t token_heads_scratch(const struct model_config *config, const struct kern *kern,
                           uint32_t kinds, size_t rows)
{
    struct model_config view;
    size_t bytes = 0;
    if (kinds >> MODEL_MULTI & 1) {
        ending_view(config, ENDING_MULTI, &view);
        bytes = ending_scratch_bytes(&view, kern, rows);
    }
    if (has_weights(config, kinds)) {
        ending_view(config, ENDING_WEIGHT, &view);
        bytes = num_max(bytes, ending_scratch_bytes(&view, kern, rows));
    }
    return bytes;
}

double token_heads_flops(const struct model_config *config, uint32_t kinds, uint32_t n)
{
    struct model_config view;
    double flops = 0;
    if (kinds >> MODEL_MULTI & 1) {
        ending_view(config, ENDING_MULTI, &view);
        flops += (double)(n - num_min(n, config->multi_skips)) * ending_flops(&view);
    }
    if (has_weights(config, kinds)) {
        ending_view(config, ENDING_WEIGHT, &view);
        flops += n * ending_flops(&view);
    }
    return flops;
}

/* ---- a vector for each token ---- */

static void run_vectors(void *context, uint32_t item, uint32_t thread)
{
    const struct pass *p = context;
    const struct ending *e = &p->model->multi;
    const uint32_t first = item * WORK_BLOCK_ROWS, n = p->out.row_starts[p->in.n_docs] - first;
    ending_run_rows(e, p->work.states, p->work.taken + first, (uint32_t)num_min(n, WORK_BLOCK_ROWS),
                    p->work.own[thread].attention_scratch,
                    p->out.rows + (size_t)first * e->config->dim);
}

void token_heads_multi(struct pass *p)
{
    uint32_t n = 0;
    for (uint32_t d = 0; d < p->in.n_docs; d++) {
        p->out.row_starts[d] = n;
        const uint32_t first = p->in.starts[d] + p->model->config.multi_skips;
        for (uint32_t i = first; i < p->in.starts[d + 1]; i++)
            if (!is_among(p->in.ids[i], p->in.no_row, p->in.n_no_row)) p->work.taken[n++] = i;
    }
    p->out.row_starts[p->in.n_docs] = n;
    team_run(p->team, run_vectors, p, (n + WORK_BLOCK_ROWS - 1) / WORK_BLOCK_ROWS);
}

/* ---- weights of a document's own tokens ---- */

static void run_weights(void *context, uint32_t item, uint32_t thread)
{
    const struct pass *p = context;
    const uint32_t first = item * WORK_BLOCK_ROWS, n = p->in.starts[p->in.n_docs] - first;
    const size_t state = arch_size(&p->model->config, 0, SIZE_STATE);
    ending_run_rows(&p->model->weight, p->work.states + first * state, NULL,
                    (uint32_t)num_min(n, WORK_BLOCK_ROWS), p->work.own[thread].attention_scratch,
                    p->work.weights + first);
}

/* A token and its weight as one number: the larger weight of two of the same token is the larger
 * number, since weights are not negative and of such floats the bits are in their order. */
static uint64_t pair_of(int32_t id, float weight)
{
    uint32_t bits;
    memcpy(&bits, &weight, sizeof bits);
    return (uint64_t)(uint32_t)id << 32 | bits;
}

static void sift(uint64_t *v, uint32_t at, uint32_t n)
{
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && v[child + 1] > v[child]) child++;
        if (v[at] >= v[child]) return;
        const uint64_t swap = v[at];
        v[at] = v[child];
        v[child] = swap;
    }
}

/* Ascending, in place: qsort may take memory. */
static void heap_sort(uint64_t *v, uint32_t n)
{
    for (uint32_t i = n / 2; i-- > 0;)
        sift(v, i, n);
    for (uint32_t i = n; i-- > 1;) {
        const uint64_t swap = v[0];
        v[0] = v[i];
        v[i] = swap;
        sift(v, 0, i);
    }
}

static vecmill_status give(const struct pass *p, uint32_t doc, vecmill_err *err)
{
    const struct work *w = &p->work;
    uint32_t n = 0, n_found = 0;
    for (uint32_t i = p->in.starts[doc]; i < p->in.starts[doc + 1]; i++) {
        if (!isfinite(w->weights[i]))
            return err_set(err, VECMILL_E_MODEL,
                           "the weights overflow: that of token %u of a document is not finite",
                           i - p->in.starts[doc]);
        if (w->weights[i] > 0 && !is_among(p->in.ids[i], p->in.no_weight, p->in.n_no_weight))
            w->pairs[n++] = pair_of(p->in.ids[i], w->weights[i]);
    }
    heap_sort(w->pairs, n);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t id = (uint32_t)(w->pairs[i] >> 32), bits = (uint32_t)w->pairs[i];
        if (i + 1 < n && w->pairs[i + 1] >> 32 == id) continue; /* a larger one follows */
        w->found[n_found] = id;
        memcpy(&w->best[n_found++], &bits, sizeof bits);
    }
    p->out.sparse(p->out.context, doc, w->found, w->best, n_found);
    return VECMILL_OK;
}

vecmill_status token_heads_sparse(struct pass *p, vecmill_err *err)
{
    const uint32_t tokens = p->in.starts[p->in.n_docs];
    team_run(p->team, run_weights, p, (tokens + WORK_BLOCK_ROWS - 1) / WORK_BLOCK_ROWS);
    for (uint32_t d = 0; d < p->in.n_docs; d++)
        VM_TRY(give(p, d, err));
    return VECMILL_OK;
}
