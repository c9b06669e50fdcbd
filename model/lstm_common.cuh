// What the lstm's kernels share: lstm_cluster.cu, lstm_grid.cu, lstm_step.cu.
//
// Macro on the command line: REAL (float or double). Shapes as in model/lstm.py: T time steps, B rows of the batch. The
// order of gates is in, forget, out, transform.
#pragma once
typedef REAL real;

constexpr int VECTOR = 16 / sizeof(real);  // numbers in a 16-byte load

struct __align__(16) Vector {
  real x[VECTOR];
};

__device__ real sigmoid(real x) { return real(1) / (real(1) + exp(-x)); }

// Add the COUNT values of all threads whose indices differ only in the bits up to DISTANCE, inclusive. While a thread
// has more than one value, it keeps one half and sends the other to its partner (reduce-scatter): if the bit DISTANCE
// of its index is set, it keeps the upper half, which moves to the place of the lower one. This needs fewer shuffles
// than a reduction of each value. In the end a thread has COUNT / (2 * DISTANCE) sums. If a single value is left
// earlier, the threads that differ in the remaining bits all get the sum.
template <int COUNT, int DISTANCE, int N>
__device__ __forceinline__ void reduce_scatter(real (&values)[N]) {
  if constexpr (DISTANCE > 0 && COUNT > 1) {
    bool upper = threadIdx.x & DISTANCE;
#pragma unroll
    for (int i = 0; i < COUNT / 2; i++) {
      real kept = upper ? values[i + COUNT / 2] : values[i], sent = upper ? values[i] : values[i + COUNT / 2];
      values[i] = kept + __shfl_xor_sync(~0u, sent, DISTANCE);
    }
    reduce_scatter<COUNT / 2, DISTANCE / 2>(values);
  } else if constexpr (DISTANCE > 0) {
    values[0] += __shfl_xor_sync(~0u, values[0], DISTANCE);
    reduce_scatter<1, DISTANCE / 2>(values);
  }
}
