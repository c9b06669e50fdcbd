// Writes texts beside the page's own thread, a piece whenever the page asks for one: so a page that does not ask pauses
// the text, and one that is slow holds it up. In: {network} once; {options, run}; {run} for a piece of that run.

const PIECE = 30; // milliseconds
let network, vocab, text;

onmessage = ({ data }) => {
  try {
    if (data.network) {
      network = new Network(data.network);
      vocab = new Vocabulary(data.network.vocab);
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
    ids: idsOf(session, vocab, options),
    prime: vocab.encode(options.primetext).length, // how much of it is still to come
    decoder: new TextDecoder("utf-8", { ignoreBOM: true }),
    bits: 0, // of a character whose last byte is still to come
    count: 0,
    milliseconds: 0,
  };
}

/**
 * Some characters: `texts`, with the `bits` of surprise that each was, null in the prime text. And of the whole text, the
 * `count` of characters written so far, without the prime text, how long that took, and whether this was the end.
 */
function piece(text) {
  const started = performance.now();
  const [texts, bits] = [[], []];
  const add = (shown, surprises) => {
    if (!shown) return; // a character of several bytes comes with the last of them
    texts.push(shown);
    bits.push(surprises);
    text.bits = 0;
  };
  let done = false;
  while (!done && performance.now() - started < PIECE) {
    const next = text.ids.next();
    done = next.done;
    const shown = done ? text.decoder.decode() : text.decoder.decode(vocab.bytes[next.value], { stream: true });
    if (done) {
      add(shown, text.bits);
    } else if (text.prime) {
      text.prime--;
      add(shown, null);
    } else {
      text.count++;
      text.bits += surprise(text.session.scores, next.value);
      add(shown, text.bits);
    }
  }
  text.milliseconds += performance.now() - started;
  return { texts, bits, count: text.count, done, milliseconds: text.milliseconds };
}

/** How unlikely the network found this character, in bits: at temperature 1, whatever it is drawn with. */
function surprise(scores, id) {
  let total = 0;
  for (let i = 0; i < scores.length; i++) total += exp(scores[i]);
  return Math.max(0, Math.log2(total) - scores[id] / Math.LN2);
}
