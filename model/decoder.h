/* Log-softmax and loss with their gradient, like Torch7's nn.LogSoftMax and nn.ClassNLLCriterion. */
#pragma once
#include <stdint.h>

#include "activations.h"
#include "real.h"

/* Approximates exp(-x) for x >= 0: THExpMinusApprox of torch7/lib/TH, which nn.LogSoftMax used until April 2016. */
static inline real approximate_exp_minus(real x) {
    const real high = (real)0.00032552083 + x * (real)1.0172526e-5;
    const real p = (real)1.0 + x * ((real)0.125 + x * ((real)0.0078125 + x * high));
    const real square = p * p, fourth = square * square;
    return x < 13 ? 1 / (fourth * fourth) : 0;
}

/* Adds bias [V] to the decoder's product, row [V], and replaces it by log-probabilities. terms [V]: scratch memory. */
static inline void log_softmax_row(real *row, const real *bias, int64_t V, int of_2015, real *terms) {
    real largest = row[0] + bias[0], sum = 0;
    for (int64_t i = 0; i < V; i++) {
        row[i] += bias[i];
        largest = row[i] > largest ? row[i] : largest;
    }
    if (of_2015) {
        VECTORIZE
        for (int64_t i = 0; i < V; i++)
            terms[i] = approximate_exp_minus(largest - row[i]);
    } else
        exponentials(terms, row, largest, V);
    for (int64_t i = 0; i < V; i++)
        sum += terms[i];
    const real log_sum = largest + logarithm(sum);
    VECTORIZE
    for (int64_t i = 0; i < V; i++)
        row[i] -= log_sum;
}

/* Replaces log-probabilities, row [V], by the gradient of the loss by the decoder's outputs. id: the target, or a
   negative number for padding, which has no gradient; B: batch_size. */
static inline void log_softmax_backward_row(real *row, int64_t id, int64_t B, int64_t V) {
    if (id < 0) {
        for (int64_t i = 0; i < V; i++)
            row[i] = 0;
        return;
    }
    const real share = (real)-1 / B; /* the gradient by the target's log-probability; the others are 0 */
    exponentials(row, row, 0, V);
    VECTORIZE
    for (int64_t i = 0; i < V; i++)
        row[i] = 0 - row[i] * share;
    row[id] = share + row[id]; /* equals share - exp(y) * share, rounded as in Torch7 */
}

/* Returns the loss of a time step: the batch mean of -log_probs [B, V] at the targets ids [B], in nats. Negative ids
   are padding, which has no loss. */
static inline double loss_of_step(const real *log_probs, const int64_t *ids, int64_t B, int64_t V) {
    real loss = 0;
    for (int64_t b = 0; b < B; b++)
        if (ids[b] >= 0)
            loss -= log_probs[b * V + ids[b]];
    return loss / B;
}
