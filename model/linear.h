/* nn.Linear over a whole sequence, forward and backward.
 *
 * T = seq_length, B = batch_size, I = size of the input, O = size of the output. If several Linears of one input lie
 * side by side, like a gru's gates, O is the sum of their output sizes, and `width` is the output size of one.
 */
#pragma once
#include "large_product.h"
#include "real.h"

/* Scratch memory for products, and the number of threads that it suffices for. */
typedef struct {
    real *space;
    int64_t threads;
} Workspace;

/* Computes a product of T * B rows with the sums of a separate product for each time step: OpenBLAS sums the last
   sequence of an odd batch differently. */
static inline void product_of_sequences(Product product, int64_t B, int64_t width, Workspace workspace) {
    product.length = product.left.columns;
    if (B > 1)
        large_product(product, workspace.space, workspace.threads);
    if (B % 2 == 0)
        return;
    Matrix *result = &product.result, *left = &product.left;
    result->numbers += (B - 1) * result->row_step, left->numbers += (B - 1) * left->row_step;
    result->rows /= B, left->rows /= B;
    result->row_step *= B, left->row_step *= B;
    product.four_sums = width;
    large_product(product, workspace.space, workspace.threads);
}

/* Computes y [T, B, O] = x [T, B, I] times the transpose of weight [O, I], without bias. */
static void linear_forward(real *y, real *x, real *weight, int64_t T, int64_t B, int64_t I, int64_t O, int64_t width,
                           Workspace workspace) {
    const Product product = {{y, T * B, O, O, 1}, {x, T * B, I, I, 1}, {weight, I, O, 1, I}, 0, 0};
    product_of_sequences(product, B, width, workspace);
}

/* Computes grad_x [T, B, I] = grad_y [T, B, width], whose rows are `step` numbers apart, times weight [width, I]. */
static void linear_grad_input(real *grad_x, real *grad_y, int64_t step, real *weight, int64_t T, int64_t B, int64_t I,
                              int64_t width, Workspace workspace) {
    const Product product = {{grad_x, T * B, I, I, 1}, {grad_y, T * B, width, step, 1}, {weight, width, I, I, 1}, 0, 0};
    product_of_sequences(product, B, I, workspace);
}

/* Computes grad_weight [width, I] = the transpose of grad_y [T * B, width], whose rows are `step` numbers apart, times
   x [T * B, I]. It is added up once for each time step, from the last to the first. If the number of rows is odd,
   OpenBLAS sums the last one differently. */
static void linear_grad_weight(real *grad_weight, real *grad_y, int64_t step, real *x, int64_t T, int64_t B, int64_t I,
                               int64_t width, Workspace workspace) {
    const Matrix right = {x, T * B, I, I, 1};
    const int64_t odd = width % 2, even = width - odd;
    if (even)
        large_product((Product){{grad_weight, even, I, I, 1}, {grad_y, even, T * B, 1, step}, right, B, 0},
                      workspace.space, workspace.threads);
    if (odd)
        large_product((Product){{grad_weight + even * I, 1, I, I, 1}, {grad_y + even, 1, T * B, 1, step}, right, B, I},
                      workspace.space, workspace.threads);
}
