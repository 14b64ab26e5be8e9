/* kernels: names inside the room: every variant of kernels.def, and the processor. The contracts
 * are in kern.h. */
#ifndef KERN_KERNELS_H
#define KERN_KERNELS_H

#include <stdbool.h>

#include "kern.h"

typedef void kernel_norm(const struct norm_call *call);
typedef void kernel_rope(const struct rope_call *call);
typedef void kernel_pool_mean(const float *x, uint32_t n, uint32_t h, float *out);
typedef void kernel_normalize(float *v, uint32_t h);
typedef void kernel_raise(const float *x, uint32_t n, size_t ld, uint32_t h, float *most);

/* Attention in one precision at one level. */
struct attention_kernel {
    size_t (*bytes)(const struct attention_shape *shape, uint32_t longest);
    void (*run)(const struct attention_call *call);
};

/* Matrix products in one precision at one level. */
struct gemm_kernel {
    /* Names the layout of the weights and everything the bits depend on: "vnni 1" */
    const char *layout;
    size_t (*packed_bytes)(const struct gemm_shape *shape);
    void (*pack)(const struct gemm_shape *shape, const float *w, void *packed);
    size_t (*scratch_bytes)(const struct gemm_shape *shape);
    void (*run)(const struct gemm_call *call);
    double (*peak)(uint32_t n_rounds, float *sink); /* one slice; returns the operations done */
};

#define KERNEL(op, LEVEL, level, tolerance, file) kernel_##op op##_f32_##level;
#define ATTENTION(PRECISION, LEVEL, variant, NEEDS, tolerance, file)                               \
    extern const struct attention_kernel attention_##variant;
#define GEMM(PRECISION, LEVEL, variant, NEEDS, tolerance, gelu, file)                              \
    extern const struct gemm_kernel gemm_##variant;
#include "kernels.def"
#undef KERNEL
#undef ATTENTION
#undef GEMM

/* The level that processor and operating system together allow (cpu.c). Slow under a hypervisor:
 * called once. */
enum kern_level cpu_level(void);

enum cpu_feature {
    CPU_ANY,
    CPU_VNNI,     /* AVX-512 VNNI: sums of four products of bytes */
    CPU_BF16_DOT, /* AVX-512 BF16: sums of two products of bfloat16 */
};
bool cpu_has(enum cpu_feature feature); /* the instructions are there */

/* They are there, compute what bf16.h says, and are the fastest way: a line of kernels.def that
 * needs them is chosen. */
bool cpu_favours(enum cpu_feature feature);

/* One slice of kern_peak in float: operations done. */
#define KERNEL_LEVEL(level) double peak_f32_##level(uint32_t n_rounds, float *sink);
KERNEL_LEVEL(ref)
#if defined(__x86_64__)
KERNEL_LEVEL(avx2)
KERNEL_LEVEL(avx512)
#endif
#undef KERNEL_LEVEL

#if defined(__x86_64__)
/* Whether this processor's VDPBF16PS computes bf16.h's two multiply-adds, to the bit. Only where it
 * exists. */
bool bf16_dot_agrees(void);
#endif

#endif
