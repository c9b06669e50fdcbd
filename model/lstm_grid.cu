// All time steps of an lstm layer in one launch, for sizes whose weights no cluster of blocks can hold
// (lstm_cluster.cu): model/cuda_lstm.py compiles this for one size and launches it.
//
// Weights stay in registers for the whole sequence here too. A group of BLOCKS blocks, up to all of the GPU, shares the
// units (numbers of h), and does ROWS rows of the batch: each block computes its units' part of a time step, writes it
// to memory, and counts up its group's counter. When all have, each reads what all have written. Groups know nothing of
// each other. All blocks must run at once, since they wait for each other: hence a cooperative launch.
//
// Threads work in teams of 4 * LANES: a team has the weights of four rows of a matrix, each thread those for every so
// many vectors of a row. Forward these are the four gates of a unit, times h; backward four units, times the gradient
// by one of their gates. Their sums meet in shared memory, where each is one (unit, row of the batch) of some thread.
//
// From the command line: REAL (float or double), H (rnn_size, a multiple of BLOCKS * 4 and of whole vectors for all
// threads), BLOCKS, ROWS, of which CHUNK are done at a time, and LANES, a power of two.
//
// Shapes as in model/lstm.py: T time steps, B rows of the batch; gates in the order in, forget, out, transform.
typedef REAL real;

constexpr int VECTOR = 16 / sizeof(real);    // numbers that are loaded at once
constexpr int UNITS_PER_BLOCK = H / BLOCKS;              // units of a block
constexpr int TEAM = 4 * LANES;                  // threads of a team
constexpr int THREADS = UNITS_PER_BLOCK * TEAM;  // of a block
constexpr int WEIGHTS = H / TEAM;            // of a thread for each of its four rows
constexpr int VECTORS = WEIGHTS / VECTOR;    // that they come in; so many can be split in stages:
constexpr int TWO = VECTORS % 2 ? 1 : 2, FOUR = VECTORS % 4 ? TWO : 4;
constexpr int ITEMS = (UNITS_PER_BLOCK * ROWS + THREADS - 1) / THREADS;  // pairs (unit, row) of a thread, at most

__device__ constexpr int power_of_two(int n) { return n <= 1 ? 1 : 2 * power_of_two((n + 1) / 2); }
constexpr int SUMS = power_of_two(CHUNK > LANES ? CHUNK : LANES);  // CHUNK rounded up, for add_up

struct __align__(16) Vector {
  real x[VECTOR];
};

#ifndef ON_CPU  // where tests have these in C++
// Copy a Vector into shared memory, in the background; `commit` ends a stage of such copies.
__device__ __forceinline__ void copy(Vector *shared, const Vector *global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((unsigned)__cvta_generic_to_shared(shared)),
               "l"(__cvta_generic_to_global(global))
               : "memory");
}

__device__ __forceinline__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Until only so many stages, the last ones, are under way.
template <int STAGES_LEFT>
__device__ __forceinline__ void arrive() {
  asm volatile("cp.async.wait_group %0;" ::"n"(STAGES_LEFT) : "memory");
}

// What the threads of the block wrote before __syncthreads, anyone may read who has seen the counter.
__device__ __forceinline__ void count_up(unsigned *counter) {
  asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(counter) : "memory");
}

__device__ __forceinline__ unsigned read(const unsigned *counter) {
  unsigned value;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(counter) : "memory");
  return value;
}

__device__ __forceinline__ void idle() {}
#endif

// Wait for a counter; each warp does on its own.
__device__ __forceinline__ void await(const unsigned *counter, unsigned value) {
  if (threadIdx.x % 32 == 0)
    while (read(counter) < value) idle();
  __syncwarp();
}

__device__ __forceinline__ real sigmoid(real x) { return real(1) / (real(1) + exp(-x)); }

// Threads whose numbers differ in the bits up to DISTANCE, inclusive, add up their COUNT values: each keeps half of
// them, the upper half if the bit is set, until COUNT / (2 * DISTANCE) sums are left to each.
template <int COUNT, int DISTANCE, int N>
__device__ __forceinline__ void add_up(real (&values)[N]) {
  if constexpr (DISTANCE > 0) {
    bool upper = threadIdx.x & DISTANCE;
#pragma unroll
    for (int i = 0; i < COUNT / 2; i++) {
      real kept = upper ? values[i + COUNT / 2] : values[i], sent = upper ? values[i] : values[i + COUNT / 2];
      values[i] = kept + __shfl_xor_sync(~0u, sent, DISTANCE);
    }
    add_up<COUNT / 2, DISTANCE / 2>(values);
  }
}

// Start copying rows of PARTS * H numbers to shared memory, in stages: each a part of the columns of all H.
template <int PARTS, int STAGES>
__device__ __forceinline__ void load(Vector *smem_in, const real *from, int rows) {
  constexpr int WIDTH = H / VECTOR / STAGES;  // in Vectors
#pragma unroll
  for (int stage = 0; stage < STAGES; stage++) {
    for (int i = threadIdx.x; i < rows * PARTS * WIDTH; i += THREADS) {
      int at = i / WIDTH * (H / VECTOR) + stage * WIDTH + i % WIDTH;
      copy(smem_in + at, (const Vector *)from + at);
    }
    commit();
  }
}

// Wait for stages from STAGE on, and do the products with each.
template <int STRIDE, int STAGES, int STAGE = 0>
__device__ __forceinline__ void multiply(real (&products)[4 * SUMS], const real (&weights)[4][WEIGHTS],
                                         const Vector *smem_in, bool wait) {
  if constexpr (STAGE < STAGES) {
    if (wait) {
      arrive<STAGES - 1 - STAGE>();
      __syncthreads();
    }
#pragma unroll
    for (int i = STAGE * WEIGHTS / STAGES; i < (STAGE + 1) * WEIGHTS / STAGES; i += VECTOR)
#pragma unroll
      for (int r = 0; r < CHUNK; r++) {
        Vector x = smem_in[r * STRIDE + i / VECTOR * TEAM];
#pragma unroll
        for (int v = 0; v < VECTOR; v++)
#pragma unroll
          for (int n = 0; n < 4; n++) products[n * SUMS + r] += weights[n][i + v] * x.x[v];
      }
    multiply<STRIDE, STAGES, STAGE + 1>(products, weights, smem_in, wait);
  }
}

// All sums of a time step: those of a thread's team with the rows that have been asked for by `load`, which lie in
// `smem_in` from where the team's H begin. The first of a team's four sums goes to `sums`, others `next` from each
// other, of the next row UNITS_PER_BLOCK further on.
template <int PARTS, int STAGES>
__device__ __forceinline__ void add_products(real *sums, int next, const real (&weights)[4][WEIGHTS],
                                             const Vector *smem_in) {
  const int lane = threadIdx.x % TEAM;
#pragma unroll 1
  for (int first = 0; first < ROWS; first += CHUNK) {
    real products[4 * SUMS] = {};
    multiply<PARTS * H / VECTOR, STAGES>(products, weights, smem_in + first * PARTS * H / VECTOR + lane, first == 0);
    add_up<4 * SUMS, TEAM / 2>(products);
#pragma unroll
    for (int i = 0; i < SUMS / LANES; i++) {
      int r = lane % LANES * (SUMS / LANES) + i;
      if (r < CHUNK) sums[lane / LANES * next + (first + r) * UNITS_PER_BLOCK] = products[i];
    }
  }
  __syncthreads();
}

// From sums [T, B, 4 * H], which is i2h(x) with both biases, and c[0], h[0] to all of c, h [T + 1, B, H] and tanh_c
// [T, B, H], the tanh of c[1:]; the gates go where the sums were. h2h: [4 * H, H]; counters: a zero for each group.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
lstm_forward(const real *h2h, real *sums, real *c, real *h, real *tanh_c, unsigned *counters, int T, int B) {
  constexpr int STAGES = TWO;
  extern __shared__ Vector smem_in[];  // h before the step: [ROWS][H]
  real(*products)[ROWS][UNITS_PER_BLOCK] =  // h2h(h): [4][ROWS][UNITS_PER_BLOCK]
      (real(*)[ROWS][UNITS_PER_BLOCK])(smem_in + ROWS * H / VECTOR);

  const int lane = threadIdx.x % TEAM, team = threadIdx.x / TEAM;
  const int first_unit = blockIdx.x % BLOCKS * UNITS_PER_BLOCK, row0 = blockIdx.x / BLOCKS * ROWS;
  const int rows = ROWS < B - row0 ? ROWS : B - row0;
  unsigned *counter = counters + blockIdx.x / BLOCKS;

  real weights[4][WEIGHTS];
#pragma unroll
  for (int n = 0; n < 4; n++)
#pragma unroll
    for (int i = 0; i < WEIGHTS; i++)
      weights[n][i] = h2h[(size_t)(n * H + first_unit + team) * H + (i / VECTOR * TEAM + lane) * VECTOR + i % VECTOR];
  for (int i = threadIdx.x; i < ROWS * H / VECTOR; i += THREADS) smem_in[i] = {};  // rows that do not exist stay so
  real state[ITEMS];
#pragma unroll
  for (int n = 0; n < ITEMS; n++) {
    int row = (threadIdx.x + n * THREADS) / UNITS_PER_BLOCK, unit = first_unit + threadIdx.x % UNITS_PER_BLOCK;
    if (row < rows) state[n] = c[(size_t)(row0 + row) * H + unit];
  }
  __syncthreads();

  for (int t = 0; t < T; t++) {
    real x[ITEMS][4];
#pragma unroll
    for (int n = 0; n < ITEMS; n++) {
      int row = (threadIdx.x + n * THREADS) / UNITS_PER_BLOCK, unit = first_unit + threadIdx.x % UNITS_PER_BLOCK;
#pragma unroll
      for (int g = 0; g < 4; g++)
        if (row < rows) x[n][g] = sums[(((size_t)t * B + row0 + row) * 4 + g) * H + unit];
    }
    if (t > 0) await(counter, t * BLOCKS);
    load<1, STAGES>(smem_in, h + ((size_t)t * B + row0) * H, rows);
    add_products<1, STAGES>(&products[0][0][team], ROWS * UNITS_PER_BLOCK, weights, smem_in);

    real tanh_state[ITEMS];
#pragma unroll
    for (int n = 0; n < ITEMS; n++) {
      int row = (threadIdx.x + n * THREADS) / UNITS_PER_BLOCK, local_unit = threadIdx.x % UNITS_PER_BLOCK;
      if (row < rows) {
#pragma unroll
        for (int g = 0; g < 4; g++) {
          x[n][g] += products[g][row][local_unit];
          x[n][g] = g == 3 ? tanh(x[n][g]) : sigmoid(x[n][g]);
        }
        state[n] = x[n][1] * state[n] + x[n][0] * x[n][3];
        tanh_state[n] = tanh(state[n]);
        h[((size_t)(t + 1) * B + row0 + row) * H + first_unit + local_unit] = x[n][2] * tanh_state[n];
      }
    }
    __syncthreads();
    if (t + 1 < T && threadIdx.x == 0) count_up(counter);
#pragma unroll
    for (int n = 0; n < ITEMS; n++) {
      int row = (threadIdx.x + n * THREADS) / UNITS_PER_BLOCK, unit = first_unit + threadIdx.x % UNITS_PER_BLOCK;
      if (row < rows) {
        size_t at = (size_t)t * B + row0 + row;
#pragma unroll
        for (int g = 0; g < 4; g++) sums[(at * 4 + g) * H + unit] = x[n][g];
        c[(at + B) * H + unit] = state[n];
        tanh_c[at * H + unit] = tanh_state[n];
      }
    }
  }
}

// What forward left, c[0] as it is now, and grad_h [T, B, H] (from above alone), to the gradient by the sums, which
// goes where the gates were.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
lstm_backward(const real *h2h, real *gates, const real *c, const real *tanh_c, const real *grad_h, unsigned *counters,
              int T, int B) {
  constexpr int STAGES = FOUR;
  extern __shared__ Vector smem_in[];  // gradient by the sums of the step after: [ROWS][4][H]
  real(*products)[ROWS][UNITS_PER_BLOCK] =  // by h, through each gate
      (real(*)[ROWS][UNITS_PER_BLOCK])(smem_in + ROWS * 4 * H / VECTOR);

  const int lane = threadIdx.x % TEAM, team = threadIdx.x / TEAM;
  const int gate = team / (UNITS_PER_BLOCK / 4);
  const int four = team % (UNITS_PER_BLOCK / 4) * 4;  // the first of the team's four units
  const int first_unit = blockIdx.x % BLOCKS * UNITS_PER_BLOCK, row0 = blockIdx.x / BLOCKS * ROWS;
  const int rows = ROWS < B - row0 ? ROWS : B - row0;
  unsigned *counter = counters + blockIdx.x / BLOCKS;

  real weights[4][WEIGHTS];
#pragma unroll
  for (int n = 0; n < 4; n++)
#pragma unroll
    for (int i = 0; i < WEIGHTS; i++) {
      int k = (i / VECTOR * TEAM + lane) * VECTOR + i % VECTOR;
      weights[n][i] = h2h[(size_t)(gate * H + k) * H + first_unit + four + n];
    }
  for (int i = threadIdx.x; i < ROWS * 4 * H / VECTOR; i += THREADS) smem_in[i] = {};
  real grad_c[ITEMS] = {};
  __syncthreads();

  for (int t = T - 1; t >= 0; t--) {
    real x[ITEMS][4], tanh_state[ITEMS], c_before[ITEMS], by_h[ITEMS];
#pragma unroll
    for (int n = 0; n < ITEMS; n++) {
      int row = (threadIdx.x + n * THREADS) / UNITS_PER_BLOCK, unit = first_unit + threadIdx.x % UNITS_PER_BLOCK;
      if (row < rows) {
        size_t at = (size_t)t * B + row0 + row;
#pragma unroll
        for (int g = 0; g < 4; g++) x[n][g] = gates[(at * 4 + g) * H + unit];
        tanh_state[n] = tanh_c[at * H + unit];
        c_before[n] = c[at * H + unit];
        by_h[n] = grad_h[at * H + unit];
      }
    }
    if (t < T - 1) {
      await(counter, (T - 1 - t) * BLOCKS);
      load<4, STAGES>(smem_in, gates + ((size_t)(t + 1) * B + row0) * 4 * H, rows);
      add_products<4, STAGES>(&products[gate][0][four], 1, weights, smem_in + gate * H / VECTOR);
    }
#pragma unroll
    for (int n = 0; n < ITEMS; n++) {
      int row = (threadIdx.x + n * THREADS) / UNITS_PER_BLOCK, local_unit = threadIdx.x % UNITS_PER_BLOCK;
      if (row < rows) {
        if (t < T - 1)
#pragma unroll
          for (int g = 0; g < 4; g++) by_h[n] += products[g][row][local_unit];
        auto [in, forget, out, transform] = x[n];
        real by_c = grad_c[n] + by_h[n] * out * (1 - tanh_state[n] * tanh_state[n]);
        real *gradient = gates + ((size_t)t * B + row0 + row) * 4 * H + first_unit + local_unit;
        gradient[0] = by_c * transform * (1 - in) * in;
        gradient[H] = by_c * c_before[n] * (1 - forget) * forget;
        gradient[2 * H] = by_h[n] * tanh_state[n] * (1 - out) * out;
        gradient[3 * H] = by_c * in * (1 - transform * transform);
        grad_c[n] = by_c * forget;
      }
    }
    __syncthreads();
    if (t > 0 && threadIdx.x == 0) count_up(counter);
  }
}
