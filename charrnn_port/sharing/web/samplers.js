// How the next character is chosen: a choice is a function from scores, log-probabilities up to a constant, to an id.
// The arithmetic is that of charrnn_port/sampling/samplers.py.
import { exp } from "./activations.js";

/** The likeliest; of several the first. */
function greedy(scores) {
  let best = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i] > scores[best]) best = i;
  return best;
}

/** Drawn from the probabilities ** (1 / temperature), as sample.lua and torch.multinomial do. */
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

/** The same choice among the `k` likeliest; those that are as likely as the last of them stay too. */
function amongTop(k, choose, temperature) {
  return (scores) => {
    const largest = scores[greedy(scores)];
    const scaled = scores.map((score) => (score - largest) / temperature);
    const least = scaled.slice().sort()[scaled.length - Math.min(k, scaled.length)];
    const ids = [...scaled.keys()].filter((id) => !(scaled[id] < least));
    return ids[choose(Float64Array.from(ids, (id) => scores[id]))];
  };
}

/** What the options choose by. The unknown symbol, where there is one, is never among what is taken. */
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
