/* gemm in bfloat16, avx512 with VDPBF16PS: the body of gemm_bf16_x86.inc; and whether that instruction
 * does what bf16.h says. */
#include "vec_avx512.h"

#define BF16_NAME(op) op##_bf16_dot_avx512

#include "kern/kernels.h"

#include "bf16_dot.inc"

#include "gemm_bf16_x86.inc"

/* Lanes of pairs and sums of similar size, so that order, each rounding and cancellation matter;
 * now and then at the ends of the exponent's range. */
struct trial {
    uint32_t a[LANES], b[LANES]; /* pairs */
    float sum[LANES];
};

static void draw(struct trial *trial, uint64_t *state, uint32_t exponent)
{
    uint32_t words[3 * LANES];
    for (size_t i = 0; i < 3 * LANES; i++) {
        *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        words[i] = (uint32_t)(*state >> 32);
    }
    for (size_t i = 0; i < LANES; i++) {
        trial->a[i] = (words[3 * i] & 0x80ff80ff) + (exponent << 23 | exponent << 7);
        trial->b[i] = (words[3 * i + 1] & 0x80ff80ff) + (UINT32_C(127) << 23 | UINT32_C(127) << 7);
        const uint32_t sum = (words[3 * i + 2] & 0x81ffffff) + (exponent << 23);
        memcpy(&trial->sum[i], &sum, sizeof sum);
    }
}

/* Both ways; noinline because of MXCSR. */
static __attribute__((noinline)) bool same(const struct trial *t)
{
    const vec sum = v_load(t->sum);
    const vec dot = items_step(items_load(t->a), items_load(t->b), sum);
    const uint16_t *a = (const uint16_t *)(const void *)t->a,
                   *b = (const uint16_t *)(const void *)t->b;
    const vec odd = v_fma(v_odd_bf16(a), v_odd_bf16(b), sum);
    const vec both = v_fma(v_even_bf16(a), v_even_bf16(b), odd);
    return _mm512_cmpneq_epi32_mask(_mm512_castps_si512(dot), _mm512_castps_si512(both)) == 0;
}

bool bf16_dot_agrees(void)
{
    static const uint32_t exponents[] = {126, 126, 126, 0, 1, 60, 251};
    uint64_t state = 1;
    bool agrees = true;
    for (int i = 0; i < 256 && agrees; i++) {
        struct trial trial;
        draw(&trial, &state, exponents[i % 7]);
        const unsigned mxcsr = flush_begin();
        agrees = same(&trial);
        flush_end(mxcsr);
    }
    return agrees;
}
