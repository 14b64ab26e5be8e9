/* statistics: see statistics.h. Sums are taken in double, in the order of the values. */
#include "statistics.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void stat_sort(double *values, size_t n)
{
    if (n > 1) qsort(values, n, sizeof(*values), by_value);
}

double stat_median(const double *sorted, size_t n)
{
    assert(n > 0);
    return sorted[n / 2];
}

double stat_percentile(const double *sorted, size_t n, double p)
{
    assert(n > 0 && p > 0 && p <= 1);
    const size_t rank = (size_t)ceil(p * (double)n);
    return sorted[rank > 0 ? rank - 1 : 0];
}

double stat_cosine(const float *a, const float *b, size_t n)
{
    double dot = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        dot += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return aa > 0 && bb > 0 ? dot / (sqrt(aa) * sqrt(bb)) : 0;
}

struct ranked_value {
    double value;
    size_t index;
};

static int by_place(const void *a, const void *b)
{
    const struct ranked_value *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

vecmill_status stat_ranks(const double *values, size_t n, double *ranks, vecmill_err *err)
{
    void *memory;
    VM_TRY(mem_new_array(n, sizeof(struct ranked_value), "ranks", &memory, err));
    struct ranked_value *places = memory;
    for (size_t i = 0; i < n; i++)
        places[i] = (struct ranked_value){.value = values[i], .index = i};
    if (n > 1) qsort(places, n, sizeof(*places), by_place);
    for (size_t first = 0, end; first < n; first = end) {
        end = first + 1;
        while (end < n && !(places[end].value > places[first].value))
            end++;
        /* places first .. end - 1 have the ranks first + 1 .. end */
        const double mean = ((double)first + 1 + (double)end) / 2;
        for (size_t i = first; i < end; i++)
            ranks[places[i].index] = mean;
    }
    mem_free(memory);
    return VECMILL_OK;
}

double stat_pearson(const double *a, const double *b, size_t n)
{
    double mean_a = 0, mean_b = 0, ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        mean_a += a[i] / (double)n;
        mean_b += b[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        ab += (a[i] - mean_a) * (b[i] - mean_b);
        aa += (a[i] - mean_a) * (a[i] - mean_a);
        bb += (b[i] - mean_b) * (b[i] - mean_b);
    }
    return aa > 0 && bb > 0 ? ab / (sqrt(aa) * sqrt(bb)) : 0;
}

vecmill_status stat_spearman(const double *a, const double *b, size_t n, double *correlation,
                             vecmill_err *err)
{
    void *memory;
    VM_TRY(mem_new_array(n, 2 * sizeof(double), "ranks", &memory, err));
    double *ranks_a = memory, *ranks_b = ranks_a + n;
    vecmill_status status = stat_ranks(a, n, ranks_a, err);
    if (status == VECMILL_OK) status = stat_ranks(b, n, ranks_b, err);
    if (status == VECMILL_OK) *correlation = stat_pearson(ranks_a, ranks_b, n);
    mem_free(memory);
    return status;
}
