/* One time step of a network that stays the same: for texts in progress, any number of them. */
#pragma once
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "layer.h"
#include "product.h"
#include "real.h"

/* Filled by model/texts.py, whose class Network has the same names in the same order. */
typedef struct {
    long count, V;           /* num_layers, vocab_size */
    const Layer *layers;     /* sizes, parameters, h2h packed; nothing that a step writes to */
    const real **packed_i2h; /* of each layer; NULL in the first, which looks up rows */
    const real *packed_decoder, *decoder_bias;
} Network;

/* scores [V] of one text: the sums and the biases; then the largest is subtracted. */
static inline void finish_scores(real *scores, const real *bias, long V) {
    real largest = scores[0] + bias[0];
    for (long i = 0; i < V; i++) {
        scores[i] += bias[i];
        largest = scores[i] > largest ? scores[i] : largest;
    }
    for (long i = 0; i < V; i++)
        scores[i] -= largest;
}

/* Some of the B texts. `width` states of each layer are at `before` and `after`, [count * width, B, H]. */
static inline void advance_rows(const Network *network, Step *step, long width, const int64_t *ids, const real *before,
                                real *after, real *scores, long B, Rows rows) {
    const long texts = rows.to - rows.from, H = network->layers->H, n = network->layers->n, size = texts * H;
    /* Both states now and then, pre-activations, their h2h part, tanh(c), the reset h. */
    real *space = malloc((2 * 2 * size + 2 * texts * n + 2 * size) * sizeof(real));
    real *pre_activations = space + 4 * size, *h2h_product = pre_activations + texts * n, *rest = h2h_product + texts * n;
    real *output = NULL;
    for (long i = 0; i < network->count; i++) {
        Layer layer = network->layers[i];
        layer.T = 1, layer.B = texts;
        layer.ids = i ? NULL : ids + rows.from;
        layer.pre_activations = pre_activations, layer.h2h_product = h2h_product;
        layer.c = space, layer.h = space + 2 * size, layer.tanh_c = rest, layer.reset_h = rest + size;
        real *states[] = {width == 2 ? layer.c : layer.h, layer.h};
        if (i) /* at once: this layer's h will be where the output of the one below is */
            set_product((Matrix){pre_activations, texts, n, n, 1}, (Matrix){output, texts, H, H, 1}, network->packed_i2h[i]);
        for (long s = 0; s < width; s++)
            memcpy(states[s], before + ((i * width + s) * B + rows.from) * H, size * sizeof(real));
        step(&layer, 0, (Rows){0, texts});
        for (long s = 0; s < width; s++)
            memcpy(after + ((i * width + s) * B + rows.from) * H, states[s] + size, size * sizeof(real));
        output = layer.h + size;
    }
    scores += rows.from * network->V;
    set_product((Matrix){scores, texts, network->V, network->V, 1}, (Matrix){output, texts, H, H, 1},
                network->packed_decoder);
    for (long b = 0; b < texts; b++)
        finish_scores(scores + b * network->V, network->decoder_bias, network->V);
    free(space);
}

/* All of them. Threads share the texts where a step takes long: waking up takes them up to 0.1 ms. */
static inline void advance(const Network *network, Step *step, long width, const int64_t *ids, const real *before,
                           real *after, real *scores, long B) {
    const long products = network->count * network->layers->n * network->layers->H;
    long parts = omp_get_max_threads() < B ? omp_get_max_threads() : B;
    if (B * products < 8000000)
        parts = 1;
    if (parts <= 1) {
        advance_rows(network, step, width, ids, before, after, scores, B, (Rows){0, B});
        return;
    }
#pragma omp parallel for num_threads(parts)
    for (long part = 0; part < parts; part++)
        advance_rows(network, step, width, ids, before, after, scores, B, (Rows){B * part / parts, B * (part + 1) / parts});
}
