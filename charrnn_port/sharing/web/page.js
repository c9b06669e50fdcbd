// The script of the page: requests one piece of text after the other from the worker and displays it.

const { weights, ...about } = JSON.parse(element("network").textContent);
const vocab = new Vocabulary(about.vocab);
const FIELDS = {
  primetext: "primetext", temperature: "temperature", topK: "top_k", topP: "top_p", seed: "seed", length: "length",
  clamp: "clamp",
};

const script = new Blob([element("worker").textContent], { type: "text/javascript" });
const worker = new Worker(URL.createObjectURL(script)); // a page opened from disk cannot start a worker from a file
worker.postMessage({ network: { ...about, weights } });

let run = 0; // number of the current text: pieces of earlier, abandoned texts are ignored
let paused = false;
let written = 0;
let held = null; // the piece that arrived while the text was paused

/** Returns whether the options are valid, and shows an error if they are not. */
function checkOptions() {
  element("problem").textContent = "";
  try {
    vocab.encode(element("primetext").value);
    clampsOf(element("clamp").value, about.num_layers, about.rnn_size);
  } catch (error) {
    element("problem").textContent = `${error.message[0].toUpperCase()}${error.message.slice(1)}.`;
    return false;
  }
  return element("form").checkValidity();
}

/** Connects the controls of the held unit. A change applies to the text that is being generated, too. */
function listenToClamp() {
  const [all, unit, value] = ["clamp", "clamp_unit", "clamp_value"].map(element);
  const show = () => {
    value.disabled = !unit.value.trim();
    element("clamp_shown").textContent = Number(value.value).toFixed(2);
  };
  const [, its, at] = /^\s*(\d+:\d+)=([-+.\d]+)/.exec(all.value) || [];
  if (its) [unit.value, value.value] = [its, at];
  show();
  const change = () => {
    const before = all.value;
    all.value = unit.value.trim() && `${unit.value.trim()}=${Number(value.value)}`;
    show();
    if (all.value === before || !checkOptions() || element("pause").disabled) return;
    worker.postMessage({ clamp: all.value });
    element("command").textContent = "# The held unit was changed while this text was generated: Generate begins again.";
  };
  for (const each of [unit, value]) each.addEventListener("input", change);
}

/** Starts a text. Returns whether the options are valid. */
function write() {
  if (!checkOptions()) {
    element("form").reportValidity();
    return false;
  }
  const options = valuesOf(FIELDS);
  writeAddress(FIELDS);
  run += 1;
  [paused, written, held] = [false, 0, null];
  element("pause").textContent = "Pause";
  begin(commandOf(options));
  worker.postMessage({ options, run });
  return true;
}

worker.onmessage = ({ data }) => {
  if (data.run !== run) return;
  if (paused) held = data;
  else show(data);
};

function show({ error, texts, bits, tops, count, done, milliseconds }) {
  if (error) {
    element("problem").textContent = error;
    finish("The text cannot be generated.");
    return;
  }
  if (!done) worker.postMessage({ run }); // request the next piece while this one is displayed
  append(texts, bits, tops);
  written = count;
  const rate = milliseconds ? `, ${number(Math.round((1000 * written) / milliseconds / 100) * 100)} per second` : "";
  element("count").textContent = `${number(written)} characters${rate}`;
  if (done) finish(`${number(written)} characters generated.`);
}

function pause() {
  paused = !paused;
  element("pause").textContent = paused ? "Resume" : "Pause";
  element("status").textContent = paused ? `Paused after ${number(written)} characters.` : "Resumed.";
  document.body.dataset.state = paused ? "paused" : "writing";
  if (!paused && held) {
    const piece = held;
    held = null;
    show(piece);
  }
}

/** Returns the command line that prints this text, one option per line. */
function commandOf({ primetext, temperature, topK, topP, seed, length, clamp }) {
  const lines = [`python sample.py ${quoted(about.facts.name)}`, `-seed ${seed}`, `-temperature ${temperature}`];
  lines.push(`-length ${length}`, "-verbose 0");
  if (topK) lines.push(`-top_k ${topK}`);
  if (topP < 1) lines.push(`-top_p ${topP}`);
  if (clamp) lines.push(`-clamp ${quoted(clamp)}`);
  if (primetext) lines.push(`-primetext ${quoted(primetext)}`);
  return lines.join(" \\\n  ");
}

function describe() {
  const { cell, rnn_size, num_layers, facts, precision } = about;
  const kinds = { lstm: "An LSTM", gru: "A GRU", rnn: "A vanilla RNN" };
  const layers = num_layers === 1 ? "one layer" : `${num_layers} layers`;
  element("introduction").textContent ||=
    `${kinds[cell]} with ${number(facts.parameters)} parameters, trained to predict the next character of a text. ` +
    "It generates text in your browser, one character at a time; nothing is sent to a server.";
  tellFacts({
    Name: facts.name,
    Cell: `${cell}, ${layers} of ${number(rnn_size)} units`,
    Parameters: number(facts.parameters),
    Vocabulary: `${number(vocab.bytes.length)} ${vocab.ofBytes ? "bytes" : "characters"}: ${symbolsShown()}`,
    Training: `${number(facts.iteration)} iterations` + (facts.epoch === null ? "" : `, ${facts.epoch} epochs`),
    "Validation loss": facts.val_loss === null ? "not measured" :
      `${facts.val_loss.toFixed(4)} nats per character (perplexity ${Math.exp(facts.val_loss).toFixed(1)})`,
    Weights: precision,
    "Exported by": `charrnn_port ${facts.made_by}`,
  });
  const same = precision === "float64";
  element("promise").textContent = same ? "The same text on the command line" : "Why sample.py prints a different text";
  element("about-bytes").textContent = same
    ? "With the same seed sample.py prints the same bytes:"
    : `The weights in this page are rounded to ${precision}. With the same seed, sample.py uses the exact weights: ` +
      "its text begins like this one and then differs.";
}

/** Returns the visible characters of the vocabulary, at most 200. */
function symbolsShown() {
  const text = vocab.ofBytes ? String.fromCharCode(...about.vocab.symbols.filter((byte) => byte < 127)) : about.vocab.symbols;
  const seen = [...text].filter((character) => /[^\p{Z}\p{C}]/u.test(character));
  return seen.slice(0, 200).join(" ") + (seen.length > 200 ? " …" : "");
}

readAddress(FIELDS);
element("form").addEventListener("input", checkOptions);
listenToClamp();
describe();
listen(write, pause);
write();
