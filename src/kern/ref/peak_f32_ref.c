/* peak, ref: multiply-adds in plain C, in enough independent sums to keep the units busy. */
#include "kern/kernels.h"

enum { SUMS = 32, REPEAT = 1024 };

double peak_f32_ref(uint32_t n_rounds, float *sink)
{
    float sum[SUMS];
    for (int i = 0; i < SUMS; i++) {
        sum[i] = (float)i;
    }
    const float a = sink[0], b = sink[1];
    for (uint64_t r = 0; r < (uint64_t)n_rounds * REPEAT; r++) {
        for (int i = 0; i < SUMS; i++) {
            sum[i] = sum[i] * a + b;
        }
    }
    for (int i = 0; i < SUMS; i++) {
        sink[0] += sum[i];
    }
    return 2.0 * SUMS * REPEAT * n_rounds;
}
