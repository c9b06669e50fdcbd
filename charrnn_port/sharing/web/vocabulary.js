// Which symbols a network knows, and the id of each: bytes, or characters of Unicode.

const UTF_8 = new TextEncoder();

export class Vocabulary {
  /** `unknown` is the id of the symbol that stands for all others, or null. */
  constructor({ encoding, symbols, unknown }) {
    this.unknown = unknown;
    this.ofBytes = encoding === "bytes";
    const units = [...symbols];
    this.ids = new Map(units.map((unit, id) => [unit, id]));
    this.bytes = units.map((unit) => (this.ofBytes ? Uint8Array.of(unit) : UTF_8.encode(unit)));
    if (unknown !== null) this.bytes.push(UTF_8.encode("\ufffd"));
  }

  /** The ids of a text, a string or bytes. Throws RangeError for a character that the training text never has. */
  encode(text) {
    const bytes = typeof text === "string" ? UTF_8.encode(text) : text;
    const units = this.ofBytes ? bytes : new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return Array.from(units, (unit, position) => {
      const id = this.ids.get(unit) ?? this.unknown;
      if (id === null) {
        const name = this.ofBytes ? readable(bytes, position) : JSON.stringify(unit);
        throw new RangeError(`the training text never has ${name}: leave it out`);
      }
      return id;
    });
  }
}

/** A byte as a person wrote it: the character that it belongs to. */
function readable(bytes, position) {
  let begin = position;
  while (begin > 0 && (bytes[begin] & 0xc0) === 0x80) begin--;
  let end = position + 1;
  while (end < bytes.length && (bytes[end] & 0xc0) === 0x80) end++;
  return JSON.stringify(new TextDecoder().decode(bytes.subarray(begin, end)));
}
