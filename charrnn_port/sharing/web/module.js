const network = new Network(NETWORK);
const vocab = new Vocabulary(NETWORK.vocab);

/** What the file of types beside this one says of it. */
export function sample(options = {}) {
  return bytesOf(idsOf(new Session(network), vocab, options));
}

function* bytesOf(ids) {
  for (const id of ids) yield* vocab.bytes[id];
}
