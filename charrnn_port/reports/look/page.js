// What the text is colored by

function plain(name) {
  if (name === "gain") {
    return {
      name: "gain", values: (place) => (place ? bits(gains[place]) : 0), low: -6, high: 6, strong: 6, signed: true,
      lowest: `${data.ngram}-gram better`, highest: "network better, 6 bits",
      about: `Orange: the network predicted the character better than a ${data.ngram}-gram model. Blue: the ${data.ngram}-gram model was better. The difference in surprise, in bits.`,
    };
  }
  const list = name === "surprise" ? nats : entropies;
  return {
    name, values: (place) => (place ? bits(list[place]) : 0), low: 0, high: name === "surprise" ? 10 : 5, signed: false,
    cuts: name === "surprise" ? [1, 3, 5, 8] : null, lowest: "0", highest: name === "surprise" ? "8 bits and more" : "5 bits",
    about: name === "surprise"
      ? "Surprise: -log2 of the probability of the character, in bits. The color becomes stronger at 1, 3, 5 and 8 bits."
      : "Entropy: how uncertain the network was before the character, in bits, whichever character followed.",
  };
}

async function showUnit(column) {
  $("by").value = "unit";
  fill(column);
  column.bytes ||= await opened(column.packed, Uint8Array);
  if (chosenColumn() !== column || $("by").value !== "unit") return; // another unit was chosen in the meantime
  const { low, high } = column;
  const signed = low < 0;
  const findings = data.findings.filter((each) => each.name === nameOf(column) && each.part === column.part);
  const sentence = findings.map((each) => `${each.property} (${each.kind} ${each.figure.toFixed(2)}, chance ${each.chance.toFixed(2)})`);
  look({
    name: `${nameOf(column)} ${column.part}`, unit: true, signed, low, high,
    strong: column.strong, values: (place) => low + ((high - low) * column.bytes[place]) / column.steps,
    lowest: signed ? (-column.strong).toFixed(1) : "0", highest: column.strong.toFixed(1),
    about: `Unit ${column.unit} of layer ${column.layer}, its ${data.parts[column.part]}. ${sentence.length ? `It predicts: ${sentence.join("; ")}.` : "It predicts no property above chance."}`,
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
  options($("layer"), unique(data.columns.map((each) => each.layer)).sort((a, b) => a - b), column.layer);
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

function colorBy(name) {
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

// Events

function listen() {
  $("by").addEventListener("change", () => colorBy($("by").value));
  for (const id of ["layer", "unit", "part"]) $(id).addEventListener("change", () => showUnit(chosenColumn()));
  for (const kind of ["pointerover", "pointerdown"]) {
    $("text").addEventListener(kind, (event) => {
      if (event.target.place !== undefined) describe(event.target.place);
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
      s: () => colorBy("surprise"), e: () => colorBy("entropy"),
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
  mostLikely = await opened(lists.most_likely, Uint32Array);
  chances = Float32Array.from(await opened(lists.chances, Uint16Array), (value) => value / 65535);
  pieces = JSON.parse(new TextDecoder().decode(await opened(lists.pieces, Uint8Array)));
  options($("by"), ["surprise", "entropy", ...(gains ? ["gain"] : []), "unit"], "surprise", (name) =>
    ({ surprise: "surprise", entropy: "entropy", gain: "gain over an n-gram model", unit: "a unit" })[name]);
  layText();
  sections();
  listen();
  const first = data.columns[0], best = data.best.find((each) => each.name === nameOf(first));
  if (data.switched.units.length) await showUnit(find(first.layer, first.unit, best?.part));
  else colorBy("surprise");
  describe(Math.min(40, data.count - 1));
  document.body.dataset.ready = "yes";
}

begin();
