// A network's weights, and one text in progress on it.
import { CELLS } from "./cells.js";
import { Matrix } from "./matrix.js";

const READERS = {
  float64: { bytes: 8, read: (view, place) => view.getFloat64(place, true) },
  float32: { bytes: 4, read: (view, place) => view.getFloat32(place, true) },
  float16: { bytes: 2, read: (view, place) => half(view.getUint16(place, true)) },
};

/** The number that 16 bits stand for (IEEE 754 binary16), where it is finite. */
function half(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction / 2 ** 24;
  return bits >> 15 ? -size : size;
}

/** The weights in base64 as doubles. */
function decodeWeights(text, precision) {
  const binary = atob(text);
  const view = new DataView(new ArrayBuffer(binary.length));
  for (let i = 0; i < binary.length; i++) view.setUint8(i, binary.charCodeAt(i));
  const { bytes, read } = READERS[precision];
  return Float64Array.from({ length: binary.length / bytes }, (_, i) => read(view, i * bytes));
}

export class Network {
  /** From what charrnn_port/sharing/web.py writes. Nothing changes it, so any number of sessions may share it. */
  constructor({ cell, rnn_size: H, num_layers, vocab, precision, drawn_from, weights }) {
    this.cell = CELLS[cell];
    this.vocabSize = [...vocab.symbols].length + (vocab.unknown === null ? 0 : 1); // not its UTF-16 units
    this.rounded = drawn_from === "float32" ? Math.fround : (probability) => probability; // before one is drawn
    this.size = H;
    this.n = H * this.cell.h2h.reduce((sum, gates) => sum + gates);
    const numbers = decodeWeights(weights, precision);
    let place = 0;
    const take = (count) => numbers.subarray(place, (place += count));
    const matrix = (rows) => new Matrix(take(rows * H), H);
    this.first = take(this.vocabSize * this.n); // the first layer's pre-activations for each character, in rows
    this.layers = Array.from({ length: num_layers }, (_, layer) => ({
      i2h: layer ? matrix(this.n) : null,
      bias: layer ? take(this.n) : null,
      h2h: this.cell.h2h.map((gates) => matrix(gates * H)),
    }));
    this.decoder = { weight: matrix(this.vocabSize), bias: take(this.vocabSize) };
  }
}

/** One text in progress. */
export class Session {
  constructor(network) {
    this.network = network;
    const { layers, cell, size } = network;
    this.states = layers.map(() => Array.from({ length: cell.states }, () => new Float64Array(size)));
    this.pre = new Float64Array(network.n);
    this.spare = new Float64Array(size);
    /** Of what comes next: log-probabilities up to a constant. Before the first character all are equally likely. */
    this.scores = new Float64Array(network.vocabSize).fill(1 / network.vocabSize);
  }

  /** Go on by one character. */
  feed(id) {
    const { network, states, pre, scores } = this;
    const { n, cell, layers, decoder } = network;
    let output;
    for (let layer = 0; layer < layers.length; layer++) {
      const { i2h, bias, h2h } = layers[layer];
      if (layer) {
        pre.set(bias);
        i2h.addProduct(output, pre);
      } else {
        pre.set(network.first.subarray(id * n, (id + 1) * n));
      }
      cell.advance(pre, states[layer], h2h, this.spare);
      output = states[layer][cell.states - 1];
    }
    scores.fill(0);
    decoder.weight.addProduct(output, scores);
    let largest = -Infinity;
    for (let i = 0; i < scores.length; i++) {
      scores[i] += decoder.bias[i];
      if (!(scores[i] <= largest)) largest = scores[i];
    }
    for (let i = 0; i < scores.length; i++) scores[i] -= largest;
  }
}
