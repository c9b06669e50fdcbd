// All time steps of an lstm layer in one launch: model/cuda_lstm.py compiles this for one size and launches it.
//
// Weights stay in registers for the whole sequence. They are too many for one multiprocessor, so a cluster of BLOCKS
// blocks shares the units (numbers of h), and does ROWS rows of the batch: each block computes its units' part of a
// time step and writes it into the shared memory of all blocks of its cluster. Clusters know nothing of each other.
//
// A block waits for nothing but the numbers of the step before: the writes to its shared memory count down a barrier
// of its own (st.async, mbarrier), so that those to global memory hold nobody up. There are two buffers, for even and
// for odd steps, and no more are needed: who sends the numbers of a step has got those of the step before from every
// warp of the cluster, and a warp sends them after it has read the buffer that they went into.
//
// From the command line: REAL (float or double), H (rnn_size), PADDED (H rounded up: units from H on have weights of
// zero, and are zero), BLOCKS, ROWS and LANES, powers of two. 4 * LANES threads work on a unit, each on as many
// of its products; in the backward pass UNITS such groups of threads do theirs together.
//
// Shapes as in model/lstm.py: T time steps, B rows of the batch; gates in the order in, forget, out, transform.
typedef REAL real;

constexpr int VECTOR = 16 / sizeof(real);  // numbers that are loaded at once
constexpr int UNITS_PER_BLOCK = PADDED / BLOCKS;       // units of a block
constexpr int GROUP = 4 * LANES;                  // threads of a unit
constexpr int THREADS = UNITS_PER_BLOCK * GROUP;  // of a block
constexpr int UNITS = LANES > 2 ? 8 / LANES : 4;
constexpr int UNITS_GROUP = UNITS * GROUP;  // at most a warp

struct __align__(16) Vector {
  real x[VECTOR];
};

__device__ real sigmoid(real x) { return real(1) / (real(1) + exp(-x)); }

__device__ constexpr int min_int(int a, int b) { return a < b ? a : b; }

// Threads whose numbers differ in the bits up to DISTANCE, inclusive, add up their COUNT values. As long as a thread
// has more than one, it keeps half of them: the upper half, if the bit is set, in the place of the lower one. When one
// is left, all threads that differ in the remaining bits get the same sum.
template <int COUNT, int DISTANCE, int N>
__device__ __forceinline__ void add_up(real (&values)[N]) {
  if constexpr (DISTANCE > 0 && COUNT > 1) {
    bool upper = threadIdx.x & DISTANCE;
#pragma unroll
    for (int i = 0; i < COUNT / 2; i++) {
      real kept = upper ? values[i + COUNT / 2] : values[i], sent = upper ? values[i] : values[i + COUNT / 2];
      values[i] = kept + __shfl_xor_sync(~0u, sent, DISTANCE);
    }
    add_up<COUNT / 2, DISTANCE / 2>(values);
  } else if constexpr (DISTANCE > 0) {
    values[0] += __shfl_xor_sync(~0u, values[0], DISTANCE);
    add_up<1, DISTANCE / 2>(values);
  }
}

__device__ unsigned shared_address(const void *p) { return (unsigned)__cvta_generic_to_shared(p); }

__device__ unsigned rank_in_cluster() {
  unsigned rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

// The address of p in the shared memory of another block.
__device__ unsigned address_at(unsigned rank, const void *p) {
  unsigned result;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(result) : "r"(shared_address(p)), "r"(rank));
  return result;
}

// Write into the shared memory of a block, and count the bytes down on its barrier. Addresses are those of address_at.
#define SEND "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes"
__device__ void send(unsigned to, unsigned barrier, float x) {
  asm volatile(SEND ".f32 [%0], %1, [%2];" ::"r"(to), "f"(x), "r"(barrier) : "memory");
}
__device__ void send(unsigned to, unsigned barrier, double x) {
  asm volatile(SEND ".f64 [%0], %1, [%2];" ::"r"(to), "d"(x), "r"(barrier) : "memory");
}
__device__ void send(unsigned to, unsigned barrier, const float *x) {  // as many as are in a Vector
  asm volatile(SEND ".v4.f32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(to), "f"(x[0]), "f"(x[1]), "f"(x[2]), "f"(x[3]),
               "r"(barrier)
               : "memory");
}
__device__ void send(unsigned to, unsigned barrier, const double *x) {
  asm volatile(SEND ".v2.f64 [%0], {%1, %2}, [%3];" ::"r"(to), "d"(x[0]), "d"(x[1]), "r"(barrier) : "memory");
}

// A barrier that is passed when so many bytes have arrived; `expect` is for one thread, once for each time.
typedef unsigned long long Barrier;

__device__ void expect(Barrier *barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
}

// Wait for them; parity is 0 the first time, 1 the second, 0 the third …
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

// Both barriers, ready for the first time, when all blocks of the cluster are there.
__device__ void start(Barrier (&barriers)[2], int bytes) {
  if (threadIdx.x == 0) {
    for (int i = 0; i < 2; i++) {
      asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(&barriers[i])) : "memory");
      expect(&barriers[i], bytes);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}

// From sums [T, B, 4 * H], which is i2h(x) with both biases, and c[0], h[0] to all of c, h [T + 1, B, H] and tanh_c
// [T, B, H], the tanh of c[1:]; the gates go where the sums were. h2h: [4 * H, H].
extern "C" __global__ void __cluster_dims__(BLOCKS) __launch_bounds__(THREADS, 1)
lstm_forward(const real *h2h, real *sums, real *c, real *h, real *tanh_c, int T, int B) {
  constexpr int OF_GATE = PADDED / GROUP;          // weights of a thread for each gate
  constexpr int ROW_SPLITS = min_int(ROWS, LANES);  // a sum done, so many threads of a gate share the rows
  constexpr int ROWS_PER_THREAD = ROWS / ROW_SPLITS;              // rows of a thread
  constexpr int REPLICAS = GROUP / ROW_SPLITS;            // threads that have the same rows, four gates or more
  constexpr int BYTES = ROWS * PADDED * sizeof(real);
  __shared__ Vector smem_in[2][ROWS][PADDED / VECTOR];  // h before the step
  __shared__ Barrier arrived[2];

  const int lane = threadIdx.x % GROUP, gate = lane / LANES, lane_of_gate = lane % LANES;
  const int local_unit = threadIdx.x / GROUP, unit = rank_in_cluster() * UNITS_PER_BLOCK + local_unit;
  const int replica = gate + 4 * (lane_of_gate % (LANES / ROW_SPLITS));
  const int row0 = blockIdx.x / BLOCKS * ROWS;  // of the cluster; the thread's:
  const int row = row0 + lane_of_gate / (LANES / ROW_SPLITS) * ROWS_PER_THREAD;
  const bool exists = unit < H;

  real weights[4][OF_GATE];  // of all gates, for every GROUP-th vector of h
#pragma unroll
  for (int g = 0; g < 4; g++)
#pragma unroll
    for (int i = 0; i < OF_GATE; i++) {
      int k = (i / VECTOR * GROUP + lane) * VECTOR + i % VECTOR;
      weights[g][i] = exists && k < H ? h2h[(size_t)(g * H + unit) * H + k] : real(0);
    }
  for (int i = threadIdx.x; i < ROWS * PADDED; i += THREADS) {
    int r = i / PADDED, k = i % PADDED;
    smem_in[0][r][k / VECTOR].x[k % VECTOR] = row0 + r < B && k < H ? h[(size_t)(row0 + r) * H + k] : real(0);
  }
  real state[ROWS_PER_THREAD], next_sum[ROWS_PER_THREAD];
#pragma unroll
  for (int r = 0; r < ROWS_PER_THREAD; r++) {
    bool there = exists && row + r < B;
    state[r] = there ? c[(size_t)(row + r) * H + unit] : real(0);
    next_sum[r] = there ? sums[((size_t)(row + r) * 4 + gate) * H + unit] : real(0);
  }
  start(arrived, BYTES);

  for (int t = 0; t < T; t++) {
    real sum[ROWS_PER_THREAD];
#pragma unroll
    for (int r = 0; r < ROWS_PER_THREAD; r++) {
      sum[r] = next_sum[r];
      if (t + 1 < T && exists && row + r < B)  // long before it is needed
        next_sum[r] = sums[(((size_t)(t + 1) * B + row + r) * 4 + gate) * H + unit];
    }
    if (t > 0) {
      await(&arrived[t & 1], (t - 1) >> 1 & 1);
      if (threadIdx.x == 0) expect(&arrived[t & 1], BYTES);
    }
    real products[4 * ROWS] = {};
#pragma unroll
    for (int i = 0; i < OF_GATE; i += VECTOR)
#pragma unroll
      for (int r = 0; r < ROWS; r++) {
        Vector x = smem_in[t & 1][r][i / VECTOR * GROUP + lane];
#pragma unroll
        for (int v = 0; v < VECTOR; v++)
#pragma unroll
          for (int g = 0; g < 4; g++) products[g * ROWS + r] += weights[g][i + v] * x.x[v];
      }
    add_up<4 * ROWS, GROUP / 2>(products);

    real activation[ROWS_PER_THREAD], tanh_state[ROWS_PER_THREAD], output[ROWS_PER_THREAD];
#pragma unroll
    for (int r = 0; r < ROWS_PER_THREAD; r++) {
      real x = sum[r] + products[r];
      activation[r] = gate == 3 ? tanh(x) : sigmoid(x);
      real in = __shfl_sync(~0u, activation[r], lane_of_gate, GROUP);
      real forget = __shfl_sync(~0u, activation[r], lane_of_gate + LANES, GROUP);
      real out = __shfl_sync(~0u, activation[r], lane_of_gate + 2 * LANES, GROUP);
      real transform = __shfl_sync(~0u, activation[r], lane_of_gate + 3 * LANES, GROUP);
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
    __syncwarp();  // replicas may have read what is written over now
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

// What forward left, c[0] as it is now, and grad_h [T, B, H] (from above alone), to the gradient by the sums, which
// goes where the gates were.
extern "C" __global__ void __cluster_dims__(BLOCKS) __launch_bounds__(THREADS, 1)
lstm_backward(const real *h2h, real *gates, const real *c, const real *tanh_c, const real *grad_h, int T, int B) {
  constexpr int PARTS = 4 / VECTOR;                     // Vectors for the four gates of a unit
  constexpr int OF_UNIT = 4 * PADDED / UNITS_GROUP;     // weights of a thread for each of its UNITS
  constexpr int ROW_SPLITS = min_int(ROWS, GROUP);  // as in forward
  constexpr int ROWS_PER_THREAD = ROWS / ROW_SPLITS;
  constexpr int REPLICAS = GROUP / ROW_SPLITS;
  constexpr int BYTES = ROWS * 4 * PADDED * sizeof(real);
  __shared__ Vector smem_in[2][ROWS][PARTS * PADDED];  // gradient by the sums of the step after; [PARTS][PADDED]
  __shared__ Barrier arrived[2];

  const int lane = threadIdx.x % UNITS_GROUP, lane_of_unit = lane % GROUP, replica = lane_of_unit % REPLICAS;
  const int first_unit = rank_in_cluster() * UNITS_PER_BLOCK + threadIdx.x / UNITS_GROUP * UNITS;
  const int unit = first_unit + lane / GROUP;  // whose sum the thread will get
  const int row0 = blockIdx.x / BLOCKS * ROWS;
  const int row = row0 + lane_of_unit / REPLICAS * ROWS_PER_THREAD;
  const bool exists = unit < H;

  real weights[OF_UNIT][UNITS];  // of every UNITS_GROUP-th vector of the gradient
#pragma unroll
  for (int i = 0; i < OF_UNIT; i++)
#pragma unroll
    for (int n = 0; n < UNITS; n++) {
      int vector = i / VECTOR * UNITS_GROUP + lane;
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
  start(arrived, BYTES);

  for (int t = T - 1, n = 0; t >= 0; t--, n++) {  // n: steps done
    real products[UNITS * ROWS] = {};
    if (n > 0) {
      await(&arrived[n & 1], (n - 1) >> 1 & 1);
      if (threadIdx.x == 0) expect(&arrived[n & 1], BYTES);
#pragma unroll
      for (int i = 0; i < OF_UNIT; i += VECTOR)
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
          Vector x = smem_in[n & 1][r][i / VECTOR * UNITS_GROUP + lane];
#pragma unroll
          for (int v = 0; v < VECTOR; v++)
#pragma unroll
            for (int u = 0; u < UNITS; u++) products[u * ROWS + r] += weights[i + v][u] * x.x[v];
        }
      add_up<UNITS * ROWS, UNITS_GROUP / 2>(products);
    }
    real gradient[ROWS_PER_THREAD][4];
#pragma unroll
    for (int r = 0; r < ROWS_PER_THREAD; r++) {
      auto [in, forget, out, transform, tanh_state, c_before, from_above] = at_step[r];
      real by_h = from_above + products[r];
      real by_c = grad_c[r] + by_h * out * (1 - tanh_state * tanh_state);
      gradient[r][0] = by_c * transform * (1 - in) * in;
      gradient[r][1] = by_c * c_before * (1 - forget) * forget;
      gradient[r][2] = by_h * tanh_state * (1 - out) * out;
      gradient[r][3] = by_c * in * (1 - transform * transform);
      grad_c[r] = by_c * forget;
      if (!exists)
#pragma unroll
        for (int g = 0; g < 4; g++) gradient[r][g] = 0;
      if (t > 0)
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
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
