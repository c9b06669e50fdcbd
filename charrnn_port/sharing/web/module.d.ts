/** Options of sample.py, with its defaults. */
export interface SampleOptions {
  /** What the text begins with; a string counts as UTF-8. Default: nothing. */
  primetext?: string | Uint8Array;
  /** How many characters come after it; 0: without end. Default: 2000. */
  length?: number;
  /** A whole number, which counts modulo 2 ** 32. Default: 123. */
  seed?: number;
  /** Above 0: lower is likelier, duller text. Default: 1. */
  temperature?: number;
  /** Draw from this many likeliest characters only; 0: all. Default: 0. */
  topK?: number;
  /** Take the likeliest character each time. Default: false. */
  argmax?: boolean;
}

/**
 * The bytes of a text one by one, the prime text first: those that sample.py prints.
 *
 * Throws RangeError for an option that won't do, and for a character in the prime text that the training text never has.
 */
export function sample(options?: SampleOptions): Generator<number, void, undefined>;
