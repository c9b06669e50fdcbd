/* sigmoid and tanh, and the gradients that go back through them.
 *
 * They have no branches and call nothing outside this file, so that a loop over units becomes vector instructions.
 * tests/model/test_compiled.py says how exact they are: tanh within 1.4 and sigmoid within 2.1 units in the last place;
 * in float without fused multiply-add sigmoid within 2.3.
 */
#pragma once
#include <string.h>

#include "real.h"

static inline real sigmoid(real x);
static inline real hyperbolic_tangent(real x); /* C's own tanh is another */

/* The gradient of the loss by x, from its gradient by y = sigmoid(x). */
static inline real sigmoid_backward(real grad_y, real y) {
    return grad_y * (1 - y) * y;
}

/* The gradient of the loss by x, from its gradient by y = tanh(x). */
static inline real tanh_backward(real grad_y, real y) {
    return grad_y * (1 - y * y);
}

/* ---- Constants, for each type. ---- */

#ifdef DOUBLE
enum { MANTISSA_BITS = 52, EXPONENT_BIAS = 1023, EXP_TERMS = 12 };
static const real EXP_LIMIT = 708; /* exp of it and of its negative are ordinary numbers */
static const real LN2_HIGH = 6.93147180369123816490e-01, LN2_LOW = 1.90821492927058770002e-10; /* their sum is ln(2) */
/* Cephes' tanh.c, from the constant term up. */
static const real TANH_P[] = {-1.61468768441708447952e3, -9.92877231001918586564e1, -9.64399179425052238628e-1};
static const real TANH_Q[] = {4.84406305325125486048e3, 2.23548839060100448583e3, 1.12811678491632931402e2, 1};
#else
enum { MANTISSA_BITS = 23, EXPONENT_BIAS = 127, EXP_TERMS = 6 };
static const real EXP_LIMIT = 87;
static const real LN2_HIGH = 6.93359375e-01f, LN2_LOW = -2.12194440e-04f;
/* Cephes' tanhf.c, from the constant term up. */
static const real TANH_P[] = {-3.33332819422e-1f, 1.33314422036e-1f, -5.37397155531e-2f, 2.06390887954e-2f,
                              -5.70498872745e-3f};
static const real TANH_Q[] = {1};
#endif
static const real LOG2_E = 1.4426950408889634;
/* (exp(r) - 1 - r) / r^2 by its Taylor series, the first EXP_TERMS of these: in double the first term left out is below
   2e-17 of r for |r| < ln(2) / 2. */
static const real EXP_SERIES[] = {
    (real)1 / 2,     (real)1 / 6,      (real)1 / 24,      (real)1 / 120,      (real)1 / 720,       (real)1 / 5040,
    (real)1 / 40320, (real)1 / 362880, (real)1 / 3628800, (real)1 / 39916800, (real)1 / 479001600, (real)1 / 6227020800,
};
enum { TANH_P_TERMS = sizeof TANH_P / sizeof(real), TANH_Q_TERMS = sizeof TANH_Q / sizeof(real) };

/* ---- How they are computed. ---- */

#if defined(__FMA__) || defined(__aarch64__)
/* x * y + z, rounded once. */
static inline real multiply_add(real x, real y, real z) {
    return sizeof(real) == 8 ? __builtin_fma(x, y, z) : __builtin_fmaf(x, y, z);
}
typedef double wide; /* what sigmoid divides in: in float too, so that 1 + exp(-x) is not rounded to float first */
#else
/* x * y + z, rounded twice: the processor can't do better. */
static inline real multiply_add(real x, real y, real z) {
    return x * y + z;
}
typedef real wide;
#endif

/* The polynomial with these coefficients, the constant one first. */
static inline __attribute__((always_inline)) real polynomial(const real *coefficients, int terms, real x) {
    real value = coefficients[terms - 1];
#pragma GCC unroll 16
    for (int i = terms - 2; i >= 0; i--)
        value = multiply_add(x, value, coefficients[i]);
    return value;
}

/* exp(x) = 2^n * exp(r), with the integer n that brings r = x - n * ln(2) nearest to zero. */
static inline real exponential(real x) {
    x = x < -EXP_LIMIT ? -EXP_LIMIT : x;
    x = x > EXP_LIMIT ? EXP_LIMIT : x;
    /* A number this large has no bits for a fraction: adding it rounds to an integer, which the lowest bits then hold. */
    const real rounder = (real)1.5 * ((real_bits)1 << MANTISSA_BITS);
    const real shifted = multiply_add(x, LOG2_E, rounder), n = shifted - rounder;
    const real r = multiply_add(n, -LN2_LOW, multiply_add(n, -LN2_HIGH, x));
    const real rest = multiply_add(r * r, polynomial(EXP_SERIES, EXP_TERMS, r), r); /* exp(r) - 1 */
    real_bits bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (real_bits)(((uint64_t)bits + EXPONENT_BIAS) << MANTISSA_BITS);
    real power; /* 2^n */
    memcpy(&power, &bits, sizeof power);
    return multiply_add(power, rest, power);
}

static inline real sigmoid(real x) {
    return 1 / (1 + (wide)exponential(-x));
}

/* As Cephes: |x| + |x|^3 P(x^2) / Q(x^2) where |x| is below 0.625, 1 - 2 / (1 + exp(2|x|)) above. There is one division
   for both, since divisions take the longest. */
static inline real hyperbolic_tangent(real x) {
    const real size = x < 0 ? -x : x, square = x * x;
    const int small = size < (real)0.625;
    const real p = polynomial(TANH_P, TANH_P_TERMS, square), q = polynomial(TANH_Q, TANH_Q_TERMS, square);
    const real above = 1 + exponential(2 * size);
    const real part = (small ? size * square * p : 2) / (small ? q : above);
    const real y = small ? size + part : 1 - part;
    return x < 0 ? -y : y;
}
