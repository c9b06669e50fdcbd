/** Options of `sample`, with the defaults of sample.py. */
export interface SampleOptions {
  /** The prime text (prompt), at the beginning of the text; a string is encoded as UTF-8. Default: empty. */
  primetext?: string | Uint8Array;
  /** Number of characters after the prime text; 0: no limit. Default: 2000. */
  length?: number;
  /** Seed of the random numbers, an integer modulo 2 ** 32. Default: 123. */
  seed?: number;
  /** Sampling temperature, above 0: lower values give more likely, less varied text. Default: 1. */
  temperature?: number;
  /** Sample from the k most likely characters only; 0: from all. Default: 0. */
  topK?: number;
  /** Nucleus sampling: from the smallest set of characters whose probabilities add up to this. Default: 1, all. */
  topP?: number;
  /** Greedy sampling: always take the most likely character. Default: false. */
  argmax?: boolean;
  /** Units whose outputs are held, by layer (from 1) and unit (from 0), such as "2:131=0.9,1:5=0". Default: none. */
  clamp?: string;
}

/**
 * Yields the bytes of a text, the prime text first: the same bytes as sample.py prints. A network that was trained on
 * many short texts (-separator) ends each by itself.
 *
 * Throws RangeError for an invalid option, and for a character of the prime text that is not in the training text.
 */
export function sample(options?: SampleOptions): Generator<number, void, undefined>;
