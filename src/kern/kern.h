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

#include <stdbool.h>
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

/* ---- rows ---- */

/* How a row is normalised, over its h columns:
 *   NORM_LAYER  (s - mean) / sqrt(var + eps) * gamma + beta, var biased (Ba et al. 2016, eq. 4)
 *   NORM_RMS    s / sqrt(mean(s^2) + eps) * gamma + beta (Zhang and Sennrich 2019, eq. 4) */
enum norm_kind { NORM_LAYER, NORM_RMS };

/* out = norm(s), s = x + add, for n rows. */
struct norm_call {
    enum norm_kind kind;
    float eps;
    const float *gamma, *beta; /* [h]; NULL: ones, zeros */
    float *x;                  /* [n, h]; s afterwards, unless out is x */
    const float *add;          /* [n, h], no overlap; NULL: nothing is added, and x is only read */
    float *out;                /* [n, h]: x itself, or no overlap with x and add */
    uint32_t n, h;
};

/* Rotary positions (Su et al. 2021, eq. 34, with columns i and i + rotary / 2 as a pair): of each of
 * `heads` adjacent heads of width d, in each of n rows, a = x[i] and b = x[i + rotary / 2] become
 *   a * cos - b * sin, b * cos + a * sin, for i < rotary / 2.
 * The columns from `rotary` on stay unchanged. */
struct rope_call {
    float *x;  /* row r: x + r * ld */
    size_t ld; /* >= heads * d */
    uint32_t n, heads, d;
    uint32_t rotary;           /* even, 2 to d */
    const float *table;        /* row p: rotary / 2 cosines, then rotary / 2 sines */
    const uint32_t *positions; /* [n]: row r takes row positions[r] of the table; NULL: row r */
};

/* One level's kernels. All float pointers are aligned to 4; rows named [n, h] are dense. Tolerance of
 * every variant against ref: kernels.def. */
struct kern {
    enum kern_level level;
    const char *name; /* "ref", "avx2", "avx512" */

    /* private to kern: the variants that this machine computes with, for gemm_run and attention_run */
    const struct gemm_kernel *gemm[KERN_PRECISIONS];
    const struct attention_kernel *attention[KERN_PRECISIONS];

    void (*norm)(const struct norm_call *call);
    void (*rope)(const struct rope_call *call);

    /* out[h] = mean of x's n rows (n >= 1); sums in the order of rows. */
    void (*pool_mean)(const float *x, uint32_t n, uint32_t h, float *out);

    /* v = v / max(|v|, 1e-12) (torch.nn.functional.normalize, p = 2). */
    void (*normalize)(float *v, uint32_t h);

    /* most[c] = the greatest of most[c] and column c of x's n rows (row r: x + r * ld), c < h <= ld, rows
     * ascending. A NaN stays. */
    void (*raise)(const float *x, uint32_t n, size_t ld, uint32_t h, float *most);
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

/* What a layer's attention is, the same for all documents. Attention of one document (Vaswani et al.
 * 2017, eq. 1): for a query i of head g
 *   ctx[i, g] = sum_j softmax_j(q[i, g] . k[j, g'] / divisor + bias[g](i, j)) v[j, g']
 * over the keys j that it sees. Groups of heads / kv_heads query heads share a key head (Ainslie et
 * al. 2023): g' = g / (heads / kv_heads). */
enum attention_bias {
    ATTENTION_PLAIN,   /* 0 */
    ATTENTION_SLOPES,  /* -slope[g] * |i - j| (Press et al. 2022, for both directions) */
    ATTENTION_TABLE,   /* table[g][clamp(j - i, -span, span) + span] (Shaw et al. 2018, 3.2) */
    ATTENTION_RELATIVE /* struct attention_relative (He et al. 2021, DeBERTa, eq. 4) */
};

#define ATTENTION_ALL UINT32_MAX /* a window without an end */

struct attention_shape {
    uint32_t heads, kv_heads; /* query heads, key heads; heads is a multiple of kv_heads */
    uint32_t d;               /* width of a head: 1 to ATTENTION_MOST_D */
    float divisor;            /* of the scores, > 0; sqrt(d) as a rule */
    uint32_t window;          /* j is seen where |i - j| <= window; ATTENTION_ALL: everywhere */
    bool causal;              /* j is seen where j <= i */
    enum attention_bias bias;
    uint32_t span; /* of ATTENTION_TABLE */
};

#define ATTENTION_MOST_D 512u

/* For one head, what is added to the score of query i and key j, for b = bucket[i - j + len - 1]:
 *   (of_queries[i][b] + of_keys[j][b]) / divisor
 * These are products of each query, and of each key, with vectors that stand for distances; many
 * distances may have one bucket. Without a window, and not causal. */
struct attention_relative {
    const float *of_queries, *of_keys; /* [n_queries, ld], from the first query on; [len, ld] */
    size_t ld;
    const uint16_t *bucket; /* [2 * len - 1], each below ld */
};

/* Some queries and some heads of one document. A query's bits depend on none of these ranges, and
 * every query sees itself. No len * len matrix exists: scores live for a few queries of one head. A
 * key or value that is not finite may show in any query of its document, seen or not. */
struct attention_call {
    struct attention_shape shape;
    /* Query `first_query + r` of head g: q + r * ld_q + g * d, for r < n_queries. Key j of key head
     * g': k + j * ld_kv + g' * d, for j < len; v likewise. */
    const float *q, *k, *v;
    size_t ld_q, ld_kv;
    const float *bias; /* SLOPES: [heads]; TABLE: [heads, 2 * span + 1]; others: NULL */
    struct attention_relative relative; /* RELATIVE: of the one head; others: zeros */
    /* Row r, head g: ctx + r * ld_ctx + g * d; what is between heads and rows stays unchanged. No
     * overlap with the inputs. */
    float *ctx;
    size_t ld_ctx;
    uint32_t len, first_query, n_queries; /* n_queries >= 1, first_query + n_queries <= len */
    uint32_t first_head, n_heads;         /* query heads; RELATIVE: one */
    void *scratch; /* attention_bytes(longest >= len) of this shape, aligned to 64 */
};

/* Scratch for documents of at most `longest` tokens. It grows with longest * d; at the vector levels
 * with window * d where a window is shorter. */
size_t attention_bytes(const struct kern *kern, enum kern_precision precision,
                       const struct attention_shape *shape, uint32_t longest);

/* In int8, documents shorter than 32 tokens, shared key heads, windows, causality and biases are
 * computed in float. */
void attention_run(const struct kern *kern, enum kern_precision precision,
                   const struct attention_call *call);

/* ---- matrix products: y = act(x * W^T + b) ---- */

enum gemm_act {
    GEMM_NONE,
    GEMM_GELU_ERF,   /* v/2 * (1 + erf(v / sqrt 2)) (Hendrycks and Gimpel 2016, eq. 1) */
    GEMM_GELU_TANH,  /* v/2 * (1 + tanh(sqrt(2 / pi) * (v + 0.044715 v^3))) (the same, section 2) */
    GEMM_QUICK_GELU, /* v / (1 + exp(-1.702 v)) (the same, section 2) */
    GEMM_SILU,       /* v / (1 + exp(-v)) (Elfwing et al. 2017) */
    GEMM_RELU,       /* max(v, 0) */
    GEMM_TANH,
    GEMM_ACTS
};

/* A gated product (Shazeer 2020) has a matrix W [2 n, k] and a bias [2 n], whose first n rows are
 * activated: y[c] = act(x W[c] + b[c]) * (x W[n + c] + b[n + c]). */
struct gemm_shape {
    uint32_t k, n; /* inputs and outputs of the layer */
    enum gemm_act act;
    bool gated;
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
    const float *bias;  /* [n], gated [2 n]; NULL: zeros */
    const float *x;     /* [rows, k] */
    float *y;   /* [rows, ldy]: output c of a row is in column c - first; no overlap with x */
    size_t ldy; /* >= columns */
    uint32_t first,
        /* The outputs to compute: first is a multiple of GEMM_PANEL, first + columns is one too, or
         * n. All of them where the product is gated. */
        columns;
    uint32_t rows;
    void *scratch; /* gemm_scratch_bytes, aligned to 64 */
};

/* Bytes of W packed for this level; the layout does not depend on the number of rows. E_MODEL: an
 * empty product, or one too large for any memory. */
vecmill_status gemm_packed_bytes(const struct kern *kern, struct gemm_shape shape, size_t *bytes,
                                 vecmill_err *err);

/* Packs w [n, k], gated [2 n, k] (row-major, PyTorch's Linear.weight), into packed, which is aligned
 * to 64 and written in full, padding included. gemm_packed_bytes has accepted the shape. */
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

/* sum[h] = the sum of n rows of a table, in their order: of row i its factor times row rows[i] of the
 * table. factors NULL: ones. table: of fp32 aligned to 4. */
void table_sum(enum kern_precision precision, const void *table, uint32_t h, const uint32_t *rows,
               const float *factors, uint32_t n, float *sum);

/* ---- words and measures ---- */

/* The text about the arithmetic in a pack's key: level, and the layout of this precision's weights
 * ("avx512 int8 vnni 1"). Equal signatures mean equal layouts and bits. Static storage. */
const char *kern_signature(const struct kern *kern, enum kern_precision precision);

/* Peak of this precision's multiply-adds on the calling thread at this level, in operations (2 for
 * a multiply-add) a second: independent accumulators in registers, the best of the slices of
 * `seconds`. Where several instructions can do a precision's products, the fastest counts. */
double kern_peak(const struct kern *kern, enum kern_precision precision, double seconds);

#endif
