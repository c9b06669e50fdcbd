// A text that the network writes or reads, with all numbers of layer 1 at each character.
import { Pass } from "./network.js";
import { Generator } from "./random.js";
import { sampler } from "./samplers.js";

/**
 * Returns a text of `length` characters, and what the network computed after each. `given`: the ids to read; without
 * them the text is sampled, as sample.py does. With `forget` the state is set to zero before each character.
 *
 * Arrays [length, n] of the gates: fromInput + fromState are their pre-activations. c and h are [length, H]. `probs`
 * [length, vocab] are those of the next character, and `bits` [length] the surprise of each character.
 */
export function textOf(network, symbols, { given, length, temperature, seed, forget }) {
  const pass = new Pass(network, 1, 1);
  const V = symbols.length;
  const choose = sampler({ temperature }, new Generator(seed), null, Math.fround);
  const count = given ? Math.min(length, given.length) : length;
  const [layer] = pass.layers;
  const { n, H } = layer;
  const zeros = (width) => new Float32Array(count * width);
  const result = { ids: new Uint8Array(count), texts: [], bits: zeros(1), probs: zeros(V) };
  Object.assign(result, { fromInput: zeros(n), fromState: zeros(n), gates: zeros(n), c: zeros(H), h: zeros(H) });
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let scores = new Float64Array(V).fill(-Math.log(V)); // before the first character all are equally likely
  for (let i = 0; i < count; i++) {
    const id = given ? given[i] : choose(scores);
    result.ids[i] = id;
    result.bits[i] = -scores[id] / Math.LN2;
    result.texts.push(decoder.decode(Uint8Array.of(symbols[id]), { stream: true }));
    if (forget) pass.reset();
    pass.forward(Uint8Array.of(id));
    scores = pass.logProbs;
    for (let j = 0; j < n; j++) {
      const linear = (j / layer.width) | 0, k = j - linear * layer.width;
      const [i2h, h2h] = [layer.i2h[linear], layer.h2h[linear]];
      result.fromInput[i * n + j] = i2h.weight[k * V + id] + i2h.bias[k];
      result.fromState[i * n + j] = layer.fromState[j] + h2h.bias[k];
    }
    result.c.set(layer.c.subarray(H), i * H);
    result.h.set(layer.h.subarray(H), i * H);
    result.gates.set(n === H ? layer.h.subarray(H) : layer.pre, i * n); // an rnn has no gates
    for (let id = 0; id < V; id++) result.probs[i * V + id] = Math.exp(scores[id]);
    pass.carry();
  }
  return result;
}
