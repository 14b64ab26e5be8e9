/* bench_kern: each kernel at one level, alone: nanoseconds, GFLOPS, share of the FMA peak.
 *
 *     VECMILL_ISA=avx2 bench_kern [seconds a line, default 0.2 [op, or all [precision]]]
 *
 * The best of many runs is printed, in time of the thread: noise only ever adds. Shapes are MiniLM's
 * (12 heads of 32, hidden 384) unless the line says otherwise; inputs stay in the cache as in a pass. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kern/kern.h"

static const struct kern *kern;
static double peak, seconds = 0.2;
static const char *only;
static enum kern_precision precision = KERN_FP32;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Aligned as a pass's arena is: a load across two lines costs twice. Freed by mem_free. */
static float *floats(size_t n)
{
    float *x = aligned_alloc(64, num_up(n * sizeof(float), 64));
    if (!x) {
        fprintf(stderr, "bench_kern: no memory for %zu floats\n", n);
        exit(1);
    }
    uint32_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(state >> 8) * 0x1p-23f - 1.0f;
    }
    return x;
}

/* One line of the table. */
static void line(const char *op, const char *shape, double best_s, double operations, double bytes)
{
    printf("%-11s %-24s %12.0f ns", op, shape, best_s * 1e9);
    if (operations > 0)
        printf(" %8.1f GFLOPS  %5.3f of peak", operations / best_s * 1e-9,
               operations / best_s / peak);
    if (bytes > 0) printf(" %8.1f GB/s", bytes / best_s * 1e-9);
    printf("\n");
    fflush(stdout);
}

/* The best time of `statement` over the seconds of one line, at least three runs. */
#define BEST(best, statement)                                                                      \
    do {                                                                                           \
        (best) = 1e9;                                                                              \
        const double begin_ = now_s();                                                             \
        for (int run_ = 0; run_ < 3 || now_s() - begin_ < seconds; run_++) {                       \
            const double before_ = now_s();                                                        \
            statement;                                                                             \
            const double took_ = now_s() - before_;                                                \
            if (took_ < (best)) (best) = took_;                                                    \
        }                                                                                          \
    } while (0)

static bool wanted(const char *op)
{
    return !only || strcmp(only, "all") == 0 || strcmp(only, op) == 0;
}

/* ---- own kernels: one function an op of kernels.def ---- */

enum { H = 384, HEADS = 12 };

static struct attention_shape attention_shape(uint32_t heads, uint32_t d)
{
    return (struct attention_shape){
        .heads = heads,
        .kv_heads = heads,
        .d = d,
        .divisor = sqrtf((float)d),
        .window = ATTENTION_ALL,
    };
}

static void attention(const float *qkv, uint32_t len, uint32_t heads, uint32_t d, float *ctx,
                      void *scratch)
{
    const size_t h = (size_t)heads * d;
    const struct attention_call call = {
        .shape = attention_shape(heads, d),
        .q = qkv,
        .k = qkv + h,
        .v = qkv + 2 * h,
        .ld_q = 3 * h,
        .ld_kv = 3 * h,
        .ctx = ctx,
        .ld_ctx = h,
        .len = len,
        .n_queries = len,
        .n_heads = heads,
        .scratch = scratch,
    };
    attention_run(kern, precision, &call);
}

static void bench_attention(void)
{
    static const struct {
        uint32_t len, heads, d;
    } shapes[] = {{5, 12, 32},  {11, 12, 32},  {16, 12, 32},  {24, 12, 32},
                  {64, 12, 32}, {128, 12, 32}, {235, 12, 32}, {512, 12, 32},
                  {11, 12, 64}, {64, 12, 64},  {235, 12, 64}, {512, 12, 64}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const uint32_t len = shapes[i].len, heads = shapes[i].heads, d = shapes[i].d;
        const size_t h = (size_t)heads * d;
        /* As many documents as fill a pass, so that the short ones are not timed one by one. */
        const uint32_t n_docs = len < 512 ? 512 / len : 1;
        float *qkv = floats(512 * 3 * h), *ctx = floats(512 * h);
        const struct attention_shape shape = attention_shape(heads, d);
        float *scratch = floats(attention_bytes(kern, precision, &shape, len) / sizeof(float) + 1);
        double best;
        BEST(best, for (uint32_t doc = 0; doc < n_docs; doc++) attention(
                       qkv + doc * len * 3 * h, len, heads, d, ctx + doc * len * h, scratch));
        char text[64];
        snprintf(text, sizeof text, "%u tokens, %u x %u", len, heads, d);
        line("attention", text, best / n_docs, 4.0 * len * len * (double)h, 0);
        mem_free(qkv);
        mem_free(ctx);
        mem_free(scratch);
    }
}

static void bench_norm(void)
{
    enum { N = 256 };
    float *x = floats(N * H), *y = floats(N * H), *rows = floats(2 * H);
    struct norm_call call = {
        .eps = 1e-12f, .gamma = rows, .beta = rows + H, .x = x, .add = y, .out = x, .n = N, .h = H};
    double best;
    BEST(best, kern->norm(&call));
    line("norm", "256 rows, added", best, 0, 3.0 * N * H * sizeof(float));
    call.add = NULL;
    BEST(best, kern->norm(&call));
    line("norm", "256 rows", best, 0, 2.0 * N * H * sizeof(float));
    call.kind = NORM_RMS;
    BEST(best, kern->norm(&call));
    line("norm", "256 rows, RMS", best, 0, 2.0 * N * H * sizeof(float));
    mem_free(x);
    mem_free(y);
    mem_free(rows);
}

static void bench_rope(void)
{
    enum { N = 256, D = 64 };
    float *x = floats(N * H), *table = floats(N * D);
    const struct rope_call call = {
        .x = x, .ld = H, .n = N, .heads = H / D, .d = D, .rotary = D, .table = table};
    double best;
    BEST(best, kern->rope(&call));
    line("rope", "256 rows, 6 x 64", best, 0, 2.0 * N * H * sizeof(float));
    mem_free(x);
    mem_free(table);
}

static void bench_pool_mean(void)
{
    enum { N = 256 };
    float *x = floats(N * H), *out = floats(H);
    double best;
    BEST(best, kern->pool_mean(x, N, H, out));
    line("pool_mean", "256 rows", best, 0, 1.0 * N * H * sizeof(float));
    mem_free(x);
    mem_free(out);
}

static void bench_normalize(void)
{
    float *v = floats(H);
    double best;
    BEST(best, kern->normalize(v, H));
    line("normalize", "384", best, 0, 2.0 * H * sizeof(float));
    mem_free(v);
}

/* ---- matrix products ---- */

static void products(struct gemm_shape shape)
{
    static const uint32_t asked[] = {1, 11, 48, 64, 235, 512};
    size_t bytes = 0;
    vecmill_err err;
    if (gemm_packed_bytes(kern, shape, &bytes, &err) != VECMILL_OK) {
        fprintf(stderr, "bench_kern: %s\n", err.message);
        exit(1);
    }
    float *w = floats((size_t)shape.n * shape.k), *packed = floats(bytes / sizeof(float) + 1);
    float *bias = floats(shape.n);
    float *scratch = floats(gemm_scratch_bytes(kern, shape) / sizeof(float) + 1);
    float *x = floats((size_t)600 * shape.k), *y = floats((size_t)600 * shape.n);
    gemm_pack(kern, shape, w, packed);
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        const struct gemm_call call = {
            .shape = shape,
            .packed = packed,
            .bias = bias,
            .x = x,
            .y = y,
            .ldy = shape.n,
            .columns = shape.n,
            .rows = asked[i],
            .scratch = scratch,
        };
        double best;
        char text[64];
        BEST(best, gemm_run(kern, &call));
        snprintf(text, sizeof text, "%u -> %u, %u rows%s", shape.k, shape.n, asked[i],
                 shape.act == GEMM_NONE ? "" : ", gelu");
        line("gemm", text, best, 2.0 * asked[i] * shape.k * shape.n, 0);
    }
    mem_free(w);
    mem_free(packed);
    mem_free(bias);
    mem_free(scratch);
    mem_free(x);
    mem_free(y);
}

static void bench_gemm(void)
{
    const struct gemm_shape shapes[] = {{384, 1152, GEMM_NONE, false, precision},
                                        {384, 384, GEMM_NONE, false, precision},
                                        {384, 1536, GEMM_GELU_ERF, false, precision},
                                        {1536, 384, GEMM_NONE, false, precision}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        products(shapes[i]);
    }
}

int main(int argc, char **argv)
{
    vecmill_err err;
    if (argc > 1) seconds = strtod(argv[1], NULL);
    if (argc > 2) only = argv[2];
    if (argc > 3) {
        while (precision < KERN_PRECISIONS && strcmp(argv[3], kern_precision_name(precision)) != 0)
            precision++;
        if (precision == KERN_PRECISIONS) {
            fprintf(stderr, "bench_kern: precision %s is none of fp32, bf16, int8\n", argv[3]);
            return 2;
        }
    }
    if (kern_select(NULL, &kern, &err) != VECMILL_OK) {
        fprintf(stderr, "bench_kern: %s\n", err.message);
        return 2;
    }
    peak = kern_peak(kern, precision, 0.5);
    printf("%s, peak %.1f G op/s\n", kern_signature(kern, precision), peak * 1e-9);
#define KERNEL(op, LEVEL, level_name, tolerance, file)                                             \
    if (kern->level == KERN_##LEVEL && wanted(#op)) bench_##op();
#define ATTENTION(PRECISION, LEVEL, variant, NEEDS, tolerance, file)
#define GEMM(PRECISION, LEVEL, variant, NEEDS, tolerance, gelu, file)
#include "kern/kernels.def"
#undef KERNEL
#undef ATTENTION
#undef GEMM
    if (wanted("attention")) bench_attention();
    if (wanted("gemm")) bench_gemm();
    return 0;
}
