/* kern: what can the arithmetic do?
 *
 * The encoder's kernels at three levels: ref (plain C, the meaning, always built), avx2, avx512.
 * Matrix products are oneDNN's (one file, gemm_dnnl.c; the ref level has its own in plain C); the
 * others are ours. A level is chosen once a process, capped by the caller, and caps oneDNN too.
 *
 * Promises: kernels take their scratch from the caller, allocate nothing, and cannot fail, except
 * gemm_run (oneDNN's status). A row's bits depend on that row's input and weights alone: not on the
 * number of rows, the row's place, or its neighbours. Attention depends on its document alone.
 * Does not know: models, files, tokens' meaning. */
#ifndef KERN_H
#define KERN_H

#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

enum kern_level { KERN_REF, KERN_AVX2, KERN_AVX512, KERN_LEVELS };

/* One level's kernels. All float pointers are aligned to 4; the arrays named `x`, `y`, `qkv`, `ctx`
 * are dense rows. Tolerance of every variant against ref: kernels.def. */
struct kern {
    enum kern_level level;
    const char *name; /* "ref", "avx2", "avx512" */

    /* Matrix products run over a number of rows that is a multiple of this (zero rows fill up the
     * last block); 12 on AVX2, where oneDNN's bits depend on the row count: see gemm_dnnl.c. */
    uint32_t row_step;

    /* x[i] = LayerNorm(word[ids[i]] + position[i] + type0) for i < n.
     *   ids [n], each < rows of word (the caller checked); word [vocab, h]; position [positions, h]
     *   from its first row; type0, gamma, beta [h]; x [n, h].
     * LayerNorm (Ba et al. 2016, eq. 4; biased variance): (v - mean) / sqrt(var + eps) * gamma + beta */
    void (*embed_norm)(const int32_t *ids, uint32_t n, const float *word, const float *position,
                       const float *type0, const float *gamma, const float *beta, float eps,
                       uint32_t h, float *x);

    /* x[i] = LayerNorm(x[i] + y[i]) for i < n; x, y [n, h], no overlap. */
    void (*add_norm)(float *x, const float *y, const float *gamma, const float *beta, float eps,
                     uint32_t n, uint32_t h);

    /* Bidirectional attention of one document, all heads (Vaswani et al. 2017, eq. 1):
     *   ctx[i, head] = sum_j softmax_j(q[i, head] . k[j, head] / sqrt(d)) v[j, head]
     * qkv [len, 3 * n_heads * d]: a row is all heads' queries, then keys, then values;
     * ctx [len, n_heads * d]; scratch attention_bytes(longest >= len, d), aligned to 64.
     * No len * len matrix exists: scores live for a few query rows of one head at a time. */
    void (*attention)(const float *qkv, uint32_t len, uint32_t n_heads, uint32_t d, float *ctx,
                      void *scratch);

    /* out[h] = mean of x's n rows (n >= 1); sums in the order of rows. */
    void (*pool_mean)(const float *x, uint32_t n, uint32_t h, float *out);

    /* v = v / max(|v|, 1e-12) (torch.nn.functional.normalize, p = 2). */
    void (*normalize)(float *v, uint32_t h);

    size_t (*attention_bytes)(uint32_t longest, uint32_t d);
};

/* The level this process computes with: the best the machine has (its operating system's saved
 * registers included), at most `cap` ("ref", "avx2", "avx512"; NULL: $VECMILL_ISA, else no cap). The
 * first call fixes it; a later call that asks for another level fails. oneDNN is capped with the first
 * product (gemm_open, gemm_pack): a process that only supervises never calls into oneDNN, which ends
 * its process where there is no memory.
 * E_USAGE: an unknown name, or a level this machine lacks; the message says which it has. Threads:
 * any; the first wins. */
vecmill_status kern_select(const char *cap, const struct kern **kern, vecmill_err *err);

/* What the machine has, without selecting. */
enum kern_level kern_machine_level(void);
const char *kern_level_name(enum kern_level level);

/* A named level's table without selecting it (tests and benchmarks); NULL if the machine lacks it. */
const struct kern *kern_table(enum kern_level level);

/* ---- matrix products: y = act(x * W^T + b) ---- */

enum gemm_act {
    GEMM_NONE,
    GEMM_GELU_ERF /* v/2 * (1 + erf(v / sqrt 2)) (Hendrycks and Gimpel 2016, eq. 1) */
};

struct gemm_shape {
    uint32_t k, n; /* inputs and outputs of the layer */
    enum gemm_act act;
};

/* Bytes of W packed for this level; one layout whatever the number of rows; same for the same shape
 * and oneDNN version. E_INTERNAL when oneDNN refuses the shape. */
vecmill_status gemm_packed_bytes(const struct kern *kern, struct gemm_shape shape, size_t *bytes,
                                 vecmill_err *err);

/* Packs w [n, k] (row-major, PyTorch's Linear.weight) into packed, which is aligned to 64. */
vecmill_status gemm_pack(const struct kern *kern, struct gemm_shape shape, const float *w,
                         void *packed, vecmill_err *err);

/* A product ready to run, for one shape: every primitive for every row count of the level's list is
 * made here. Weights are given at each run, so layers of one shape share one gemm. Pair: gemm_close. */
struct gemm;
vecmill_status gemm_open(const struct kern *kern, struct gemm_shape shape, struct gemm **gemm,
                         vecmill_err *err);
void gemm_close(struct gemm *gemm);

/* Scratch for gemm_run, aligned to 64. */
size_t gemm_scratch_bytes(const struct gemm *gemm);

/* y[rows, n] = act(x[rows, k] * W^T + bias); rows a multiple of kern->row_step (asserted); packed
 * aligned to 64; bias [n]; x and y do not overlap. Allocates nothing of ours (oneDNN takes and gives
 * back a few hundred bytes within the call). */
vecmill_status gemm_run(struct gemm *gemm, const void *packed, const float *bias, const float *x,
                        float *y, uint32_t rows, void *scratch, vecmill_err *err);

/* What stands in a pack's key about the arithmetic: level and, beyond ref, oneDNN's version
 * ("avx2 dnnl 2.6.3"). Static storage once selected. */
const char *kern_signature(const struct kern *kern);

/* Version of the oneDNN library that is loaded ("2.6.3"); static storage. */
const char *kern_dnnl_version(void);

/* Peak of fused multiply-adds of the calling thread at this level, operations (2 a multiply-add) a
 * second: independent accumulators in registers, the best of the slices of `seconds`. */
double kern_peak(const struct kern *kern, double seconds);

#endif
