// A web worker that generates texts, one piece for each request of the page: a page that sends no request pauses the
// text. Messages to it: {network} once; {options, run} starts a text; {run} requests the next piece of that text;
// {clamp} holds units from there on.

const PIECE = 30; // milliseconds
const LIKELY = 5; // characters that are shown as alternatives
let network, vocab, text;

onmessage = ({ data }) => {
  try {
    if (data.network) {
      network = new Network(data.network);
      vocab = new Vocabulary(data.network.vocab);
    } else if (data.clamp !== undefined) {
      text.session.clamps = clampsOf(data.clamp, network.layers.length, network.size);
    } else {
      if (data.options) text = begun(data.options);
      postMessage({ run: data.run, ...piece(text) });
    }
  } catch (error) {
    postMessage({ run: data.run, error: error.message });
  }
};

function begun(options) {
  const session = new Session(network);
  return {
    session,
    steps: stepsOf(session, vocab, options),
    prime: vocab.encode(options.primetext).length, // ids of the prime text that are still to come
    decoder: new TextDecoder("utf-8", { ignoreBOM: true }),
    bits: 0, // surprise of the bytes so far of an incomplete character
    top: null, // the most likely ids at its first byte
    count: 0,
    milliseconds: 0,
  };
}

/**
 * Returns the next piece: the characters in `texts`, the surprise of each in `bits`, and the most likely characters
 * there in `tops`, as [name, probability]; null in the prime text. Of a character of several bytes, these are first
 * bytes. Of the whole text: the `count` of characters after the prime text, the `milliseconds` they took, and whether it
 * is `done`.
 */
function piece(text) {
  const started = performance.now();
  const [texts, bits, tops] = [[], [], []];
  const add = (shown, surprises) => {
    if (!shown) return; // a character of several bytes is complete with the last of them
    texts.push(shown);
    bits.push(surprises);
    tops.push(surprises === null ? null : text.top);
    [text.bits, text.top] = [0, null];
  };
  let done = false;
  while (!done && performance.now() - started < PIECE) {
    const next = text.steps.next();
    done = next.done;
    const shown = done ? text.decoder.decode() : text.decoder.decode(vocab.bytes[next.value.id], { stream: true });
    if (done) {
      add(shown, text.bits);
    } else if (text.prime) {
      text.prime--;
      add(shown, null);
    } else {
      text.count++;
      text.top ??= likely(next.value.scores);
      text.bits += surprise(next.value.scores, next.value.id);
      add(shown, text.bits);
    }
  }
  text.milliseconds += performance.now() - started;
  return { texts, bits, tops, count: text.count, done, milliseconds: text.milliseconds };
}

/** Returns the surprise of a character, -log2 of its probability, at temperature 1 whatever it was sampled with. */
function surprise(scores, id) {
  let total = 0;
  for (let i = 0; i < scores.length; i++) total += exp(scores[i]);
  return Math.max(0, Math.log2(total) - scores[id] / Math.LN2);
}

/** Returns the names and probabilities of the most likely characters, at temperature 1. */
function likely(scores) {
  const total = scores.reduce((sum, score) => sum + exp(score), 0);
  const ids = [...scores.keys()].sort((a, b) => scores[b] - scores[a]).slice(0, LIKELY);
  return ids.map((id) => [nameOf(id), exp(scores[id]) / total]);
}

function nameOf(id) {
  const bytes = vocab.bytes[id];
  const name = new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));
  return name === "\ufffd" && bytes.length === 1 ? `\\x${bytes[0].toString(16)}` : name;
}
