/* Whole sequences forward and backward, one function a cell and direction: what their classes CompiledSequence call.
 *
 * model/compiled.py compiles this file when it is first needed, for float or, with -DDOUBLE, for double. A time step is
 * a product (product.h) and one pass over memory for all the pointwise work.
 *
 * All arrays are row-major and contiguous: T = seq_length, B = batch_size, H = rnn_size, n = the width of sums, where
 * gates lie side by side in the order of the cell's file. h (and c) are [T + 1, B, H], the state before the sequence
 * in place 0. h2h is [n, H], the biases [n]. When a pass begins, sums hold i2h(x) without its bias, unless ids [T, B]
 * are given: then that is row ids[t, b] of rows [V, n], and sums hold nothing. by_h [B, n] is space for h2h(h), packed
 * [n + 64, H + 32] space for h2h. Sums are rounded in the order of the original's modules, hence -ffp-contract=off.
 */
#include <omp.h>
#include <stdint.h>
#include <string.h>

#ifdef DOUBLE
typedef double real;
typedef int64_t word;
#define C(x) x
#define LARGE 708
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#define LN2_HIGH 6.93147180369123816490e-01
#define LN2_LOW 1.90821492927058770002e-10
/* (exp(r) - 1 - r) / r^2 by its Taylor series: the first term left out is below 2e-17 of r for |r| < ln(2) / 2. */
#define SERIES(r) \
    TERM(1. / 2, r, TERM(1. / 6, r, TERM(1. / 24, r, TERM(1. / 120, r, TERM(1. / 720, r, TERM(1. / 5040, r, \
    TERM(1. / 40320, r, TERM(1. / 362880, r, TERM(1. / 3628800, r, TERM(1. / 39916800, r, \
    TERM(1. / 479001600, r, 1. / 6227020800)))))))))))
#define TANH_P(z) TERM(-1.61468768441708447952e3, z, TERM(-9.92877231001918586564e1, z, -9.64399179425052238628e-1))
#define TANH_Q(z) \
    TERM(4.84406305325125486048e3, z, TERM(2.23548839060100448583e3, z, TERM(1.12811678491632931402e2, z, 1)))
#else
typedef float real;
typedef int32_t word;
#define C(x) x##f
#define LARGE 87
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#define LN2_HIGH 6.93359375e-01f
#define LN2_LOW -2.12194440e-04f
#define SERIES(r) \
    TERM(1.f / 2, r, TERM(1.f / 6, r, TERM(1.f / 24, r, TERM(1.f / 120, r, TERM(1.f / 720, r, 1.f / 5040)))))
#define TANH_P(z) \
    TERM(-3.33332819422e-1f, z, TERM(1.33314422036e-1f, z, TERM(-5.37397155531e-2f, z, \
    TERM(2.06390887954e-2f, z, -5.70498872745e-3f))))
#define TANH_Q(z) 1
#endif

#if defined(__FMA__) || defined(__aarch64__)
#define MULTIPLY_ADD(x, y, z) (sizeof(real) == 8 ? __builtin_fma(x, y, z) : __builtin_fmaf(x, y, z))
#else
#define MULTIPLY_ADD(x, y, z) ((x) * (y) + (z))
#endif
#define TERM(term, r, rest) MULTIPLY_ADD(r, rest, term)

/* exp(x) = power * (1 + rest); without a branch, so that loops are vectorised. */
static inline void exponential(real x, real *power, real *rest) {
    const real round = C(1.5) * ((word)1 << MANTISSA_BITS); /* adding it leaves an integer in the lowest bits */
    x = x < -LARGE ? -LARGE : x;
    x = x > LARGE ? LARGE : x;
    real shifted = MULTIPLY_ADD(x, C(1.4426950408889634), round), n = shifted - round;
    word bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (word)(((uint64_t)bits + EXPONENT_BIAS) << MANTISSA_BITS);
    memcpy(power, &bits, sizeof bits); /* 2^n */
    real r = MULTIPLY_ADD(n, -LN2_LOW, MULTIPLY_ADD(n, -LN2_HIGH, x));
    *rest = MULTIPLY_ADD(r * r, SERIES(r), r);
}

static inline real sigmoid(real x) {
    real power, rest;
    exponential(-x, &power, &rest);
    return 1 / (1 + MULTIPLY_ADD(power, rest, power));
}

/* Cephes' tanh: x + x^3 P(x^2) / Q(x^2) below 0.625, by exp(2|x|) above. */
static inline real hyperbolic_tangent(real x) {
    real size = x < 0 ? -x : x, square = x * x, power, rest;
    exponential(2 * size, &power, &rest);
    real above = 1 + MULTIPLY_ADD(power, rest, power); /* 1 + exp(2|x|) */
    real part = (size < C(0.625) ? size * square * TANH_P(square) : 2) / (size < C(0.625) ? TANH_Q(square) : above);
    real y = size < C(0.625) ? size + part : 1 - part;
    return x < 0 ? -y : y;
}

#include "product.h"

/* In how many parts the rows of a batch go through the sequence side by side, a thread each. Where a core's cache
   does not hold the weights, it is better to go through them once, with all threads in each product: one part. */
static long parts_of(long B, long weights) {
    const long threads = omp_get_max_threads();
    if (weights * (long)sizeof(real) > 1 << 20)
        return 1;
    return threads < B ? threads : B;
}

/* Call a function for rows 0 to B. For one part outside of any parallel region: in one, threads are made anew. */
#define SHARE_ROWS(function, ...) \
    const long parts = parts_of(B, n * H); \
    if (parts == 1) \
        function(__VA_ARGS__, 0, B); \
    else \
        _Pragma("omp parallel for num_threads(parts)") \
        for (long part = 0; part < parts; part++) \
            function(__VA_ARGS__, B * part / parts, B * (part + 1) / parts);
#define EACH_ROW _Pragma("omp parallel for if (!omp_in_parallel() && B * H > 2000)")
#define VECTORISED _Pragma("GCC ivdep")
#define SUM(column) (i2h[column] + i2h_bias[column] + (h2h[column] + h2h_bias[column]))

/* → sums: gates; c, h; tanh_c [T, B, H]. */
static void lstm_forward_rows(const real *rows, const int64_t *ids, const real *i2h_bias, const real *packed,
                              const real *h2h_bias, real *by_h, real *sums, real *c, real *h, real *tanh_c, long T,
                              long B, long H, long from, long to) {
    const long n = 4 * H;
    for (long t = 0; t < T; t++) {
        const long start = t * B + from, end = t * B + to; /* rows of [T * B, ...] */
        product(end - start, n, H, h + start * H, H, packed, 0, by_h + from * n, n);
        EACH_ROW
        for (long b = start; b < end; b++) {
            const real *h2h = by_h + (b - t * B) * n, *c_b = c + b * H;
            real *gates = sums + b * n, *tanh_c_b = tanh_c + b * H;
            const real *i2h = ids ? rows + ids[b] * n : gates;
            real *next_c = c + (b + B) * H, *next_h = h + (b + B) * H;
            VECTORISED
            for (long j = 0; j < H; j++) {
                real in = sigmoid(SUM(j)), forget = sigmoid(SUM(H + j)), out = sigmoid(SUM(2 * H + j));
                real transform = hyperbolic_tangent(SUM(3 * H + j));
                real cell = forget * c_b[j] + in * transform, squashed = hyperbolic_tangent(cell);
                gates[j] = in, gates[H + j] = forget, gates[2 * H + j] = out, gates[3 * H + j] = transform;
                next_c[j] = cell, tanh_c_b[j] = squashed, next_h[j] = out * squashed;
            }
        }
    }
}

void lstm_forward(const real *rows, const int64_t *ids, const real *i2h_bias, const real *h2h, const real *h2h_bias,
                  real *packed, real *by_h, real *sums, real *c, real *h, real *tanh_c, long T, long B, long H) {
    const long n = 4 * H;
    pack(h2h, 1, H, H, n, packed);
    SHARE_ROWS(lstm_forward_rows, rows, ids, i2h_bias, packed, h2h_bias, by_h, sums, c, h, tanh_c, T, B, H)
}

/* sums: gates → gradient of the sums. grad_h [T, B, H]: what comes from above → gradient of h.
   grad_c [B, H]: zeros → gradient of the first c. */
static void lstm_backward_rows(const real *packed, real *sums, const real *c, const real *tanh_c, real *grad_h,
                               real *grad_c, long T, long B, long H, long from, long to) {
    const long n = 4 * H;
    for (long t = T - 1; t >= 0; t--) {
        const long start = t * B + from, end = t * B + to;
        if (t < T - 1)
            product(end - start, H, n, sums + (start + B) * n, n, packed, 1, grad_h + start * H, H);
        EACH_ROW
        for (long b = start; b < end; b++) {
            const real *c_b = c + b * H, *tanh_c_b = tanh_c + b * H, *grad_h_b = grad_h + b * H;
            real *gates = sums + b * n, *grad_c_b = grad_c + (b - t * B) * H;
            VECTORISED
            for (long j = 0; j < H; j++) {
                real in = gates[j], forget = gates[H + j], out = gates[2 * H + j], transform = gates[3 * H + j];
                real squashed = tanh_c_b[j], by_h = grad_h_b[j];
                real by_c = grad_c_b[j] + by_h * out * (1 - squashed * squashed);
                gates[j] = by_c * transform * (1 - in) * in;
                gates[H + j] = by_c * c_b[j] * (1 - forget) * forget;
                gates[2 * H + j] = by_h * squashed * (1 - out) * out;
                gates[3 * H + j] = by_c * in * (1 - transform * transform);
                grad_c_b[j] = by_c * forget;
            }
        }
    }
}

void lstm_backward(const real *h2h, real *packed, real *sums, const real *c, const real *tanh_c, real *grad_h,
                   real *grad_c, long T, long B, long H) {
    const long n = 4 * H;
    pack(h2h, H, 1, n, H, packed);
    SHARE_ROWS(lstm_backward_rows, packed, sums, c, tanh_c, grad_h, grad_c, T, B, H)
}

/* → sums: update gate, reset gate, candidate; h; reset_h [T, B, H]: reset gate times the h before. */
static void gru_forward_rows(const real *rows, const int64_t *ids, const real *i2h_bias, const real *packed_gates,
                             const real *packed_candidate, const real *h2h_bias, real *by_h, real *sums, real *h,
                             real *reset_h, long T, long B, long H, long from, long to) {
    const long n = 3 * H;
    for (long t = 0; t < T; t++) {
        const long start = t * B + from, end = t * B + to, count = end - start;
        product(count, 2 * H, H, h + start * H, H, packed_gates, 0, by_h + from * n, n);
        EACH_ROW
        for (long b = start; b < end; b++) {
            const real *h2h = by_h + (b - t * B) * n, *h_b = h + b * H;
            real *gates = sums + b * n, *reset_h_b = reset_h + b * H;
            const real *i2h = ids ? rows + ids[b] * n : gates;
            VECTORISED
            for (long j = 0; j < H; j++) {
                real update = sigmoid(SUM(j)), reset = sigmoid(SUM(H + j));
                gates[j] = update, gates[H + j] = reset, reset_h_b[j] = reset * h_b[j];
            }
        }
        product(count, H, H, reset_h + start * H, H, packed_candidate, 0, by_h + from * n + 2 * H, n);
        EACH_ROW
        for (long b = start; b < end; b++) {
            const real *h2h = by_h + (b - t * B) * n, *h_b = h + b * H;
            real *gates = sums + b * n, *next_h = h + (b + B) * H;
            const real *i2h = ids ? rows + ids[b] * n : gates;
            VECTORISED
            for (long j = 0; j < H; j++) {
                real update = gates[j], candidate = hyperbolic_tangent(SUM(2 * H + j));
                gates[2 * H + j] = candidate, next_h[j] = update * candidate + (1 - update) * h_b[j];
            }
        }
    }
}

void gru_forward(const real *rows, const int64_t *ids, const real *i2h_bias, const real *h2h, const real *h2h_bias,
                 real *packed, real *by_h, real *sums, real *h, real *reset_h, long T, long B, long H) {
    const long n = 3 * H;
    real *candidate = pack(h2h, 1, H, H, 2 * H, packed);
    pack(h2h + 2 * H * H, 1, H, H, H, candidate);
    SHARE_ROWS(gru_forward_rows, rows, ids, i2h_bias, packed, candidate, h2h_bias, by_h, sums, h, reset_h, T, B, H)
}

/* sums, grad_h: as for lstm_backward. grad_before [B, H]: zeros → gradient of the first h.
   grad_reset_h [B, H]: anything → that of the first reset_h. */
static void gru_backward_rows(const real *packed_gates, const real *packed_candidate, real *sums, const real *h,
                              real *grad_h, real *grad_before, real *grad_reset_h, long T, long B, long H, long from, long to) {
    const long n = 3 * H;
    for (long t = T - 1; t >= 0; t--) {
        const long start = t * B + from, end = t * B + to, count = end - start;
        real *before = (t ? grad_h + (t - 1) * B * H : grad_before) + from * H, *by_reset_h = grad_reset_h + from * H;
        EACH_ROW
        for (long b = start; b < end; b++) {
            const real *h_b = h + b * H, *grad_h_b = grad_h + b * H;
            real *gates = sums + b * n, *before_b = before + (b - start) * H;
            VECTORISED
            for (long j = 0; j < H; j++) {
                real update = gates[j], candidate = gates[2 * H + j], by_h = grad_h_b[j];
                gates[j] = by_h * (candidate - h_b[j]) * (1 - update) * update;
                gates[2 * H + j] = by_h * update * (1 - candidate * candidate);
                before_b[j] += by_h * (1 - update);
            }
        }
        product(count, H, H, sums + start * n + 2 * H, n, packed_candidate, 0, by_reset_h, H);
        EACH_ROW
        for (long b = start; b < end; b++) {
            const real *h_b = h + b * H, *by_reset_h_b = by_reset_h + (b - start) * H;
            real *gates = sums + b * n, *before_b = before + (b - start) * H;
            VECTORISED
            for (long j = 0; j < H; j++) {
                real reset = gates[H + j];
                gates[H + j] = by_reset_h_b[j] * h_b[j] * (1 - reset) * reset;
                before_b[j] += by_reset_h_b[j] * reset;
            }
        }
        product(count, H, 2 * H, sums + start * n, n, packed_gates, 1, before, H);
    }
}

void gru_backward(const real *h2h, real *packed, real *sums, const real *h, real *grad_h, real *grad_before,
                  real *grad_reset_h, long T, long B, long H) {
    const long n = 3 * H;
    real *candidate = pack(h2h, H, 1, 2 * H, H, packed);
    pack(h2h + 2 * H * H, H, 1, H, H, candidate);
    SHARE_ROWS(gru_backward_rows, packed, candidate, sums, h, grad_h, grad_before, grad_reset_h, T, B, H)
}

/* → h. */
static void rnn_forward_rows(const real *rows, const int64_t *ids, const real *i2h_bias, const real *packed,
                             const real *h2h_bias, real *by_h, const real *sums, real *h, long T, long B, long H,
                             long from, long to) {
    for (long t = 0; t < T; t++) {
        const long start = t * B + from, end = t * B + to;
        product(end - start, H, H, h + start * H, H, packed, 0, by_h + from * H, H);
        EACH_ROW
        for (long b = start; b < end; b++) {
            const real *h2h = by_h + (b - t * B) * H, *i2h = ids ? rows + ids[b] * H : sums + b * H;
            real *next_h = h + (b + B) * H;
            VECTORISED
            for (long j = 0; j < H; j++)
                next_h[j] = hyperbolic_tangent(SUM(j));
        }
    }
}

void rnn_forward(const real *rows, const int64_t *ids, const real *i2h_bias, const real *h2h, const real *h2h_bias,
                 real *packed, real *by_h, const real *sums, real *h, long T, long B, long H) {
    const long n = H;
    pack(h2h, 1, H, H, n, packed);
    SHARE_ROWS(rnn_forward_rows, rows, ids, i2h_bias, packed, h2h_bias, by_h, sums, h, T, B, H)
}

/* sums: anything → gradient of the sums. grad_h: as for lstm_backward. */
static void rnn_backward_rows(const real *packed, real *sums, const real *h, real *grad_h, long T, long B, long H,
                              long from, long to) {
    for (long t = T - 1; t >= 0; t--) {
        const long start = t * B + from, end = t * B + to;
        if (t < T - 1)
            product(end - start, H, H, sums + (start + B) * H, H, packed, 1, grad_h + start * H, H);
        EACH_ROW
        for (long b = start; b < end; b++) {
            const real *next_h = h + (b + B) * H, *grad_h_b = grad_h + b * H;
            real *sums_b = sums + b * H;
            VECTORISED
            for (long j = 0; j < H; j++)
                sums_b[j] = grad_h_b[j] * (1 - next_h[j] * next_h[j]);
        }
    }
}

void rnn_backward(const real *h2h, real *packed, real *sums, const real *h, real *grad_h, long T, long B, long H) {
    const long n = H;
    pack(h2h, H, 1, n, H, packed);
    SHARE_ROWS(rnn_backward_rows, packed, sums, h, grad_h, T, B, H)
}

/* The gradient of rows, [V, n] or [1, n], zeros at first: the sum of those rows of sums [N, n] that it was added to. */
void sum_rows(real *grad_rows, const int64_t *ids, const real *sums, long N, long n) {
    /* Threads take columns here, so that no two of them add to the same number. */
    _Pragma("omp parallel for")
    for (long from = 0; from < n; from += 64) {
        long width = n - from < 64 ? n - from : 64;
        for (long i = 0; i < N; i++) {
            const real *gradient = sums + i * n + from;
            real *row = grad_rows + (ids ? ids[i] * n : 0) + from;
            VECTORISED
            for (long j = 0; j < width; j++)
                row[j] += gradient[j];
        }
    }
}

/* target [columns, rows]: the transpose of source [rows, columns], whose rows are `width` apart. */
void transpose(real *target, const real *source, long width, long rows, long columns) {
    const long tile = 32;
    _Pragma("omp parallel for")
    for (long top = 0; top < columns; top += tile) {
        const long bottom = top + tile < columns ? top + tile : columns;
        for (long left = 0; left < rows; left += tile) {
            const long right = left + tile < rows ? left + tile : rows;
            for (long i = top; i < bottom; i++)
                for (long j = left; j < right; j++)
                    target[i * rows + j] = source[j * width + i];
        }
    }
}
