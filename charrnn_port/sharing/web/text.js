// A text as the options ask for it.
import { sampler } from "./samplers.js";
import { Generator } from "./random.js";

/** sample.py's. */
const DEFAULTS = { primetext: "", length: 2000, seed: 123, temperature: 1, topK: 0, argmax: false };

/**
 * Ids, one by one: those of the prime text, then `length` more. When one comes, the session has not read it yet.
 *
 * Throws RangeError for an option that won't do, and for a prime text of unknown characters.
 */
export function idsOf(session, vocab, options) {
  const all = checked({ ...DEFAULTS, ...options });
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
  const { length, seed, temperature, topK } = options;
  const natural = (value) => Number.isInteger(value) && value >= 0;
  for (const [fits, name, rule] of [
    [natural(length) || length === Infinity, "length", "a whole number, or 0 for a text without end"],
    [Number.isSafeInteger(seed), "seed", "a whole number"],
    [temperature > 0 && temperature < Infinity, "temperature", "a number above 0"],
    [natural(topK), "topK", "a whole number, or 0 for all characters"],
  ]) {
    if (!fits) throw new RangeError(`${name} is ${options[name]}: it must be ${rule}`);
  }
  return options;
}
