#include "vocab.h"

#include <math.h>
#include <string.h>

/* Some documents of a pass. */
struct group {
    const struct pass *p;
    uint32_t first, end; /* documents */
};

uint32_t vocab_documents(const struct model_config *c, uint32_t rows)
{
    const size_t fit = VOCAB_BYTES / (num_max(1, c->vocab) * sizeof(float));
    return (uint32_t)num_max(1, num_min(fit, rows));
}

/* log(1 + x), once or twice; the activation of SpladePooling after its relu. */
static double logs(const struct model_config *c, double x)
{
    for (uint32_t i = 0; i < c->sparse_logs; i++)
        x = log1p(x);
    return x;
}

/* A block of rows through the head's Dense and norm, into the pass's rows for them. */
static void transform(void *context, uint32_t item, uint32_t thread)
{
    const struct pass *p = context;
    const struct model *m = p->model;
    const struct work_own *own = &p->work.own[thread];
    const uint32_t tokens = p->in.starts[p->in.n_docs], first = item * WORK_BLOCK_ROWS;
    const struct gemm_shape shape = arch_product(m->arch, &m->config, 0, PART_VOCAB_DENSE);
    const uint32_t n = (uint32_t)num_min(WORK_BLOCK_ROWS, tokens - first);
    const struct gemm_call call = {
        .shape = shape,
        .packed = model_part(m, 0, PART_VOCAB_DENSE),
        .bias = model_part(m, 0, PART_VOCAB_DENSE_BIAS),
        .x = p->work.states + (size_t)first * shape.k,
        .y = own->y,
        .ldy = shape.n,
        .columns = shape.n,
        .rows = n,
        .scratch = own->gemm_scratch,
    };
    const struct norm_call norm = {
        .kind = NORM_LAYER,
        .eps = m->config.eps,
        .gamma = model_part(m, 0, PART_VOCAB_NORM),
        .beta = model_part(m, 0, PART_VOCAB_NORM_BIAS),
        .x = own->y,
        .out = p->work.vocab_rows + (size_t)first * shape.n,
        .n = n,
        .h = shape.n,
    };
    gemm_run(m->kern, &call);
    m->kern->norm(&norm);
}

/* The larger of each column, or what is not a number. */
static void take_largest(const float *logits, uint32_t n, float *best)
{
    for (uint32_t c = 0; c < n; c++)
        best[c] = logits[c] > best[c] || isnan(logits[c]) ? logits[c] : best[c];
}

static void take_sum(const struct model_config *config, const float *logits, uint32_t n,
                     float *best)
{
    for (uint32_t c = 0; c < n; c++) {
        if (!(logits[c] <= 0)) best[c] += (float)logs(config, (double)logits[c]);
    }
}

/* A slice of the vocabulary, for all rows of a group. The values of a document begin as 0, which is
 * what relu makes of anything less. */
static void take_slice(void *context, uint32_t slice, uint32_t thread)
{
    const struct group *g = context;
    const struct pass *p = g->p;
    const struct model *m = p->model;
    const struct model_config *c = &m->config;
    const struct work_own *own = &p->work.own[thread];
    const struct gemm_shape shape = arch_slice(m->arch, c, PART_VOCAB, slice);
    const size_t column = (size_t)slice * ARCH_SLICE;
    const char *packed = model_part(m, 0, PART_VOCAB);
    const float *bias = model_part(m, 0, PART_VOCAB_BIAS);
    const uint32_t end = p->in.starts[g->end];
    float *best = p->work.vocab_best + column;
    uint32_t doc = g->first;
    for (uint32_t d = g->first; d < g->end; d++)
        memset(best + (size_t)(d - g->first) * c->vocab, 0, shape.n * sizeof *best);
    for (uint32_t first = p->in.starts[g->first]; first < end; first += WORK_BLOCK_ROWS) {
        const struct gemm_call call = {
            .shape = shape,
            .packed = packed + slice * m->slice_bytes,
            .bias = bias + column,
            .x = p->work.vocab_rows + (size_t)first * shape.k,
            .y = own->logits,
            .ldy = ARCH_SLICE,
            .columns = shape.n,
            .rows = (uint32_t)num_min(WORK_BLOCK_ROWS, end - first),
            .scratch = own->gemm_scratch,
        };
        gemm_run(m->kern, &call);
        for (uint32_t r = 0; r < call.rows; r++) {
            const float *logits = own->logits + (size_t)r * ARCH_SLICE;
            while (first + r >= p->in.starts[doc + 1])
                doc++;
            float *of_doc = best + (size_t)(doc - g->first) * c->vocab;
            if (c->sparse == MODEL_SPARSE_SUM)
                take_sum(c, logits, shape.n, of_doc);
            else
                take_largest(logits, shape.n, of_doc);
        }
    }
}

/* Gives away one document's weights; they are written over its values. */
static vecmill_status give(const struct pass *p, uint32_t doc, float *best, vecmill_err *err)
{
    const struct model_config *c = &p->model->config;
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->vocab; i++) {
        if (!isfinite(best[i]))
            return err_set(err, VECMILL_E_MODEL,
                           "the weights overflow: that of token %u of %u is not finite", i,
                           c->vocab);
        const float weight =
            c->sparse == MODEL_SPARSE_SUM ? best[i] : (float)logs(c, (double)best[i]);
        if (!(weight > 0)) continue;
        p->work.vocab_found[n] = i;
        best[n++] = weight;
    }
    p->out.sparse(p->out.context, doc, p->work.vocab_found, best, n);
    return VECMILL_OK;
}

vecmill_status vocab_run(struct pass *p, vecmill_err *err)
{
    const struct model *m = p->model;
    const struct model_config *c = &m->config;
    const uint32_t n_docs = p->in.n_docs, tokens = p->in.starts[n_docs];
    struct group g = {.p = p};
    team_run(p->team, transform, p, (tokens + WORK_BLOCK_ROWS - 1) / WORK_BLOCK_ROWS);
    for (; g.first < n_docs; g.first = g.end) {
        g.end = (uint32_t)num_min(n_docs, g.first + p->work.vocab_docs);
        team_run(p->team, take_slice, &g, arch_slices(m->arch, c, PART_VOCAB));
        for (uint32_t d = g.first; d < g.end; d++)
            VM_TRY(give(p, d, p->work.vocab_best + (size_t)(d - g.first) * c->vocab, err));
    }
    return VECMILL_OK;
}

double vocab_flops(const struct arch *arch, const struct model_config *c, uint32_t n)
{
    const double dense = (double)arch_product(arch, c, 0, PART_VOCAB_DENSE).n;
    const double vocab = (double)arch_product(arch, c, 0, PART_VOCAB).n;
    return 2.0 * n * c->hidden * (dense + vocab);
}
