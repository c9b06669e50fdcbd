// The script of the page: controls, and messages to and from the worker that trains.

const element = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");
const OPTIONS = ["model", "rnn_size", "num_layers", "seq_length", "batch_size", "learning_rate", "seed"];
const EVAL_VAL_EVERY = 100, LENGTH = 300;
const MOMENT = 200; // milliseconds for a character

const lesson = JSON.parse(element("text-data").textContent);
const script = URL.createObjectURL(new Blob([element("worker").textContent], { type: "text/javascript" }));
let worker = null;
let file = null; // the bytes of a file that was chosen
let model, symbols = [], losses, evaluations, running = false;
let text = null; // the last that the worker sent
let playing = null; // the timer of "Read on"
let drawing = false; // whether a drawing of the curve is due with the next frame

// ---- The run. ----

/** Returns the text to learn: bytes of the file or the text field, or the text of the page in base64. */
function textToLearn() {
  if (file) return file;
  if (element("own").value) return new TextEncoder().encode(element("own").value);
  return lesson.text;
}

function optionsNow() {
  const values = OPTIONS.map((name) => [name, name === "model" ? element(name).value : Number(element(name).value)]);
  return { ...Object.fromEntries(values), eval_val_every: EVAL_VAL_EVERY };
}

/** Makes a new network, in a new worker. */
function start() {
  worker?.terminate();
  const options = optionsNow();
  [model, losses, evaluations, text] = [options.model, [], [], null];
  worker = new Worker(script, { name: element("exact").checked ? "exact" : "" });
  worker.onmessage = ({ data }) => Object.entries(data).forEach(([name, value]) => HANDLERS[name](value));
  element("problem").textContent = "";
  element("unit").max = options.rnn_size;
  if (unit() === null) element("unit").value = 1;
  setRunning(false);
  element("train").disabled = element("iterate").disabled = true;
  element("change").replaceChildren(tag("p", "Press Next iteration."));
  worker.postMessage({ start: { text: textToLearn(), options } });
  worker.postMessage({ show: showing(), watch: watched() });
  element("command").textContent = commandOf(options);
}

const HANDLERS = {
  ready(facts) {
    symbols = facts.symbols;
    for (const each of document.querySelectorAll(".vocab")) each.textContent = symbols.length;
    for (const each of document.querySelectorAll(".start")) each.textContent = Math.log(symbols.length).toFixed(2);
    element("train").disabled = element("iterate").disabled = false;
    describe(facts);
    drawSoon();
  },
  progress({ i, losses: more, milliseconds }) {
    for (const loss of more) losses.push(loss);
    element("count").textContent =
      `iteration ${number(i)}, loss ${recent(losses).toFixed(3)}, ${(milliseconds / i).toFixed(0)} ms per iteration`;
    document.body.dataset.i = i;
    drawSoon();
  },
  evaluated(each) {
    evaluations.push(each);
  },
  text(value) {
    text = value;
    element("position").max = text.ids.length - 1;
    showAll();
    document.body.dataset.shown = text.i;
  },
  change(value) {
    showChange(element("change"), symbols, value);
  },
  error(message) {
    element("problem").textContent = `${message[0].toUpperCase()}${message.slice(1)}.`;
    setRunning(false);
  },
};

function setRunning(on) {
  running = on;
  element("train").textContent = on ? "Pause" : losses.length ? "Resume" : "Train";
  element("iterate").disabled = on;
  document.body.dataset.state = on ? "training" : "paused";
}

function train() {
  setRunning(!running);
  worker.postMessage({ train: running });
}

function commandOf(options) {
  const words = Object.entries(options).map(([name, value]) => `-${name} ${value}`);
  return ["python train.py -data_dir data/my_text", ...words, "-max_epochs 1000 -gpuid -1"].join(" \\\n  ");
}

function describe({ bytes, ntrain, nval, parameters }) {
  const rows = {
    Text: `${number(bytes)} bytes, ${symbols.length} different: ${symbols.map(nameOf).join(" ")}`,
    Parameters: number(parameters),
    "Iterations per epoch": `${number(ntrain)}; ${number(nval)} batches for validation`,
    "Made by": `charrnn_port ${lesson.made_by}`,
  };
  const items = Object.entries(rows).flatMap(([name, value]) => [tag("dt", name), tag("dd", value)]);
  element("facts").replaceChildren(...items);
}

// ---- What is shown. ----

/** Returns the index of the chosen unit, or null if there is none of this number. */
function unit() {
  return element("unit").checkValidity() ? Number(element("unit").value) - 1 : null;
}

const position = () => Number(element("position").value);
const watched = () => ({ unit: unit() ?? 0, id: text?.ids[position() + 1] ?? 0 });

function showing() {
  return {
    read: Boolean(element("read").value),
    forget: element("forget").checked,
    temperature: Number(element("temperature").value),
    length: LENGTH,
    seed: 123,
  };
}

function showAll() {
  if (!text || unit() === null) return;
  const byUnit = element("shade").value === "unit";
  element("legend").hidden = byUnit;
  element("unit-legend").hidden = !byUnit;
  showText(element("text"), text, byUnit ? unit() : null, position());
  showPosition();
}

function showPosition() {
  if (!text || unit() === null) return;
  const [i, parts] = [position(), element("text").children];
  element("text").querySelector(".here")?.classList.remove("here");
  parts[i].classList.add("here");
  element("character").textContent = `${i + 1} of ${text.ids.length}: ${nameOf(symbols[text.ids[i]])}`;
  showUnits(element("units"), text, i, unit());
  showStep(element("numbers"), model, symbols, text, i, unit());
  worker.postMessage({ watch: watched() });
}

/** Moves on by a character every moment, or stops doing so. */
function play() {
  clearInterval(playing);
  const stops = playing !== null;
  playing = stops ? null : setInterval(() => {
    element("position").value = (position() + 1) % (text?.ids.length ?? 1);
    showPosition();
  }, MOMENT);
  element("play").textContent = stops ? "Read on" : "Stop";
}

/** Draws the curve with the next frame. */
function drawSoon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    drawChart(element("chart"), losses, evaluations, Math.log(symbols.length));
  });
}

function showTextFacts() {
  const own = element("own").value;
  const name = file ? element("file").files[0].name : own ? "your text" : lesson.name;
  const size = file?.length ?? (own.length || lesson.bytes);
  element("text-facts").textContent = `Now: ${name}, ${number(size)} characters.`;
}

// ---- The lesson. ----

const steps = [...document.querySelectorAll("#lesson li")];
let current = 0;

function showLesson(index) {
  current = Math.max(0, Math.min(index, steps.length - 1));
  steps.forEach((step, i) => (step.className = i === current ? "" : "other"));
  element("previous").disabled = current === 0;
  element("next").disabled = current === steps.length - 1;
  element("place").textContent = `${current + 1} of ${steps.length}`;
}

// ---- Controls. ----

element("previous").addEventListener("click", () => showLesson(current - 1));
element("next").addEventListener("click", () => showLesson(current + 1));
element("train").addEventListener("click", train);
element("iterate").addEventListener("click", () => worker.postMessage({ iterate: true }));
element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  start();
  const { top, bottom } = element("train").getBoundingClientRect();
  if (bottom < 0 || top > innerHeight) element("training-title").scrollIntoView();
});
for (const id of ["read", "forget", "temperature"]) {
  element(id).addEventListener("input", () => {
    element("shown").textContent = Number(element("temperature").value).toFixed(2);
    worker.postMessage({ show: showing() });
  });
}
for (const id of ["shade", "unit"]) element(id).addEventListener("input", showAll);
element("position").addEventListener("input", showPosition);
element("play").addEventListener("click", play);
element("text").addEventListener("click", ({ target }) => {
  if (target.dataset.i === undefined) return;
  element("position").value = target.dataset.i;
  showPosition();
});
element("units").addEventListener("click", ({ target }) => {
  const index = [...element("units").children].indexOf(target);
  if (index < 0) return;
  element("unit").value = index + 1;
  showAll();
});
element("file").addEventListener("change", async ({ target }) => {
  file = target.files.length ? new Uint8Array(await target.files[0].arrayBuffer()) : null;
  showTextFacts();
});
element("own").addEventListener("input", () => {
  element("file").value = "";
  file = null;
  showTextFacts();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !element("train").disabled) train();
});
addEventListener("resize", drawSoon);

element("shown").textContent = Number(element("temperature").value).toFixed(2);
showLesson(0);
showTextFacts();
start();
