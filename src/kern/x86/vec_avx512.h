/* vec_avx512: sixteen floats at a time, in the words that the kernels' bodies are written in.
 *
 * For the files compiled with AVX-512 F, BW, DQ and VL. vec_avx2.h defines the words. */
#ifndef KERN_VEC_AVX512_H
#define KERN_VEC_AVX512_H

#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#define KERNEL_NAME(op) op##_f32_avx512

typedef __m512 vec;
enum {
    LANES = 16,
    TILE_VECS = 4, /* 6 x 4 sums, 4 columns: 28 of 32 registers */
    /* A tile prefetches the lines of its outputs when it begins: 1 to 5 % slower on Sapphire
     * Rapids. */
    FETCH_OUTPUTS = 0,
};

static inline vec v_set(float a)
{
    return _mm512_set1_ps(a);
}
static inline vec v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
static inline void v_store(float *p, vec a)
{
    _mm512_storeu_ps(p, a);
}
static inline vec v_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}
static inline vec v_sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}
static inline vec v_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}
static inline vec v_div(vec a, vec b)
{
    return _mm512_div_ps(a, b);
}
static inline vec v_max(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}
static inline vec v_raise(vec a, vec b)
{
    return _mm512_mask_max_ps(a, _mm512_cmp_ps_mask(a, a, _CMP_ORD_Q), a, b);
}
static inline vec v_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}
static inline vec v_fnma(vec a, vec b, vec c)
{
    return _mm512_fnmadd_ps(a, b, c);
}
static inline vec v_abs(vec a)
{
    return _mm512_abs_ps(a);
}

static inline __mmask16 v_first(size_t n)
{
    return (__mmask16)(0xffffu >> (LANES - n));
}

static inline vec v_load_part(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(v_first(n), p);
}

static inline void v_store_part(float *p, vec a, size_t n)
{
    _mm512_mask_storeu_ps(p, v_first(n), a);
}

static inline vec v_pick(vec a, vec b, size_t n)
{
    return _mm512_mask_mov_ps(b, v_first(n), a);
}

static inline vec v_if_negative(vec x, vec a, vec b)
{
    return _mm512_mask_mov_ps(b, _mm512_movepi32_mask(_mm512_castps_si512(x)), a);
}

/* The compiler's own reductions leave the order to the compiler; these do not. */
static inline float v_sum(vec a)
{
    __m512 s = _mm512_add_ps(a, _mm512_shuffle_f32x4(a, a, 0x4e));
    s = _mm512_add_ps(s, _mm512_shuffle_f32x4(s, s, 0xb1));
    __m128 t = _mm512_castps512_ps128(s);
    t = _mm_add_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_add_ss(t, _mm_movehdup_ps(t)));
}

/* The fraction is [0, 1), the polynomial of 2^f exactly 1 at 0 and off by at most 9.4e-8 of the value
 * (Remez exchange); vscalefps multiplies by 2 to the floor of x. */
static inline vec v_exp2_negative(vec x)
{
    const vec f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    vec p = v_set(0x1.e974fap-10f);
    p = v_fma(p, f, v_set(0x1.277856p-7f));
    p = v_fma(p, f, v_set(0x1.c91ce6p-5f));
    p = v_fma(p, f, v_set(0x1.ebdb56p-3f));
    p = v_fma(p, f, v_set(0x1.62e4bap-1f));
    p = v_fma(p, f, v_set(1.0f));
    return _mm512_scalef_ps(p, x);
}

/* The loads bring lanes of 128 bits to their positions; then four by four inside them. */
static inline void v_load_columns(const float *const row[LANES], vec column[LANES])
{
    for (int c = 0; c < LANES; c += 4) {
        __m512 a[4];
        for (int i = 0; i < 4; i++) {
            a[i] = _mm512_broadcast_f32x4(_mm_loadu_ps(row[i] + c));
            a[i] = _mm512_mask_broadcast_f32x4(a[i], 0x00f0, _mm_loadu_ps(row[4 + i] + c));
            a[i] = _mm512_mask_broadcast_f32x4(a[i], 0x0f00, _mm_loadu_ps(row[8 + i] + c));
            a[i] = _mm512_mask_broadcast_f32x4(a[i], 0xf000, _mm_loadu_ps(row[12 + i] + c));
        }
        const __m512 low01 = _mm512_unpacklo_ps(a[0], a[1]),
                     high01 = _mm512_unpackhi_ps(a[0], a[1]);
        const __m512 low23 = _mm512_unpacklo_ps(a[2], a[3]),
                     high23 = _mm512_unpackhi_ps(a[2], a[3]);
        column[c] = _mm512_shuffle_ps(low01, low23, 0x44);
        column[c + 1] = _mm512_shuffle_ps(low01, low23, 0xee);
        column[c + 2] = _mm512_shuffle_ps(high01, high23, 0x44);
        column[c + 3] = _mm512_shuffle_ps(high01, high23, 0xee);
    }
}

/* ---- bfloat16 (kern/bf16.h) ---- */

/* 1, unknown to the compiler: a product with it makes denormals zeros, where MXCSR says so, and
 * NaNs quiet. */
static inline vec v_one(void)
{
    vec one = v_set(1.0f);
    __asm__("" : "+v"(one));
    return one;
}

/* Each lane rounded as by bf16_round, widened again. For results of arithmetic: no denormals, and
 * NaNs quiet. */
static inline vec v_round_bf16(vec a)
{
    const __m512i u = _mm512_castps_si512(a);
    const __mmask16 number = _mm512_cmp_ps_mask(a, a, _CMP_ORD_Q);
    const __mmask16 odd = _mm512_mask_test_epi32_mask(number, u, _mm512_set1_epi32(0x10000));
    __m512i near = _mm512_mask_add_epi32(u, number, u, _mm512_set1_epi32(0x7fff));
    near = _mm512_mask_add_epi32(near, odd, near, _mm512_set1_epi32(1));
    return _mm512_castsi512_ps(_mm512_and_si512(near, _mm512_set1_epi32(-0x10000)));
}

/* Of LANES pairs of bfloat16, the second or the first, widened. */
static inline vec v_odd_bf16(const uint16_t *pairs)
{
    const __m512i u = _mm512_loadu_si512(pairs);
    return _mm512_castsi512_ps(_mm512_and_si512(u, _mm512_set1_epi32(-0x10000)));
}
static inline vec v_even_bf16(const uint16_t *pairs)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(pairs), 16));
}

/* 2^x for x <= 0, to the nearest bfloat16 except for 8.6e-5 of the value; 2^0 is 1, and results
 * below 2^-126 are 0 where denormals are. The fraction f of x is in [0, 1); 2^f is the polynomial
 * of degree 3 of least relative error that is 1 at 0 (Remez exchange). Its last step also adds 1.5
 * * 2^16, where a float's last place is 2^-7, which is a bfloat16's between 1 and 2: this does the
 * rounding. VSCALEFPS multiplies by 2 to the floor of x. */
static inline vec v_exp2_bf16(vec x)
{
    const vec f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    vec p = v_set(0x1.3baaa6p-4f);
    p = v_fma(p, f, v_set(0x1.d2378ap-3f));
    p = v_fma(p, f, v_set(0x1.63e658p-1f));
    p = v_fma(p, f, v_set(1 + 0x1.8p16f));
    return _mm512_scalef_ps(v_sub(p, v_set(0x1.8p16f)), x);
}

static inline vec v_unless_lowest(vec a, vec x)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, v_set(-INFINITY), _CMP_NEQ_UQ), a);
}

/* Four by four inside the 128-bit lanes, then the lanes themselves four by four. */
static inline void v_transpose(vec rows[LANES])
{
    __m512 a[16], b[16];
    for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
        a[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        b[i] = _mm512_shuffle_ps(a[i], a[i + 2], 0x44);
        b[i + 1] = _mm512_shuffle_ps(a[i], a[i + 2], 0xee);
        b[i + 2] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0x44);
        b[i + 3] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        const __m512 even0 = _mm512_shuffle_f32x4(b[i], b[i + 4], 0x88);
        const __m512 odd0 = _mm512_shuffle_f32x4(b[i], b[i + 4], 0xdd);
        const __m512 even1 = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0x88);
        const __m512 odd1 = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0xdd);
        rows[i] = _mm512_shuffle_f32x4(even0, even1, 0x88);
        rows[i + 4] = _mm512_shuffle_f32x4(odd0, odd1, 0x88);
        rows[i + 8] = _mm512_shuffle_f32x4(even0, even1, 0xdd);
        rows[i + 12] = _mm512_shuffle_f32x4(odd0, odd1, 0xdd);
    }
}

#endif
