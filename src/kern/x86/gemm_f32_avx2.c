/* gemm, float, avx2: the body of gemm_f32_x86.inc. */
#include "vec_avx2.h"

#include "gemm_f32_x86.inc"
