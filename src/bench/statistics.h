/* statistics: the few that bench reports. Pure; nothing here knows what the numbers are. */
#ifndef APP_STATISTICS_H
#define APP_STATISTICS_H

#include <stddef.h>

#include "base/base.h"

/* Into ascending order. No value is a NaN. */
void stat_sort(double *values, size_t n);

/* Of n >= 1 sorted values: the middle one, of an even number the higher of the two. */
double stat_median(const double *sorted, size_t n);

/* Of n >= 1 sorted values: the least that at least the share `p` of them, 0 < p <= 1, does not exceed
 * (nearest rank). */
double stat_percentile(const double *sorted, size_t n, double p);

/* Of two vectors of n floats, summed in double; 0 where one of them is zero. */
double stat_cosine(const float *a, const float *b, size_t n);

/* ranks[n] of values[n], from 1 on; equal values share the mean of theirs. E_MEMORY. */
vecmill_status stat_ranks(const double *values, size_t n, double *ranks, vecmill_err *err);

/* Pearson's correlation; 0 where one side does not vary. */
double stat_pearson(const double *a, const double *b, size_t n);

/* Spearman's rank correlation: Pearson's of the ranks. E_MEMORY. */
vecmill_status stat_spearman(const double *a, const double *b, size_t n, double *correlation,
                             vecmill_err *err);

#endif
