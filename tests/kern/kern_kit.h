/* kern_kit: what the kernels' tests share: the level under test, random numbers, guarded memory. */
#ifndef KERN_KIT_H
#define KERN_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kern/kern.h"

/* Selects the level that VECMILL_ISA names; where this machine lacks it, says so and ends the program
 * with 77 (skipped). */
const struct kern *kit_kern(void);

/* Fewer shapes when VECMILL_TEST_QUICK is set (slow machines: emulators): n / 10, at least 1. */
int kit_times(int n);

/* A generator that the test owns (xorshift64*), seeded with a constant so that failures repeat. */
struct kit_random {
    uint64_t state;
};
uint32_t kit_below(struct kit_random *r, uint32_t n);
float kit_unit(struct kit_random *r);   /* uniform in [-1, 1) */
float kit_normal(struct kit_random *r); /* about normal: mean 0, variance 1 */

/* Attention of a whole document, all heads, as BERT has it: nothing but softmax, and in a row of qkv all
 * heads' queries, then keys, then values. */
struct attention_shape kit_shape(uint32_t heads, uint32_t d);
struct attention_call kit_call(const float *qkv, uint32_t len, uint32_t heads, uint32_t d,
                               float *ctx, void *scratch);
void kit_attention(const struct kern *kern, enum kern_precision precision, const float *qkv,
                   uint32_t len, uint32_t heads, uint32_t d, float *ctx, void *scratch);
size_t kit_attention_bytes(const struct kern *kern, enum kern_precision precision, uint32_t longest,
                           uint32_t d);

/* Any shape that a layer may have; heads are few where they are wide. And a bias for it: slopes in
 * (0, 1), a table of about normal numbers, or NULL. */
struct attention_shape kit_random_shape(struct kit_random *r, uint32_t len);
float *kit_random_bias(struct kit_random *r, const struct attention_shape *shape);

/* n floats that end at an inaccessible page: one byte read or written beyond them is a fault. Freed
 * all at once by kit_free. */
float *kit_floats(size_t n);
void *kit_bytes(size_t bytes, size_t align);
void kit_free(void);

/* A copy of n floats, ended likewise. */
float *kit_copy(const float *from, size_t n);

/* Fails the test, naming `what` and the index, when |got - want| > bound for any of n values. */
void kit_near(const char *what, const float *got, const float *want, size_t n, double bound);

/* Ends the program: prints "<name>: N passed, N failed" and returns the exit code. */
int kit_end(const char *name, int n_tests, int n_failed);

#endif
