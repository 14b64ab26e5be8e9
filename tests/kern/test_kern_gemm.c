/* The matrix product of the level in VECMILL_ISA: a row's bits depend on neither the number of
 * rows, nor the row's position, nor its neighbours; with read-only weights that end at a guard
 * page, and with one thread. Values: test_kern_variants.c. */
#include "kern_kit.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { MOST_ROWS = 1024 };

static const struct kern *kern;

/* Products of real encoders (MiniLM, BERT base, distilled ones), and toys that fit no tile. */
static const struct gemm_shape shapes[] = {
    {384, 1152, GEMM_NONE, false, KERN_FP32},     {384, 384, GEMM_NONE, false, KERN_FP32},
    {384, 1536, GEMM_GELU_ERF, false, KERN_FP32}, {1536, 384, GEMM_NONE, false, KERN_FP32},
    {768, 768, GEMM_NONE, false, KERN_FP32},      {768, 3072, GEMM_GELU_ERF, false, KERN_FP32},
    {3072, 768, GEMM_NONE, false, KERN_FP32},     {1000, 70, GEMM_NONE, false, KERN_FP32},
    {312, 1200, GEMM_GELU_ERF, false, KERN_FP32}, {1200, 312, GEMM_NONE, false, KERN_FP32},
    {128, 512, GEMM_GELU_ERF, false, KERN_FP32},  {32, 96, GEMM_NONE, false, KERN_FP32},
    {32, 128, GEMM_GELU_ERF, false, KERN_FP32},   {24, 72, GEMM_NONE, false, KERN_FP32},
    {100, 36, GEMM_NONE, false, KERN_FP32},       {33, 57, GEMM_GELU_ERF, false, KERN_FP32},
    {7, 5, GEMM_NONE, false, KERN_FP32},          {384, 512, GEMM_SILU, true, KERN_FP32},
    {1200, 72, GEMM_TANH, false, KERN_FP32},      {100, 36, GEMM_GELU_ERF, true, KERN_FP32},
    {100, 35, GEMM_GELU_TANH, true, KERN_BF16},   {800, 40, GEMM_SILU, true, KERN_BF16},
    {800, 70, GEMM_QUICK_GELU, false, KERN_BF16}, {300, 35, GEMM_SILU, true, KERN_INT8},
    {300, 70, GEMM_RELU, false, KERN_INT8},       {7, 5, GEMM_NONE, true, KERN_FP32},
};

static bool quick(void)
{
    return kit_times(10) == 1;
}

struct product {
    struct gemm_shape shape;
    void *packed, *scratch;
    float *w, *bias;
};

static void fill(struct kit_random *r, float *to, size_t n, float scale)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = kit_unit(r) * scale;
    }
}

static struct product product_open(struct gemm_shape shape, struct kit_random *r)
{
    struct product p = {.shape = shape};
    vecmill_err err = {.message = ""};
    size_t bytes = 0;
    const size_t n = (size_t)shape.n * (shape.gated ? 2 : 1);
    p.w = kit_floats(n * shape.k);
    p.bias = kit_floats(n);
    fill(r, p.w, n * shape.k, 2.0f / sqrtf((float)shape.k));
    fill(r, p.bias, n, 1.0f);
    if (gemm_packed_bytes(kern, shape, &bytes, &err) != VECMILL_OK) fail_msg("%s", err.message);
    assert_true(bytes >= n * shape.k * (shape.precision == KERN_FP32 ? sizeof(float) : 1));
    p.packed = kit_bytes(bytes, 64);
    gemm_pack(kern, shape, p.w, p.packed);
    /* A pack is mapped read-only: a product that wrote to its weights would be killed here. */
    void *page = (void *)((uintptr_t)p.packed & ~(uintptr_t)4095);
    assert_int_equal(mprotect(page, (size_t)((char *)p.packed + bytes - (char *)page), PROT_READ),
                     0);
    const size_t scratch_bytes = gemm_scratch_bytes(kern, shape);
    p.scratch = scratch_bytes ? kit_bytes(scratch_bytes, 64) : NULL;
    return p;
}

static void run(const struct product *p, const float *x, float *y, uint32_t rows)
{
    const struct gemm_call call = {
        .shape = p->shape,
        .packed = p->packed,
        .bias = p->bias,
        .x = x,
        .y = y,
        .ldy = p->shape.n,
        .columns = p->shape.n,
        .rows = rows,
        .scratch = p->scratch,
    };
    gemm_run(kern, &call);
}

/* Row counts to try, in row steps: at small shapes all up to MOST_ROWS; at big ones those that together
 * hold every way to split a count into blocks, and some large ones; a few in a quick run, and at ref,
 * where the loop knows no blocks but pairs of rows. */
static bool counted(uint32_t steps, size_t weights)
{
    if (kern->level == KERN_REF) return steps <= 3 || steps == 48;
    if (quick()) return steps <= 5 || steps % 16 < 2;
    if (weights < 20000) return true;
    return steps <= 21 || steps % 20 < 2;
}

/* Rows that are all equal have equal results, at every position, whatever their number; then the
 * same row among others, at random positions. */
static void test_bits(void **state)
{
    (void)state;
    struct kit_random r = {7};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const size_t k = shapes[i].k, n = shapes[i].n;
        if (quick() && k * n > 384 * 384) continue;
        struct product p = product_open(shapes[i], &r);
        float *x = kit_floats(MOST_ROWS * k), *y = kit_floats(MOST_ROWS * n), *want = kit_floats(n);
        fill(&r, x, k, 1.0f);
        for (size_t row = 1; row < MOST_ROWS; row++) {
            memcpy(x + row * k, x, k * sizeof *x);
        }
        run(&p, x, y, 1);
        memcpy(want, y, n * sizeof *y);
        for (uint32_t rows = 1; rows <= MOST_ROWS; rows++) {
            if (!counted(rows, k * n)) continue;
            memset(y, 0x7f, rows * n * sizeof *y);
            run(&p, x, y, rows);
            for (size_t row = 0; row < rows; row++) {
                if (memcmp(y + row * n, want, n * sizeof *want) != 0)
                    fail_msg("%zu x %zu: row %zu of %u has other bits than when alone", k, n, row,
                             rows);
            }
        }
        for (int turn = 0; turn < (quick() ? 2 : 6); turn++) {
            const uint32_t rows = 1 + kit_below(&r, kern->level == KERN_REF ? 20 : 600);
            const uint32_t row = kit_below(&r, rows);
            float *own = kit_copy(x, k);
            fill(&r, x, rows * k, 1.0f);
            memcpy(x + row * k, own, k * sizeof *x);
            run(&p, x, y, rows);
            assert_memory_equal(y + row * n, want, n * sizeof *want);
            memcpy(x, own, k * sizeof *x);
        }
        kit_free();
    }
}

/* Runs on weights that differ only in their address. */
static void test_place_of_memory(void **state)
{
    (void)state;
    struct kit_random r = {99};
    const struct gemm_shape shape = {384, 384, GEMM_GELU_ERF, false, KERN_FP32};
    struct product p = product_open(shape, &r);
    const uint32_t rows = 60;
    const size_t n_x = (size_t)rows * shape.k, n_y = (size_t)rows * shape.n;
    float *want = kit_floats(n_y), *x = kit_floats(n_x + 16), *y = kit_floats(n_y + 16);
    float *first = kit_floats(n_x);
    fill(&r, first, n_x, 1.0f);
    run(&p, first, want, rows);
    for (size_t shift = 0; shift < 16; shift += 3) {
        memcpy(x + shift, first, n_x * sizeof *x);
        run(&p, x + shift, y + 16 - shift, rows);
        assert_memory_equal(y + 16 - shift, want, n_y * sizeof *y);
    }
    kit_free();
}

/* Outputs computed range by range have the bits of all at once, and nothing next to a range is
 * written. */
static void test_ranges(void **state)
{
    (void)state;
    struct kit_random r = {31};
    const struct gemm_shape wide[] = {{100, 300, GEMM_GELU_ERF, false, KERN_FP32},
                                      {1536, 384, GEMM_NONE, false, KERN_FP32},
                                      {1536, 200, GEMM_SILU, false, KERN_FP32},
                                      {900, 200, GEMM_TANH, false, KERN_BF16},
                                      {100, 300, GEMM_RELU, false, KERN_INT8}};
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        struct product p = product_open(wide[i], &r);
        const uint32_t n = wide[i].n, rows = 1 + kit_below(&r, 40);
        const size_t ldy = n + 3;
        float *x = kit_floats((size_t)rows * wide[i].k), *want = kit_floats((size_t)rows * n);
        float *y = kit_floats(rows * ldy);
        fill(&r, x, (size_t)rows * wide[i].k, 1.0f);
        run(&p, x, want, rows);
        for (uint32_t first = 0; first < n; first += GEMM_PANEL) {
            const uint32_t end =
                kit_below(&r, 2) ? n : (uint32_t)num_min(n, first + 2 * GEMM_PANEL);
            memset(y, 0x7f, rows * ldy * sizeof *y);
            const struct gemm_call call = {.shape = p.shape,
                                           .packed = p.packed,
                                           .bias = p.bias,
                                           .x = x,
                                           .y = y,
                                           .ldy = ldy,
                                           .first = first,
                                           .columns = end - first,
                                           .rows = rows,
                                           .scratch = p.scratch};
            gemm_run(kern, &call);
            for (size_t row = 0; row < rows; row++) {
                assert_memory_equal(y + row * ldy, want + row * n + first,
                                    (end - first) * sizeof *y);
                for (size_t c = end - first; c < ldy; c++) {
                    assert_memory_equal(y + row * ldy + c, "\x7f\x7f\x7f\x7f", sizeof *y);
                }
            }
        }
        kit_free();
    }
}

/* An input or a weight that overflowed shows in every output it reaches, and in no other row. */
static void test_overflow_shows(void **state)
{
    (void)state;
    struct kit_random r = {77};
    for (int which = 0; which < 3; which++) {
        const struct gemm_shape shape = {1536, 70, which == 2 ? GEMM_GELU_ERF : GEMM_NONE, false,
                                         KERN_FP32};
        struct product p = product_open(shape, &r);
        const uint32_t rows = 9;
        float *x = kit_floats((size_t)rows * shape.k), *y = kit_floats((size_t)rows * shape.n);
        fill(&r, x, (size_t)rows * shape.k, 1.0f);
        x[4 * shape.k + 1300] = which == 0 ? NAN : INFINITY;
        run(&p, x, y, rows);
        for (uint32_t row = 0; row < rows; row++) {
            for (uint32_t c = 0; c < shape.n; c++) {
                assert_true(isfinite(y[row * shape.n + c]) == (row != 4));
            }
        }
        kit_free();
    }
}

static int n_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    assert_non_null(dir);
    int n = 0;
    for (const struct dirent *e; (e = readdir(dir));) {
        n += e->d_name[0] != '.';
    }
    closedir(dir);
    return n;
}

static void test_one_thread(void **state)
{
    (void)state;
    struct kit_random r = {5};
    struct product p =
        product_open((struct gemm_shape){384, 1536, GEMM_NONE, false, KERN_FP32}, &r);
    const uint32_t rows = 960;
    float *x = kit_floats((size_t)rows * 384), *y = kit_floats((size_t)rows * 1536);
    run(&p, x, y, rows);
    assert_int_equal(n_threads(), 1);
    kit_free();
}

static void test_refusals(void **state)
{
    (void)state;
    vecmill_err err = {.message = ""};
    size_t bytes = 17;
    assert_int_equal(gemm_packed_bytes(kern, (struct gemm_shape){0, 8, GEMM_NONE, false, KERN_FP32},
                                       &bytes, &err),
                     VECMILL_E_MODEL);
    assert_int_equal(gemm_packed_bytes(kern, (struct gemm_shape){8, 0, GEMM_NONE, false, KERN_FP32},
                                       &bytes, &err),
                     VECMILL_E_MODEL);
    assert_int_equal(bytes, 17);
    assert_non_null(strstr(err.message, "0 outputs"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),       cmocka_unit_test(test_place_of_memory),
        cmocka_unit_test(test_ranges),     cmocka_unit_test(test_overflow_shows),
        cmocka_unit_test(test_one_thread), cmocka_unit_test(test_refusals),
    };
    kern = kit_kern();
    char name[32];
    snprintf(name, sizeof name, "kern-gemm-%s", kern->name);
    return kit_end(name, sizeof tests / sizeof *tests, cmocka_run_group_tests(tests, NULL, NULL));
}
