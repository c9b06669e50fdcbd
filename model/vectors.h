/* Vectors of the processor's width, and their fused multiply-add. */
#pragma once
#include "real.h"

#if defined(__AVX512F__) || defined(__AVX__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define TILE_ROWS 12 /* rows of 2 vectors each: 24 of the 32 registers */
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#define TILE_ROWS 6 /* 12 of the 16 registers */
#elif defined(__aarch64__)
#define VECTOR_BYTES 16
#define TILE_ROWS 12 /* 24 of the 32 registers */
#else
#define VECTOR_BYTES 16
#define TILE_ROWS 6
#endif
typedef real vector __attribute__((vector_size(VECTOR_BYTES)));
/* The same type in memory, without alignment. GCC would keep sums of this type in memory; it keeps them in registers
   only if they have the type of the processor's operations. */
typedef real stored_vector __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));
enum { LANES = VECTOR_BYTES / sizeof(real) };

/* Returns sum + x * y, rounded once, in each lane. */
static inline vector add_multiple(vector sum, real x, vector y);

#if defined(__AVX512F__) && defined(DOUBLE)
static inline vector add_multiple(vector sum, real x, vector y) {
    return (vector)_mm512_fmadd_pd(_mm512_set1_pd(x), (__m512d)y, (__m512d)sum);
}
#elif defined(__AVX512F__)
static inline vector add_multiple(vector sum, real x, vector y) {
    return (vector)_mm512_fmadd_ps(_mm512_set1_ps(x), (__m512)y, (__m512)sum);
}
#elif defined(__FMA__) && defined(DOUBLE)
static inline vector add_multiple(vector sum, real x, vector y) {
    return (vector)_mm256_fmadd_pd(_mm256_set1_pd(x), (__m256d)y, (__m256d)sum);
}
#elif defined(__FMA__)
static inline vector add_multiple(vector sum, real x, vector y) {
    return (vector)_mm256_fmadd_ps(_mm256_set1_ps(x), (__m256)y, (__m256)sum);
}
#elif defined(__aarch64__) && defined(DOUBLE)
static inline vector add_multiple(vector sum, real x, vector y) {
    return (vector)vfmaq_f64((float64x2_t)sum, vdupq_n_f64(x), (float64x2_t)y);
}
#elif defined(__aarch64__)
static inline vector add_multiple(vector sum, real x, vector y) {
    return (vector)vfmaq_f32((float32x4_t)sum, vdupq_n_f32(x), (float32x4_t)y);
}
#else
static inline vector add_multiple(vector sum, real x, vector y) {
    for (int lane = 0; lane < LANES; lane++)
        sum[lane] = multiply_add(x, y[lane], sum[lane]);
    return sum;
}
#endif
