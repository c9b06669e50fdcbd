/* The parts into which threads divide a pass: some rows of the batch, and some units of the layer in these rows.
 *
 * A step function (sequence.c) does its part of a time step. `walk` calls it for all time steps.
 */
#pragma once
#include <stdatomic.h>
#include <time.h>

#include "layer.h"
#include "product.h"
#include "real.h"
#include "threads.h"

/* A thread's part of the work of each time step: some rows of the batch, and some units in these. */
typedef struct {
    Range rows, units;
    int64_t group, groups; /* number of the group of units, and their number */
} Part;

/* A function that does a part of time step t of a pass. */
typedef void Step(const Layer *layer, int64_t t, Part part);

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

/* Sets h2h_product for a gate to h, or a matrix like it, times the gate's weights. width: output size of nn.Linear. */
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

enum { SMALLEST_PART = 16000 }; /* weights that a thread reads in a step, in 1 to 2 us; a barrier takes 0.4 or more */

/* Returns the division of B rows over some threads. Rows do not need each other: a thread can take its rows through the
   whole sequence. But units are shared, which needs a barrier in each time step,
   - if a core's cache cannot hold the weights, so that a core reads only those of its units; and
   - if there are fewer rows than threads. */
static inline Division division_of(const Layer *layer, int64_t B, int64_t threads) {
    const int64_t weights = layer->n * layer->H, most = min_int64(threads / B, weights / SMALLEST_PART);
    const int large = weights * (int64_t)sizeof(real) > 1 << 20;
    const int64_t units = min_int64(large ? threads : most > 1 ? most : 1, panels_of(layer->H));
    return (Division){min_int64(threads / units, B), units};
}

/* Returns one of several groups of columns. All consist of whole panels (product.h), except that the last one ends at
   the last column. */
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

/* ---- Beside other programs. ----
 *
 * Where another program has the core of a thread that others wait for, they wait for the end of its time slice: several
 * milliseconds, hundreds of times as long as a step of one text. Then one thread is faster alone. So the time is added
 * up that shared steps take longer than twice a thread alone. Beyond PATIENCE one thread works alone for a second.
 * Results do not depend on it.
 */
#ifndef PATIENCE
#define PATIENCE 10000000 /* nanoseconds */
#endif
enum { SECOND = 1000000000 };

static _Atomic int64_t lost_time, alone_until; /* in nanoseconds */

static inline int64_t nanoseconds(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

/* Returns the number of threads for short steps: 1 while one thread works alone. */
static inline int64_t threads_now(void) {
    const int64_t left = atomic_load(&alone_until) - nanoseconds(); /* more than a second if the clock was set back */
    return left > 0 && left <= SECOND ? 1 : omp_get_max_threads();
}

/* Notes the duration of a shared step that multiplies `rows` rows by `weights` weights. Returns whether one thread
   should work alone from now on. */
static inline int is_contended(int64_t duration, int64_t rows, int64_t weights) {
    const int64_t alone = rows * weights * (int64_t)sizeof(real) / 32; /* one row: the weights at 32 GB/s */
    const int64_t lost = atomic_load(&lost_time) + duration - 2 * alone;
    atomic_store(&lost_time, lost < 0 || lost > PATIENCE ? 0 : lost);
    if (lost <= PATIENCE)
        return 0;
    atomic_store(&alone_until, nanoseconds() + SECOND);
    return 1;
}

/* ---- The loop. ---- */

/* Does step i of a pass. */
static inline void do_step(const Layer *layer, Direction direction, Step *step, int64_t i, Part part) {
    step(layer, direction == FORWARD ? i : layer->T - 1 - i, part);
}

/* Does all time steps. */
static void walk(const Layer *layer, Direction direction, Step *step) {
    const int few_rows = layer->B < omp_get_max_threads();
    const Division most = division_of(layer, layer->B, few_rows ? threads_now() : omp_get_max_threads());
    _Atomic int64_t end = layer->T; /* of the steps that threads share */
#pragma omp parallel num_threads(most.rows * most.units)
    {
        /* The system may have started fewer threads. */
        const Division division = division_of(layer, layer->B, omp_get_num_threads());
        const Part part = part_of(layer, layer->B, division, omp_get_thread_num());
        int watches = few_rows && division.units > 1 && omp_get_thread_num() == 0;
        int64_t before = watches ? nanoseconds() : 0;
        for (int64_t i = 0; i < atomic_load(&end); i++) {
            do_step(layer, direction, step, i, part);
            if (!watches)
                continue;
            const int64_t now = nanoseconds();
            if (is_contended(now - before, layer->B, layer->n * layer->H) && i + 2 < layer->T) {
                atomic_store(&end, i + 2); /* the others may be in the next step already: all end after it */
                watches = 0;
            }
            before = now;
        }
    }
    const Part whole = {.rows = {0, layer->B}, .units = {0, layer->H}, .groups = 1};
    for (int64_t i = end; i < layer->T; i++)
        do_step(layer, direction, step, i, whole);
}
