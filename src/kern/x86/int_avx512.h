/* int_avx512: integers next to vec_avx512.h's floats: sixteen of 32 bits, or 64 bytes.
 *
 * For the files compiled with AVX-512 VNNI. int_avx2.h defines the words. */
#ifndef KERN_INT_AVX512_H
#define KERN_INT_AVX512_H

#include "vec_avx512.h"

typedef __m512i vint;

static inline vint vi_zero(void)
{
    return _mm512_setzero_si512();
}
static inline vint vi_load(const void *p)
{
    return _mm512_loadu_si512(p);
}
static inline vint vi_four(const void *p)
{
    int32_t four;
    __builtin_memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
}
/* Inline assembly: around its own intrinsic gcc 12 copies every sum and stores it, at half the
 * speed. */
static inline vint vi_dot(vint sum, vint a, vint b)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
}
static inline vint v_bits(vec a)
{
    return _mm512_castps_si512(a);
}
static inline vec v_of_ints(vint a)
{
    return _mm512_cvtepi32_ps(a);
}
static inline vint v_nearest(vec a)
{
    return _mm512_cvtps_epi32(a);
}
static inline vint vi_max(vint a, vint b)
{
    return _mm512_max_epi32(a, b);
}
static inline vint vi_max_unsigned(vint a, vint b)
{
    return _mm512_max_epu32(a, b);
}
static inline int32_t vi_highest(vint a)
{
    return _mm512_reduce_max_epi32(a);
}
static inline int32_t vi_highest_unsigned(vint a)
{
    return (int32_t)_mm512_reduce_max_epu32(a);
}
static inline vint vi_bytes(vint a, vint b, vint c, vint d)
{
    const vint bytes = _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
    const vint order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, bytes);
}
static inline void vi_store_bytes(uint8_t *to, vint a, vint b, vint c, vint d)
{
    _mm512_storeu_si512(to, vi_bytes(a, b, c, d));
}

/* int8_rotate on eight vectors; values at distance 8 are the halves of one. */
static inline __attribute__((always_inline)) void v_rotate(const float *in, vec x[128 / LANES])
{
    for (int i = 0; i < 8; i++) {
        x[i] = v_load(in + 16 * i);
    }
#pragma GCC unroll 3
    for (int distance = 1; distance < 8; distance *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            if (i & distance) continue;
            const vec a = x[i], b = x[i + distance];
            x[i] = v_add(a, b);
            x[i + distance] = v_sub(a, b);
        }
    }
    const vec sign = _mm512_mask_mov_ps(v_set(1), 0xff00, v_set(-1));
    for (int i = 0; i < 8; i++) {
        x[i] = v_fma(x[i], sign, _mm512_shuffle_f32x4(x[i], x[i], 0x4e));
    }
}

#endif
