/* unroll: for a loop over a tile's sums. Unrolled early, the sums stay in registers; otherwise gcc
 * 12 keeps them on the stack at both ends of a tile, a tenth of a short one's time. */
#ifndef KERN_UNROLL_H
#define KERN_UNROLL_H

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

#endif
