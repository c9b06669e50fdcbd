/* The functions of libm.h for arrays, exported by the library. */
#include "libm.h"

/* Set y [count] to the function of each number of x [count]; y may be x. */
void exp_all(double *y, const double *x, int64_t count);
void sigmoid_all(double *y, const double *x, int64_t count);
void tanh_all(double *y, const double *x, int64_t count);
void log_all(double *y, const double *x, int64_t count);

void exp_all(double *y, const double *x, int64_t count) {
    VECTORIZE
    for (int64_t i = 0; i < count; i++)
        y[i] = exact_exp(x[i]);
}

void sigmoid_all(double *y, const double *x, int64_t count) {
    VECTORIZE
    for (int64_t i = 0; i < count; i++)
        y[i] = exact_sigmoid(x[i]);
}

void tanh_all(double *y, const double *x, int64_t count) {
    VECTORIZE
    for (int64_t i = 0; i < count; i++)
        y[i] = exact_tanh(x[i]);
}

void log_all(double *y, const double *x, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        y[i] = exact_log(x[i]);
}
