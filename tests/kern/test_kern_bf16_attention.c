/* Attention in bfloat16, by every variant of kernels.def that this machine can run, chosen or not: near sums
 * in double (near ref: test_kern_variants.c); the same bits from all variants of one level; and a query's
 * bits depend on its document alone: not on ranges of queries and heads, neighbours, scratch, or the
 * caller's MXCSR. */
#include "kern_kit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kern/bf16.h"
#include "kern/kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

struct candidate {
    const char *name;
    const struct attention_kernel *kernel;
    enum kern_level level;
};

enum { MOST_CANDIDATES = 16 };
static struct candidate candidates[MOST_CANDIDATES]; /* ref first */
static size_t n_candidates;

static void add_candidate(struct candidate c, enum cpu_feature needs)
{
    if (c.level > kern_machine_level() || !cpu_has(needs)) {
        printf("skipped: this machine cannot run %s\n", c.name);
        return;
    }
    assert_true(n_candidates < MOST_CANDIDATES);
    candidates[n_candidates++] = c;
}

static int find_candidates(void **state)
{
    (void)state;
#define KERNEL(op, LEVEL, level, tolerance, file)
#define GEMM(PRECISION, LEVEL, variant, NEEDS, tolerance, gelu, file)
#define ATTENTION(PRECISION, LEVEL, variant, NEEDS, tolerance, file)                               \
    if (KERN_##PRECISION == KERN_BF16)                                                             \
        add_candidate((struct candidate){#variant, &attention_##variant, KERN_##LEVEL},            \
                      CPU_##NEEDS);
#include "kern/kernels.def"
#undef KERNEL
#undef ATTENTION
#undef GEMM
    return 0;
}

/* ---- one document ---- */

struct document {
    uint32_t len, heads, d;
    float *qkv;
};

static void fill(struct kit_random *r, float *to, size_t n, float scale)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = kit_normal(r) * scale;
    }
}

static size_t n_ctx(const struct document *doc)
{
    return (size_t)doc->len * doc->heads * doc->d;
}

static struct document document(struct kit_random *r, uint32_t len, uint32_t heads, uint32_t d)
{
    const struct document doc = {len, heads, d, kit_floats((size_t)len * 3 * heads * d)};
    fill(r, doc.qkv, 3 * n_ctx(&doc), 1.5f);
    return doc;
}

static size_t bytes_of(const struct candidate *c, uint32_t longest, uint32_t d)
{
    const struct attention_shape shape = kit_shape(1, d);
    return c->kernel->bytes(&shape, longest);
}

static void *scratch_of(const struct candidate *c, uint32_t longest, uint32_t d, int garbage)
{
    const size_t n_bytes = bytes_of(c, longest, d);
    void *scratch = kit_bytes(n_bytes, 64);
    assert_int_equal(n_bytes % 64, 0);
    memset(scratch, garbage, n_bytes);
    return scratch;
}

static void run_part(const struct candidate *c, const struct document *doc, uint32_t n_queries,
                     uint32_t first_head, uint32_t n_heads, float *ctx, void *scratch)
{
    struct attention_call call = kit_call(doc->qkv, doc->len, doc->heads, doc->d, ctx, scratch);
    call.n_queries = n_queries;
    call.first_head = first_head;
    call.n_heads = n_heads;
    c->kernel->run(&call);
}

static void run(const struct candidate *c, const struct document *doc, float *ctx)
{
    run_part(c, doc, doc->len, 0, doc->heads, ctx, scratch_of(c, doc->len, doc->d, 0xff));
}

static double near(float x)
{
    return (double)bf16_widen(bf16_round(x));
}

/* One query of one head over rounded numbers, all else in double; returns the largest value's magnitude. */
static double expected(const struct document *doc, uint32_t i, uint32_t head, double *out)
{
    const size_t h = (size_t)doc->heads * doc->d, ld = 3 * h;
    const float *q = doc->qkv + i * ld + (size_t)head * doc->d;
    const float scale = 1.44269504f / sqrtf((float)doc->d);
    double weights[600], max = -HUGE_VAL, sum = 0, largest = 0;
    assert_true(doc->len <= 600);
    for (uint32_t j = 0; j < doc->len; j++) {
        const float *k = doc->qkv + j * ld + h + (size_t)head * doc->d;
        double s = 0;
        for (uint32_t t = 0; t < doc->d; t++) {
            s += near(q[t] * scale) * near(k[t]);
        }
        weights[j] = s;
        max = fmax(max, weights[j]);
    }
    for (uint32_t j = 0; j < doc->len; j++) {
        weights[j] = exp2(weights[j] - max);
        sum += weights[j];
    }
    for (uint32_t t = 0; t < doc->d; t++) {
        out[t] = 0;
        for (uint32_t j = 0; j < doc->len; j++) {
            const double v = near(doc->qkv[j * ld + 2 * h + (size_t)head * doc->d + t]);
            out[t] += weights[j] * v / sum;
            largest = fmax(largest, fabs(v));
        }
    }
    return largest;
}

/* ---- tests ---- */

static const uint32_t widths[] = {32, 64, 8, 24, 7, 40, 128, 1, 33};
static const uint32_t lengths[] = {1,  2,  3,  4,  5,  11, 12, 13,  16, 17,
                                   24, 31, 33, 48, 49, 64, 97, 235, 512};
enum { N_WIDTHS = sizeof widths / sizeof *widths, N_LENGTHS = sizeof lengths / sizeof *lengths };

/* Weights are rounded to 8 bits: each is off by at most 2^-8 of itself, and errors are of both signs. */
static void test_values(void **state)
{
    (void)state;
    struct kit_random r = {31};
    double most = 0;
    for (size_t i = 0; i < N_LENGTHS; i++) {
        const uint32_t d = widths[i % N_WIDTHS];
        const struct document doc = document(&r, lengths[i], 2, d);
        float *ctx = kit_floats(n_ctx(&doc));
        for (size_t c = 0; c < n_candidates; c++) {
            run(&candidates[c], &doc, ctx);
            for (uint32_t query = 0; query < doc.len; query += 1 + doc.len / 20) {
                double want[128];
                const size_t at = ((size_t)query * 2 + 1) * d;
                const double largest = expected(&doc, query, 1, want);
                for (uint32_t t = 0; t < d; t++) {
                    const double off = fabs((double)ctx[at + t] - want[t]) / largest;
                    if (!(off <= 0x1p-8))
                        fail_msg("%s: %u tokens of %u, query %u: %.9g is not %.9g",
                                 candidates[c].name, doc.len, d, query, (double)ctx[at + t],
                                 want[t]);
                    if (off > most) most = off;
                }
            }
        }
        kit_free();
    }
    printf("  bf16: attention within %.2g of the largest value of exact weights\n", most);
}

/* A machine's choice between variants of one level must not show. */
static void test_variants_of_a_level(void **state)
{
    (void)state;
    struct kit_random r = {32};
    size_t n_compared = 0;
    for (size_t i = 0; i < N_LENGTHS * N_WIDTHS; i++) {
        const struct document doc = document(&r, lengths[i % N_LENGTHS], 1, widths[i % N_WIDTHS]);
        float *ctx = kit_floats(n_ctx(&doc)), *want = kit_floats(n_ctx(&doc));
        if (i % 3 == 1) fill(&r, doc.qkv, 3 * n_ctx(&doc), 1e-19f); /* scores that vanish */
        if (i % 3 == 2) fill(&r, doc.qkv, 3 * n_ctx(&doc), 12.0f);  /* weights that do */
        for (size_t c = 1; c < n_candidates; c++) {
            run(&candidates[c], &doc, ctx);
            if (candidates[c].level == candidates[c - 1].level) {
                n_compared++;
                assert_memory_equal(ctx, want, n_ctx(&doc) * sizeof *ctx);
            }
            memcpy(want, ctx, n_ctx(&doc) * sizeof *ctx);
        }
        kit_free();
    }
    if (n_compared == 0) printf("skipped: this machine runs one variant a level\n");
}

/* Some queries, some heads, other garbage, longer scratch, rows that must not be read: the same bits, and
 * nothing else written. */
static void test_bits(void **state)
{
    (void)state;
    struct kit_random r = {33};
    for (int turn = 0; turn < kit_times(200); turn++) {
        const struct candidate *c = &candidates[(size_t)turn % n_candidates];
        const uint32_t len = 1 + kit_below(&r, turn % 3 && c->level ? 300 : 40);
        const uint32_t heads = 1 + kit_below(&r, 4), d = widths[kit_below(&r, N_WIDTHS)];
        const struct document doc = document(&r, len, heads, d);
        float *want = kit_floats(n_ctx(&doc)), *ctx = kit_floats(n_ctx(&doc));
        run(c, &doc, want);
        const uint32_t n_queries = 1 + kit_below(&r, len), first_head = kit_below(&r, heads);
        const uint32_t n_heads = 1 + kit_below(&r, heads - first_head);
        const size_t h = (size_t)heads * d;
        for (uint32_t i = n_queries; i < len; i++) {
            memset(doc.qkv + i * 3 * h, 0xff, h * sizeof *doc.qkv);
        }
        memset(ctx, 0x55, n_ctx(&doc) * sizeof *ctx);
        run_part(c, &doc, n_queries, first_head, n_heads, ctx,
                 scratch_of(c, len + (uint32_t)turn % 17, d, turn % 2 ? 0x7e : 0));
        for (size_t i = 0; i < n_ctx(&doc); i++) {
            const size_t head = i % h / d;
            const bool ours =
                i / h < n_queries && head >= first_head && head < first_head + n_heads;
            assert_int_equal(bf16_bits(ctx[i]), ours ? bf16_bits(want[i]) : 0x55555555);
        }
        kit_free();
    }
}

/* All queries alike give all rows alike, whichever of a tile's rows and lanes they are. */
static void test_rows_alike(void **state)
{
    (void)state;
    struct kit_random r = {34};
    for (uint32_t len = 1; len < 80; len += 3) {
        enum { D = 32 };
        const struct document doc = document(&r, len, 1, D);
        float *ctx = kit_floats(n_ctx(&doc));
        for (uint32_t i = 1; i < len; i++) {
            memcpy(doc.qkv + (size_t)i * 3 * D, doc.qkv, D * sizeof *doc.qkv);
        }
        for (size_t c = 0; c < n_candidates; c++) {
            run(&candidates[c], &doc, ctx);
            for (uint32_t i = 1; i < len; i++) {
                assert_memory_equal(ctx + (size_t)i * D, ctx, D * sizeof *ctx);
            }
        }
        kit_free();
    }
}

/* One key: its rounded value. Equal scores: the mean. One score far above the others: that value. */
static void test_plain_cases(void **state)
{
    (void)state;
    struct kit_random r = {35};
    enum { D = 48, LEN = 45 };
    for (size_t c = 0; c < n_candidates; c++) {
        const struct document one = document(&r, 1, 1, D), doc = document(&r, LEN, 1, D);
        float *ctx = kit_floats(n_ctx(&doc));
        double mean[D] = {0};
        run(&candidates[c], &one, ctx);
        for (size_t t = 0; t < D; t++) {
            assert_true((double)ctx[t] == near(one.qkv[2 * D + t]));
        }
        for (uint32_t i = 0; i < LEN; i++) {
            memset(doc.qkv + (size_t)i * 3 * D, 0, D * sizeof *doc.qkv);
            for (size_t t = 0; t < D; t++) {
                mean[t] += near(doc.qkv[(size_t)i * 3 * D + 2 * D + t]) / LEN;
            }
        }
        run(&candidates[c], &doc, ctx);
        for (size_t i = 0; i < n_ctx(&doc); i++) {
            assert_true(fabs((double)ctx[i] - mean[i % D]) < 2e-6);
        }
        static const float sizes[] = {90, 1e4f, 1e15f};
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            for (int i = 0; i < LEN; i++) {
                float *row = doc.qkv + (size_t)i * 3 * D;
                memset(row, 0, 2 * D * sizeof *row);
                row[0] = i % 2 ? sizes[s] : -sizes[s];
                row[D] = (float)(i - LEN / 2) * sizes[s];
            }
            run(&candidates[c], &doc, ctx);
            for (size_t i = 0; i < n_ctx(&doc); i++) {
                const float *value = doc.qkv + (i / D % 2 ? LEN - 1 : 0) * 3 * D + 2 * D;
                assert_true(fabs((double)ctx[i] - near(value[i % D])) < 1e-6);
            }
        }
    }
    kit_free();
}

/* Scores that overflow, NaN and infinity show in their outputs. */
static void test_nan(void **state)
{
    (void)state;
    enum { LEN = 37, D = 32 };
    struct kit_random r = {36};
    for (size_t c = 0; c < n_candidates; c++) {
        for (int what = 0; what < 3; what++) {
            const struct document doc = document(&r, LEN, 1, D);
            float *ctx = kit_floats(n_ctx(&doc));
            float *query = doc.qkv + 5 * 3 * D, *last = doc.qkv + (LEN - 1) * 3 * D;
            for (int t = 0; what == 0 && t < D; t++) {
                query[t] = 1e30f;
                last[D + t] = 1e30f;
            }
            if (what == 1) query[D - 1] = NAN;
            if (what == 2) last[3 * D - 1] = INFINITY; /* a value: one column of all queries */
            run(&candidates[c], &doc, ctx);
            for (size_t i = 0; i < n_ctx(&doc); i++) {
                const bool touched = what == 2 ? i % D == D - 1 : i / D == 5;
                assert_true(isfinite(ctx[i]) == !touched);
            }
            kit_free();
        }
    }
}

/* Denormals and rounding are the kernel's own for the length of the call, then the caller's. */
static void test_mxcsr(void **state)
{
    (void)state;
#if defined(__x86_64__)
    struct kit_random r = {37};
    const unsigned modes[] = {0x1f80, 0x3f80, 0x5f85, 0x7fbf, 0x9fc0};
    const struct document doc = document(&r, 29, 1, 24);
    fill(&r, doc.qkv, 3 * n_ctx(&doc), 1e-19f);
    float *ctx = kit_floats(n_ctx(&doc)), *want = kit_floats(n_ctx(&doc));
    for (size_t c = 0; c < n_candidates; c++) {
        if (candidates[c].level == KERN_REF) continue; /* plain C: rounds as the caller does */
        run(&candidates[c], &doc, want);
        const struct attention_call call =
            kit_call(doc.qkv, doc.len, doc.heads, doc.d, ctx,
                     scratch_of(&candidates[c], doc.len, doc.d, 0xff));
        const unsigned before = _mm_getcsr();
        for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
            _mm_setcsr(modes[m]);
            candidates[c].kernel->run(&call);
            const unsigned after = _mm_getcsr();
            _mm_setcsr(before);
            assert_int_equal(after, modes[m]);
            assert_memory_equal(ctx, want, n_ctx(&doc) * sizeof *ctx);
        }
    }
    kit_free();
#else
    printf("skipped: no MXCSR outside x86-64\n");
#endif
}

/* Scratch grows with the document, not with its square. */
static void test_scratch(void **state)
{
    (void)state;
    for (size_t c = 0; c < n_candidates; c++) {
        const size_t at512 = bytes_of(&candidates[c], 512, 64);
        assert_true(bytes_of(&candidates[c], 8192, 64) <= 16 * at512 + 4096);
        assert_true(at512 <= 512 * (2 * 64 + 32) * sizeof(float) + 16384);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),      cmocka_unit_test(test_variants_of_a_level),
        cmocka_unit_test(test_bits),        cmocka_unit_test(test_rows_alike),
        cmocka_unit_test(test_plain_cases), cmocka_unit_test(test_nan),
        cmocka_unit_test(test_mxcsr),       cmocka_unit_test(test_scratch),
    };
    return kit_end("kern-bf16-attention", sizeof tests / sizeof *tests,
                   cmocka_run_group_tests(tests, find_candidates, NULL));
}
