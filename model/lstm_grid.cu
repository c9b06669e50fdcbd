// All time steps of an lstm layer in one launch, for sizes whose weights no cluster of blocks can hold
// (lstm_persistent.cu): model/persistent.py compiles this for one size and launches it.
//
// Weights stay in registers for the whole sequence here too. A group of BLOCKS blocks, up to all of the GPU, shares the
// units (numbers of h), and does the same rows of the batch: each block computes its units' part of a time step, writes
// it to memory and counts up a counter; when all have, each reads what all have written. That takes as long as a time
// step's products, so the rows are done in chunks of CHUNK: while the numbers of one are under way, the next one is
// computed; and a warp of its own, the messenger, does the counting and the waiting. Groups know nothing of each other.
// All blocks must run at once, since they wait for each other: hence a cooperative launch.
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
constexpr int THREADS = OWN * TEAM;        // of a block, that compute
constexpr int MESSENGERS = 32;             // beside them: a warp, of which one thread works
constexpr int WEIGHTS = H / TEAM;          // of a thread for each of its four rows
constexpr int CHUNKS = (ROWS + CHUNK - 1) / CHUNK;
constexpr int APART = 32;                  // counters, in their own lines of the cache

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

// A barrier for the threads that compute.
__device__ __forceinline__ void meet() { asm volatile("bar.sync 1, %0;" ::"n"(THREADS) : "memory"); }

// They tell the messenger that all is written, and do not wait for it; it tells them that they may read, and does not
// wait either.
__device__ __forceinline__ void tell() { asm volatile("bar.arrive 2, %0;" ::"n"(THREADS + 32) : "memory"); }
__device__ __forceinline__ void hear() { asm volatile("bar.sync 2, %0;" ::"n"(THREADS + 32) : "memory"); }
__device__ __forceinline__ void allow() { asm volatile("bar.arrive 3, %0;" ::"n"(THREADS + 32) : "memory"); }
__device__ __forceinline__ void be_allowed() { asm volatile("bar.sync 3, %0;" ::"n"(THREADS + 32) : "memory"); }

// What the threads of the block wrote before a barrier, anyone may read who has seen the counter.
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

__device__ __forceinline__ real sigmoid(real x) { return real(1) / (real(1) + exp(-x)); }

// The sums of four rows of weights with a row of `given`, over the threads of a team: of which each gets one, the first
// quarter of them the first.
__device__ __forceinline__ real multiply(const real (&weights)[4][WEIGHTS], const Vector *given) {
  real sums[4] = {}, others[4] = {};  // two of each, since an addition waits for the one before
#pragma unroll
  for (int i = 0; i < WEIGHTS; i += VECTOR) {
    Vector x = given[i / VECTOR * TEAM];
#pragma unroll
    for (int v = 0; v < VECTOR; v++)
#pragma unroll
      for (int n = 0; n < 4; n++) (i / VECTOR % 2 ? others : sums)[n] += weights[n][i + v] * x.x[v];
  }
#pragma unroll
  for (int n = 0; n < 4; n++) sums[n] += others[n];
  // A thread keeps half of its sums, the upper half if it is in the upper half of its team, and gets the other one's.
  const bool upper = threadIdx.x & 2 * LANES, odd = threadIdx.x & LANES;
  real first = upper ? sums[2] : sums[0], second = upper ? sums[3] : sums[1];
  first += __shfl_xor_sync(~0u, upper ? sums[0] : sums[2], 2 * LANES);
  second += __shfl_xor_sync(~0u, upper ? sums[1] : sums[3], 2 * LANES);
  real sum = odd ? second : first;
  sum += __shfl_xor_sync(~0u, odd ? first : second, LANES);
#pragma unroll
  for (int distance = LANES / 2; distance > 0; distance /= 2) sum += __shfl_xor_sync(~0u, sum, distance);
  return sum;
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

// The part of the batch that a block's group does.
struct Part {
  int first_row, rows, chunks;
  unsigned *counters;

  __device__ Part(unsigned *counters, int B) {
    int group = blockIdx.x / BLOCKS;
    first_row = group * ROWS;
    rows = ROWS < B - first_row ? ROWS : B - first_row;
    chunks = (rows + CHUNK - 1) / CHUNK;
    this->counters = counters + group * CHUNKS * APART;
  }
};

// The messenger, for each step of each chunk but the last.
__device__ void deliver(Part part, int T) {
  for (int step = 0; step < T; step++)
    for (int chunk = 0; chunk < part.chunks; chunk++) {
      if (step + 1 == T && chunk + 1 == part.chunks) return;
      unsigned *counter = part.counters + chunk * APART;
      hear();
      if (threadIdx.x == THREADS) {
        count_up(counter);
        if (step + 1 < T)
          while (read(counter) < (step + 1) * BLOCKS)
            ;
      }
      __syncwarp();
      allow();
    }
}

// All steps. A team's four sums go to `place`, `next` from each other, of the next row OWN further on; what it
// multiplies by begins at `gate` of a row.
template <class Pass>
__device__ __forceinline__ void compute(Pass pass, Part part, const real (&weights)[4][WEIGHTS], int place, int next,
                                        int gate) {
  constexpr int WIDTH = Pass::GATES * H / VECTOR;    // of a row
  extern __shared__ Vector given[];                  // two buffers, [CHUNK][GATES][H]
  real *sums = (real *)(given + 2 * CHUNK * WIDTH);  // [4][CHUNK][OWN]

  const int lane = threadIdx.x % TEAM, own = threadIdx.x % OWN, unit = blockIdx.x % BLOCKS * OWN + own;

  // Ask for what a step of a chunk multiplies by.
  auto ask = [&](int step, int chunk, Vector *buffer) {
    if (step == pass.T || pass.input(step) == nullptr) return;
    const Vector *from = (const Vector *)pass.input(step) + (size_t)(part.first_row + chunk * CHUNK) * WIDTH;
    int count = (CHUNK < part.rows - chunk * CHUNK ? CHUNK : part.rows - chunk * CHUNK) * WIDTH;
    for (int i = threadIdx.x; i < count; i += THREADS) copy(buffer + i, from + i);
  };

  for (int i = threadIdx.x; i < 2 * CHUNK * WIDTH; i += THREADS) given[i] = {};  // no input is zero
  meet();
  ask(0, 0, given);
  Vector *buffer = given, *other = given + CHUNK * WIDTH;
  for (int step = 0; step < pass.T; step++)
    for (int chunk = 0; chunk < part.chunks; chunk++) {
      const bool last = chunk + 1 == part.chunks;
      const int row_of_chunk = threadIdx.x / OWN, row = part.first_row + chunk * CHUNK + row_of_chunk;
      const bool mine = row_of_chunk < CHUNK && chunk * CHUNK + row_of_chunk < part.rows;
      arrive();
      meet();

      if (mine) pass.fetch(step, row, unit);  // long before it is needed
      const Vector *given_row = buffer + gate * H / VECTOR + lane;
      real *sum = sums + place + lane / LANES * next;
#pragma unroll 2
      for (int r = 0; r < CHUNK; r++, given_row += WIDTH, sum += OWN) {
        real product = multiply(weights, given_row);
        if (lane % LANES == 0) *sum = product;
      }
      if (part.chunks > 1 && step + chunk > 0)
        be_allowed();  // what the chunk before this one waits for; so what the next one needs is there too
      else
        meet();
      if (part.chunks > 1) ask(step + last, last ? 0 : chunk + 1, other);

      if (mine) {
        real of_mine[4];
#pragma unroll
        for (int n = 0; n < 4; n++) of_mine[n] = sums[(n * CHUNK + row_of_chunk) * OWN + own];
        pass.publish(step, row, unit, of_mine);
      }
      if (step + 1 < pass.T || !last) tell();
      if (mine) pass.keep(step, row, unit);
      if (part.chunks == 1 && step + 1 < pass.T) {
        be_allowed();
        ask(step + 1, 0, other);
      }
      Vector *swapped = buffer;
      buffer = other;
      other = swapped;
    }
}

// h2h: [4 * H, H]; counters: a zero for each chunk of each group, APART.
extern "C" __global__ void __launch_bounds__(THREADS + MESSENGERS, 1)
lstm_forward(const real *h2h, real *sums, real *c, real *h, real *tanh_c, unsigned *counters, int T, int B) {
  const Part part(counters, B);
  if (threadIdx.x >= THREADS) {
    deliver(part, T);
  } else {
    const int lane = threadIdx.x % TEAM, own = threadIdx.x / TEAM, unit = blockIdx.x % BLOCKS * OWN + own;
    real weights[4][WEIGHTS];
#pragma unroll
    for (int n = 0; n < 4; n++)
#pragma unroll
      for (int i = 0; i < WEIGHTS; i++)
        weights[n][i] = h2h[(size_t)(n * H + unit) * H + (i / VECTOR * TEAM + lane) * VECTOR + i % VECTOR];
    compute(Forward{sums, c, h, tanh_c, T, B}, part, weights, own, CHUNK * OWN, 0);
  }
}

extern "C" __global__ void __launch_bounds__(THREADS + MESSENGERS, 1)
lstm_backward(const real *h2h, real *gates, const real *c, const real *tanh_c, const real *grad_h, real *grad_c,
              unsigned *counters, int T, int B) {
  const Part part(counters, B);
  if (threadIdx.x >= THREADS) {
    deliver(part, T);
  } else {
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
    compute(Backward{gates, c, tanh_c, grad_h, grad_c, T, B}, part, weights, gate * CHUNK * OWN + own, 1, gate);
  }
}
