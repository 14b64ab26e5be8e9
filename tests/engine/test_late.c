/* Late interaction against the numbers of NumPy and FastEmbed that tools/make_golden_late.py wrote: scores at
 * this process's level, whatever the threads and the other documents are, and what is refused. */
#include "vecmill.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"

#define MAXSIM_FILE "tests/data/late/maxsim.json"
#define MUVERA_FILE "tests/data/late/muvera.json"

/* Of a product's largest terms, summed over the query: fp32 has 6e-8, the longest sum here 128 products. */
#define TOLERANCE 1e-6

/* Below each row and each document that a function must not read or write, there is a page that cannot be. */
static void *guarded(size_t bytes, void **memory)
{
    vecmill_err err;
    if (mem_map(bytes, "a test's memory", memory, &err) != VECMILL_OK) fail_msg("%s", err.message);
    return (char *)*memory + mem_map_bytes(bytes) - bytes;
}

/* n floats in [-1, 1), exact in fp32: the top 24 bits of SplitMix64 (Steele et al. 2014). */
static float *values(uint64_t seed, size_t n, void **memory)
{
    float *out = guarded(n * sizeof *out, memory);
    uint64_t state = seed << 32;
    for (size_t i = 0; i < n; i++) {
        uint64_t z = state += 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        z ^= z >> 31;
        out[i] = (float)((double)(z >> 40) / (double)(1 << 23) - 1.0);
    }
    return out;
}

/* ---- files ---- */

static struct json_value open_cases(const char *path, struct buf *text)
{
    struct json_value root;
    vecmill_err err = {0};
    buf_init(text, 1 << 20, path);
    if (io_read_file(path, text, VECMILL_E_IO, VECMILL_E_IO, &err) != VECMILL_OK ||
        json_check(text->data, text->bytes, path, VECMILL_E_IO, &root, &err) != VECMILL_OK)
        fail_msg("%s", err.message);
    return json_get(&root, "cases");
}

static uint32_t number(const struct json_value *o, const char *key)
{
    const struct json_value value = json_get(o, key);
    uint64_t n = 0;
    if (!json_u64(&value, &n)) fail_msg("no number \"%s\"", key);
    return (uint32_t)n;
}

/* ---- MaxSim ---- */

struct maxsim_case {
    uint32_t dim, n_query;
    uint64_t n_docs, *starts; /* [n_docs + 1] */
    float *query, *rows, *scores, *again;
    double *expected; /* NaN: a document without rows */
    void *of_query, *of_rows, *of_scores;
};

static void maxsim_open(struct maxsim_case *c, const struct json_value *from)
{
    struct json_value lengths = json_get(from, "lengths"), scores = json_get(from, "scores"), none;
    *c = (struct maxsim_case){.dim = number(from, "dim"), .n_query = number(from, "n_query")};
    c->n_docs = json_count(&lengths);
    c->starts = calloc(c->n_docs + 1, sizeof *c->starts);
    c->expected = calloc(c->n_docs, sizeof *c->expected);
    c->again = calloc(c->n_docs, sizeof *c->again);
    assert_true(c->starts && c->expected && c->again);
    struct json_each length = json_begin(&lengths), score = json_begin(&scores);
    struct json_value value;
    for (uint64_t d = 0; d < c->n_docs; d++) {
        uint64_t n = 0;
        assert_true(json_each(&length, &none, &value) && json_u64(&value, &n));
        c->starts[d + 1] = c->starts[d] + n;
        assert_true(json_each(&score, &none, &value));
        if (!json_double(&value, &c->expected[d])) c->expected[d] = (double)NAN;
    }
    c->query = values(1, (size_t)c->n_query * c->dim, &c->of_query);
    c->rows = values(2, (size_t)c->starts[c->n_docs] * c->dim, &c->of_rows);
    c->scores = guarded(c->n_docs * sizeof(float), &c->of_scores);
}

static void maxsim_close(struct maxsim_case *c)
{
    mem_unmap(c->of_query, (size_t)c->n_query * c->dim * sizeof(float));
    mem_unmap(c->of_rows, (size_t)c->starts[c->n_docs] * c->dim * sizeof(float));
    mem_unmap(c->of_scores, c->n_docs * sizeof(float));
    free(c->starts);
    free(c->expected);
    free(c->again);
}

static void run(const struct maxsim_case *c, uint64_t first, uint64_t n, uint32_t threads,
                float *scores)
{
    vecmill_err err = {0};
    if (vecmill_maxsim(c->query, c->n_query, c->dim, c->rows, c->starts + first, n, threads, scores,
                       &err) != VECMILL_OK)
        fail_msg("%s", err.message);
}

static void maxsim_golden(void **state)
{
    (void)state;
    struct buf text;
    const struct json_value cases = open_cases(MAXSIM_FILE, &text);
    struct json_each each = json_begin(&cases);
    struct json_value none, one;
    unsigned n_cases = 0;
    double worst = 0;
    while (json_each(&each, &none, &one)) {
        struct maxsim_case c;
        maxsim_open(&c, &one);
        run(&c, 0, c.n_docs, 1, c.scores);
        for (uint64_t d = 0; d < c.n_docs; d++) {
            if (isnan(c.expected[d])) {
                assert_true(isinf(c.scores[d]) && c.scores[d] < 0);
                continue;
            }
            const double off =
                fabs((double)c.scores[d] - c.expected[d]) / (c.n_query * sqrt(c.dim));
            worst = fmax(worst, off);
            if (!(off <= TOLERANCE))
                fail_msg("dim %u, %u rows, document %llu: %.9g, and not %.9g", c.dim, c.n_query,
                         (unsigned long long)d, (double)c.scores[d], c.expected[d]);
        }
        /* The same bits with threads, and of a document alone, with others before its rows. */
        for (uint32_t threads = 2; threads <= 7; threads += 5) {
            memset(c.again, 0xff, c.n_docs * sizeof(float));
            run(&c, 0, c.n_docs, threads, c.again);
            assert_memory_equal(c.again, c.scores, c.n_docs * sizeof(float));
        }
        for (uint64_t d = 0; d < c.n_docs; d++) {
            run(&c, d, 1, 1, c.again);
            assert_memory_equal(c.again, &c.scores[d], sizeof(float));
        }
        maxsim_close(&c);
        n_cases++;
    }
    printf("%u cases, off by %.1e at most, %.0e are allowed\n", n_cases, worst, TOLERANCE);
    assert_true(n_cases >= 7);
    buf_done(&text);
}

static void maxsim_nan(void **state)
{
    (void)state;
    const float query[4] = {1, 0, 0, 1}, rows[10] = {1, 2, NAN, 4, 5, 6, INFINITY, 8, 0, 1};
    const uint64_t starts[5] = {0, 1, 3, 4, 5};
    float scores[4];
    assert_int_equal(vecmill_maxsim(query, 2, 2, rows, starts, 4, 1, scores, NULL), VECMILL_OK);
    assert_true(scores[0] == 3 && isnan(scores[1]) && scores[3] == 1);
    assert_true(isnan(scores[2])); /* 0 * infinity */
    const float bad[2] = {NAN, 0};
    assert_int_equal(vecmill_maxsim(bad, 1, 2, rows, starts, 1, 1, scores, NULL), VECMILL_OK);
    assert_true(isnan(scores[0]));
}

static void maxsim_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t n_query, dim, threads;
        uint64_t starts[4];
        const char *words;
    } refused[] = {
        {0, 2, 1, {0, 1, 1, 1}, "has 0 rows, 1 to 65536"},
        {65537, 2, 1, {0, 1, 1, 1}, "has 65537 rows, 1 to 65536"},
        {1, 0, 1, {0, 1, 1, 1}, "have 0 numbers, 1 to 65536"},
        {1, 65537, 1, {0, 1, 1, 1}, "have 65537 numbers"},
        {1, 2, 257, {0, 1, 1, 1}, "threads is 257, over VECMILL_MAX_THREADS, 256"},
        {1, 2, 1, {0, 3, 2, 2}, "document 1 of 3 begins at row 3 and ends before row 2"},
        {1, 2, 1, {0, 1, 1, UINT64_MAX / 4}, "more than memory can hold"},
        {1, 2, 1, {0, 1, 1, (uint64_t)1 << 60}, "more than memory can hold"},
    };
    const float zeros[2] = {0};
    float scores[3] = {7, 7, 7};
    vecmill_err err;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_int_equal(vecmill_maxsim(zeros, refused[i].n_query, refused[i].dim, zeros,
                                        refused[i].starts, 3, refused[i].threads, scores, &err),
                         VECMILL_E_USAGE);
        if (!strstr(err.message, refused[i].words)) fail_msg("%s", err.message);
    }
    assert_true(scores[0] == 7 && scores[1] == 7 && scores[2] == 7);
    /* no documents: nothing is read or written */
    assert_int_equal(vecmill_maxsim(zeros, 1, 2, NULL, NULL, 0, 1, NULL, &err), VECMILL_OK);
}

/* ---- MUVERA ---- */

/* The same numbers as doubles, some of them as signs, in every `ld`-th place from `first` on. */
static void widen(uint64_t seed, size_t n, size_t width, size_t first, size_t ld, bool signs,
                  double *to)
{
    void *memory;
    const float *from = values(seed, n, &memory);
    for (size_t i = 0; i < n; i++) {
        to[i / width * ld + first + i % width] = !signs ? (double)from[i] : from[i] < 0 ? -1 : 1;
    }
    mem_unmap(memory, n * sizeof(float));
}

/* Every `step`-th number, and last the sum of all. */
static double compare_sample(const struct json_value *want, const double *got, uint64_t n,
                             uint64_t step)
{
    struct json_each each = json_begin(want);
    struct json_value none, value;
    double sum = 0, off = 0, expected = 0;
    for (uint64_t i = 0; i < n; i++) {
        sum += got[i];
        if (i % step != 0) continue;
        assert_true(json_each(&each, &none, &value) && json_double(&value, &expected));
        off = fmax(off, fabs(got[i] - expected));
    }
    assert_true(json_each(&each, &none, &value) && json_double(&value, &expected));
    assert_false(json_each(&each, &none, &value));
    return fmax(off, fabs(sum - expected) / (double)n);
}

static void muvera_golden(void **state)
{
    (void)state;
    struct buf text;
    const struct json_value cases = open_cases(MUVERA_FILE, &text);
    struct json_each each = json_begin(&cases);
    struct json_value none, one;
    unsigned n_cases = 0;
    double worst = 0;
    while (json_each(&each, &none, &one)) {
        const vecmill_muvera_shape s = {number(&one, "dim"), number(&one, "k_sim"),
                                        number(&one, "dim_proj"), number(&one, "r_reps")};
        const size_t n = number(&one, "n"), ld = s.k_sim + s.dim_proj;
        const size_t n_planes = (size_t)s.r_reps * s.dim * ld;
        void *of_planes, *of_rows, *of_out;
        uint64_t floats = 0;
        assert_int_equal(vecmill_muvera_floats(&s, &floats, NULL), VECMILL_OK);
        double *planes = guarded(n_planes * sizeof(double), &of_planes);
        double *rows = guarded(n * s.dim * sizeof(double), &of_rows);
        double *out = guarded(floats * sizeof(double), &of_out);
        widen(3, (size_t)s.r_reps * s.dim * s.k_sim, s.k_sim, 0, ld, false, planes);
        widen(4, (size_t)s.r_reps * s.dim * s.dim_proj, s.dim_proj, s.k_sim, ld, true, planes);
        widen(5, n * s.dim, s.dim, 0, s.dim, false, rows);
        for (int role = VECMILL_ROLE_DOCUMENT; role <= VECMILL_ROLE_QUERY; role++) {
            const struct json_value want =
                json_get(&one, role == VECMILL_ROLE_QUERY ? "query" : "document");
            memset(out, 0xff, floats * sizeof *out);
            assert_int_equal(vecmill_muvera(&s, planes, rows, n, (vecmill_role)role, out, NULL),
                             VECMILL_OK);
            worst = fmax(worst, compare_sample(&want, out, floats, 7));
        }
        mem_unmap(of_planes, n_planes * sizeof(double));
        mem_unmap(of_rows, n * s.dim * sizeof(double));
        mem_unmap(of_out, floats * sizeof(double));
        n_cases++;
    }
    printf("%u cases, off by %.1e at most, 1e-12 are allowed\n", n_cases, worst);
    assert_true(n_cases >= 5 && worst <= 1e-12);
    buf_done(&text);
}

static void muvera_refused(void **state)
{
    (void)state;
    static const struct {
        vecmill_muvera_shape shape;
        uint64_t n;
        vecmill_role role;
        const char *words;
    } refused[] = {
        {{0, 1, 1, 1}, 1, VECMILL_ROLE_QUERY, "have 0 numbers, 1 to 65536"},
        {{65537, 1, 1, 1}, 1, VECMILL_ROLE_QUERY, "have 65537 numbers"},
        {{2, 21, 1, 1}, 1, VECMILL_ROLE_QUERY, "k_sim is 21, over VECMILL_MUVERA_PLANES, 20"},
        {{2, 1, 0, 1}, 1, VECMILL_ROLE_QUERY, "dim_proj is 0, 1 to the rows' 2"},
        {{2, 1, 3, 1}, 1, VECMILL_ROLE_QUERY, "dim_proj is 3, 1 to the rows' 2"},
        {{2, 1, 2, 0}, 1, VECMILL_ROLE_QUERY, "r_reps is 0"},
        {{65536, 20, 65536, UINT32_MAX}, 1, VECMILL_ROLE_QUERY, "more than memory"},
        {{2, 1, 1, 1}, 0, VECMILL_ROLE_QUERY, "there are 0 rows of 2 numbers, 1 is the least"},
        {{2, 1, 1, 1}, UINT64_MAX, VECMILL_ROLE_QUERY, "more than memory"},
        {{2, 1, 1, 1}, 1, VECMILL_ROLE_DEFAULT, "role is 0, neither"},
    };
    const double zeros[8] = {0};
    double out = 7;
    vecmill_err err;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_int_equal(vecmill_muvera(&refused[i].shape, zeros, zeros, refused[i].n,
                                        refused[i].role, &out, &err),
                         VECMILL_E_USAGE);
        if (!strstr(err.message, refused[i].words)) fail_msg("%s", err.message);
    }
    assert_true(out == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maxsim_golden),  cmocka_unit_test(maxsim_nan),
        cmocka_unit_test(maxsim_refused), cmocka_unit_test(muvera_golden),
        cmocka_unit_test(muvera_refused),
    };
    vecmill_machine machine = {.struct_bytes = sizeof machine};
    if (vecmill_machine_describe(&machine, NULL) == VECMILL_OK && machine.isa[0] == '\0') {
        printf("skipped: this machine lacks the level VECMILL_ISA names\n");
        return 77;
    }
    return cmocka_run_group_tests_name("engine-late", tests, NULL, NULL);
}
