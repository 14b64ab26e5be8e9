/* rowops, avx2: the body of rowops_f32_x86.inc over AVX2 and FMA vectors. */
#include "vec_avx2.h"

#include "rowops_f32_x86.inc"
