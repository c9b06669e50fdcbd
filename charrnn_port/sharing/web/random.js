// Torch7's random number generator (torch7/lib/TH/THRandom.c): MT19937 (Matsumoto and Nishimura 1998), with one 32-bit
// word per number.

const SIZE = 624;
const SHIFT = 397;

export class Generator {
  /** Creates the stream of `torch.manualSeed(seed)`. Seeds are taken modulo 2 ** 32. */
  constructor(seed) {
    this.words = new Uint32Array(SIZE);
    this.words[0] = seed;
    for (let i = 1; i < SIZE; i++) {
      const before = this.words[i - 1];
      this.words[i] = Math.imul(1812433253, before ^ (before >>> 30)) + i;
    }
    this.place = SIZE;
  }

  /** Returns the next word, an unsigned 32-bit integer. */
  next() {
    if (this.place === SIZE) this.renew();
    let word = this.words[this.place++];
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return (word ^ (word >>> 18)) >>> 0;
  }

  /** Computes the next 624 words of the state. */
  renew() {
    const { words } = this;
    for (let i = 0; i < SIZE; i++) {
      const joined = (words[i] & 0x80000000) | (words[(i + 1) % SIZE] & 0x7fffffff);
      words[i] = words[(i + SHIFT) % SIZE] ^ (joined >>> 1) ^ (joined & 1 ? 0x9908b0df : 0);
    }
    this.place = 0;
  }

  /**
   * Samples an index with the given probabilities, which need not add up to 1.
   *
   * `rounded` is applied to each probability first. As in Torch7, the cumulative sum is in double precision.
   */
  multinomial(probabilities, rounded) {
    const sums = new Float64Array(probabilities.length);
    let total = 0;
    for (let i = 0; i < sums.length; i++) sums[i] = total += rounded(probabilities[i]);
    const wanted = this.next() / 4294967296;
    let [low, high] = [0, sums.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle] / total < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
