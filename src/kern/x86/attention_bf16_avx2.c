/* attention in bfloat16, avx2: the body of attention_bf16_x86.inc, products by float's multiply-add. */
#include "vec_avx2.h"

#define BF16_NAME(op) op##_bf16_avx2

#include "kern/kernels.h"

#include "bf16_widened.inc"

#include "attention_bf16_x86.inc"
