/* variants: which of kernels.def's lines does this machine compute with?
 *
 * Found once, since asking a processor for its features is slow under a hypervisor. Of a level's
 * lines of one precision, the last whose needs the processor meets. */
#include <pthread.h>

#include "kernels.h"

static const struct gemm_kernel *gemms[KERN_LEVELS][KERN_PRECISIONS];
static const struct attention_kernel *attentions[KERN_LEVELS][KERN_PRECISIONS];

static void find(void)
{
#define KERNEL(op, LEVEL, level, tolerance, file)
#define ATTENTION(PRECISION, LEVEL, variant, NEEDS, tolerance, file)                               \
    if (cpu_favours(CPU_##NEEDS)) attentions[KERN_##LEVEL][KERN_##PRECISION] = &attention_##variant;
#define GEMM(PRECISION, LEVEL, variant, NEEDS, tolerance, gelu, file)                              \
    if (cpu_favours(CPU_##NEEDS)) gemms[KERN_##LEVEL][KERN_##PRECISION] = &gemm_##variant;
#include "kernels.def"
#undef KERNEL
#undef ATTENTION
#undef GEMM
}

static void find_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find);
}

const struct gemm_kernel *variant_gemm(enum kern_level level, enum kern_precision precision)
{
    find_once();
    return gemms[level][precision];
}

const struct attention_kernel *variant_attention(enum kern_level level,
                                                 enum kern_precision precision)
{
    find_once();
    return attentions[level][precision];
}
