/* Sampling of a character from scores with Torch7's arithmetic: that of sample.lua, and that of torch.multinomial in
 * torch7/lib/TH/generic/THTensorRandom.c.
 */
#pragma once
#include <math.h>

#include "libm.h"
#include "real.h"

/* Sets probabilities [V], up to a factor, to exp((scores - subtracted) / temperature). Returns their sum, added from
   the left. */
static inline real weigh(real *probabilities, const real *scores, real subtracted, real temperature, int64_t V) {
    real total = 0;
    for (int64_t i = 0; i < V; i++)
        total += probabilities[i] = exact_exp((scores[i] - subtracted) / temperature);
    return total;
}

static inline real largest_of(const real *scores, int64_t V) {
    real largest = scores[0];
    for (int64_t i = 1; i < V; i++)
        largest = scores[i] > largest ? scores[i] : largest;
    return largest;
}

/* Draws an index from scores [V]: the first whose cumulative probability reaches `uniform`, a number in [0, 1). With
   `single`, probabilities are rounded to single precision first, as in sample.lua. If their sum is 0 or not finite, as
   at very low temperatures, the largest score is subtracted first. probabilities [V]: scratch memory. */
static inline int64_t categorical(const real *scores, double temperature, double uniform, int64_t V, int64_t single,
                         real *probabilities) {
    real total = weigh(probabilities, scores, 0, temperature, V);
    if (!(total > 0 && total < INFINITY))
        total = weigh(probabilities, scores, largest_of(scores, V), temperature, V);
    double sum = 0, running = 0;
    for (int64_t i = 0; i < V; i++) {
        probabilities[i] /= total;
        if (single)
            probabilities[i] = (float)probabilities[i];
        sum += probabilities[i];
    }
    for (int64_t i = 0; i < V - 1; i++) {
        running += probabilities[i];
        if (!(running / sum < uniform))
            return i;
    }
    return V - 1;
}
