/* attention, avx512: the body of attention_f32_x86.inc over AVX-512 vectors. */
#include "vec_avx512.h"

#include "attention_f32_x86.inc"
