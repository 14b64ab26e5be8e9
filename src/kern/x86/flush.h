/* flush: denormals as zeros during a call, as VDPBF16PS treats them by itself; elsewhere a
 * multiply-add with one takes 90 ns. Also sets what every float operation of a kernel assumes:
 * rounding to nearest, no traps. The work between goes into a function that is not inlined: a
 * compiler may move arithmetic across these two. */
#ifndef KERN_FLUSH_H
#define KERN_FLUSH_H

#include <immintrin.h>

static inline unsigned flush_begin(void)
{
    const unsigned before = _mm_getcsr();
    _mm_setcsr(0x9fc0); /* Intel SDM vol. 1, 10.2.3: FTZ, all exceptions masked, DAZ */
    return before;
}

static inline void flush_end(unsigned before)
{
    _mm_setcsr(before);
}

#endif
