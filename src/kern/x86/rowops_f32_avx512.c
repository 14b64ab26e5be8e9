/* rowops, avx512: the body of rowops_f32_x86.inc over AVX-512 vectors. */
#include "vec_avx512.h"

#include "rowops_f32_x86.inc"
