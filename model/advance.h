/* One time step of a network with constant weights, for a batch of texts that are being decoded. */
#pragma once
#include <string.h>

#include "layer.h"
#include "product.h"
#include "real.h"
#include "threads.h"

/* Filled by model/decode.py, whose class Network has the same fields in the same order. */
typedef struct {
    int64_t count, V;           /* num_layers, vocab_size */
    const Layer *layers;     /* [count], sizes, parameters and packed h2h; a step writes to none of these */
    const real **packed_i2h; /* [count], i2h of each layer; NULL in the first, which looks up rows */
    const real *packed_decoder, *decoder_bias; /* packed [V, H]; [V] */
} Network;

/* Adds the biases to the scores [V] of one text, then subtracts the largest score. */
static inline void finish_scores(real *scores, const real *bias, int64_t V) {
    real largest = scores[0] + bias[0];
    for (int64_t i = 0; i < V; i++) {
        scores[i] += bias[i];
        largest = scores[i] > largest ? scores[i] : largest;
    }
    for (int64_t i = 0; i < V; i++)
        scores[i] -= largest;
}

/* The input and output of a step for B texts. The result of a text does not depend on the others. */
typedef struct {
    int64_t B;
    const int64_t *ids;       /* [B], the character of each text */
    const real *before;       /* [states, B, H], the state before the step: c and h of each lstm layer, otherwise h */
    real *after, *scores;     /* [states, B, H], the state after it; [B, V], scores of the next character, at most 0 */
    real *space;              /* [B, space_of_text], scratch memory */
} Batch;

/* Returns the scratch numbers of a text: c and h before and after, tanh(c), reset h, pre-activations and h2h(h). */
static inline int64_t space_of_text(const Network *network) {
    return 6 * network->layers->H + 2 * network->layers->n;
}

/* Advances the texts `rows`. width: the number of state tensors of a layer. */
static inline void advance_rows(const Network *network, Step *step, int64_t width, const Batch *batch, Rows rows) {
    const int64_t count = rows.to - rows.from, H = network->layers->H, n = network->layers->n, V = network->V;
    const int64_t size = count * H;
    real *c = batch->space + rows.from * space_of_text(network), *h = c + 2 * size;
    real *tanh_c = h + 2 * size, *reset_h = tanh_c + size, *pre_activations = reset_h + size;
    real *h2h_product = pre_activations + count * n, *states[] = {width == 2 ? c : h, h};
    const Matrix output = {h + size, count, H, H, 1};
    for (int64_t i = 0; i < network->count; i++) {
        if (i) /* before the step, since this layer's h overwrites the output of the layer below */
            set_product((Matrix){pre_activations, count, n, n, 1}, output, network->packed_i2h[i], 0);
        Layer layer = network->layers[i];
        layer.T = 1, layer.B = count, layer.ids = i ? NULL : batch->ids + rows.from;
        layer.pre_activations = pre_activations, layer.h2h_product = h2h_product;
        layer.c = c, layer.h = h, layer.tanh_c = tanh_c, layer.reset_h = reset_h;
        const int64_t place = (i * width * batch->B + rows.from) * H, next = batch->B * H;
        for (int64_t s = 0; s < width; s++)
            memcpy(states[s], batch->before + place + s * next, size * sizeof(real));
        step(&layer, 0, (Rows){0, count});
        for (int64_t s = 0; s < width; s++)
            memcpy(batch->after + place + s * next, states[s] + size, size * sizeof(real));
    }
    real *scores = batch->scores + rows.from * V;
    set_product((Matrix){scores, count, V, V, 1}, output, network->packed_decoder, 0);
    for (int64_t b = 0; b < count; b++)
        finish_scores(scores + b * V, network->decoder_bias, V);
}

/* Advances all texts. Returns 0, or 1 without doing anything if an id is invalid. Threads share the texts only if a
   step takes long, since waking them takes up to 0.1 ms. */
static inline int advance(const Network *network, Step *step, int64_t width, const Batch *batch) {
    for (int64_t b = 0; b < batch->B; b++)
        if (batch->ids[b] < 0 || batch->ids[b] >= network->V)
            return 1;
    const int64_t B = batch->B, threads = omp_get_max_threads();
    const int worth_it = B * network->count * network->layers->n * network->layers->H > 1000000;
    const int64_t parts = !worth_it ? 1 : threads < B ? threads : B;
    if (parts == 1) {
        advance_rows(network, step, width, batch, (Rows){0, B});
        return 0;
    }
#pragma omp parallel for num_threads(parts)
    for (int64_t part = 0; part < parts; part++)
        advance_rows(network, step, width, batch, (Rows){B * part / parts, B * (part + 1) / parts});
    return 0;
}
