/* The type of all numbers: float, or double with -DDOUBLE. */
#pragma once
#include <stdint.h>

#ifdef DOUBLE
typedef double real;
typedef int64_t real_bits; /* an integer as wide as a real */
#else
typedef float real;
typedef int32_t real_bits;
#endif
