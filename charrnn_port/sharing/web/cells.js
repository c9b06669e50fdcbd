// One time step of each cell. `pre` [n] are its pre-activations, which lack h2h(h) only; they are overwritten. The state
// is overwritten by that after the step; its last array is the output. `h2h` is [n, H], row by row; `spare` [H] is
// room to work in. Gates are stacked as in model/lstm.py, gru.py and rnn.py.
import { sigmoid, tanh } from "./activations.js";

/**
 * Add to sums[from] ... sums[to - 1] the products of the rows `from` ... `to - 1` of a matrix with a vector.
 *
 * Four rows at a time: their sums do not wait for each other.
 */
export function addProducts(sums, matrix, vector, from, to) {
  const columns = vector.length;
  let row = from;
  for (; row + 4 <= to; row += 4) {
    let a = 0, b = 0, c = 0, d = 0;
    let first = row * columns, second = first + columns, third = second + columns, fourth = third + columns;
    for (let column = 0; column < columns; column++) {
      const x = vector[column];
      a += matrix[first++] * x;
      b += matrix[second++] * x;
      c += matrix[third++] * x;
      d += matrix[fourth++] * x;
    }
    sums[row] += a;
    sums[row + 1] += b;
    sums[row + 2] += c;
    sums[row + 3] += d;
  }
  for (; row < to; row++) {
    let sum = 0;
    for (let column = 0, place = row * columns; column < columns; column++) sum += matrix[place++] * vector[column];
    sums[row] += sum;
  }
}

function lstm(pre, [c, h], h2h) {
  const H = h.length;
  addProducts(pre, h2h, h, 0, 4 * H);
  for (let i = 0; i < H; i++) {
    c[i] = sigmoid(pre[H + i]) * c[i] + sigmoid(pre[i]) * tanh(pre[3 * H + i]);
    h[i] = sigmoid(pre[2 * H + i]) * tanh(c[i]);
  }
}

function gru(pre, [h], h2h, spare) {
  const H = h.length;
  addProducts(pre, h2h, h, 0, 2 * H);
  for (let i = 0; i < H; i++) spare[i] = sigmoid(pre[H + i]) * h[i];
  addProducts(pre, h2h, spare, 2 * H, 3 * H);
  for (let i = 0; i < H; i++) h[i] += sigmoid(pre[i]) * (tanh(pre[2 * H + i]) - h[i]);
}

function rnn(pre, [h], h2h) {
  addProducts(pre, h2h, h, 0, h.length);
  for (let i = 0; i < h.length; i++) h[i] = tanh(pre[i]);
}

/** Each with how many numbers a unit has in the pre-activations, and in the state. */
export const CELLS = {
  lstm: { advance: lstm, gates: 4, states: 2 },
  gru: { advance: gru, gates: 3, states: 1 },
  rnn: { advance: rnn, gates: 1, states: 1 },
};
