/* attention in bfloat16, avx512 with VDPBF16PS: the body of attention_bf16_x86.inc. */
#include "vec_avx512.h"

#define BF16_NAME(op) op##_bf16_dot_avx512

#include "kern/kernels.h"

#include "bf16_dot.inc"

#include "attention_bf16_x86.inc"
