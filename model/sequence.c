/* The forward and backward passes over whole sequences, for float or, with -DDOUBLE, for double.
 *
 * model/build.py compiles this file when it is first needed, and model/compiled.py calls the functions below. A time
 * step is a matrix product (product.h) and one pass over memory for all elementwise operations (activations.h).
 *
 * In double precision all results agree with Torch7 to the last bit: each sum and product is rounded where its modules
 * round it, and the gradients of a value that is used several times are added in nngraph's order.
 */
#include <string.h>

#include "activations.h"
#include "advance.h"
#include "decoder.h"
#include "draw.h"
#include "layer.h"
#include "linear.h"
#include "parts.h"
#include "product.h"
#include "real.h"
#include "row_sums.h"

/* Compute all states from the input and the state before the sequence. pre_activations are overwritten by the gates; in
   an rnn, which has none, they are unchanged. */
void lstm_forward(const Layer *layer);
void gru_forward(const Layer *layer);
void rnn_forward(const Layer *layer);

/* Overwrite pre_activations with the gradient of the loss by them, from grad_output and the results of forward. */
void lstm_backward(const Layer *layer);
void gru_backward(const Layer *layer);
void rnn_backward(const Layer *layer);

/* Fills grad_bias and, in the first layer, grad_rows, after the backward pass. width: output size of each nn.Linear. */
void sum_rows(const Layer *layer, int64_t width);

/* Packs a layer's h2h for the forward steps. */
void pack_h2h(const Layer *layer);

/* Do one time step of decoding (advance.h). Return 0, or 1 without doing anything if an id is invalid. */
int lstm_advance(const Network *network, const Batch *batch);
int gru_advance(const Network *network, const Batch *batch);
int rnn_advance(const Network *network, const Batch *batch);

/* Returns the scratch memory of each text in numbers. */
int64_t text_space(const Network *network);

/* Draws ids [B] from scores [B, V] at temperatures [B] with uniforms [B], numbers in [0, 1). space [V]: scratch
   memory. */
void draw(int64_t *ids, const real *scores, const double *temperatures, const double *uniforms, int64_t B, int64_t V,
          int64_t single, real *space);

/* Packs weight [rows, columns], to multiply by its transpose, `width` rows at a time. */
void pack_weight(real *packed, const real *weight, int64_t rows, int64_t columns, int64_t width);

/* Sets target [columns, rows] to the transpose of source [rows, columns], whose rows are `stride` numbers apart. */
void transpose(real *target, const real *source, int64_t stride, int64_t rows, int64_t columns);

/* Call linear.h. workspace: product_space(largest number of columns) numbers for each thread. */
void input_products(const Layer *layer, real *input, real *i2h, int64_t I, int64_t width, Workspace *workspace);
void linear_outputs(real *y, real *x, real *weight, int64_t T, int64_t B, int64_t I, int64_t O, Workspace *workspace);
void grad_inputs(real *grad_x, real *grad_y, int64_t step, real *weight, int64_t T, int64_t B, int64_t I, int64_t width,
                 Workspace *workspace);
void grad_weights(real *grad_weight, real *grad_y, int64_t step, real *x, int64_t T, int64_t B, int64_t I,
                  int64_t width, Workspace *workspace);
int64_t product_space(int64_t columns);

/* Replaces the decoder's outputs [N, V], without bias, by log-probabilities. terms [threads, V]: scratch memory. */
void log_softmax(real *outputs, const real *bias, int64_t N, int64_t V, int64_t of_2015, real *terms, int64_t threads);

/* Sets losses [T] to the loss of each time step, in nats per character, for log_probs [T, B, V] and targets [T, B]. */
void step_losses(double *losses, const real *log_probs, const int64_t *targets, int64_t T, int64_t B, int64_t V);

/* Replaces log-probabilities [T, B, V] by the gradient by the decoder's outputs, and sums it into grad_bias [V]. */
void log_softmax_backward(real *log_probs, const int64_t *targets, real *grad_bias, int64_t T, int64_t B, int64_t V);

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
    const real tanh_c = fast_tanh(next_c);
    return (LstmState){next_c, tanh_c, gate.out * tanh_c};
}

/* Returns the gradient by the pre-activations. c: previous c; tanh_c: tanh(next c); grad_h: gradient by the next h.
   grad_c: the gradient by the next c from later steps; it is replaced by the gradient by c. */
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

static inline LstmGates lstm_load(const real *gates, int64_t H, int64_t j) {
    return (LstmGates){gates[j], gates[H + j], gates[2 * H + j], gates[3 * H + j]};
}

static inline void lstm_store(LstmGates gate, real *gates, int64_t H, int64_t j) {
    gates[j] = gate.in, gates[H + j] = gate.forget, gates[2 * H + j] = gate.out, gates[3 * H + j] = gate.transform;
}

static inline void lstm_forward_row(const Layer *layer, int64_t t, int64_t b, Range units) {
    const int64_t H = layer->H;
    const Summands sum = summands_of(layer, t, b);
    const real *c = row_of(layer, layer->c, t, b);
    real *gates = gates_of(layer, t, b), *tanh_c = row_of(layer, layer->tanh_c, t, b);
    real *next_c = row_of(layer, layer->c, t + 1, b), *next_h = row_of(layer, layer->h, t + 1, b);
    /* One loop for each function, since a single loop would need more registers than the processor has. */
    for (int64_t gate = 0; gate < 3; gate++) {
        VECTORIZE
        for (int64_t j = gate * H + units.from; j < gate * H + units.to; j++)
            gates[j] = sigmoid(pre_activation(sum, j));
    }
    VECTORIZE
    for (int64_t j = 3 * H + units.from; j < 3 * H + units.to; j++)
        gates[j] = fast_tanh(pre_activation(sum, j));
    VECTORIZE
    for (int64_t j = units.from; j < units.to; j++) {
        const LstmState next = lstm_next_state(lstm_load(gates, H, j), c[j]);
        next_c[j] = next.c, tanh_c[j] = next.tanh_c, next_h[j] = next.h;
    }
}

static void lstm_forward_step(const Layer *layer, int64_t t, Part part) {
    const Matrix h = matrix_of(layer, layer->h, layer->H, t, part.rows);
    for (int64_t gate = 0; gate < 4; gate++)
        set_gate(layer, h, gate, layer->n, part);
    for (int64_t b = part.rows.from; b < part.rows.to; b++)
        lstm_forward_row(layer, t, b, part.units);
    synchronize(part);
}

void lstm_forward(const Layer *layer) {
    pack_gates(layer);
    walk(layer, FORWARD, lstm_forward_step);
}

static inline void lstm_backward_row(const Layer *layer, int64_t t, int64_t b, Range units) {
    const int64_t H = layer->H;
    const real *c = row_of(layer, layer->c, t, b), *tanh_c = row_of(layer, layer->tanh_c, t, b);
    real *gates = gates_of(layer, t, b), *grad_c = row_of(layer, layer->grad_c, 0, b);
    VECTORIZE
    for (int64_t j = units.from; j < units.to; j++) {
        const real grad_h = grad_h_of(layer, t, b, j);
        lstm_store(lstm_gradient(lstm_load(gates, H, j), c[j], tanh_c[j], grad_h, &grad_c[j]), gates, H, j);
    }
}

static void lstm_backward_step(const Layer *layer, int64_t t, Part part) {
    if (t < layer->T - 1) {
        const Matrix later = matrix_of(layer, layer->pre_activations, layer->n, t + 1, part.rows);
        set_gradient(layer, layer->grad_next, later, layer->packed, part);
    }
    for (int64_t b = part.rows.from; b < part.rows.to; b++)
        lstm_backward_row(layer, t, b, part.units);
    synchronize(part);
}

void lstm_backward(const Layer *layer) {
    pack(layer->h2h, layer->n, layer->H, layer->packed);
    memset(layer->grad_c, 0, layer->B * layer->H * sizeof(real));
    memset(layer->grad_next, 0, layer->B * layer->H * sizeof(real));
    walk(layer, BACKWARD, lstm_backward_step);
}

/* ---- gru: the update and reset gates, then the candidate, which needs the reset gate. ---- */

static inline real gru_next_h(real update, real candidate, real h) {
    return update * candidate + (1 - update) * h;
}

static inline void gru_forward_gates_row(const Layer *layer, int64_t t, int64_t b, Range units) {
    const int64_t H = layer->H;
    const Summands sum = summands_of(layer, t, b);
    const real *h = row_of(layer, layer->h, t, b);
    real *gates = gates_of(layer, t, b), *reset_h = row_of(layer, layer->reset_h, t, b);
    for (int64_t gate = 0; gate < 2; gate++) {
        VECTORIZE
        for (int64_t j = gate * H + units.from; j < gate * H + units.to; j++)
            gates[j] = sigmoid(pre_activation(sum, j));
    }
    VECTORIZE
    for (int64_t j = units.from; j < units.to; j++)
        reset_h[j] = gates[H + j] * h[j];
}

static inline void gru_forward_candidate_row(const Layer *layer, int64_t t, int64_t b, Range units) {
    const int64_t H = layer->H;
    const Summands sum = summands_of(layer, t, b);
    const real *h = row_of(layer, layer->h, t, b);
    real *gates = gates_of(layer, t, b), *next_h = row_of(layer, layer->h, t + 1, b);
    VECTORIZE
    for (int64_t j = units.from; j < units.to; j++) {
        const real update = gates[j], candidate = fast_tanh(pre_activation(sum, 2 * H + j));
        gates[2 * H + j] = candidate;
        next_h[j] = gru_next_h(update, candidate, h[j]);
    }
}

static void gru_forward_step(const Layer *layer, int64_t t, Part part) {
    const int64_t H = layer->H;
    const Matrix h = matrix_of(layer, layer->h, H, t, part.rows);
    for (int64_t gate = 0; gate < 2; gate++)
        set_gate(layer, h, gate, H, part);
    for (int64_t b = part.rows.from; b < part.rows.to; b++)
        gru_forward_gates_row(layer, t, b, part.units);
    synchronize(part);
    set_gate(layer, matrix_of(layer, layer->reset_h, H, t, part.rows), 2, H, part);
    for (int64_t b = part.rows.from; b < part.rows.to; b++)
        gru_forward_candidate_row(layer, t, b, part.units);
    synchronize(part);
}

void gru_forward(const Layer *layer) {
    pack_gates(layer);
    walk(layer, FORWARD, gru_forward_step);
}

/* Computes the gradients by the pre-activations of the candidate and of the update gate. Sets grad_next to the gradient
   by the previous h through the factor 1 - update gate. */
static inline void gru_backward_candidate_row(const Layer *layer, int64_t t, int64_t b, Range units) {
    const int64_t H = layer->H;
    const real *h = row_of(layer, layer->h, t, b), *grad_reset = row_of(layer, layer->grad_reset, 0, b);
    real *gates = gates_of(layer, t, b), *grad_next = row_of(layer, layer->grad_next, 0, b);
    VECTORIZE
    for (int64_t j = units.from; j < units.to; j++) {
        const real update = gates[j], candidate = gates[2 * H + j];
        grad_next[j] += grad_reset[j]; /* the last summand of the gradient by this step's h */
        const real grad_h = grad_h_of(layer, t, b, j);
        gates[j] = sigmoid_backward(grad_h * candidate - grad_h * h[j], update);
        gates[2 * H + j] = tanh_backward(grad_h * update, candidate);
        grad_next[j] = grad_h * (1 - update);
    }
}

/* Computes the gradient by the pre-activation of the reset gate. Adds to grad_next the gradients by the previous h
   through reset_h and through the update gate; in the first layer Torch7 adds them in another order. */
static inline void gru_backward_reset_row(const Layer *layer, int64_t t, int64_t b, Range units) {
    const int64_t H = layer->H;
    const real *h = row_of(layer, layer->h, t, b), *grad_reset_h = row_of(layer, layer->grad_reset_h, 0, b);
    const real *grad_update = row_of(layer, layer->grad_update, 0, b);
    real *gates = gates_of(layer, t, b), *grad_next = row_of(layer, layer->grad_next, 0, b);
    const int first_layer = layer->ids != NULL;
    VECTORIZE
    for (int64_t j = units.from; j < units.to; j++) {
        const real reset = gates[H + j], by_reset_h = grad_reset_h[j] * reset, by_update = grad_update[j];
        gates[H + j] = sigmoid_backward(grad_reset_h[j] * h[j], reset);
        grad_next[j] = grad_next[j] + (first_layer ? by_update : by_reset_h) + (first_layer ? by_reset_h : by_update);
    }
}

static void gru_backward_step(const Layer *layer, int64_t t, Part part) {
    const int64_t H = layer->H, n = layer->n;
    const Matrix gates = matrix_of(layer, layer->pre_activations, n, t, part.rows);
    if (t < layer->T - 1) {
        const Matrix later = matrix_of(layer, layer->pre_activations, n, t + 1, part.rows);
        set_gradient(layer, layer->grad_reset, columns_of(later, H, H), packed_gate(layer, 1), part);
    }
    for (int64_t b = part.rows.from; b < part.rows.to; b++)
        gru_backward_candidate_row(layer, t, b, part.units);
    synchronize(part);
    set_gradient(layer, layer->grad_reset_h, columns_of(gates, 2 * H, H), packed_gate(layer, 2), part);
    set_gradient(layer, layer->grad_update, columns_of(gates, 0, H), packed_gate(layer, 0), part);
    for (int64_t b = part.rows.from; b < part.rows.to; b++)
        gru_backward_reset_row(layer, t, b, part.units);
    synchronize(part);
}

void gru_backward(const Layer *layer) {
    const int64_t H = layer->H;
    for (int64_t gate = 0; gate < 3; gate++)
        pack(layer->h2h + gate * H * H, H, H, packed_gate(layer, gate));
    memset(layer->grad_next, 0, layer->B * H * sizeof(real));
    memset(layer->grad_reset, 0, layer->B * H * sizeof(real));
    walk(layer, BACKWARD, gru_backward_step);
}

/* ---- rnn ---- */

static inline void rnn_forward_row(const Layer *layer, int64_t t, int64_t b, Range units) {
    const Summands sum = summands_of(layer, t, b);
    real *next_h = row_of(layer, layer->h, t + 1, b);
    VECTORIZE
    for (int64_t j = units.from; j < units.to; j++)
        next_h[j] = fast_tanh(pre_activation(sum, j));
}

static void rnn_forward_step(const Layer *layer, int64_t t, Part part) {
    set_gate(layer, matrix_of(layer, layer->h, layer->H, t, part.rows), 0, layer->n, part);
    for (int64_t b = part.rows.from; b < part.rows.to; b++)
        rnn_forward_row(layer, t, b, part.units);
    synchronize(part);
}

void rnn_forward(const Layer *layer) {
    pack_gates(layer);
    walk(layer, FORWARD, rnn_forward_step);
}

static inline void rnn_backward_row(const Layer *layer, int64_t t, int64_t b, Range units) {
    const real *next_h = row_of(layer, layer->h, t + 1, b);
    real *gradient = gates_of(layer, t, b);
    VECTORIZE
    for (int64_t j = units.from; j < units.to; j++)
        gradient[j] = tanh_backward(grad_h_of(layer, t, b, j), next_h[j]);
}

static void rnn_backward_step(const Layer *layer, int64_t t, Part part) {
    if (t < layer->T - 1) {
        const Matrix later = matrix_of(layer, layer->pre_activations, layer->n, t + 1, part.rows);
        set_gradient(layer, layer->grad_next, later, layer->packed, part);
    }
    for (int64_t b = part.rows.from; b < part.rows.to; b++)
        rnn_backward_row(layer, t, b, part.units);
    synchronize(part);
}

void rnn_backward(const Layer *layer) {
    pack(layer->h2h, layer->n, layer->H, layer->packed);
    memset(layer->grad_next, 0, layer->B * layer->H * sizeof(real));
    walk(layer, BACKWARD, rnn_backward_step);
}

/* ---- Decoding. ---- */

int lstm_advance(const Network *network, const Batch *batch) {
    return advance(network, lstm_forward_step, 2, batch);
}

int gru_advance(const Network *network, const Batch *batch) {
    return advance(network, gru_forward_step, 1, batch);
}

int rnn_advance(const Network *network, const Batch *batch) {
    return advance(network, rnn_forward_step, 1, batch);
}

int64_t text_space(const Network *network) {
    return space_of_text(network);
}

void draw(int64_t *ids, const real *scores, const double *temperatures, const double *uniforms, int64_t B, int64_t V,
          int64_t single, real *space) {
    for (int64_t b = 0; b < B; b++)
        ids[b] = categorical(scores + b * V, temperatures[b], uniforms[b], V, single, space);
}

void pack_weight(real *packed, const real *weight, int64_t rows, int64_t columns, int64_t width) {
    for (int64_t row = 0; row < rows; row += width)
        pack_transposed(weight + row * columns, width, columns, packed + row / width * packed_size(width, columns));
}

void pack_h2h(const Layer *layer) {
    pack_gates(layer);
}

/* ---- Row sums and transposes. ---- */

void sum_rows(const Layer *layer, int64_t width) {
    sum_rows_of(layer->grad_bias, layer->grad_rows, layer->ids, layer->pre_activations, layer->T, layer->B, layer->V,
                layer->n, width, layer->same_ids);
}

void transpose(real *target, const real *source, int64_t stride, int64_t rows, int64_t columns) {
    const int64_t tile = 32; /* a tile of source and a tile of target fit into a core's cache */
#pragma omp parallel for
    for (int64_t top = 0; top < columns; top += tile) {
        const int64_t bottom = top + tile < columns ? top + tile : columns;
        for (int64_t left = 0; left < rows; left += tile) {
            const int64_t right = left + tile < rows ? left + tile : rows;
            for (int64_t i = top; i < bottom; i++)
                for (int64_t j = left; j < right; j++)
                    target[i * rows + j] = source[j * stride + i];
        }
    }
}

/* ---- Over all time steps at once. ---- */

void input_products(const Layer *layer, real *input, real *i2h, int64_t I, int64_t width, Workspace *workspace) {
    linear_forward(layer->pre_activations, input, i2h, layer->T, layer->B, I, layer->n, width, *workspace);
}

void linear_outputs(real *y, real *x, real *weight, int64_t T, int64_t B, int64_t I, int64_t O, Workspace *workspace) {
    linear_forward(y, x, weight, T, B, I, O, O, *workspace);
}

void grad_inputs(real *grad_x, real *grad_y, int64_t step, real *weight, int64_t T, int64_t B, int64_t I, int64_t width,
                 Workspace *workspace) {
    linear_grad_input(grad_x, grad_y, step, weight, T, B, I, width, *workspace);
}

void grad_weights(real *grad_weight, real *grad_y, int64_t step, real *x, int64_t T, int64_t B, int64_t I,
                  int64_t width, Workspace *workspace) {
    linear_grad_weight(grad_weight, grad_y, step, x, T, B, I, width, *workspace);
}

int64_t product_space(int64_t columns) {
    return large_product_space(columns);
}

void log_softmax(real *outputs, const real *bias, int64_t N, int64_t V, int64_t of_2015, real *terms, int64_t threads) {
#pragma omp parallel for num_threads(min_int64(threads, omp_get_max_threads()))
    for (int64_t i = 0; i < N; i++)
        log_softmax_row(outputs + i * V, bias, V, of_2015, terms + omp_get_thread_num() * V);
}

void step_losses(double *losses, const real *log_probs, const int64_t *targets, int64_t T, int64_t B, int64_t V) {
    for (int64_t t = 0; t < T; t++)
        losses[t] = loss_of_step(log_probs + t * B * V, targets + t * B, B, V);
}

void log_softmax_backward(real *log_probs, const int64_t *targets, real *grad_bias, int64_t T, int64_t B, int64_t V) {
#pragma omp parallel for
    for (int64_t i = 0; i < T * B; i++)
        log_softmax_backward_row(log_probs + i * V, targets[i], B, V);
    sum_rows_of(grad_bias, NULL, NULL, log_probs, T, B, V, V, V, NULL);
}
