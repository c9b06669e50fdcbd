// What the text is colored by: surprise, entropy, gain, what a prediction rests on, or a unit

// Losses are those at a checkpoint of the run, or of the page's if it is null.
function plain(name, snapshot) {
  const more = (place) => (snapshot ? nats[place] - snapshot.list[place] : 0);
  if (name === "other") {
    return {
      name, snapshot, values: (place) => bits(others[place] + more(place)), low: -6, high: 6, strong: 6, signed: true,
      lowest: "the other better", highest: "this one better, 6 bits",
      about: `Orange: this network predicted the character better than ${data.other.name}. Blue: the other one did. The difference in surprise, in bits.${atSnapshot(snapshot)}`,
    };
  }
  if (name === "gain") {
    return {
      name, snapshot, values: (place) => bits(gains[place] + more(place)), low: -6, high: 6, strong: 6, signed: true,
      lowest: `${data.ngram}-gram better`, highest: "network better, 6 bits",
      about: `Orange: the network predicted the character better than a ${data.ngram}-gram model. Blue: the ${data.ngram}-gram model was better. The difference in surprise, in bits.${atSnapshot(snapshot)}`,
    };
  }
  const list = name === "entropy" ? entropies : snapshot ? snapshot.list : nats;
  return {
    name, snapshot, values: (place) => bits(list[place]), low: 0, high: name === "surprise" ? 10 : 5, signed: false,
    cuts: name === "surprise" ? [1, 3, 5, 8] : null, lowest: "0", highest: name === "surprise" ? "8 bits and more" : "5 bits",
    about: name === "surprise"
      ? `Surprise: -log2 of the probability of the character, in bits. The color becomes stronger at 1, 3, 5 and 8 bits.${atSnapshot(snapshot)}`
      : "Entropy: how uncertain the network was before the character, in bits, whichever character followed.",
  };
}

const WORDS = { surprise: "surprise", entropy: "entropy", gain: "gain over an n-gram model", rests: "what it rests on", other: "gain over the other network", unit: "a unit" };

function listColorings() {
  options($("by"), ["surprise", "entropy", ...(gains ? ["gain"] : []), "rests", ...(others ? ["other"] : []), "unit"], "surprise", (name) => WORDS[name]);
}

async function showUnit(column) {
  $("by").value = "unit";
  fill(column);
  const asked = chosenSnapshot;
  const at = await columnAtSnapshot(column), snapshot = at === column ? null : snapshots[asked];
  // another unit or checkpoint was chosen in the meantime
  if (chosenColumn() !== column || $("by").value !== "unit" || chosenSnapshot !== asked) return;
  const { low, high } = at;
  const signed = low < 0;
  const findings = data.findings.filter((each) => each.name === nameOf(column) && each.part === column.part);
  const its = snapshot ? `At epoch ${snapshots[here].epoch} it` : "It";
  const sentence = findings.slice(0, 2).map((each) => `${each.property} (${each.kind} ${each.figure.toFixed(2)}, chance ${each.chance.toFixed(2)})${each.rises ? "" : ", falls"}`);
  if (findings.length > 2) sentence.push(`${findings.length - 2} more`);
  look({
    name: `${nameOf(column)} ${column.part}`, unit: true, key: keyOf(column), signed, low, high,
    snapshot, strong: column.strong, values: (place) => low + ((high - low) * at.bytes[place]) / at.steps,
    lowest: signed ? (-column.strong).toFixed(1) : "0", highest: column.strong.toFixed(1),
    about: `Unit ${column.unit} of layer ${column.layer}, its ${data.parts[column.part]}${snapshot ? `, at epoch ${snapshot.epoch}` : ""}. ${its} predicts${sentence.length ? `: ${sentence.join("; ")}` : " no property above chance"}.`,
  });
  markCurrent();
}

// The links to the unit that is shown
function markCurrent() {
  const href = view.unit ? `#color=${view.key}` : "";
  for (const link of $("reading").querySelectorAll("ol a")) {
    if (link.getAttribute("href") === href) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
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
  $("unit-choice").classList.remove("off");
}

function find(layer, unit, part) {
  const inLayer = data.columns.filter((each) => each.layer === layer);
  const same = inLayer.filter((each) => each.unit === unit);
  return same.find((each) => each.part === part) || same[0] || inLayer.find((each) => each.part === part) || inLayer[0];
}

const chosenColumn = () => find(Number($("layer").value), Number($("unit").value), $("part").value);

async function colorBy(name) {
  $("by").value = name;
  if (name === "unit") return showUnit($("unit").value ? chosenColumn() : data.columns[0]);
  $("unit-choice").classList.add("off");
  if (name === "rests" || name === "entropy") snapshotOf(() => false);
  if (name === "rests") return showRests();
  const asked = chosenSnapshot, snapshot = run && name !== "entropy" ? await openSnapshot() : null;
  if ($("by").value !== name || chosenSnapshot !== asked) return;
  look(plain(name, snapshot));
  markCurrent();
}

function stepUnit(by) {
  const now = view.unit ? chosenColumn() : null;
  const part = now ? now.part : data.columns[0].part;
  const all = data.columns.filter((each) => each.part === part).sort((a, b) => a.layer - b.layer || a.unit - b.unit);
  const place = now ? all.indexOf(now) + by : 0;
  return showUnit(all[(place + all.length) % all.length]);
}

function stepBest(by) {
  const links = [...$("best").querySelectorAll("a")];
  if (!links.length) return;
  const now = links.findIndex((each) => each.getAttribute("aria-current") === "true");
  links[(now < 0 ? (by > 0 ? 0 : links.length - 1) : now + by + links.length) % links.length].click();
}
