/* gemm, float, avx512: the body of gemm_f32_x86.inc. */
#include "vec_avx512.h"

#include "gemm_f32_x86.inc"
