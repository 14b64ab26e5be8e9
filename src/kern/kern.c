/* kern: which kernels does this process compute with?
 *
 * The tables are built from kernels.def. The first call selects a level for the process. The only
 * mutable globals are the selection, which is written once under a mutex, and what is filled once: the
 * tables' variants and the signatures. */
#include "kern.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels.h"

static struct kern tables[KERN_LEVELS] = {
#define KERNEL(name, LEVEL, level, tolerance, file) [KERN_##LEVEL].name = name##_f32_##level,
#define ATTENTION(PRECISION, LEVEL, variant, NEEDS, tolerance, file)
#define GEMM(PRECISION, LEVEL, variant, NEEDS, tolerance, gelu, file)
#include "kernels.def"
#undef KERNEL
#undef ATTENTION
#undef GEMM
    [KERN_REF].level = KERN_REF,       [KERN_REF].name = "ref",
#if defined(__x86_64__)
    [KERN_AVX2].level = KERN_AVX2,     [KERN_AVX2].name = "avx2",
    [KERN_AVX512].level = KERN_AVX512, [KERN_AVX512].name = "avx512",
#endif
};

/* Of a level's lines of one precision the last counts whose needs the processor meets. */
static void fill_tables(void)
{
#define KERNEL(op, LEVEL, level, tolerance, file)
#define ATTENTION(PRECISION, LEVEL, variant, NEEDS, tolerance, file)                               \
    if (cpu_favours(CPU_##NEEDS))                                                                  \
        tables[KERN_##LEVEL].attention[KERN_##PRECISION] = &attention_##variant;
#define GEMM(PRECISION, LEVEL, variant, NEEDS, tolerance, gelu, file)                              \
    if (cpu_favours(CPU_##NEEDS)) tables[KERN_##LEVEL].gemm[KERN_##PRECISION] = &gemm_##variant;
#include "kernels.def"
#undef KERNEL
#undef ATTENTION
#undef GEMM
}

/* A level's table; filled once, since asking a processor for its features is slow under a
 * hypervisor. */
static const struct kern *table(enum kern_level level)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_tables);
    return &tables[level];
}

const char *kern_level_name(enum kern_level level)
{
    static const char *const names[KERN_LEVELS] = {"ref", "avx2", "avx512"};
    return names[level];
}

const char *kern_precision_name(enum kern_precision precision)
{
    static const char *const names[KERN_PRECISIONS] = {"fp32", "bf16", "int8"};
    return names[precision];
}

enum kern_level kern_machine_level(void)
{
    return cpu_level();
}

const struct kern *kern_table(enum kern_level level)
{
    return level <= cpu_level() ? table(level) : NULL;
}

/* "ref", "ref, avx2", ... */
static const char *machine_levels(void)
{
    static const char *const lists[KERN_LEVELS] = {"ref", "ref and avx2", "ref, avx2 and avx512"};
    return lists[cpu_level()];
}

static vecmill_status wanted_level(const char *cap, enum kern_level *level, vecmill_err *err)
{
    const char *from = "";
    if (!cap) {
        cap = getenv("VECMILL_ISA");
        from = " (from VECMILL_ISA)";
    }
    if (!cap || !*cap) {
        *level = cpu_level();
        return VECMILL_OK;
    }
    for (int i = 0; i < KERN_LEVELS; i++) {
        if (strcmp(cap, kern_level_name((enum kern_level)i)) != 0) continue;
        if ((enum kern_level)i > cpu_level())
            return err_set(err, VECMILL_E_USAGE,
                           "instruction set %s%s is not on this machine, which has %s", cap, from,
                           machine_levels());
        *level = (enum kern_level)i;
        return VECMILL_OK;
    }
    return err_set(err, VECMILL_E_USAGE,
                   "instruction set \"%.32s\"%s is unknown: this machine has %s", cap, from,
                   machine_levels());
}

vecmill_status kern_select(const char *cap, const struct kern **kern, vecmill_err *err)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static const struct kern *selected;
    enum kern_level level = KERN_REF;
    VM_TRY(wanted_level(cap, &level, err));
    vecmill_status status = VECMILL_OK;
    pthread_mutex_lock(&mutex);
    if (selected && selected->level != level) {
        status =
            err_set(err, VECMILL_E_USAGE,
                    "this process computes with instruction set %s already, and %s was asked for",
                    selected->name, kern_level_name(level));
    } else if (!selected) {
        selected = table(level);
    }
    if (status == VECMILL_OK) *kern = selected;
    pthread_mutex_unlock(&mutex);
    return status;
}

/* ---- words about it ---- */

static char signature_text[KERN_LEVELS][KERN_PRECISIONS][48];

static void write_texts(void)
{
    for (int level = 0; level <= (int)cpu_level(); level++) {
        for (int p = 0; p < KERN_PRECISIONS; p++) {
            snprintf(signature_text[level][p], sizeof signature_text[level][p], "%s %s %s",
                     kern_level_name((enum kern_level)level),
                     kern_precision_name((enum kern_precision)p),
                     table((enum kern_level)level)->gemm[p]->layout);
        }
    }
}

const char *kern_signature(const struct kern *kern, enum kern_precision precision)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, write_texts);
    return signature_text[kern->level][precision];
}

/* ---- peak ---- */

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double kern_peak(const struct kern *kern, enum kern_precision precision, double seconds)
{
    const struct gemm_kernel *gemm = kern->gemm[precision];
    float sink[2] = {0.5f, 1.0f}; /* sums run to 2: no overflow, no denormal */
    const double start = now_s();
    double best = 0, before = start;
    do {
        sink[0] = 0.5f;
        const double operations = gemm->peak(64, sink);
        const double after = now_s();
        const double rate = operations / (after - before);
        if (rate > best) best = rate;
        before = after;
    } while (before - start < seconds);
    return best;
}
