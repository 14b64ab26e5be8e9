/* gemm: the door's matrix products, passed to the variant that computes them. */
#include <assert.h>

#include "int8.h"
#include "kernels.h"

vecmill_status gemm_packed_bytes(const struct kern *kern, struct gemm_shape shape, size_t *bytes,
                                 vecmill_err *err)
{
    size_t most;
    if (shape.k == 0 || shape.n == 0)
        return err_set(err, VECMILL_E_MODEL, "matrix product of %u inputs and %u outputs is empty",
                       shape.k, shape.n);
    if (shape.precision == KERN_INT8 && shape.k > INT8_MOST_K)
        return err_set(err, VECMILL_E_MODEL,
                       "matrix product of %u inputs in int8 could overflow: its sums hold %u",
                       shape.k, (unsigned)INT8_MOST_K);
    if (!num_mul(num_up(shape.n, GEMM_PANEL), num_up(shape.k, 64), &most) || most > SIZE_MAX / 16)
        return err_set(err, VECMILL_E_MODEL,
                       "matrix product of %u inputs and %u outputs does not fit in memory", shape.k,
                       shape.n);
    *bytes = kern->gemm[shape.precision]->packed_bytes(&shape);
    return VECMILL_OK;
}

void gemm_pack(const struct kern *kern, struct gemm_shape shape, const float *w, void *packed)
{
    kern->gemm[shape.precision]->pack(&shape, w, packed);
}

size_t gemm_scratch_bytes(const struct kern *kern, struct gemm_shape shape)
{
    return kern->gemm[shape.precision]->scratch_bytes(&shape);
}

void gemm_run(const struct kern *kern, const struct gemm_call *call)
{
    assert(call->first % GEMM_PANEL == 0 && call->columns <= call->ldy);
    assert(call->first + call->columns == call->shape.n ||
           (call->columns % GEMM_PANEL == 0 && call->first + call->columns < call->shape.n));
    assert(!call->shape.gated || call->columns == call->shape.n);
    if (call->rows > 0) kern->gemm[call->shape.precision]->run(call);
}
