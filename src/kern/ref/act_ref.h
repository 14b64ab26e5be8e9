/* act_ref: the activations of matrix products (kern.h), one number at a time; their meaning. */
#ifndef KERN_ACT_REF_H
#define KERN_ACT_REF_H

#include <math.h>

#include "kern/kern.h"

static inline float act_ref(enum gemm_act act, float v)
{
    switch (act) {
    case GEMM_GELU_ERF:
        return 0.5f * v * (1.0f + erff(v * 0.70710678f));
    case GEMM_GELU_TANH:
        return 0.5f * v * (1.0f + tanhf(0.79788456f * (v + 0.044715f * v * v * v)));
    case GEMM_QUICK_GELU:
        return v / (1.0f + expf(-1.702f * v));
    case GEMM_SILU:
        return v / (1.0f + expf(-v));
    case GEMM_RELU:
        return v < 0 ? 0 : v; /* NaN stays */
    case GEMM_TANH:
        return tanhf(v);
    default:
        return v;
    }
}

#endif
