/* One layer over one sequence: the buffers that the cells' passes in sequence.c work on, and the way through them. */
#pragma once
#include <omp.h>

#include "product.h"
#include "real.h"

/* Filled by model/compiled.py, whose class Layer has the same names in the same order. All arrays are row-major and
   contiguous; those that a cell has no use for are NULL. Where gates lie side by side, they do so in the order of the
   cell's Python file. */
typedef struct {
    long T, B, H; /* seq_length, batch_size, rnn_size */
    long n;       /* width of the pre-activations: 4 * H in an lstm, 3 * H in a gru, H in an rnn */
    long V;       /* vocab_size in the first layer */
    long odd;     /* 1 for an odd batch whose sums are to be those of OpenBLAS (four_sums_tile), else 0 */
    long sources; /* of the gradient by the outputs: 3 below a gru's layer without dropout, else 1 */

    /* Parameters. */
    const real *rows;     /* [V, n], first layer: i2h of each character, without bias; NULL above it */
    const real *i2h_bias; /* [n] */
    const real *h2h;      /* [n, H] */
    const real *h2h_bias; /* [n] */

    /* The input of the first layer. Above it this is NULL, and pre_activations hold i2h(x), without bias. */
    const int64_t *ids; /* [T, B], the characters */

    /* Space for intermediate results. */
    real *packed;      /* [n + 96, H + 32], h2h as product.h reads it */
    real *h2h_product; /* [B, n], h2h(h) of one time step, without bias */

    /* All cells. */
    real *pre_activations; /* [T, B, n]; forward leaves gates here, backward the gradient by the pre-activations */
    real *h;               /* [T + 1, B, H], outputs, the state before the sequence in place 0 */
    real *grad_output;     /* [sources, T, B, H], gradients by the outputs, from above: their sum counts */
    real *grad_next;       /* [B, H], gradient by the output of one time step, from the next one */
    real *grad_bias;       /* [n], by either bias */
    real *grad_rows;       /* [V, n], first layer: gradient by `rows` */
    int64_t *same_ids;     /* [2 * T * B + 2 * V], first layer: space */

    /* lstm. */
    real *c;      /* [T + 1, B, H], the state before the sequence in place 0 */
    real *tanh_c; /* [T, B, H], of the new c */
    real *grad_c; /* [B, H], gradient by the c of one time step */

    /* gru. */
    real *reset_h;      /* [T, B, H], reset gate times the h before */
    real *grad_reset_h; /* [B, H], gradient by it, of one time step */
    real *grad_update;  /* [B, H], gradient by the h before, by way of the update gate's h2h */
    real *grad_reset;   /* [B, H], and by way of the reset gate's */
} Layer;

/* Some rows of the batch. */
typedef struct {
    long from, to;
} Rows;

/* What a pass does to some rows of the batch at time t. */
typedef void Step(const Layer *layer, long t, Rows rows);

/* ---- Parts of arrays. ---- */

/* Row b at time t of an array [T, B, H] or [T + 1, B, H]. */
static inline real *row_of(const Layer *layer, real *array, long t, long b) {
    return array + (t * layer->B + b) * layer->H;
}

/* Row b at time t of pre_activations. */
static inline real *gates_of(const Layer *layer, long t, long b) {
    return layer->pre_activations + (t * layer->B + b) * layer->n;
}

/* Those rows at time t of an array [T, B, width]. */
static inline Matrix matrix_of(const Layer *layer, real *array, long width, long t, Rows rows) {
    return (Matrix){array + (t * layer->B + rows.from) * width, rows.to - rows.from, width, width, 1};
}

/* The gradient by the output of one unit at time t: first that from the next time step, then those from above. */
static inline real grad_h_of(const Layer *layer, long t, long b, long j) {
    const long N = layer->T * layer->B * layer->H;
    const real *above = row_of(layer, layer->grad_output, t, b);
    real gradient = layer->grad_next[b * layer->H + j] + above[j];
    if (layer->sources == 3)
        gradient = gradient + above[N + j] + above[2 * N + j];
    return gradient;
}

/* What set_product's `four_sums` is to be for some rows of the batch and Linears of that width: OpenBLAS sums the last
   sequence of an odd batch otherwise. */
static inline long four_sums_of(const Layer *layer, Rows rows, long width) {
    return layer->odd && rows.to == layer->B ? width : 0;
}

/* `count` columns of a matrix. */
static inline Matrix columns_of(Matrix matrix, long from, long count) {
    return (Matrix){matrix.numbers + from, matrix.rows, count, matrix.row_step, 1};
}

/* ---- Pre-activations. ---- */

/* What the pre-activations of one row are the sum of, [n] each. */
typedef struct {
    const real *i2h, *i2h_bias, *h2h, *h2h_bias;
} Summands;

/* Those of row b at time t, once the step's h2h_product is known. */
static inline Summands summands_of(const Layer *layer, long t, long b) {
    const real *i2h = layer->ids ? layer->rows + layer->ids[t * layer->B + b] * layer->n : gates_of(layer, t, b);
    return (Summands){i2h, layer->i2h_bias, layer->h2h_product + b * layer->n, layer->h2h_bias};
}

/* i2h(x) + h2h(h): first each with its bias, as the original's modules round it. */
static inline real pre_activation(Summands summands, long column) {
    return summands.i2h[column] + summands.i2h_bias[column] + (summands.h2h[column] + summands.h2h_bias[column]);
}

/* ---- The way through a sequence. ---- */

typedef enum { FORWARD, BACKWARD } Direction;

static void walk_rows(const Layer *layer, Direction direction, Step *step, Rows rows) {
    for (long i = 0; i < layer->T; i++)
        step(layer, direction == FORWARD ? i : layer->T - 1 - i, rows);
}

/* In how many parts the rows of a batch go through the sequence side by side, a thread each. Where a core's cache
   does not hold the weights, it is better to go through them once, with all threads in each product: one part. */
static long parts_of(const Layer *layer) {
    const long threads = omp_get_max_threads();
    if (layer->n * layer->H * (long)sizeof(real) > 1 << 20)
        return 1;
    return threads < layer->B ? threads : layer->B;
}

/* Take all rows through all time steps. One part goes outside of any parallel region: in one, threads that its products
   ask for would be made anew each time. */
static void walk(const Layer *layer, Direction direction, Step *step) {
    const long parts = parts_of(layer), B = layer->B;
    if (parts == 1) {
        walk_rows(layer, direction, step, (Rows){0, B});
        return;
    }
#pragma omp parallel for num_threads(parts)
    for (long part = 0; part < parts; part++)
        walk_rows(layer, direction, step, (Rows){B * part / parts, B * (part + 1) / parts});
}

/* Whether threads should share the rows of one time step: if there is enough to do, and they do not share the batch. */
static inline int worth_sharing(const Layer *layer) {
    return !omp_in_parallel() && layer->B * layer->H > 2000;
}
