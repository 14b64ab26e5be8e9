/* Medians, percentiles, cosines, ranks and correlations, against values by hand and from the literature. */
#include "bench/statistics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define N(array) (sizeof(array) / sizeof((array)[0]))

static void near(double found, double wanted, double by)
{
    if (!(fabs(found - wanted) <= by)) fail_msg("%.17g, wanted %.17g", found, wanted);
}

static void medians_and_percentiles(void **state)
{
    (void)state;
    double v[] = {5, 1, 4, 2, 3};
    stat_sort(v, N(v));
    for (size_t i = 0; i < N(v); i++)
        near(v[i], (double)i + 1, 0);
    near(stat_median(v, 5), 3, 0);
    near(stat_median(v, 4), 3, 0);
    near(stat_median(v, 1), 1, 0);
    /* Nearest rank: the example of 15, 20, 35, 40, 50 that is found in textbooks. */
    const double w[] = {15, 20, 35, 40, 50};
    near(stat_percentile(w, 5, 0.05), 15, 0);
    near(stat_percentile(w, 5, 0.30), 20, 0);
    near(stat_percentile(w, 5, 0.40), 20, 0);
    near(stat_percentile(w, 5, 0.50), 35, 0);
    near(stat_percentile(w, 5, 1.00), 50, 0);
    double hundred[100];
    for (size_t i = 0; i < 100; i++)
        hundred[i] = (double)i + 1;
    near(stat_percentile(hundred, 100, 0.99), 99, 0);
    near(stat_percentile(hundred, 1, 0.99), 1, 0);
}

static void cosines(void **state)
{
    (void)state;
    const float a[] = {3, 4, 0}, b[] = {4, 3, 0}, zero[] = {0, 0, 0}, c[] = {0, 0, 2},
                d[] = {-6, -8, 0};
    near(stat_cosine(a, a, 3), 1, 1e-15);
    near(stat_cosine(a, b, 3), 0.96, 1e-15);
    near(stat_cosine(a, c, 3), 0, 0);
    near(stat_cosine(a, d, 3), -1, 1e-15);
    near(stat_cosine(a, zero, 3), 0, 0);
}

static void ranks_share_their_mean(void **state)
{
    (void)state;
    vecmill_err err;
    const double v[] = {10, 30, 20, 20}, equal[] = {7, 7, 7};
    double r[4];
    assert_int_equal(stat_ranks(v, 4, r, &err), VECMILL_OK);
    near(r[0], 1, 0);
    near(r[1], 4, 0);
    near(r[2], 2.5, 0);
    near(r[3], 2.5, 0);
    assert_int_equal(stat_ranks(equal, 3, r, &err), VECMILL_OK);
    for (size_t i = 0; i < 3; i++)
        near(r[i], 2, 0);
}

static double spearman(const double *a, const double *b, size_t n)
{
    vecmill_err err;
    double found = 99; /* no correlation */
    assert_int_equal(stat_spearman(a, b, n, &found, &err), VECMILL_OK);
    return found;
}

static void correlations(void **state)
{
    (void)state;
    const double up[] = {1, 2, 3, 4, 5}, mixed[] = {2, 1, 4, 3, 5}, down[] = {9, 7, 5, 3, 1};
    const double steep[] = {1, 10, 100, 1000, 10000}, flat[] = {3, 3, 3, 3, 3};
    near(spearman(up, mixed, 5), 0.8, 1e-12); /* 1 - 6 * 4 / (5 * 24) */
    near(spearman(up, steep, 5), 1, 1e-12);
    near(spearman(up, down, 5), -1, 1e-12);
    near(spearman(up, flat, 5), 0, 0);
    near(stat_pearson(up, down, 5), -1, 1e-12);
    /* Ten people's IQ and hours of television a week, the example of many textbooks: -29 / 165. */
    const double iq[] = {106, 100, 86, 101, 99, 103, 97, 113, 112, 110};
    const double hours[] = {7, 27, 2, 50, 28, 29, 20, 12, 6, 17};
    near(spearman(iq, hours, 10), -29.0 / 165, 1e-12);
    /* With ties: ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5). */
    const double tied[] = {1, 2, 2, 3}, four[] = {1, 2, 3, 4};
    near(spearman(tied, four, 4), 4.5 / sqrt(4.5 * 5), 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(medians_and_percentiles),
        cmocka_unit_test(cosines),
        cmocka_unit_test(ranks_share_their_mean),
        cmocka_unit_test(correlations),
    };
    const int failed = cmocka_run_group_tests_name("bench-statistics", tests, NULL, NULL);
    const int n = (int)(sizeof(tests) / sizeof(tests[0]));
    printf("bench-statistics: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
