/* muvera: one vector for the vectors of a document or query, vecmill_muvera in vecmill.h.
 *
 * Everything is summed in double, in the order of rows and then of components. */
#include "vecmill.h"

#include <math.h>
#include <string.h>

#include "base/base.h"

struct muvera {
    const vecmill_muvera_shape *shape;
    const double *planes; /* of one repetition: [dim, k_sim + dim_proj] */
    const double *rows;   /* [n, dim] */
    uint64_t n;
    size_t buckets;
    double *centers;  /* [buckets, dim]: sums, then what stands for the bucket */
    uint64_t *counts; /* [buckets] */
    uint64_t *firsts; /* [buckets]: the first row in it */
};

static vecmill_status sizes(const vecmill_muvera_shape *s, size_t *floats, vecmill_err *err)
{
    if (s->dim == 0 || s->dim > VECMILL_MAXSIM_ROWS)
        return err_set(err, VECMILL_E_USAGE,
                       "rows have %u numbers, 1 to %u (VECMILL_MAXSIM_ROWS) can be", s->dim,
                       VECMILL_MAXSIM_ROWS);
    if (s->k_sim > VECMILL_MUVERA_PLANES)
        return err_set(err, VECMILL_E_USAGE, "k_sim is %u, over VECMILL_MUVERA_PLANES, %u",
                       s->k_sim, VECMILL_MUVERA_PLANES);
    if (s->dim_proj == 0 || s->dim_proj > s->dim)
        return err_set(err, VECMILL_E_USAGE, "dim_proj is %u, 1 to the rows' %u can be",
                       s->dim_proj, s->dim);
    if (s->r_reps == 0) return err_set(err, VECMILL_E_USAGE, "r_reps is 0, 1 is the least");
    size_t n;
    if (!num_mul((size_t)1 << s->k_sim, s->dim_proj, &n) || !num_mul(n, s->r_reps, &n) ||
        n > SIZE_MAX / 2 / sizeof(double))
        return err_set(err, VECMILL_E_USAGE,
                       "%u times 2^%u times %u numbers are more than memory can hold", s->r_reps,
                       s->k_sim, s->dim_proj);
    *floats = n;
    return VECMILL_OK;
}

vecmill_status vecmill_muvera_floats(const vecmill_muvera_shape *shape, uint64_t *n,
                                     vecmill_err *err)
{
    size_t floats = 0;
    VM_TRY(sizes(shape, &floats, err));
    *n = floats;
    return VECMILL_OK;
}

/* Bit i: the row is on the positive side of plane i. */
static size_t bucket_of(const struct muvera *m, const double *row)
{
    const size_t ld = m->shape->k_sim + m->shape->dim_proj;
    size_t bucket = 0;
    for (uint32_t i = 0; i < m->shape->k_sim; i++) {
        double dot = 0;
        for (uint32_t c = 0; c < m->shape->dim; c++) {
            dot += row[c] * m->planes[c * ld + i];
        }
        bucket |= (size_t)(dot > 0) << i;
    }
    return bucket;
}

static void add_rows(struct muvera *m)
{
    const size_t dim = m->shape->dim;
    memset(m->centers, 0, m->buckets * dim * sizeof *m->centers);
    memset(m->counts, 0, m->buckets * sizeof *m->counts);
    for (uint64_t r = 0; r < m->n; r++) {
        const double *row = m->rows + r * dim;
        const size_t bucket = bucket_of(m, row);
        double *center = m->centers + bucket * dim;
        if (m->counts[bucket]++ == 0) m->firsts[bucket] = r;
        for (size_t c = 0; c < dim; c++) {
            center[c] += row[c];
        }
    }
}

/* Of the buckets with rows the one of the fewest other bits, of several the first. */
static size_t nearest(const struct muvera *m, size_t bucket)
{
    size_t best = 0;
    int least = 65;
    for (size_t b = 0; b < m->buckets; b++) {
        const int bits = __builtin_popcountll(bucket ^ b);
        if (m->counts[b] == 0 || bits >= least) continue;
        best = b;
        least = bits;
    }
    return best;
}

/* Means; an empty bucket has the first row of the nearest one. */
static void settle_document(struct muvera *m)
{
    const size_t dim = m->shape->dim;
    for (size_t b = 0; b < m->buckets; b++) {
        double *center = m->centers + b * dim;
        if (m->counts[b] == 0) {
            memcpy(center, m->rows + m->firsts[nearest(m, b)] * dim, dim * sizeof *center);
            continue;
        }
        for (size_t c = 0; c < dim; c++) {
            center[c] /= (double)m->counts[b];
        }
    }
}

static void project(const struct muvera *m, double *out)
{
    const vecmill_muvera_shape *s = m->shape;
    const size_t dim = s->dim, proj = s->dim_proj, ld = s->k_sim + proj;
    if (proj == dim) {
        memcpy(out, m->centers, m->buckets * dim * sizeof *out);
        return;
    }
    const double scale = 1 / sqrt((double)proj);
    for (size_t b = 0; b < m->buckets; b++, out += proj) {
        const double *center = m->centers + b * dim;
        memset(out, 0, proj * sizeof *out);
        for (size_t c = 0; c < dim; c++) {
            const double *signs = m->planes + c * ld + s->k_sim;
            for (size_t j = 0; j < proj; j++) {
                out[j] += center[c] * signs[j];
            }
        }
        for (size_t j = 0; j < proj; j++) {
            out[j] *= scale;
        }
    }
}

vecmill_status vecmill_muvera(const vecmill_muvera_shape *shape, const double *planes,
                              const double *rows, uint64_t n_rows, vecmill_role role, double *out,
                              vecmill_err *err)
{
    struct muvera m = {.shape = shape, .rows = rows, .n = n_rows};
    void *memory = NULL;
    size_t floats = 0, bytes;
    VM_TRY(sizes(shape, &floats, err));
    if (role != VECMILL_ROLE_DOCUMENT && role != VECMILL_ROLE_QUERY)
        return err_set(err, VECMILL_E_USAGE,
                       "role is %u, neither VECMILL_ROLE_DOCUMENT, %u, nor VECMILL_ROLE_QUERY, %u",
                       (unsigned)role, (unsigned)VECMILL_ROLE_DOCUMENT,
                       (unsigned)VECMILL_ROLE_QUERY);
    if (n_rows == 0 || !num_mul((size_t)n_rows, shape->dim * sizeof(double), &bytes))
        return err_set(err, VECMILL_E_USAGE, "there are %llu rows of %u numbers, 1 is the least%s",
                       (unsigned long long)n_rows, shape->dim,
                       n_rows ? " and these are more than memory can hold" : "");
    m.buckets = (size_t)1 << shape->k_sim;
    VM_TRY(mem_new_array(m.buckets, (shape->dim + 2) * sizeof(double), "the centers of buckets",
                         &memory, err));
    m.centers = memory;
    m.counts = (uint64_t *)memory + m.buckets * shape->dim;
    m.firsts = m.counts + m.buckets;
    for (uint32_t r = 0; r < shape->r_reps; r++) {
        m.planes = planes + (size_t)r * shape->dim * (shape->k_sim + shape->dim_proj);
        add_rows(&m);
        if (role == VECMILL_ROLE_DOCUMENT) settle_document(&m);
        project(&m, out + r * m.buckets * shape->dim_proj);
    }
    mem_free(memory);
    return VECMILL_OK;
}
