/* sigmoid and tanh with their gradients, exp and log.
 *
 * They have no branches and call no external functions, so that a loop over units compiles to vector instructions and
 * all machines get the same bits. In double precision they are the functions of the C library that the recorded runs of
 * Torch7 used (libm.h). In single precision tanh is exact to 1.4 and sigmoid to 2.1 units in the last place
 * (tests/model/test_compiled.py).
 */
#pragma once
#include <string.h>

#include "libm.h"
#include "real.h"

static inline real sigmoid(real x);
static inline real fast_tanh(real x);
static inline real exponential(real x);
static inline real logarithm(real x);

/* Returns the gradient of the loss by x from its gradient by y = sigmoid(x). */
static inline real sigmoid_backward(real grad_y, real y) {
    return grad_y * (1 - y) * y;
}

/* Returns the gradient of the loss by x from its gradient by y = tanh(x). */
static inline real tanh_backward(real grad_y, real y) {
    return grad_y * (1 - y * y);
}

/* target [count] = exp(source - subtracted); target may be source. */
static inline void exponentials(real *target, const real *source, real subtracted, int64_t count) {
    VECTORIZE
    for (int64_t i = 0; i < count; i++)
        target[i] = exponential(source[i] - subtracted);
}

#ifdef DOUBLE

static inline real sigmoid(real x) {
    return exact_sigmoid(x);
}

static inline real fast_tanh(real x) {
    return exact_tanh(x);
}

static inline real exponential(real x) {
    return exact_exp(x);
}

static inline real logarithm(real x) {
    return exact_log(x);
}

#else

static const real EXP_LIMIT = 87; /* exp(87) and exp(-87) are normal numbers, neither infinite nor subnormal */
static const real LN2_HIGH = 6.93359375e-01f, LN2_LOW = -2.12194440e-04f; /* their sum is ln(2) */
static const real LOG2_E = 1.4426950408889634f;
/* The coefficients of Cephes' tanhf.c, the constant one first. */
static const real TANH_P[] = {-3.33332819422e-1f, 1.33314422036e-1f, -5.37397155531e-2f, 2.06390887954e-2f,
                              -5.70498872745e-3f};
/* The Taylor series of (exp(r) - 1 - r) / r^2. */
static const real EXP_SERIES[] = {1.0f / 2, 1.0f / 6, 1.0f / 24, 1.0f / 120, 1.0f / 720, 1.0f / 5040};
enum { TANH_TERMS = sizeof TANH_P / sizeof(real), EXP_TERMS = sizeof EXP_SERIES / sizeof(real) };

/* Evaluates the polynomial with these coefficients, the constant one first, by Horner's rule. */
static inline __attribute__((always_inline)) real polynomial(const real *coefficients, int terms, real x) {
    real value = coefficients[terms - 1];
    UNROLL
    for (int i = terms - 2; i >= 0; i--)
        value = multiply_add(x, value, coefficients[i]);
    return value;
}

/* exp(x) = 2^n * exp(r), where n is the integer for which r = x - n * ln(2) is nearest to zero. */
static inline real exponential(real x) {
    x = x < -EXP_LIMIT ? -EXP_LIMIT : x;
    x = x > EXP_LIMIT ? EXP_LIMIT : x;
    /* A float this large has no bits for a fraction: adding it rounds to an integer, stored in the lowest bits. */
    const real rounder = 0x1.8p23f;
    const real shifted = multiply_add(x, LOG2_E, rounder), n = shifted - rounder;
    const real r = multiply_add(n, -LN2_LOW, multiply_add(n, -LN2_HIGH, x));
    const real rest = multiply_add(r * r, polynomial(EXP_SERIES, EXP_TERMS, r), r); /* exp(r) - 1 */
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127) << 23;
    real power; /* 2^n */
    memcpy(&power, &bits, sizeof power);
    return multiply_add(power, rest, power);
}

/* The division is done in double precision, so that 1 + exp(-x) is not rounded to float first. */
static inline real sigmoid(real x) {
    return 1 / (1 + (double)exponential(-x));
}

/* The method of Cephes: |x| + |x|^3 P(x^2) if |x| is below 0.625, otherwise 1 - 2 / (1 + exp(2|x|)). */
static inline real fast_tanh(real x) {
    const real size = x < 0 ? -x : x, square = x * x;
    const int small = size < 0.625f;
    const real part = (small ? size * square * polynomial(TANH_P, TANH_TERMS, square) : 2) /
                      (small ? 1 : 1 + exponential(2 * size));
    const real y = small ? size + part : 1 - part;
    return x < 0 ? -y : y;
}

static inline real logarithm(real x) {
    return exact_log(x);
}

#endif
