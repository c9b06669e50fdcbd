// A layer of cells over a sequence: its parameters, and the arrays of forward and backward pass.
import { CELLS } from "./cells.js";
import { addProduct, addRows, addRowsById, matrix } from "./product.js";

/** Parameters of an nn.Linear, weight [outputs, inputs] and bias [outputs], and their gradients. */
export class Linear {
  constructor(take, outputs, inputs) {
    Object.assign(this, { outputs, inputs });
    [this.weight, this.gradWeight] = take(outputs * inputs);
    [this.bias, this.gradBias] = take(outputs);
  }

  /** Sets y [rows, outputs] to x [rows, inputs] times the transposed weight, without bias. */
  forward(x, y, rows) {
    clear(y, rows, this.outputs);
    addProduct(y, x, matrix(this.weight, 0, 1, this.inputs), rows, this.outputs, this.inputs);
  }

  /** Sets gradX [rows, inputs] to gradY [rows, outputs] times the weight. */
  backward(gradY, gradX, rows) {
    clear(gradX, rows, this.inputs);
    addProduct(gradX, gradY, matrix(this.weight, 0, this.inputs), rows, this.inputs, this.outputs);
  }

  /** Adds the gradients by weight and bias of a time step. */
  accumulate(gradY, x, rows) {
    const transposed = matrix(gradY.numbers, gradY.from, 1, gradY.rowStep);
    addProduct(matrix(this.gradWeight, 0, this.inputs), transposed, x, this.outputs, this.inputs, rows);
    addRows(this.gradBias, gradY, rows, this.outputs);
  }

  /** The same for a one-hot input: ids [rows], which begin at `at`. */
  accumulateIds(gradY, ids, at, rows) {
    addRowsById(this.gradWeight, gradY, ids, at, rows, this.outputs, this.inputs);
    addRows(this.gradBias, gradY, rows, this.outputs);
  }
}

function clear({ numbers, from, rowStep }, rows, columns) {
  for (let row = 0; row < rows; row++) numbers.fill(0, from + row * rowStep, from + row * rowStep + columns);
}

/** Returns a layer's parameters, the nn.Linears i2h and h2h of each gate or of all gates. */
export function parametersOf(cell, take, inputs, H) {
  const { order, gates, reads } = CELLS[cell];
  const parameters = { i2h: [], h2h: [] };
  for (const each of order) {
    const [name, index] = each.split(" ");
    parameters[name][index] = new Linear(take, (gates.length / reads.length) * H, name === "i2h" ? inputs : H);
  }
  return parameters;
}

export class Layer {
  /** Makes the arrays of a layer for sequences of T steps and batches of B rows. `below`: the layer below, or null. */
  constructor(cell, parameters, below, T, B, H) {
    const n = CELLS[cell].gates.length * H;
    Object.assign(this, parameters, { cell: CELLS[cell], below, first: !below, T, B, H, n });
    this.width = n / this.cell.reads.length; // outputs of each nn.Linear
    const zeros = (...shape) => new Float64Array(shape.reduce((product, size) => product * size, 1));
    this.pre = zeros(T, B, n);
    this.fromState = zeros(B, n); // h2h(h) of a time step, without bias
    this.h = zeros(T + 1, B, H); // index 0 is the state before the sequence
    this.c = zeros(T + 1, B, H);
    this.tanhC = zeros(T, B, H);
    this.resetH = zeros(T, B, H);
    [this.gradC, this.gradNext] = [zeros(B, H), zeros(B, H)];
    [this.gradResetH, this.gradUpdate, this.gradReset] = [zeros(B, H), zeros(B, H), zeros(B, H)];
    this.gradAbove = [zeros(T, B, H)]; // gradients by the output, one from each nn.Linear above
    this.ids = null; // [T, B], the characters that the first layer reads
  }

  /** Rows of time t of an array [T, B, width], in columns from `from`. */
  rows(numbers, t, width, from = 0) {
    return matrix(numbers, t * this.B * width + from, width);
  }

  forward() {
    for (let t = 0; t < this.T; t++) {
      if (this.below) {
        const x = this.rows(this.below.h, t + 1, this.H);
        this.i2h.forEach((linear, i) => linear.forward(x, this.rows(this.pre, t, this.n, i * this.width), this.B));
      }
      this.cell.forward(this, t);
    }
  }

  backward() {
    const { T, B, H, n, width } = this;
    for (const each of [this.gradC, this.gradNext, this.gradReset]) each.fill(0);
    for (let t = T - 1; t >= 0; t--) this.cell.backward(this, t);
    if (this.below) this.below.gradAbove = this.cell.gradients.map((i) => this.gradInput(i));
    for (let t = T - 1; t >= 0; t--) {
      for (let i = 0; i < this.i2h.length; i++) {
        const gradient = this.rows(this.pre, t, n, i * width);
        this.h2h[i].accumulate(gradient, this.rows(this[this.cell.reads[i]], t, H), B);
        if (this.below) this.i2h[i].accumulate(gradient, this.rows(this.below.h, t + 1, H), B);
        else this.i2h[i].accumulateIds(gradient, this.ids, t * B, B);
      }
    }
  }

  /** Returns the gradient by the input of an nn.Linear, [T, B, H]. */
  gradInput(i) {
    const gradient = new Float64Array(this.T * this.B * this.H);
    for (let t = 0; t < this.T; t++) {
      this.i2h[i].backward(this.rows(this.pre, t, this.n, i * this.width), this.rows(gradient, t, this.H), this.B);
    }
    return gradient;
  }

  // Called by the cells:

  /** Computes h2h(h), without bias, of an nn.Linear at time t. */
  multiplyState(t, i) {
    const state = this.rows(this[this.cell.reads[i]], t, this.H);
    this.h2h[i].forward(state, this.rows(this.fromState, 0, this.n, i * this.width), this.B);
  }

  /** Sets `result` [B, H] to the gradient at time t through an nn.Linear of h2h. */
  multiplyGradient(t, i, result) {
    this.h2h[i].backward(this.rows(this.pre, t, this.n, i * this.width), this.rows(result, 0, this.H), this.B);
  }

  /** Returns i2h(x) + h2h(h) of column j of the pre-activations. The bias of each is added first. */
  preActivation(t, b, j) {
    const row = t * this.B + b;
    const i = this.width === this.n ? 0 : (j / this.width) | 0, k = j - i * this.width;
    const i2h = this.i2h[i];
    const product = this.first ? i2h.weight[k * i2h.inputs + this.ids[row]] : this.pre[row * this.n + j];
    return product + i2h.bias[k] + (this.fromState[b * this.n + j] + this.h2h[i].bias[k]);
  }

  /** Returns the gradient by the output of unit j: that from the next time step, then those from above. */
  gradOf(t, b, j) {
    const at = (t * this.B + b) * this.H + j;
    let gradient = this.gradNext[b * this.H + j];
    for (let i = 0; i < this.gradAbove.length; i++) gradient += this.gradAbove[i][at];
    return gradient;
  }
}
