// Samplers: functions from scores, which are unnormalized log-probabilities, to the id of the next character. The
// arithmetic is that of charrnn_port/sampling/samplers.py.
import { exp } from "./activations.js";

/** Greedy sampling: returns the most likely id, the first of several. */
function greedy(scores) {
  let best = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i] > scores[best]) best = i;
  return best;
}

/** Samples from probabilities ** (1 / temperature), as sample.lua and torch.multinomial do. */
function categorical(random, temperature, rounded) {
  return (scores) => {
    let probabilities = scores.map((score) => exp(score / temperature));
    let total = sum(probabilities);
    if (!(total > 0 && total < Infinity)) {
      const largest = scores[greedy(scores)];
      probabilities = scores.map((score) => exp((score - largest) / temperature));
      total = sum(probabilities);
    }
    for (let i = 0; i < probabilities.length; i++) probabilities[i] /= total;
    return random.multinomial(probabilities, rounded);
  };
}

function sum(numbers) {
  let total = 0;
  for (let i = 0; i < numbers.length; i++) total += numbers[i];
  return total;
}

/** Top-k sampling: applies `choose` to the k most likely ids, and to those that tie with the last of them. */
function amongTop(k, choose, temperature) {
  return (scores) => {
    const largest = scores[greedy(scores)];
    const scaled = scores.map((score) => (score - largest) / temperature);
    const least = scaled.slice().sort()[scaled.length - Math.min(k, scaled.length)];
    const ids = [...scaled.keys()].filter((id) => !(scaled[id] < least));
    return ids[choose(Float64Array.from(ids, (id) => scores[id]))];
  };
}

/** Returns the sampler of the options. The id of the unknown symbol, unless it is null, is never sampled. */
export function sampler({ temperature, topK, argmax }, random, unknown, rounded) {
  let choose = argmax ? greedy : categorical(random, temperature, rounded);
  if (topK && !argmax) choose = amongTop(topK, choose, temperature);
  if (unknown === null) return choose;
  return (scores) => {
    const others = scores.slice();
    others[unknown] = -Infinity;
    return choose(others);
  };
}
