/* The type of all numbers, float or with -DDOUBLE double; its fused multiply-add; and compiler hints for loops. */
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

/* Returns x * y + z, rounded once. Every fused operation is written with this function, and the compiler must not fuse
   others (-ffp-contract=off), so that all compilers and processors round alike. Without such an instruction the C
   library computes the same result, about fifty times slower. */
static inline real multiply_add(real x, real y, real z) {
    return sizeof(real) == 8 ? __builtin_fma(x, y, z) : __builtin_fmaf(x, y, z);
}

/* To be written before a loop. VECTORIZE: iterations are independent and can be vectorized. UNROLL: the loop has few
   iterations, of a constant number, and should be unrolled. */
#ifdef __clang__
#define VECTORIZE _Pragma("clang loop vectorize(assume_safety)")
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define VECTORIZE _Pragma("GCC ivdep")
#define UNROLL _Pragma("GCC unroll 24")
#endif
