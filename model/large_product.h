/* Products of any two matrices, such as those over all time steps at once.
 *
 * Each thread computes some rows of the result without synchronization. The inner index is divided into the blocks of
 * product.h, and a few blocks form a group. A thread packs a group of rows of the right matrix into panels. Then it
 * copies a strip of its left rows at a time, so that it stays in the thread's caches, and multiplies it by all panels.
 * Each number of the result is the sum of the blocks' sums, in order, for any number of threads.
 *
 * Torch7 adds to a weight's gradient once for each time step, from the last to the first. So the inner index of such a
 * product is [steps, length], and the steps are taken backward. Other products have one step.
 */
#pragma once
#include <string.h>

#include "product.h"
#include "real.h"

enum {
    GROUP = 1024 / sizeof(real),                /* maximum rows of right in a group, unless one block is longer */
    PADDING = 64 / sizeof(real),                /* numbers of a cache line */
    STRIP_ROWS = 8 * TILE_ROWS,                 /* left rows that are copied at a time */
};
_Static_assert(GROUP <= LONGEST_BLOCK, "a group must fit where the longest block does");

/* A block of the inner index: the range from start. */
typedef struct {
    int64_t start, length;
} Block;

/* Consecutive blocks, in the order in which they are summed. */
typedef struct {
    Block blocks[LONGEST_BLOCK];
    int64_t count, length; /* number of blocks; sum of their lengths */
} Group;

/* Returns the distance between the rows of a copied tile. It is an odd number of cache lines, so that rows do not map
   to the same cache sets. */
static inline int64_t padded(const Group *group) {
    return (group->length + 2 * PADDING - 1) / (2 * PADDING) * (2 * PADDING) + PADDING;
}

/* Returns the next block of an inner index [steps, length]: in the same step, or the first of the previous step. Its
   length is 0 after the last block. */
static inline Block next_block(Block before, int64_t length) {
    const int64_t end = before.start + before.length, start = end % length ? end : end - 2 * length;
    return start < 0 ? (Block){0, 0} : (Block){start, block_length(length - start % length)};
}

/* Returns the first block, which is in the last step. */
static inline Block first_block(int64_t inner, int64_t length) {
    return next_block((Block){inner + length, 0}, length);
}

/* Returns the group that begins with a block. */
static inline Group group_from(Block block, int64_t length) {
    Group group = {.count = 0};
    while (block.length && (!group.count || group.length + block.length <= GROUP)) {
        group.blocks[group.count++] = block;
        group.length += block.length;
        block = next_block(block, length);
    }
    return group;
}

/* Copies `width` columns of a matrix, whose rows are `step` numbers apart, to the rows of a tile [rows, TILE_ROWS]. */
static inline void copy_across(const real *columns, int64_t step, int64_t rows, int64_t width, real *copy) {
    if (width == TILE_ROWS) /* a constant size compiles to faster code */
        for (int64_t k = 0; k < rows; k++)
            memcpy(copy + k * TILE_ROWS, columns + k * step, TILE_ROWS * sizeof(real));
    else
        for (int64_t k = 0; k < rows; k++)
            memcpy(copy + k * TILE_ROWS, columns + k * step, width * sizeof(real));
}

/* Copies a strip, up to STRIP_ROWS rows of a matrix in the columns of a block, to column `place` of a copy that is
   stored tile by tile. step: padded(group). */
static inline void copy_strip(Matrix strip, int64_t place, real *copy, int64_t step) {
    if (strip.column_step == 1) {
        for (int64_t r = 0; r < strip.rows; r++)
            memcpy(copy + r * step + place, strip.numbers + r * strip.row_step, strip.columns * sizeof(real));
        return;
    }
    for (int64_t k = 0; k < strip.columns; k += PACKED_ROWS)
        for (int64_t r = 0; r < strip.rows; r += TILE_ROWS)
            copy_across(strip.numbers + r + k * strip.column_step, strip.column_step,
                        min_int64(strip.columns - k, PACKED_ROWS), min_int64(strip.rows - r, TILE_ROWS),
                        copy + r * step + (place + k) * TILE_ROWS);
}

/* Returns the rows of a tile in that copy, in the columns of a block. */
static inline Matrix copied_tile(Matrix strip, real *copy, int64_t step, int64_t row, int64_t place, int64_t length) {
    const int64_t rows = min_int64(strip.rows - row, TILE_ROWS);
    if (strip.column_step == 1)
        return (Matrix){copy + row * step + place, rows, length, step, 1};
    return (Matrix){copy + row * step + place * TILE_ROWS, rows, length, 1, TILE_ROWS};
}

/* Returns the strip of left that begins at row `top` and ends at `bottom` or earlier, in the columns of a block. */
static inline Matrix strip_of(Matrix left, int64_t top, int64_t bottom, Block block) {
    return (Matrix){left.numbers + top * left.row_step + block.start * left.column_step,
                    min_int64(bottom - top, STRIP_ROWS), block.length, left.row_step, left.column_step};
}

/* Prefetches one of `pieces` parts of a strip, which may be empty, into the cache while others are computed. */
static inline void prefetch(Matrix strip, int64_t piece, int64_t pieces) {
    const int along_rows = strip.column_step == 1;
    const int64_t lines = along_rows ? strip.rows : strip.columns, length = along_rows ? strip.columns : strip.rows;
    const int64_t step = along_rows ? strip.row_step : strip.column_step;
    for (int64_t i = lines * piece / pieces; i < lines * (piece + 1) / pieces; i++)
        for (int64_t j = 0; j < length; j += PACKED_ROWS)
            __builtin_prefetch(strip.numbers + i * step + j, 0, 2);
}

/* Sets result to left times a panel, or adds the product to it if `add` is set, with four sums in all rows. */
static inline void product_with_four_sums(Matrix result, Matrix left, const real *panel, FourSums four_sums, int add) {
    if (result.rows == TILE_ROWS && left.columns % 8 == 0 && all_have_four_sums(four_sums, result.columns)) {
        four_sums_tiles(&result, &left, panel, add);
        return;
    }
    for (int64_t r = 0; r < result.rows; r++) {
        const Matrix row = {result.numbers + r * result.row_step, 1, result.columns, result.row_step, 1};
        const Matrix left_row = {left.numbers + r * left.row_step, 1, left.columns, 1, left.column_step};
        four_sums_tile(row, left_row, panel, four_sums, add);
    }
}

/* Sets result [strip.rows, columns] to a copied strip times packed panels, or adds the product to it if `add` is set.
   four_sums: the width of FourSums, for all rows. next: the strip to prefetch. */
static inline void strip_product(Matrix result, Matrix strip, real *copy, const real *packed, const Group *group,
                                 int add, int64_t four_sums, Matrix next) {
    const int64_t tiles = (strip.rows + TILE_ROWS - 1) / TILE_ROWS;
    const int64_t panels = panels_of(result.columns);
    for (int64_t i = 0; i < tiles; i++)
        for (int64_t j = 0; j < panels; j++) {
            const int64_t rows = min_int64(strip.rows - i * TILE_ROWS, TILE_ROWS);
            const Matrix part = {result.numbers + i * TILE_ROWS * result.row_step + j * PANEL_WIDTH, rows,
                                 min_int64(result.columns - j * PANEL_WIDTH, PANEL_WIDTH), result.row_step, 1};
            prefetch(next, i * panels + j, tiles * panels);
            for (int64_t b = 0, place = 0; b < group->count; place += group->blocks[b++].length) {
                const int64_t length = group->blocks[b].length;
                const Matrix left = copied_tile(strip, copy, padded(group), i * TILE_ROWS, place, length);
                const real *panel = packed + (j * group->length + place) * PANEL_WIDTH;
                if (four_sums)
                    product_with_four_sums(part, left, panel, (FourSums){four_sums, j * PANEL_WIDTH}, add || b);
                else
                    tile_of_any_height(&part, &left, panel, add || b);
            }
        }
}

/* The product of left [rows, inner] and right [inner, columns]. */
typedef struct {
    Matrix result, left, right;
    int64_t length;    /* length of a step: inner is steps * length */
    int64_t four_sums; /* the width of FourSums, for all rows */
} Product;

/* Computes the rows of result from `top` to `bottom`. space: large_product_space(columns) numbers. */
static inline void large_product_rows(const Product *product, int64_t top, int64_t bottom, real *space) {
    const Matrix left = product->left, right = product->right, result = product->result;
    real *packed = space, *copy = space + packed_size(right.columns, LONGEST_BLOCK);
    Group group = group_from(first_block(left.columns, product->length), product->length);
    for (int add = 0; group.count; add = 1) {
        for (int64_t b = 0, place = 0; b < group.count; place += group.blocks[b++].length)
            pack_panels(right.numbers + group.blocks[b].start * right.row_step, right.row_step, right.column_step,
                        group.blocks[b].length, right.columns, packed + place * PANEL_WIDTH, group.length);
        const Block last = group.blocks[group.count - 1];
        const Group next_group = group_from(next_block(last, product->length), product->length);
        for (int64_t row = top; row < bottom; row += STRIP_ROWS) {
            const Matrix strip = strip_of(left, row, bottom, group.blocks[0]);
            for (int64_t b = 0, place = 0; b < group.count; place += group.blocks[b++].length)
                copy_strip(strip_of(left, row, bottom, group.blocks[b]), place, copy, padded(&group));
            const Matrix next = row + STRIP_ROWS < bottom ? strip_of(left, row + STRIP_ROWS, bottom, group.blocks[0])
                                : next_group.count        ? strip_of(left, top, bottom, next_group.blocks[0])
                                                          : (Matrix){0};
            const Matrix part = {result.numbers + row * result.row_step, strip.rows, right.columns, result.row_step, 1};
            strip_product(part, strip, copy, packed, &group, add, product->four_sums, next);
        }
        group = next_group;
    }
}

/* Returns the size of a thread's scratch memory in numbers. */
static inline int64_t large_product_space(int64_t columns) {
    return packed_size(columns, LONGEST_BLOCK) + STRIP_ROWS * (LONGEST_BLOCK + 2 * PADDING);
}

/* Computes a product with at most `most` threads. space: large_product_space(columns) numbers for each of them. */
static inline void large_product(Product product, real *space, int64_t most) {
    const int64_t rows = product.left.rows, columns = product.right.columns;
    const int64_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS, size = large_product_space(columns);
    const int worth_sharing = rows * product.left.columns * columns > 100000;
    most = min_int64(most, omp_get_max_threads());
#pragma omp parallel num_threads(worth_sharing ? most : 1)
    {
        const int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
        const int64_t top = tiles * thread / threads * TILE_ROWS, bottom = tiles * (thread + 1) / threads * TILE_ROWS;
        large_product_rows(&product, top, min_int64(bottom, rows), space + thread * size);
    }
}
