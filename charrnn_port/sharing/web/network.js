// A network's weights, and the state of one text in progress.
import { CELLS } from "./cells.js";
import { Matrix } from "./matrix.js";

const READERS = {
  float64: { bytes: 8, read: (view, place) => view.getFloat64(place, true) },
  float32: { bytes: 4, read: (view, place) => view.getFloat32(place, true) },
  float16: { bytes: 2, read: (view, place) => half(view.getUint16(place, true)) },
};

/** Decodes a finite float16 (IEEE 754 binary16). */
function half(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction / 2 ** 24;
  return bits >> 15 ? -size : size;
}

/** Decodes weights in base64 to doubles. */
function decodeWeights(text, precision) {
  const binary = atob(text);
  const view = new DataView(new ArrayBuffer(binary.length));
  for (let i = 0; i < binary.length; i++) view.setUint8(i, binary.charCodeAt(i));
  const { bytes, read } = READERS[precision];
  return Float64Array.from({ length: binary.length / bytes }, (_, i) => read(view, i * bytes));
}

export class Network {
  /** Loads a network written by charrnn_port/sharing/web.py. It is immutable, so sessions may share it. */
  constructor({ cell, rnn_size: H, num_layers, vocab, separator, precision, drawn_from, weights }) {
    this.cell = CELLS[cell];
    this.vocabSize = [...vocab.symbols].length + (vocab.unknown === null ? 0 : 1); // code points, not UTF-16 units
    this.separator = separator; // ids of what ends each of many short texts; empty for one long text
    this.rounded = drawn_from === "float32" ? Math.fround : (probability) => probability; // applied before sampling
    this.size = H;
    this.n = H * this.cell.h2h.reduce((sum, gates) => sum + gates);
    const numbers = decodeWeights(weights, precision);
    let place = 0;
    const take = (count) => numbers.subarray(place, (place += count));
    const matrix = (rows) => new Matrix(take(rows * H), H);
    this.first = take(this.vocabSize * this.n); // [vocabSize, n]: the first layer's pre-activations for each character
    this.layers = Array.from({ length: num_layers }, (_, layer) => ({
      i2h: layer ? matrix(this.n) : null,
      bias: layer ? take(this.n) : null,
      h2h: this.cell.h2h.map((gates) => matrix(gates * H)),
    }));
    this.decoder = { weight: matrix(this.vocabSize), bias: take(this.vocabSize) };
  }
}

/** The state of one text in progress. */
export class Session {
  constructor(network) {
    this.network = network;
    const { layers, cell, size } = network;
    this.states = layers.map(() => Array.from({ length: cell.states }, () => new Float64Array(size)));
    this.pre = new Float64Array(network.n);
    this.spare = new Float64Array(size);
    this.clamps = []; // [layer from 0, unit, value]: outputs that are held from the next character on
    /** Unnormalized log-probabilities of the next character. Before anything is read, all are equally likely. */
    this.scores = new Float64Array(network.vocabSize).fill(1 / network.vocabSize);
  }

  /** Advances by one character. */
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
      for (const [at, unit, value] of this.clamps) if (at === layer) output[unit] = value;
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
