/* gemm, int8, AVX-512 VNNI: the body of gemm_int8_x86.inc over vpdpbusd. */
#include "int_avx512.h"

#define GEMM_NAME   gemm_int8_vnni
#define GEMM_LAYOUT "vnni 1"
#define MOST        INT8_MOST
#define LEVELS      INT8_LEVELS
#include "gemm_int8_x86.inc"
