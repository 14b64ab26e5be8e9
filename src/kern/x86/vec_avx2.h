/* vec_avx2: eight floats at a time, in the words that the kernels' bodies are written in.
 *
 * For the files compiled with AVX2 and FMA. vec_avx512.h has the same words for sixteen floats; a body
 * (attention_f32_x86.inc, rowops_f32_x86.inc) is included after one of them. A partial load or store
 * touches no byte beyond its n floats. Sums across lanes are in a fixed order. */
#ifndef KERN_VEC_AVX2_H
#define KERN_VEC_AVX2_H

#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#define KERNEL_NAME(op) op##_f32_avx2

typedef __m256 vec;
enum {
    LANES = 8,
    TILE_VECS = 2, /* 6 x 2 sums, 2 columns and a row's value: 15 of 16 registers */
    /* A tile prefetches the lines of its outputs when it begins: 1 to 1.5 % faster on Zen 1. */
    FETCH_OUTPUTS = 1,
};

static inline vec v_set(float a)
{
    return _mm256_set1_ps(a);
}
static inline vec v_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
static inline void v_store(float *p, vec a)
{
    _mm256_storeu_ps(p, a);
}
static inline vec v_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}
static inline vec v_sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}
static inline vec v_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}
static inline vec v_div(vec a, vec b)
{
    return _mm256_div_ps(a, b);
}
static inline vec v_max(vec a, vec b)
{
    return _mm256_max_ps(a, b);
}
/* The greater of each pair, b of equal ones; a NaN in either. The instruction gives b where one is a
 * NaN. */
static inline vec v_raise(vec a, vec b)
{
    return _mm256_blendv_ps(v_max(a, b), a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
}
static inline vec v_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
} /* a * b + c */
static inline vec v_fnma(vec a, vec b, vec c)
{
    return _mm256_fnmadd_ps(a, b, c);
} /* c - a * b */
static inline vec v_abs(vec a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}

/* The first n lanes, 0 < n <= LANES. */
static inline __m256i v_first(size_t n)
{
    static const int32_t window[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    return _mm256_loadu_si256((const __m256i *)(const void *)(window + LANES - n));
}

static inline vec v_load_part(const float *p, size_t n)
{
    return _mm256_maskload_ps(p, v_first(n));
}

static inline void v_store_part(float *p, vec a, size_t n)
{
    _mm256_maskstore_ps(p, v_first(n), a);
}

/* a in the first n lanes, b in the others. */
static inline vec v_pick(vec a, vec b, size_t n)
{
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(v_first(n)));
}

/* a in the lanes where x has a sign, b in the others. */
static inline vec v_if_negative(vec x, vec a, vec b)
{
    return _mm256_blendv_ps(b, a, x);
}

static inline float v_sum(vec a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/* 2^x for x <= 0; results below 2^-126 are a denormal number or zero. NaN stays NaN. x = n + f with
 * n an integer and |f| <= 1/2; 2^f is the polynomial of degree 5 of least relative error (Remez
 * exchange, the constant term then set to 1 so that 2^0 = 1): off by at most 2.2e-7 of the value,
 * rounding included. Adding 1.5 * 2^23 rounds to an integer in the low bits of the sum; it goes to
 * the exponent. */
static inline vec v_exp2_negative(vec x)
{
    x = v_max(v_set(-127.0f),
              x); /* in this order a NaN stays; at -127 exponent and fraction are zero */
    const vec magic = v_set(0x1.8p23f);
    const vec shifted = v_add(x, magic);
    const vec f = v_sub(x, v_sub(shifted, magic));
    vec p = v_set(0x1.5c08e6p-10f);
    p = v_fma(p, f, v_set(0x1.3d0c52p-7f));
    p = v_fma(p, f, v_set(0x1.c6b6e4p-5f));
    p = v_fma(p, f, v_set(0x1.ebf918p-3f));
    p = v_fma(p, f, v_set(0x1.62e428p-1f));
    p = v_fma(p, f, v_set(1.0f));
    const __m256i n = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), n));
}

/* column[c] lane i = row[i][c], for c < LANES. The loads bring halves to their positions; then four
 * by four inside them. */
static inline void v_load_columns(const float *const row[LANES], vec column[LANES])
{
    for (int c = 0; c < LANES; c += 4) {
        __m256 a[4];
        for (int i = 0; i < 4; i++) {
            a[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(row[i] + c)),
                                        _mm_loadu_ps(row[4 + i] + c), 1);
        }
        const __m256 low01 = _mm256_unpacklo_ps(a[0], a[1]),
                     high01 = _mm256_unpackhi_ps(a[0], a[1]);
        const __m256 low23 = _mm256_unpacklo_ps(a[2], a[3]),
                     high23 = _mm256_unpackhi_ps(a[2], a[3]);
        column[c] = _mm256_shuffle_ps(low01, low23, 0x44);
        column[c + 1] = _mm256_shuffle_ps(low01, low23, 0xee);
        column[c + 2] = _mm256_shuffle_ps(high01, high23, 0x44);
        column[c + 3] = _mm256_shuffle_ps(high01, high23, 0xee);
    }
}

/* ---- bfloat16 (kern/bf16.h) ---- */

/* 1, unknown to the compiler: a product with it makes denormals zeros, where MXCSR says so, and
 * NaNs quiet. */
static inline vec v_one(void)
{
    vec one = v_set(1.0f);
    __asm__("" : "+x"(one));
    return one;
}

/* Each lane rounded as by bf16_round, widened again. For results of arithmetic: no denormals, and
 * NaNs quiet. */
static inline vec v_round_bf16(vec a)
{
    const __m256i u = _mm256_castps_si256(a);
    const __m256i half =
        _mm256_add_epi32(_mm256_set1_epi32(0x7fff),
                         _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1)));
    const __m256 number = _mm256_cmp_ps(a, a, _CMP_ORD_Q);
    const __m256i more = _mm256_and_si256(half, _mm256_castps_si256(number));
    return _mm256_castsi256_ps(
        _mm256_and_si256(_mm256_add_epi32(u, more), _mm256_set1_epi32(-0x10000)));
}

/* Of LANES pairs of bfloat16, the second or the first, widened. */
static inline vec v_odd_bf16(const uint16_t *pairs)
{
    const __m256i u = _mm256_loadu_si256((const __m256i *)(const void *)pairs);
    return _mm256_castsi256_ps(_mm256_and_si256(u, _mm256_set1_epi32(-0x10000)));
}
static inline vec v_even_bf16(const uint16_t *pairs)
{
    const __m256i u = _mm256_loadu_si256((const __m256i *)(const void *)pairs);
    return _mm256_castsi256_ps(_mm256_slli_epi32(u, 16));
}

/* 2^x for x <= 0, to the nearest bfloat16 except for 8.6e-5 of the value; 2^0 is 1, and results
 * below 2^-126 are 2^-126. The polynomial and the rounding are vec_avx512.h's. */
static inline vec v_exp2_bf16(vec x)
{
    x = v_max(v_set(-126.0f), x); /* in this order a NaN stays one */
    const vec n = _mm256_floor_ps(x), f = v_sub(x, n);
    vec p = v_set(0x1.3baaa6p-4f);
    p = v_fma(p, f, v_set(0x1.d2378ap-3f));
    p = v_fma(p, f, v_set(0x1.63e658p-1f));
    p = v_fma(p, f, v_set(1 + 0x1.8p16f));
    const __m256i shift = _mm256_slli_epi32(_mm256_cvttps_epi32(n), 23);
    p = v_sub(p, v_set(0x1.8p16f));
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), shift));
}

/* a, but 0 in the lanes where x is -infinity. */
static inline vec v_unless_lowest(vec a, vec x)
{
    return _mm256_andnot_ps(_mm256_cmp_ps(x, v_set(-INFINITY), _CMP_EQ_OQ), a);
}

/* rows[i][j] becomes rows[j][i]. */
static inline void v_transpose(vec rows[LANES])
{
    __m256 a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
        a[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
        b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
        b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
        b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        rows[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
        rows[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
    }
}

#endif
