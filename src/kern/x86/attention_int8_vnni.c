/* attention, int8, AVX-512 VNNI: as kern/attention_int8.h defines it.
 *
 * A head's keys are in panels of sixteen, [panel][d / 4][16][4], its values in groups of four keys,
 * [len / 4][columns][4], so that vpdpbusd adds four products of either. Then, for twelve queries at
 * a time:
 *   scores   tiles of 6 queries x 4 panels in registers, stored to twelve rows of scratch; queries are
 *            unsigned bytes with 128 added, and a key's scores begin at its sum times 128;
 *   weights  32 at a time in 16-bit integers;
 *   output   tiles of 12 queries x 2 vectors of columns.
 *
 * Keys that pad the last panel have so low a score that they are never the highest, and do not
 * count in either of the two sums that use weights. Scratch grows with longest * d. */
#include "kern/attention_int8.h"

#include "int_avx512.h"
#include "kern/kernels.h"

enum { HALF = 6, QUERIES = 2 * HALF, NEVER = -(1 << 30) };

struct head {
    float *key_scale, *key_inverse, *key_mid;       /* [ld_values] */
    float *value_scale, *value_inverse, *value_mid; /* [ld_values] */
    int8_t *keys;     /* [panel][d4 / 4][16][4], zeros beyond len and d */
    int32_t *starts;  /* [ld_scores]: -128 times a key's sum; NEVER beyond len */
    int8_t *values;   /* [len / 4][ld_values][4], zeros beyond len */
    float *scores;    /* [QUERIES][ld_scores], whole numbers */
    uint8_t *weights; /* [QUERIES][ld_scores] */
    uint8_t *queries; /* [QUERIES][ld_query] */
    float *share;     /* [16]: 1 / sum of weights, of QUERIES */
    size_t len, d, d4;
    size_t ld_values; /* d in whole vectors */
    size_t ld_scores; /* len in whole steps of 64 */
    size_t ld_query;  /* d in whole steps of 64 */
};

static void head_layout(struct arena *a, struct head *s, size_t len, size_t d)
{
    s->len = len;
    s->d = d;
    s->d4 = num_up(d, 4);
    s->ld_values = num_up(d, LANES);
    s->ld_scores = num_up(len, 4 * LANES);
    s->ld_query = num_up(d, 4 * LANES);
    float **const columns[6] = {&s->key_scale,   &s->key_inverse,   &s->key_mid,
                                &s->value_scale, &s->value_inverse, &s->value_mid};
    for (int i = 0; i < 6; i++) {
        *columns[i] = arena_take_array(a, s->ld_values, sizeof(float), 64);
    }
    s->keys = arena_take(a, s->ld_scores * s->d4, 64);
    s->starts = arena_take_array(a, s->ld_scores, sizeof(int32_t), 64);
    s->values = arena_take(a, num_up(len, 4) * s->ld_values, 64);
    s->scores = arena_take_array(a, QUERIES * s->ld_scores, sizeof(float), 64);
    s->weights = arena_take(a, QUERIES * s->ld_scores, 64);
    s->queries = arena_take(a, QUERIES * s->ld_query, 64);
    s->share = arena_take_array(a, 16, sizeof(float), 64);
}

static size_t bytes(const struct attention_shape *shape, uint32_t longest)
{
    const size_t in_float = attention_f32_avx512.bytes(shape, longest);
    const size_t most = attention_int8_longest(shape, longest);
    struct arena a;
    struct head s;
    if (most == 0) return in_float;
    arena_count(&a);
    head_layout(&a, &s, most, shape->d);
    return num_up(num_max(arena_bytes(&a), in_float), 64);
}

static inline vec load(const float *p, size_t n)
{
    return n >= LANES ? v_load(p) : v_load_part(p, n);
}

/* ---- keys and values ---- */

/* Scale, inverse and middle of n_vecs vectors of columns; the last has n columns. Returns bad: NaN
 * in the lanes of columns with a value that is not finite. */
static inline __attribute__((always_inline)) void ranges(const float *x, size_t ld, size_t len,
                                                         size_t n, int n_vecs, float *scale,
                                                         float *inverse, float *mid)
{
    vec high[2], low[2], bad[2];
    for (int v = 0; v < n_vecs; v++) {
        high[v] = low[v] = load(x + (size_t)v * LANES, n - (size_t)v * LANES);
        bad[v] = v_set(0);
    }
    for (size_t j = 0; j < len; j++) {
        for (int v = 0; v < n_vecs; v++) {
            const vec a = load(x + j * ld + (size_t)v * LANES, n - (size_t)v * LANES);
            high[v] = v_max(high[v], a);
            low[v] = _mm512_min_ps(low[v], a);
            bad[v] = v_fma(a, v_set(0), bad[v]);
        }
    }
    for (int v = 0; v < n_vecs; v++) {
        const size_t c = (size_t)v * LANES;
        const vec range = v_sub(high[v], low[v]);
        const __mmask16 some = _mm512_cmp_ps_mask(range, v_set(1e-30f), _CMP_NLT_UQ);
        v_store(scale + c, _mm512_maskz_div_ps(some, range, v_set(254)));
        v_store(inverse + c, _mm512_maskz_div_ps(some, v_set(254), range));
        const vec half = v_set(0.5f);
        v_store(mid + c, v_add(v_add(v_mul(high[v], half), v_mul(low[v], half)), bad[v]));
    }
}

static void find_ranges(const float *x, size_t ld, size_t len, size_t d, float *scale,
                        float *inverse, float *mid)
{
    size_t t = 0;
    for (; d - t >= 2 * LANES; t += 2 * LANES) {
        ranges(x + t, ld, len, 2 * LANES, 2, scale + t, inverse + t, mid + t);
    }
    for (; t < d; t += LANES) {
        ranges(x + t, ld, len, d - t, 1, scale + t, inverse + t, mid + t);
        if (d - t < LANES) break;
    }
}

/* Columns [t, t + LANES) of a row as integers in [-127, 127]; zeros where d ends. */
static inline vint round_part(const float *row, const float *mid, const float *inverse, size_t t,
                              size_t d)
{
    const vec a = v_mul(v_sub(load(row + t, d - t), v_load(mid + t)), v_load(inverse + t));
    return v_nearest(a);
}

/* Integers to signed bytes. */
static inline vint signed_bytes(vint a, vint b, vint c, vint d)
{
    const vint bytes = _mm512_packs_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
    const vint order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, bytes);
}

/* Sixteen keys' columns [t, t + 64) into their panel. Adds the products with 128 to sums. */
static inline __attribute__((always_inline)) vint pack_panel(const struct head *s, size_t d,
                                                             const float *k, size_t ld,
                                                             size_t n_keys, size_t t, int8_t *panel,
                                                             vint sums)
{
    vec rows[LANES];
    for (size_t i = 0; i < LANES; i++) {
        vint part[4] = {vi_zero(), vi_zero(), vi_zero(), vi_zero()};
        for (size_t v = 0; v < 4 && t + v * LANES < d && i < n_keys; v++) {
            part[v] = round_part(k + i * ld, s->key_mid, s->key_inverse, t + v * LANES, d);
        }
        rows[i] = _mm512_castsi512_ps(signed_bytes(part[0], part[1], part[2], part[3]));
    }
    v_transpose(rows);
    for (size_t i = 0; i < LANES && t + 4 * i < num_up(d, 4); i++) {
        v_store((float *)(void *)(panel + (t / 4 + i) * 64), rows[i]);
        sums = vi_dot(sums, _mm512_set1_epi8((char)128), v_bits(rows[i]));
    }
    return sums;
}

static inline __attribute__((always_inline)) void pack_keys(const struct head *s, size_t d,
                                                            const float *k, size_t ld)
{
    for (size_t j = 0; j < s->ld_scores; j += LANES) {
        const size_t n = s->len > j ? num_min(LANES, s->len - j) : 0;
        vint sums = vi_zero();
        for (size_t t = 0; n > 0 && t < d; t += 4 * LANES) {
            sums = pack_panel(s, d, k + j * ld, ld, n, t, s->keys + j * num_up(d, 4), sums);
        }
        const vint starts = _mm512_sub_epi32(vi_zero(), sums), never = _mm512_set1_epi32(NEVER);
        const __mmask16 there = n > 0 ? v_first(n) : 0;
        _mm512_storeu_si512(s->starts + j, _mm512_mask_mov_epi32(never, there, starts));
    }
}

static inline __attribute__((always_inline)) void pack_values(const struct head *s, size_t d,
                                                              const float *v, size_t ld)
{
    const vint byte = _mm512_set1_epi32(255);
    for (size_t j = 0; j < s->len; j += 4) {
        for (size_t t = 0; t < d; t += LANES) {
            vint four = vi_zero();
            for (size_t i = 0; i < num_min(4, s->len - j); i++) {
                const vint a = round_part(v + (j + i) * ld, s->value_mid, s->value_inverse, t, d);
                four = _mm512_or_si512(four, _mm512_sllv_epi32(_mm512_and_si512(a, byte),
                                                               _mm512_set1_epi32((int)(8 * i))));
            }
            _mm512_storeu_si512(s->values + (j * num_up(d, LANES) + 4 * t), four);
        }
    }
}

/* ---- queries ---- */

/* Bit patterns of non-negative floats compare as integers. */
static inline vint max_of_floats(vint a, vint b)
{
    return v_bits(v_max(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
}

/* Lane i becomes the highest of rows[i]'s lanes, or their sum; each step combines the halves of
 * two. */
#define ACROSS(name, op)                                                                           \
    static inline vint name(const vint rows[16])                                                   \
    {                                                                                              \
        vint quarter[4];                                                                           \
        for (int p = 0; p < 4; p++) {                                                              \
            const vint a = rows[p], b = rows[p + 4], c = rows[p + 8], d = rows[p + 12];            \
            const vint ab =                                                                        \
                op(_mm512_shuffle_i64x2(a, b, 0x44), _mm512_shuffle_i64x2(a, b, 0xee));            \
            const vint cd =                                                                        \
                op(_mm512_shuffle_i64x2(c, d, 0x44), _mm512_shuffle_i64x2(c, d, 0xee));            \
            quarter[p] =                                                                           \
                op(_mm512_shuffle_i64x2(ab, cd, 0x88), _mm512_shuffle_i64x2(ab, cd, 0xdd));        \
        }                                                                                          \
        const vint even = op(_mm512_unpacklo_epi64(quarter[0], quarter[1]),                        \
                             _mm512_unpackhi_epi64(quarter[0], quarter[1]));                       \
        const vint odd = op(_mm512_unpacklo_epi64(quarter[2], quarter[3]),                         \
                            _mm512_unpackhi_epi64(quarter[2], quarter[3]));                        \
        const vec e = _mm512_castsi512_ps(even), o = _mm512_castsi512_ps(odd);                     \
        return op(v_bits(_mm512_shuffle_ps(e, o, 0x88)), v_bits(_mm512_shuffle_ps(e, o, 0xdd)));   \
    }
ACROSS(magnitudes_across, _mm512_max_epi32)
ACROSS(highest_across, max_of_floats)
ACROSS(sum_across, _mm512_add_epi32)

/* Queries to bytes, and their scales, which are NaN or infinite if anything in a query is: as
 * integers, the bits of magnitudes have the order of the magnitudes, with infinity and NaN beyond
 * all others. All together: one by one, each would wait for its own largest, and that for a
 * division. */
static inline __attribute__((always_inline)) vec round_queries(const struct head *s, size_t d,
                                                               const float *q, size_t ld, size_t n)
{
    vint most[16];
    float inverses[16];
    for (size_t i = 0; i < 16; i++) {
        most[i] = vi_zero();
        for (size_t t = 0; i < n && t < d; t += LANES) {
            const vec a = v_mul(load(q + i * ld + t, d - t), v_load(s->key_scale + t));
            most[i] = vi_max(most[i], v_bits(v_abs(a)));
        }
    }
    const vec highest = _mm512_castsi512_ps(magnitudes_across(most));
    const __mmask16 some = _mm512_cmp_ps_mask(highest, v_set(1e-30f), _CMP_NLT_UQ);
    v_store(inverses, _mm512_maskz_div_ps(some, v_set(127), highest));
    for (size_t i = 0; i < n; i++) {
        const vec inverse = v_set(inverses[i]);
        for (size_t t = 0; t < num_up(d, 4 * LANES); t += 4 * LANES) {
            vint part[4] = {vi_zero(), vi_zero(), vi_zero(), vi_zero()};
            for (size_t v = 0; v < 4 && t + v * LANES < d; v++) {
                const size_t c = t + v * LANES;
                const vec a = v_mul(load(q + i * ld + c, d - c), v_load(s->key_scale + c));
                part[v] = v_nearest(v_mul(a, inverse));
            }
            const vint bytes = signed_bytes(part[0], part[1], part[2], part[3]);
            _mm512_storeu_si512(s->queries + i * num_up(d, 4 * LANES) + t,
                                _mm512_xor_si512(bytes, _mm512_set1_epi8((char)128)));
        }
    }
    return v_div(highest, v_set(127));
}

/* n_panels is a constant where this is inlined. */
static inline __attribute__((always_inline)) void score_tile(const struct head *s, size_t first,
                                                             size_t panel, int n_panels,
                                                             vint highest[QUERIES])
{
    const uint8_t *q = s->queries + first * s->ld_query;
    const int8_t *keys = s->keys + panel * LANES * s->d4;
    vint sums[HALF][4];
#pragma GCC unroll 4
    for (int p = 0; p < n_panels; p++) {
        const vint start = vi_load(s->starts + (panel + (size_t)p) * LANES);
#pragma GCC unroll 6
        for (int i = 0; i < HALF; i++) {
            sums[i][p] = start;
        }
    }
    for (size_t t = 0; t < s->d4; t += 4) {
        vint k[4];
#pragma GCC unroll 4
        for (int p = 0; p < n_panels; p++) {
            k[p] = vi_load(keys + (size_t)p * LANES * s->d4 + t * LANES);
        }
#pragma GCC unroll 6
        for (int i = 0; i < HALF; i++) {
            const vint a = vi_four(q + (size_t)i * s->ld_query + t);
#pragma GCC unroll 4
            for (int p = 0; p < n_panels; p++) {
                sums[i][p] = vi_dot(sums[i][p], a, k[p]);
            }
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < HALF; i++) {
        float *to = s->scores + (first + (size_t)i) * s->ld_scores + panel * LANES;
        vec most = _mm512_castsi512_ps(highest[first + (size_t)i]);
#pragma GCC unroll 4
        for (int p = 0; p < n_panels; p++) {
            const vec score = v_of_ints(sums[i][p]);
            v_store(to + p * LANES, score);
            most = v_max(most, score);
        }
        highest[first + (size_t)i] = v_bits(most);
    }
}

static void score(const struct head *s, size_t first, vint highest[QUERIES])
{
    const size_t n_panels = num_up(s->len, LANES) / LANES;
    size_t p = 0;
    for (; n_panels - p >= 4; p += 4) {
        score_tile(s, first, p, 4, highest);
    }
    if (n_panels - p == 3) score_tile(s, first, p, 3, highest);
    if (n_panels - p == 2) score_tile(s, first, p, 2, highest);
    if (n_panels - p == 1) score_tile(s, first, p, 1, highest);
}

/* 32 scores as weights times 256, in the order that packing leaves: four lanes of a, four of b.
 * Beyond 2^31 a float becomes the least integer: there, as at 32,767, the weight is 0. */
static inline vint weigh(vec a, vec b, vec most, vec unit)
{
    const vint z = _mm512_packs_epi32(v_nearest(v_mul(v_sub(most, a), unit)),
                                      v_nearest(v_mul(v_sub(most, b), unit)));
    const vint f = _mm512_slli_epi16(z, 5);
    const vint first = _mm512_set1_epi16((short)INT8_EXP_FIRST);
    const vint one =
        _mm512_sub_epi16(first, _mm512_mulhi_epu16(f, _mm512_set1_epi16(INT8_EXP_SECOND)));
    const vint power =
        _mm512_sub_epi16(_mm512_set1_epi16((short)INT8_EXP_ONE), _mm512_mulhi_epu16(f, one));
    return _mm512_srlv_epi16(power, _mm512_srli_epi16(z, 11));
}

/* 16 (d[j] + 1/2) for the keys in the order of weigh. */
static inline vint places(void)
{

    return _mm512_set_epi16(248, 120, 184, 56, 248, 120, 184, 56, 216, 88, 152, 24, 216, 88, 152,
                            24, 232, 104, 168, 40, 232, 104, 168, 40, 200, 72, 136, 8, 200, 72, 136,
                            8);
}

/* A row of scores to weights; returns the lanes of their sum. */
static vint soften(const struct head *s, const float *scores, float most, float unit,
                   uint8_t *weights)
{
    const vec top = v_set(most);
    const vint place = places();
    const vint order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const vint last = _mm512_maskz_set1_epi8((UINT64_C(1) << s->len % 64) - 1, 1);
    vint sum = vi_zero();
    for (size_t j = 0; j < s->len; j += 4 * LANES) {
        const vint a = weigh(v_load(scores + j), v_load(scores + j + LANES), top, v_set(unit));
        const vint b =
            weigh(v_load(scores + j + 2 * LANES), v_load(scores + j + 3 * LANES), top, v_set(unit));
        const vint bytes = _mm512_packus_epi16(_mm512_srli_epi16(_mm512_add_epi16(a, place), 8),
                                               _mm512_srli_epi16(_mm512_add_epi16(b, place), 8));
        const vint w = _mm512_permutexvar_epi32(order, bytes);
        _mm512_storeu_si512(weights + j, w);
        sum = vi_dot(sum, w, s->len - j >= 64 ? _mm512_set1_epi8(1) : last);
    }
    return sum;
}

/* n_rows and n_vecs are constants where this is inlined. */
static inline __attribute__((always_inline)) void output_tile(const struct head *s,
                                                              size_t n_queries, size_t t,
                                                              int n_rows, int n_vecs, float *ctx,
                                                              size_t ld)
{
    vint sums[QUERIES][2];
#pragma GCC unroll 12
    for (int q = 0; q < n_rows; q++) {
#pragma GCC unroll 2
        for (int v = 0; v < n_vecs; v++) {
            sums[q][v] = vi_zero();
        }
    }
    for (size_t j = 0; j < s->len; j += 4) {
        const int8_t *at = s->values + (j * s->ld_values + 4 * t);
        vint values[2];
#pragma GCC unroll 2
        for (int v = 0; v < n_vecs; v++) {
            values[v] = vi_load(at + v * 4 * LANES);
        }
#pragma GCC unroll 12
        for (int q = 0; q < n_rows; q++) {
            const vint p = vi_four(s->weights + (size_t)q * s->ld_scores + j);
#pragma GCC unroll 2
            for (int v = 0; v < n_vecs; v++) {
                sums[q][v] = vi_dot(sums[q][v], p, values[v]);
            }
        }
    }
#pragma GCC unroll 2
    for (int v = 0; v < n_vecs; v++) {
        const size_t c = t + (size_t)v * LANES, left = s->d - c;
        const vec scale = v_load(s->value_scale + c), mid = v_load(s->value_mid + c);
#pragma GCC unroll 12
        for (int q = 0; q < n_rows; q++) {
            const vec out = v_fma(v_mul(v_of_ints(sums[q][v]), scale), v_set(s->share[q]), mid);
            if ((size_t)q >= n_queries) continue;
            if (left >= LANES) {
                v_store(ctx + (size_t)q * ld + c, out);
            } else {
                v_store_part(ctx + (size_t)q * ld + c, out, left);
            }
        }
    }
}

static void output(const struct head *s, size_t n_queries, float *ctx, size_t ld)
{
    size_t t = 0;
    for (; s->ld_values - t >= 2 * LANES; t += 2 * LANES) {
        if (n_queries > HALF) {
            output_tile(s, n_queries, t, QUERIES, 2, ctx, ld);
        } else {
            output_tile(s, n_queries, t, HALF, 2, ctx, ld);
        }
    }
    if (t < s->ld_values) output_tile(s, n_queries, t, QUERIES, 1, ctx, ld);
}

/* A head's columns are a row of all heads apart, farther than the processor prefetches: while one
 * head is computed, the next one's are fetched into the second cache. */
static void fetch(const struct attention_call *call, size_t head, size_t i, size_t n_rows)
{
    const size_t d = call->shape.d;
    for (; n_rows > 0; i++, n_rows--) {
        for (size_t t = head * d; t < (head + 1) * d; t += LANES) {
            _mm_prefetch((const char *)(call->q + i * call->ld_q + t), _MM_HINT_T1);
            _mm_prefetch((const char *)(call->k + i * call->ld_kv + t), _MM_HINT_T1);
            _mm_prefetch((const char *)(call->v + i * call->ld_kv + t), _MM_HINT_T1);
        }
    }
}

/* One block of queries of one head. bad: NaN if the keys have a value that is not finite. */
static void run_queries(const struct head *s, const float *q, size_t ld_q, size_t n_queries,
                        float unit, float bad, float *ctx, size_t ld)
{
    float units[16];
    float most[16];
    vint highest[16], sums[16];
    /* Common widths as constants: the loops over d are then unrolled. */
    const vec scales = s->d == 32   ? round_queries(s, 32, q, ld_q, n_queries)
                       : s->d == 64 ? round_queries(s, 64, q, ld_q, n_queries)
                                    : round_queries(s, s->d, q, ld_q, n_queries);
    const vec scaled = v_mul(v_add(scales, v_set(bad)), v_set(unit));
    for (size_t i = 0; i < 16; i++) {
        highest[i] = v_bits(v_set((float)NEVER));
        sums[i] = vi_zero();
    }
    score(s, 0, highest);
    if (n_queries > HALF) score(s, HALF, highest);
    v_store(units, scaled);
    v_store(most, _mm512_castsi512_ps(highest_across(highest)));
    for (size_t i = 0; i < n_queries; i++) {
        sums[i] = soften(s, s->scores + i * s->ld_scores, most[i], units[i],
                         s->weights + i * s->ld_scores);
    }
    const vec sum = v_of_ints(sum_across(sums));
    v_store(s->share, v_fma(scaled, v_set(0), v_div(v_set(1), sum)));
    output(s, n_queries, ctx, ld);
}

/* Scratch is the caller's and may hold anything: what is read beyond a document or a query is set
 * once. */
static void fill_ends(const struct head *s)
{
    for (size_t i = 0; i < QUERIES; i++) {
        for (size_t j = num_up(s->len, LANES); j < s->ld_scores; j += LANES) {
            v_store(s->scores + i * s->ld_scores + j, v_set((float)NEVER));
        }
    }
}

static float bad_keys(const struct head *s)
{
    vec bad = v_set(0);
    for (size_t t = 0; t < s->d; t += LANES) {
        bad = v_fma(load(s->key_mid + t, s->d - t), v_set(0), bad);
    }
    return v_sum(bad);
}

static void pack_head(const struct head *s, const float *k, const float *v, size_t ld)
{
    find_ranges(k, ld, s->len, s->d, s->key_scale, s->key_inverse, s->key_mid);
    find_ranges(v, ld, s->len, s->d, s->value_scale, s->value_inverse, s->value_mid);
    if (s->d == 32) {
        pack_keys(s, 32, k, ld);
        pack_values(s, 32, v, ld);
    } else if (s->d == 64) {
        pack_keys(s, 64, k, ld);
        pack_values(s, 64, v, ld);
    } else {
        pack_keys(s, s->d, k, ld);
        pack_values(s, s->d, v, ld);
    }
}

static void run(const struct attention_call *call)
{
    struct arena a;
    struct head s;
    if (!attention_is_int8(call)) {
        attention_f32_avx512.run(call);
        return;
    }
    const size_t d = call->shape.d, end = call->first_head + call->n_heads;
    arena_init(&a, call->scratch, bytes(&call->shape, call->len));
    head_layout(&a, &s, call->len, d);
    fill_ends(&s);
    for (size_t head = call->first_head; head < end; head++) {
        pack_head(&s, call->k + head * d, call->v + head * d, call->ld_kv);
        const float bad = bad_keys(&s);
        for (size_t i = 0; i < call->n_queries; i += QUERIES) {
            const size_t n_queries = num_min(QUERIES, call->n_queries - i);
            if (head + 1 < end) fetch(call, head + 1, i, n_queries);
            run_queries(&s, call->q + i * call->ld_q + head * d, call->ld_q, n_queries,
                        int8_unit(call->shape.divisor), bad,
                        call->ctx + i * call->ld_ctx + head * d, call->ld_ctx);
        }
    }
}

const struct attention_kernel attention_int8_vnni = {.bytes = bytes, .run = run};
