const network = new Network(NETWORK);
const vocab = new Vocabulary(NETWORK.vocab);

/** Yields the bytes of a text; see module.d.ts. */
export function sample(options = {}) {
  return bytesOf(stepsOf(new Session(network), vocab, options));
}

function* bytesOf(steps) {
  for (const { id } of steps) yield* vocab.bytes[id];
}
