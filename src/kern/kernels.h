/* kernels: the names inside the room: every variant of kernels.def, the processor, the products of
 * the ref level. Their contracts are struct kern's (kern.h). */
#ifndef KERN_KERNELS_H
#define KERN_KERNELS_H

#include "kern.h"

typedef void kernel_embed_norm(const int32_t *ids, uint32_t n, const float *word,
                               const float *position, const float *type0, const float *gamma,
                               const float *beta, float eps, uint32_t h, float *x);
typedef void kernel_add_norm(float *x, const float *y, const float *gamma, const float *beta,
                             float eps, uint32_t n, uint32_t h);
typedef void kernel_attention(const float *qkv, uint32_t len, uint32_t n_heads, uint32_t d,
                              float *ctx, void *scratch);
typedef void kernel_pool_mean(const float *x, uint32_t n, uint32_t h, float *out);
typedef void kernel_normalize(float *v, uint32_t h);

#define KERNEL(op, LEVEL, level, tolerance, file) kernel_##op op##_f32_##level;
#include "kernels.def"
#undef KERNEL

/* What struct kern holds beside the ops of kernels.def; and one slice of kern_peak: operations done. */
#define KERNEL_LEVEL(level)                                                                        \
    size_t attention_bytes_##level(uint32_t longest, uint32_t d);                                  \
    double peak_f32_##level(uint32_t n_rounds, float *sink);
KERNEL_LEVEL(ref)
#if defined(__x86_64__)
KERNEL_LEVEL(avx2)
KERNEL_LEVEL(avx512)
#endif
#undef KERNEL_LEVEL

/* What the processor and the operating system together allow (cpu.c). */
enum kern_level cpu_level(void);

/* The ref level's product: w [n, k] packed into panels of columns, and y = act(x W^T + bias). */
size_t gemm_ref_packed_bytes(struct gemm_shape shape);
void gemm_ref_pack(struct gemm_shape shape, const float *w, float *packed);
void gemm_ref_run(struct gemm_shape shape, const float *packed, const float *bias, const float *x,
                  float *y, uint32_t rows);

#endif
