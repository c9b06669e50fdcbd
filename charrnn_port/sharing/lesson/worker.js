// A web worker that trains a network. Messages to it:
//   start: {text, options}     creates the network; the text is bytes, or base64
//   show: {...}                what to show as text (text.js), from now on
//   watch: {id, unit}          the weight of the decoder whose change is reported
//   train: true or false       starts and pauses training
//   iterate: true              does one iteration
// Messages from it: `ready` (facts about the run), `progress`, `text`, `change`, `error`.
import { textOf } from "./text.js";
import { Training } from "./training.js";

const SLICE = 40; // milliseconds of training between two looks at messages
const EVERY = 2000; // milliseconds between two texts
let training, show, watch, running = false, timer = null, milliseconds = 0, shownAt = 0;
let losses = []; // since the last message
let firstLoss = null;

onmessage = ({ data }) => reportErrors(() => receive(data));

function receive(data) {
  if (data.start) start(data.start);
  if (data.watch) watch = data.watch;
  if (data.show) {
    show = data.show;
    if (training) sendText();
  }
  if (data.iterate) iterate();
  if ("train" in data) running = data.train;
  if (running && timer === null) timer = setTimeout(reportErrors, 0, slice);
}

function reportErrors(action) {
  try {
    action();
  } catch (error) {
    running = false;
    postMessage({ error: error.message });
  }
}

function start({ text, options }) {
  const bytes = typeof text === "string" ? Uint8Array.from(atob(text), (byte) => byte.charCodeAt(0)) : text;
  training = new Training(bytes, options);
  const { batches, network } = training;
  const { symbols, ntrain, nval } = batches;
  postMessage({ ready: { symbols, ntrain, nval, parameters: network.params.length, bytes: bytes.length } });
}

/** Trains for a while, and reports. */
function slice() {
  timer = null;
  if (!running) return;
  const began = performance.now();
  do step();
  while (running && performance.now() - began < SLICE);
  sendProgress();
  if (performance.now() - shownAt > EVERY) sendText();
  if (running) timer = setTimeout(reportErrors, 0, slice);
}

/** Does one iteration, and reports how it changed the weight that is watched. */
function iterate() {
  const { H, decoder, vocabSize } = training.network;
  const place = watch.unit + Math.min(watch.id, vocabSize - 1) * H;
  const before = decoder.weight[place], rate = training.learningRate;
  step();
  const [after, gradient] = [decoder.weight[place], decoder.gradWeight[place]];
  const meanSquare = training.meanSquare[decoder.weight.byteOffset / 8 + place];
  postMessage({ change: { ...watch, before, after, gradient, meanSquare, rate } });
  sendProgress();
  sendText();
}

/** Does one iteration, and an evaluation if it is due. Throws an error if the loss diverged, as train.py does. */
function step() {
  const began = performance.now();
  const loss = training.iterate();
  milliseconds += performance.now() - began;
  losses.push(loss);
  firstLoss ??= loss;
  if (!(loss <= 3 * firstLoss)) {
    throw new Error(`the loss diverged at iteration ${training.i}: choose a lower learning rate`);
  }
  if (training.i % training.options.eval_val_every === 0) {
    postMessage({ evaluated: { i: training.i, loss: training.evaluate() } });
  }
}

function sendProgress() {
  postMessage({ progress: { i: training.i, losses, milliseconds } });
  losses = [];
}

function sendText() {
  const { network, batches, i } = training;
  const given = show.read ? batches.ids : null;
  postMessage({ text: { i, ...textOf(network, batches.symbols, { ...show, given }) } });
  shownAt = performance.now();
}
