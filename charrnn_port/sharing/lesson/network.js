// The network: parameters in one vector, in the order of train.lua, and passes over batches of one shape.
import { Layer, Linear, parametersOf } from "./layer.js";
import { exp, log } from "./libm.js";
import { matrix } from "./product.js";

export class Network {
  /** Creates a network with parameters from uniform(-0.08, 0.08), and the lstm's forget biases 1, as train.lua does. */
  constructor({ model, rnn_size: H, num_layers }, vocabSize, random) {
    Object.assign(this, { model, H, vocabSize });
    let count = 0;
    this.build(num_layers, (size) => ((count += size), []));
    this.params = new Float64Array(count);
    this.gradients = new Float64Array(count);
    let place = 0;
    this.build(num_layers, (size) => {
      const range = [place, (place += size)];
      return [this.params.subarray(...range), this.gradients.subarray(...range)];
    });
    for (let i = 0; i < count; i++) random.next(); // train.lua draws all parameters twice
    for (let i = 0; i < count; i++) this.params[i] = (random.next() / 2 ** 32) * (0.08 - -0.08) + -0.08;
    if (model === "lstm") for (const { i2h } of this.layers) i2h[0].bias.fill(1, H, 2 * H);
  }

  build(num_layers, take) {
    const { model, H, vocabSize } = this;
    this.layers = [];
    for (let i = 0; i < num_layers; i++) this.layers.push(parametersOf(model, take, i ? H : vocabSize, H));
    this.decoder = new Linear(take, vocabSize, H);
  }
}

export class Pass {
  /** Makes the arrays for batches of T steps and B rows. They include the carried state, which is zero at first. */
  constructor(network, T, B) {
    Object.assign(this, { network, T, B });
    this.layers = [];
    for (const parameters of network.layers) {
      this.layers.push(new Layer(network.model, parameters, this.layers.at(-1) ?? null, T, B, network.H));
    }
    this.top = this.layers.at(-1);
    this.logProbs = new Float64Array(T * B * network.vocabSize);
  }

  /** Computes the log-probabilities [T, B, vocab] of the next character, from the carried state, for ids x [T, B]. */
  forward(x) {
    const { T, B, logProbs, top } = this;
    const { decoder, vocabSize: V } = this.network;
    this.layers[0].ids = x;
    for (const layer of this.layers) layer.forward();
    for (let t = 0; t < T; t++) decoder.forward(top.rows(top.h, t + 1, top.H), top.rows(logProbs, t, V), B);
    for (let row = 0; row < T * B; row++) logSoftmax(logProbs, row * V, decoder.bias, V);
  }

  /** Returns `total` plus the losses of all time steps, each a mean over the batch, in nats. y [T, B]: targets. */
  addLosses(y, total) {
    const { T, B, logProbs } = this;
    const V = this.network.vocabSize;
    for (let t = 0; t < T; t++) {
      let loss = 0;
      for (let row = t * B; row < (t + 1) * B; row++) loss -= logProbs[row * V + y[row]];
      total += loss / B;
    }
    return total;
  }

  /** Computes the gradients of the sum over time of the losses. It overwrites the results of forward. */
  backward(y) {
    const { T, B, logProbs, top } = this;
    const { decoder, vocabSize: V, gradients } = this.network;
    gradients.fill(0);
    const share = -1 / B;
    for (let row = 0; row < T * B; row++) {
      for (let i = row * V; i < (row + 1) * V; i++) logProbs[i] = 0 - exp(logProbs[i]) * share;
      logProbs[row * V + y[row]] += share;
    }
    for (let t = T - 1; t >= 0; t--) decoder.accumulate(top.rows(logProbs, t, V), top.rows(top.h, t + 1, top.H), B);
    for (let t = 0; t < T; t++) decoder.backward(top.rows(logProbs, t, V), top.rows(top.gradAbove[0], t, top.H), B);
    for (const layer of [...this.layers].reverse()) layer.backward();
  }

  /** Makes the state after the last time step that before the first one. */
  carry() {
    for (const { h, c, B, H } of this.layers) for (const state of [h, c]) state.copyWithin(0, state.length - B * H);
  }

  /** Sets the carried state to zero. */
  reset() {
    for (const { h, c, B, H } of this.layers) for (const state of [h, c]) state.fill(0, 0, B * H);
  }
}

/** Adds a bias [V] to a row that begins at `from`, and replaces it by log-probabilities. */
function logSoftmax(numbers, from, bias, V) {
  let largest = -Infinity, sum = 0;
  for (let i = 0; i < V; i++) {
    numbers[from + i] += bias[i];
    if (!(numbers[from + i] <= largest)) largest = numbers[from + i];
  }
  for (let i = 0; i < V; i++) sum += exp(numbers[from + i] - largest);
  const logSum = largest + log(sum);
  for (let i = 0; i < V; i++) numbers[from + i] -= logSum;
}
