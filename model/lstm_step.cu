// What a time step of an lstm does beside its matrix product, in one launch: for sizes whose weights no cluster of
// blocks can hold (lstm_cluster.cu). A thread does one unit of one row.
//
// REAL is float or double. Shapes and the order of gates as in model/lstm.py; the pointers are to one time step.
typedef REAL real;

__device__ real sigmoid(real x) { return real(1) / (real(1) + exp(-x)); }

// sums [B, 4 * H], all of i2h and h2h, and c [B, H] to next_c, next_h and tanh_c, the tanh of next_c, [B, H]; the gates
// go where the sums were.
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

// grad_h [B, H], of this step and those after it, and grad_c [B, H] from the step after to the gradient by the sums,
// which goes where the gates were, and to grad_c for the step before. c: before the step.
extern "C" __global__ void lstm_step_back(real *gates, const real *c, const real *tanh_c, const real *grad_h,
                                          real *grad_c, int B, int H) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= B * H) return;
  real *gate = gates + (size_t)(i / H) * 4 * H + i % H;
  real in = gate[0], forget = gate[H], out = gate[2 * H], transform = gate[3 * H];
  real by_h = grad_h[i], by_c = grad_c[i] + by_h * out * (1 - tanh_c[i] * tanh_c[i]);
  gate[0] = by_c * transform * (1 - in) * in;
  gate[H] = by_c * c[i] * (1 - forget) * forget;
  gate[2 * H] = by_h * tanh_c[i] * (1 - out) * out;
  gate[3 * H] = by_c * in * (1 - transform * transform);
  grad_c[i] = by_c * forget;
}
