/* The type of all numbers: float, or double with -DDOUBLE; its fused multiply-add; and what compilers are told. */
#pragma once
#include <stdint.h>

#ifdef DOUBLE
typedef double real;
#else
typedef float real;
#endif

#if defined(__FMA__) || defined(__aarch64__)
#define HAS_MULTIPLY_ADD 1
#else
#define HAS_MULTIPLY_ADD 0
#endif

/* x * y + z, rounded once. Every fused operation is written out like this, and the compiler may fuse no others
   (-ffp-contract=off): so all compilers and processors round alike. Where the processor has no such instruction, the C
   library computes it exactly, some fifty times as slowly. */
static inline real multiply_add(real x, real y, real z) {
    return sizeof(real) == 8 ? __builtin_fma(x, y, z) : __builtin_fmaf(x, y, z);
}

/* Before a loop: its turns do not depend on each other, so that they can be done side by side in vectors; or it has a
   few turns, known in advance, each of which should be written out. */
#ifdef __clang__
#define VECTORIZE _Pragma("clang loop vectorize(assume_safety)")
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define VECTORIZE _Pragma("GCC ivdep")
#define UNROLL _Pragma("GCC unroll 24")
#endif
