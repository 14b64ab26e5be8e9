/* vec_avx512: sixteen floats at a time, in the words that the kernels' bodies are written in.
 *
 * For the files compiled with AVX-512 F, BW, DQ and VL. See vec_avx2.h, which says what the words mean. */
#ifndef KERN_VEC_AVX512_H
#define KERN_VEC_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define KERNEL_NAME(op) op##_f32_avx512
#define KERNEL_SIZE(op) op##_avx512

typedef __m512 vec;
enum { LANES = 16, TILE_VECS = 4 }; /* 6 x 4 sums, 4 columns: 28 of 32 registers */

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
static inline vec v_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
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

/* The compiler's own reductions leave the order to the compiler; these do not. */
static inline float v_sum(vec a)
{
    __m512 s = _mm512_add_ps(a, _mm512_shuffle_f32x4(a, a, 0x4e));
    s = _mm512_add_ps(s, _mm512_shuffle_f32x4(s, s, 0xb1));
    __m128 t = _mm512_castps512_ps128(s);
    t = _mm_add_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_add_ss(t, _mm_movehdup_ps(t)));
}

static inline float v_highest(vec a)
{
    __m512 s = _mm512_max_ps(a, _mm512_shuffle_f32x4(a, a, 0x4e));
    s = _mm512_max_ps(s, _mm512_shuffle_f32x4(s, s, 0xb1));
    __m128 t = _mm512_castps512_ps128(s);
    t = _mm_max_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_max_ss(t, _mm_movehdup_ps(t)));
}

static inline vec v_scale2(vec a, vec shifted)
{
    const __m512i n = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), n));
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
