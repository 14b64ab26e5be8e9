#include "experts.h"

#include <math.h>
#include <string.h>

/* Turns a row's scores into shares; of experts that are not chosen, 0. */
static void choose(float *share, uint32_t n, uint32_t n_chosen)
{
    float max = share[0], sum = 0;
    for (uint32_t e = 1; e < n; e++)
        max = fmaxf(max, share[e]);
    for (uint32_t e = 0; e < n; e++) {
        share[e] = expf(share[e] - max);
        sum += share[e];
    }
    for (uint32_t i = 0; i < n_chosen; i++) { /* the largest that is left becomes negative */
        uint32_t best = 0;
        for (uint32_t e = 1; e < n; e++)
            if (share[e] > share[best]) best = e;
        share[best] = -share[best];
    }
    for (uint32_t e = 0; e < n; e++)
        share[e] = share[e] < 0 ? -share[e] / sum : 0;
}

static void run_product(const struct pass *p, const struct block *b, enum arch_part part,
                        uint32_t i, uint32_t rows, const float *x, float *y)
{
    const struct model *m = p->model;
    const struct arch_weight *w = arch_weight(m->arch, &m->config, b->kind, part);
    const size_t bytes = m->layout.bytes[b->kind][part] / arch_each(&m->config, b->kind, w);
    const struct gemm_shape shape = arch_product(m->arch, &m->config, b->kind, part);
    const struct gemm_call call = {
        .shape = shape,
        .packed = (const char *)model_part(m, b->layer, part) + i * bytes,
        .x = x,
        .y = y,
        .ldy = shape.n,
        .columns = shape.n,
        .rows = rows,
        .scratch = p->work.own[b->thread].gemm_scratch,
    };
    gemm_run(m->kern, &call);
}

/* out = out + what expert e makes of the rows that chose it */
static void run_expert(const struct pass *p, const struct block *b, uint32_t e, const float *x,
                       float *out)
{
    const struct model_config *c = &p->model->config;
    const struct work_own *own = &p->work.own[b->thread];
    const size_t h = c->hidden;
    uint32_t rows[WORK_BLOCK_ROWS], n = 0;
    for (uint32_t r = 0; r < b->n; r++) {
        if (own->shares[r * c->n_experts + e] == 0) continue;
        memcpy(own->chosen + n * h, x + r * h, h * sizeof *x);
        rows[n++] = r;
    }
    if (n == 0) return;
    run_product(p, b, PART_EXPERTS_UP, e, n, own->chosen, own->up);
    run_product(p, b, PART_EXPERTS_DOWN, e, n, own->up, own->chosen);
    for (uint32_t i = 0; i < n; i++) {
        const float share = own->shares[rows[i] * c->n_experts + e];
        for (size_t k = 0; k < h; k++)
            out[rows[i] * h + k] += share * own->chosen[i * h + k];
    }
}

void experts_run(const struct pass *p, const struct block *b, const float *x, float *out)
{
    const struct model_config *c = &p->model->config;
    const float *bias = model_part(p->model, b->layer, PART_EXPERTS_BIAS);
    float *shares = p->work.own[b->thread].shares;
    run_product(p, b, PART_ROUTER, 0, b->n, x, shares);
    for (uint32_t r = 0; r < b->n; r++) {
        choose(shares + (size_t)r * c->n_experts, c->n_experts, c->n_chosen);
        memcpy(out + (size_t)r * c->hidden, bias, c->hidden * sizeof *out);
    }
    for (uint32_t e = 0; e < c->n_experts; e++)
        run_expert(p, b, e, x, out);
}

double experts_flops(const struct arch *arch, const struct model_config *config, uint32_t kind)
{
    const struct gemm_shape router = arch_product(arch, config, kind, PART_ROUTER);
    const struct gemm_shape up = arch_product(arch, config, kind, PART_EXPERTS_UP);
    const struct gemm_shape down = arch_product(arch, config, kind, PART_EXPERTS_DOWN);
    const double expert = 2.0 * up.k * up.n + 2.0 * down.k * down.n;
    return 2.0 * router.k * router.n + config->n_chosen * expert;
}
