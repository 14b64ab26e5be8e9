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
    printf("%-11s %-32s %12.0f ns", op, shape, best_s * 1e9);
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

/* Pairs of a query and a key that it sees, in a document of one head. */
static double pairs_seen(const struct attention_shape *s, uint32_t len)
{
    double n = 0;
    for (uint32_t i = 0; i < len; i++) {
        const uint32_t before = i < s->window ? i : s->window;
        const uint32_t after = len - 1 - i < s->window ? len - 1 - i : s->window;
        n += 1.0 + before + (s->causal ? 0 : after);
    }
    return n;
}

/* rows: tokens of the documents that are computed one after the other, as in a pass. */
static void attention(const char *kind, struct attention_shape shape, uint32_t len, uint32_t rows)
{
    const size_t h = (size_t)shape.heads * shape.d, h_kv = (size_t)shape.kv_heads * shape.d;
    const size_t ld = h + 2 * h_kv;
    const uint32_t n_docs = rows / len;
    shape.divisor = sqrtf((float)shape.d);
    float *qkv = floats(rows * ld), *ctx = floats(rows * h);
    float *bias = floats(shape.heads * (2 * (size_t)shape.span + 1));
    struct attention_call call = {
        .shape = shape,
        .ld_q = ld,
        .ld_kv = ld,
        .bias = shape.bias == ATTENTION_PLAIN ? NULL : bias,
        .ld_ctx = h,
        .len = len,
        .n_queries = len,
        .n_heads = shape.heads,
        .scratch = floats(attention_bytes(kern, precision, &shape, len) / sizeof(float) + 1),
    };
    double best;
    BEST(
        best, for (uint32_t doc = 0; doc < n_docs; doc++) {
            call.q = qkv + doc * len * ld;
            call.k = call.q + h;
            call.v = call.k + h_kv;
            call.ctx = ctx + doc * len * h;
            attention_run(kern, precision, &call);
        });
    char text[64];
    snprintf(text, sizeof text, "%u, %u/%u x %u%s", len, shape.heads, shape.kv_heads, shape.d,
             kind);
    line("attention", text, best / n_docs, 4.0 * pairs_seen(&shape, len) * (double)h, 0);
    mem_free(qkv);
    mem_free(ctx);
    mem_free(bias);
    mem_free(call.scratch);
}

static void bench_attention(void)
{
    static const uint32_t lengths[] = {5, 11, 16, 24, 64, 128, 235, 512};
    static const uint32_t long_ones[] = {512, 4096, 8192};
    struct attention_shape shape = {.heads = 12, .kv_heads = 12, .window = ATTENTION_ALL};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        shape.d = 32;
        attention("", shape, lengths[i], 512);
        shape.d = 64;
        if (i % 2) attention("", shape, lengths[i], 512);
    }
    shape.bias = ATTENTION_SLOPES;
    attention(", slopes", shape, 512, 512);
    shape.bias = ATTENTION_TABLE;
    shape.span = 128;
    attention(", table", shape, 512, 512);
    shape = (struct attention_shape){
        .heads = 16, .kv_heads = 8, .d = 128, .window = ATTENTION_ALL, .causal = true};
    attention(", causal", shape, 512, 512);
    shape = (struct attention_shape){.heads = 2, .kv_heads = 2, .d = 64};
    for (size_t i = 0; i < sizeof long_ones / sizeof *long_ones; i++) {
        shape.window = 64;
        attention(", window 64", shape, long_ones[i], 8192);
        shape.window = ATTENTION_ALL;
        attention("", shape, long_ones[i], 8192);
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

static void bench_raise(void)
{
    enum { N = 240, QUERY = 32 };
    float *x = floats(N * QUERY), *most = floats(QUERY);
    double best;
    BEST(best, kern->raise(x, N, QUERY, QUERY, most));
    line("raise", "240 rows of 32", best, 0, 1.0 * N * QUERY * sizeof(float));
    mem_free(x);
    mem_free(most);
}

/* ---- matrix products ---- */

static void products(const char *kind, struct gemm_shape shape)
{
    static const uint32_t asked[] = {1, 11, 48, 64, 235, 512};
    const size_t n = (size_t)shape.n * (shape.gated ? 2 : 1);
    size_t bytes = 0;
    vecmill_err err;
    if (gemm_packed_bytes(kern, shape, &bytes, &err) != VECMILL_OK) {
        fprintf(stderr, "bench_kern: %s\n", err.message);
        exit(1);
    }
    float *w = floats(n * shape.k), *packed = floats(bytes / sizeof(float) + 1);
    float *bias = floats(n);
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
        snprintf(text, sizeof text, "%u -> %u, %u rows%s", shape.k, shape.n, asked[i], kind);
        line("gemm", text, best, 2.0 * asked[i] * shape.k * (double)n, 0);
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
    const struct {
        const char *kind;
        struct gemm_shape shape;
    } shapes[] = {{"", {384, 1152, GEMM_NONE, false, precision}},
                  {"", {384, 384, GEMM_NONE, false, precision}},
                  {", gelu", {384, 1536, GEMM_GELU_ERF, false, precision}},
                  {", silu", {384, 1536, GEMM_SILU, false, precision}},
                  {", tanh-gelu", {384, 1536, GEMM_GELU_TANH, false, precision}},
                  {"", {1536, 384, GEMM_NONE, false, precision}},
                  {", gated gelu", {768, 1152, GEMM_GELU_ERF, true, precision}},
                  {", gated silu", {1024, 3072, GEMM_SILU, true, precision}},
                  {"", {1024, 6144, GEMM_NONE, false, precision}}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        products(shapes[i].kind, shapes[i].shape);
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
