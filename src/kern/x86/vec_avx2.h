/* vec_avx2: eight floats at a time, in the words that the kernels' bodies are written in.
 *
 * For the files compiled with AVX2 and FMA. vec_avx512.h has the same words for sixteen floats; a body
 * (attention_f32_x86.inc, rowops_f32_x86.inc) is included after one of them. A partial load or store
 * touches no byte beyond its n floats. Sums across lanes are in a fixed order. */
#ifndef KERN_VEC_AVX2_H
#define KERN_VEC_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define KERNEL_NAME(op) op##_f32_avx2
#define KERNEL_SIZE(op) op##_avx2

typedef __m256 vec;
enum { LANES = 8, TILE_VECS = 2 }; /* 6 x 2 sums, 2 columns and a row's value: 15 of 16 registers */

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
static inline vec v_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
} /* a * b + c */

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

static inline float v_sum(vec a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

static inline float v_highest(vec a)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

/* a * 2^n, where n was made an integer by adding 1.5 * 2^23: `shifted` still holds that sum, whose low
 * bits are n. For -126 <= n <= 0 and a in [0.7, 1.5) with a normal result. */
static inline vec v_scale2(vec a, vec shifted)
{
    const __m256i n = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), n));
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
