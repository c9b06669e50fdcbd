/* Products with the same right matrix many times, like h2h in all steps of a sequence.
 *
 * At the sizes of a time step, a batch of rows times h2h, this takes 1/2 to 3/4 of the time of PyTorch's BLAS on an AMD
 * EPYC (two cores of Zen 4; float64: 100 to 113 GFLOP/s of a peak of 118, MKL 62 to 79; float32: 200 to 225 of 237, MKL
 * 110 to 160).
 *
 * The matrix is packed first: it is divided into panels of two vectors' width, which are read sequentially. A panel
 * times a few rows is a tile of the result, which is summed in registers.
 *
 * Each number of the result is summed in the order of OpenBLAS's dgemm as Torch7 called it (the Haswell kernels of
 * version 0.3.21), for any number of threads. The inner index is divided into blocks (block_length). The terms of a
 * block are added to 0 one by one, with fused multiply-adds, and their sum is added to the result. four_sums_tile is
 * the exception: one row or sequence, if their number is odd, is summed in another order.
 */
#pragma once
#include <string.h>

#include "real.h"
#include "threads.h"
#include "vectors.h"

/* A matrix, or a part of a wider one. */
typedef struct {
    real *numbers;
    int64_t rows, columns;
    int64_t row_step, column_step; /* distances between rows and columns, in numbers; column_step is 1 in results */
} Matrix;

/* Packs matrix [rows, columns], contiguous, to multiply by it. packed: packed_size(columns, rows) numbers. */
static void pack(const real *matrix, int64_t rows, int64_t columns, real *packed);

/* Packs matrix [rows, columns], contiguous, to multiply by its transpose. packed: packed_size(rows, columns)
   numbers. */
static void pack_transposed(const real *matrix, int64_t rows, int64_t columns, real *packed);

/* Returns the size of a packed matrix [inner, columns] in numbers. */
static inline int64_t packed_size(int64_t columns, int64_t inner);

/* Which columns of a row are summed by four_sums_tile: of each nn.Linear's `width` columns, those below the last
   multiple of 4. Several nn.Linears' outputs lie side by side, and `from` is the index of the first column among
   them. */
typedef struct {
    int64_t width, from; /* width is 0 if there is no such row */
} FourSums;

/* Computes result [rows, columns] = left [rows, inner] times packed columns, whose first one begins a panel. Unless its
   width is 0, `four_sums` is for the last row. */
static void set_product(Matrix result, Matrix left, const real *packed, FourSums four_sums);

enum { PANEL_WIDTH = 2 * LANES };
enum { PACKED_ROWS = 64 / sizeof(real) }; /* packed at a time, whole cache lines in either layout */
enum { LONGEST_BLOCK = 256 };
enum { ROWS_AHEAD = 32 }; /* rows of a panel that are prefetched: a single row of left has little to do with each */

/* Returns the number of panels of a matrix. */
static inline int64_t panels_of(int64_t columns) {
    return (columns + PANEL_WIDTH - 1) / PANEL_WIDTH;
}

static inline int64_t packed_size(int64_t columns, int64_t inner) {
    return panels_of(columns) * PANEL_WIDTH * inner;
}

static inline int64_t min_int64(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Returns the length of the next block of the inner index, where `left` terms remain. */
static inline int64_t block_length(int64_t left) {
    return left >= 2 * LONGEST_BLOCK ? LONGEST_BLOCK : left > LONGEST_BLOCK ? (left / 2 + 3) / 4 * 4 : left;
}

/* Packs some rows of a panel from right [rows, columns], and fills missing columns with zeros. row_step and column_step
   are the distances between rows and columns of right, in numbers. */
static inline void pack_panel(const real *right, int64_t row_step, int64_t column_step, int64_t rows, int64_t columns,
                              real *panel) {
    if (columns >= PANEL_WIDTH && column_step == 1) {
        for (int64_t k = 0; k < rows; k++)
            memcpy(panel + k * PANEL_WIDTH, right + k * row_step, PANEL_WIDTH * sizeof(real));
        return;
    }
    for (int64_t j = 0; j < PANEL_WIDTH; j++)
        for (int64_t k = 0; k < rows; k++)
            panel[k * PANEL_WIDTH + j] = j < columns ? right[k * row_step + j * column_step] : 0;
}

/* Packs right [inner, columns] into a part of packed [panels, height, PANEL_WIDTH], from some row of each panel on. */
static inline void pack_panels(const real *right, int64_t row_step, int64_t column_step, int64_t inner, int64_t columns,
                               real *packed, int64_t height) {
#pragma omp parallel for if (!omp_in_parallel() && inner * columns > 10000)
    for (int64_t k = 0; k < inner; k += PACKED_ROWS)
        for (int64_t from = 0; from < columns; from += PANEL_WIDTH)
            pack_panel(right + k * row_step + from * column_step, row_step, column_step,
                       min_int64(inner - k, PACKED_ROWS), columns - from, packed + from * height + k * PANEL_WIDTH);
}

static void pack(const real *matrix, int64_t rows, int64_t columns, real *packed) {
    pack_panels(matrix, columns, 1, rows, columns, packed, rows);
}

static void pack_transposed(const real *matrix, int64_t rows, int64_t columns, real *packed) {
    pack_panels(matrix, 1, columns, columns, rows, packed, columns);
}

/* Stores the first `columns` numbers of a row of a tile. It is a separate function, since indexing the sums would move
   them from registers to memory in the loop of `tile`. */
static __attribute__((noinline)) void store_some(real *numbers, vector first, vector second, int64_t columns, int add) {
    const vector both[2] = {first, second};
    for (int64_t j = 0; j < columns; j++)
        numbers[j] = (add ? numbers[j] : 0) + ((const real *)both)[j];
}

/* Sets result [rows, columns <= PANEL_WIDTH] to left [rows, inner] times every step-th row of a panel, or adds the
   product to it if `add` is set. inner is at most a block. The function is inlined for each constant number of rows, so
   that the sums are kept in registers; result.rows is ignored. */
static inline __attribute__((always_inline)) void tile(const int64_t rows, Matrix result, Matrix left,
                                                       const real *panel, const int64_t step, int add) {
    vector sum[TILE_ROWS][2] = {0};
    UNROLL
    for (int64_t r = 0; r < rows; r++) /* prefetch the memory of the result while the sums are computed */
        for (int64_t j = 0; j < PANEL_WIDTH; j += 64 / sizeof(real))
            __builtin_prefetch(result.numbers + r * result.row_step + j, 1, 3);
    for (int64_t k = 0; k < left.columns; k++) {
        const stored_vector *both = (const stored_vector *)(panel + k * step * PANEL_WIDTH);
        const vector first = both[0], second = both[1];
        UNROLL
        for (int64_t r = 0; r < rows; r++) {
            const real factor = left.numbers[r * left.row_step + k * left.column_step];
            sum[r][0] = add_multiple(sum[r][0], factor, first);
            sum[r][1] = add_multiple(sum[r][1], factor, second);
        }
    }
    if (result.columns < PANEL_WIDTH) {
        UNROLL
        for (int64_t r = 0; r < rows; r++)
            store_some(result.numbers + r * result.row_step, sum[r][0], sum[r][1], result.columns, add);
        return;
    }
    UNROLL
    for (int64_t r = 0; r < rows; r++) {
        stored_vector *both = (stored_vector *)(result.numbers + r * result.row_step);
        if (add)
            sum[r][0] += both[0], sum[r][1] += both[1];
        both[0] = sum[r][0], both[1] = sum[r][1];
    }
}

/* Not inlined, since the sums need all registers. The matrices are not passed as values, since clang would copy them in
   vectors from the scalars that were just stored, which stalls. */
static __attribute__((noinline)) void tile_of_any_height(const Matrix *result, const Matrix *left, const real *panel,
                                                         int add) {
    switch (result->rows) {
        case 1: return tile(1, *result, *left, panel, 1, add);
        case 2: return tile(2, *result, *left, panel, 1, add);
        case 3: return tile(3, *result, *left, panel, 1, add);
        case 4: return tile(4, *result, *left, panel, 1, add);
        case 5: return tile(5, *result, *left, panel, 1, add);
        case 6: return tile(6, *result, *left, panel, 1, add);
#if TILE_ROWS > 6
        case 7: return tile(7, *result, *left, panel, 1, add);
        case 8: return tile(8, *result, *left, panel, 1, add);
        case 9: return tile(9, *result, *left, panel, 1, add);
        case 10: return tile(10, *result, *left, panel, 1, add);
        case 11: return tile(11, *result, *left, panel, 1, add);
        case 12: return tile(12, *result, *left, panel, 1, add);
#endif
    }
}

/* Prefetches a later row of a panel from the second level of the cache: 1.2 to 1.4 times as fast on Zen 3. */
static inline void prefetch_row(const real *panel, int64_t row) {
    UNROLL
    for (int64_t j = 0; j < PANEL_WIDTH; j += 64 / sizeof(real))
        __builtin_prefetch(panel + row * PANEL_WIDTH + j, 0, 3);
}

/* Adds terms of a row times a panel to sums[0] to sums[3] in turn; `terms` is a multiple of 4. Which sum a term goes
   to is a constant in each unrolled step, and the rest of a tile is in a loop of its own: so sums stay in registers. */
static inline void add_in_turn(vector sums[4][2], const real *left, int64_t step, int64_t terms, const real *panel) {
    for (int64_t k = 0; k < terms; k += 4) {
        UNROLL
        for (int64_t i = 0; i < 4; i++) {
            const stored_vector *both = (const stored_vector *)(panel + (k + i) * PANEL_WIDTH);
            const real factor = left[(k + i) * step];
            prefetch_row(panel, k + i + ROWS_AHEAD);
            sums[i][0] = add_multiple(sums[i][0], factor, both[0]);
            sums[i][1] = add_multiple(sums[i][1], factor, both[1]);
        }
    }
}

/* Adds terms of a row times a panel to one sum. */
static inline void add_in_order(vector sum[2], const real *left, int64_t step, int64_t terms, const real *panel) {
    for (int64_t k = 0; k < terms; k++) {
        const stored_vector *both = (const stored_vector *)(panel + k * PANEL_WIDTH);
        sum[0] = add_multiple(sum[0], left[k * step], both[0]);
        sum[1] = add_multiple(sum[1], left[k * step], both[1]);
    }
}

/* Returns whether all columns of a panel are summed by four_sums_tile. */
static inline int all_have_four_sums(FourSums four_sums, int64_t columns) {
    return columns == PANEL_WIDTH && four_sums.from % four_sums.width + PANEL_WIDTH <= four_sums.width / 4 * 4;
}

/* Computes the last row of an odd number of rows in the order of OpenBLAS (whose matrices are column-major: there it is
   the last column). Term k of a block is added to sum k mod 4, and terms after the last multiple of 8 to sum 0. The
   result is (sum 0 + sum 1) + (sum 2 + sum 3), in the columns that four_sums says; the others have one sum as usual. */
static inline void four_sums_tile(Matrix result, Matrix left, const real *panel, FourSums four_sums, int add) {
    const int64_t width = four_sums.width, from = four_sums.from;
    const int64_t in_turn = left.columns / 8 * 8, step = left.column_step;
    vector sums[4][2] = {0}, one_sum[2] = {0};
    add_in_turn(sums, left.numbers, step, in_turn, panel);
    add_in_order(sums[0], left.numbers + in_turn * step, step, left.columns - in_turn, panel + in_turn * PANEL_WIDTH);
    for (int i = 0; i < 2; i++)
        sums[0][i] = (sums[0][i] + sums[1][i]) + (sums[2][i] + sums[3][i]);
    if (all_have_four_sums(four_sums, result.columns)) {
        stored_vector *both = (stored_vector *)result.numbers;
        if (add)
            sums[0][0] += both[0], sums[0][1] += both[1];
        both[0] = sums[0][0], both[1] = sums[0][1];
        return;
    }
    if (width % 4)
        add_in_order(one_sum, left.numbers, step, left.columns, panel);
    for (int64_t j = 0; j < min_int64(result.columns, PANEL_WIDTH); j++) {
        const real *sum = (const real *)((from + j) % width < width / 4 * 4 ? sums[0] : one_sum);
        result.numbers[j] = (add ? result.numbers[j] : 0) + sum[j];
    }
}

/* Does the same for TILE_ROWS rows and a whole panel, if the number of terms is a multiple of 8: each sum is a tile. */
static __attribute__((noinline)) void four_sums_tiles(const Matrix *result, const Matrix *left, const real *panel,
                                                      int add) {
    stored_vector sums[4][TILE_ROWS][2];
    for (int64_t i = 0; i < 4; i++) {
        const Matrix sum = {(real *)sums[i], TILE_ROWS, PANEL_WIDTH, PANEL_WIDTH, 1};
        const Matrix terms = {left->numbers + i * left->column_step, TILE_ROWS, left->columns / 4, left->row_step,
                              4 * left->column_step};
        tile(TILE_ROWS, sum, terms, panel + i * PANEL_WIDTH, 4, 0);
    }
    for (int64_t r = 0; r < TILE_ROWS; r++)
        for (int i = 0; i < 2; i++) {
            stored_vector *target = (stored_vector *)(result->numbers + r * result->row_step) + i;
            vector sum = (sums[0][r][i] + sums[1][r][i]) + (sums[2][r][i] + sums[3][r][i]);
            if (add)
                sum += *target;
            *target = sum;
        }
}

enum { ROW_PANELS = 4 }; /* independent sums hide the latency of an addition */

/* Multiplies a block of a single row by ROW_PANELS whole panels of `height` rows, with the same sums as a tile. */
static inline void row_product(real *result, const real *left, int64_t inner, const real *panels, int64_t height,
                               int add) {
    vector sum[ROW_PANELS][2] = {0};
    for (int64_t k = 0; k < inner; k++) {
        UNROLL
        for (int64_t i = 0; i < ROW_PANELS; i++) {
            const stored_vector *both = (const stored_vector *)(panels + (i * height + k) * PANEL_WIDTH);
            prefetch_row(panels, i * height + k + ROWS_AHEAD);
            sum[i][0] = add_multiple(sum[i][0], left[k], both[0]);
            sum[i][1] = add_multiple(sum[i][1], left[k], both[1]);
        }
    }
    UNROLL
    for (int64_t i = 0; i < ROW_PANELS; i++) {
        stored_vector *both = (stored_vector *)(result + i * PANEL_WIDTH);
        if (add)
            sum[i][0] += both[0], sum[i][1] += both[1];
        both[0] = sum[i][0], both[1] = sum[i][1];
    }
}

/* Computes the tiles of all rows for one panel. */
static inline void panel_product(Matrix result, Matrix left, const real *panel) {
    const int64_t rows = result.rows, inner = left.columns;
    const int64_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS; /* as equal in height as possible */
    for (int64_t i = 0; i < tiles; i++) {
        const int64_t top = rows * i / tiles, height = rows * (i + 1) / tiles - top;
        const Matrix part = {result.numbers + top * result.row_step, height, result.columns, result.row_step, 1};
        for (int64_t k = 0, length; k < inner; k += length) {
            length = block_length(inner - k);
            const Matrix left_part = {left.numbers + top * left.row_step + k, height, length, left.row_step, 1};
            tile_of_any_height(&part, &left_part, panel + k * PANEL_WIDTH, k > 0);
        }
    }
}

/* Computes the row with four sums for one panel. */
static inline void four_sums_product(Matrix result, Matrix left, const real *panel, FourSums four_sums) {
    for (int64_t k = 0, length; k < left.columns; k += length) {
        length = block_length(left.columns - k);
        const Matrix left_part = {left.numbers + k, 1, length, left.row_step, 1};
        four_sums_tile(result, left_part, panel + k * PANEL_WIDTH, four_sums, k > 0);
    }
}

/* Computes a single row in as many columns as ROW_PANELS divides. Returns their number. */
static inline int64_t single_row_product(Matrix result, Matrix left, const real *packed) {
    const int64_t inner = left.columns, step = ROW_PANELS * PANEL_WIDTH, columns = result.columns / step * step;
    for (int64_t from = 0; from < columns; from += step)
        for (int64_t k = 0, length; k < inner; k += length) {
            length = block_length(inner - k);
            row_product(result.numbers + from, left.numbers + k, length, packed + from * inner + k * PANEL_WIDTH,
                        inner, k > 0);
        }
    return columns;
}

static void set_product(Matrix result, Matrix left, const real *packed, FourSums four_sums) {
    const int64_t columns = result.columns, inner = left.columns, rows = result.rows - (four_sums.width > 0);
    const int64_t done = rows == 1 ? single_row_product(result, left, packed) : 0;
    for (int64_t from = four_sums.width ? 0 : done; from < columns; from += PANEL_WIDTH) {
        const Matrix part = {result.numbers + from, rows, min_int64(columns - from, PANEL_WIDTH), result.row_step, 1};
        const Matrix last = {part.numbers + rows * result.row_step, 1, part.columns, result.row_step, 1};
        const Matrix last_left = {left.numbers + rows * left.row_step, 1, inner, left.row_step, 1};
        if (from >= done)
            panel_product(part, left, packed + from * inner);
        const FourSums here = {four_sums.width, four_sums.from + from};
        if (four_sums.width)
            four_sums_product(last, last_left, packed + from * inner, here);
    }
}
