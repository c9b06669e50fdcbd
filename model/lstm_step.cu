// The elementwise part of an lstm's time step in one launch, after its matrix product, for sizes whose weights do not
// fit into registers (lstm_cluster.cu, lstm_grid.cu). A thread computes one unit of one row. Pointers are to one time
// step. Macro on the command line: REAL.
#include "lstm_common.cuh"

// The forward step.
//   sums            [B, 4 * H]  in: the pre-activations, i2h(x) + h2h(h) with biases; out: the gates
//   c               [B, H]      in: the state before the step
//   next_c, next_h  [B, H]      out: the state after the step
//   tanh_c          [B, H]      out: tanh of next_c
extern "C" __global__ void lstm_step(real *sums, const real *c, real *next_c, real *next_h, real *tanh_c, int B, int H) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= B * H) return;
  real *gate = sums + (size_t)(i / H) * 4 * H + i % H;
  real in = sigmoid(gate[0]), forget = sigmoid(gate[H]), out = sigmoid(gate[2 * H]), transform = tanh(gate[3 * H]);
  real state = forget * c[i] + in * transform, tanh_state = tanh(state);
  gate[0] = in;
  gate[H] = forget;
  gate[2 * H] = out;
  gate[3 * H] = transform;
  next_c[i] = state;
  tanh_c[i] = tanh_state;
  next_h[i] = out * tanh_state;
}

// The backward step.
//   gates      [B, 4 * H]  in: the gates; out: the gradient by their pre-activations
//   c, tanh_c  [B, H]      in: c before the step, tanh of c after it
//   grad_h     [B, H]      in: the gradient by h after the step, from the layer above and from later steps
//   grad_c     [B, H]      in: the gradient by c after the step, from later steps; out: that by c before the step
extern "C" __global__ void lstm_step_back(real *gates, const real *c, const real *tanh_c, const real *grad_h,
                                          real *grad_c, int B, int H) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= B * H) return;
  real *gate = gates + (size_t)(i / H) * 4 * H + i % H;
  real in = gate[0], forget = gate[H], out = gate[2 * H], transform = gate[3 * H];
  real dh = grad_h[i], dc = grad_c[i] + dh * out * (1 - tanh_c[i] * tanh_c[i]);
  gate[0] = dc * transform * (1 - in) * in;
  gate[H] = dc * c[i] * (1 - forget) * forget;
  gate[2 * H] = dh * tanh_c[i] * (1 - out) * out;
  gate[3 * H] = dc * in * (1 - transform * transform);
  grad_c[i] = dc * forget;
}
