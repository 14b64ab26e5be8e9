/* The default model against sentence-transformers' vectors, through vecmill.h alone.
 *
 * Needs the model's folder in VECMILL_TEST_MODEL; without it it says so and is skipped.
 *
 * Shows: token ids equal; cosine >= 0.999999 and |delta| <= 1e-5; and that a row's bits do not depend
 * on order, neighbours or batch_tokens. The level is VECMILL_ISA's.
 *
 *     test_reference [TEXTS [x]]     so many texts; with an x all of them where VECMILL_TEST_LONG is set */
#include "../data/reference.h"
#include "vecmill.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_MOST     REFERENCE_MOST
#define DIM        REFERENCE_DIM
#define LENGTH     REFERENCE_LENGTH
#define COSINE     0.999999
#define DIFFERENCE 1e-5

static struct reference reference;
static vecmill_doc docs[N_MOST]; /* the texts of it */

static int n_passed, n_failed;

static void check(bool ok, const char *what)
{
    printf("%s: %s\n", ok ? "passed" : "FAILED", what);
    if (ok) {
        n_passed++;
    } else {
        n_failed++;
    }
}

static int skip(const char *why)
{
    printf("skipped: %s\n", why);
    return 77;
}

/* Keeps `most` texts, evenly spread. */
static void thin_out(size_t most)
{
    static float rows[N_MOST * DIM];
    const size_t n = reference.n;
    if (most == 0 || most >= n) return;
    for (size_t i = 0; i < most; i++) {
        const size_t from = i * n / most;
        memcpy(rows + i * DIM, reference.vectors + from * DIM, DIM * sizeof(float));
        const struct reference_row kept = reference.rows[i];
        reference.rows[i] = reference.rows[from];
        reference.rows[from] = kept;
    }
    for (size_t i = most; i < n; i++) {
        reference_drop(&reference.rows[i]);
    }
    reference.vectors = rows;
    reference.n = most;
    printf("  %zu of %zu texts\n", most, n);
}

static vecmill_session *open_session(const char *model, uint32_t batch_tokens)
{
    vecmill_options o;
    vecmill_session *s;
    vecmill_err err;
    vecmill_options_init(&o);
    o.model_dir = model;
    o.batch_tokens = batch_tokens;
    o.worker_path = getenv("VECMILL_TEST_WORKER");
    if (vecmill_session_open(&o, &s, &err) == VECMILL_OK) return s;
    printf("FAILED: open: %s\n", err.message);
    exit(1);
}

static void check_ids(vecmill_session *s)
{
    size_t different = 0;
    for (size_t i = 0; i < reference.n; i++) {
        const struct reference_row *want = &reference.rows[i];
        int32_t ids[LENGTH];
        size_t n = 0;
        if (vecmill_tokenize(s, docs[i], ids, LENGTH, &n, NULL, NULL) != VECMILL_OK) n = 0;
        bool same = n == want->n_ids;
        for (size_t k = 0; same && k < n; k++) {
            same = ids[k] == want->ids[k];
        }
        if (!same) {
            different++;
            printf("  text %zu: %zu ids, the reference has %zu\n", i, n, want->n_ids);
        }
    }
    printf("  %zu texts, %zu with other ids\n", reference.n, different);
    check(different == 0 && reference.n > 0, "token ids equal the reference's");
}

static void check_vectors(const float *got)
{
    double least_cosine = 2, most_difference = 0;
    for (size_t i = 0; i < reference.n; i++) {
        const float *a = got + i * DIM, *b = reference.vectors + i * DIM;
        double ab = 0, aa = 0, bb = 0;
        for (size_t k = 0; k < DIM; k++) {
            ab += (double)a[k] * (double)b[k];
            aa += (double)a[k] * (double)a[k];
            bb += (double)b[k] * (double)b[k];
            most_difference = fmax(most_difference, fabs((double)a[k] - (double)b[k]));
        }
        double cosine = ab / sqrt(aa * bb);
        /* Written so that a NaN counts as the worst. */
        if (!(cosine >= least_cosine)) least_cosine = cosine;
    }
    printf("  smallest cosine %.9f, largest difference %.3g\n", least_cosine, most_difference);
    check(least_cosine >= COSINE, "cosine with the reference >= 0.999999");
    check(most_difference <= DIFFERENCE, "difference to the reference <= 1e-5");
}

/* Embeds documents order[0 .. n) and compares each row's bits with those of `want`. */
static void check_bits(const char *model, uint32_t batch_tokens, const size_t *order, size_t n,
                       const float *want, const char *what)
{
    vecmill_session *s = open_session(model, batch_tokens);
    vecmill_doc *asked = calloc(n, sizeof(*asked));
    float *got = calloc(n * DIM, sizeof(*got));
    for (size_t i = 0; i < n; i++) {
        asked[i] = docs[order[i]];
    }
    bool ok = vecmill_embed(s, asked, n, got, NULL, NULL) == VECMILL_OK;
    for (size_t i = 0; ok && i < n; i++) {
        ok = memcmp(got + i * DIM, want + order[i] * DIM, DIM * sizeof(*got)) == 0;
        if (!ok) printf("  text %zu has other bits\n", order[i]);
    }
    check(ok, what);
    free(asked);
    free(got);
    vecmill_session_close(s);
}

static void check_independence(const char *model, const float *want, size_t n)
{
    size_t order[N_MOST];
    uint32_t seed = 1;
    for (size_t i = 0; i < n; i++) {
        order[i] = i;
    }
    for (size_t i = n; i > 1; i--) {
        seed = seed * 1664525u + 1013904223u;
        size_t k = (seed >> 8) % i, kept = order[i - 1];
        order[i - 1] = order[k];
        order[k] = kept;
    }
    check_bits(model, 0, order, n, want, "same bits in another order");
    check_bits(model, 1, order, n / 8, want, "same bits with batch_tokens 1, each alone");
    check_bits(model, 300, order, n / 4, want, "same bits with batch_tokens 300");
    check_bits(model, 5000, order, n / 2, want, "same bits with batch_tokens 5000");
}

int main(int argc, char **argv)
{
    const char *model = getenv("VECMILL_TEST_MODEL");
    vecmill_err err;
    if (!model || !*model) return skip("VECMILL_TEST_MODEL is not set");
    vecmill_machine machine = {.struct_bytes = sizeof(machine)};
    if (vecmill_machine_describe(&machine, &err) == VECMILL_OK && machine.isa[0] == '\0') {
        return skip("this machine lacks the level VECMILL_ISA names");
    }
    const char *is_long = getenv("VECMILL_TEST_LONG");
    const bool all = argc == 1 || (argc > 2 && is_long && *is_long);
    if (reference_open(&reference, &err) != VECMILL_OK) {
        printf("engine-reference: %s\n", err.message);
        reference_close(&reference);
        return 1;
    }
    if (!all) thin_out(strtoul(argv[1], NULL, 10));
    for (size_t i = 0; i < reference.n; i++) {
        docs[i] = (vecmill_doc){.text = reference.rows[i].text, .bytes = reference.rows[i].bytes};
    }
    vecmill_session *s = open_session(model, 0);
    float *got = calloc(reference.n * DIM, sizeof(*got));
    vecmill_result *results = calloc(reference.n, sizeof(*results));
    check(vecmill_embed(s, docs, reference.n, got, results, &err) == VECMILL_OK, "embed");
    uint64_t tokens = 0;
    for (size_t i = 0; i < reference.n; i++) {
        tokens += results[i].n_tokens;
    }
    printf("  %zu texts, %llu tokens, level %s\n", reference.n, (unsigned long long)tokens,
           machine.isa);
    check_ids(s);
    check_vectors(got);
    vecmill_session_close(s);
    /* The plain-C product is slow; every text was compared above. */
    bool slow = strcmp(machine.isa, "ref") == 0;
    check_independence(model, got, slow && reference.n > 40 ? 40 : reference.n);
    free(results);
    free(got);
    reference_close(&reference);
    printf("engine-reference: %d passed, %d failed\n", n_passed, n_failed);
    return n_failed != 0;
}
