/* steps: the operations of a family's steps on a block of rows (arch.h). */
#include "experts.h"
#include "pass.h"

#include <string.h>

/* A product's inputs and after them those of the tasks (arch.h): [b->n, k]. */
static const float *with_tasks(const struct pass *p, const struct block *b,
                               const struct arch_weight *w, const float *x, uint32_t k)
{
    const struct model *m = p->model;
    const struct gemm_shape shape = arch_product(m->arch, &m->config, b->kind, w->task);
    const size_t bytes = m->layout.bytes[b->kind][w->task] / m->config.n_tasks;
    const struct work_own *own = &p->work.own[b->thread];
    for (uint32_t r = 0; r < b->n; r++) {
        float *row = own->inputs + (size_t)r * k;
        memcpy(row, x + (size_t)r * shape.k, shape.k * sizeof *x);
        memset(row + shape.k, 0, (k - shape.k) * sizeof *x);
    }
    if (p->task == 0) return own->inputs;
    const struct gemm_call call = {
        .shape = shape,
        .packed = (const char *)model_part(m, b->layer, w->task) + (p->task - 1) * bytes,
        .x = x,
        .y = own->inputs + shape.k + (size_t)(p->task - 1) * shape.n,
        .ldy = k,
        .columns = shape.n,
        .rows = b->n,
        .scratch = own->gemm_scratch,
    };
    gemm_run(m->kern, &call);
    return own->inputs;
}

static void product(const struct pass *p, const struct arch_step *step, const struct block *b)
{
    const struct model *m = p->model;
    const struct gemm_shape shape = arch_product(m->arch, &m->config, b->kind, step->part);
    const uint32_t queries = arch_size(&m->config, b->kind, SIZE_QUERIES);
    const struct arch_weight *w = arch_weight(m->arch, &m->config, b->kind, step->part);
    const bool has_tasks = w->task && m->config.n_tasks > 0;
    const float *x = b->at[step->in];
    uint32_t first = 0, end = shape.n;
    if (step->part == PART_QKV && !b->queries) first = queries;
    if (step->part == PART_QKV && !b->keys) end = queries;
    const struct gemm_call call = {
        .shape = shape,
        .packed = model_part(m, b->layer, step->part),
        .bias = model_part(m, b->layer, step->part + 1),
        .x = has_tasks ? with_tasks(p, b, w, x, shape.k) : x,
        .y = b->at[step->out] + first,
        .ldy = step->part == PART_QKV ? b->ld_qkv : shape.n,
        .first = first,
        .columns = end - first,
        .rows = b->n,
        .scratch = p->work.own[b->thread].gemm_scratch,
    };
    gemm_run(m->kern, &call);
}

static void norm(const struct pass *p, const struct arch_step *step, const struct block *b)
{
    const struct model *m = p->model;
    const struct arch_weight *w = arch_weight(m->arch, &m->config, b->kind, step->part);
    const uint32_t h = arch_size(&m->config, b->kind, w->sources[0].rows);
    const uint32_t times = step->eps_times ? arch_size(&m->config, b->kind, step->eps_times) : 1;
    const struct norm_call call = {
        .kind = m->arch->norm,
        .eps = m->config.eps * (float)times,
        .gamma = model_part(m, b->layer, step->part),
        .beta = model_part(m, b->layer, step->part + 1),
        .x = b->at[step->in],
        .add = step->add ? b->at[step->add] : NULL,
        .out = b->at[step->out],
        .n = b->n,
        .h = h,
    };
    if (call.gamma)
        m->kern->norm(&call);
    else
        memcpy(call.out, call.x, (size_t)b->n * h * sizeof *call.x);
}

/* The norms of queries and keys: of a head each, or of all heads together. */
static void qk_norm(const struct pass *p, const struct block *b)
{
    const struct model *m = p->model;
    const struct model_config *c = &m->config;
    const uint32_t d = arch_size(c, b->kind, SIZE_HEAD);
    const size_t ld = b->ld_qkv, queries = arch_size(c, b->kind, SIZE_QUERIES);
    for (int k = 0; k < 2; k++) {
        const enum arch_part part = k == 0 ? PART_Q_NORM : PART_K_NORM;
        const uint32_t heads = arch_size(c, b->kind, k == 0 ? SIZE_HEADS : SIZE_KEY_HEADS);
        const bool of_head = arch_weight(m->arch, c, b->kind, part)->sources[0].rows == SIZE_HEAD;
        if (!(k == 0 ? b->queries : b->keys)) continue;
        struct norm_call call = {
            .kind = m->arch->norm,
            .eps = c->eps,
            .gamma = model_part(m, b->layer, part),
            .beta = model_part(m, b->layer, part + 1),
            .n = of_head ? heads : 1,
            .h = of_head ? d : heads * d,
        };
        for (uint32_t r = 0; r < b->n; r++) {
            call.x = call.out = b->at[ROWS_QKV] + r * ld + (k == 0 ? 0 : queries);
            m->kern->norm(&call);
        }
    }
}

static void v_norm(const struct pass *p, const struct block *b)
{
    const struct model *m = p->model;
    const struct model_config *c = &m->config;
    struct norm_call call = {
        .kind = m->arch->norm,
        .eps = c->eps,
        .n = arch_size(c, b->kind, SIZE_KEY_HEADS),
        .h = arch_size(c, b->kind, SIZE_HEAD),
    };
    for (uint32_t r = 0; b->keys && r < b->n; r++) {
        call.x = call.out = b->at[ROWS_QKV] + (r + 1) * b->ld_qkv - (size_t)call.n * call.h;
        m->kern->norm(&call);
    }
}

static void rope(const struct pass *p, const struct block *b)
{
    const struct model *m = p->model;
    const struct model_config *c = &m->config;
    const uint32_t d = arch_size(c, b->kind, SIZE_HEAD);
    const float *table = b->kind & KIND_LOCAL ? model_part(m, b->layer, PART_ROPE_LOCAL) : NULL;
    if (!table) table = model_part(m, b->layer, PART_ROPE);
    if (c->rope_trained > 0) table = p->work.rope;
    struct rope_call call = {
        .x = b->at[ROWS_QKV],
        .ld = b->ld_qkv,
        .n = b->n,
        .heads = c->n_heads,
        .d = d,
        .rotary = d,
        .table = table,
        .positions = b->positions,
    };
    if (b->queries) m->kern->rope(&call);
    call.x += (size_t)c->n_heads * d;
    call.heads = arch_size(c, b->kind, SIZE_KEY_HEADS);
    if (b->keys) m->kern->rope(&call);
}

const struct arch_step *steps_run(const struct pass *p, const struct arch_step *step,
                                  const struct block *b)
{
    const struct model_config *c = &p->model->config;
    const size_t n = (size_t)b->n * c->hidden;
    const float *scalar;
    for (;; step++) {
        switch (step->op) {
        case OP_PRODUCT:
            product(p, step, b);
            break;
        case OP_NORM:
            norm(p, step, b);
            break;
        case OP_ADD:
            for (size_t i = 0; i < n; i++)
                b->at[step->out][i] += b->at[step->in][i];
            break;
        case OP_COPY:
            memcpy(b->at[step->out], b->at[step->in], n * sizeof(float));
            break;
        case OP_MULTIPLY:
            for (size_t i = 0; i < (size_t)b->n * c->input; i++)
                b->at[step->out][i] *= b->at[step->in][i];
            break;
        case OP_SCALE:
            scalar = model_part(p->model, b->layer, PART_SCALAR);
            for (size_t i = 0; i < n; i++)
                b->at[step->out][i] *= *scalar;
            break;
        case OP_V_NORM:
            v_norm(p, b);
            break;
        case OP_EXPERTS:
            experts_run(p, b, b->at[step->in], b->at[step->out]);
            break;
        case OP_QK_NORM:
            qk_norm(p, b);
            break;
        case OP_ROPE:
            rope(p, b);
            break;
        case OP_ATTEND:
        case OP_END:
            return step + 1;
        }
    }
}
