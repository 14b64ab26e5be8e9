/* bench_gemm_peers: float matrix products of encoders, ours against oneDNN's and OpenBLAS's, in turn.
 *
 *     VECMILL_ISA=avx2 bench_gemm_peers [seconds a line, default 0.5 [rows...]]
 *
 * One thread each, at one instruction set (the others are held to it too). In every round the peak of
 * multiply-adds is measured next to each of them, so that a share is a share of the clock of that moment; the
 * order rotates; medians are printed. "warm": the same weights at every call; "cold": calls go round as
 * many layers as fill 48 MB, as a model's do. oneDNN packs its weights beforehand as we do, for the very row
 * count, and fuses bias and GELU; OpenBLAS takes plain weights and computes the product alone.
 *
 * Built where a peer is installed (Debian: libdnnl-dev, libopenblas-dev); the library needs neither. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kern/kern.h"

#if HAVE_DNNL
#include <oneapi/dnnl/dnnl.h>
#endif
#if HAVE_OPENBLAS
#include <cblas.h>
#endif

enum { OURS, DNNL, OPENBLAS, PEERS, MOST_LAYERS = 96, MOST_ROUNDS = 2000 };
static const char *const names[PEERS] = {"vecmill", "oneDNN", "OpenBLAS"};

/* One product as each of them sees it. */
struct product {
    struct gemm_shape shape;
    uint32_t rows;
    int n_layers;
    float *w, *bias, *x, *y, *scratch;
    float *packed[PEERS][MOST_LAYERS];
#if HAVE_DNNL
    const char *dnnl_kernel; /* its name for what it runs: "brgemm:avx512_core" */
    dnnl_primitive_t primitive;
    dnnl_memory_t mem_x, mem_y, mem_bias, mem_w[MOST_LAYERS];
#endif
};

static const struct kern *kern;

static void die(const char *what)
{
    fprintf(stderr, "bench_gemm_peers: %s\n", what);
    exit(1);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *floats(size_t n)
{
    void *memory;
    vecmill_err err;
    if (mem_new_array(n, sizeof(float), "a benchmark's array", &memory, &err) != VECMILL_OK)
        die(err.message);
    float *x = memory;
    uint32_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(state >> 8) * 0x1p-23f - 1.0f;
    }
    return x;
}

/* ---- ours ---- */

static void ours_pack(struct product *p, int layer)
{
    size_t bytes = 0;
    vecmill_err err;
    if (gemm_packed_bytes(kern, p->shape, &bytes, &err) != VECMILL_OK) die(err.message);
    p->packed[OURS][layer] = floats(bytes / sizeof(float));
    gemm_pack(kern, p->shape, p->w, p->packed[OURS][layer]);
}

static void ours_run(struct product *p, int layer)
{
    const struct gemm_call call = {
        .shape = p->shape,
        .packed = p->packed[OURS][layer],
        .bias = p->bias,
        .x = p->x,
        .y = p->y,
        .ldy = p->shape.n,
        .columns = p->shape.n,
        .rows = p->rows,
        .scratch = p->scratch,
    };
    gemm_run(kern, &call);
}

/* ---- oneDNN 2.x: an inner product whose weights lie as it likes ---- */

#if HAVE_DNNL

static dnnl_engine_t engine;
static dnnl_stream_t stream;

static void must(dnnl_status_t status)
{
    if (status != dnnl_success) die("oneDNN failed");
}

static dnnl_memory_desc_t dense(uint32_t rows, uint32_t columns, dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t md;
    const dnnl_dims_t dims = {rows, columns};
    must(dnnl_memory_desc_init_by_tag(&md, columns ? 2 : 1, dims, dnnl_f32, tag));
    return md;
}

static void dnnl_setup(void)
{
    must(dnnl_engine_create(&engine, dnnl_cpu, 0));
    must(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
}

static void dnnl_pack(struct product *p, int layer, const dnnl_memory_desc_t *layout)
{
    const dnnl_memory_desc_t plain = dense(p->shape.n, p->shape.k, dnnl_ab);
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t reorder;
    dnnl_memory_t from;
    p->packed[DNNL][layer] = floats(dnnl_memory_desc_get_size(layout) / sizeof(float));
    must(dnnl_memory_create(&from, &plain, engine, p->w));
    must(dnnl_memory_create(&p->mem_w[layer], layout, engine, p->packed[DNNL][layer]));
    must(dnnl_reorder_primitive_desc_create(&desc, &plain, engine, layout, engine, NULL));
    must(dnnl_primitive_create(&reorder, desc));
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, p->mem_w[layer]}};
    must(dnnl_primitive_execute(reorder, stream, 2, args));
    must(dnnl_stream_wait(stream));
    dnnl_primitive_destroy(reorder);
    dnnl_primitive_desc_destroy(desc);
    dnnl_memory_destroy(from);
}

static void dnnl_open(struct product *p)
{
    const dnnl_memory_desc_t x = dense(p->rows, p->shape.k, dnnl_ab);
    const dnnl_memory_desc_t y = dense(p->rows, p->shape.n, dnnl_ab);
    const dnnl_memory_desc_t bias = dense(p->shape.n, 0, dnnl_a);
    const dnnl_memory_desc_t w = dense(p->shape.n, p->shape.k, dnnl_format_tag_any);
    dnnl_inner_product_desc_t op;
    dnnl_primitive_attr_t attr;
    dnnl_post_ops_t ops;
    dnnl_primitive_desc_t desc;
    must(dnnl_inner_product_forward_desc_init(&op, dnnl_forward_inference, &x, &w, &bias, &y));
    must(dnnl_primitive_attr_create(&attr));
    must(dnnl_post_ops_create(&ops));
    if (p->shape.act == GEMM_GELU_ERF)
        must(dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_gelu_erf, 0.0f, 0.0f));
    must(dnnl_primitive_attr_set_post_ops(attr, ops));
    must(dnnl_primitive_desc_create(&desc, &op, attr, engine, NULL));
    must(dnnl_primitive_create(&p->primitive, desc));
    must(dnnl_memory_create(&p->mem_x, &x, engine, p->x));
    must(dnnl_memory_create(&p->mem_y, &y, engine, p->y));
    must(dnnl_memory_create(&p->mem_bias, &bias, engine, p->bias));
    for (int i = 0; i < p->n_layers; i++) {
        dnnl_pack(p, i, dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0));
    }
    must(dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &p->dnnl_kernel));
    dnnl_primitive_desc_destroy(desc);
    dnnl_post_ops_destroy(ops);
    dnnl_primitive_attr_destroy(attr);
}

static void dnnl_run(struct product *p, int layer)
{
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, p->mem_x},
                                    {DNNL_ARG_WEIGHTS, p->mem_w[layer]},
                                    {DNNL_ARG_BIAS, p->mem_bias},
                                    {DNNL_ARG_DST, p->mem_y}};
    must(dnnl_primitive_execute(p->primitive, stream, 4, args));
    must(dnnl_stream_wait(stream));
}

static void dnnl_close(struct product *p)
{
    for (int i = 0; i < p->n_layers; i++) {
        dnnl_memory_destroy(p->mem_w[i]);
    }
    dnnl_memory_destroy(p->mem_x);
    dnnl_memory_destroy(p->mem_y);
    dnnl_memory_destroy(p->mem_bias);
    dnnl_primitive_destroy(p->primitive);
}

#endif

/* ---- OpenBLAS ---- */

#if HAVE_OPENBLAS

static void openblas_pack(struct product *p, int layer)
{
    const size_t n = (size_t)p->shape.n * p->shape.k;
    p->packed[OPENBLAS][layer] = floats(n);
    memcpy(p->packed[OPENBLAS][layer], p->w, n * sizeof(float));
}

static void openblas_run(struct product *p, int layer)
{
    const int rows = (int)p->rows, n = (int)p->shape.n, k = (int)p->shape.k;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, n, k, 1.0f, p->x, k,
                p->packed[OPENBLAS][layer], k, 0.0f, p->y, n);
}

#endif

/* ---- one line ---- */

static bool has(int peer)
{
    return peer == OURS || (peer == DNNL && HAVE_DNNL) || (peer == OPENBLAS && HAVE_OPENBLAS);
}

static void run(struct product *p, int peer, int layer)
{
    if (peer == OURS) ours_run(p, layer);
#if HAVE_DNNL
    if (peer == DNNL) dnnl_run(p, layer);
#endif
#if HAVE_OPENBLAS
    if (peer == OPENBLAS) openblas_run(p, layer);
#endif
}

static void product_open(struct product *p, bool cold)
{
    const size_t n = (size_t)p->shape.n * p->shape.k;
    p->n_layers = cold ? (int)(12000000 / n + 1) : 1;
    p->w = floats(n);
    p->bias = floats(p->shape.n);
    p->x = floats((size_t)p->rows * p->shape.k);
    p->y = floats((size_t)p->rows * p->shape.n);
    p->scratch = floats(gemm_scratch_bytes(kern, p->shape) / sizeof(float) + 1);
    for (int i = 0; i < p->n_layers; i++) {
        ours_pack(p, i);
#if HAVE_OPENBLAS
        openblas_pack(p, i);
#endif
    }
#if HAVE_DNNL
    dnnl_open(p);
#endif
}

static void product_close(struct product *p)
{
#if HAVE_DNNL
    dnnl_close(p);
#endif
    for (int peer = 0; peer < PEERS; peer++) {
        for (int i = 0; has(peer) && i < p->n_layers; i++) {
            mem_free(p->packed[peer][i]);
        }
    }
    mem_free(p->w);
    mem_free(p->bias);
    mem_free(p->x);
    mem_free(p->y);
    mem_free(p->scratch);
}

/* All of them computed the same product: the numbers agree to what float sums allow. */
static void check(struct product *p)
{
    const size_t n = (size_t)p->rows * p->shape.n;
    float *first = floats(n);
    ours_run(p, 0);
    memcpy(first, p->y, n * sizeof *first);
#if HAVE_DNNL
    memset(p->y, 0, n * sizeof *first);
    dnnl_run(p, 0);
    for (size_t i = 0; i < n; i++) {
        if (!(fabsf(first[i] - p->y[i]) <=
              1e-4f * (1.0f + fabsf(first[i])) * sqrtf((float)p->shape.k)))
            die("oneDNN and vecmill disagree");
    }
#endif
    mem_free(first);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, by_size);
    return values[n / 2];
}

static void line(struct gemm_shape shape, uint32_t rows, bool cold, double seconds)
{
    static double rate[PEERS][MOST_ROUNDS], share[PEERS][MOST_ROUNDS];
    struct product p = {.shape = shape, .rows = rows};
    product_open(&p, cold);
    check(&p);
    const double operations = 2.0 * rows * shape.k * shape.n;
    const int repeat = operations < 4e7 ? (int)(4e7 / operations) + 1 : 1;
    int n = 0, layer = 0;
    for (const double begin = now_s(); n < MOST_ROUNDS && (n < 5 || now_s() - begin < seconds);
         n++) {
        for (int i = 0; i < PEERS; i++) {
            const int peer = (i + n) % PEERS;
            if (!has(peer)) continue;
            const double peak = kern_peak(kern, KERN_FP32, 2e-4);
            const double before = now_s();
            for (int r = 0; r < repeat; r++) {
                run(&p, peer, (layer + r) % p.n_layers);
            }
            rate[peer][n] = repeat * operations / (now_s() - before);
            share[peer][n] = rate[peer][n] / peak;
        }
        layer += repeat;
    }
    double of_peak[PEERS] = {0};
    printf("%s %4u -> %-4u%s %4u rows", cold ? "cold" : "warm", shape.k, shape.n,
           shape.act == GEMM_NONE ? "     " : " gelu", rows);
    for (int peer = 0; peer < PEERS; peer++) {
        if (!has(peer)) continue;
        of_peak[peer] = median(share[peer], n);
        printf("  %s %6.1f G op/s %.3f", names[peer], median(rate[peer], n) * 1e-9, of_peak[peer]);
        if (peer != OURS) printf(" x %.2f", of_peak[OURS] / of_peak[peer]);
    }
#if HAVE_DNNL
    printf("  (%s)", p.dnnl_kernel);
#endif
    printf("\n");
    fflush(stdout);
    product_close(&p);
}

/* OpenBLAS 0.3.21 takes processors that are younger than itself for a Prescott, and computes with SSE at a
 * fifth of its speed: its environment names the type, and it is asked which one it took. */
static const char *openblas_core(void)
{
    return kern->level == KERN_AVX512 ? "SkylakeX" : "Haswell";
}

/* What the others really compute with. */
static void describe_peers(void)
{
#if HAVE_DNNL
    const dnnl_version_t *v = dnnl_version();
    printf("oneDNN %d.%d.%d, instruction set 0x%x (AVX2 0x%x, AVX-512 core 0x%x and more)\n",
           v->major, v->minor, v->patch, (unsigned)dnnl_get_effective_cpu_isa(),
           (unsigned)dnnl_cpu_isa_avx2, (unsigned)dnnl_cpu_isa_avx512_core);
    if (kern->level == KERN_AVX512 &&
        (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core) != dnnl_cpu_isa_avx512_core)
        die("oneDNN does not use AVX-512");
#endif
#if HAVE_OPENBLAS
    printf("%s; its kernels: %s\n", openblas_get_config(), openblas_get_corename());
    if (strcmp(openblas_get_corename(), openblas_core()) != 0) die("OpenBLAS chose other kernels");
#endif
}

/* The peers read their numbers of threads and instruction sets when they are loaded: set, start again. */
static void restart_with_settings(char **argv)
{
    if (getenv("BENCH_GEMM_PEERS")) return;
    setenv("BENCH_GEMM_PEERS", "1", 1);
    setenv("OMP_NUM_THREADS", "1", 1);
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    if (kern->level == KERN_AVX2) setenv("DNNL_MAX_CPU_ISA", "AVX2", 1);
    setenv("OPENBLAS_CORETYPE", openblas_core(), 1);
    execv("/proc/self/exe", argv);
    die("cannot start again");
}

int main(int argc, char **argv)
{
    static const struct gemm_shape shapes[] = {
        {384, 1152, GEMM_NONE, false, KERN_FP32},      {384, 384, GEMM_NONE, false, KERN_FP32},
        {384, 1536, GEMM_GELU_ERF, false, KERN_FP32},  {1536, 384, GEMM_NONE, false, KERN_FP32},
        {768, 3072, GEMM_GELU_ERF, false, KERN_FP32},  {3072, 768, GEMM_NONE, false, KERN_FP32},
        {1024, 4096, GEMM_GELU_ERF, false, KERN_FP32}, {4096, 1024, GEMM_NONE, false, KERN_FP32}};
    uint32_t rows[16] = {1, 11, 48, 240, 512};
    int n_rows = 5;
    const double seconds = argc > 1 ? strtod(argv[1], NULL) : 0.5;
    if (argc > 2) n_rows = 0;
    for (int i = 2; i < argc && n_rows < 16; i++) {
        const long wanted = strtol(argv[i], NULL, 10);
        if (wanted < 1 || wanted > 4096) die("rows are 1 to 4096");
        rows[n_rows++] = (uint32_t)wanted;
    }
    vecmill_err err;
    if (kern_select(NULL, &kern, &err) != VECMILL_OK) die(err.message);
    if (kern->level == KERN_REF) die("there is nothing to compare at ref");
    restart_with_settings(argv);
#if HAVE_DNNL
    dnnl_setup();
#endif
    describe_peers();
    printf("%s, peak %.1f G op/s; G op/s, share of the peak next to it, x: ours over theirs\n",
           kern_signature(kern, KERN_FP32), kern_peak(kern, KERN_FP32, 0.2) * 1e-9);
    for (int cold = 0; cold < 2; cold++) {
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            for (int r = 0; r < n_rows; r++) {
                line(shapes[i], rows[r], cold, seconds);
            }
        }
    }
    return 0;
}
