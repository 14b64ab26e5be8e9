/* gemm, int8, avx2: the body of gemm_int8_x86.inc over pairs of products in 16 bits, which do not
 * overflow for weights in [-90, 90] and inputs in [0, 181]. */
#include "int_avx2.h"

#define GEMM_NAME   gemm_int8_avx2
#define GEMM_LAYOUT "1"
#define MOST        INT8_MOST_16BIT
#define LEVELS      INT8_LEVELS_16BIT
#include "gemm_int8_x86.inc"
