/* Attention at the level in VECMILL_ISA: special values, the exponential's error, and that a document's
 * bits depend on nothing but the document. Values of every shape: test_kern_variants.c. */
#include "kern_kit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct kern *kern;

static void fill(struct kit_random *r, float *to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = kit_normal(r);
    }
}

static void *scratch_of(uint32_t longest, uint32_t d, int garbage)
{
    const size_t bytes = kit_attention_bytes(kern, KERN_FP32, longest, d);
    void *scratch = kit_bytes(bytes, 64);
    memset(scratch, garbage, bytes);
    return scratch;
}

/* One key: its weight is 1, and the output is its value. */
static void test_one_key(void **state)
{
    (void)state;
    struct kit_random r = {1};
    for (uint32_t d = 8; d <= 128; d += 8) {
        float *qkv = kit_floats(6 * (size_t)d), *ctx = kit_floats(2 * (size_t)d);
        fill(&r, qkv, 6 * (size_t)d);
        kit_attention(kern, KERN_FP32, qkv, 1, 2, d, ctx, scratch_of(1, d, 0xff));
        assert_memory_equal(ctx, qkv + 4 * (size_t)d, 2 * d * sizeof *ctx);
        kit_free();
    }
}

/* Scores that overflow must show: a softmax that came out uniform would be finite and wrong. */
static void test_overflow(void **state)
{
    (void)state;
    enum { LEN = 37, D = 32 };
    struct kit_random r = {9};
    float *qkv = kit_floats(LEN * 3 * D), *ctx = kit_floats(LEN * D);
    fill(&r, qkv, LEN * 3 * D);
    for (int t = 0; t < D; t++) {
        qkv[5 * 3 * D + t] = 1e30f;      /* a query */
        qkv[33 * 3 * D + D + t] = 1e30f; /* and a key: infinity */
    }
    kit_attention(kern, KERN_FP32, qkv, LEN, 1, D, ctx, scratch_of(LEN, D, 0xff));
    assert_false(isfinite(ctx[5 * D]));
    /* Minus infinity has no weight; here the seventh key has all of it. */
    memset(qkv + 6 * 3 * D, 0, D * sizeof *qkv);
    qkv[6 * 3 * D] = -1e30f;
    for (int j = 0; j < LEN; j++) {
        qkv[j * 3 * D + D] = j == 33 ? 1e38f : j == 7 ? -1.0f : 1.0f;
    }
    kit_attention(kern, KERN_FP32, qkv, LEN, 1, D, ctx, scratch_of(LEN, D, 0xff));
    kit_near("minus infinity", ctx + 6 * D, qkv + 7 * 3 * D + 2 * D, D, 1e-6);
    kit_free();
}

/* Equal scores: the mean of the values. */
static void test_equal_scores(void **state)
{
    (void)state;
    struct kit_random r = {2};
    for (uint32_t len = 2; len < 300; len += 29) {
        enum { D = 32 };
        float *qkv = kit_floats((size_t)len * 3 * D), *ctx = kit_floats((size_t)len * D);
        double mean[D] = {0};
        fill(&r, qkv, (size_t)len * 3 * D);
        for (uint32_t i = 0; i < len; i++) {
            memset(qkv + (size_t)i * 3 * D, 0, D * sizeof *qkv);
            for (int t = 0; t < D; t++) {
                mean[t] += (double)qkv[(size_t)i * 3 * D + 2 * D + t] / len;
            }
        }
        kit_attention(kern, KERN_FP32, qkv, len, 1, D, ctx, scratch_of(len, D, 0xff));
        for (size_t i = 0; i < (size_t)len * D; i++) {
            assert_true(fabs((double)ctx[i] - mean[i % D]) < 2e-6);
        }
        kit_free();
    }
}

/* Scores of +-1e30 and differences far below the exponential's range: no NaN, no infinity, and the
 * highest key takes all. */
static void test_large_scores(void **state)
{
    (void)state;
    enum { D = 16, LEN = 45 };
    const float sizes[] = {90, 1e4f, 1e15f};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        float *qkv = kit_floats(LEN * 3 * D), *ctx = kit_floats(LEN * D);
        memset(qkv, 0, LEN * 3 * D * sizeof *qkv);
        for (int i = 0; i < LEN; i++) {
            float *row = qkv + (size_t)i * 3 * D;
            row[0] = i % 2 ? sizes[s] : -sizes[s];
            row[D] = (float)(i - LEN / 2) * sizes[s];
            for (int t = 0; t < D; t++) {
                row[2 * D + t] = (float)(i + 1);
            }
        }
        kit_attention(kern, KERN_FP32, qkv, LEN, 1, D, ctx, scratch_of(LEN, D, 0xff));
        for (int i = 0; i < LEN * D; i++) {
            const float want = (i / D) % 2 ? LEN : 1;
            if (!(fabsf(ctx[i] - want) < 1e-5f))
                fail_msg("scores of %g: value %d is %g, not %g", (double)sizes[s], i,
                         (double)ctx[i], (double)want);
        }
        kit_free();
    }
}

/* Two keys, the first of score 0 and value 0, the second of score -s and value 1: the output is
 * e / (1 + e) with e = exp(-s), from which e follows. d = 16 makes the division by its root exact. */
static void test_exponential(void **state)
{
    (void)state;
    enum { D = 16, LEN = 2 };
    float *qkv = kit_floats(LEN * 3 * D), *ctx = kit_floats(LEN * D);
    void *scratch = scratch_of(LEN, D, 0xff);
    memset(qkv, 0, LEN * 3 * D * sizeof *qkv);
    qkv[0] = 1.0f;
    qkv[3 * D + 2 * D] = 1.0f;
    double most = 0;
    const int steps = kit_times(40000);
    for (int i = 0; i <= steps; i++) {
        const float s = 80.0f * (float)i / (float)steps;
        qkv[3 * D + D] = -4.0f * s;
        kit_attention(kern, KERN_FP32, qkv, LEN, 1, D, ctx, scratch);
        const double got = (double)ctx[0] / (1 - (double)ctx[0]), want = exp(-(double)s);
        const double off = fabs(got / want - 1);
        /* The argument is rounded to 24 bits before: that alone is up to 1.2e-7 of it. */
        if (!(off <= 5e-7 + 1.5e-7 * (double)s))
            fail_msg("exp(-%g) comes out as %.9g, off by %.2g", (double)s, got, off);
        if (off / (1 + (double)s / 4) > most) most = off / (1 + (double)s / 4);
    }
    printf("  %s: exponential within %.2g * (1 + |x| / 4) of libm\n", kern->name, most);
    kit_free();
}

/* The same document with other neighbours, other garbage in scratch, other scratch sizes, at other
 * addresses: the same bits, and nothing around the output is touched. */
static void test_bits(void **state)
{
    (void)state;
    struct kit_random r = {3};
    for (int turn = 0; turn < kit_times(60); turn++) {
        static const uint32_t widths[] = {32, 64, 8, 24, 40, 128};
        const uint32_t d = widths[turn % 6], heads = 1 + kit_below(&r, 3);
        const uint32_t len = 1 + kit_below(&r, turn % 2 ? 40 : 300);
        const size_t h = (size_t)heads * d, n_qkv = len * 3 * h, n_ctx = len * h;
        float *alone = kit_floats(n_qkv), *want = kit_floats(n_ctx);
        fill(&r, alone, n_qkv);
        kit_attention(kern, KERN_FP32, alone, len, heads, d, want, scratch_of(len, d, 0x00));
        for (int place = 0; place < 4; place++) {
            const size_t before = kit_below(&r, 50), after = kit_below(&r, 50);
            float *qkv = kit_floats(before + n_qkv + after);
            float *ctx = kit_floats(before + n_ctx + after);
            memset(qkv, place % 2 ? 0xff : 0x7e, (before + n_qkv + after) * sizeof *qkv);
            memset(ctx, 0x55, (before + n_ctx + after) * sizeof *ctx);
            memcpy(qkv + before, alone, n_qkv * sizeof *qkv);
            kit_attention(kern, KERN_FP32, qkv + before, len, heads, d, ctx + before,
                          scratch_of(len + (uint32_t)place * 17, d, 0xff));
            assert_memory_equal(ctx + before, want, n_ctx * sizeof *ctx);
            for (size_t i = 0; i < (before + n_ctx + after) * sizeof *ctx; i++) {
                const size_t begin = before * sizeof *ctx, end = begin + n_ctx * sizeof *ctx;
                if (i < begin || i >= end) assert_int_equal(((unsigned char *)ctx)[i], 0x55);
            }
        }
        kit_free();
    }
}

/* A query's row is the same whichever of a tile's rows it is: all queries alike give all rows alike. */
static void test_rows_alike(void **state)
{
    (void)state;
    struct kit_random r = {4};
    for (uint32_t len = 1; len < 70; len += 3) {
        enum { D = 32, HEADS = 2, H = D * HEADS };
        float *qkv = kit_floats((size_t)len * 3 * H), *ctx = kit_floats((size_t)len * H);
        fill(&r, qkv, (size_t)len * 3 * H);
        for (uint32_t i = 1; i < len; i++) {
            memcpy(qkv + (size_t)i * 3 * H, qkv, H * sizeof *qkv);
        }
        kit_attention(kern, KERN_FP32, qkv, len, HEADS, D, ctx, scratch_of(len, D, 0xff));
        for (uint32_t i = 1; i < len; i++) {
            assert_memory_equal(ctx + (size_t)i * H, ctx, H * sizeof *ctx);
        }
        kit_free();
    }
}

/* What a call computes of a document does not show in it: fewer queries and a range of heads give the bits
 * of the whole, from rows that end where the call's queries end, and leave the rest of ctx alone. */
static void test_ranges(void **state)
{
    (void)state;
    struct kit_random r = {5};
    for (int turn = 0; turn < kit_times(300); turn++) {
        static const uint32_t widths[] = {32, 64, 32, 16, 48, 1, 20, 130};
        const uint32_t d = widths[turn % 8], heads = 1 + kit_below(&r, 4);
        const uint32_t len = 1 + kit_below(&r, turn % 3 ? 60 : 300);
        const uint32_t n_queries = turn % 4 ? 1 + kit_below(&r, len) : 1;
        const uint32_t first = kit_below(&r, heads), n_heads = 1 + kit_below(&r, heads - first);
        const size_t h = (size_t)heads * d, n_ctx = n_queries * h;
        float *qkv = kit_floats(len * 3 * h), *whole = kit_floats(len * h),
              *part = kit_floats(n_ctx);
        fill(&r, qkv, len * 3 * h);
        kit_attention(kern, KERN_FP32, qkv, len, heads, d, whole, scratch_of(len, d, 0xff));
        for (uint32_t i = n_queries; i < len; i++) {
            memset(qkv + (size_t)i * 3 * h, 0xff,
                   h * sizeof *qkv); /* queries that were not asked for */
        }
        memset(part, 0x55, n_ctx * sizeof *part);
        struct attention_call call = kit_call(qkv, len, heads, d, part, scratch_of(len, d, 0xff));
        call.n_queries = n_queries;
        call.first_head = first;
        call.n_heads = n_heads;
        attention_run(kern, KERN_FP32, &call);
        for (size_t i = 0; i < n_ctx; i++) {
            const size_t head = i % h / d;
            const bool is_computed = head >= first && head < first + n_heads;
            float untouched;
            memset(&untouched, 0x55, sizeof untouched);
            assert_memory_equal(&part[i], is_computed ? &whole[i] : &untouched, sizeof *part);
        }
        kit_free();
    }
}

/* Weights down to those that are too small for a float; and the caller's denormal numbers are as before. */
static void test_small_weights(void **state)
{
    (void)state;
    enum { D = 32, LEN = 40 };
    float *qkv = kit_floats(LEN * 3 * D), *ctx = kit_floats(LEN * D);
    for (int i = 0; i < LEN; i++) {
        float *row = qkv + (size_t)i * 3 * D;
        for (int t = 0; t < D; t++) {
            row[t] = t ? 0.0f : sqrtf((float)D);
            row[D + t] = t ? 0.0f : -2.0f * (float)i; /* the i-th key's weight is exp(-2 i) */
            row[2 * D + t] = i < 1 ? 1.0f : 0.0f;
        }
    }
    qkv[(size_t)(LEN - 1) * 3 * D + D] = -101.0f; /* exp(-101) is a denormal number */
    qkv[(size_t)(LEN - 1) * 3 * D + 2 * D] = 1e30f;
    kit_attention(kern, KERN_FP32, qkv, LEN, 1, D, ctx, scratch_of(LEN, D, 0xff));
    const double want = 1 - exp(-2.0);
    for (int i = 0; i < LEN * D; i++) {
        if (!(fabs((double)ctx[i] - want) < 1e-6))
            fail_msg("value %d is %.9g, not %.9g", i, (double)ctx[i], want);
    }
    volatile float small = 1e-38f;
    small *= 0.1f;
    assert_true(small > 0);
    kit_free();
}

/* Scratch grows with the document, not with its square. */
static void test_scratch(void **state)
{
    (void)state;
    const size_t at512 = kit_attention_bytes(kern, KERN_FP32, 512, 64),
                 at8192 = kit_attention_bytes(kern, KERN_FP32, 8192, 64);
    assert_true(at8192 <= 16 * at512 + 4096);
    assert_true(at512 <= 512 * 2 * 64 * sizeof(float) + 64 * 1024);
    assert_int_equal(kit_attention_bytes(kern, KERN_FP32, 1, 8) % 64, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_key),      cmocka_unit_test(test_equal_scores),
        cmocka_unit_test(test_large_scores), cmocka_unit_test(test_exponential),
        cmocka_unit_test(test_bits),         cmocka_unit_test(test_rows_alike),
        cmocka_unit_test(test_ranges),       cmocka_unit_test(test_scratch),
        cmocka_unit_test(test_overflow),     cmocka_unit_test(test_small_weights),
    };
    kern = kit_kern();
    char name[40];
    snprintf(name, sizeof name, "kern-attention-%s", kern->name);
    return kit_end(name, sizeof tests / sizeof *tests, cmocka_run_group_tests(tests, NULL, NULL));
}
