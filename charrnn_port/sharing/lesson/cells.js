// One time step of each cell for a batch, forward and backward, as in model/sequence.c. A layer (layer.js) holds the
// arrays; those of a time step begin at row t * B. `pre` are the gates' pre-activations, which forward replaces by the
// gates, and backward by the gradient by the pre-activations.
import { sigmoid, tanh } from "./libm.js";

const sigmoidBackward = (gradient, y) => gradient * (1 - y) * y;
const tanhBackward = (gradient, y) => gradient * (1 - y * y);

const lstm = {
  gates: ["in", "forget", "out", "transform"],
  reads: ["h"], // what each nn.Linear of h2h multiplies; this one has all gates as outputs
  order: ["i2h 0", "h2h 0"], // of the parameters
  gradients: [0], // the order in which gradients by the input are added

  forward(layer, t) {
    const { B, H, n, pre, c, h, tanhC } = layer;
    layer.multiplyState(t, 0);
    for (let b = 0; b < B; b++) {
      const row = (t * B + b) * n;
      for (let j = 0; j < 3 * H; j++) pre[row + j] = sigmoid(layer.preActivation(t, b, j));
      for (let j = 3 * H; j < 4 * H; j++) pre[row + j] = tanh(layer.preActivation(t, b, j));
      for (let j = 0; j < H; j++) {
        const now = (t * B + b) * H + j, next = now + B * H;
        c[next] = pre[row + H + j] * c[now] + pre[row + j] * pre[row + 3 * H + j];
        tanhC[now] = tanh(c[next]);
        h[next] = pre[row + 2 * H + j] * tanhC[now];
      }
    }
  },

  backward(layer, t) {
    const { B, H, n, pre, c, tanhC, gradC } = layer;
    if (t < layer.T - 1) layer.multiplyGradient(t + 1, 0, layer.gradNext);
    for (let b = 0; b < B; b++) {
      for (let j = 0, i = (t * B + b) * n; j < H; j++, i++) {
        const now = (t * B + b) * H + j;
        const input = pre[i], forget = pre[i + H], out = pre[i + 2 * H], transform = pre[i + 3 * H];
        const gradH = layer.gradOf(t, b, j);
        const grad = gradC[b * H + j] + tanhBackward(gradH * out, tanhC[now]);
        gradC[b * H + j] = grad * forget;
        pre[i] = sigmoidBackward(grad * transform, input);
        pre[i + H] = sigmoidBackward(grad * c[now], forget);
        pre[i + 2 * H] = sigmoidBackward(gradH * tanhC[now], out);
        pre[i + 3 * H] = tanhBackward(grad * input, transform);
      }
    }
  },
};

const gru = {
  gates: ["update", "reset", "candidate"],
  reads: ["h", "h", "resetH"],
  order: ["i2h 0", "h2h 0", "i2h 2", "i2h 1", "h2h 1", "h2h 2"],
  gradients: [0, 2, 1],

  forward(layer, t) {
    const { B, H, n, pre, h, resetH } = layer;
    layer.multiplyState(t, 0);
    layer.multiplyState(t, 1);
    for (let b = 0; b < B; b++) {
      const row = (t * B + b) * n;
      for (let j = 0; j < 2 * H; j++) pre[row + j] = sigmoid(layer.preActivation(t, b, j));
      for (let j = 0, now = (t * B + b) * H; j < H; j++, now++) resetH[now] = pre[row + H + j] * h[now];
    }
    layer.multiplyState(t, 2);
    for (let b = 0; b < B; b++) {
      for (let j = 0, i = (t * B + b) * n, now = (t * B + b) * H; j < H; j++, i++, now++) {
        const candidate = tanh(layer.preActivation(t, b, 2 * H + j));
        pre[i + 2 * H] = candidate;
        h[now + B * H] = pre[i] * candidate + (1 - pre[i]) * h[now];
      }
    }
  },

  backward(layer, t) {
    const { B, H, n, pre, h, gradNext, gradResetH, gradUpdate, gradReset } = layer;
    for (let b = 0; b < B; b++) {
      for (let j = 0, i = (t * B + b) * n; j < H; j++, i++) {
        const update = pre[i], candidate = pre[i + 2 * H], now = (t * B + b) * H + j, own = b * H + j;
        gradNext[own] += gradReset[own]; // the last summand of the gradient by this step's h
        const gradH = layer.gradOf(t, b, j);
        pre[i] = sigmoidBackward(gradH * candidate - gradH * h[now], update);
        pre[i + 2 * H] = tanhBackward(gradH * update, candidate);
        gradNext[own] = gradH * (1 - update);
      }
    }
    layer.multiplyGradient(t, 2, gradResetH);
    layer.multiplyGradient(t, 0, gradUpdate);
    for (let b = 0; b < B; b++) {
      for (let j = 0, i = (t * B + b) * n + H; j < H; j++, i++) {
        const reset = pre[i], now = (t * B + b) * H + j, own = b * H + j;
        const byReset = gradResetH[own] * reset, byUpdate = gradUpdate[own];
        pre[i] = sigmoidBackward(gradResetH[own] * h[now], reset);
        gradNext[own] = layer.first ? gradNext[own] + byUpdate + byReset : gradNext[own] + byReset + byUpdate;
      }
    }
    layer.multiplyGradient(t, 1, gradReset);
  },
};

const rnn = {
  gates: ["h"],
  reads: ["h"],
  order: ["i2h 0", "h2h 0"],
  gradients: [0],

  forward(layer, t) {
    const { B, H, h } = layer;
    layer.multiplyState(t, 0);
    for (let b = 0; b < B; b++) {
      for (let j = 0; j < H; j++) h[((t + 1) * B + b) * H + j] = tanh(layer.preActivation(t, b, j));
    }
  },

  backward(layer, t) {
    const { B, H, h, pre } = layer;
    if (t < layer.T - 1) layer.multiplyGradient(t + 1, 0, layer.gradNext);
    for (let b = 0; b < B; b++) {
      for (let j = 0; j < H; j++) {
        pre[(t * B + b) * H + j] = tanhBackward(layer.gradOf(t, b, j), h[((t + 1) * B + b) * H + j]);
      }
    }
  },
};

export const CELLS = { lstm, gru, rnn };
