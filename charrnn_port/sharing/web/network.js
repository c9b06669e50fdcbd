// A network's weights, and one text in progress on it.
import { CELLS, addProducts } from "./cells.js";

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
  constructor({ cell, rnn_size, num_layers, vocab, precision, drawn_from, weights }) {
    this.vocabSize = vocab.symbols.length + (vocab.unknown === null ? 0 : 1);
    this.rounded = drawn_from === "float32" ? Math.fround : (probability) => probability; // before one is drawn
    this.cell = CELLS[cell];
    this.size = rnn_size;
    this.n = this.cell.gates * rnn_size;
    const numbers = decodeWeights(weights, precision);
    let place = 0;
    const take = (count) => numbers.subarray(place, (place += count));
    this.rows = take(this.vocabSize * this.n); // the first layer's pre-activations for each character
    this.layers = [];
    for (let layer = 0; layer < num_layers; layer++) {
      const [i2h, bias] = layer ? [take(this.n * rnn_size), take(this.n)] : [];
      this.layers.push({ i2h, bias, h2h: take(this.n * rnn_size) });
    }
    this.decoder = { weight: take(this.vocabSize * rnn_size), bias: take(this.vocabSize) };
  }
}

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
    const { n, cell, decoder } = network;
    let output;
    network.layers.forEach(({ i2h, bias, h2h }, layer) => {
      if (layer) {
        pre.set(bias);
        addProducts(pre, i2h, output, 0, n);
      } else {
        pre.set(network.rows.subarray(id * n, (id + 1) * n));
      }
      cell.advance(pre, states[layer], h2h, this.spare);
      output = states[layer][cell.states - 1];
    });
    scores.fill(0);
    addProducts(scores, decoder.weight, output, 0, scores.length);
    let largest = -Infinity;
    for (let i = 0; i < scores.length; i++) {
      scores[i] += decoder.bias[i];
      if (!(scores[i] <= largest)) largest = scores[i];
    }
    for (let i = 0; i < scores.length; i++) scores[i] -= largest;
  }
}
