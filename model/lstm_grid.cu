// All time steps of an lstm layer in one launch, for sizes whose weights no cluster of blocks can hold
// (lstm_persistent.cu): model/persistent.py compiles this for one size and launches it.
//
// Weights stay in registers for the whole sequence here too. A group of BLOCKS blocks, up to all of the GPU, shares the
// units (numbers of h), and does the same rows of the batch: each block computes its units' part of a time step, writes
// it to memory and counts up a counter; when all have, each reads what all have written. That takes as long as a time
// step's products, so the rows are done in chunks of CHUNK, each with a counter of its own: while the numbers of one are
// under way, the next one is computed. Groups know nothing of each other. All blocks must run at once, since they wait
// for each other: hence a cooperative launch.
//
// Threads work in teams of 4 * LANES: a team has the weights of four rows of a matrix, each thread those for every so
// many vectors of a row. Forward these are the four gates of a unit, times h; backward four units, times the gradient by
// one of their gates. The sums meet in shared memory, where a thread finds those of its own unit and row of the batch.
//
// From the command line: REAL (float or double), H (rnn_size; see model/persistent.py for what it may be), BLOCKS, ROWS
// of the batch for a group, CHUNK and LANES, a power of two.
//
// Shapes as in model/lstm.py: T time steps, B rows of the batch; gates in the order in, forget, out, transform.
typedef REAL real;

constexpr int VECTOR = 16 / sizeof(real);  // numbers that are loaded at once
constexpr int OWN = H / BLOCKS;            // units of a block
constexpr int TEAM = 4 * LANES;            // threads of a team
constexpr int THREADS = OWN * TEAM;        // of a block
constexpr int WEIGHTS = H / TEAM;          // of a thread for each of its four rows
constexpr int CHUNKS = (ROWS + CHUNK - 1) / CHUNK;
#ifndef ASK
#define ASK ((WEIGHTS / VECTOR + 1) / 2 * VECTOR)
#endif

__device__ constexpr int power_of_two(int n) { return n <= 1 ? 1 : 2 * power_of_two((n + 1) / 2); }
constexpr int SUMS = power_of_two(CHUNK > LANES ? CHUNK : LANES);  // CHUNK rounded up, for add_up

static_assert(OWN * CHUNK <= THREADS, "a thread finishes one unit of one row");

struct __align__(16) Vector {
  real x[VECTOR];
};

// Copy a Vector into shared memory, in the background.
__device__ __forceinline__ void copy(Vector *shared, const Vector *global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((unsigned)__cvta_generic_to_shared(shared)),
               "l"(__cvta_generic_to_global(global))
               : "memory");
}

// Until the thread's copies are there.
__device__ __forceinline__ void arrive() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// What the threads of the block wrote before __syncthreads, anyone may read who has seen the counter.
__device__ __forceinline__ void count_up(unsigned *counter) {
  asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(__cvta_generic_to_global(counter)) : "memory");
}

__device__ __forceinline__ unsigned read(const unsigned *counter) {
  unsigned value;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];"
               : "=r"(value)
               : "l"(__cvta_generic_to_global(counter))
               : "memory");
  return value;
}

// Wait for a counter; each warp does on its own.
__device__ __forceinline__ void await(const unsigned *counter, unsigned value) {
  if (threadIdx.x % 32 == 0)
    while (read(counter) < value)
      ;
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
      real kept = upper ? values[i + COUNT / 2] : values[i], given = upper ? values[i] : values[i + COUNT / 2];
      values[i] = kept + __shfl_xor_sync(~0u, given, DISTANCE);
    }
    add_up<COUNT / 2, DISTANCE / 2>(values);
  }
}

// products[n * SUMS + r] += weights[n] * row r of `given`, STRIDE Vectors from each other; of the thread's numbers in
// a row those from FROM to TO.
template <int STRIDE, int FROM, int TO>
__device__ __forceinline__ void multiply(real (&products)[4 * SUMS], const real (&weights)[4][WEIGHTS],
                                         const Vector *given) {
#pragma unroll
  for (int i = FROM; i < TO; i += VECTOR)
#pragma unroll
    for (int r = 0; r < CHUNK; r++) {
      Vector x = given[r * STRIDE + i / VECTOR * TEAM];
#pragma unroll
      for (int v = 0; v < VECTOR; v++)
#pragma unroll
        for (int n = 0; n < 4; n++) products[n * SUMS + r] += weights[n][i + v] * x.x[v];
    }
}

// What becomes of a unit of a row in a time step, forward: from sums [T, B, 4 * H], which is i2h(x) with both biases,
// and c[0], h[0] to all of c, h [T + 1, B, H] and tanh_c [T, B, H], the tanh of c[1:]; the gates go where the sums were.
struct Forward {
  static constexpr int GATES = 1;  // that are multiplied by; none: h
  real *sums, *c, *h, *tanh_c;
  int T, B;

  real x[4], state, tanh_state;

  // What step `step` multiplies by, for all rows of the batch.
  __device__ const real *input(int step) const { return h + (size_t)step * B * H; }

  __device__ void fetch(int step, int row, int unit) {
    size_t at = (size_t)step * B + row;
#pragma unroll
    for (int g = 0; g < 4; g++) x[g] = sums[(at * 4 + g) * H + unit];
    state = c[at * H + unit];
  }

  // Compute, and write what others wait for. `products` are of h2h with h, for the gates.
  __device__ void publish(int step, int row, int unit, const real (&products)[4]) {
#pragma unroll
    for (int g = 0; g < 4; g++) x[g] = g == 3 ? tanh(x[g] + products[g]) : sigmoid(x[g] + products[g]);
    state = x[1] * state + x[0] * x[3];
    tanh_state = tanh(state);
    h[((size_t)(step + 1) * B + row) * H + unit] = x[2] * tanh_state;
  }

  // Write the rest.
  __device__ void keep(int step, int row, int unit) const {
    size_t at = (size_t)step * B + row;
#pragma unroll
    for (int g = 0; g < 4; g++) sums[(at * 4 + g) * H + unit] = x[g];
    c[(at + B) * H + unit] = state;
    tanh_c[at * H + unit] = tanh_state;
  }
};

// The same backward, from what forward left, c[0] as it is now, and grad_h [T, B, H] (from above alone) to the gradient
// by the sums, which goes where the gates were. grad_c [B, H] is of the step after.
struct Backward {
  static constexpr int GATES = 4;
  real *gates;
  const real *c, *tanh_c, *grad_h;
  real *grad_c;
  int T, B;

  real x[4], c_before, tanh_state, by_h, by_c;

  __device__ const real *input(int step) const {
    return step == 0 ? nullptr : gates + (size_t)(T - step) * B * 4 * H;
  }

  __device__ void fetch(int step, int row, int unit) {
    size_t at = (size_t)(T - 1 - step) * B + row;
#pragma unroll
    for (int g = 0; g < 4; g++) x[g] = gates[(at * 4 + g) * H + unit];
    c_before = c[at * H + unit];
    tanh_state = tanh_c[at * H + unit];
    by_h = grad_h[at * H + unit];
    by_c = step == 0 ? real(0) : grad_c[row * H + unit];
  }

  // `products` are by h, through each of the gates.
  __device__ void publish(int step, int row, int unit, const real (&products)[4]) {
    auto [in, forget, out, transform] = x;
    by_h += products[0] + products[1] + (products[2] + products[3]);
    by_c += by_h * out * (1 - tanh_state * tanh_state);
    real *gradient = gates + ((size_t)(T - 1 - step) * B + row) * 4 * H + unit;
    gradient[0] = by_c * transform * (1 - in) * in;
    gradient[H] = by_c * c_before * (1 - forget) * forget;
    gradient[2 * H] = by_h * tanh_state * (1 - out) * out;
    gradient[3 * H] = by_c * in * (1 - transform * transform);
    by_c *= forget;
  }

  __device__ void keep(int step, int row, int unit) const { grad_c[row * H + unit] = by_c; }
};

// All steps. A team's four sums go to `place`, `next` from each other, of the next row OWN further on; what it
// multiplies by begins at `gate` of a row.
template <class Pass>
__device__ __forceinline__ void all_steps(Pass pass, const real (&weights)[4][WEIGHTS], int place, int next, int gate,
                                          unsigned *counters) {
  constexpr int WIDTH = Pass::GATES * H / VECTOR;  // of a row
  extern __shared__ Vector given[];                // two buffers, [CHUNK][GATES][H]
  real *sums = (real *)(given + 2 * CHUNK * WIDTH);  // [4][CHUNK][OWN]

  const int lane = threadIdx.x % TEAM, own = threadIdx.x % OWN, unit = blockIdx.x % BLOCKS * OWN + own;
  const int first_row = blockIdx.x / BLOCKS * ROWS, rows = ROWS < pass.B - first_row ? ROWS : pass.B - first_row;
  const int chunks = (rows + CHUNK - 1) / CHUNK;
  counters += blockIdx.x / BLOCKS * CHUNKS;

  // Ask for what a step of a chunk multiplies by.
  auto ask = [&](int step, int chunk, Vector *buffer) {
    if (step >= pass.T || pass.input(step) == nullptr) return;
    if (step > 0) await(counters + chunk, step * BLOCKS);
    const Vector *from = (const Vector *)pass.input(step) + (size_t)(first_row + chunk * CHUNK) * WIDTH;
    int count = (CHUNK < rows - chunk * CHUNK ? CHUNK : rows - chunk * CHUNK) * WIDTH;
    for (int i = threadIdx.x; i < count; i += THREADS) copy(buffer + i, from + i);
  };

  for (int i = threadIdx.x; i < 2 * CHUNK * WIDTH; i += THREADS) given[i] = {};  // no input is zero
  __syncthreads();
  ask(0, 0, given);
  Vector *buffer = given, *other = given + CHUNK * WIDTH;
  for (int step = 0; step < pass.T; step++)
    for (int chunk = 0; chunk < chunks; chunk++) {
      const bool last = chunk + 1 == chunks;
      const int row_of_chunk = threadIdx.x / OWN, row = first_row + chunk * CHUNK + row_of_chunk;
      const bool mine = row_of_chunk < CHUNK && chunk * CHUNK + row_of_chunk < rows;
      if (mine) pass.fetch(step, row, unit);
      arrive();
      __syncthreads();

      real products[4 * SUMS] = {};
      multiply<WIDTH, 0, ASK>(products, weights, buffer + gate * H / VECTOR + lane);
      if (chunks > 1) ask(step + last, last ? 0 : chunk + 1, other);  // written long ago
      multiply<WIDTH, ASK, WEIGHTS>(products, weights, buffer + gate * H / VECTOR + lane);
      add_up<4 * SUMS, TEAM / 2>(products);
#pragma unroll
      for (int i = 0; i < SUMS / LANES; i++) {
        int r = lane % LANES * (SUMS / LANES) + i;
        if (r < CHUNK) sums[place + lane / LANES * next + r * OWN] = products[i];
      }
      __syncthreads();

      if (mine) {
        real of_mine[4];
#pragma unroll
        for (int n = 0; n < 4; n++) of_mine[n] = sums[(n * CHUNK + row_of_chunk) * OWN + own];
        pass.publish(step, row, unit, of_mine);
      }
      __syncthreads();
      if (threadIdx.x == 0) count_up(counters + chunk);
      if (mine) pass.keep(step, row, unit);
      if (chunks == 1) ask(step + 1, 0, other);
      Vector *swapped = buffer;
      buffer = other;
      other = swapped;
    }
}

// h2h: [4 * H, H]; counters: a zero for each chunk of each group.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
lstm_forward(const real *h2h, real *sums, real *c, real *h, real *tanh_c, unsigned *counters, int T, int B) {
  const int lane = threadIdx.x % TEAM, own = threadIdx.x / TEAM, unit = blockIdx.x % BLOCKS * OWN + own;
  real weights[4][WEIGHTS];
#pragma unroll
  for (int n = 0; n < 4; n++)
#pragma unroll
    for (int i = 0; i < WEIGHTS; i++)
      weights[n][i] = h2h[(size_t)(n * H + unit) * H + (i / VECTOR * TEAM + lane) * VECTOR + i % VECTOR];
  all_steps(Forward{sums, c, h, tanh_c, T, B}, weights, own, CHUNK * OWN, 0, counters);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
lstm_backward(const real *h2h, real *gates, const real *c, const real *tanh_c, const real *grad_h, real *grad_c,
              unsigned *counters, int T, int B) {
  const int lane = threadIdx.x % TEAM, gate = threadIdx.x / TEAM / (OWN / 4);
  const int own = threadIdx.x / TEAM % (OWN / 4) * 4, unit = blockIdx.x % BLOCKS * OWN + own;  // the first of four
  real weights[4][WEIGHTS];
#pragma unroll
  for (int n = 0; n < 4; n++)
#pragma unroll
    for (int i = 0; i < WEIGHTS; i++) {
      int k = (i / VECTOR * TEAM + lane) * VECTOR + i % VECTOR;
      weights[n][i] = h2h[(size_t)(gate * H + k) * H + unit + n];
    }
  all_steps(Backward{gates, c, tanh_c, grad_h, grad_c, T, B}, weights, gate * CHUNK * OWN + own, 1, gate, counters);
}
