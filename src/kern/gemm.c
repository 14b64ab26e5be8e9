/* gemm: the door's matrix products, handed to the level that computes them. */
#include "gemm.h"

#include <assert.h>

#include "kernels.h"

struct gemm {
    const struct kern *kern;
    struct gemm_shape shape;
    struct gemm_dnnl *dnnl; /* NULL at the ref level */
};

static bool is_ref(const struct kern *kern)
{
    return kern->level == KERN_REF;
}

static vecmill_status check_shape(struct gemm_shape shape, vecmill_err *err)
{
    size_t bytes;
    if (shape.k == 0 || shape.n == 0)
        return err_set(err, VECMILL_E_MODEL, "matrix product of %u inputs and %u outputs is empty",
                       shape.k, shape.n);
    if (!num_mul(num_up(shape.n, 64), num_up(shape.k, 64), &bytes) || bytes > SIZE_MAX / 8)
        return err_set(err, VECMILL_E_MODEL,
                       "matrix product of %u inputs and %u outputs does not fit in memory", shape.k,
                       shape.n);
    return VECMILL_OK;
}

vecmill_status gemm_packed_bytes(const struct kern *kern, struct gemm_shape shape, size_t *bytes,
                                 vecmill_err *err)
{
    VM_TRY(check_shape(shape, err));
    if (!is_ref(kern)) return gemm_dnnl_packed_bytes(kern->level, shape, bytes, err);
    *bytes = gemm_ref_packed_bytes(shape);
    return VECMILL_OK;
}

vecmill_status gemm_pack(const struct kern *kern, struct gemm_shape shape, const float *w,
                         void *packed, vecmill_err *err)
{
    VM_TRY(check_shape(shape, err));
    if (!is_ref(kern)) return gemm_dnnl_pack(kern->level, shape, w, packed, err);
    gemm_ref_pack(shape, w, packed);
    return VECMILL_OK;
}

vecmill_status gemm_open(const struct kern *kern, struct gemm_shape shape, struct gemm **gemm,
                         vecmill_err *err)
{
    VM_TRY(check_shape(shape, err));
    struct gemm *g;
    void *memory;
    VM_TRY(mem_new(sizeof *g, "a matrix product", &memory, err));
    g = memory;
    g->kern = kern;
    g->shape = shape;
    if (!is_ref(kern)) {
        const vecmill_status status = gemm_dnnl_open(kern->level, shape, &g->dnnl, err);
        if (status != VECMILL_OK) {
            mem_free(g);
            return status;
        }
    }
    *gemm = g;
    return VECMILL_OK;
}

void gemm_close(struct gemm *gemm)
{
    if (!gemm) return;
    gemm_dnnl_close(gemm->dnnl);
    mem_free(gemm);
}

size_t gemm_scratch_bytes(const struct gemm *gemm)
{
    return gemm->dnnl ? gemm_dnnl_scratch_bytes(gemm->dnnl) : 0;
}

vecmill_status gemm_run(struct gemm *gemm, const void *packed, const float *bias, const float *x,
                        float *y, uint32_t rows, void *scratch, vecmill_err *err)
{
    assert(rows % gemm->kern->row_step == 0);
    if (gemm->dnnl) return gemm_dnnl_run(gemm->dnnl, packed, bias, x, y, rows, scratch, err);
    gemm_ref_run(gemm->shape, packed, bias, x, y, rows);
    return VECMILL_OK;
}
