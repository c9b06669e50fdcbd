// Sampling a text with options.
import { clampsOf } from "./clamp.js";
import { sampler } from "./samplers.js";
import { Generator } from "./random.js";

/** The defaults of sample.py. */
const DEFAULTS = { primetext: "", length: 2000, seed: 123, temperature: 1, topK: 0, topP: 1, argmax: false, clamp: "" };

/**
 * Yields {id, scores} for each id of the prime text, then for `length` more; `scores` are those that it was chosen by.
 *
 * With a separator, the network reads the last id of one before the text, and the next one ends the text. Throws
 * RangeError for an invalid option, and for unknown characters in the prime text.
 */
export function stepsOf(session, vocab, options) {
  const all = checked({ ...DEFAULTS, ...options });
  const { layers, size, rounded, separator } = session.network;
  session.clamps = clampsOf(all.clamp, layers.length, size);
  const choose = sampler(all, new Generator(all.seed), vocab.unknown, rounded);
  return generate(session, vocab.encode(all.primetext), choose, all.length || Infinity, separator);
}

function* generate(session, prime, choose, length, separator) {
  if (separator.length) session.feed(separator.at(-1));
  for (const id of prime) {
    yield { id, scores: session.scores };
    session.feed(id);
  }
  yield* until(separator, chosen(session, choose, length));
}

function* chosen(session, choose, length) {
  for (let count = 0; count < length; count++) {
    const id = choose(session.scores);
    yield { id, scores: session.scores.slice() }; // a copy, since `until` may hold it back
    session.feed(id);
  }
}

/** Yields the steps before the first separator. Steps that may be the beginning of one are held back. */
function* until(separator, steps) {
  const held = [];
  for (const step of steps) {
    held.push(step);
    while (held.some(({ id }, place) => id !== separator[place])) yield held.shift();
    if (separator.length && held.length === separator.length) return;
  }
  yield* held;
}

function checked(options) {
  const { length, seed, temperature, topK, topP } = options;
  const natural = (value) => Number.isInteger(value) && value >= 0;
  for (const [fits, name, rule] of [
    [natural(length) || length === Infinity, "length", "a positive integer, or 0 for no limit"],
    [Number.isSafeInteger(seed), "seed", "an integer"],
    [temperature > 0 && temperature < Infinity, "temperature", "a number above 0"],
    [natural(topK), "topK", "a positive integer, or 0 for all characters"],
    [topP > 0 && topP <= 1, "topP", "a number above 0 and at most 1"],
  ]) {
    if (!fits) throw new RangeError(`invalid ${name} ${options[name]}: expected ${rule}`);
  }
  return options;
}
