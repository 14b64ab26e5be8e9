/* cpu: which level can this machine run?
 *
 * A level needs instructions (CPUID) and an operating system that saves their registers (XCR0, read
 * by XGETBV). A hypervisor or kernel may lack the second where the first is there. */
#include "kernels.h"

#if defined(__x86_64__)

#include <cpuid.h>

#define BIT(n) (UINT32_C(1) << (n))

/* Intel SDM vol. 2A, CPUID: leaf 1 ECX, leaf 7 EBX. */
#define LEAF1_FMA      BIT(12)
#define LEAF1_OSXSAVE  BIT(27)
#define LEAF1_AVX      BIT(28)
#define LEAF7_AVX2     BIT(5)
#define LEAF7_AVX512F  BIT(16)
#define LEAF7_AVX512DQ BIT(17)
#define LEAF7_AVX512CD BIT(28)
#define LEAF7_AVX512BW BIT(30)
#define LEAF7_AVX512VL BIT(31)
#define LEAF7_VNNI     BIT(11) /* ECX */
#define LEAF7_1_BF16   BIT(5)  /* subleaf 1, EAX */

/* Intel SDM vol. 1, 13.3: state components that the system saves. */
#define XCR0_YMM (BIT(1) | BIT(2))                     /* SSE, upper halves of YMM */
#define XCR0_ZMM (XCR0_YMM | BIT(5) | BIT(6) | BIT(7)) /* and opmask, ZMM0-15, ZMM16-31 */

static uint32_t saved_state(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

enum kern_level cpu_level(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return KERN_REF;
    const uint32_t need1 = LEAF1_FMA | LEAF1_OSXSAVE | LEAF1_AVX;
    if ((c & need1) != need1) return KERN_REF;
    const uint32_t saved = saved_state();
    if ((saved & XCR0_YMM) != XCR0_YMM) return KERN_REF;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & LEAF7_AVX2)) return KERN_REF;
    const uint32_t need512 =
        LEAF7_AVX512F | LEAF7_AVX512DQ | LEAF7_AVX512CD | LEAF7_AVX512BW | LEAF7_AVX512VL;
    if ((b & need512) != need512 || (saved & XCR0_ZMM) != XCR0_ZMM) return KERN_AVX2;
    return KERN_AVX512;
}

bool cpu_has(enum cpu_feature feature)
{
    uint32_t a, b, c, d;
    if (feature == CPU_ANY) return true;
    if (cpu_level() != KERN_AVX512) return false;
    if (feature == CPU_VNNI) return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & LEAF7_VNNI);
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & LEAF7_1_BF16);
}

/* VDPBF16PS does twice a multiply-add's work at the same rate on AMD from Zen 4 on. Intel's cores
 * start one where they start four multiply-adds (Sapphire Rapids: 89 against 174 G op/s): there
 * float is faster. */
static bool bf16_dot_is_fast(void)
{
    uint32_t a, b, c, d;
    return __get_cpuid(0, &a, &b, &c, &d) && b == signature_AMD_ebx;
}

bool cpu_favours(enum cpu_feature feature)
{
    if (!cpu_has(feature)) return false;
    return feature != CPU_BF16_DOT || (bf16_dot_is_fast() && bf16_dot_agrees());
}

#else

enum kern_level cpu_level(void)
{
    return KERN_REF;
}

bool cpu_has(enum cpu_feature feature)
{
    return feature == CPU_ANY;
}

bool cpu_favours(enum cpu_feature feature)
{
    return cpu_has(feature);
}

#endif
