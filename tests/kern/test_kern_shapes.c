/* Attention of every shape at the level in VECMILL_ISA, in each precision: a query's bits depend on neither
 * the ranges of a call nor what it does not see, and shapes that say the same compute the same. Values:
 * test_kern_variants.c. */
#include "kern_kit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEED = 20261201 };

static const struct kern *kern;

struct document {
    struct attention_call call; /* of all queries and heads */
    size_t n_ctx;
};

static float *filled(struct kit_random *r, size_t n)
{
    float *x = kit_floats(n);
    for (size_t i = 0; i < n; i++) {
        x[i] = kit_normal(r);
    }
    return x;
}

static float *unwritten(size_t n)
{
    float *x = kit_floats(n);
    memset(x, 0x55, n * sizeof *x);
    return x;
}

static void *scratch_of(enum kern_precision precision, const struct attention_shape *shape,
                        uint32_t longest)
{
    const size_t bytes = attention_bytes(kern, precision, shape, longest);
    void *scratch = kit_bytes(bytes, 64);
    memset(scratch, 0xff, bytes);
    return scratch;
}

static struct document document(struct kit_random *r, struct attention_shape shape, uint32_t len)
{
    const size_t h = (size_t)shape.heads * shape.d, h_kv = (size_t)shape.kv_heads * shape.d;
    struct document doc = {
        .call = {.shape = shape, .len = len, .n_queries = len, .n_heads = shape.heads}};
    struct attention_call *c = &doc.call;
    c->ld_q = h + kit_below(r, 9);
    c->ld_kv = h_kv + kit_below(r, 9);
    c->ld_ctx = h + kit_below(r, 9);
    c->q = filled(r, (len - 1) * c->ld_q + h);
    c->k = filled(r, (len - 1) * c->ld_kv + h_kv);
    c->v = filled(r, (len - 1) * c->ld_kv + h_kv);
    c->bias = kit_random_bias(r, &c->shape);
    doc.n_ctx = (len - 1) * c->ld_ctx + h;
    return doc;
}

static float *attend(const struct document *doc, enum kern_precision precision)
{
    struct attention_call call = doc->call;
    call.ctx = unwritten(doc->n_ctx);
    call.scratch = scratch_of(precision, &call.shape, call.len);
    attention_run(kern, precision, &call);
    return call.ctx;
}

/* Plain C is slow, and so is an emulator. */
static uint32_t random_len(struct kit_random *r)
{
    const bool is_quick = kit_times(10) == 1;
    if (kern->level == KERN_REF) return 1 + kit_below(r, 30);
    return 1 + kit_below(r, kit_below(r, 3) ? 60 : is_quick ? 160 : 600);
}

static enum kern_precision random_precision(struct kit_random *r)
{
    return (enum kern_precision)kit_below(r, KERN_PRECISIONS);
}

/* Some queries, some heads, longer scratch: the same bits, and nothing else written. So a key that a
 * block leaves out and one that it walks for another query's sake are alike. */
static void test_parts(void **state)
{
    (void)state;
    struct kit_random r = {SEED};
    for (int turn = 0; turn < kit_times(400); turn++) {
        const uint32_t len = random_len(&r);
        const enum kern_precision precision = random_precision(&r);
        const struct document doc = document(&r, kit_random_shape(&r, len), len);
        const float *whole = attend(&doc, precision);
        struct attention_call part = doc.call;
        part.first_query = kit_below(&r, len);
        part.n_queries = turn % 4 ? 1 + kit_below(&r, len - part.first_query) : 1;
        part.first_head = kit_below(&r, part.shape.heads);
        part.n_heads = 1 + kit_below(&r, part.shape.heads - part.first_head);
        part.q = kit_copy(part.q + part.first_query * part.ld_q,
                          (part.n_queries - 1) * part.ld_q + part.shape.heads * part.shape.d);
        const size_t n = (part.n_queries - 1) * part.ld_ctx + part.shape.heads * part.shape.d;
        part.ctx = unwritten(n);
        part.scratch = scratch_of(precision, &part.shape, len + kit_below(&r, 40));
        attention_run(kern, precision, &part);
        for (size_t i = 0; i < n; i++) {
            const size_t head = i % part.ld_ctx / part.shape.d;
            const bool ours = head >= part.first_head && head < part.first_head + part.n_heads;
            const float *want = whole + part.first_query * part.ld_ctx + i;
            assert_memory_equal(part.ctx + i, ours ? (const char *)want : "\x55\x55\x55\x55", 4);
        }
        kit_free();
    }
}

/* What a query does not see has no weight at all, however large. */
static void test_unseen(void **state)
{
    (void)state;
    struct kit_random r = {SEED + 1};
    for (int turn = 0; turn < kit_times(200); turn++) {
        const uint32_t len = random_len(&r), i = kit_below(&r, len);
        const enum kern_precision precision = random_precision(&r);
        struct document doc = document(&r, kit_random_shape(&r, len), len);
        const struct attention_shape *s = &doc.call.shape;
        const size_t h_kv = (size_t)s->kv_heads * s->d, n_kv = (len - 1) * doc.call.ld_kv + h_kv;
        float *k = kit_copy(doc.call.k, n_kv), *v = kit_copy(doc.call.v, n_kv);
        const float *before = attend(&doc, precision);
        for (uint32_t j = 0; j < len; j++) {
            if ((i > j ? i - j : j - i) <= s->window && !(s->causal && j > i)) continue;
            for (size_t t = j * doc.call.ld_kv; t < j * doc.call.ld_kv + h_kv; t++) {
                k[t] *= 1000;
                v[t] *= 1e30f;
            }
        }
        doc.call.k = k;
        doc.call.v = v;
        const float *after = attend(&doc, precision);
        const size_t row = i * doc.call.ld_ctx;
        assert_memory_equal(after + row, before + row, s->heads * s->d * sizeof *after);
        kit_free();
    }
}

/* Slopes written as a table; a table of zeros and no bias; a window as long as the document and none. */
static void test_alike(void **state)
{
    (void)state;
    struct kit_random r = {SEED + 2};
    for (int turn = 0; turn < kit_times(150); turn++) {
        const uint32_t len = random_len(&r), span = len - 1 + kit_below(&r, 5);
        const enum kern_precision precision = kit_below(&r, 2) ? KERN_FP32 : KERN_BF16;
        struct attention_shape shape = kit_random_shape(&r, len);
        shape.bias = turn % 2 ? ATTENTION_SLOPES : ATTENTION_PLAIN;
        struct document doc = document(&r, shape, len);
        const float *want = attend(&doc, precision);
        float *table = kit_floats(shape.heads * (2 * (size_t)span + 1)), *to = table;
        for (uint32_t g = 0; g < shape.heads; g++) {
            for (int64_t apart = -(int64_t)span; apart <= span; apart++) {
                const float size = apart < 0 ? (float)-apart : (float)apart;
                *to++ = shape.bias == ATTENTION_SLOPES ? -doc.call.bias[g] * size : 0;
            }
        }
        doc.call.shape.bias = ATTENTION_TABLE;
        doc.call.shape.span = span;
        doc.call.bias = table;
        if (shape.window >= len) doc.call.shape.window = turn % 4 < 2 ? len - 1 : ATTENTION_ALL - 1;
        const float *got = attend(&doc, precision);
        assert_memory_equal(got, want, doc.n_ctx * sizeof *got);
        kit_free();
    }
}

/* Key heads that are shared, and the same written out for each query head. */
static void test_shared_keys(void **state)
{
    (void)state;
    struct kit_random r = {SEED + 3};
    for (int turn = 0; turn < kit_times(100); turn++) {
        const uint32_t len = random_len(&r);
        const enum kern_precision precision = kit_below(&r, 2) ? KERN_FP32 : KERN_BF16;
        struct document doc = document(&r, kit_random_shape(&r, len), len);
        struct attention_call *c = &doc.call;
        const float *want = attend(&doc, precision);
        const size_t d = c->shape.d, h = c->shape.heads * d,
                     group = c->shape.heads / c->shape.kv_heads;
        float *k = kit_floats(len * h), *v = kit_floats(len * h);
        for (size_t j = 0; j < len; j++) {
            for (size_t g = 0; g < c->shape.heads; g++) {
                const size_t from = j * c->ld_kv + g / group * d;
                memcpy(k + j * h + g * d, c->k + from, d * sizeof *k);
                memcpy(v + j * h + g * d, c->v + from, d * sizeof *v);
            }
        }
        c->k = k;
        c->v = v;
        c->ld_kv = h;
        c->shape.kv_heads = c->shape.heads;
        const float *got = attend(&doc, precision);
        assert_memory_equal(got, want, doc.n_ctx * sizeof *got);
        kit_free();
    }
}

/* int8 knows plain attention alone; all else it computes as float does. */
static void test_int8_is_float(void **state)
{
    (void)state;
    struct kit_random r = {SEED + 4};
    for (int turn = 0; turn < kit_times(60); turn++) {
        const uint32_t len = 40 + kit_below(&r, 60);
        struct attention_shape shape = kit_random_shape(&r, len);
        const bool is_plain = shape.heads == shape.kv_heads && !shape.causal &&
                              shape.bias == ATTENTION_PLAIN && shape.window >= len - 1;
        if (is_plain) continue;
        const struct document doc = document(&r, shape, len);
        const float *got = attend(&doc, KERN_INT8), *want = attend(&doc, KERN_FP32);
        assert_memory_equal(got, want, doc.n_ctx * sizeof *got);
        kit_free();
    }
}

/* No scratch grows with the square of a document, and none at all beyond a window; BERT's has no room for a
 * bias. */
static void test_scratch(void **state)
{
    (void)state;
    struct attention_shape shape = kit_shape(2, 64);
    for (int p = 0; p < KERN_PRECISIONS; p++) {
        const enum kern_precision precision = (enum kern_precision)p;
        shape.causal = false;
        const size_t plain = attention_bytes(kern, precision, &shape, 8192);
        shape.causal = true;
        const size_t causal = attention_bytes(kern, precision, &shape, 8192);
        if (precision == KERN_INT8)
            assert_int_equal(causal, attention_bytes(kern, KERN_FP32, &shape, 8192));
        else
            assert_true(causal >= plain && causal <= plain + (2 * 8192 + 64) * sizeof(float));
        assert_true(attention_bytes(kern, precision, &shape, 32768) <= 4 * causal + 4096);
        if (kern->level == KERN_REF) continue; /* a number a key */
        shape.window = 64;
        const size_t ended = attention_bytes(kern, precision, &shape, 32768);
        assert_int_equal(ended, attention_bytes(kern, precision, &shape, 4096));
        shape.window = ATTENTION_ALL;
    }
}

/* Scores with products of distances, by the formula in double, and in parts of the queries with the
 * bits of the whole. Relative to the largest value: rounding to bfloat16 is 2^-9 of each factor. */
static void test_relative(void **state)
{
    (void)state;
    static const double bounds[KERN_PRECISIONS] = {2e-5, 4e-2, 2e-5};
    struct kit_random r = {SEED + 5};
    for (int turn = 0; turn < kit_times(120); turn++) {
        const uint32_t len = random_len(&r), ld = 1 + kit_below(&r, 70);
        const enum kern_precision precision = random_precision(&r);
        struct attention_shape shape = kit_random_shape(&r, len);
        shape.bias = ATTENTION_RELATIVE;
        shape.window = ATTENTION_ALL;
        shape.causal = false;
        shape.span = 0;
        shape.divisor = sqrtf(3.0f * (float)shape.d);
        struct document doc = document(&r, shape, len);
        struct attention_call *c = &doc.call;
        uint16_t *bucket = kit_bytes((2 * (size_t)len - 1) * sizeof *bucket, sizeof *bucket);
        for (uint32_t i = 0; i < 2 * len - 1; i++)
            bucket[i] = (uint16_t)kit_below(&r, ld);
        c->relative = (struct attention_relative){.of_queries = filled(&r, (size_t)len * ld),
                                                  .of_keys = filled(&r, (size_t)len * ld),
                                                  .ld = ld,
                                                  .bucket = bucket};
        c->first_head = kit_below(&r, shape.heads);
        c->n_heads = 1;
        const float *got = attend(&doc, precision);
        const size_t at = c->first_head * shape.d;
        const size_t at_kv = c->first_head / (shape.heads / shape.kv_heads) * shape.d;
        double largest = 0;
        for (size_t j = 0; j < len * (size_t)shape.d; j++) {
            const float v = c->v[j / shape.d * c->ld_kv + at_kv + j % shape.d];
            largest = fmax(largest, fabs((double)v));
        }
        double *weights = calloc(len, sizeof *weights), *want = calloc(shape.d, sizeof *want);
        assert_true(weights && want);
        for (uint32_t i = 0; i < len; i++) {
            double max = -HUGE_VAL, sum = 0;
            memset(want, 0, shape.d * sizeof *want);
            for (uint32_t j = 0; j < len; j++) {
                const size_t b = bucket[i + len - 1 - j];
                double s = (double)c->relative.of_queries[i * ld + b] +
                           (double)c->relative.of_keys[j * ld + b];
                for (uint32_t t = 0; t < shape.d; t++)
                    s +=
                        (double)c->q[i * c->ld_q + at + t] * (double)c->k[j * c->ld_kv + at_kv + t];
                weights[j] = s / (double)shape.divisor;
                max = fmax(max, weights[j]);
            }
            for (uint32_t j = 0; j < len; j++) {
                const double weight = exp(weights[j] - max);
                sum += weight;
                for (uint32_t t = 0; t < shape.d; t++)
                    want[t] += weight * (double)c->v[j * c->ld_kv + at_kv + t];
            }
            for (uint32_t t = 0; t < shape.d; t++) {
                const double is = (double)got[i * c->ld_ctx + at + t];
                if (!(fabs(is - want[t] / sum) <= bounds[precision] * largest))
                    fail_msg("%s, %u tokens, %u buckets, d %u: query %u, column %u: %g, not %g",
                             kern_precision_name(precision), len, ld, shape.d, i, t, is,
                             want[t] / sum);
            }
        }
        struct document part = doc;
        part.call.first_query = kit_below(&r, len);
        part.call.n_queries = 1 + kit_below(&r, len - part.call.first_query);
        part.call.q += part.call.first_query * c->ld_q;
        part.call.relative.of_queries += (size_t)part.call.first_query * ld;
        const float *some = attend(&part, precision);
        for (uint32_t i = 0; i < part.call.n_queries; i++)
            assert_memory_equal(some + i * c->ld_ctx + at,
                                got + (part.call.first_query + i) * c->ld_ctx + at,
                                shape.d * sizeof *got);
        free(weights);
        free(want);
        kit_free();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),         cmocka_unit_test(test_unseen),
        cmocka_unit_test(test_alike),         cmocka_unit_test(test_shared_keys),
        cmocka_unit_test(test_int8_is_float), cmocka_unit_test(test_scratch),
        cmocka_unit_test(test_relative),
    };
    kern = kit_kern();
    char name[40];
    printf("seed %d\n", SEED);
    snprintf(name, sizeof name, "kern-shapes-%s", kern->name);
    return kit_end(name, sizeof tests / sizeof *tests, cmocka_run_group_tests(tests, NULL, NULL));
}
