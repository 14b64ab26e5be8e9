/* gemm_dnnl: matrix products by oneDNN 2.6; the one file that calls it.
 *
 * A product is an inner product, forward inference, with bias and erf-GELU fused and the scratchpad
 * given by the caller. Primitives have fixed row counts, because with a free one a row's bits would
 * depend on it. Measured (tests/kern/test_kern_gemm.c repeats it, 25 shapes from 7x5 to 4096x1024):
 *   AVX2     oneDNN's `gemm:jit` works in columns of six rows: all multiples of 6 up to 240 agree with
 *            each other, and at every place; 8, 32 and 256 differ at places, and from 288 on another
 *            way of summing K begins, with other bits and a megabyte of hidden memory a call.
 *            Weights stay as they are, [n, k]: no layout that it offers is faster at 48 rows or more.
 *   AVX-512  brgemm: all counts agree. Weights are packed in the layout that it asks for.
 * So rows are covered greedily by 240, 48, 12 or 256, 64, 16.
 *
 * One thread: Debian's oneDNN is built over OpenMP and would start a pool of its own; around each
 * call the calling thread's OpenMP limit is set to one, and set back, so that a host program's own
 * setting stays. oneDNN's primitive cache is off: it would keep closed primitives alive. */
#include "gemm.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <oneapi/dnnl/dnnl.h>

static const uint32_t row_counts[KERN_LEVELS][GEMM_COUNTS] = {
    [KERN_AVX2] = {GEMM_ROWS_AVX2},
    [KERN_AVX512] = {GEMM_ROWS_AVX512},
};

/* One primitive and the memory objects that it is run with. */
struct block {
    uint32_t rows;
    dnnl_primitive_t primitive;
    dnnl_memory_t x, weights, bias, y, scratch;
};

struct openmp {
    void (*set_num_threads)(int);
    int (*get_max_threads)(void);
};

struct gemm_dnnl {
    struct gemm_shape shape;
    struct openmp openmp;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    size_t scratch_bytes;
    struct block blocks[GEMM_COUNTS];
};

/* ---- one thread ---- */

/* The functions of whichever OpenMP the loaded oneDNN binds to; none when it was built without. They
 * are looked up, not linked, so that this code does not choose an OpenMP for it. */
static struct openmp openmp_find(void)
{
    struct openmp o;
    *(void **)&o.set_num_threads = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    *(void **)&o.get_max_threads = dlsym(RTLD_DEFAULT, "omp_get_max_threads");
    return o;
}

static int single_begin(const struct openmp *o)
{
    if (!o->set_num_threads || !o->get_max_threads) return 1;
    const int before = o->get_max_threads();
    if (before != 1) o->set_num_threads(1);
    return before;
}

static void single_end(const struct openmp *o, int before)
{
    if (before != 1) o->set_num_threads(before);
}

/* ---- statuses ---- */

static const char *words(dnnl_status_t status)
{
    switch (status) {
    case dnnl_out_of_memory:
        return "out of memory";
    case dnnl_invalid_arguments:
        return "invalid arguments";
    case dnnl_unimplemented:
        return "unimplemented";
    case dnnl_iterator_ends:
        return "no implementation left";
    case dnnl_runtime_error:
        return "run-time error";
    default:
        return "failed";
    }
}

static vecmill_status failed(dnnl_status_t status, struct gemm_shape shape, const char *what,
                             vecmill_err *err)
{
    return err_set(err, status == dnnl_out_of_memory ? VECMILL_E_MEMORY : VECMILL_E_INTERNAL,
                   "oneDNN: %s of a product of %u inputs and %u outputs: %s (status %d)", what,
                   shape.k, shape.n, words(status), (int)status);
}

/* ---- set-up ---- */

vecmill_status dnnl_cap(enum kern_level level, bool now, vecmill_err *err)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static enum kern_level wanted = KERN_REF, capped = KERN_REF;
    const dnnl_cpu_isa_t isa = level == KERN_AVX512 ? dnnl_cpu_isa_avx512_core : dnnl_cpu_isa_avx2;
    vecmill_status status = VECMILL_OK;
    pthread_mutex_lock(&mutex);
    if (wanted == KERN_REF) wanted = level;
    if (wanted != level) {
        status = err_set(err, VECMILL_E_USAGE,
                         "matrix products run on %s in this process, and %s was asked for",
                         kern_level_name(wanted), kern_level_name(level));
    } else if (now && capped == KERN_REF) {
        /* Refused when somebody in this process has used oneDNN before; then what holds must do. */
        dnnl_set_max_cpu_isa(isa);
        dnnl_set_primitive_cache_capacity(0);
        const dnnl_cpu_isa_t effective = dnnl_get_effective_cpu_isa();
        if (effective == isa) {
            capped = level;
        } else {
            wanted = KERN_REF;
            status = err_set(err, VECMILL_E_USAGE,
                             "oneDNN cannot be set to instruction set %s: it computes with its set "
                             "0x%x in this process, not 0x%x",
                             kern_level_name(level), (unsigned)effective, (unsigned)isa);
        }
    }
    pthread_mutex_unlock(&mutex);
    return status;
}

void dnnl_describe(char *text, size_t size)
{
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, size, "%d.%d.%d", v->major, v->minor, v->patch);
}

/* [rows, columns] or, with columns 0, [rows]; dense. */
static dnnl_memory_desc_t plain(uint32_t rows, uint32_t columns)
{
    dnnl_memory_desc_t md;
    const dnnl_dims_t dims = {rows, columns};
    /* Dimensions were checked by gemm.c: this cannot fail. */
    dnnl_memory_desc_init_by_tag(&md, columns ? 2 : 1, dims, dnnl_f32, columns ? dnnl_ab : dnnl_a);
    return md;
}

static dnnl_status_t attributes(enum gemm_act act, dnnl_primitive_attr_t *attr)
{
    dnnl_status_t status = dnnl_primitive_attr_create(attr);
    if (status != dnnl_success) return status;
    status = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
    if (status != dnnl_success || act == GEMM_NONE) return status;
    dnnl_post_ops_t ops = NULL;
    status = dnnl_post_ops_create(&ops);
    if (status == dnnl_success)
        status = dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_gelu_erf, 0.0f, 0.0f);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(*attr, ops);
    dnnl_post_ops_destroy(ops);
    return status;
}

/* A product's description over `rows` rows; `weights` NULL: in the layout of the level's choice. */
static dnnl_status_t describe(dnnl_engine_t engine, enum kern_level level, struct gemm_shape shape,
                              uint32_t rows, const dnnl_memory_desc_t *weights,
                              dnnl_primitive_desc_t *desc)
{
    const dnnl_memory_desc_t x = plain(rows, shape.k);
    const dnnl_memory_desc_t y = plain(rows, shape.n);
    const dnnl_memory_desc_t bias = plain(shape.n, 0);
    dnnl_memory_desc_t w = plain(shape.n, shape.k);
    if (weights) {
        w = *weights;
    } else if (level == KERN_AVX512) {
        const dnnl_dims_t dims = {shape.n, shape.k};
        dnnl_memory_desc_init_by_tag(&w, 2, dims, dnnl_f32, dnnl_format_tag_any);
    }
    dnnl_inner_product_desc_t op;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t status =
        dnnl_inner_product_forward_desc_init(&op, dnnl_forward_inference, &x, &w, &bias, &y);
    if (status == dnnl_success) status = attributes(shape.act, &attr);
    if (status == dnnl_success) status = dnnl_primitive_desc_create(desc, &op, attr, engine, NULL);
    dnnl_primitive_attr_destroy(attr);
    return status;
}

/* The layout of the weights: one for all row counts, asked for with the largest. */
static dnnl_status_t weights_layout(dnnl_engine_t engine, enum kern_level level,
                                    struct gemm_shape shape, dnnl_memory_desc_t *layout)
{
    dnnl_primitive_desc_t desc = NULL;
    const dnnl_status_t status = describe(engine, level, shape, row_counts[level][0], NULL, &desc);
    if (status == dnnl_success)
        *layout = *dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0);
    dnnl_primitive_desc_destroy(desc);
    return status;
}

/* ---- packing ---- */

vecmill_status gemm_dnnl_packed_bytes(enum kern_level level, struct gemm_shape shape, size_t *bytes,
                                      vecmill_err *err)
{
    VM_TRY(dnnl_cap(level, true, err));
    const struct openmp openmp = openmp_find();
    const int before = single_begin(&openmp);
    dnnl_engine_t engine = NULL;
    dnnl_memory_desc_t layout;
    dnnl_status_t status = dnnl_engine_create(&engine, dnnl_cpu, 0);
    if (status == dnnl_success) status = weights_layout(engine, level, shape, &layout);
    if (status == dnnl_success) *bytes = dnnl_memory_desc_get_size(&layout);
    dnnl_engine_destroy(engine);
    single_end(&openmp, before);
    return status == dnnl_success ? VECMILL_OK : failed(status, shape, "description", err);
}

static dnnl_status_t reorder(dnnl_engine_t engine, const dnnl_memory_desc_t *from, const float *w,
                             const dnnl_memory_desc_t *to, void *packed)
{
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_stream_t stream = NULL;
    dnnl_memory_t source = NULL, target = NULL;
    /* oneDNN takes the source as a plain pointer, and only reads it. */
    dnnl_status_t status = dnnl_memory_create(&source, from, engine, (void *)(uintptr_t)w);
    if (status == dnnl_success) status = dnnl_memory_create(&target, to, engine, packed);
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&desc, from, engine, to, engine, NULL);
    if (status == dnnl_success) status = dnnl_primitive_create(&primitive, desc);
    if (status == dnnl_success)
        status = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
    if (status == dnnl_success) {
        const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, target}};
        status = dnnl_primitive_execute(primitive, stream, 2, args);
    }
    if (status == dnnl_success) status = dnnl_stream_wait(stream);
    dnnl_stream_destroy(stream);
    dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(desc);
    dnnl_memory_destroy(target);
    dnnl_memory_destroy(source);
    return status;
}

vecmill_status gemm_dnnl_pack(enum kern_level level, struct gemm_shape shape, const float *w,
                              void *packed, vecmill_err *err)
{
    VM_TRY(dnnl_cap(level, true, err));
    const struct openmp openmp = openmp_find();
    const int before = single_begin(&openmp);
    const dnnl_memory_desc_t from = plain(shape.n, shape.k);
    dnnl_engine_t engine = NULL;
    dnnl_memory_desc_t layout;
    dnnl_status_t status = dnnl_engine_create(&engine, dnnl_cpu, 0);
    if (status == dnnl_success) status = weights_layout(engine, level, shape, &layout);
    if (status == dnnl_success) {
        if (dnnl_memory_desc_equal(&from, &layout)) {
            memcpy(packed, w, dnnl_memory_desc_get_size(&from));
        } else {
            status = reorder(engine, &from, w, &layout, packed);
        }
    }
    dnnl_engine_destroy(engine);
    single_end(&openmp, before);
    return status == dnnl_success ? VECMILL_OK : failed(status, shape, "packing", err);
}

/* ---- running ---- */

/* As many floats as a layout has, in a row. Weights are handed to a primitive as that: given memory of a
 * layout that is filled up to whole blocks, oneDNN writes the zeros again at every change of the pointer,
 * and a pack is mapped read-only. The primitive itself knows the layout. */
static dnnl_memory_desc_t flat(const dnnl_memory_desc_t *layout)
{
    dnnl_memory_desc_t md;
    const dnnl_dims_t dims = {(dnnl_dim_t)(dnnl_memory_desc_get_size(layout) / sizeof(float))};
    dnnl_memory_desc_init_by_tag(&md, 1, dims, dnnl_f32, dnnl_a);
    return md;
}

static dnnl_status_t block_open(struct gemm_dnnl *g, enum kern_level level, uint32_t rows,
                                const dnnl_memory_desc_t *layout, struct block *b)
{
    dnnl_primitive_desc_t desc = NULL;
    const dnnl_memory_desc_t x = plain(rows, g->shape.k);
    const dnnl_memory_desc_t y = plain(rows, g->shape.n);
    const dnnl_memory_desc_t bias = plain(g->shape.n, 0);
    const dnnl_memory_desc_t weights = flat(layout);
    b->rows = rows;
    dnnl_status_t status = describe(g->engine, level, g->shape, rows, layout, &desc);
    if (status == dnnl_success) status = dnnl_primitive_create(&b->primitive, desc);
    if (status == dnnl_success) {
        const dnnl_memory_desc_t *scratch =
            dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
        g->scratch_bytes = num_max(g->scratch_bytes, dnnl_memory_desc_get_size(scratch));
        status = dnnl_memory_create(&b->scratch, scratch, g->engine, DNNL_MEMORY_NONE);
    }
    if (status == dnnl_success) status = dnnl_memory_create(&b->x, &x, g->engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success)
        status = dnnl_memory_create(&b->weights, &weights, g->engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success)
        status = dnnl_memory_create(&b->bias, &bias, g->engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success) status = dnnl_memory_create(&b->y, &y, g->engine, DNNL_MEMORY_NONE);
    dnnl_primitive_desc_destroy(desc);
    return status;
}

vecmill_status gemm_dnnl_open(enum kern_level level, struct gemm_shape shape,
                              struct gemm_dnnl **gemm, vecmill_err *err)
{
    VM_TRY(dnnl_cap(level, true, err));
    void *memory;
    VM_TRY(mem_new(sizeof **gemm, "a matrix product of oneDNN", &memory, err));
    struct gemm_dnnl *g = memory;
    g->shape = shape;
    g->openmp = openmp_find();
    const int before = single_begin(&g->openmp);
    dnnl_memory_desc_t layout;
    dnnl_status_t status = dnnl_engine_create(&g->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&g->stream, g->engine, dnnl_stream_default_flags);
    if (status == dnnl_success) status = weights_layout(g->engine, level, shape, &layout);
    for (int i = 0; i < GEMM_COUNTS && status == dnnl_success; i++) {
        status = block_open(g, level, row_counts[level][i], &layout, &g->blocks[i]);
    }
    single_end(&g->openmp, before);
    if (status != dnnl_success) {
        gemm_dnnl_close(g);
        return failed(status, shape, "preparation", err);
    }
    *gemm = g;
    return VECMILL_OK;
}

/* oneDNN's destructors accept NULL. */
void gemm_dnnl_close(struct gemm_dnnl *g)
{
    if (!g) return;
    for (int i = 0; i < GEMM_COUNTS; i++) {
        struct block *b = &g->blocks[i];
        dnnl_memory_destroy(b->x);
        dnnl_memory_destroy(b->weights);
        dnnl_memory_destroy(b->bias);
        dnnl_memory_destroy(b->y);
        dnnl_memory_destroy(b->scratch);
        dnnl_primitive_destroy(b->primitive);
    }
    dnnl_stream_destroy(g->stream);
    dnnl_engine_destroy(g->engine);
    mem_free(g);
}

size_t gemm_dnnl_scratch_bytes(const struct gemm_dnnl *gemm)
{
    return gemm->scratch_bytes;
}

static dnnl_status_t block_point(const struct block *b, const void *packed, const float *bias,
                                 const float *x, float *y, void *scratch)
{
    /* Inputs lose their const on the way in; an inference primitive only reads them. */
    const struct {
        dnnl_memory_t memory;
        uintptr_t at;
    } handles[] = {
        {b->x, (uintptr_t)x}, {b->weights, (uintptr_t)packed},  {b->bias, (uintptr_t)bias},
        {b->y, (uintptr_t)y}, {b->scratch, (uintptr_t)scratch},
    };
    for (size_t i = 0; i < sizeof handles / sizeof *handles; i++) {
        const dnnl_status_t status =
            dnnl_memory_set_data_handle(handles[i].memory, (void *)handles[i].at);
        if (status != dnnl_success) return status;
    }
    return dnnl_success;
}

vecmill_status gemm_dnnl_run(struct gemm_dnnl *g, const void *packed, const float *bias,
                             const float *x, float *y, uint32_t rows, void *scratch,
                             vecmill_err *err)
{
    dnnl_status_t status = dnnl_success;
    const int before = single_begin(&g->openmp);
    for (int i = 0; i < GEMM_COUNTS && status == dnnl_success; i++) {
        const struct block *b = &g->blocks[i];
        for (; rows >= b->rows && status == dnnl_success; rows -= b->rows) {
            status = block_point(b, packed, bias, x, y, scratch);
            const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, b->x},
                                            {DNNL_ARG_WEIGHTS, b->weights},
                                            {DNNL_ARG_BIAS, b->bias},
                                            {DNNL_ARG_DST, b->y},
                                            {DNNL_ARG_SCRATCHPAD, b->scratch}};
            if (status == dnnl_success)
                status = dnnl_primitive_execute(b->primitive, g->stream, 5, args);
            x += (size_t)b->rows * g->shape.k;
            y += (size_t)b->rows * g->shape.n;
        }
    }
    if (status == dnnl_success) status = dnnl_stream_wait(g->stream);
    single_end(&g->openmp, before);
    return status == dnnl_success ? VECMILL_OK : failed(status, g->shape, "computation", err);
}
