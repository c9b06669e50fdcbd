/* One layer over one sequence: the buffers of the cells' passes in sequence.c. */
#pragma once
#include "product.h"
#include "real.h"

/* Filled by model/compiled.py, whose class Layer has the same fields in the same order. All arrays are row-major and
   contiguous; those that a cell does not use are NULL. Gates lie side by side in the order of the cell's Python
   file. */
typedef struct {
    int64_t T, B, H; /* seq_length, batch_size, rnn_size */
    int64_t n;       /* width of the pre-activations: 4 * H in an lstm, 3 * H in a gru, H in an rnn */
    int64_t V;       /* vocab_size in the first layer */
    int64_t odd;     /* 1 for an odd batch_size, where OpenBLAS sums differently (four_sums_tile), otherwise 0 */
    int64_t sources; /* number of gradients by the outputs: 3 below a gru layer without dropout, otherwise 1 */

    /* Parameters. */
    const real *rows;     /* [V, n], first layer: i2h of each character, without bias; otherwise NULL */
    const real *i2h_bias; /* [n] */
    const real *h2h;      /* [n, H] */
    const real *h2h_bias; /* [n] */

    /* The input of the first layer. In other layers it is NULL, and pre_activations hold i2h(x), without bias. */
    const int64_t *ids; /* [T, B], the characters */

    /* Scratch memory. */
    real *packed;      /* [n + 128, H + 32], packed h2h (product.h) */
    real *h2h_product; /* [B, n], h2h(h) of one time step, without bias */

    /* Buffers of all cells. */
    real *pre_activations; /* [T, B, n]; forward leaves gates here, backward the gradient by the pre-activations */
    real *h;               /* [T + 1, B, H], outputs; index 0 is the state before the sequence */
    real *grad_output;     /* [sources, T, B, H], gradients by the outputs, from the layer above; they are added up */
    real *grad_next;       /* [B, H], gradient by the output of one time step, from the next one */
    real *grad_bias;       /* [n], gradient by either bias */
    real *grad_rows;       /* [V, n], first layer: gradient by `rows` */
    int64_t *same_ids;     /* [2 * T * B + 2 * V], first layer: scratch memory */

    /* Buffers of the lstm. */
    real *c;      /* [T + 1, B, H], cell states; index 0 is the state before the sequence */
    real *tanh_c; /* [T, B, H], tanh of the next c */
    real *grad_c; /* [B, H], gradient by the c of one time step */

    /* Buffers of the gru. */
    real *reset_h;      /* [T, B, H], reset gate times previous h */
    real *grad_reset_h; /* [B, H], gradient by reset_h of one time step */
    real *grad_update;  /* [B, H], gradient by the previous h through the update gate's h2h */
    real *grad_reset;   /* [B, H], gradient by the previous h through the reset gate's h2h */
} Layer;

/* A range of rows of the batch or of units; `to` is exclusive. */
typedef struct {
    int64_t from, to;
} Range;

/* ---- Parts of arrays. ---- */

/* Returns row b at time t of an array [T, B, H] or [T + 1, B, H]. */
static inline real *row_of(const Layer *layer, real *array, int64_t t, int64_t b) {
    return array + (t * layer->B + b) * layer->H;
}

/* Returns row b at time t of pre_activations. */
static inline real *gates_of(const Layer *layer, int64_t t, int64_t b) {
    return layer->pre_activations + (t * layer->B + b) * layer->n;
}

/* Returns some rows at time t of an array [T, B, width]. */
static inline Matrix matrix_of(const Layer *layer, real *array, int64_t width, int64_t t, Range rows) {
    return (Matrix){array + (t * layer->B + rows.from) * width, rows.to - rows.from, width, width, 1};
}

/* Returns the gradient by the output of one unit at time t: first that from the next step, then those from above. */
static inline real grad_h_of(const Layer *layer, int64_t t, int64_t b, int64_t j) {
    const int64_t N = layer->T * layer->B * layer->H;
    const real *above = row_of(layer, layer->grad_output, t, b);
    real gradient = layer->grad_next[b * layer->H + j] + above[j];
    if (layer->sources == 3)
        gradient = gradient + above[N + j] + above[2 * N + j];
    return gradient;
}

/* Returns `count` columns of a matrix. */
static inline Matrix columns_of(Matrix matrix, int64_t from, int64_t count) {
    return (Matrix){matrix.numbers + from, matrix.rows, count, matrix.row_step, 1};
}

/* ---- Pre-activations. ---- */

/* The four summands [n] of the pre-activations of one row. */
typedef struct {
    const real *i2h, *i2h_bias, *h2h, *h2h_bias;
} Summands;

/* Returns the summands of row b at time t. The step's h2h_product must be computed before. */
static inline Summands summands_of(const Layer *layer, int64_t t, int64_t b) {
    const real *i2h = layer->ids ? layer->rows + layer->ids[t * layer->B + b] * layer->n : gates_of(layer, t, b);
    return (Summands){i2h, layer->i2h_bias, layer->h2h_product + b * layer->n, layer->h2h_bias};
}

/* Returns i2h(x) + h2h(h). The bias of each is added first, as the original's modules round. */
static inline real pre_activation(Summands summands, int64_t column) {
    return summands.i2h[column] + summands.i2h_bias[column] + (summands.h2h[column] + summands.h2h_bias[column]);
}
