/* Clipping, norms and updates of the flat vectors of parameters and gradients.
 *
 * In double precision the norm and RMSprop agree with Torch7 (normall of torch7, rmsprop.lua of optim) to the last bit.
 * Unlike in PyTorch, no operations are fused, and square roots are correctly rounded.
 */
#include <math.h>

#include "real.h"

/* Clips each number of x [n] to [-limit, limit]. */
void clip(real *x, double limit, int64_t n);

/* Multiplies x [n] by a factor. */
void scale(real *x, double factor, int64_t n);

/* Sets result [2] to the Euclidean norms of x [n] and y [n]. Squares are summed from the first number to the last. */
void norms(double *result, const real *x, const real *y, int64_t n);

/* Does one step of RMSprop: updates mean_square [n], then params [n]. */
void rmsprop(real *params, real *mean_square, const real *gradient, double learning_rate, double decay_rate,
             double epsilon, double weight_decay, int64_t n);

/* Does one step of Adam. The bias corrections 1 - beta^steps are in step_size and root_correction2
   (model/update.py). */
void adam(real *params, real *mean, real *mean_square, const real *gradient, double step_size, double beta1,
          double beta2, double root_correction2, double epsilon, double weight_decay, int64_t n);

/* Returns the gradient with weight decay. Both values are computed, since GCC does not vectorize a loop with branches;
   a sum with 0 would change the bits of -0. */
static inline real with_penalty(real gradient, real penalty, real param) {
    const real sum = gradient + penalty * param;
    return penalty ? sum : gradient;
}

static inline real square_root(real x) {
    return sizeof(real) == 8 ? __builtin_sqrt(x) : __builtin_sqrtf(x);
}

void clip(real *x, double limit, int64_t n) {
    const real low = -limit, high = limit;
#pragma omp parallel for simd if (parallel : n > 10000)
    for (int64_t i = 0; i < n; i++) {
        const real above = x[i] < low ? low : x[i];
        x[i] = above > high ? high : above;
    }
}

void scale(real *x, double factor, int64_t n) {
    const real by = factor;
#pragma omp parallel for simd if (parallel : n > 10000)
    for (int64_t i = 0; i < n; i++)
        x[i] *= by;
}

static double norm(const real *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    return __builtin_sqrt(sum);
}

void norms(double *result, const real *x, const real *y, int64_t n) {
    const real *vectors[] = {x, y};
#pragma omp parallel for if (n > 10000)
    for (int i = 0; i < 2; i++)
        result[i] = norm(vectors[i], n);
}

void rmsprop(real *params, real *mean_square, const real *gradient, double learning_rate, double decay_rate,
             double epsilon, double weight_decay, int64_t n) {
    const real decay = decay_rate, share = 1 - decay_rate, rate = -learning_rate;
    const real small = epsilon, penalty = weight_decay;
#pragma omp parallel for simd if (parallel : n > 10000)
    for (int64_t i = 0; i < n; i++) {
        const real g = with_penalty(gradient[i], penalty, params[i]);
        mean_square[i] = mean_square[i] * decay + share * g * g;
        params[i] += rate * g / (square_root(mean_square[i]) + small);
    }
}

void adam(real *params, real *mean, real *mean_square, const real *gradient, double step_size, double beta1,
          double beta2, double root_correction2, double epsilon, double weight_decay, int64_t n) {
    const real decay1 = beta1, share1 = 1 - beta1, decay2 = beta2, share2 = 1 - beta2, rate = -step_size;
    const real root = root_correction2, small = epsilon, penalty = weight_decay;
#pragma omp parallel for simd if (parallel : n > 10000)
    for (int64_t i = 0; i < n; i++) {
        const real g = with_penalty(gradient[i], penalty, params[i]);
        mean[i] = mean[i] * decay1 + share1 * g;
        mean_square[i] = mean_square[i] * decay2 + share2 * g * g;
        params[i] += rate * mean[i] / (square_root(mean_square[i]) / root + small);
    }
}
