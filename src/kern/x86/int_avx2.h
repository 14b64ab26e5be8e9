/* int_avx2: integers next to vec_avx2.h's floats: eight of 32 bits, or 32 bytes.
 *
 * int_avx512.h has the same words for AVX-512 with VNNI. */
#ifndef KERN_INT_AVX2_H
#define KERN_INT_AVX2_H

#include "vec_avx2.h"

typedef __m256i vint;

static inline vint vi_zero(void)
{
    return _mm256_setzero_si256();
}
static inline vint vi_load(const void *p)
{
    return _mm256_loadu_si256(p);
}
/* Four bytes into every lane. */
static inline vint vi_four(const void *p)
{
    int32_t four;
    __builtin_memcpy(&four, p, sizeof four);
    return _mm256_set1_epi32(four);
}
/* sum + the products of each lane's four bytes, a's unsigned, b's signed. Here each pair of
 * products is added in 16 bits: |a b + a' b'| must stay below 2^15. */
static inline vint vi_dot(vint sum, vint a, vint b)
{
    return _mm256_add_epi32(sum,
                            _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1)));
}
/* A float's bits, and integers as floats. */
static inline vint v_bits(vec a)
{
    return _mm256_castps_si256(a);
}
static inline vec v_of_ints(vint a)
{
    return _mm256_cvtepi32_ps(a);
}
/* The nearest integers, halves to even. */
static inline vint v_nearest(vec a)
{
    return _mm256_cvtps_epi32(a);
}
static inline vint vi_max(vint a, vint b)
{
    return _mm256_max_epi32(a, b);
}
static inline vint vi_max_unsigned(vint a, vint b)
{
    return _mm256_max_epu32(a, b);
}
static inline int32_t vi_highest(vint a)
{
    __m128i s = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    s = _mm_max_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}
static inline int32_t vi_highest_unsigned(vint a)
{
    __m128i s = _mm_max_epu32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    s = _mm_max_epu32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epu32(s, _mm_shuffle_epi32(s, 0xb1)));
}
/* Stores 4 * LANES integers as bytes, clamped to [0, 255]. */
static inline void vi_store_bytes(uint8_t *to, vint a, vint b, vint c, vint d)
{
    const vint bytes = _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    const vint order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256((__m256i *)(void *)to, _mm256_permutevar8x32_epi32(bytes, order));
}

/* int8_rotate on sixteen vectors. */
static inline __attribute__((always_inline)) void v_rotate(const float *in, vec x[128 / LANES])
{
    for (int i = 0; i < 16; i++) {
        x[i] = v_load(in + 8 * i);
    }
    static const int distances[4] = {2, 4, 8, 1};
#pragma GCC unroll 4
    for (int s = 0; s < 4; s++) {
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            const int j = i + distances[s];
            if (i & distances[s]) continue;
            const vec a = x[i], b = x[j];
            x[i] = v_add(a, b);
            x[j] = v_sub(a, b);
        }
    }
}

#endif
