/* exp, tanh and log in double precision, with the bits of glibc 2.36 on a processor with FMA; sigmoid uses that exp.
 *
 * The bits are the same with every compiler and on every processor, for all arguments (except for the bits of a NaN).
 * glibc's functions are not correctly rounded, so another algorithm would give other bits. Therefore their steps are
 * repeated here one by one. fused() is a product and a sum that glibc's compiler fused; every other operation is
 * rounded separately, which needs -ffp-contract=off.
 *
 * exact_exp, exact_sigmoid and exact_tanh have no branches, so that a loop after VECTORIZE compiles to vector
 * instructions. exact_log has branches.
 *
 * The constants of exp and log are from Arm's optimized routines (their license: libm_tables.h), those of tanh from
 * fdlibm: Copyright (C) 1993 by Sun Microsystems, Inc. All rights reserved. Developed at SunPro, a Sun Microsystems,
 * Inc. business. Permission to use, copy, modify, and distribute this software is freely granted, provided that this
 * notice is preserved.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "libm_tables.h"
#include "real.h"


static inline double exact_exp(double x);
static inline double exact_sigmoid(double x); /* 1 / (1 + exact_exp(-x)) */
static inline double exact_tanh(double x);
static inline double exact_log(double x);

/* ---- Bits and roundings. ---- */

/* a * b + c, rounded once. */
static inline double fused(double a, double b, double c) {
    return __builtin_fma(a, b, c);
}

static inline uint64_t bits_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double of_bits(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Returns all bits set if the condition holds, otherwise none. Masks select between numbers instead of ?:, which GCC
   compiles to branches: the loop would have several times as many instructions, or would not be vectorized. */
static inline uint64_t mask_of(bool condition) {
    return -(uint64_t)condition;
}

/* Returns x if the mask is set, otherwise 0. */
static inline double where(uint64_t mask, double x) {
    return of_bits(bits_of(x) & mask);
}

static inline double chosen(uint64_t mask, double where_set, double elsewhere) {
    return of_bits((bits_of(where_set) & mask) | (bits_of(elsewhere) & ~mask));
}

/* Returns 2^n for an integer n from -1022 to 1023. The sum has no bits for a fraction: its lowest bits are n + 1023. */
static inline double power_of_two(double n) {
    return of_bits(bits_of(n + (0x1.8p52 + 1023)) << 52);
}

/* ---- exp: 2^(k/128) from a table, times exp(r) from a polynomial, where x = k ln(2)/128 + r. ---- */

/* exp(x) = 2^100 (power + power * part). The factor 2^100 keeps the power of a large x finite. */
typedef struct {
    uint64_t power; /* its bits; where it would be subnormal, its exponent has wrapped around */
    double part;
} ExpParts;

/* For x from -760 to 760; otherwise the result is undefined. */
static inline ExpParts exp_parts(double x) {
    /* Adding it rounds to an integer, stored in the lowest bits of the sum. A multiple of 128 in it changes only the
       exponent of the power. */
    const double rounder = 0x1.8p52 - 128 * 100;
    const double shifted = fused(x, 0x1.71547652b82fep7, rounder), k = shifted - rounder;
    const uint64_t bits = bits_of(shifted), i = bits & 127;
    const double r = fused(k, -0x1.cf79abc9e3b3ap-47, fused(k, -0x1.62e42fefa0000p-8, x)), square = r * r;
    const double low = fused(r, 0x1.555555555543cp-3, 0x1.ffffffffffdbdp-2);
    const double high = fused(r, 0x1.1111167a4d017p-7, 0x1.55555cf172b91p-5);
    const double part = fused(square * square, high, fused(low, square, EXP_TAIL[i] + r));
    return (ExpParts){EXP_POWER[i] + (bits << 45), part};
}

static inline double exact_exp(double x) {
    const ExpParts parts = exp_parts(x);
    /* The powers of negative x are scaled by 2^1122, so that they are normal numbers, too. */
    const uint64_t negative = mask_of(x < 0), raised = negative & (uint64_t)1122 << 52;
    const double power = of_bits(parts.power + raised), scale = of_bits(bits_of(0x1p100) - raised);
    /* For x <= -512 glibc rounds the product separately. */
    const double product = power * parts.part;
    const double y = chosen(mask_of(x <= -512), power + product, fused(power, parts.part, power));
    /* A subnormal result has fewer bits than y. It is rounded to them from a sum with more bits than y. */
    const double rest = power - y + product, sum = 1 + y;
    const double subnormal = 1 - sum + y + rest + sum - 1;
    const double result = chosen(negative & mask_of(y < 1), subnormal, y) * scale;
    return chosen(mask_of(x > 760), __builtin_inf(), where(~mask_of(x < -760), result));
}

static inline double exact_sigmoid(double x) {
    const ExpParts parts = exp_parts(-x);
    const double power = of_bits(parts.power), y = fused(power, parts.part, power);
    /* The result is 1 for x >= 37 and 0 for x <= -746. In between a large exp(-x) overflows only in the sum. */
    const uint64_t one = mask_of(x > 100), zero = mask_of(x < -760);
    return where(~zero, 1 / fused(where(~one, y), 0x1p100, 1));
}

/* ---- tanh: t / (t + 2) with t = exp(-2|x|) - 1 for |x| below 1, else 1 - 2 / (t + 2) with t = exp(2|x|) - 1. ---- */

static inline double exact_tanh(double x) {
    const double size = __builtin_fabs(x), twice = size + size;
    const uint64_t large = mask_of(size >= 1), one = mask_of(size >= 22); /* for |x| >= 22 tanh is 1 */
    const uint64_t sign = ~large & bits_of(-0.0);

    /* 2|x| or -2|x| = k ln(2) + r + rest. */
    const double argument = of_bits(bits_of(twice) ^ sign);
    const uint64_t reduced = mask_of(twice >= 0x1.62e43p-2); /* otherwise k and rest are 0, and glibc omits them */
    const double n = where(reduced, __builtin_floor(twice * 0x1.71547652b82fep0 + 0.5)), k = of_bits(bits_of(n) ^ sign);
    const double high = fused(k, -0x1.62e42feep-1, argument), low = k * 0x1.a39ef35793c76p-33;
    const double r = high - low, rest = high - r - low;

    /* exp(r + rest) - 1 = r - error. */
    const double half = 0.5 * r, square = r * half, fourth = square * square;
    const double first = fused(square, -0x1.11111111110f4p-5, 1);
    const double second = fused(square, -0x1.4ce199eaadbb7p-14, 0x1.a01a019fe5585p-10);
    const double third = fused(square, -0x1.afdb76e09c32dp-23, 0x1.0cfca86e65239p-18);
    const double sum = fused(fourth * fourth, third, fused(fourth, second, first));
    const double other = fused(-sum, half, 3);
    const double ratio = square * ((sum - other) / fused(-r, other, 6));
    const double error = fused(r, ratio - rest, -chosen(reduced, rest, square)) - where(reduced, square);

    /* t = 2^k (from - (error + added - r)) + offset. glibc has separate cases for k = 0, k = -1, k < -1, k from 3 to
       19, and k >= 20. */
    const double scale = power_of_two(k), inverse = power_of_two(-n);
    const uint64_t whole = mask_of(n >= 2), huge = mask_of(n >= 20);
    const double from = where(whole, 1) - where(large & ~huge, inverse), added = where(huge, inverse);
    const double offset = where(~large, chosen(whole, -1, -0.5 * n));
    const double t = fused(scale, from - (error + added - r), offset);

    const double quotient = where(~one, chosen(large, 2, -t) / (t + 2));
    return __builtin_copysign(where(large, 1) - of_bits(bits_of(quotient) ^ sign), x);
}

/* ---- log ---- */

/* Returns log(1 + r) for r from -0x1p-4 to 0x1.09p-4: r - r^2 / 2 + r^3 times a polynomial. */
static inline double log_near_one(double r) {
    const double square = r * r, cube = r * square;
    const double low = fused(square, 0x1.999999995dd0cp-3,
                             fused(r, -0x1.ffffffffffdcbp-3, 0x1.5555555555577p-2));
    const double middle = fused(square, -0x1.fffffa4423d65p-4, fused(r, 0x1.24924a344de3p-3, -0x1.55555556745a7p-3));
    const double high = fused(square, 0x1.78182f7afd085p-4, fused(r, -0x1.999eb43b068ffp-4, 0x1.c7184282ad6cap-4));
    const double rest = fused(fused(fused(cube, -0x1.5521375d145cdp-4, high), cube, middle), cube, low);
    /* r - r^2 / 2 = sum + error: the square of r's upper bits is exact. */
    const double upper = fused(-0x1p27, r, fused(0x1p27, r, r)), upper_square = upper * upper;
    const double sum = fused(upper_square, -0.5, r);
    const double error = fused(-0.5 * (r - upper), upper + r, fused(upper_square, -0.5, r - sum));
    return fused(rest, cube, error) + sum;
}

static inline double exact_log(double x) {
    if (x >= 1 - 0x1p-4 && x < 1 + 0x1.09p-4)
        return log_near_one(x - 1);
    if (!(x > 0))
        return x == 0 ? -__builtin_inf() : __builtin_nan("");
    if (x > 0x1.fffffffffffffp1023)
        return x;
    const bool subnormal = x < 0x1p-1022;
    const uint64_t bits = bits_of(subnormal ? x * 0x1p52 : x);
    /* x = 2^k z, where z is in part i of the range 0x1.6p-1 to 0x1.6p0. log(x) = k ln(2) + log(c) + log(1 + r). */
    const uint64_t above = bits - 0x3fe6000000000000, i = above >> 45 & 127;
    const double z = of_bits(bits - (above & 0xfff0000000000000));
    const double k = (double)((int64_t)above >> 52) - (subnormal ? 52 : 0);
    const double r = fused(z, LOG_INVERSE[i], -1), square = r * r;
    const double whole = fused(k, 0x1.62e42fefa3800p-1, LOG_CENTRE[i]), high = whole + r;
    const double low = fused(k, 0x1.ef35793c76730p-45, whole - high + r);
    const double left = fused(r, -0x1.fffffffeb459p-3, 0x1.555555551305bp-2);
    const double right = fused(r, -0x1.55575e506c89fp-3, 0x1.999b324f10111p-3);
    return fused(r * square, fused(right, square, left), fused(square, -0x1.0000000000001p-1, low)) + high;
}
