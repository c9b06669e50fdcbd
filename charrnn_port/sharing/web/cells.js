// One time step of each cell. `pre` [n] holds the pre-activations without h2h(h) and is overwritten. The state, arrays
// [H], is updated in place; its last array is the output. `h2h` is split into one matrix for each product of the cell.
// `spare` [H] is scratch space. Gates are stacked as in model/lstm.py, gru.py and rnn.py.
import { sigmoid, tanh } from "./activations.js";

function lstm(pre, [c, h], [h2h]) {
  const H = h.length;
  h2h.addProduct(h, pre);
  for (let i = 0; i < H; i++) {
    c[i] = sigmoid(pre[H + i]) * c[i] + sigmoid(pre[i]) * tanh(pre[3 * H + i]);
    h[i] = sigmoid(pre[2 * H + i]) * tanh(c[i]);
  }
}

function gru(pre, [h], [forGates, forCandidate], spare) {
  const H = h.length;
  forGates.addProduct(h, pre);
  for (let i = 0; i < H; i++) spare[i] = sigmoid(pre[H + i]) * h[i];
  forCandidate.addProduct(spare, pre, 2 * H);
  for (let i = 0; i < H; i++) h[i] += sigmoid(pre[i]) * (tanh(pre[2 * H + i]) - h[i]);
}

function rnn(pre, [h], [h2h]) {
  h2h.addProduct(h, pre);
  for (let i = 0; i < h.length; i++) h[i] = tanh(pre[i]);
}

/** The cells: step function, number of arrays in the state, and number of gates in each matrix of h2h. */
export const CELLS = {
  lstm: { advance: lstm, states: 2, h2h: [4] },
  gru: { advance: gru, states: 1, h2h: [2, 1] },
  rnn: { advance: rnn, states: 1, h2h: [1] },
};
