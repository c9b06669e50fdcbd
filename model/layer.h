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

/* A thread's part of the work of each time step: some rows of the batch, and some units in these. */
typedef struct {
    Range rows, units;
    int64_t group, groups; /* number of the group of units, and their number */
} Part;

/* A function that does a part of time step t of a pass. */
typedef void Step(const Layer *layer, int64_t t, Part part);

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

/* ---- Products with h2h. ---- */

/* Returns a gate's part of `packed`. For the forward steps each gate has one. */
static inline real *packed_gate(const Layer *layer, int64_t gate) {
    return layer->packed + gate * packed_size(layer->H, layer->H);
}

/* Fills `packed` for the forward steps. */
static void pack_gates(const Layer *layer) {
    const int64_t H = layer->H;
    for (int64_t gate = 0; gate < layer->n / H; gate++)
        pack_transposed(layer->h2h + gate * H * H, H, H, packed_gate(layer, gate));
}

/* Sets the columns of the part's units in result, whose first column is that of unit 0, to left times a packed matrix
   [left.columns, H]. `outputs` are those of the nn.Linear. OpenBLAS sums the last sequence of an odd batch
   differently. */
static inline void set_units(const Layer *layer, Matrix result, Matrix left, const real *packed, FourSums outputs,
                             Part part) {
    const int64_t from = part.units.from, differently = layer->odd && part.rows.to == layer->B;
    set_product(columns_of(result, from, part.units.to - from), left, packed + from * left.columns,
                (FourSums){differently ? outputs.width : 0, outputs.from + from});
}

/* Sets h2h_product for a gate to h, or a matrix like it, times the gate's weights. width: output size of an nn.Linear. */
static inline void set_gate(const Layer *layer, Matrix h, int64_t gate, int64_t width, Part part) {
    const Matrix all = matrix_of(layer, layer->h2h_product, layer->n, 0, part.rows);
    const int64_t column = gate * layer->H;
    set_units(layer, columns_of(all, column, layer->H), h, packed_gate(layer, gate), (FourSums){width, column}, part);
}

/* Sets target [B, H] to gradients times a packed matrix [gradients.columns, H]. */
static inline void set_gradient(const Layer *layer, real *target, Matrix gradients, const real *packed, Part part) {
    const Matrix result = matrix_of(layer, target, layer->H, 0, part.rows);
    set_units(layer, result, gradients, packed, (FourSums){layer->H, 0}, part);
}

/* ---- The loop over time steps. ---- */

typedef enum { FORWARD, BACKWARD } Direction;

/* Waits until all threads have computed their units, before one reads those of another. */
static inline void synchronize(Part part) {
    if (part.groups > 1) {
#pragma omp barrier
    }
}

/* The numbers of groups into which rows and units are divided. Each thread has a group of units in a group of rows. */
typedef struct {
    int64_t rows, units;
} Division;

/* Returns the division of B rows over some threads. Rows do not need each other: a thread can take its rows through the
   whole sequence. But units are shared, which needs a barrier in each time step,
   - if a core's cache cannot hold the weights, so that a core reads only those of its units; and
   - if there are fewer rows than threads, unless the step is too short for it. */
static inline Division division_of(const Layer *layer, int64_t B, int64_t threads) {
    const int64_t weights = layer->n * layer->H;
    const int large = weights * (int64_t)sizeof(real) > 1 << 20, few_rows = B < threads && weights > 30000;
    const int64_t units = min_int64(large ? threads : few_rows ? threads / B : 1, panels_of(layer->H));
    return (Division){min_int64(threads / units, B), units};
}

/* Returns one of several groups of columns. Each consists of whole panels (product.h), except for the last column's. */
static inline Range range_of(int64_t columns, int64_t group, int64_t groups) {
    const int64_t panels = panels_of(columns), to = panels * (group + 1) / groups * PANEL_WIDTH;
    return (Range){panels * group / groups * PANEL_WIDTH, min_int64(to, columns)};
}

/* Returns the part of a thread. It is empty if there are more threads than parts. */
static inline Part part_of(const Layer *layer, int64_t B, Division division, int64_t thread) {
    const int64_t row = thread / division.units, group = thread % division.units;
    Part part = {.group = group, .groups = division.units};
    if (row < division.rows) {
        part.rows = (Range){B * row / division.rows, B * (row + 1) / division.rows};
        part.units = range_of(layer->H, group, division.units);
    }
    return part;
}

/* Does all time steps. */
static void walk(const Layer *layer, Direction direction, Step *step) {
    const Division most = division_of(layer, layer->B, omp_get_max_threads());
#pragma omp parallel num_threads(most.rows * most.units)
    {
        /* The system may have started fewer threads. */
        const Division division = division_of(layer, layer->B, omp_get_num_threads());
        const Part part = part_of(layer, layer->B, division, omp_get_thread_num());
        for (int64_t i = 0; i < layer->T; i++)
            step(layer, direction == FORWARD ? i : layer->T - 1 - i, part);
    }
}
