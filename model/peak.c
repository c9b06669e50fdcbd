/* The peak throughput of the processor, for comparison: arithmetic in registers only, and reading memory only. */
#include "product.h"
#include "real.h"

/* Does `rounds` fused multiply-adds for each sum of a product's tile, on every thread. Sets `operations` to the number
   of multiplications and additions. Returns the sum of the results, so that the compiler cannot remove any of them. */
real multiply_adds(int64_t rounds, double *operations);

/* Returns the sum of numbers [count]; each thread reads a part of them. */
double read_all(const real *numbers, int64_t count);

enum { SUMS = 2 * TILE_ROWS };

static real multiply_adds_of_a_thread(int64_t rounds) {
    const vector factor = (vector){0} + (real)0.001;
    vector sum[SUMS];
    for (int64_t i = 0; i < SUMS; i++)
        sum[i] = factor * (real)i;
    for (int64_t round = 0; round < rounds; round++) {
        UNROLL
        for (int64_t i = 0; i < SUMS; i++)
            sum[i] = add_multiple(sum[i], (real)0.999, factor);
    }
    real total = 0;
    for (int64_t i = 0; i < SUMS; i++)
        total += sum[i][0];
    return total;
}

real multiply_adds(int64_t rounds, double *operations) {
    const int threads = omp_get_max_threads();
    real totals[threads], total = 0;
#pragma omp parallel for
    for (int i = 0; i < threads; i++)
        totals[i] = multiply_adds_of_a_thread(rounds);
    for (int i = 0; i < threads; i++)
        total += totals[i];
    *operations = 2.0 * threads * rounds * SUMS * LANES;
    return total;
}

enum { VECTORS = 8, STRIDE = VECTORS * LANES }; /* several sums, since an addition takes several clock cycles */

static real read_some(const real *numbers, int64_t count) {
    vector sum[VECTORS] = {0};
    for (int64_t from = 0; from <= count - STRIDE; from += STRIDE)
        UNROLL
        for (int64_t i = 0; i < VECTORS; i++)
            sum[i] += ((const stored_vector *)(numbers + from))[i];
    real total = 0;
    for (int64_t i = 0; i < STRIDE; i++)
        total += sum[i / LANES][i % LANES];
    for (int64_t i = count - count % STRIDE; i < count; i++)
        total += numbers[i];
    return total;
}

double read_all(const real *numbers, int64_t count) {
    const int threads = omp_get_max_threads();
    real totals[threads], total = 0;
#pragma omp parallel for
    for (int i = 0; i < threads; i++) {
        const int64_t from = count * i / threads, to = count * (i + 1) / threads;
        totals[i] = read_some(numbers + from, to - from);
    }
    for (int i = 0; i < threads; i++)
        total += totals[i];
    return total;
}
