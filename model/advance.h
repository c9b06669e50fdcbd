/* One time step of a network with constant weights, for a batch of texts that are being decoded. */
#pragma once
#include <string.h>

#include "layer.h"
#include "parts.h"
#include "product.h"
#include "real.h"
#include "threads.h"

/* Filled by model/decode.py, whose class Network has the same fields in the same order. */
typedef struct {
    int64_t count, V;           /* num_layers, vocab_size */
    const Layer *layers;     /* [count], sizes, parameters and packed h2h; a step writes to none of these */
    const real **packed_i2h; /* [count], i2h of each layer by gates; NULL in the first, which looks up rows */
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

/* Copies a part of a state [B, H]. */
static inline void copy_part(real *target, const real *source, int64_t H, Part part) {
    for (int64_t b = part.rows.from; b < part.rows.to; b++)
        memcpy(target + b * H + part.units.from, source + b * H + part.units.from,
               (part.units.to - part.units.from) * sizeof(real));
}

/* Does a part of the step in all layers. width: the number of state tensors of a layer. */
static inline void advance_part(const Network *network, Step *step, int64_t width, const Batch *batch, Part part) {
    const int64_t B = batch->B, H = network->layers->H, n = network->layers->n, V = network->V, size = B * H;
    real *c = batch->space, *h = c + 2 * size, *tanh_c = h + 2 * size, *reset_h = tanh_c + size;
    real *pre_activations = reset_h + size, *states[] = {width == 2 ? c : h, h};
    const Matrix output = {h + size + part.rows.from * H, part.rows.to - part.rows.from, H, H, 1};
    for (int64_t i = 0; i < network->count; i++) {
        Layer layer = network->layers[i];
        layer.T = 1, layer.B = B, layer.ids = i ? NULL : batch->ids;
        layer.pre_activations = pre_activations, layer.h2h_product = pre_activations + B * n;
        layer.c = c, layer.h = h, layer.tanh_c = tanh_c, layer.reset_h = reset_h;
        for (int64_t gate = 0; i && gate < n / H; gate++)
            set_units(&layer, columns_of(matrix_of(&layer, pre_activations, n, 0, part.rows), gate * H, H), output,
                      network->packed_i2h[i] + gate * packed_size(H, H), (FourSums){0, 0}, part);
        for (int64_t s = 0; s < width; s++)
            copy_part(states[s], batch->before + (i * width + s) * size, H, part);
        synchronize(part); /* a step reads all units of h, and writes over the output of the layer below */
        step(&layer, 0, part);
        for (int64_t s = 0; s < width; s++)
            copy_part(batch->after + (i * width + s) * size, states[s] + size, H, part);
    }
    const Range columns = range_of(V, part.group, part.groups);
    const Matrix scores = {batch->scores + part.rows.from * V, output.rows, V, V, 1};
    set_product(columns_of(scores, columns.from, columns.to - columns.from), output,
                network->packed_decoder + columns.from * H, (FourSums){0, 0});
    synchronize(part);
    for (int64_t b = part.rows.from; b < part.rows.to && part.group == 0; b++)
        finish_scores(batch->scores + b * V, network->decoder_bias, V);
}

/* Advances all texts. Returns 0, or 1 without doing anything if an id is invalid. Threads share the work only if a step
   takes long, since waking them takes up to 0.1 ms. */
static inline int advance(const Network *network, Step *step, int64_t width, const Batch *batch) {
    for (int64_t b = 0; b < batch->B; b++)
        if (batch->ids[b] < 0 || batch->ids[b] >= network->V)
            return 1;
    const Layer *layer = network->layers;
    const int64_t matrices = 2 * network->count - 1; /* h2h of each layer, and i2h above the first */
    const int64_t weights = (matrices * layer->n + network->V) * layer->H;
    const int worth_it = batch->B * weights * (int64_t)sizeof(real) > 1500000;
    const Division most = division_of(layer, batch->B, worth_it ? threads_now() : 1);
    const int shared = most.rows * most.units > 1;
    const int64_t before = shared ? nanoseconds() : 0;
#pragma omp parallel num_threads(most.rows * most.units)
    {
        const Division division = division_of(layer, batch->B, omp_get_num_threads());
        advance_part(network, step, width, batch, part_of(layer, batch->B, division, omp_get_thread_num()));
    }
    if (shared)
        is_contended(nanoseconds() - before, batch->B, weights);
    return 0;
}
