// The script of the server's page: requests a streamed text from the server and displays it.

const FIELDS = {
  model: "model", primetext: "primetext", temperature: "temperature", topK: "top_k", topP: "top_p", seed: "seed",
  length: "length",
};
const LIKELY = 5; // characters that are shown as alternatives
let models = [];
let leave = null; // the AbortController of the text in progress

async function ask(path, options = {}) {
  const key = element("key").value;
  const headers = { "Content-Type": "application/json", ...(key && { Authorization: `Bearer ${key}` }) };
  const answer = await fetch(path, { ...options, headers });
  if (answer.ok) return answer;
  if (answer.status === 401) element("for-key").hidden = false;
  const body = await answer.json().catch(() => null);
  throw new Error(body?.error?.message ?? `the server returned status ${answer.status}`);
}

function complain(error) {
  if (error.name !== "AbortError") element("problem").textContent = `${error.message}.`;
}

async function list() {
  models = (await (await ask("v1/models")).json()).data;
  element("problem").textContent = "";
  element("model").replaceChildren(...models.map(({ id }) => new Option(id)));
  const asked = new URLSearchParams(location.search).get("model");
  if (models.some(({ id }) => id === asked)) element("model").value = asked;
  describe();
}

function describe() {
  const model = models.find(({ id }) => id === element("model").value);
  element("size").textContent = `${model.cell} ${model.rnn_size}x${model.num_layers}`;
  element("loss").textContent = model.val_loss === null ? "" : `loss ${model.val_loss.toFixed(4)}`;
  tellFacts({
    Cell: `${model.cell}, layers: ${model.num_layers}, units per layer: ${number(model.rnn_size)}`,
    Parameters: number(model.parameters),
    Vocabulary: `${number(model.vocabulary.length)} ${{ bytes: "bytes", words: "words", bpe: "tokens" }[model.encoding] || "characters"}`,
    Training: `${number(model.iteration)} iterations` + (model.epoch === null ? "" : `, ${model.epoch.toFixed(2)} epochs`),
    "Validation loss": model.val_loss === null ? "not measured" : `${model.val_loss.toFixed(4)} nats per character`,
    Precision: model.dtype.replace("torch.", ""),
  });
}

function asked() {
  const value = (id) => Number(element(id).value);
  return {
    model: element("model").value,
    prompt: element("primetext").value,
    temperature: value("temperature"),
    max_tokens: value("length"),
    top_k: value("top_k"),
    top_p: value("top_p"),
    seed: value("seed"),
  };
}

/** Start a text. Returns whether the options are valid. */
function write() {
  if (!element("form").reportValidity()) return false;
  leave?.abort();
  leave = new AbortController();
  follow(leave).catch(complain);
  return true;
}

async function follow(mine) {
  let count = 0;
  try {
    if (!models.length) await list();
    const request = asked();
    writeAddress(FIELDS);
    begin(`curl ${location.origin}/v1/completions -d ${quoted(JSON.stringify(request))}`);
    append([...request.prompt], Array([...request.prompt].length).fill(null));
    const body = JSON.stringify({ ...request, stream: true, logprobs: LIKELY });
    const answer = await ask("v1/completions", { method: "POST", body, signal: mine.signal });
    let base = 0;
    for await (const { choices, error } of events(answer)) {
      if (mine !== leave) return;
      if (error) throw new Error(error.message);
      const [{ text, logprobs }] = choices;
      base += show([...text], logprobs, base);
      count += logprobs.tokens.length;
      element("count").textContent = `${number(count)} characters`;
    }
  } finally {
    if (mine === leave) finish(`${number(count)} characters generated.`);
  }
}

async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data: {")) yield JSON.parse(line.slice(6));
  }
}

/** Show a piece that starts at character `base` of the text. Returns the number of its characters. */
function show(characters, { token_logprobs, top_logprobs, text_offset }, base) {
  const places = [...text_offset.map((offset) => offset - base), characters.length];
  const texts = token_logprobs.map((_, i) => characters.slice(places[i], places[i + 1]).join(""));
  append(texts, token_logprobs.map((logProb) => -logProb / Math.LN2), top_logprobs.map(likely));
  return characters.length;
}

/** Returns the most likely characters, as [name, probability], from their log-probabilities by name. */
function likely(logProbs) {
  const found = Object.entries(logProbs).map(([name, value]) => [name.replace("bytes:", ""), Math.exp(value)]);
  return found.sort((a, b) => b[1] - a[1]).slice(0, LIKELY);
}

readAddress(FIELDS);
element("model").addEventListener("change", describe);
element("key").addEventListener("change", () => list().catch(complain));
listen(write, () => leave.abort());
list().catch(complain);
