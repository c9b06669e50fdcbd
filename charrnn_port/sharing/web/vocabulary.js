// The vocabulary of a network: its symbols, which are bytes or Unicode characters, and their ids.

const UTF_8 = new TextEncoder();

export class Vocabulary {
  /** `unknown` is the id of the unknown symbol, which stands for all other characters, or null. */
  constructor({ encoding, symbols, unknown }) {
    this.unknown = unknown;
    this.ofBytes = encoding === "bytes";
    const units = [...symbols];
    this.ids = new Map(units.map((unit, id) => [unit, id]));
    this.bytes = units.map((unit) => (this.ofBytes ? Uint8Array.of(unit) : UTF_8.encode(unit)));
    if (unknown !== null) this.bytes.push(UTF_8.encode("\ufffd"));
  }

  /** Returns the ids of a text, a string or bytes. Throws RangeError for a character that is not in the vocabulary. */
  encode(text) {
    const bytes = typeof text === "string" ? UTF_8.encode(text) : text;
    const units = this.ofBytes ? bytes : new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return Array.from(units, (unit, position) => {
      const id = this.ids.get(unit) ?? this.unknown;
      if (id === null) {
        const name = this.ofBytes ? readable(bytes, position) : JSON.stringify(unit);
        throw new RangeError(`unknown character ${name}: it is not in the training text`);
      }
      return id;
    });
  }
}

/** Returns the whole character that the byte at this position belongs to, for messages. */
function readable(bytes, position) {
  let begin = position;
  while (begin > 0 && (bytes[begin] & 0xc0) === 0x80) begin--;
  let end = position + 1;
  while (end < bytes.length && (bytes[end] & 0xc0) === 0x80) end++;
  return JSON.stringify(new TextDecoder().decode(bytes.subarray(begin, end)));
}
