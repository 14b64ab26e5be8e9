/* attention in bfloat16, avx512: the body of attention_bf16_x86.inc, products by float's multiply-add. */
#include "vec_avx512.h"

#define BF16_NAME(op) op##_bf16_avx512

#include "kern/kernels.h"

#include "bf16_widened.inc"

#include "attention_bf16_x86.inc"
