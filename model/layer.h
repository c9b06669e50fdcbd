/* One layer over one sequence: the buffers of the cells' passes in sequence.c, and the loop over time steps. */
#pragma once
#include "product.h"
#include "real.h"
#include "threads.h"

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
    real *packed;      /* [n + 96, H + 32], packed h2h (product.h) */
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

/* A range of rows of the batch; `to` is exclusive. */
typedef struct {
    int64_t from, to;
} Rows;

/* A function that does time step t of a pass for some rows of the batch. */
typedef void Step(const Layer *layer, int64_t t, Rows rows);

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
static inline Matrix matrix_of(const Layer *layer, real *array, int64_t width, int64_t t, Rows rows) {
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

/* Returns set_product's `four_sums` for some rows of the batch and nn.Linears of that width. OpenBLAS sums the last
   sequence of an odd batch differently. */
static inline int64_t four_sums_of(const Layer *layer, Rows rows, int64_t width) {
    return layer->odd && rows.to == layer->B ? width : 0;
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

/* ---- The loop over time steps. ---- */

typedef enum { FORWARD, BACKWARD } Direction;

static void walk_rows(const Layer *layer, Direction direction, Step *step, Rows rows) {
    for (int64_t i = 0; i < layer->T; i++)
        step(layer, direction == FORWARD ? i : layer->T - 1 - i, rows);
}

/* Returns the number of parts into which the rows of a batch are divided; each part goes through the sequence in its
   own thread. If a core's cache cannot hold the weights, one part is faster: all threads share each product, and the
   weights are read once. */
static int64_t parts_of(const Layer *layer) {
    const int64_t threads = omp_get_max_threads();
    if (layer->n * layer->H * (int64_t)sizeof(real) > 1 << 20)
        return 1;
    return threads < layer->B ? threads : layer->B;
}

/* Does all time steps for all rows. A single part runs outside of parallel regions, since inside of one, OpenMP would
   create the threads of its products anew each time. */
static void walk(const Layer *layer, Direction direction, Step *step) {
    const int64_t parts = parts_of(layer), B = layer->B;
    if (parts == 1) {
        walk_rows(layer, direction, step, (Rows){0, B});
        return;
    }
#pragma omp parallel for num_threads(parts)
    for (int64_t part = 0; part < parts; part++)
        walk_rows(layer, direction, step, (Rows){B * part / parts, B * (part + 1) / parts});
}

/* Returns whether threads should share the rows of a time step: if it is large, and they do not share the batch. */
static inline int worth_sharing(const Layer *layer) {
    return !omp_in_parallel() && layer->B * layer->H > 2000;
}
