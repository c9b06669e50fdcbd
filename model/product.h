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
#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define TILE_ROWS 12 /* times two vectors: of 32 registers */
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#define TILE_ROWS 6 /* of 16 */
#else
#define VECTOR_BYTES 16
#define TILE_ROWS 6
#endif
#define LANES (VECTOR_BYTES / (long)sizeof(real))
#define WIDTH (2 * LANES)
typedef real vector __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

/* right [inner, columns] → packed [columns / WIDTH, rounded up][inner][WIDTH], with zeros where there is no column.
   From one row of right to the next it is row_step numbers, from one column to the next column_step.
   Returns where packed ends. */
static real *pack(const real *right, long row_step, long column_step, long inner, long columns, real *packed) {
    _Pragma("omp parallel for if (inner * columns > 10000)")
    for (long from = 0; from < columns; from += WIDTH)
        for (long k = 0; k < inner; k++)
            for (long j = 0; j < WIDTH; j++)
                packed[from * inner + k * WIDTH + j] =
                    from + j < columns ? right[k * row_step + (from + j) * column_step] : 0;
    return packed + (columns + WIDTH - 1) / WIDTH * WIDTH * inner;
}

#pragma GCC push_options
#pragma GCC optimize("fp-contract=fast") /* a multiplication and an addition are one instruction */

/* `width` columns of result: kept or not, plus left [rows, inner] times a panel. Inlined for each number of rows. */
static inline __attribute__((always_inline)) void tile(const long rows, long inner, const real *left, long left_width,
                                                       const real *panel, int keep, real *result, long result_width,
                                                       long width) {
    vector sum[TILE_ROWS][2] = {0};
    for (long k = 0; k < inner; k++) {
        const vector *columns = (const vector *)(panel + k * WIDTH);
        const vector first = columns[0], second = columns[1];
        _Pragma("GCC unroll 12")
        for (long r = 0; r < rows; r++) {
            sum[r][0] += left[r * left_width + k] * first;
            sum[r][1] += left[r * left_width + k] * second;
        }
    }
    if (width < WIDTH) {
        for (long r = 0; r < rows; r++)
            for (long j = 0; j < width; j++) {
                real *number = result + r * result_width + j;
                *number = (keep ? *number : 0) + sum[r][j / LANES][j % LANES];
            }
        return;
    }
    _Pragma("GCC unroll 12")
    for (long r = 0; r < rows; r++) {
        vector *to = (vector *)(result + r * result_width);
        if (keep)
            sum[r][0] += to[0], sum[r][1] += to[1];
        to[0] = sum[r][0], to[1] = sum[r][1];
    }
}

#define CASE(rows) \
    case rows: \
        tile(rows, inner, left, left_width, panel, keep, result, result_width, width); \
        break;
static void tile_of(long rows, long inner, const real *left, long left_width, const real *panel, int keep,
                    real *result, long result_width, long width) {
    switch (rows) {
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if TILE_ROWS > 6
        CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#endif
    }
}
#pragma GCC pop_options

/* result [rows, columns] = left [rows, inner] times a packed matrix, added to what is there if `keep`. The widths are
   from one row to the next. Threads share the columns, unless they share the work already. */
static void product(long rows, long columns, long inner, const real *left, long left_width, const real *packed,
                    int keep, real *result, long result_width) {
    const long parts = (rows + TILE_ROWS - 1) / TILE_ROWS;
    _Pragma("omp parallel for if (!omp_in_parallel() && rows * columns * inner > 100000)")
    for (long from = 0; from < columns; from += WIDTH)
        for (long part = 0; part < parts; part++) {
            const long top = rows * part / parts, bottom = rows * (part + 1) / parts;
            tile_of(bottom - top, inner, left + top * left_width, left_width, packed + from * inner, keep,
                    result + top * result_width + from, result_width,
                    columns - from < WIDTH ? columns - from : WIDTH);
        }
}
