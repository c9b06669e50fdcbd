/* A character drawn from scores with Torch7's arithmetic: sample.lua's, and torch.multinomial's as it is in
 * torch7/lib/TH/generic/THTensorRandom.c.
 */
#pragma once
#include <math.h>

#include "libm.h"
#include "real.h"

/* probabilities [V], up to a factor: exp((scores - subtracted) / temperature). Returns their sum, from the left. */
static inline real weigh(real *probabilities, const real *scores, real subtracted, real temperature, long V) {
    real total = 0;
    for (long i = 0; i < V; i++)
        total += probabilities[i] = exact_exp((scores[i] - subtracted) / temperature);
    return total;
}

static inline real largest_of(const real *scores, long V) {
    real largest = scores[0];
    for (long i = 1; i < V; i++)
        largest = scores[i] > largest ? scores[i] : largest;
    return largest;
}

/* The place where `uniform` falls among the running sums of the probabilities, for which there is space [V]. Where
   `single` says so they are rounded to single precision first, as in sample.lua. Where their sum is 0 or not finite, as
   at very low temperatures, the largest score is subtracted first. */
static inline long categorical(const real *scores, double temperature, double uniform, long V, long single,
                         real *probabilities) {
    real total = weigh(probabilities, scores, 0, temperature, V);
    if (!(total > 0 && total < INFINITY))
        total = weigh(probabilities, scores, largest_of(scores, V), temperature, V);
    double sum = 0, running = 0;
    for (long i = 0; i < V; i++) {
        probabilities[i] /= total;
        if (single)
            probabilities[i] = (float)probabilities[i];
        sum += probabilities[i];
    }
    for (long i = 0; i < V - 1; i++) {
        running += probabilities[i];
        if (!(running / sum < uniform))
            return i;
    }
    return V - 1;
}
