/* Every line of kernels.def that this machine can run, whether it would choose the variant or not: against
 * ref within the line's tolerance, and ref against the formulas of docs/KERNELS.md in double. Random numbers
 * from one seed, in memory that ends at guard pages, at the edges of every tile, block and vector. Prints a
 * line a variant: its largest error, or why it was not run. What no check here knows does not compile.
 *
 * An argument: only the lines in whose names it occurs, "vnni" or "avx2 gemm". */
#include "kern_kit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kern/kernels.h"

enum { SEED = 20261130 };

struct line {
    const char *op, *variant, *needs_name, *file;
    void (*check)(const struct line *line, struct kit_random *r);
    enum kern_level level;
    enum kern_precision precision;
    enum cpu_feature needs;
    double tolerance, gelu; /* gelu: what erf-GELU adds to a product */
    struct kern rows;       /* a line is of one row kernel, or */
    const struct attention_kernel *attention;
    const struct gemm_kernel *gemm;
};

/* ---- comparing ---- */

static struct {
    double tolerance;
    double share[2]; /* largest error over what is allowed; [1]: activated */
    char shape[80];
} now;

/* Where nothing is allowed, equal bits. */
static void compare(int act, const float *got, const float *want, size_t i, double allowed)
{
    const double off = fabs((double)got[i] - (double)want[i]);
    if (allowed > 0 ? !(off <= allowed) : memcmp(got + i, want + i, sizeof *got) != 0)
        fail_msg("%s, value %zu: %.9g, and not %.9g: off by %.3g, allowed are %.3g", now.shape, i,
                 (double)got[i], (double)want[i], off, allowed);
    if (allowed > 0) now.share[act] = fmax(now.share[act], off / allowed);
}

static void compare_all(const float *got, const float *want, size_t n, double scale)
{
    for (size_t i = 0; i < n; i++)
        compare(0, got, want, i, now.tolerance * scale);
}

static void fill(struct kit_random *r, float *to, size_t n, float scale, float offset)
{
    for (size_t i = 0; i < n; i++)
        to[i] = kit_normal(r) * scale + offset;
}

static double largest(const float *x, size_t n)
{
    float most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(x[i]));
    return (double)most;
}

/* Room for a result, none of whose values is right yet. */
static float *unwritten(size_t n)
{
    float *to = kit_floats(n);
    memset(to, 0xff, n * sizeof *to);
    return to;
}

static void *garbage(size_t bytes)
{
    void *scratch = bytes ? kit_bytes(bytes, 64) : NULL;
    if (bytes) memset(scratch, 0xff, bytes);
    return scratch;
}

/* ---- row kernels ---- */

/* Widths that encoders have, and any others: below, at and around every vector width. */
static uint32_t random_width(struct kit_random *r)
{
    static const uint32_t usual[] = {8, 32, 128, 312, 384, 768, 1024};
    if (kit_below(r, 3) == 0) return usual[kit_below(r, sizeof usual / sizeof *usual)];
    return 1 + kit_below(r, kit_below(r, 2) ? 70 : 1024);
}

static float random_scale(struct kit_random *r)
{
    static const float scales[] = {1e-4f, 0.02f, 1, 30, 1e4f};
    return scales[kit_below(r, sizeof scales / sizeof *scales)];
}

static void norm_in_double(const struct norm_call *call)
{
    const size_t h = call->h;
    for (size_t i = 0; i < call->n; i++) {
        float *s = call->x + i * h;
        double mean = 0, squares = 0;
        for (size_t c = 0; c < h; c++) {
            if (call->add) s[c] += call->add[i * h + c];
            if (call->kind == NORM_LAYER) mean += (double)s[c] / (double)h;
        }
        for (size_t c = 0; c < h; c++)
            squares += ((double)s[c] - mean) * ((double)s[c] - mean) / (double)h;
        for (size_t c = 0; c < h; c++) {
            const double v = ((double)s[c] - mean) / sqrt(squares + (double)call->eps);
            call->out[i * h + c] = (float)(v * (double)(call->gamma ? call->gamma[c] : 1) +
                                           (double)(call->beta ? call->beta[c] : 0));
        }
    }
}

static void rope_in_double(const struct rope_call *call)
{
    const size_t half = call->rotary / 2;
    for (size_t i = 0; i < (size_t)call->n * call->heads * half; i++) {
        const size_t r = i / half / call->heads, g = i / half % call->heads, c = i % half;
        const float *at =
            call->table + (call->positions ? call->positions[r] : r) * call->rotary + c;
        float *x = call->x + r * call->ld + g * call->d + c;
        const double a = (double)x[0], b = (double)x[half];
        x[0] = (float)(a * (double)at[0] - b * (double)at[half]);
        x[half] = (float)(b * (double)at[0] + a * (double)at[half]);
    }
}

/* In float, rows ascending: that is the formula. */
static void pool_mean_by_column(const float *x, uint32_t n, uint32_t h, float *out)
{
    memcpy(out, x, h * sizeof *x);
    for (size_t i = h; i < (size_t)n * h; i++)
        out[i % h] += x[i];
    for (uint32_t c = 0; c < h; c++)
        out[c] /= (float)n;
}

static void normalize_in_double(float *v, uint32_t h)
{
    double squares = 0;
    for (uint32_t c = 0; c < h; c++)
        squares += (double)v[c] * (double)v[c];
    for (uint32_t c = 0; c < h; c++)
        v[c] = (float)((double)v[c] / fmax(sqrt(squares), 1e-12));
}

/* With and without what may be NULL, in place and not. */
static void check_norm(const struct line *line, struct kit_random *r)
{
    kernel_norm *reference = line->level == KERN_REF ? norm_in_double : norm_f32_ref;
    for (int turn = 0; turn < kit_times(320); turn++) {
        const uint32_t h = random_width(r), n = 1 + kit_below(r, 20);
        const size_t all = (size_t)n * h;
        const float scale = random_scale(r);
        float *add = kit_floats(all), *gamma = kit_floats(h), *beta = kit_floats(h);
        float *x = kit_floats(all);
        fill(r, add, all, scale, 0);
        fill(r, x, all, scale, kit_below(r, 2) ? scale : 0);
        fill(r, gamma, h, 0.3f, 1);
        fill(r, beta, h, 0.3f, 0);
        float *same = kit_copy(x, all);
        const bool in_place = turn & 16;
        struct norm_call call = {
            .kind = turn & 1 ? NORM_RMS : NORM_LAYER,
            .eps = turn & 32 ? 1e-5f : 1e-12f,
            .gamma = turn & 2 ? NULL : gamma,
            .beta = turn & 4 ? NULL : beta,
            .x = x,
            .add = turn & 8 ? NULL : add,
            .out = in_place ? x : unwritten(all),
            .n = n,
            .h = h,
        };
        snprintf(now.shape, sizeof now.shape, "%u rows of %u, turn %d", n, h, turn);
        line->rows.norm(&call);
        const float *got = call.out;
        call.x = same;
        call.out = in_place ? same : unwritten(all);
        reference(&call);
        if (!in_place) assert_memory_equal(x, same, all * sizeof *x);
        compare_all(got, call.out, all, 1 + largest(call.out, all));
        kit_free();
    }
}

static void check_rope(const struct line *line, struct kit_random *r)
{
    kernel_rope *reference = line->level == KERN_REF ? rope_in_double : rope_f32_ref;
    for (int turn = 0; turn < kit_times(120); turn++) {
        enum { POSITIONS = 30 };
        const uint32_t d = 2 + kit_below(r, turn % 3 ? 70 : 300), heads = 1 + kit_below(r, 4);
        const uint32_t n = 1 + kit_below(r, POSITIONS);
        const uint32_t rotary = turn % 2 ? d / 2 * 2 : 2 + kit_below(r, d / 2) * 2;
        const size_t ld = (size_t)heads * d + kit_below(r, 20);
        const size_t all = (n - 1) * ld + (size_t)heads * d;
        float *table = kit_floats(POSITIONS * (size_t)rotary), *got = kit_floats(all);
        uint32_t *positions = kit_bytes(n * sizeof *positions, sizeof *positions);
        fill(r, got, all, 1, 0);
        float *want = kit_copy(got, all);
        for (uint32_t i = 0; i < n; i++)
            positions[i] = kit_below(r, POSITIONS);
        for (uint32_t i = 0; i < POSITIONS * rotary; i++) {
            const uint32_t pair = i % rotary % (rotary / 2);
            const double angle = i / rotary * pow(100, -2.0 * pair / rotary);
            table[i] = (float)(i % rotary < rotary / 2 ? cos(angle) : sin(angle));
        }
        struct rope_call call = {
            .x = got,
            .ld = ld,
            .n = n,
            .heads = heads,
            .d = d,
            .rotary = rotary,
            .table = table,
            .positions = turn % 4 ? positions : NULL,
        };
        snprintf(now.shape, sizeof now.shape, "%u rows of %u x %u, %u rotary", n, heads, d, rotary);
        line->rows.rope(&call);
        call.x = want;
        reference(&call);
        compare_all(got, want, all, largest(want, all));
        kit_free();
    }
}

static void check_pool_mean(const struct line *line, struct kit_random *r)
{
    kernel_pool_mean *reference = line->level == KERN_REF ? pool_mean_by_column : pool_mean_f32_ref;
    for (int turn = 0; turn < kit_times(120); turn++) {
        const uint32_t h = random_width(r), n = 1 + kit_below(r, turn % 4 ? 20 : 300);
        float *x = kit_floats((size_t)n * h), *got = unwritten(h), *want = unwritten(h);
        fill(r, x, (size_t)n * h, random_scale(r), 0);
        snprintf(now.shape, sizeof now.shape, "%u rows of %u", n, h);
        line->rows.pool_mean(x, n, h, got);
        reference(x, n, h, want);
        compare_all(got, want, h, 1);
        kit_free();
    }
}

static void check_normalize(const struct line *line, struct kit_random *r)
{
    kernel_normalize *reference = line->level == KERN_REF ? normalize_in_double : normalize_f32_ref;
    for (int turn = 0; turn < kit_times(200); turn++) {
        const uint32_t h = random_width(r);
        float *got = kit_floats(h);
        fill(r, got, h, random_scale(r), 0);
        if (turn == 0) memset(got, 0, h * sizeof *got); /* stays zero: no division by nothing */
        float *want = kit_copy(got, h);
        snprintf(now.shape, sizeof now.shape, "a row of %u", h);
        line->rows.normalize(got, h);
        reference(want, h);
        compare_all(got, want, h, 1);
        kit_free();
    }
}

static void raise_by_column(const float *x, uint32_t n, size_t ld, uint32_t h, float *most)
{
    for (size_t i = 0; i < (size_t)n * h; i++) {
        const float v = x[i / h * ld + i % h];
        if (!isnan(most[i % h]) && !(most[i % h] > v)) most[i % h] = v;
    }
}

static void check_raise(const struct line *line, struct kit_random *r)
{
    static const float special[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN};
    kernel_raise *reference = line->level == KERN_REF ? raise_by_column : raise_f32_ref;
    for (int turn = 0; turn < kit_times(160); turn++) {
        const uint32_t h = random_width(r), n = 1 + kit_below(r, turn % 4 ? 20 : 300);
        const size_t ld = h + kit_below(r, 20), all = (n - 1) * ld + h;
        float *x = kit_floats(all), *got = kit_floats(h);
        fill(r, x, all, random_scale(r), 0);
        fill(r, got, h, 1e-4f, 0);
        for (size_t i = 0; turn % 2 && i <= all / 7; i++)
            x[kit_below(r, (uint32_t)all)] = got[kit_below(r, h)] = special[kit_below(r, 5)];
        float *want = kit_copy(got, h);
        snprintf(now.shape, sizeof now.shape, "%u rows of %u, %zu apart", n, h, ld);
        line->rows.raise(x, n, ld, h, got);
        reference(x, n, ld, h, want);
        compare_all(got, want, h, 1);
        kit_free();
    }
}

/* ---- attention ---- */

struct document {
    struct attention_shape shape;
    uint32_t len;
    size_t ld_q, ld_kv;
    float *q, *k, *v, *bias;
};

/* Room for one score a key, of the longest document here. */
enum { LONGEST = 600 };

static bool is_seen(const struct attention_shape *s, uint32_t i, uint32_t j)
{
    const int64_t distance = llabs((int64_t)i - (int64_t)j);
    return distance <= s->window && !(s->causal && j > i);
}

/* The formula of kern.h. */
static double score(const struct document *doc, uint32_t i, uint32_t j, uint32_t head)
{
    const struct attention_shape *s = &doc->shape;
    const float *q = doc->q + i * doc->ld_q + (size_t)head * s->d;
    const float *k = doc->k + j * doc->ld_kv + (size_t)(head * s->kv_heads / s->heads) * s->d;
    double sum = 0;
    for (uint32_t t = 0; t < s->d; t++) {
        sum += (double)q[t] * (double)k[t];
    }
    sum /= (double)s->divisor;
    const int64_t span = s->span, apart = (int64_t)j - (int64_t)i;
    const int64_t near = apart < -span ? -span : apart > span ? span : apart;
    if (s->bias == ATTENTION_SLOPES) sum -= (double)doc->bias[head] * fabs((double)apart);
    if (s->bias == ATTENTION_TABLE) sum += (double)doc->bias[head * (2 * span + 1) + near + span];
    return sum;
}

static double largest_score(const struct document *doc)
{
    double most = 0;
    for (uint32_t head = 0; head < doc->shape.heads; head++) {
        for (uint32_t i = 0; i < doc->len * doc->len; i++) {
            if (is_seen(&doc->shape, i / doc->len, i % doc->len))
                most = fmax(most, fabs(score(doc, i / doc->len, i % doc->len, head)));
        }
    }
    return most;
}

static double largest_value(const struct document *doc)
{
    double most = 0;
    for (size_t i = 0; i < doc->len; i++) {
        most = fmax(most,
                    largest(doc->v + i * doc->ld_kv, (size_t)doc->shape.kv_heads * doc->shape.d));
    }
    return most;
}

static void attention_in_double(const struct document *doc, float *ctx)
{
    const struct attention_shape *s = &doc->shape;
    const size_t d = s->d, h = s->heads * d;
    double weights[LONGEST];
    for (uint32_t row = 0; row < doc->len * s->heads; row++) {
        const uint32_t i = row / s->heads, head = row % s->heads;
        const float *v = doc->v + (size_t)(head * s->kv_heads / s->heads) * d;
        double most = -HUGE_VAL, sum = 0;
        for (uint32_t j = 0; j < doc->len; j++) {
            weights[j] = is_seen(s, i, j) ? score(doc, i, j, head) : -HUGE_VAL;
            most = fmax(most, weights[j]);
        }
        for (uint32_t j = 0; j < doc->len; j++) {
            weights[j] = exp(weights[j] - most);
            sum += weights[j];
        }
        for (size_t t = 0; t < d; t++) {
            double value = 0;
            for (size_t j = 0; j < doc->len; j++) {
                value += weights[j] * (double)v[j * doc->ld_kv + t];
            }
            ctx[i * h + head * d + t] = (float)(value / sum);
        }
    }
}

/* docs/KERNELS.md. Float's errors grow with a score and show in what comes out; bfloat16's and int8's are of
 * weights and values. */
static double attention_scale(const struct line *line, const struct document *doc,
                              const float *want)
{
    if (line->precision == KERN_BF16) return largest_value(doc);
    const size_t n = (size_t)doc->len * doc->shape.heads * doc->shape.d;
    return (1 + largest_score(doc)) *
           (line->precision == KERN_FP32 ? largest(want, n) : largest_value(doc));
}

static void attend(const struct attention_kernel *kernel, const struct document *doc, float *ctx)
{
    const struct attention_call call = {
        .shape = doc->shape,
        .q = doc->q,
        .k = doc->k,
        .v = doc->v,
        .ld_q = doc->ld_q,
        .ld_kv = doc->ld_kv,
        .bias = doc->bias,
        .ctx = ctx,
        .ld_ctx = (size_t)doc->shape.heads * doc->shape.d,
        .len = doc->len,
        .n_queries = doc->len,
        .n_heads = doc->shape.heads,
        .scratch = garbage(kernel->bytes(&doc->shape, doc->len)),
    };
    kernel->run(&call);
}

static void compare_attention(const struct line *line, const struct document *doc)
{
    const struct attention_shape *s = &doc->shape;
    const size_t n = (size_t)doc->len * s->heads * s->d;
    float *got = unwritten(n), *want = unwritten(n);
    attend(line->attention, doc, got);
    if (line->level == KERN_REF) {
        attention_in_double(doc, want);
    } else {
        attend(kern_table(KERN_REF)->attention[line->precision], doc, want);
    }
    snprintf(now.shape, sizeof now.shape, "%u tokens, %u/%u heads of %u, window %u%s, bias %d, %u",
             doc->len, s->heads, s->kv_heads, s->d, s->window, s->causal ? " causal" : "",
             (int)s->bias, s->span);
    compare_all(got, want, n, attention_scale(line, doc, want));
    kit_free();
}

static void attention_of(const struct line *line, struct kit_random *r, uint32_t len,
                         uint32_t heads, uint32_t d)
{
    const size_t h = (size_t)heads * d;
    float *qkv = kit_floats(3 * len * h);
    const struct document doc = {
        .shape = kit_shape(heads, d),
        .len = len,
        .ld_q = 3 * h,
        .ld_kv = 3 * h,
        .q = qkv,
        .k = qkv + h,
        .v = qkv + 2 * h,
    };
    const float size = (float)(1 + kit_below(r, 3)) * 0.75f;
    fill(r, qkv, 3 * len * h, size, kit_below(r, 2) ? 0 : 0.5f);
    compare_attention(line, &doc);
}

/* Rows of width, ld apart; the last ends where its memory does. */
static float *apart(struct kit_random *r, size_t rows, size_t width, size_t ld, float size)
{
    float *x = kit_floats((rows - 1) * ld + width);
    fill(r, x, (rows - 1) * ld + width, size, 0);
    return x;
}

/* Any shape that a layer may have. */
static void attention_of_shape(const struct line *line, struct kit_random *r, uint32_t most_len)
{
    const uint32_t len = 1 + kit_below(r, most_len);
    struct document doc = {.shape = kit_random_shape(r, len), .len = len};
    const struct attention_shape *s = &doc.shape;
    const size_t h = (size_t)s->heads * s->d, h_kv = (size_t)s->kv_heads * s->d;
    const float size = s->divisor == 1 ? 1 / sqrtf(sqrtf((float)s->d)) : 1;
    doc.ld_q = h + kit_below(r, 20);
    doc.ld_kv = h_kv + kit_below(r, 20);
    doc.q = apart(r, len, h, doc.ld_q, size);
    doc.k = apart(r, len, h_kv, doc.ld_kv, size);
    doc.v = apart(r, len, h_kv, doc.ld_kv, 1);
    doc.bias = kit_random_bias(r, s);
    compare_attention(line, &doc);
}

/* Every number of rows that a tile can have, either end of a block of keys, every width. */
static void check_attention(const struct line *line, struct kit_random *r)
{
    enum { N_LENGTHS = 6 };
    static const uint32_t lengths[N_LENGTHS] = {193, 256, 257, 385, 513, LONGEST};
    /* Odd steps meet every remainder too; plain C in these precisions is slow. */
    static const uint32_t steps[KERN_PRECISIONS] = {
        [KERN_FP32] = 1, [KERN_BF16] = 5, [KERN_INT8] = 3};
    const bool is_quick = kit_times(10) == 1;
    const uint32_t step = is_quick ? 13 : steps[line->precision];
    for (uint32_t len = 1; len <= 130; len += step) {
        attention_of(line, r, len, 2, 32);
        if (len % 3 == 0) attention_of(line, r, len, 1, 64);
    }
    for (int i = 0; i < kit_times(N_LENGTHS); i++) {
        attention_of(line, r, lengths[i], 1, i == 1 ? 64 : 32);
    }
    for (uint32_t d = 1; d <= 130; d += step) {
        attention_of(line, r, 1 + kit_below(r, 70), 2, d);
        if (d % 10 == 0) attention_of(line, r, 129 + kit_below(r, 20), 1, d);
    }
    for (int i = 0; i < kit_times(line->precision == KERN_BF16 ? 150 : 300); i++) {
        attention_of_shape(line, r, i % 20 || is_quick ? 70 : LONGEST);
    }
}

/* ---- matrix products ---- */

/* How much faster than its input GELU grows, at most: 1.129, at the root of 2; no activation is steeper. */
#define GELU_SLOPE 1.13

/* Any other activation; test_kern_gelu.c. */
#define OFF_ACT 1.7e-7

struct packed {
    const struct gemm_kernel *kernel;
    bool gated;
    void *weights, *scratch;
};

struct product {
    uint32_t k, n;
    float *w, *bias;
    double *lengths;                     /* [n]: of an output's weights, as a vector */
    struct packed got, want;             /* want: no kernel where ref itself is under test */
    struct packed got_gated, want_gated; /* the same weights as a gated product of n / 2 outputs */
};

static struct packed packed_by(const struct gemm_kernel *kernel, const struct product *p,
                               bool gated)
{
    const struct gemm_shape shape = {.k = p->k, .n = gated ? p->n / 2 : p->n, .gated = gated};
    const struct packed packed = {
        .kernel = kernel,
        .gated = gated,
        .weights = garbage(kernel->packed_bytes(&shape)),
        .scratch = garbage(kernel->scratch_bytes(&shape)),
    };
    kernel->pack(&shape, p->w, packed.weights);
    return packed;
}

/* The lengths of n vectors of k numbers. */
static double *lengths_of(const float *x, size_t n, size_t k)
{
    double *lengths = kit_bytes(n * sizeof *lengths, sizeof *lengths);
    for (size_t i = 0; i < n; i++) {
        double squares = 0;
        for (size_t t = i * k; t < (i + 1) * k; t++) {
            squares += (double)x[t] * (double)x[t];
        }
        lengths[i] = sqrt(squares);
    }
    return lengths;
}

static struct product product_of(const struct line *line, struct kit_random *r, uint32_t k,
                                 uint32_t n)
{
    const size_t all = (size_t)k * n;
    struct product p = {.k = k, .n = n, .w = kit_floats(all), .bias = kit_floats(n)};
    fill(r, p.w, all, 1 / sqrtf((float)k), 0);
    fill(r, p.bias, n, 1, 0);
    const struct gemm_kernel *ref =
        line->level == KERN_REF ? NULL : kern_table(KERN_REF)->gemm[line->precision];
    p.got = packed_by(line->gemm, &p, false);
    if (ref) p.want = packed_by(ref, &p, false);
    if (n % 2 == 0) p.got_gated = packed_by(line->gemm, &p, true);
    if (n % 2 == 0 && ref) p.want_gated = packed_by(ref, &p, true);
    p.lengths = lengths_of(p.w, n, k);
    return p;
}

static void multiply(const struct packed *packed, const struct product *p, enum gemm_act act,
                     bool has_bias, const float *x, uint32_t rows, float *y)
{
    const uint32_t n = packed->gated ? p->n / 2 : p->n;
    const struct gemm_call call = {
        .shape = {.k = p->k, .n = n, .act = act, .gated = packed->gated},
        .packed = packed->weights,
        .bias = has_bias ? p->bias : NULL,
        .x = x,
        .y = y,
        .ldy = n,
        .columns = n,
        .rows = rows,
        .scratch = packed->scratch,
    };
    packed->kernel->run(&call);
}

static double act_in_double(enum gemm_act act, double v)
{
    switch (act) {
    case GEMM_GELU_ERF:
        return v / 2 * (1 + erf(v / sqrt(2)));
    case GEMM_GELU_TANH:
        return v / 2 * (1 + tanh(sqrt(2 / acos(-1)) * (v + 0.044715 * v * v * v)));
    case GEMM_QUICK_GELU:
        return v / (1 + exp(-1.702 * v));
    case GEMM_SILU:
        return v / (1 + exp(-v));
    case GEMM_RELU:
        return fmax(v, 0);
    case GEMM_TANH:
        return tanh(v);
    default:
        return v;
    }
}

static void multiply_in_double(const struct product *p, bool has_bias, const float *x,
                               uint32_t rows, float *y)
{
    for (size_t i = 0; i < (size_t)rows * p->n; i++) {
        const float *row = x + i / p->n * p->k, *w = p->w + i % p->n * p->k;
        double v = has_bias ? (double)p->bias[i % p->n] : 0;
        for (uint32_t t = 0; t < p->k; t++) {
            v += (double)row[t] * (double)w[t];
        }
        y[i] = (float)v;
    }
}

/* Rows as encoders have them, normal or with two inputs far beyond the rest; and rows of one sign, so large
 * that the activation ends, or of zeros. */
static void fill_row(struct kit_random *r, float *x, uint32_t k)
{
    const uint32_t kind = kit_below(r, 6);
    fill(r, x, k, kind == 5 ? 0 : 1, 0);
    for (uint32_t t = 0; kind == 3 && t < k; t++) {
        x[t] = fabsf(x[t]) + 0.5f;
    }
    for (uint32_t t = 0; kind == 4 && t < k; t++) {
        x[t] = fabsf(x[t]) * -12;
    }
    if (kind == 2) x[kit_below(r, k)] *= 30;
    if (kind == 2) x[kit_below(r, k)] *= 30;
    if (kind == 5) x[kit_below(r, k)] = -0.0f;
}

/* What rows go in and come out by; all of it ends where its memory does. */
struct rows {
    uint32_t n;
    const float *x;
    const double *lengths; /* [n]: of the rows */
    float *got, *want, *sums;
};

static void describe(const struct product *p, const struct rows *rows, const char *what,
                     enum gemm_act act)
{
    snprintf(now.shape, sizeof now.shape, "%u rows, %u to %u%s, activation %d", rows->n, p->k, p->n,
             what, (int)act);
}

/* docs/KERNELS.md */
static double product_scale(const struct product *p, const struct rows *rows, size_t i)
{
    return 1 + fabs((double)p->bias[i % p->n]) + rows->lengths[i / p->n] * p->lengths[i % p->n];
}

/* Sums, with and without bias; those with it stay in rows->sums. */
static void compare_sums(const struct line *line, const struct product *p, const struct rows *rows)
{
    for (int has_bias = 0; has_bias < 2; has_bias++) {
        memset(rows->got, 0xff, (size_t)rows->n * p->n * sizeof *rows->got);
        describe(p, rows, has_bias ? "" : ", no bias", GEMM_NONE);
        multiply(&p->got, p, GEMM_NONE, has_bias, rows->x, rows->n, rows->got);
        if (line->level == KERN_REF) {
            multiply_in_double(p, has_bias, rows->x, rows->n, rows->sums);
        } else {
            multiply(&p->want, p, GEMM_NONE, has_bias, rows->x, rows->n, rows->sums);
        }
        for (size_t i = 0; i < (size_t)rows->n * p->n; i++) {
            compare(0, rows->got, rows->sums, i, now.tolerance * product_scale(p, rows, i));
        }
    }
}

/* What an activation adds to the error of its sum. */
static double act_error(const struct line *line, enum gemm_act act, float sum)
{
    const double off = act == GEMM_NONE ? 0 : act == GEMM_GELU_ERF ? line->gelu : 2 * OFF_ACT;
    return off * fmax(1, fabs((double)sum));
}

/* The activation carries a sum's error on, no more than GELU_SLOPE times as large, and adds its own. */
static void compare_act(const struct line *line, const struct product *p, const struct rows *rows,
                        enum gemm_act act)
{
    const size_t n_y = (size_t)rows->n * p->n;
    memset(rows->got, 0xff, n_y * sizeof *rows->got);
    describe(p, rows, "", act);
    multiply(&p->got, p, act, true, rows->x, rows->n, rows->got);
    if (line->level != KERN_REF) multiply(&p->want, p, act, true, rows->x, rows->n, rows->want);
    for (size_t i = 0; i < n_y; i++) {
        if (line->level == KERN_REF)
            rows->want[i] = (float)act_in_double(act, (double)rows->sums[i]);
        compare(1, rows->got, rows->want, i,
                act_error(line, act, rows->sums[i]) +
                    GELU_SLOPE * now.tolerance * product_scale(p, rows, i));
    }
}

/* Both factors are off, and their product is rounded. */
static void compare_gated(const struct line *line, const struct product *p, const struct rows *rows,
                          enum gemm_act act)
{
    const size_t n = p->n / 2;
    memset(rows->got, 0xff, rows->n * n * sizeof *rows->got);
    describe(p, rows, ", gated", act);
    multiply(&p->got_gated, p, act, true, rows->x, rows->n, rows->got);
    if (line->level != KERN_REF)
        multiply(&p->want_gated, p, act, true, rows->x, rows->n, rows->want);
    for (size_t i = 0; i < rows->n * n; i++) {
        const size_t at = i / n * p->n + i % n;
        const double other = (double)rows->sums[at + n];
        const double act_of = act_in_double(act, (double)rows->sums[at]);
        const double off = act_error(line, act, rows->sums[at]) +
                           GELU_SLOPE * now.tolerance * product_scale(p, rows, at);
        const double off_other = now.tolerance * product_scale(p, rows, at + n);
        if (line->level == KERN_REF) rows->want[i] = (float)(act_of * other);
        compare(1, rows->got, rows->want, i,
                off * (fabs(other) + off_other) + fabs(act_of) * off_other +
                    0x1p-22 * fabs(act_of * other) + 1e-37);
    }
}

static void compare_rows(const struct line *line, const struct product *p, const struct rows *rows)
{
    compare_sums(line, p, rows);
    for (int act = GEMM_NONE + 1; act < GEMM_ACTS; act++) {
        if (act > GEMM_GELU_ERF && (size_t)p->n * p->k > 60000) continue;
        compare_act(line, p, rows, (enum gemm_act)act);
    }
    for (int act = GEMM_NONE; act < GEMM_ACTS && p->n % 2 == 0; act++) {
        if (act != GEMM_SILU && (size_t)p->n * p->k > 60000) continue;
        compare_gated(line, p, rows, (enum gemm_act)act);
    }
}

/* Products of real encoders, and such as fit no tile, panel, vector, or group of inputs. */
static const struct {
    uint32_t k, n;
} sizes_of_products[] = {
    {384, 1152}, {384, 384}, {384, 1536}, {1536, 384}, {3072, 768}, {312, 1200}, {1200, 312},
    {1000, 70},  {1300, 20}, {128, 512},  {771, 130},  {384, 200},  {129, 70},   {127, 33},
    {100, 36},   {33, 57},   {32, 96},    {31, 64},    {64, 16},    {24, 72},    {7, 5},
    {5, 65},     {4, 15},    {3, 31},     {2, 17},     {1, 1},
};

/* Tiles of one to six rows, whole and left over, either end of a block of 96 or 240. */
static const uint32_t row_counts[] = {1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 30, 97, 245};

static bool is_counted(uint32_t rows, size_t weights)
{
    if (kit_times(10) == 1) return rows <= 7 && weights <= 20000;
    return weights <= 30000 || rows == 1 || rows == 13 || (rows < 13 && weights <= 150000);
}

static void check_gemm(const struct line *line, struct kit_random *r)
{
    for (size_t s = 0; s < sizeof sizes_of_products / sizeof *sizes_of_products; s++) {
        const uint32_t k = sizes_of_products[s].k, n = sizes_of_products[s].n;
        if (!is_counted(1, (size_t)k * n)) continue;
        const struct product p = product_of(line, r, k, n);
        size_t most = 1;
        for (size_t i = 0; i < sizeof row_counts / sizeof *row_counts; i++) {
            if (is_counted(row_counts[i], (size_t)k * n)) most = row_counts[i];
        }
        const size_t n_y = most * n;
        float *x = kit_floats(most * k), *got = kit_floats(n_y);
        float *want = kit_floats(n_y), *sums = kit_floats(n_y);
        for (size_t i = 0; i < most; i++) {
            fill_row(r, x + i * k, k);
        }
        const double *lengths = lengths_of(x, most, k);
        for (size_t i = 0; i < sizeof row_counts / sizeof *row_counts; i++) {
            if (!is_counted(row_counts[i], (size_t)k * n)) continue;
            const size_t skipped = most - row_counts[i];
            const struct rows rows = {
                .n = row_counts[i],
                .x = x + skipped * k,
                .lengths = lengths + skipped,
                .got = got + skipped * n,
                .want = want + skipped * n,
                .sums = sums + skipped * n,
            };
            compare_rows(line, &p, &rows);
        }
        kit_free();
    }
}

/* ---- the lines ---- */

/* What ref may be off from its formula in double, in the op's scale. Row kernels: three roundings to float
 * of 2^-24 each, after sums in double; pool_mean's formula is in float. bfloat16's products: each factor is
 * rounded by up to 2^-8 of itself. The others: more than twice what is seen (docs/KERNELS.md). */
#define OFF_norm           2e-7
#define OFF_rope           3e-7
#define OFF_pool_mean      0
#define OFF_raise          0
#define OFF_normalize      2e-7
#define OFF_ATTENTION_FP32 2e-6
#define OFF_ATTENTION_BF16 3e-2
#define OFF_ATTENTION_INT8 1e-2
#define OFF_GEMM_FP32      4e-7
#define OFF_GEMM_BF16      7.9e-3
#define OFF_GEMM_INT8      2e-2
#define OFF_GELU           1.7e-7 /* test_kern_gelu.c */

static struct line lines[] = {
#define KERNEL(name, LEVEL, which, bound, where)                                                   \
    {.op = #name,                                                                                  \
     .variant = #which,                                                                            \
     .needs_name = "",                                                                             \
     .file = where,                                                                                \
     .check = check_##name,                                                                        \
     .level = KERN_##LEVEL,                                                                        \
     .tolerance = KERN_##LEVEL == KERN_REF ? OFF_##name : bound,                                   \
     .rows.name = name##_f32_##which},
#define ATTENTION(PRECISION, LEVEL, which, NEEDS, bound, where)                                    \
    {.op = "attention",                                                                            \
     .variant = #which,                                                                            \
     .needs_name = #NEEDS,                                                                         \
     .file = where,                                                                                \
     .check = check_attention,                                                                     \
     .level = KERN_##LEVEL,                                                                        \
     .precision = KERN_##PRECISION,                                                                \
     .needs = CPU_##NEEDS,                                                                         \
     .tolerance = KERN_##LEVEL == KERN_REF ? OFF_ATTENTION_##PRECISION : bound,                    \
     .attention = &attention_##which},
#define GEMM(PRECISION, LEVEL, which, NEEDS, bound, gelu_bound, where)                             \
    {.op = "gemm",                                                                                 \
     .variant = #which,                                                                            \
     .needs_name = #NEEDS,                                                                         \
     .file = where,                                                                                \
     .check = check_gemm,                                                                          \
     .level = KERN_##LEVEL,                                                                        \
     .precision = KERN_##PRECISION,                                                                \
     .needs = CPU_##NEEDS,                                                                         \
     .tolerance = KERN_##LEVEL == KERN_REF ? OFF_GEMM_##PRECISION : bound,                         \
     .gelu = KERN_##LEVEL == KERN_REF ? OFF_GELU : gelu_bound,                                     \
     .gemm = &gemm_##which},
#include "kern/kernels.def"
#undef KERNEL
#undef ATTENTION
#undef GEMM
};
enum { N_LINES = sizeof lines / sizeof *lines };

/* Does dispatch take another variant of this level and precision on this machine? */
static bool is_passed_over(const struct line *line)
{
    const struct kern *kern = kern_table(line->level);
    if (line->gemm) return kern->gemm[line->precision] != line->gemm;
    if (line->attention) return kern->attention[line->precision] != line->attention;
    return false;
}

static void test_line(void **state)
{
    const struct line *line = *state;
    struct kit_random r = {SEED};
    memset(&now, 0, sizeof now);
    now.tolerance = line->tolerance;
    line->check(line, &r);
    printf("  %s%s: ", line->file, is_passed_over(line) ? ", not chosen here" : "");
    if (line->tolerance == 0)
        printf("equal bits");
    else
        printf("off by %.2g, tolerance %.2g", now.share[0] * line->tolerance, line->tolerance);
    if (line->gemm) printf(", with activations and gates %.2g of what is allowed", now.share[1]);
    printf("\n");
}

/* Is the line run here? Says why if not. */
static bool is_run(const struct line *line, const char *name)
{
    if (line->level > kern_machine_level())
        printf("  skipped: %s: this machine has no %s\n", name, kern_level_name(line->level));
    else if (!cpu_has(line->needs))
        printf("  skipped: %s: this processor lacks %s\n", name, line->needs_name);
    else
        return true;
    return false;
}

int main(int argc, char **argv)
{
    static char names[N_LINES][64];
    struct CMUnitTest tests[N_LINES] = {{0}};
    int n_run = 0;
    setvbuf(stdout, NULL, _IOLBF, 0); /* an emulator takes minutes for all: show each line */
    printf("seed %d\n", SEED);
    for (size_t i = 0; i < N_LINES; i++) {
        struct line *line = &lines[i];
        snprintf(names[i], sizeof names[i], "%s %s %s, %s", kern_level_name(line->level), line->op,
                 kern_precision_name(line->precision), line->variant);
        if (argc > 1 && !strstr(names[i], argv[1])) continue;
        if (!is_run(line, names[i])) continue;
        tests[n_run++] = (struct CMUnitTest){names[i], test_line, NULL, NULL, line};
    }
    if (n_run == 0) {
        printf("no line%s%s is run here\n", argc > 1 ? " named " : "", argc > 1 ? argv[1] : "");
        return 1;
    }
    return kit_end("kern-variants", n_run, cmocka_run_group_tests(tests, NULL, NULL));
}
