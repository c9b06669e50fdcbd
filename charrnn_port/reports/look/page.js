"use strict";
// All that the page shows is in this object; long lists are compressed bytes in base64, opened when they are wanted.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);

async function opened(packed, Kind) {
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Kind(await new Response(stream).arrayBuffer());
}

function element(name, content = "", attributes = {}) {
  const made = document.createElement(name);
  if (content !== "") made.append(content);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function drawn(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
const bits = (nats) => nats / Math.LN2;
const label = (id) => data.vocab[id];
const nameOf = (column) => `${column.layer}:${column.unit}`;

let ids, nats, entropies, gains, likeliest, chances, pieces; // lists by character
let view = null; // what colours the text: its values by character, between which bounds
let current = -1; // the character that is told of
const chunks = [];

// The text

const LEVELS = 8;

function level(value) {
  if (view.cuts) return view.cuts.filter((cut) => value >= cut).length * 2;
  const share = view.signed ? value / view.strong : (value - view.low) / (view.high - view.low);
  return Math.max(-LEVELS, Math.min(LEVELS, Math.round(share * LEVELS)));
}

// Colour never tells alone: strong values are underlined, strongly negative ones with dots, great surprises bold too.
function classOf(step) {
  return step >= LEVELS ? "u b" : step >= 5 ? "u" : step <= -5 ? "d" : "";
}

function styleOf(step) {
  if (!step) return "";
  const strength = (Math.abs(step) / LEVELS).toFixed(3);
  return `rgba(var(${step > 0 ? "--high" : "--low"}), calc(var(--most) * ${strength}))`;
}

function paint(chunk) {
  if (chunk.painted === view) return;
  if (!chunk.spans) {
    chunk.spans = [];
    const fragment = document.createDocumentFragment();
    for (let place = chunk.begin; place < chunk.end; place++) {
      const span = document.createElement("span");
      span.textContent = pieces[place];
      span.place = place;
      chunk.spans.push(span);
      fragment.append(span);
    }
    chunk.node.replaceChildren(fragment);
  }
  for (const span of chunk.spans) {
    const step = level(view.values(span.place));
    span.className = `${pieces[span.place] === "\n" ? "nl " : ""}${classOf(step)}${span.place === current ? " at" : ""}`;
    span.style.backgroundColor = styleOf(step);
  }
  chunk.painted = view;
}

const near = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      entry.target.chunk.near = entry.isIntersecting;
      if (entry.isIntersecting && view) paint(entry.target.chunk);
    }
  },
  { root: $("text"), rootMargin: "400px" },
);

function layText() {
  let begin = 0;
  for (let place = 0; place < data.count; place++) {
    const length = place + 1 - begin;
    if (place + 1 < data.count && !(length >= 300 && pieces[place] === "\n") && length < 1200) continue;
    const node = element("div", pieces.slice(begin, place + 1).join(""), { class: "chunk" });
    const chunk = { node, begin, end: place + 1, spans: null, painted: null, near: false };
    node.chunk = chunk;
    chunks.push(chunk);
    $("text").append(node);
    near.observe(node);
    begin = place + 1;
  }
}

function spanAt(place) {
  const chunk = chunks.find((each) => place < each.end);
  paint(chunk);
  return chunk.spans[place - chunk.begin];
}

function look(made) {
  view = made;
  chunks.filter((chunk) => chunk.near).forEach(paint);
  $("about").textContent = made.about;
  const ends = made.signed ? [-8, -5, -2, 0, 2, 5, 8] : [0, 2, 4, 6, 8];
  const shades = ends.map((step) => {
    const box = element("i", "a", { class: classOf(step) });
    box.style.backgroundColor = styleOf(step);
    return box;
  });
  $("legend").replaceChildren(made.lowest, ...shades, made.highest);
  if (current >= 0) tell(current);
}

// What is told of a character

function tell(place) {
  if (current >= 0 && current !== place) spanAt(current).classList.remove("at");
  current = place;
  spanAt(place).classList.add("at");
  const about = $("where");
  const value = view.values(place);
  const rows = [];
  let said = `${label(ids[place])}, character ${place}`;
  about.replaceChildren(element("b", label(ids[place])), ` character ${place}`, element("br"));
  if (place) {
    about.append(`surprise ${bits(nats[place]).toFixed(2)} bits, entropy ${bits(entropies[place]).toFixed(2)} bits`);
    said += `, surprise ${bits(nats[place]).toFixed(1)} bits`;
    let seen = false;
    for (let rank = 0; rank < data.likeliest_count; rank++) {
      const id = likeliest[place * data.likeliest_count + rank];
      const chance = chances[place * data.likeliest_count + rank];
      seen ||= id === ids[place];
      rows.push(bar(id, chance, id === ids[place]));
    }
    if (!seen) rows.push(bar(ids[place], Math.exp(-nats[place]), true));
    said += `, expected ${label(likeliest[place * data.likeliest_count])}`;
  } else {
    about.append("nothing foretells the first one");
  }
  if (view.unit) {
    about.append(element("br"), `${view.name}: `, element("b", value.toFixed(3), { id: "value" }));
    said += `, ${view.name} ${value.toFixed(2)}`;
  }
  $("bars").tBodies[0].replaceChildren(...rows);
  strip(place);
  return said;
}

function bar(id, chance, itIs) {
  const row = element("tr", "", itIs ? { class: "true" } : {});
  const box = element("span", "", { class: "bar" });
  box.style.width = `${100 * chance}%`;
  row.append(element("td", `${itIs ? "✓" : "\u00a0"} ${label(id)}`), element("td", box), element("td", percent(chance)));
  return row;
}

function strip(place) {
  const reach = 75;
  const begin = Math.max(0, Math.min(place - reach, data.count - 2 * reach));
  const end = Math.min(data.count, begin + 2 * reach);
  const low = view.low, high = view.high;
  const x = (each) => ((each - begin + 0.5) / (end - begin)) * 300;
  const y = (value) => 65 - (60 * (Math.max(low, Math.min(high, value)) - low)) / (high - low);
  let path = "";
  for (let each = begin; each < end; each++) path += `${path ? "L" : "M"}${x(each).toFixed(1)} ${y(view.values(each)).toFixed(1)}`;
  const zero = y(Math.max(low, 0));
  $("strip").replaceChildren(
    drawn("line", { x1: 0, x2: 300, y1: zero, y2: zero }),
    drawn("line", { class: "now", x1: x(place), x2: x(place), y1: 2, y2: 68 }),
    drawn("path", { d: path }),
  );
  $("strip").setAttribute("aria-label", `${view.name} from character ${begin} to ${end - 1}`);
  $("strip-about").textContent = `${view.name} over ${end - begin} characters, from ${low.toFixed(1)} to ${high.toFixed(1)}`;
}

function go(place) {
  const found = Math.max(0, Math.min(data.count - 1, place));
  $("live").textContent = tell(found);
  spanAt(found).scrollIntoView({ block: "nearest" });
}

function lineBegin(place) {
  let begin = place;
  while (begin > 0 && pieces[begin - 1] !== "\n") begin--;
  return begin;
}

function lineEnd(place) {
  let end = place;
  while (end < data.count - 1 && pieces[end] !== "\n") end++;
  return end;
}

// What colours it

function plain(name) {
  if (name === "gain") {
    return {
      name: "gain", values: (place) => (place ? bits(gains[place]) : 0), low: -6, high: 6, strong: 6, signed: true,
      lowest: "6-gram better", highest: "network better, 6 bits",
      about: `How much less surprised the network is than a ${data.ngram}-gram model: what its longer memory gains, in bits.`,
    };
  }
  const list = name === "surprise" ? nats : entropies;
  return {
    name, values: (place) => (place ? bits(list[place]) : 0), low: 0, high: name === "surprise" ? 10 : 5, signed: false,
    cuts: name === "surprise" ? [1, 3, 5, 8] : null, lowest: "0", highest: name === "surprise" ? "8 bits and more" : "5 bits",
    about: name === "surprise"
      ? "How much each character surprised the network, in bits: from 1, 3, 5 and 8 on."
      : "How uncertain the network was before each character, in bits, whatever came.",
  };
}

async function showUnit(column) {
  $("by").value = "unit";
  fill(column);
  column.bytes ||= await opened(column.packed, Uint8Array);
  if (chosenColumn() !== column || $("by").value !== "unit") return; // another one was chosen meanwhile
  const { low, high } = column;
  const signed = low < 0;
  const told = data.findings.filter((each) => each.name === nameOf(column) && each.part === column.part);
  const sentence = told.map((each) => `${each.property} (${each.kind} ${each.figure.toFixed(2)}, chance ${each.chance.toFixed(2)})`);
  look({
    name: `${nameOf(column)} ${column.part}`, unit: true, signed, low, high,
    strong: column.strong, values: (place) => low + ((high - low) * column.bytes[place]) / column.steps,
    lowest: signed ? (-column.strong).toFixed(1) : "0", highest: column.strong.toFixed(1),
    about: `Unit ${column.unit} of layer ${column.layer}, its ${data.parts[column.part]}. ${sentence.length ? `It tells: ${sentence.join("; ")}.` : "It tells none of the properties above chance."}`,
  });
  for (const button of $("best").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.name === nameOf(column) && button.dataset.part === column.part));
  }
}

function options(select, values, chosen, names = (value) => value) {
  select.replaceChildren(...values.map((value) => new Option(names(value), value)));
  select.value = chosen;
}

const unique = (values) => [...new Set(values)];

function fill(column) {
  const inLayer = data.columns.filter((each) => each.layer === column.layer);
  options($("layer"), unique(data.columns.map((each) => each.layer)).sort(), column.layer);
  options($("unit"), unique(inLayer.map((each) => each.unit)).sort((a, b) => a - b), column.unit);
  options($("part"), inLayer.filter((each) => each.unit === column.unit).map((each) => each.part), column.part);
  $("unit-choice").hidden = false;
}

function find(layer, unit, part) {
  const inLayer = data.columns.filter((each) => each.layer === layer);
  const same = inLayer.filter((each) => each.unit === unit);
  return same.find((each) => each.part === part) || same[0] || inLayer.find((each) => each.part === part) || inLayer[0];
}

const chosenColumn = () => find(Number($("layer").value), Number($("unit").value), $("part").value);

function colourBy(name) {
  $("by").value = name;
  if (name === "unit") return showUnit($("unit").value ? chosenColumn() : data.columns[0]);
  $("unit-choice").hidden = true;
  for (const button of $("best").querySelectorAll("button")) button.setAttribute("aria-pressed", "false");
  look(plain(name));
}

function stepUnit(by) {
  const now = view.unit ? chosenColumn() : null;
  const part = now ? now.part : data.columns[0].part;
  const all = data.columns.filter((each) => each.part === part).sort((a, b) => a.layer - b.layer || a.unit - b.unit);
  const place = now ? all.indexOf(now) + by : 0;
  return showUnit(all[(place + all.length) % all.length]);
}

function stepBest(by) {
  const buttons = [...$("best").querySelectorAll("button")];
  if (!buttons.length) return;
  const now = buttons.findIndex((each) => each.getAttribute("aria-pressed") === "true");
  buttons[(now < 0 ? (by > 0 ? 0 : buttons.length - 1) : now + by + buttons.length) % buttons.length].click();
}

// The other sections

function row(cells) {
  const made = element("tr");
  cells.forEach((cell, place) => {
    const number = typeof cell === "string" && /^[\d.]+( %)?$/.test(cell);
    made.append(place ? element("td", cell, number ? { class: "n" } : {}) : element("th", cell, { scope: "row" }));
  });
  return made;
}

function sections() {
  $("title").textContent = data.title;
  $("facts").textContent = data.facts;
  $("tried").textContent = data.tried;
  for (const each of data.best) {
    const button = element("button", `${each.property}`, { type: "button", "aria-pressed": "false", "data-name": each.name, "data-part": each.part });
    button.append(element("small", `unit ${each.name} ${each.part}, ${each.kind} ${each.figure.toFixed(2)}, chance ${each.chance.toFixed(2)}`));
    button.addEventListener("click", () => showUnit(find(each.layer, each.unit, each.part)));
    $("best").append(element("li", button));
  }
  if (!data.best.length) $("best").replaceWith(element("p", "No unit tells any property above chance."));
  for (const each of data.properties) {
    const above = data.findings.filter((one) => one.property === each.name).length;
    $("chances").tBodies[0].append(row([each.name, each.kind, each.best.toFixed(3), each.chance.toFixed(3), String(above)]));
  }
  for (const each of data.findings) {
    $("all").tBodies[0].append(row([`${each.name} ${each.part}`, `${each.property}${each.rises ? "" : " (falls)"}`, `${each.kind} ${each.figure.toFixed(3)}`, each.chance.toFixed(3)]));
  }
  gatePanels();
  errorTables();
  switches();
}

function gatePanels() {
  if (!data.gates.length) {
    $("gates-about").textContent = "This cell has no gates.";
    return;
  }
  $("gates-about").textContent = "Each point is a unit: to the right, how much of the time its gate is open (above 0.9); upwards, how much it is shut (below 0.1). Units at the lower right keep it open, those at the upper left keep it shut; those near the line use it as a switch.";
  const dots = (each) => each.open.map((open, unit) => `M${30 + 175 * open} ${185 - 175 * each.shut[unit]}h.01`).join("");
  for (const each of data.gates) {
    const svg = drawn("svg", { viewBox: "0 0 215 215", role: "img", "aria-label": `${each.gate} gates of layer ${each.layer}` });
    const text = (x, y, words, more = {}) => {
      const made = drawn("text", { x, y, ...more });
      made.textContent = words;
      return made;
    };
    svg.append(drawn("line", { x1: 30, y1: 10, x2: 205, y2: 185 }), drawn("line", { x1: 30, y1: 185, x2: 205, y2: 185 }), drawn("line", { x1: 30, y1: 10, x2: 30, y2: 185 }));
    svg.append(drawn("path", { d: dots(each), style: "stroke: rgb(var(--low)); stroke-width: 5; stroke-linecap: round; stroke-opacity: .5" }));
    svg.append(text(117, 207, "open, share of the time", { "text-anchor": "middle" }), text(14, 97, "shut", { "text-anchor": "middle", transform: "rotate(-90 14 97)" }));
    svg.append(text(30, 197, "0"), text(205, 197, "1", { "text-anchor": "end" }), text(22, 16, "1"));
    const caption = element("figcaption", element("b", `layer ${each.layer}, ${each.gate} gates`));
    const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
    const always = each.open.filter((share) => share > 0.9).length, never = each.shut.filter((share) => share > 0.9).length;
    caption.append(`: open ${percent(mean(each.open))}, shut ${percent(mean(each.shut))} of the time; ${always} units nearly always open, ${never} nearly always shut`);
    const figure = element("figure", svg);
    figure.append(caption);
    if (!$("panels").children[each.layer - 1]) $("panels").append(element("div"));
    $("panels").children[each.layer - 1].append(figure);
  }
}

function errorTables() {
  const total = data.errors.nats;
  $("errors-about").textContent = data.errors.about;
  for (const [name, rows] of data.errors.tables) {
    const table = element("table", element("caption", name));
    const head = element("tr");
    for (const word of ["", "characters", "share of the loss", "", "bits a character", "right"]) head.append(element("th", word, { scope: "col" }));
    table.append(element("thead", head), element("tbody"));
    for (const each of rows) {
      const box = element("span", "", { class: "bar" });
      box.style.width = `${(90 * each.nats) / total}px`;
      table.tBodies[0].append(row([each.name, String(each.count), percent(each.nats / total), box, bits(each.nats / each.count).toFixed(2), percent(each.right / each.count)]));
    }
    $("tables").append(element("div", table));
  }
  if (data.errors.memories) {
    const table = element("table", element("caption", "Shorter memories: n-gram models of the training text"));
    const head = element("tr");
    for (const word of ["", "bits a character", "right", "only it right", "only the network right"]) head.append(element("th", word, { scope: "col" }));
    table.append(element("thead", head), element("tbody"));
    for (const each of data.errors.memories) {
      table.tBodies[0].append(row([`${each.n}-gram`, bits(each.nats).toFixed(2), percent(each.right / (data.count - 1)), String(each.only_it), String(each.only_network)]));
    }
    $("tables").append(element("div", table));
  }
}

function switches() {
  const names = data.switched.map((each) => each.name);
  $("switch-about").textContent = data.switch_about;
  $("held").parentElement.hidden = !names.length;
  options($("held"), names, names[0], (name) => {
    const found = data.best.find((each) => each.name === name);
    return `${name}${found ? `: ${found.property}` : ""}`;
  });
  const show = () => {
    const chosen = data.switched.find((each) => each.name === $("held").value);
    $("samples").replaceChildren(...(chosen ? chosen.samples : []).map(([title, text]) => {
      const made = element("div", element("h3", title));
      const pre = element("pre", element("i", data.prime));
      pre.append(text);
      made.append(pre);
      return made;
    }));
  };
  $("held").addEventListener("change", show);
  show();
}

// What is done with it

function listen() {
  $("by").addEventListener("change", () => colourBy($("by").value));
  for (const id of ["layer", "unit", "part"]) $(id).addEventListener("change", () => showUnit(chosenColumn()));
  for (const kind of ["pointerover", "pointerdown"]) {
    $("text").addEventListener(kind, (event) => {
      if (event.target.place !== undefined) tell(event.target.place);
    });
  }
  $("text").addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const here = Math.max(current, 0), begin = lineBegin(here);
    const places = {
      ArrowLeft: () => here - 1,
      ArrowRight: () => (current < 0 ? 0 : here + 1),
      Home: () => begin,
      End: () => lineEnd(here),
      ArrowUp: () => (begin ? Math.min(lineBegin(begin - 1) + here - begin, begin - 1) : 0),
      ArrowDown: () => Math.min(lineEnd(here) + 1 + here - begin, lineEnd(Math.min(lineEnd(here) + 1, data.count - 1))),
    };
    if (!(event.key in places)) return;
    event.preventDefault();
    go(places[event.key]());
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || /^(SELECT|INPUT)$/.test(event.target.tagName)) return;
    const keys = {
      n: () => stepBest(1), p: () => stepBest(-1), "]": () => stepUnit(1), "[": () => stepUnit(-1),
      s: () => colourBy("surprise"), e: () => colourBy("entropy"),
    };
    if (event.key in keys) keys[event.key]();
  });
  window.addEventListener("beforeprint", () => chunks.forEach(paint));
}

async function begin() {
  const lists = data.lists;
  const thousandths = async (packed, Kind) => Float32Array.from(await opened(packed, Kind), (value) => value / 1000);
  ids = await opened(lists.ids, Uint32Array);
  nats = await thousandths(lists.nats, Uint16Array);
  entropies = await thousandths(lists.entropies, Uint16Array);
  gains = lists.gains && (await thousandths(lists.gains, Int16Array));
  likeliest = await opened(lists.likeliest, Uint32Array);
  chances = Float32Array.from(await opened(lists.chances, Uint16Array), (value) => value / 65535);
  pieces = JSON.parse(new TextDecoder().decode(await opened(lists.pieces, Uint8Array)));
  options($("by"), ["surprise", "entropy", ...(gains ? ["gain"] : []), "unit"], "surprise", (name) =>
    ({ surprise: "surprise", entropy: "entropy", gain: "what longer memory gains", unit: "a unit" })[name]);
  layText();
  sections();
  listen();
  if (data.best.length) await showUnit(find(data.best[0].layer, data.best[0].unit, data.best[0].part));
  else colourBy("surprise");
  tell(Math.min(40, data.count - 1));
  document.body.dataset.ready = "yes";
}

begin();
