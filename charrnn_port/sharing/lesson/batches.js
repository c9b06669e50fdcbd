// Batches of a text, split into training and validation, as in util/minibatch_loader.py.

const TRAIN_FRAC = 0.95;

export class Batches {
  /** `text` are bytes. The vocabulary is the bytes that occur. Throws RangeError for a text that is too short. */
  constructor(text, { batch_size, seq_length }) {
    const symbols = [...new Set(text)].sort((a, b) => a - b);
    const idOf = new Uint8Array(256);
    symbols.forEach((symbol, id) => (idOf[symbol] = id));
    const nbatches = Math.floor(text.length / (batch_size * seq_length));
    Object.assign(this, { symbols, B: batch_size, T: seq_length, nbatches });
    this.ntrain = Math.floor(nbatches * TRAIN_FRAC);
    this.nval = nbatches - this.ntrain;
    if (this.ntrain < 1 || symbols.length < 4) {
      throw new RangeError(
        `the text has ${text.length} bytes, ${symbols.length} of them different: it must have 4 different ones, and ` +
          `with this batch_size and seq_length ${2 * batch_size * seq_length} bytes`,
      );
    }
    this.ids = text.subarray(0, nbatches * batch_size * seq_length).map((symbol) => idOf[symbol]);
  }

  /** Returns batch `number`, counted from 0: ids x [T, B], and y, the same one character later. */
  batch(number) {
    const { ids, B, T, nbatches } = this;
    const [x, y] = [new Uint8Array(T * B), new Uint8Array(T * B)];
    for (let t = 0; t < T; t++) {
      for (let b = 0; b < B; b++) {
        const place = b * nbatches * T + number * T + t;
        x[t * B + b] = ids[place];
        y[t * B + b] = ids[(place + 1) % ids.length];
      }
    }
    return { x, y };
  }
}
