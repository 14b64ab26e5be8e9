/* gemm: what stands between the door's gemm_* (gemm.c) and the file that calls oneDNN. A second
 * version of oneDNN is one more file with these functions. */
#ifndef KERN_GEMM_H
#define KERN_GEMM_H

#include "kern.h"

/* Row counts that products of a level are issued with, descending; the last one is its row_step. */
#define GEMM_COUNTS      3
#define GEMM_ROWS_AVX2   240, 48, 12
#define GEMM_ROWS_AVX512 256, 64, 16

/* Caps oneDNN at a level beyond ref, once a process: E_USAGE when another was asked for before. now false:
 * only remembers it, and calls nothing of oneDNN's, which reads the environment for it and ends the
 * process where there is no memory. */
vecmill_status dnnl_cap(enum kern_level level, bool now, vecmill_err *err);

/* The library's version, "2.6.3", into `text`. */
void dnnl_describe(char *text, size_t size);

/* The door's functions, for levels beyond ref, with oneDNN capped. */
struct gemm_dnnl;
vecmill_status gemm_dnnl_packed_bytes(enum kern_level level, struct gemm_shape shape, size_t *bytes,
                                      vecmill_err *err);
vecmill_status gemm_dnnl_pack(enum kern_level level, struct gemm_shape shape, const float *w,
                              void *packed, vecmill_err *err);
vecmill_status gemm_dnnl_open(enum kern_level level, struct gemm_shape shape,
                              struct gemm_dnnl **gemm, vecmill_err *err);
void gemm_dnnl_close(struct gemm_dnnl *gemm);
size_t gemm_dnnl_scratch_bytes(const struct gemm_dnnl *gemm);
vecmill_status gemm_dnnl_run(struct gemm_dnnl *gemm, const void *packed, const float *bias,
                             const float *x, float *y, uint32_t rows, void *scratch,
                             vecmill_err *err);

#endif
