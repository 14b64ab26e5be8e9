/* kern_kit: see the header. */
#include "kern_kit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

const struct kern *kit_kern(void)
{
    const struct kern *kern = NULL;
    vecmill_err err;
    const char *isa = getenv("VECMILL_ISA");
    for (int i = 0; isa && i < KERN_LEVELS; i++) {
        if (strcmp(isa, kern_level_name((enum kern_level)i)) == 0 &&
            (enum kern_level)i > kern_machine_level()) {
            printf("skipped: this machine has no %s\n", isa);
            exit(77);
        }
    }
    if (kern_select(NULL, &kern, &err) != VECMILL_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    return kern;
}

int kit_times(int n)
{
    if (!getenv("VECMILL_TEST_QUICK")) return n;
    return n >= 10 ? n / 10 : 1;
}

static uint64_t next(struct kit_random *r)
{
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return r->state * UINT64_C(2685821657736338717);
}

uint32_t kit_below(struct kit_random *r, uint32_t n)
{
    return (uint32_t)((next(r) >> 32) * n >> 32);
}

float kit_unit(struct kit_random *r)
{
    return (float)(next(r) >> 40) * 0x1p-23f - 1.0f;
}

float kit_normal(struct kit_random *r)
{
    float sum = 0;
    for (int i = 0; i < 12; i++) {
        sum += kit_unit(r);
    }
    return sum * 0.5f; /* twelve variances of 1/3, halved values: variance 1 */
}

/* ---- guarded memory ---- */

#define PAGE ((size_t)4096)

static struct {
    void *map;
    size_t bytes;
} maps[256];
static size_t n_maps;

void *kit_bytes(size_t bytes, size_t align)
{
    const size_t room = num_up(num_up(bytes, align), PAGE) + PAGE;
    char *map = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || n_maps == sizeof maps / sizeof *maps ||
        mprotect(map + room - PAGE, PAGE, PROT_NONE) != 0) {
        fail_msg("no guarded memory: %zu bytes, %zu maps", bytes, n_maps);
    }
    maps[n_maps].map = map;
    maps[n_maps++].bytes = room;
    return map + room - PAGE - num_up(bytes, align);
}

float *kit_floats(size_t n)
{
    return kit_bytes(n * sizeof(float), sizeof(float));
}

void kit_free(void)
{
    while (n_maps) {
        n_maps--;
        munmap(maps[n_maps].map, maps[n_maps].bytes);
    }
}

float *kit_copy(const float *from, size_t n)
{
    float *to = kit_floats(n);
    memcpy(to, from, n * sizeof *to);
    return to;
}

/* ---- comparing ---- */

void kit_near(const char *what, const float *got, const float *want, size_t n, double bound)
{
    for (size_t i = 0; i < n; i++) {
        if (!(fabs((double)got[i] - (double)want[i]) <= bound)) {
            fail_msg("%s: value %zu of %zu is %.9g, the reference says %.9g, allowed are %.3g",
                     what, i, n, (double)got[i], (double)want[i], bound);
        }
    }
}

int kit_end(const char *name, int n_tests, int n_failed)
{
    kit_free();
    printf("%s: %d passed, %d failed\n", name, n_tests - n_failed, n_failed);
    return n_failed ? 1 : 0;
}

struct attention_shape kit_shape(uint32_t heads, uint32_t d)
{
    return (struct attention_shape){
        .heads = heads,
        .kv_heads = heads,
        .d = d,
        .divisor = sqrtf((float)d),
        .window = ATTENTION_ALL,
    };
}

struct attention_call kit_call(const float *qkv, uint32_t len, uint32_t heads, uint32_t d,
                               float *ctx, void *scratch)
{
    const size_t h = (size_t)heads * d;
    return (struct attention_call){
        .shape = kit_shape(heads, d),
        .q = qkv,
        .k = qkv + h,
        .v = qkv + 2 * h,
        .ld_q = 3 * h,
        .ld_kv = 3 * h,
        .ctx = ctx,
        .ld_ctx = h,
        .len = len,
        .n_queries = len,
        .n_heads = heads,
        .scratch = scratch,
    };
}

void kit_attention(const struct kern *kern, enum kern_precision precision, const float *qkv,
                   uint32_t len, uint32_t heads, uint32_t d, float *ctx, void *scratch)
{
    const struct attention_call call = kit_call(qkv, len, heads, d, ctx, scratch);
    attention_run(kern, precision, &call);
}

size_t kit_attention_bytes(const struct kern *kern, enum kern_precision precision, uint32_t longest,
                           uint32_t d)
{
    const struct attention_shape shape = kit_shape(1, d);
    return attention_bytes(kern, precision, &shape, longest);
}

struct attention_shape kit_random_shape(struct kit_random *r, uint32_t len)
{
    static const uint32_t widths[] = {1, 7, 8, 16, 32, 33, 64, 80, 128, 256, 512};
    struct attention_shape s = kit_shape(1, widths[kit_below(r, sizeof widths / sizeof *widths)]);
    const uint32_t windows[] = {0,
                                1,
                                2 + kit_below(r, 30) * 2,
                                3 + kit_below(r, 30) * 2,
                                len / 3,
                                len,
                                ATTENTION_ALL,
                                ATTENTION_ALL};
    s.kv_heads = 1 + kit_below(r, s.d > 64 ? 1 : 3);
    s.heads = s.kv_heads * (1 + kit_below(r, s.d > 64 ? 2 : 4));
    s.window = windows[kit_below(r, sizeof windows / sizeof *windows)];
    s.causal = kit_below(r, 3) == 0;
    s.bias = (enum attention_bias)kit_below(r, 3);
    s.span = s.bias == ATTENTION_TABLE ? kit_below(r, kit_below(r, 2) ? 4 : 2 * len) : 0;
    if (kit_below(r, 5) == 0) s.divisor = 1;
    return s;
}

float *kit_random_bias(struct kit_random *r, const struct attention_shape *shape)
{
    if (shape->bias == ATTENTION_PLAIN || shape->bias == ATTENTION_RELATIVE) return NULL;
    const bool is_table = shape->bias == ATTENTION_TABLE;
    const size_t n = shape->heads * (is_table ? 2 * (size_t)shape->span + 1 : 1);
    float *bias = kit_floats(n);
    for (size_t i = 0; i < n; i++) {
        bias[i] = is_table ? kit_normal(r) : 0.5f + 0.499f * kit_unit(r);
    }
    return bias;
}
