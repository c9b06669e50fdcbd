// All time steps of an lstm layer in one launch. model/cuda_lstm.py compiles this file for one size and launches it.
//
// The weights stay in registers for the whole sequence. They are too many for one multiprocessor, so a cluster of
// BLOCKS blocks shares the units (components of h) and computes ROWS rows of the batch. Each block computes its units'
// part of a time step and writes it to the shared memory of all blocks of its cluster. Clusters are independent.
//
// A block waits only for the numbers of the previous step. Each write to its shared memory (st.async) also counts down
// a barrier (mbarrier) of that block, so that no block has to wait for the writes to global memory. There are two
// buffers, for even and odd steps. Two suffice: a warp sends the numbers of a step only after it has received those of
// the previous step from every warp of the cluster, and each of these was sent after its warp had read the buffer that
// is overwritten now.
//
// Macros on the command line: REAL, H (rnn_size), PADDED (H rounded up; units from H on have zero weights and are
// zero), BLOCKS, ROWS and LANES, which are powers of two. 4 * LANES threads work on a unit, and each computes an equal
// part of its products. In the backward pass the threads of UNITS_PER_GROUP units work as one group.
#include "lstm_common.cuh"

constexpr int UNITS_PER_BLOCK = PADDED / BLOCKS;
constexpr int THREADS_PER_UNIT = 4 * LANES;
constexpr int THREADS = UNITS_PER_BLOCK * THREADS_PER_UNIT;  // threads of a block
constexpr int UNITS_PER_GROUP = LANES > 2 ? 8 / LANES : 4;
constexpr int THREADS_PER_GROUP = UNITS_PER_GROUP * THREADS_PER_UNIT;  // at most a warp

__device__ constexpr int min_int(int a, int b) { return a < b ? a : b; }

__device__ unsigned shared_address(const void *p) { return (unsigned)__cvta_generic_to_shared(p); }

__device__ unsigned rank_in_cluster() {
  unsigned rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

// Return the address that corresponds to p in the shared memory of another block of the cluster.
__device__ unsigned address_at(unsigned rank, const void *p) {
  unsigned result;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(result) : "r"(shared_address(p)), "r"(rank));
  return result;
}

// Write x to the shared memory of a block and count the bytes down on its barrier; address_at returns both addresses.
#define SEND "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes"
__device__ void send(unsigned to, unsigned barrier, float x) {
  asm volatile(SEND ".f32 [%0], %1, [%2];" ::"r"(to), "f"(x), "r"(barrier) : "memory");
}
__device__ void send(unsigned to, unsigned barrier, double x) {
  asm volatile(SEND ".f64 [%0], %1, [%2];" ::"r"(to), "d"(x), "r"(barrier) : "memory");
}
__device__ void send(unsigned to, unsigned barrier, const float *x) {  // x: [VECTOR]
  asm volatile(SEND ".v4.f32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(to), "f"(x[0]), "f"(x[1]), "f"(x[2]), "f"(x[3]),
               "r"(barrier)
               : "memory");
}
__device__ void send(unsigned to, unsigned barrier, const double *x) {
  asm volatile(SEND ".v2.f64 [%0], {%1, %2}, [%3];" ::"r"(to), "d"(x[0]), "d"(x[1]), "r"(barrier) : "memory");
}

// A barrier that completes a phase when the expected number of bytes has arrived. One thread calls `expect` once for
// each phase.
typedef unsigned long long Barrier;

__device__ void expect(Barrier *barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
}

// Wait until a phase is complete. parity: 0 for the first phase, 1 for the second, 0 for the third, and so on.
__device__ void await(Barrier *barrier, unsigned parity) {
  unsigned passed = 0;
  while (!passed)
    asm volatile(
        "{ .reg .pred p;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p; }"
        : "=r"(passed)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
}

// Initialize both barriers for their first phase, and wait until all blocks of the cluster have done so.
__device__ void init_barriers(Barrier (&barriers)[2], int bytes) {
  if (threadIdx.x == 0) {
    for (int i = 0; i < 2; i++) {
      asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(&barriers[i])) : "memory");
      expect(&barriers[i], bytes);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}

// The forward pass.
//   h2h     [4 * H, H]     in: weights
//   sums    [T, B, 4 * H]  in: i2h(x) with both biases; out: the gates
//   c, h    [T + 1, B, H]  in: c[0], h[0], the state before the sequence; out: c[1:], h[1:]
//   tanh_c  [T, B, H]      out: tanh of c[1:]
extern "C" __global__ void __cluster_dims__(BLOCKS) __launch_bounds__(THREADS, 1)
lstm_forward(const real *h2h, real *sums, real *c, real *h, real *tanh_c, int T, int B) {
  constexpr int WEIGHTS_PER_GATE = PADDED / THREADS_PER_UNIT;  // weights of a thread for each gate
  constexpr int ROW_SPLITS = min_int(ROWS, LANES);  // threads of a gate that split its rows after the reduction
  constexpr int ROWS_PER_THREAD = ROWS / ROW_SPLITS;
  constexpr int REPLICAS = THREADS_PER_UNIT / ROW_SPLITS;  // threads of a unit with the same rows: four gates or more
  constexpr int STEP_BYTES = ROWS * PADDED * sizeof(real);
  __shared__ Vector smem_in[2][ROWS][PADDED / VECTOR];  // h of the previous step, for even and odd steps
  __shared__ Barrier arrived[2];

  const int lane = threadIdx.x % THREADS_PER_UNIT, gate = lane / LANES, lane_of_gate = lane % LANES;
  const int local_unit = threadIdx.x / THREADS_PER_UNIT, unit = rank_in_cluster() * UNITS_PER_BLOCK + local_unit;
  const int replica = gate + 4 * (lane_of_gate % (LANES / ROW_SPLITS));
  const int row0 = blockIdx.x / BLOCKS * ROWS;  // first row of the cluster
  const int row = row0 + lane_of_gate / (LANES / ROW_SPLITS) * ROWS_PER_THREAD;  // first row of the thread
  const bool exists = unit < H;

  real weights[4][WEIGHTS_PER_GATE];  // for every THREADS_PER_UNIT-th vector of h
#pragma unroll
  for (int g = 0; g < 4; g++)
#pragma unroll
    for (int i = 0; i < WEIGHTS_PER_GATE; i++) {
      int k = (i / VECTOR * THREADS_PER_UNIT + lane) * VECTOR + i % VECTOR;
      weights[g][i] = exists && k < H ? h2h[(size_t)(g * H + unit) * H + k] : real(0);
    }
  for (int i = threadIdx.x; i < ROWS * PADDED; i += THREADS) {
    int r = i / PADDED, k = i % PADDED;
    smem_in[0][r][k / VECTOR].x[k % VECTOR] = row0 + r < B && k < H ? h[(size_t)(row0 + r) * H + k] : real(0);
  }
  real state[ROWS_PER_THREAD], next_sum[ROWS_PER_THREAD];
#pragma unroll
  for (int r = 0; r < ROWS_PER_THREAD; r++) {
    bool valid = exists && row + r < B;
    state[r] = valid ? c[(size_t)(row + r) * H + unit] : real(0);
    next_sum[r] = valid ? sums[((size_t)(row + r) * 4 + gate) * H + unit] : real(0);
  }
  init_barriers(arrived, STEP_BYTES);

  for (int t = 0; t < T; t++) {
    real sum[ROWS_PER_THREAD];
#pragma unroll
    for (int r = 0; r < ROWS_PER_THREAD; r++) {
      sum[r] = next_sum[r];
      if (t + 1 < T && exists && row + r < B)  // load early, to hide the latency
        next_sum[r] = sums[(((size_t)(t + 1) * B + row + r) * 4 + gate) * H + unit];
    }
    if (t > 0) {
      await(&arrived[t & 1], (t - 1) >> 1 & 1);
      if (threadIdx.x == 0) expect(&arrived[t & 1], STEP_BYTES);
    }
    real products[4 * ROWS] = {};
#pragma unroll
    for (int i = 0; i < WEIGHTS_PER_GATE; i += VECTOR)
#pragma unroll
      for (int r = 0; r < ROWS; r++) {
        Vector x = smem_in[t & 1][r][i / VECTOR * THREADS_PER_UNIT + lane];
#pragma unroll
        for (int v = 0; v < VECTOR; v++)
#pragma unroll
          for (int g = 0; g < 4; g++) products[g * ROWS + r] += weights[g][i + v] * x.x[v];
      }
    reduce_scatter<4 * ROWS, THREADS_PER_UNIT / 2>(products);

    real activation[ROWS_PER_THREAD], tanh_state[ROWS_PER_THREAD], output[ROWS_PER_THREAD];
#pragma unroll
    for (int r = 0; r < ROWS_PER_THREAD; r++) {
      real x = sum[r] + products[r];
      activation[r] = gate == 3 ? tanh(x) : sigmoid(x);
      real in = __shfl_sync(~0u, activation[r], lane_of_gate, THREADS_PER_UNIT);
      real forget = __shfl_sync(~0u, activation[r], lane_of_gate + LANES, THREADS_PER_UNIT);
      real out = __shfl_sync(~0u, activation[r], lane_of_gate + 2 * LANES, THREADS_PER_UNIT);
      real transform = __shfl_sync(~0u, activation[r], lane_of_gate + 3 * LANES, THREADS_PER_UNIT);
      state[r] = forget * state[r] + in * transform;
      tanh_state[r] = tanh(state[r]);
      output[r] = exists ? out * tanh_state[r] : real(0);
      if (t + 1 < T) {
        int next = (t + 1) & 1;
        const real *place = &smem_in[next][row - row0 + r][unit / VECTOR].x[unit % VECTOR];
        for (int to = replica; to < BLOCKS; to += REPLICAS)
          send(address_at(to, place), address_at(to, &arrived[next]), output[r]);
      }
    }
    __syncwarp();  // replicas read these sums, so they must not be overwritten before
#pragma unroll
    for (int r = 0; r < ROWS_PER_THREAD; r++)
      if (exists && row + r < B) {
        size_t at = (size_t)t * B + row + r, next = at + B;
        if (replica < 4) sums[(at * 4 + gate) * H + unit] = activation[r];
        if (replica == 0) c[next * H + unit] = state[r];
        if (replica == 1) h[next * H + unit] = output[r];
        if (replica == 2) tanh_c[at * H + unit] = tanh_state[r];
      }
  }
}

// The backward pass. The gradient from the next step is computed from its gates' gradients.
//   h2h     [4 * H, H]     in: weights
//   gates   [T, B, 4 * H]  in: the gates; out: the gradient by their pre-activations
//   c       [T + 1, B, H]  in: as forward left it, with any c[0]
//   tanh_c  [T, B, H]      in: as forward left it
//   grad_h  [T, B, H]      in: the gradient by the outputs, from the layer above only
extern "C" __global__ void __cluster_dims__(BLOCKS) __launch_bounds__(THREADS, 1)
lstm_backward(const real *h2h, real *gates, const real *c, const real *tanh_c, const real *grad_h, int T, int B) {
  constexpr int VECTORS_PER_UNIT = 4 / VECTOR;  // Vectors that hold the four gates of a unit
  constexpr int WEIGHTS_PER_UNIT = 4 * PADDED / THREADS_PER_GROUP;  // weights of a thread for each unit of its group
  constexpr int ROW_SPLITS = min_int(ROWS, THREADS_PER_UNIT);  // as in the forward pass
  constexpr int ROWS_PER_THREAD = ROWS / ROW_SPLITS;
  constexpr int REPLICAS = THREADS_PER_UNIT / ROW_SPLITS;
  constexpr int STEP_BYTES = ROWS * 4 * PADDED * sizeof(real);
  __shared__ Vector smem_in[2][ROWS][VECTORS_PER_UNIT * PADDED];  // gradient by the next step's sums
  __shared__ Barrier arrived[2];

  const int lane = threadIdx.x % THREADS_PER_GROUP, lane_of_unit = lane % THREADS_PER_UNIT;
  const int replica = lane_of_unit % REPLICAS;
  const int first_unit = rank_in_cluster() * UNITS_PER_BLOCK + threadIdx.x / THREADS_PER_GROUP * UNITS_PER_GROUP;
  const int unit = first_unit + lane / THREADS_PER_UNIT;  // the unit whose sum the thread gets
  const int row0 = blockIdx.x / BLOCKS * ROWS;
  const int row = row0 + lane_of_unit / REPLICAS * ROWS_PER_THREAD;
  const bool exists = unit < H;

  real weights[WEIGHTS_PER_UNIT][UNITS_PER_GROUP];  // for every THREADS_PER_GROUP-th vector of the gradient
#pragma unroll
  for (int i = 0; i < WEIGHTS_PER_UNIT; i++)
#pragma unroll
    for (int n = 0; n < UNITS_PER_GROUP; n++) {
      int vector = i / VECTOR * THREADS_PER_GROUP + lane;
      int gate = vector / PADDED * VECTOR + i % VECTOR, k = vector % PADDED;
      weights[i][n] = k < H && first_unit + n < H ? h2h[(size_t)(gate * H + k) * H + first_unit + n] : real(0);
    }
  struct {
    real in, forget, out, transform, tanh_c, c_before, grad_h;
  } at_step[ROWS_PER_THREAD];
  real grad_c[ROWS_PER_THREAD] = {};
  auto load = [&](int t) {
#pragma unroll
    for (int r = 0; r < ROWS_PER_THREAD; r++)
      if (exists && row + r < B) {
        size_t at = (size_t)t * B + row + r;
        const real *gate = gates + at * 4 * H + unit;
        at_step[r] = {gate[0],      gate[H],    gate[2 * H], gate[3 * H], tanh_c[at * H + unit],
                      c[at * H + unit], grad_h[at * H + unit]};
      } else {
        at_step[r] = {};
      }
  };
  load(T - 1);
  init_barriers(arrived, STEP_BYTES);

  for (int t = T - 1, n = 0; t >= 0; t--, n++) {  // n: number of steps done
    real products[UNITS_PER_GROUP * ROWS] = {};
    if (n > 0) {
      await(&arrived[n & 1], (n - 1) >> 1 & 1);
      if (threadIdx.x == 0) expect(&arrived[n & 1], STEP_BYTES);
#pragma unroll
      for (int i = 0; i < WEIGHTS_PER_UNIT; i += VECTOR)
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
          Vector x = smem_in[n & 1][r][i / VECTOR * THREADS_PER_GROUP + lane];
#pragma unroll
          for (int v = 0; v < VECTOR; v++)
#pragma unroll
            for (int u = 0; u < UNITS_PER_GROUP; u++) products[u * ROWS + r] += weights[i + v][u] * x.x[v];
        }
      reduce_scatter<UNITS_PER_GROUP * ROWS, THREADS_PER_GROUP / 2>(products);
    }
    real gradient[ROWS_PER_THREAD][4];
#pragma unroll
    for (int r = 0; r < ROWS_PER_THREAD; r++) {
      auto [in, forget, out, transform, tanh_state, c_before, grad_above] = at_step[r];
      real dh = grad_above + products[r];
      real dc = grad_c[r] + dh * out * (1 - tanh_state * tanh_state);
      gradient[r][0] = dc * transform * (1 - in) * in;
      gradient[r][1] = dc * c_before * (1 - forget) * forget;
      gradient[r][2] = dh * tanh_state * (1 - out) * out;
      gradient[r][3] = dc * in * (1 - transform * transform);
      grad_c[r] = dc * forget;
      if (!exists)
#pragma unroll
        for (int g = 0; g < 4; g++) gradient[r][g] = 0;
      if (t > 0)
#pragma unroll
        for (int part = 0; part < VECTORS_PER_UNIT; part++) {
          int next = (n + 1) & 1;
          const Vector *place = &smem_in[next][row - row0 + r][part * PADDED + unit];
          for (int to = replica; to < BLOCKS; to += REPLICAS)
            send(address_at(to, place), address_at(to, &arrived[next]), &gradient[r][part * VECTOR]);
        }
    }
    __syncwarp();
#pragma unroll
    for (int r = 0; r < ROWS_PER_THREAD; r++)
      if (exists && row + r < B)
#pragma unroll
        for (int g = 0; g < 4; g++)
          if (g % REPLICAS == replica) gates[(((size_t)t * B + row + r) * 4 + g) * H + unit] = gradient[r][g];
    if (t > 0) load(t - 1);
  }
}
