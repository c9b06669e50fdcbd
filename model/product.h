/* Products with a matrix that stays the same for many of them, as h2h does for all steps of a sequence.
 *
 * At the sizes of a time step, a batch of rows times h2h, this takes 1/2 to 3/4 of the time of PyTorch's BLAS on an AMD
 * EPYC (two cores of Zen 4; float64: 100 to 113 GFLOP/s of 118 there can be, MKL 62 to 79; float32: 200 to 225 of 237,
 * MKL 110 to 160).
 *
 * The matrix is packed first: cut into panels as wide as two vectors, so that it is read from one end to the other.
 * A panel times a few rows is a tile of the result, summed up in registers. Each number of the result is one sum over
 * the inner index from 0 on, with a rounding for each term: the same for any number of threads.
 */
#pragma once
#include <omp.h>
#include <string.h>

#include "real.h"

/* A matrix, or part of a wider one. */
typedef struct {
    real *numbers;
    long rows, columns;
    long row_step, column_step; /* from one row, or column, to the next, in numbers; the latter is 1 in results */
} Matrix;

/* matrix [rows, columns], contiguous → packed, to multiply by it: packed_size(columns, rows) numbers. */
static void pack(const real *matrix, long rows, long columns, real *packed);

/* matrix [rows, columns], contiguous → packed, to multiply by its transpose: packed_size(rows, columns) numbers. */
static void pack_transposed(const real *matrix, long rows, long columns, real *packed);

/* How many numbers a packed matrix takes to multiply by: [inner, columns]. */
static inline long packed_size(long columns, long inner);

/* result [rows, columns] = left [rows, inner] times a packed matrix [inner, columns].
   Threads share the columns, unless they share the work already. */
static void set_product(Matrix result, Matrix left, const real *packed);

/* The same, added to what is in result. */
static void add_product(Matrix result, Matrix left, const real *packed);

/* ---- Vectors, panels and tiles. ---- */

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define TILE_ROWS 12 /* of 2 vectors each: 24 of the 32 registers */
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#define TILE_ROWS 6 /* 12 of the 16 registers */
#else
#define VECTOR_BYTES 16
#define TILE_ROWS 6
#endif
typedef real vector __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));
enum { LANES = VECTOR_BYTES / sizeof(real), PANEL_WIDTH = 2 * LANES };
enum { PACKED_ROWS = 64 / sizeof(real) }; /* at a time: whole lines of the cache, whichever way the matrix lies */

static inline long packed_size(long columns, long inner) {
    return (columns + PANEL_WIDTH - 1) / PANEL_WIDTH * PANEL_WIDTH * inner;
}

static inline long smaller(long a, long b) {
    return a < b ? a : b;
}

/* Some rows of a panel: of right [rows, columns], with zeros where there is no column. From one row of right to the
   next it is row_step numbers, from one column to the next column_step. */
static inline void pack_panel(const real *right, long row_step, long column_step, long rows, long columns,
                              real *panel) {
    if (columns >= PANEL_WIDTH && column_step == 1) {
        for (long k = 0; k < rows; k++)
            memcpy(panel + k * PANEL_WIDTH, right + k * row_step, PANEL_WIDTH * sizeof(real));
        return;
    }
    for (long j = 0; j < PANEL_WIDTH; j++)
        for (long k = 0; k < rows; k++)
            panel[k * PANEL_WIDTH + j] = j < columns ? right[k * row_step + j * column_step] : 0;
}

/* right [inner, columns] → packed [panels, inner, PANEL_WIDTH]. */
static inline void pack_panels(const real *right, long row_step, long column_step, long inner, long columns,
                               real *packed) {
#pragma omp parallel for if (!omp_in_parallel() && inner * columns > 10000)
    for (long k = 0; k < inner; k += PACKED_ROWS)
        for (long from = 0; from < columns; from += PANEL_WIDTH)
            pack_panel(right + k * row_step + from * column_step, row_step, column_step,
                       smaller(inner - k, PACKED_ROWS), columns - from,
                       packed + from * inner + k * PANEL_WIDTH);
}

static void pack(const real *matrix, long rows, long columns, real *packed) {
    pack_panels(matrix, columns, 1, rows, columns, packed);
}

static void pack_transposed(const real *matrix, long rows, long columns, real *packed) {
    pack_panels(matrix, 1, columns, columns, rows, packed);
}

#pragma GCC push_options
#pragma GCC optimize("fp-contract=fast") /* a multiplication and an addition are one instruction */

/* result [rows, columns ≤ PANEL_WIDTH] = left [rows, inner] times a panel, added to what is there with `add`.
   It is inlined once for each constant number of rows, so that the sums are registers; result.rows is not looked at. */
static inline __attribute__((always_inline)) void tile(const long rows, Matrix result, Matrix left, const real *panel,
                                                       int add) {
    vector sum[TILE_ROWS][2] = {0};
#pragma GCC unroll 12
    for (long r = 0; r < rows; r++) /* memory brings what is written to while the sums are taken */
        for (long j = 0; j < PANEL_WIDTH; j += 64 / sizeof(real))
            __builtin_prefetch(result.numbers + r * result.row_step + j, 1, 3);
    for (long k = 0; k < left.columns; k++) {
        const vector *both = (const vector *)(panel + k * PANEL_WIDTH);
        const vector first = both[0], second = both[1];
#pragma GCC unroll 12
        for (long r = 0; r < rows; r++) {
            sum[r][0] += left.numbers[r * left.row_step + k * left.column_step] * first;
            sum[r][1] += left.numbers[r * left.row_step + k * left.column_step] * second;
        }
    }
    if (result.columns < PANEL_WIDTH) {
        for (long r = 0; r < rows; r++)
            for (long j = 0; j < result.columns; j++) {
                real *number = result.numbers + r * result.row_step + j;
                *number = (add ? *number : 0) + sum[r][j / LANES][j % LANES];
            }
        return;
    }
#pragma GCC unroll 12
    for (long r = 0; r < rows; r++) {
        vector *both = (vector *)(result.numbers + r * result.row_step);
        if (add)
            sum[r][0] += both[0], sum[r][1] += both[1];
        both[0] = sum[r][0], both[1] = sum[r][1];
    }
}

static inline void tile_of_any_height(Matrix result, Matrix left, const real *panel, int add) {
    switch (result.rows) {
        case 1: return tile(1, result, left, panel, add);
        case 2: return tile(2, result, left, panel, add);
        case 3: return tile(3, result, left, panel, add);
        case 4: return tile(4, result, left, panel, add);
        case 5: return tile(5, result, left, panel, add);
        case 6: return tile(6, result, left, panel, add);
#if TILE_ROWS > 6
        case 7: return tile(7, result, left, panel, add);
        case 8: return tile(8, result, left, panel, add);
        case 9: return tile(9, result, left, panel, add);
        case 10: return tile(10, result, left, panel, add);
        case 11: return tile(11, result, left, panel, add);
        case 12: return tile(12, result, left, panel, add);
#endif
    }
}

enum { ROW_PANELS = 4 }; /* so that a sum need not wait for the one before it */

/* ROW_PANELS whole panels times a single row: the same sums as those of a tile. */
static inline void row_product(real *result, const real *left, long inner, const real *panels, int add) {
    vector sum[ROW_PANELS][2] = {0};
    for (long k = 0; k < inner; k++)
#pragma GCC unroll 4
        for (long i = 0; i < ROW_PANELS; i++) {
            const vector *both = (const vector *)(panels + (i * inner + k) * PANEL_WIDTH);
            sum[i][0] += left[k] * both[0];
            sum[i][1] += left[k] * both[1];
        }
#pragma GCC unroll 4
    for (long i = 0; i < ROW_PANELS; i++) {
        vector *both = (vector *)(result + i * PANEL_WIDTH);
        if (add)
            sum[i][0] += both[0], sum[i][1] += both[1];
        both[0] = sum[i][0], both[1] = sum[i][1];
    }
}

static inline void product(Matrix result, Matrix left, const real *packed, int add) {
    const long rows = result.rows, columns = result.columns, inner = left.columns;
    const long tiles = (rows + TILE_ROWS - 1) / TILE_ROWS; /* in a column of them; as alike in height as can be */
    const int share = !omp_in_parallel() && rows * columns * inner > 100000;
    const long in_rows = rows == 1 ? columns / (ROW_PANELS * PANEL_WIDTH) * ROW_PANELS * PANEL_WIDTH : 0;
#pragma omp parallel for if (share)
    for (long from = 0; from < in_rows; from += ROW_PANELS * PANEL_WIDTH)
        row_product(result.numbers + from, left.numbers, inner, packed + from * inner, add);
#pragma omp parallel for if (share)
    for (long from = in_rows; from < columns; from += PANEL_WIDTH)
        for (long i = 0; i < tiles; i++) {
            const long top = rows * i / tiles, height = rows * (i + 1) / tiles - top;
            const long width = smaller(columns - from, PANEL_WIDTH);
            const Matrix part = {result.numbers + top * result.row_step + from, height, width, result.row_step, 1};
            const Matrix left_part = {left.numbers + top * left.row_step, height, inner, left.row_step, 1};
            tile_of_any_height(part, left_part, packed + from * inner, add);
        }
}
#pragma GCC pop_options

static void set_product(Matrix result, Matrix left, const real *packed) {
    product(result, left, packed, 0);
}

static void add_product(Matrix result, Matrix left, const real *packed) {
    product(result, left, packed, 1);
}
