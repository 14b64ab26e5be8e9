#include "relative.h"

#include <math.h>
#include <string.h>

/* The vector of a distance i - j: the middle one is 0's. The nearest distances have one each; those
 * from half of the buckets on share them, in equal steps of their logarithm, in float as transformers
 * has it (make_log_bucket_position). */
static uint32_t bucket_of(const struct model_config *c, int32_t distance)
{
    const int32_t half = (int32_t)c->distances / 2, mid = (int32_t)c->distance_buckets / 2;
    const int32_t size = distance < 0 ? -distance : distance;
    int32_t steps = size;
    if (mid > 0 && size > mid) {
        const float share =
            logf((float)size / (float)mid) / logf((float)(c->distance_most - 1) / (float)mid);
        steps = (int32_t)ceilf(share * (float)(mid - 1)) + mid;
    }
    const int32_t bucket = half + (distance < 0 ? -steps : steps);
    return (uint32_t)(bucket < 0 ? 0 : bucket >= 2 * half ? 2 * half - 1 : bucket);
}

/* The vectors of a document's distances: whole panels of the products, [first, end). */
struct range {
    uint32_t first, end;
};

static struct range range_of(const struct model_config *c, uint32_t len)
{
    const uint32_t low = bucket_of(c, 1 - (int32_t)len), high = bucket_of(c, (int32_t)len - 1);
    return (struct range){
        .first = low / GEMM_PANEL * GEMM_PANEL,
        .end = (uint32_t)num_min(num_up(high + 1, GEMM_PANEL), c->distances),
    };
}

/* y [n, range] = rows of one head, at x and every ld floats, times its vectors of the range; zeros
 * where the model has no such part. */
static void multiply(const struct pass *p, uint32_t thread, enum arch_part part, uint32_t head,
                     struct range range, const float *x, size_t ld, uint32_t n, float *y)
{
    const struct model *m = p->model;
    const struct model_config *c = &m->config;
    const struct work_own *own = &p->work.own[thread];
    const uint32_t kind = arch_kind(c, p->layer), columns = range.end - range.first;
    const struct arch_weight *w = arch_weight(m->arch, c, kind, part);
    if (!w) {
        memset(y, 0, (size_t)n * columns * sizeof *y);
        return;
    }
    const size_t bytes = m->layout.bytes[kind][part] / arch_each(c, kind, w);
    const struct gemm_call call = {
        .shape = arch_product(m->arch, c, kind, part),
        .packed = (const char *)model_part(m, p->layer, part) + head * bytes,
        .x = own->relative.rows,
        .y = y,
        .ldy = columns,
        .first = range.first,
        .columns = columns,
        .rows = n,
        .scratch = own->gemm_scratch,
    };
    for (uint32_t i = 0; i < n; i++)
        memcpy(own->relative.rows + (size_t)i * call.shape.k, x + i * ld, call.shape.k * sizeof *x);
    gemm_run(m->kern, &call);
}

void relative_run(const struct pass *p, uint32_t thread, const struct attention_call *call)
{
    const struct model_config *c = &p->model->config;
    const struct relative_work *work = &p->work.own[thread].relative;
    const struct range range = range_of(c, call->len);
    const int32_t len = (int32_t)call->len;
    for (int32_t r = 1 - len; r < len; r++)
        work->bucket[r + len - 1] = (uint16_t)(bucket_of(c, r) - range.first);
    for (uint32_t i = 0; i < call->n_heads; i++) {
        struct attention_call one = *call;
        const size_t column = (size_t)(call->first_head + i) * call->shape.d;
        one.first_head = call->first_head + i;
        one.n_heads = 1;
        one.relative = (struct attention_relative){
            .of_queries = work->of_queries,
            .of_keys = work->of_keys,
            .ld = range.end - range.first,
            .bucket = work->bucket,
        };
        multiply(p, thread, PART_DISTANCE_KEYS, one.first_head, range, call->q + column, call->ld_q,
                 call->n_queries, work->of_queries);
        multiply(p, thread, PART_DISTANCE_QUERIES, one.first_head, range, call->k + column,
                 call->ld_kv, call->len, work->of_keys);
        attention_run(p->model->kern, (enum kern_precision)c->precision, &one);
    }
}

double relative_flops(const struct arch *arch, const struct model_config *config, uint32_t kind,
                      uint32_t n, uint32_t queries)
{
    const struct range range = range_of(config, n);
    const double row = 2.0 * arch_size(config, kind, SIZE_QUERIES) * (range.end - range.first);
    double rows = 0;
    if (arch_weight(arch, config, kind, PART_DISTANCE_KEYS)) rows += queries;
    if (arch_weight(arch, config, kind, PART_DISTANCE_QUERIES)) rows += n;
    return row * rows;
}
