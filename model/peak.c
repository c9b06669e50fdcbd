/* The peak throughput of the processor, for comparison: arithmetic in registers only, and reading memory only. */
#include "product.h"
#include "real.h"

/* Does `rounds` fused multiply-adds for each sum of a product's tile, on every thread. Sets `operations` to the number
   of multiplications and additions. Returns the sum of the results, so that the compiler cannot remove any of them. */
real multiply_adds(long rounds, double *operations);

/* Returns the sum of numbers [count]; each thread reads a part of them. */
double read_all(const real *numbers, long count);

enum { SUMS = 2 * TILE_ROWS };

static real multiply_adds_of_a_thread(long rounds) {
    const vector factor = (vector){0} + (real)0.001;
    vector sum[SUMS];
    for (long i = 0; i < SUMS; i++)
        sum[i] = factor * (real)i;
    for (long round = 0; round < rounds; round++) {
UNROLL
        for (long i = 0; i < SUMS; i++)
            sum[i] = add_multiple(sum[i], (real)0.999, factor);
    }
    real total = 0;
    for (long i = 0; i < SUMS; i++)
        total += sum[i][0];
    return total;
}

real multiply_adds(long rounds, double *operations) {
    real total = 0;
    long threads = 0;
#pragma omp parallel reduction(+ : total, threads)
    {
        total += multiply_adds_of_a_thread(rounds);
        threads++;
    }
    *operations = 2.0 * threads * rounds * SUMS * LANES;
    return total;
}

double read_all(const real *numbers, long count) {
    enum { VECTORS = 8, STRIDE = VECTORS * LANES }; /* several sums, since an addition takes several clock cycles */
    real total = 0;
#pragma omp parallel reduction(+ : total)
    {
        vector sum[VECTORS] = {0};
#pragma omp for
        for (long from = 0; from <= count - STRIDE; from += STRIDE)
UNROLL
            for (long i = 0; i < VECTORS; i++)
                sum[i] += ((const stored_vector *)(numbers + from))[i];
        for (long i = 0; i < STRIDE; i++)
            total += sum[i / LANES][i % LANES];
    }
    for (long i = count - count % STRIDE; i < count; i++)
        total += numbers[i];
    return total;
}
