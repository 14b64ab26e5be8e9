/* attention, avx2: the body of attention_f32_x86.inc over AVX2 and FMA vectors. */
#include "vec_avx2.h"

#include "attention_f32_x86.inc"
