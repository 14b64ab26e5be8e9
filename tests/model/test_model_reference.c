/* all-MiniLM-L6-v2 against sentence-transformers' vectors, by the reference's own token ids.
 *
 * Needs the model's folder in VECMILL_TEST_MODEL; without it it says so and is skipped. The level is
 * VECMILL_ISA's.
 *
 * Arguments: the most tokens to compute (0: all). Longer texts are then left out evenly, since plain C
 * takes minutes for all of them. */
#include "../data/reference.h"
#include "model_toy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define N_MOST REFERENCE_MOST
#define DIM    REFERENCE_DIM
/* Least cosine of each text, and mean of all; and the largest difference of an element. fp32 is the
 * reference's own arithmetic; the others are compared with what docs/SPEED.md states of them. Edges
 * cost int8 more than sentences do: 0.99864 in the mean of the tree's texts, two thirds of which
 * are edges, and 0.99908 of all (AVX2). */
static const struct {
    double least, mean, mean_of_tree, difference;
} bounds[KERN_PRECISIONS] = {
    [KERN_FP32] = {0.999999, 0.999999, 0.999999, 1e-5},
    [KERN_BF16] = {0.9998, 0.9998, 0.9998, 1},
    [KERN_INT8] = {0.995, 0.9990, 0.9985, 1},
};
#define PASS 2048 /* tokens */

static struct {
    uint32_t n, n_used;
    uint32_t used[N_MOST];
    int32_t ids[N_MOST][REFERENCE_LENGTH];
    uint32_t n_ids[N_MOST];
    float *vectors; /* [n_used, DIM] */
} data;

static struct reference reference;
static struct toy toy;
static struct toy_loaded loaded;

static int skipped(const char *why, const char *which)
{
    printf("skipped: %s %s\n", why, which);
    return 77;
}

static void take_ids(void)
{
    for (data.n = 0; data.n < reference.n; data.n++) {
        const struct reference_row *row = &reference.rows[data.n];
        data.n_ids[data.n] = (uint32_t)row->n_ids;
        memcpy(data.ids[data.n], row->ids, row->n_ids * sizeof *row->ids);
    }
}

/* All texts, or those whose tokens fit `most`: every k-th. */
static void choose_texts(uint32_t most)
{
    for (uint32_t step = 1;; step++) {
        uint32_t tokens = 0;
        data.n_used = 0;
        for (uint32_t i = 0; i < data.n; i += step) {
            data.used[data.n_used++] = i;
            tokens += data.n_ids[i];
        }
        if (most && tokens > most && step < data.n) continue;
        printf("%u of %u texts, %u tokens\n", data.n_used, data.n, tokens);
        return;
    }
}

/* Computes data.used from `first`, as many as fit a pass; returns how many. */
static uint32_t compute_pass(uint32_t first, uint32_t most, float *vectors)
{
    static int32_t ids[PASS];
    uint32_t starts[PASS + 1] = {0}, n = 0;
    while (first + n < data.n_used && n < most) {
        uint32_t i = data.used[first + n];
        if (starts[n] + data.n_ids[i] > PASS) break;
        memcpy(ids + starts[n], data.ids[i], data.n_ids[i] * sizeof(*ids));
        starts[n + 1] = starts[n] + data.n_ids[i];
        n++;
    }
    toy_forward(&loaded, ids, starts, n, vectors);
    return n;
}

static void equals_the_reference(void **state)
{
    (void)state;
    const enum kern_precision precision = toy_precision();
    double worst = 0, lowest = 1, sum = 0;
    for (uint32_t first = 0; first < data.n_used;) {
        first += compute_pass(first, PASS, data.vectors + (size_t)first * DIM);
    }
    for (uint32_t i = 0; i < data.n_used; i++) {
        const float *is = data.vectors + (size_t)i * DIM,
                    *want = reference.vectors + (size_t)data.used[i] * DIM;
        double dot = 0, a = 0, b = 0, delta = 0;
        for (int k = 0; k < DIM; k++) {
            dot += (double)is[k] * (double)want[k];
            a += (double)is[k] * (double)is[k];
            b += (double)want[k] * (double)want[k];
            delta = fmax(delta, fabs((double)is[k] - (double)want[k]));
        }
        double cosine = dot / sqrt(a * b);
        if (!(cosine >= bounds[precision].least && delta <= bounds[precision].difference)) {
            fail_msg("text %u of %u tokens: cosine %.9f, difference %.3e", data.used[i],
                     data.n_ids[data.used[i]], cosine, delta);
        }
        worst = fmax(worst, delta);
        lowest = fmin(lowest, cosine);
        sum += cosine;
    }
    const double mean = sum / data.n_used;
    printf("lowest cosine %.9f, mean %.9f, largest difference %.3e\n", lowest, mean, worst);
    assert_true(mean >=
                (reference.whole ? bounds[precision].mean : bounds[precision].mean_of_tree));
}

/* Some texts alone, and in other positions of other passes: the same bits. */
static void same_bits_in_any_company(void **state)
{
    (void)state;
    float *row = (float *)malloc((size_t)PASS * DIM * sizeof(float));
    assert_non_null(row);
    for (uint32_t i = 0; i < data.n_used; i += 1 + data.n_used / 8) {
        for (uint32_t most = 1; most <= 3; most += 2) {
            uint32_t n = compute_pass(i, most, row);
            assert_memory_equal(row, data.vectors + (size_t)i * DIM, n * DIM * sizeof(float));
        }
    }
    free(row);
}

int main(int argc, char **argv)
{
    const char *model = getenv("VECMILL_TEST_MODEL");
    vecmill_err err = {0};
    if (!model) return skipped("VECMILL_TEST_MODEL does not name", "all-MiniLM-L6-v2's folder");
    if (!toy_level()) return skipped("this machine has no", getenv("VECMILL_ISA"));
    if (reference_open(&reference, &err) != VECMILL_OK) {
        printf("model-reference: %s\n", err.message);
        reference_close(&reference);
        return 1;
    }
    toy_open(&toy);
    snprintf(toy.model, sizeof(toy.model), "%.500s", model);
    take_ids();
    choose_texts(argc > 1 ? (uint32_t)atoi(argv[1]) : 0);
    data.vectors = (float *)malloc((size_t)data.n_used * DIM * sizeof(float));

    const struct kern *kern = toy_kern();
    uint64_t begin = clock_ns();
    if (toy_compile(&toy, kern, &err) != VECMILL_OK) {
        printf("model-reference: %s\n", err.message);
        toy_remove(&toy);
        return 1;
    }
    printf("level %s, pack built in %.2f s\n", kern->name, (double)(clock_ns() - begin) * 1e-9);
    toy_load(&toy, kern, &loaded);
    assert_int_equal(model_describe(loaded.model)->max_length, 256);
    assert_int_equal(model_describe(loaded.model)->max_positions, 512);
    assert_int_equal(model_describe(loaded.model)->dim, DIM);
    toy_plan(&loaded, PASS, 256);

    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_reference),
        cmocka_unit_test(same_bits_in_any_company),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    toy_unload(&loaded);
    toy_remove(&toy);
    reference_close(&reference);
    free(data.vectors);
    printf("model-reference: %d passed, %d failed\n",
           (int)(sizeof(tests) / sizeof(*tests)) - failed, failed);
    return failed;
}
