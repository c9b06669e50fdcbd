/* Gradients that are sums of rows: those of biases, and that of the weight whose input is one-hot.
 *
 * Both add up the gradient by the pre-activations, gradient [T, B, n], once for each time step, from the last to the
 * first, in the order of OpenBLAS (see product.h). `width` is the output size of an nn.Linear; several may lie side by
 * side in the n columns.
 */
#pragma once
#include <stdint.h>

#include "product.h"
#include "real.h"

/* ---- The bias. ---- */

/* Adds the rows [B, n] of a time step to sum [n], in columns from `from` to `to`, four rows at a time. */
static inline void add_rows_by_four(real *sum, const real *rows, int64_t B, int64_t n, int64_t from, int64_t to) {
    const int64_t fours = B / 4 * 4, pairs = B / 2 * 2;
    for (int64_t b = 0; b < fours; b += 4) {
        const real *row = rows + b * n;
        VECTORIZE
        for (int64_t j = from; j < to; j++)
            sum[j] += (row[j] + row[2 * n + j]) + (row[n + j] + row[3 * n + j]);
    }
    if (pairs > fours)
        for (int64_t j = from; j < to; j++)
            sum[j] += rows[fours * n + j] + rows[(fours + 1) * n + j];
    if (B > pairs)
        for (int64_t j = from; j < to; j++)
            sum[j] += rows[pairs * n + j];
}

/* Does the same one row after the other, like OpenBLAS's dgemv with the last outputs of an nn.Linear. */
static inline void add_rows_in_order(real *sum, const real *rows, int64_t B, int64_t n, int64_t from, int64_t to) {
    for (int64_t j = from; j < to; j++) {
        real total = 0;
        for (int64_t b = 0; b < B; b++)
            total += rows[b * n + j];
        sum[j] += total;
    }
}

/* Does the same in the order for an nn.Linear with one to three outputs. */
static inline void add_rows_of_few(real *sum, const real *rows, int64_t B, int64_t n, int64_t from, int64_t to,
                                   int64_t width) {
    for (int64_t j = from; j < to; j++) {
        const real *column = rows + j;
        real total = 0;
        for (int64_t b = 0; b < B / 4 * 4; b += 4, column += 4 * n)
            if (width == 1)
                total += column[0] + column[n] + column[2 * n] + column[3 * n];
            else
                total = total + (column[0] + column[n]) + (column[2 * n] + column[3 * n]);
        for (int64_t b = B / 4 * 4; b < B; b++, column += n)
            total += column[0];
        sum[j] += total;
    }
}

static inline void add_to_bias(real *sum, const real *rows, int64_t B, int64_t n, int64_t from, int64_t to,
                               int64_t width) {
    if (width < 4)
        return add_rows_of_few(sum, rows, B, n, from, to, width);
    for (int64_t linear = from / width * width; linear < to; linear += width) {
        const int64_t begin = linear > from ? linear : from, end = min_int64(linear + width, to);
        const int64_t middle = min_int64(linear + width / 4 * 4, end);
        add_rows_by_four(sum, rows, B, n, begin, middle);
        add_rows_in_order(sum, rows, B, n, begin > middle ? begin : middle, end);
    }
}

/* ---- The weight of a one-hot input. ---- */

/* The rows of each block (block_length) that have the same id, as linked lists. */
typedef struct {
    int64_t *first; /* [T * B], 1 if no earlier row of the block has the same id */
    int64_t *next;  /* [T * B], the next row of the block with the same id, or -1 */
} SameIds;

/* Finds the rows with the same id. space [2 * T * B + 2 * V]: memory for the result and scratch memory. */
static inline SameIds find_same_ids(const int64_t *ids, int64_t T, int64_t B, int64_t V, int64_t *space) {
    int64_t *block_of = space + 2 * T * B, *last = block_of + V; /* [V], block and row where each id was last seen */
    const SameIds same = {space, space + T * B};
    memset(block_of, 0, V * sizeof *block_of);
    for (int64_t t = 0, block = 1; t < T; t++)
        for (int64_t start = 0, length; start < B; start += length, block++) {
            length = block_length(B - start);
            for (int64_t i = t * B + start; i < t * B + start + length; i++) {
                same.first[i] = block_of[ids[i]] != block;
                same.next[i] = -1;
                if (!same.first[i])
                    same.next[last[ids[i]]] = i;
                block_of[ids[i]] = block, last[ids[i]] = i;
            }
        }
    return same;
}

enum { STRIP = 64 }; /* columns that a thread sums at a time */

/* Adds the rows of a time step, which begin at row `start` of gradient [T * B, n], to grad_rows [V, n] by their ids, in
   columns from `from` to `to`, at most STRIP. */
static inline void add_by_id(real *grad_rows, const int64_t *ids, const real *gradient, SameIds same, int64_t start,
                             int64_t B, int64_t n, int64_t from, int64_t to) {
    for (int64_t i = start; i < start + B; i++) {
        if (!same.first[i])
            continue;
        real sum[STRIP];
        real *target = grad_rows + ids[i] * n + from;
        memcpy(sum, gradient + i * n + from, (to - from) * sizeof(real));
        for (int64_t other = same.next[i]; other >= 0; other = same.next[other]) {
            const real *row = gradient + other * n + from;
            VECTORIZE
            for (int64_t j = 0; j < to - from; j++)
                sum[j] += row[j];
        }
        VECTORIZE
        for (int64_t j = 0; j < to - from; j++)
            target[j] += sum[j];
    }
}

/* Computes one column again, the last of an odd number of outputs, which OpenBLAS sums with four sums (four_sums_tile)
   for ids below the last multiple of 4 of V. */
static inline void add_by_id_with_four_sums(real *grad_rows, const int64_t *ids, const real *gradient, SameIds same,
                                            int64_t T, int64_t B, int64_t V, int64_t n, int64_t column) {
    for (int64_t id = 0; id < V / 4 * 4; id++)
        grad_rows[id * n + column] = 0;
    for (int64_t t = T - 1; t >= 0; t--)
        for (int64_t start = 0, length; start < B; start += length) {
            length = block_length(B - start);
            for (int64_t i = t * B + start; i < t * B + start + length; i++) {
                real sums[4] = {0};
                if (!same.first[i] || ids[i] >= V / 4 * 4)
                    continue;
                for (int64_t other = i; other >= 0; other = same.next[other]) {
                    const int64_t k = other - t * B - start;
                    sums[k < length / 8 * 8 ? k % 4 : 0] += gradient[other * n + column];
                }
                grad_rows[ids[i] * n + column] += (sums[0] + sums[1]) + (sums[2] + sums[3]);
            }
        }
}

/* ---- Both. ---- */

/* Fills grad_bias [n] and, if ids [T, B] is not NULL, grad_rows [V, n]. space: [2 * T * B + 2 * V] with ids. */
static inline void sum_rows_of(real *grad_bias, real *grad_rows, const int64_t *ids, const real *gradient, int64_t T,
                               int64_t B, int64_t V, int64_t n, int64_t width, int64_t *space) {
    const SameIds same = ids ? find_same_ids(ids, T, B, V, space) : (SameIds){0};
    memset(grad_bias, 0, n * sizeof(real));
    if (ids)
        memset(grad_rows, 0, V * n * sizeof(real));
        /* Threads sum different strips of columns, so that no two threads add to the same number. */
#pragma omp parallel for
    for (int64_t from = 0; from < n; from += STRIP)
        for (int64_t t = T - 1; t >= 0; t--) {
            const int64_t to = min_int64(from + STRIP, n);
            add_to_bias(grad_bias, gradient + t * B * n, B, n, from, to, width);
            if (ids)
                add_by_id(grad_rows, ids, gradient, same, t * B, B, n, from, to);
        }
    if (ids && width % 2)
#pragma omp parallel for
        for (int64_t column = width - 1; column < n; column += width)
            add_by_id_with_four_sums(grad_rows, ids, gradient, same, T, B, V, n, column);
}
