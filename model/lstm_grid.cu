// All time steps of an lstm layer in one launch, for sizes whose weights do not fit into a cluster of blocks
// (lstm_cluster.cu). model/cuda_lstm.py compiles this file for one size and launches it.
//
// As there, the weights stay in registers for the whole sequence. A group of BLOCKS blocks, up to all of the GPU,
// shares the units (components of h) and computes ROWS rows of the batch. Each block computes its units' part of a time
// step, writes it to global memory and increments the counter of its group. When the counter shows that all blocks have
// written, each block reads the whole. Groups are independent. Since the blocks of a group wait for each other, all
// must run at the same time, so the launch is cooperative.
//
// Threads work in teams of 4 * LANES. A team has the weights of four rows of a matrix; each thread has those for an
// equal share of the vectors of these rows. In the forward pass the four rows are the gates of a unit, and they are
// multiplied by h. In the backward pass they are four units (columns of h2h), which are multiplied by the gradient by
// one gate. The sums go to shared memory, where each thread reads those of its pairs (unit, row of the batch).
//
// Macros on the command line: REAL, H (rnn_size, a multiple of BLOCKS * 4 and of the vectors of a team), BLOCKS, ROWS,
// CHUNK (rows computed at a time) and LANES, a power of two.
#include "lstm_common.cuh"

constexpr int UNITS_PER_BLOCK = H / BLOCKS;
constexpr int TEAM = 4 * LANES;  // threads of a team
constexpr int THREADS = UNITS_PER_BLOCK * TEAM;  // threads of a block
constexpr int WEIGHTS = H / TEAM;  // weights of a thread for each of its four rows
constexpr int VECTORS = WEIGHTS / VECTOR;  // vectors of these weights
// Input is copied to shared memory in stages, so that products with one stage overlap with the copy of the next. The
// number of vectors must be divisible by the number of stages.
constexpr int FORWARD_STAGES = VECTORS % 2 ? 1 : 2, BACKWARD_STAGES = VECTORS % 4 ? FORWARD_STAGES : 4;
constexpr int PAIRS_PER_THREAD = (UNITS_PER_BLOCK * ROWS + THREADS - 1) / THREADS;  // at most: pairs (unit, row)

__device__ constexpr int power_of_two(int n) { return n <= 1 ? 1 : 2 * power_of_two((n + 1) / 2); }
constexpr int SUMS = power_of_two(CHUNK > LANES ? CHUNK : LANES);  // CHUNK rounded up for reduce_scatter

#ifndef ON_CPU  // tests/model/cuda_on_cpu.h replaces these functions
// Start an asynchronous copy of a Vector to shared memory. `commit_stage` ends a stage of such copies.
__device__ __forceinline__ void copy_async(Vector *shared, const Vector *global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((unsigned)__cvta_generic_to_shared(shared)),
               "l"(__cvta_generic_to_global(global))
               : "memory");
}

__device__ __forceinline__ void commit_stage() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Wait until all stages but the last STAGES_LEFT are complete.
template <int STAGES_LEFT>
__device__ __forceinline__ void wait_for_stages() {
  asm volatile("cp.async.wait_group %0;" ::"n"(STAGES_LEFT) : "memory");
}

// Increment a counter with release semantics. A block that reads the new value with load_acquire sees everything that
// this block wrote before __syncthreads.
__device__ __forceinline__ void increment(unsigned *counter) {
  asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(counter) : "memory");
}

__device__ __forceinline__ unsigned load_acquire(const unsigned *counter) {
  unsigned value;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(counter) : "memory");
  return value;
}

__device__ __forceinline__ void idle() {}
#endif

// Wait until a counter has reached a value. Each warp waits separately: one thread spins, the others wait for it.
__device__ __forceinline__ void await(const unsigned *counter, unsigned value) {
  if (threadIdx.x % 32 == 0)
    while (load_acquire(counter) < value) idle();
  __syncwarp();
}

// Start copying `rows` rows of PARTS * H numbers to shared memory in stages. A stage is the same range of columns of
// each part of H numbers.
template <int PARTS, int STAGES>
__device__ __forceinline__ void load(Vector *smem_in, const real *from, int rows) {
  constexpr int WIDTH = H / VECTOR / STAGES;  // Vectors of a part in a stage
#pragma unroll
  for (int stage = 0; stage < STAGES; stage++) {
    for (int i = threadIdx.x; i < rows * PARTS * WIDTH; i += THREADS) {
      int at = i / WIDTH * (H / VECTOR) + stage * WIDTH + i % WIDTH;
      copy_async(smem_in + at, (const Vector *)from + at);
    }
    commit_stage();
  }
}

// Wait for each stage from STAGE on, and add the products with its numbers.
template <int STRIDE, int STAGES, int STAGE = 0>
__device__ __forceinline__ void multiply(real (&products)[4 * SUMS], const real (&weights)[4][WEIGHTS],
                                         const Vector *smem_in, bool wait) {
  if constexpr (STAGE < STAGES) {
    if (wait) {
      wait_for_stages<STAGES - 1 - STAGE>();
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

// Compute the sums of a time step: the products of a team's weights with the rows that `load` copies to `smem_in`,
// which points to the team's part of the first row. The team's four sums are written to `sums`, `next` numbers apart;
// those of the following row are UNITS_PER_BLOCK numbers further on.
template <int PARTS, int STAGES>
__device__ __forceinline__ void add_products(real *sums, int next, const real (&weights)[4][WEIGHTS],
                                             const Vector *smem_in) {
  const int lane = threadIdx.x % TEAM;
#pragma unroll 1
  for (int first = 0; first < ROWS; first += CHUNK) {
    real products[4 * SUMS] = {};
    multiply<PARTS * H / VECTOR, STAGES>(products, weights, smem_in + first * PARTS * H / VECTOR + lane, first == 0);
    reduce_scatter<4 * SUMS, TEAM / 2>(products);
#pragma unroll
    for (int i = 0; i < SUMS / LANES; i++) {
      int r = lane % LANES * (SUMS / LANES) + i;
      if (r < CHUNK) sums[lane / LANES * next + (first + r) * UNITS_PER_BLOCK] = products[i];
    }
  }
  __syncthreads();
}

// The forward pass.
//   h2h       [4 * H, H]     in: weights
//   sums      [T, B, 4 * H]  in: i2h(x) with both biases; out: the gates
//   c, h      [T + 1, B, H]  in: c[0], h[0], the state before the sequence; out: c[1:], h[1:]
//   tanh_c    [T, B, H]      out: tanh of c[1:]
//   counters  [groups]       must be zero
extern "C" __global__ void __launch_bounds__(THREADS, 1)
lstm_forward(const real *h2h, real *sums, real *c, real *h, real *tanh_c, unsigned *counters, int T, int B) {
  constexpr int STAGES = FORWARD_STAGES;
  extern __shared__ Vector smem_in[];  // h of the previous step: [ROWS][H]
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
  for (int i = threadIdx.x; i < ROWS * H / VECTOR; i += THREADS) smem_in[i] = {};  // missing rows stay zero
  real state[PAIRS_PER_THREAD];
#pragma unroll
  for (int n = 0; n < PAIRS_PER_THREAD; n++) {
    int row = (threadIdx.x + n * THREADS) / UNITS_PER_BLOCK, unit = first_unit + threadIdx.x % UNITS_PER_BLOCK;
    if (row < rows) state[n] = c[(size_t)(row0 + row) * H + unit];
  }
  __syncthreads();

  for (int t = 0; t < T; t++) {
    real x[PAIRS_PER_THREAD][4];
#pragma unroll
    for (int n = 0; n < PAIRS_PER_THREAD; n++) {
      int row = (threadIdx.x + n * THREADS) / UNITS_PER_BLOCK, unit = first_unit + threadIdx.x % UNITS_PER_BLOCK;
#pragma unroll
      for (int g = 0; g < 4; g++)
        if (row < rows) x[n][g] = sums[(((size_t)t * B + row0 + row) * 4 + g) * H + unit];
    }
    if (t > 0) await(counter, t * BLOCKS);
    load<1, STAGES>(smem_in, h + ((size_t)t * B + row0) * H, rows);
    add_products<1, STAGES>(&products[0][0][team], ROWS * UNITS_PER_BLOCK, weights, smem_in);

    real tanh_state[PAIRS_PER_THREAD];
#pragma unroll
    for (int n = 0; n < PAIRS_PER_THREAD; n++) {
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
    if (t + 1 < T && threadIdx.x == 0) increment(counter);
#pragma unroll
    for (int n = 0; n < PAIRS_PER_THREAD; n++) {
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

// The backward pass. The gradient from the next step is computed from its gates' gradients.
//   h2h       [4 * H, H]     in: weights
//   gates     [T, B, 4 * H]  in: the gates; out: the gradient by their pre-activations
//   c         [T + 1, B, H]  in: as forward left it, with any c[0]
//   tanh_c    [T, B, H]      in: as forward left it
//   grad_h    [T, B, H]      in: the gradient by the outputs, from the layer above only
//   counters  [groups]       must be zero
extern "C" __global__ void __launch_bounds__(THREADS, 1)
lstm_backward(const real *h2h, real *gates, const real *c, const real *tanh_c, const real *grad_h, unsigned *counters,
              int T, int B) {
  constexpr int STAGES = BACKWARD_STAGES;
  extern __shared__ Vector smem_in[];  // gradient by the next step's sums: [ROWS][4][H]
  real(*products)[ROWS][UNITS_PER_BLOCK] =  // gradient by h through each gate: [4][ROWS][UNITS_PER_BLOCK]
      (real(*)[ROWS][UNITS_PER_BLOCK])(smem_in + ROWS * 4 * H / VECTOR);

  const int lane = threadIdx.x % TEAM, team = threadIdx.x / TEAM;
  const int gate = team / (UNITS_PER_BLOCK / 4);
  const int first_team_unit = team % (UNITS_PER_BLOCK / 4) * 4;  // the first of the team's first_team_unit units
  const int first_unit = blockIdx.x % BLOCKS * UNITS_PER_BLOCK, row0 = blockIdx.x / BLOCKS * ROWS;
  const int rows = ROWS < B - row0 ? ROWS : B - row0;
  unsigned *counter = counters + blockIdx.x / BLOCKS;

  real weights[4][WEIGHTS];
#pragma unroll
  for (int n = 0; n < 4; n++)
#pragma unroll
    for (int i = 0; i < WEIGHTS; i++) {
      int k = (i / VECTOR * TEAM + lane) * VECTOR + i % VECTOR;
      weights[n][i] = h2h[(size_t)(gate * H + k) * H + first_unit + first_team_unit + n];
    }
  for (int i = threadIdx.x; i < ROWS * 4 * H / VECTOR; i += THREADS) smem_in[i] = {};
  real grad_c[PAIRS_PER_THREAD] = {};
  __syncthreads();

  for (int t = T - 1; t >= 0; t--) {
    real x[PAIRS_PER_THREAD][4], tanh_state[PAIRS_PER_THREAD], c_before[PAIRS_PER_THREAD], dh[PAIRS_PER_THREAD];
#pragma unroll
    for (int n = 0; n < PAIRS_PER_THREAD; n++) {
      int row = (threadIdx.x + n * THREADS) / UNITS_PER_BLOCK, unit = first_unit + threadIdx.x % UNITS_PER_BLOCK;
      if (row < rows) {
        size_t at = (size_t)t * B + row0 + row;
#pragma unroll
        for (int g = 0; g < 4; g++) x[n][g] = gates[(at * 4 + g) * H + unit];
        tanh_state[n] = tanh_c[at * H + unit];
        c_before[n] = c[at * H + unit];
        dh[n] = grad_h[at * H + unit];
      }
    }
    if (t < T - 1) {
      await(counter, (T - 1 - t) * BLOCKS);
      load<4, STAGES>(smem_in, gates + ((size_t)(t + 1) * B + row0) * 4 * H, rows);
      add_products<4, STAGES>(&products[gate][0][first_team_unit], 1, weights, smem_in + gate * H / VECTOR);
    }
#pragma unroll
    for (int n = 0; n < PAIRS_PER_THREAD; n++) {
      int row = (threadIdx.x + n * THREADS) / UNITS_PER_BLOCK, local_unit = threadIdx.x % UNITS_PER_BLOCK;
      if (row < rows) {
        if (t < T - 1)
#pragma unroll
          for (int g = 0; g < 4; g++) dh[n] += products[g][row][local_unit];
        auto [in, forget, out, transform] = x[n];
        real dc = grad_c[n] + dh[n] * out * (1 - tanh_state[n] * tanh_state[n]);
        real *gradient = gates + ((size_t)t * B + row0 + row) * 4 * H + first_unit + local_unit;
        gradient[0] = dc * transform * (1 - in) * in;
        gradient[H] = dc * c_before[n] * (1 - forget) * forget;
        gradient[2 * H] = dh[n] * tanh_state[n] * (1 - out) * out;
        gradient[3 * H] = dc * in * (1 - transform * transform);
        grad_c[n] = dc * forget;
      }
    }
    __syncthreads();
    if (t > 0 && threadIdx.x == 0) increment(counter);
  }
}
