/* kern: what can the arithmetic do?
 *
 * The encoder's kernels at three levels: ref (plain C, the meaning, always built), avx2, avx512;
 * matrix products and attention in three precisions at each. A process chooses one level, capped by
 * the caller.
 *
 * Kernels take their scratch from the caller, allocate nothing, start no thread, keep nothing
 * between calls, and cannot fail. A row's bits depend only on that row's input and the weights: not
 * on the number of rows, the row's position, or its neighbours. Attention depends on its document
 * only. Does not know models, files, or what a token is. */
#ifndef KERN_H
#define KERN_H

#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

enum kern_level { KERN_REF, KERN_AVX2, KERN_AVX512, KERN_LEVELS };

/* The format that products multiply. Sums, activations, softmax, LayerNorm and pooling are float in
 * all of them, and so are inputs and outputs of every kernel.
 *   FP32  floats
 *   BF16  weights and inputs rounded to bfloat16 (8 bits of mantissa), products exact, sums in float
 *   INT8  weights with one scale an output, inputs with one scale a row, sums in 32-bit integers */
enum kern_precision { KERN_FP32, KERN_BF16, KERN_INT8, KERN_PRECISIONS };

/* Attention of one document (Vaswani et al. 2017, eq. 1), bidirectional:
 *   ctx[i, head] = sum_j softmax_j(q[i, head] . k[j, head] / sqrt(d)) v[j, head]
 * for its first n_queries rows and the heads [first_head, first_head + n_heads). A query's bits
 * depend on none of these ranges. No len * len matrix exists: scores live for a few queries of one
 * head. */
struct attention_call {
    /* [len, 3 * heads * d]: a row is all heads' queries, then keys, then values; queries beyond
     * n_queries are not read */
    const float *qkv;
    float *ctx;              /* [n_queries, heads * d]; other heads' columns stay unchanged */
    uint32_t len, n_queries; /* 1 <= n_queries <= len */
    uint32_t heads, d;
    uint32_t first_head, n_heads;
    void *scratch; /* attention_bytes(longest >= len, d), aligned to 64 */
};

/* One level's kernels. All float pointers are aligned to 4; the arrays named `x`, `y`, `qkv`, `ctx`
 * are dense rows. Tolerance of every variant against ref: kernels.def. */
struct kern {
    enum kern_level level;
    const char *name; /* "ref", "avx2", "avx512" */

    /* x[i] = LayerNorm(word[ids[i]] + position[i] + type0) for i < n.
     *   ids [n], each < rows of word (the caller checked), or NULL: i, and word may be x itself;
     *   word [vocab, h]; position [positions, h] from its first row; type0, gamma, beta [h]; x [n, h].
     * LayerNorm (Ba et al. 2016, eq. 4; biased variance): (v - mean) / sqrt(var + eps) * gamma + beta */
    void (*embed_norm)(const int32_t *ids, uint32_t n, const float *word, const float *position,
                       const float *type0, const float *gamma, const float *beta, float eps,
                       uint32_t h, float *x);

    /* x[i] = LayerNorm(x[i] + y[i]) for i < n; x, y [n, h], no overlap. */
    void (*add_norm)(float *x, const float *y, const float *gamma, const float *beta, float eps,
                     uint32_t n, uint32_t h);

    /* out[h] = mean of x's n rows (n >= 1); sums in the order of rows. */
    void (*pool_mean)(const float *x, uint32_t n, uint32_t h, float *out);

    /* v = v / max(|v|, 1e-12) (torch.nn.functional.normalize, p = 2). */
    void (*normalize)(float *v, uint32_t h);
};

/* The level this process computes with: the best that the machine has (including registers that its
 * operating system saves), at most `cap` ("ref", "avx2", "avx512"; NULL: $VECMILL_ISA, else no
 * cap). The first call fixes it; a later call that asks for another level fails. E_USAGE: an
 * unknown name, or a level this machine lacks; the message lists those it has. Any thread may call
 * it; the first wins. */
vecmill_status kern_select(const char *cap, const struct kern **kern, vecmill_err *err);

/* The best level of the machine, without selecting one. */
enum kern_level kern_machine_level(void);
const char *kern_level_name(enum kern_level level);
const char *kern_precision_name(enum kern_precision precision); /* "fp32", "bf16", "int8" */

/* A named level's table without selecting it (tests and benchmarks); NULL if the machine lacks
 * it. */
const struct kern *kern_table(enum kern_level level);

/* ---- attention ---- */

/* Scratch for documents of at most `longest` tokens. */
size_t attention_bytes(const struct kern *kern, enum kern_precision precision, uint32_t longest,
                       uint32_t d);
void attention_run(const struct kern *kern, enum kern_precision precision,
                   const struct attention_call *call);

/* ---- matrix products: y = act(x * W^T + b) ---- */

enum gemm_act {
    GEMM_NONE,
    GEMM_GELU_ERF /* v/2 * (1 + erf(v / sqrt 2)) (Hendrycks and Gimpel 2016, eq. 1) */
};

struct gemm_shape {
    uint32_t k, n; /* inputs and outputs of the layer */
    enum gemm_act act;
    enum kern_precision precision;
};

/* Outputs are packed in panels of at most this many; a range of outputs begins at a multiple of
 * it. */
#define GEMM_PANEL 64u

/* Rows that the fast variants compute together: any number is correct, a multiple of it wastes
 * nothing. */
#define GEMM_TILE_ROWS 6u

struct gemm_call {
    struct gemm_shape shape;
    const void *packed; /* aligned to 64 */
    const float *bias;  /* [n] */
    const float *x;     /* [rows, k] */
    float *y;   /* [rows, ldy]: output c of a row is in column c - first; no overlap with x */
    size_t ldy; /* >= columns */
    uint32_t first,
        /* The outputs to compute: first is a multiple of GEMM_PANEL, first + columns is one too, or
         * n. */
        columns;
    uint32_t rows;
    void *scratch; /* gemm_scratch_bytes, aligned to 64 */
};

/* Bytes of W packed for this level; the layout does not depend on the number of rows. E_MODEL: an
 * empty product, or one too large for any memory. */
vecmill_status gemm_packed_bytes(const struct kern *kern, struct gemm_shape shape, size_t *bytes,
                                 vecmill_err *err);

/* Packs w [n, k] (row-major, PyTorch's Linear.weight) into packed, which is aligned to 64 and
 * written in full, padding included. gemm_packed_bytes has accepted the shape. */
void gemm_pack(const struct kern *kern, struct gemm_shape shape, const float *w, void *packed);

/* Scratch for gemm_run, whatever the number of rows; 0 when it needs none. */
size_t gemm_scratch_bytes(const struct kern *kern, struct gemm_shape shape);

void gemm_run(const struct kern *kern, const struct gemm_call *call);

/* ---- tables: rows of h floats, looked up one by one ---- */

/* Bytes of a row. The same layout at every level. */
size_t table_row_bytes(enum kern_precision precision, uint32_t h);

/* packed: table_row_bytes, of any alignment; for fp32 the floats themselves. */
void table_pack(enum kern_precision precision, const float *row, uint32_t h, void *packed);
void table_read(enum kern_precision precision, const void *packed, uint32_t h, float *row);

/* ---- words and measures ---- */

/* The text about the arithmetic in a pack's key: level, and the layout of this precision's weights
 * ("avx512 int8 vnni 1"). Equal signatures mean equal layouts and bits. Static storage. */
const char *kern_signature(const struct kern *kern, enum kern_precision precision);

/* Peak of this precision's multiply-adds on the calling thread at this level, in operations (2 for
 * a multiply-add) a second: independent accumulators in registers, the best of the slices of
 * `seconds`. Where several instructions can do a precision's products, the fastest counts. */
double kern_peak(const struct kern *kern, enum kern_precision precision, double seconds);

#endif
