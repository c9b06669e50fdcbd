// Sampling a text with options.
import { clampsOf } from "./clamp.js";
import { sampler } from "./samplers.js";
import { Generator } from "./random.js";

/** The defaults of sample.py. */
const DEFAULTS = { primetext: "", length: 2000, seed: 123, temperature: 1, topK: 0, topP: 1, argmax: false, clamp: "" };

/**
 * Yields the ids of the prime text, then `length` more. The session is advanced after each id is yielded.
 *
 * Throws RangeError for an invalid option, and for unknown characters in the prime text.
 */
export function idsOf(session, vocab, options) {
  const all = checked({ ...DEFAULTS, ...options });
  session.clamps = clampsOf(all.clamp, session.network.layers.length, session.network.size);
  const choose = sampler(all, new Generator(all.seed), vocab.unknown, session.network.rounded);
  return generate(session, vocab.encode(all.primetext), choose, all.length || Infinity);
}

function* generate(session, prime, choose, length) {
  for (const id of prime) {
    yield id;
    session.feed(id);
  }
  for (let count = 0; count < length; count++) {
    const id = choose(session.scores);
    yield id;
    session.feed(id);
  }
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
