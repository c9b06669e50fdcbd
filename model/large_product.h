/* Products of any two matrices, as those over all time steps at once are.
 *
 * Each thread has rows of the left matrix, and goes its way alone: threads that meet often wait often. The inner index
 * is cut into blocks. A thread packs a block of the right matrix into panels (product.h), takes a strip of its rows at
 * a time, copies it to where it stays in the thread's own caches, and meets all panels with it. Each number of the
 * result is a sum of the blocks' sums, in order, each of them summed up from its first term on: the same for any number
 * of threads.
 */
#pragma once
#include <string.h>

#include "product.h"
#include "real.h"

enum {
    BLOCK = 1024 / sizeof(real),        /* so many columns of 12 rows take 12 kB */
    PADDED = BLOCK + 64 / sizeof(real), /* from a row of a copied tile to the next */
    STRIP_ROWS = 8 * TILE_ROWS,         /* copied at a time */
};

/* A few columns of a matrix whose rows are `step` apart, as the rows of a tile: [rows, TILE_ROWS]. */
static inline void copy_across(const real *columns, long step, long rows, long width, real *copy) {
    if (width == TILE_ROWS) /* a constant, for the compiler */
        for (long k = 0; k < rows; k++)
            memcpy(copy + k * TILE_ROWS, columns + k * step, TILE_ROWS * sizeof(real));
    else
        for (long k = 0; k < rows; k++)
            memcpy(copy + k * TILE_ROWS, columns + k * step, width * sizeof(real));
}

/* Up to STRIP_ROWS rows and BLOCK columns of a matrix, tile by tile, for the inner caches to hold. Tiles are PADDED *
   TILE_ROWS numbers apart: rows a power of two apart would push each other out. */
static inline void copy_strip(Matrix strip, real *copy) {
    if (strip.column_step == 1) {
        for (long r = 0; r < strip.rows; r++)
            memcpy(copy + r * PADDED, strip.numbers + r * strip.row_step, strip.columns * sizeof(real));
        return;
    }
    for (long k = 0; k < strip.columns; k += PACKED_ROWS)
        for (long r = 0; r < strip.rows; r += TILE_ROWS)
            copy_across(strip.numbers + r + k * strip.column_step, strip.column_step,
                        smaller(strip.columns - k, PACKED_ROWS), smaller(strip.rows - r, TILE_ROWS),
                        copy + r * PADDED + k * TILE_ROWS);
}

/* A tile's rows in that copy. */
static inline Matrix copied_tile(Matrix strip, real *copy, long row) {
    const long rows = smaller(strip.rows - row, TILE_ROWS);
    if (strip.column_step == 1)
        return (Matrix){copy + row * PADDED, rows, strip.columns, PADDED, 1};
    return (Matrix){copy + row * PADDED, rows, strip.columns, 1, TILE_ROWS};
}

/* The rows of left from `top`, up to `bottom` and no more than a strip, in the block of columns that begins at `start`;
   none if there are none. */
static inline Matrix strip_of(Matrix left, long top, long bottom, long start) {
    return (Matrix){left.numbers + top * left.row_step + start * left.column_step, smaller(bottom - top, STRIP_ROWS),
                    smaller(left.columns - start, BLOCK), left.row_step, left.column_step};
}

/* Ask for one of `pieces` of a strip, so that memory brings it while something else is computed. */
static inline void prefetch(Matrix strip, long piece, long pieces) {
    const int along_rows = strip.column_step == 1;
    const long lines = along_rows ? strip.rows : strip.columns, length = along_rows ? strip.columns : strip.rows;
    const long step = along_rows ? strip.row_step : strip.column_step;
    for (long i = lines * piece / pieces; i < lines * (piece + 1) / pieces; i++)
        for (long j = 0; j < length; j += PACKED_ROWS)
            __builtin_prefetch(strip.numbers + i * step + j, 0, 2);
}

/* result [strip.rows, columns] = a copied strip times packed panels, added to what is there with `add`. */
static inline void strip_product(Matrix result, Matrix strip, real *copy, const real *packed, int add, Matrix next) {
    const long tiles = (strip.rows + TILE_ROWS - 1) / TILE_ROWS;
    const long panels = (result.columns + PANEL_WIDTH - 1) / PANEL_WIDTH;
    for (long i = 0; i < tiles; i++)
        for (long j = 0; j < panels; j++) {
            const Matrix tile = copied_tile(strip, copy, i * TILE_ROWS);
            const Matrix part = {result.numbers + i * TILE_ROWS * result.row_step + j * PANEL_WIDTH, tile.rows,
                                 smaller(result.columns - j * PANEL_WIDTH, PANEL_WIDTH), result.row_step, 1};
            prefetch(next, i * panels + j, tiles * panels);
            tile_of_any_height(part, tile, packed + j * PANEL_WIDTH * strip.columns, add);
        }
}

/* Rows of result from `top` to `bottom`. */
static inline void large_product_rows(Matrix result, Matrix left, Matrix right, long top, long bottom, real *space) {
    real *packed = space, *copy = space + packed_size(right.columns, BLOCK);
    for (long start = 0; start < left.columns; start += BLOCK) {
        const long depth = smaller(left.columns - start, BLOCK);
        pack_panels(right.numbers + start * right.row_step, right.row_step, right.column_step, depth, right.columns,
                    packed);
        for (long row = top; row < bottom; row += STRIP_ROWS) {
            const Matrix strip = strip_of(left, row, bottom, start);
            const Matrix next = row + STRIP_ROWS < bottom     ? strip_of(left, row + STRIP_ROWS, bottom, start)
                                : start + BLOCK < left.columns ? strip_of(left, top, bottom, start + BLOCK)
                                                               : (Matrix){0};
            copy_strip(strip, copy);
            const Matrix part = {result.numbers + row * result.row_step, strip.rows, right.columns, result.row_step, 1};
            strip_product(part, strip, copy, packed, start > 0, next);
        }
    }
}

/* How many numbers of space a thread needs. */
static inline long large_product_space(long columns) {
    return packed_size(columns, BLOCK) + STRIP_ROWS * PADDED;
}

/* result [rows, columns] = left [rows, inner] times right [inner, columns].
   space: large_product_space(columns) numbers for each of at most `most` threads. */
static inline void large_product(Matrix result, Matrix left, Matrix right, real *space, long most) {
    const long tiles = (left.rows + TILE_ROWS - 1) / TILE_ROWS, size = large_product_space(right.columns);
    const int worth_sharing = left.rows * left.columns * right.columns > 100000;
    most = smaller(most, omp_get_max_threads());
#pragma omp parallel num_threads(worth_sharing ? most : 1)
    {
        const long thread = omp_get_thread_num(), threads = omp_get_num_threads();
        const long top = tiles * thread / threads * TILE_ROWS, bottom = tiles * (thread + 1) / threads * TILE_ROWS;
        large_product_rows(result, left, right, top, smaller(bottom, left.rows), space + thread * size);
    }
}
