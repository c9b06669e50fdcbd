const network = new Network(NETWORK);
const vocab = new Vocabulary(NETWORK.vocab);

/** Yields the bytes of a text; see module.d.ts. */
export function sample(options = {}) {
  return bytesOf(idsOf(new Session(network), vocab, options));
}

function* bytesOf(ids) {
  for (const id of ids) yield* vocab.bytes[id];
}
