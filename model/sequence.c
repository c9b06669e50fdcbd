/* Whole sequences forward and backward in C, for float or, with -DDOUBLE, for double.
 *
 * model/compiled.py compiles this file when it is first needed and calls the functions below. A time step is a matrix
 * product (product.h) and one pass over memory for all that is done unit by unit (activations.h). Sums are rounded in
 * the order of the original's modules, hence -ffp-contract=off.
 */
#include <string.h>

#include "activations.h"
#include "advance.h"
#include "draw.h"
#include "large_product.h"
#include "layer.h"
#include "product.h"
#include "real.h"

/* From the state before the sequence and the input to all states; pre_activations become gates (in an rnn they stay as
   they are: its only gate is h). */
void lstm_forward(const Layer *layer);
void gru_forward(const Layer *layer);
void rnn_forward(const Layer *layer);

/* From grad_h and what forward left to the gradient of the loss by the pre-activations, in their place. */
void lstm_backward(const Layer *layer);
void gru_backward(const Layer *layer);
void rnn_backward(const Layer *layer);

/* Fills `packed` as the steps forward need it. */
void lstm_pack(const Layer *layer);
void gru_pack(const Layer *layer);
void rnn_pack(const Layer *layer);

/* One time step of a network that stays the same (advance.h). Returns 0, or else has done nothing: an id is of no
   character. */
int lstm_advance(const Network *network, const Texts *texts);
int gru_advance(const Network *network, const Texts *texts);
int rnn_advance(const Network *network, const Texts *texts);

/* How many numbers of space each text needs. */
long text_space(const Network *network);

/* ids [B]: drawn from scores [B, V] at temperatures [B] with uniforms [B], numbers in [0, 1). space: [V]. */
void draw(int64_t *ids, const real *scores, const double *temperatures, const double *uniforms, long B, long V,
          long single, real *space);

/* packed: weight [rows, columns], to multiply by its transpose. */
void pack_weight(real *packed, const real *weight, long rows, long columns);

/* Adds each row of gradient [N, n] to the row of grad_rows [V, n] that its id [N] names; without ids (NULL), all of
   them to grad_rows [1, n]. */
void sum_rows(real *grad_rows, const int64_t *ids, const real *gradient, long N, long n);

/* target [columns, rows]: the transpose of source [rows, columns], whose rows are `stride` numbers apart. */
void transpose(real *target, const real *source, long stride, long rows, long columns);

/* target [rows, columns], whose rows lie target_step numbers apart, = left [rows, inner] times right [inner, columns],
   whose numbers lie so many apart from row to row and from column to column.
   space: multiply_space(columns) numbers for each of at most `threads` threads. */
void multiply(real *target, long target_step, real *left, long left_row_step, long left_column_step, real *right,
              long right_row_step, long right_column_step, long rows, long inner, long columns, real *space,
              long threads);
long multiply_space(long columns);

/* ---- lstm ---- */

/* The gates of one unit, or the gradient of the loss by their pre-activations. */
typedef struct {
    real in, forget, out, transform;
} LstmGates;

/* The next c and h of one unit, and tanh(c). */
typedef struct {
    real c, tanh_c, h;
} LstmState;

static inline LstmState lstm_next_state(LstmGates gate, real c) {
    const real next_c = gate.forget * c + gate.in * gate.transform;
    const real tanh_c = hyperbolic_tangent(next_c);
    return (LstmState){next_c, tanh_c, gate.out * tanh_c};
}

/* Gradient by the pre-activations. c: of one step ago; tanh_c: of the next c; grad_h: by the next h.
   grad_c: by the next c as the later steps use it → by c. */
static inline LstmGates lstm_gradient(LstmGates gate, real c, real tanh_c, real grad_h, real *grad_c) {
    const real grad_next_c = *grad_c + tanh_backward(grad_h * gate.out, tanh_c);
    *grad_c = grad_next_c * gate.forget;
    return (LstmGates){
        .in = sigmoid_backward(grad_next_c * gate.transform, gate.in),
        .forget = sigmoid_backward(grad_next_c * c, gate.forget),
        .out = sigmoid_backward(grad_h * tanh_c, gate.out),
        .transform = tanh_backward(grad_next_c * gate.in, gate.transform),
    };
}

static inline LstmGates lstm_load(const real *gates, long H, long j) {
    return (LstmGates){gates[j], gates[H + j], gates[2 * H + j], gates[3 * H + j]};
}

static inline void lstm_store(LstmGates gate, real *gates, long H, long j) {
    gates[j] = gate.in, gates[H + j] = gate.forget, gates[2 * H + j] = gate.out, gates[3 * H + j] = gate.transform;
}

static inline void lstm_forward_row(const Layer *layer, long t, long b) {
    const long H = layer->H;
    const Summands sum = summands_of(layer, t, b);
    const real *c = row_of(layer, layer->c, t, b);
    real *gates = gates_of(layer, t, b), *tanh_c = row_of(layer, layer->tanh_c, t, b);
    real *next_c = row_of(layer, layer->c, t + 1, b), *next_h = row_of(layer, layer->h, t + 1, b);
    /* A loop for each function: all of them in one need more registers than there are. */
#pragma GCC ivdep
    for (long j = 0; j < 3 * H; j++)
        gates[j] = sigmoid(pre_activation(sum, j));
#pragma GCC ivdep
    for (long j = 3 * H; j < 4 * H; j++)
        gates[j] = hyperbolic_tangent(pre_activation(sum, j));
#pragma GCC ivdep
    for (long j = 0; j < H; j++) {
        const LstmState next = lstm_next_state(lstm_load(gates, H, j), c[j]);
        next_c[j] = next.c, tanh_c[j] = next.tanh_c, next_h[j] = next.h;
    }
}

static void lstm_forward_step(const Layer *layer, long t, Rows rows) {
    const Matrix h = matrix_of(layer, layer->h, layer->H, t, rows);
    set_product(matrix_of(layer, layer->h2h_product, layer->n, 0, rows), h, layer->packed);
#pragma omp parallel for if (worth_sharing(layer))
    for (long b = rows.from; b < rows.to; b++)
        lstm_forward_row(layer, t, b);
}

void lstm_pack(const Layer *layer) {
    pack_transposed(layer->h2h, layer->n, layer->H, layer->packed);
}

void lstm_forward(const Layer *layer) {
    lstm_pack(layer);
    walk(layer, FORWARD, lstm_forward_step);
}

static inline void lstm_backward_row(const Layer *layer, long t, long b) {
    const long H = layer->H;
    const real *c = row_of(layer, layer->c, t, b), *tanh_c = row_of(layer, layer->tanh_c, t, b);
    const real *grad_h = row_of(layer, layer->grad_h, t, b);
    real *gates = gates_of(layer, t, b), *grad_c = row_of(layer, layer->grad_c, 0, b);
#pragma GCC ivdep
    for (long j = 0; j < H; j++)
        lstm_store(lstm_gradient(lstm_load(gates, H, j), c[j], tanh_c[j], grad_h[j], &grad_c[j]), gates, H, j);
}

static void lstm_backward_step(const Layer *layer, long t, Rows rows) {
    if (t < layer->T - 1) {
        const Matrix later = matrix_of(layer, layer->pre_activations, layer->n, t + 1, rows);
        add_product(matrix_of(layer, layer->grad_h, layer->H, t, rows), later, layer->packed);
    }
#pragma omp parallel for if (worth_sharing(layer))
    for (long b = rows.from; b < rows.to; b++)
        lstm_backward_row(layer, t, b);
}

void lstm_backward(const Layer *layer) {
    pack(layer->h2h, layer->n, layer->H, layer->packed);
    memset(layer->grad_c, 0, layer->B * layer->H * sizeof(real));
    walk(layer, BACKWARD, lstm_backward_step);
}

/* ---- gru: the update and reset gates, then the candidate, which needs the reset gate. ---- */

static inline real gru_next_h(real update, real candidate, real h) {
    return update * candidate + (1 - update) * h;
}

/* h2h is packed in two parts, one after the other: the rows of both gates, then those of the candidate. */
static inline real *gru_packed_candidate(const Layer *layer, Direction direction) {
    const long H = layer->H;
    return layer->packed + (direction == FORWARD ? packed_size(2 * H, H) : packed_size(H, 2 * H));
}

static inline void gru_forward_gates_row(const Layer *layer, long t, long b) {
    const long H = layer->H;
    const Summands sum = summands_of(layer, t, b);
    const real *h = row_of(layer, layer->h, t, b);
    real *gates = gates_of(layer, t, b), *reset_h = row_of(layer, layer->reset_h, t, b);
#pragma GCC ivdep
    for (long j = 0; j < 2 * H; j++)
        gates[j] = sigmoid(pre_activation(sum, j));
#pragma GCC ivdep
    for (long j = 0; j < H; j++)
        reset_h[j] = gates[H + j] * h[j];
}

static inline void gru_forward_candidate_row(const Layer *layer, long t, long b) {
    const long H = layer->H;
    const Summands sum = summands_of(layer, t, b);
    const real *h = row_of(layer, layer->h, t, b);
    real *gates = gates_of(layer, t, b), *next_h = row_of(layer, layer->h, t + 1, b);
#pragma GCC ivdep
    for (long j = 0; j < H; j++) {
        const real update = gates[j], candidate = hyperbolic_tangent(pre_activation(sum, 2 * H + j));
        gates[2 * H + j] = candidate;
        next_h[j] = gru_next_h(update, candidate, h[j]);
    }
}

static void gru_forward_step(const Layer *layer, long t, Rows rows) {
    const long H = layer->H;
    const Matrix h = matrix_of(layer, layer->h, H, t, rows), reset_h = matrix_of(layer, layer->reset_h, H, t, rows);
    const Matrix h2h_product = matrix_of(layer, layer->h2h_product, layer->n, 0, rows);
    set_product(columns_of(h2h_product, 0, 2 * H), h, layer->packed);
#pragma omp parallel for if (worth_sharing(layer))
    for (long b = rows.from; b < rows.to; b++)
        gru_forward_gates_row(layer, t, b);
    set_product(columns_of(h2h_product, 2 * H, H), reset_h, gru_packed_candidate(layer, FORWARD));
#pragma omp parallel for if (worth_sharing(layer))
    for (long b = rows.from; b < rows.to; b++)
        gru_forward_candidate_row(layer, t, b);
}

void gru_pack(const Layer *layer) {
    const long H = layer->H;
    pack_transposed(layer->h2h, 2 * H, H, layer->packed);
    pack_transposed(layer->h2h + 2 * H * H, H, H, gru_packed_candidate(layer, FORWARD));
}

void gru_forward(const Layer *layer) {
    gru_pack(layer);
    walk(layer, FORWARD, gru_forward_step);
}

/* [B, H], gradient by the h of one step before t. */
static inline real *gru_grad_h_before(const Layer *layer, long t) {
    return t ? row_of(layer, layer->grad_h, t - 1, 0) : layer->grad_h_before;
}

/* Gradients by the pre-activations of the candidate and the update gate, and by h where it is kept. */
static inline void gru_backward_candidate_row(const Layer *layer, long t, long b) {
    const long H = layer->H;
    const real *h = row_of(layer, layer->h, t, b), *grad_h = row_of(layer, layer->grad_h, t, b);
    real *gates = gates_of(layer, t, b), *grad_h_before = gru_grad_h_before(layer, t) + b * H;
#pragma GCC ivdep
    for (long j = 0; j < H; j++) {
        const real update = gates[j], candidate = gates[2 * H + j];
        gates[j] = sigmoid_backward(grad_h[j] * (candidate - h[j]), update);
        gates[2 * H + j] = tanh_backward(grad_h[j] * update, candidate);
        grad_h_before[j] += grad_h[j] * (1 - update);
    }
}

/* Gradients by the pre-activation of the reset gate, and by h where it is reset. */
static inline void gru_backward_reset_row(const Layer *layer, long t, long b) {
    const long H = layer->H;
    const real *h = row_of(layer, layer->h, t, b), *grad_reset_h = row_of(layer, layer->grad_reset_h, 0, b);
    real *gates = gates_of(layer, t, b), *grad_h_before = gru_grad_h_before(layer, t) + b * H;
#pragma GCC ivdep
    for (long j = 0; j < H; j++) {
        const real reset = gates[H + j];
        gates[H + j] = sigmoid_backward(grad_reset_h[j] * h[j], reset);
        grad_h_before[j] += grad_reset_h[j] * reset;
    }
}

static void gru_backward_step(const Layer *layer, long t, Rows rows) {
    const long H = layer->H;
    const Matrix gates = matrix_of(layer, layer->pre_activations, layer->n, t, rows);
    const Matrix grad_reset_h = matrix_of(layer, layer->grad_reset_h, H, 0, rows);
    const Matrix grad_h_before = matrix_of(layer, gru_grad_h_before(layer, t), H, 0, rows);
#pragma omp parallel for if (worth_sharing(layer))
    for (long b = rows.from; b < rows.to; b++)
        gru_backward_candidate_row(layer, t, b);
    set_product(grad_reset_h, columns_of(gates, 2 * H, H), gru_packed_candidate(layer, BACKWARD));
#pragma omp parallel for if (worth_sharing(layer))
    for (long b = rows.from; b < rows.to; b++)
        gru_backward_reset_row(layer, t, b);
    add_product(grad_h_before, columns_of(gates, 0, 2 * H), layer->packed);
}

void gru_backward(const Layer *layer) {
    const long H = layer->H;
    pack(layer->h2h, 2 * H, H, layer->packed);
    pack(layer->h2h + 2 * H * H, H, H, gru_packed_candidate(layer, BACKWARD));
    memset(layer->grad_h_before, 0, layer->B * H * sizeof(real));
    walk(layer, BACKWARD, gru_backward_step);
}

/* ---- rnn ---- */

static inline void rnn_forward_row(const Layer *layer, long t, long b) {
    const Summands sum = summands_of(layer, t, b);
    real *next_h = row_of(layer, layer->h, t + 1, b);
#pragma GCC ivdep
    for (long j = 0; j < layer->H; j++)
        next_h[j] = hyperbolic_tangent(pre_activation(sum, j));
}

static void rnn_forward_step(const Layer *layer, long t, Rows rows) {
    const Matrix h = matrix_of(layer, layer->h, layer->H, t, rows);
    set_product(matrix_of(layer, layer->h2h_product, layer->n, 0, rows), h, layer->packed);
#pragma omp parallel for if (worth_sharing(layer))
    for (long b = rows.from; b < rows.to; b++)
        rnn_forward_row(layer, t, b);
}

void rnn_pack(const Layer *layer) {
    pack_transposed(layer->h2h, layer->n, layer->H, layer->packed);
}

void rnn_forward(const Layer *layer) {
    rnn_pack(layer);
    walk(layer, FORWARD, rnn_forward_step);
}

static inline void rnn_backward_row(const Layer *layer, long t, long b) {
    const real *next_h = row_of(layer, layer->h, t + 1, b), *grad_h = row_of(layer, layer->grad_h, t, b);
    real *gradient = gates_of(layer, t, b);
#pragma GCC ivdep
    for (long j = 0; j < layer->H; j++)
        gradient[j] = tanh_backward(grad_h[j], next_h[j]);
}

static void rnn_backward_step(const Layer *layer, long t, Rows rows) {
    if (t < layer->T - 1) {
        const Matrix later = matrix_of(layer, layer->pre_activations, layer->n, t + 1, rows);
        add_product(matrix_of(layer, layer->grad_h, layer->H, t, rows), later, layer->packed);
    }
#pragma omp parallel for if (worth_sharing(layer))
    for (long b = rows.from; b < rows.to; b++)
        rnn_backward_row(layer, t, b);
}

void rnn_backward(const Layer *layer) {
    pack(layer->h2h, layer->n, layer->H, layer->packed);
    walk(layer, BACKWARD, rnn_backward_step);
}

/* ---- Texts. ---- */

int lstm_advance(const Network *network, const Texts *texts) {
    return advance(network, lstm_forward_step, 2, texts);
}

int gru_advance(const Network *network, const Texts *texts) {
    return advance(network, gru_forward_step, 1, texts);
}

int rnn_advance(const Network *network, const Texts *texts) {
    return advance(network, rnn_forward_step, 1, texts);
}

long text_space(const Network *network) {
    return space_of_text(network);
}

void draw(int64_t *ids, const real *scores, const double *temperatures, const double *uniforms, long B, long V,
          long single, real *space) {
    for (long b = 0; b < B; b++)
        ids[b] = drawn(scores + b * V, temperatures[b], uniforms[b], V, single, space);
}

void pack_weight(real *packed, const real *weight, long rows, long columns) {
    pack_transposed(weight, rows, columns, packed);
}

/* ---- Around the time steps. ---- */

void sum_rows(real *grad_rows, const int64_t *ids, const real *gradient, long N, long n) {
    const long strip = 64;
    /* Threads take strips of columns, so that no two of them add to the same number. */
#pragma omp parallel for
    for (long from = 0; from < n; from += strip) {
        const long width = n - from < strip ? n - from : strip;
        for (long i = 0; i < N; i++) {
            const real *source = gradient + i * n + from;
            real *target = grad_rows + (ids ? ids[i] * n : 0) + from;
#pragma GCC ivdep
            for (long j = 0; j < width; j++)
                target[j] += source[j];
        }
    }
}

void transpose(real *target, const real *source, long stride, long rows, long columns) {
    const long tile = 32; /* a tile of source and one of target fit into a core's cache together */
#pragma omp parallel for
    for (long top = 0; top < columns; top += tile) {
        const long bottom = top + tile < columns ? top + tile : columns;
        for (long left = 0; left < rows; left += tile) {
            const long right = left + tile < rows ? left + tile : rows;
            for (long i = top; i < bottom; i++)
                for (long j = left; j < right; j++)
                    target[i * rows + j] = source[j * stride + i];
        }
    }
}

void multiply(real *target, long target_step, real *left, long left_row_step, long left_column_step, real *right,
              long right_row_step, long right_column_step, long rows, long inner, long columns, real *space,
              long threads) {
    large_product((Matrix){target, rows, columns, target_step, 1},
                  (Matrix){left, rows, inner, left_row_step, left_column_step},
                  (Matrix){right, inner, columns, right_row_step, right_column_step}, space, threads);
}

long multiply_space(long columns) {
    return large_product_space(columns);
}
