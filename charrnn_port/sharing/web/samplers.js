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

/** Applies `choose` to the ids whose log-probability at this temperature is not below what each of `filters` returns. */
function filtered(filters, choose, temperature) {
  return (scores) => {
    const largest = scores[greedy(scores)];
    let ids = [...scores.keys()];
    const scaled = scores.map((score) => (score - largest) / temperature);
    for (const leastOf of filters) {
      const least = leastOf(Float64Array.from(ids, (id) => scaled[id]).sort().reverse());
      ids = ids.filter((id) => !(scaled[id] < least));
    }
    return ids[choose(Float64Array.from(ids, (id) => scores[id]))];
  };
}

/** Top-k: keeps the k most likely ids, and those that tie with the last of them. `falling` are log-probabilities. */
function topK(k) {
  return (falling) => falling[Math.min(k, falling.length) - 1];
}

/** Nucleus (top-p): keeps the smallest set of most likely ids with total probability p. */
function topP(p) {
  return (falling) => {
    let total = 0;
    const reached = falling.map((score) => (total += exp(score - falling[0])));
    return falling[reached.findIndex((each) => each >= p * total)];
  };
}

/** Returns the sampler of the options. The id of the unknown symbol, unless it is null, is never sampled. */
export function sampler(options, random, unknown, rounded) {
  const { temperature, argmax } = options;
  const filters = [...(options.topK ? [topK(options.topK)] : []), ...(options.topP < 1 ? [topP(options.topP)] : [])];
  let choose = argmax ? greedy : categorical(random, temperature, rounded);
  if (filters.length && !argmax) choose = filtered(filters, choose, temperature);
  if (unknown === null) return choose;
  return (scores) => {
    const others = scores.slice();
    others[unknown] = -Infinity;
    return choose(others);
  };
}
