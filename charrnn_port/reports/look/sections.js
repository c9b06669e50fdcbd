// The other sections

function row(cells) {
  const made = element("tr");
  cells.forEach((cell, place) => {
    const number = typeof cell === "string" && /^-?[\d.]+( %)?$/.test(cell);
    made.append(place ? element("td", cell, number ? { class: "n" } : {}) : element("th", cell, { scope: "row" }));
  });
  return made;
}

async function sections() {
  $("title").textContent = data.title;
  $("facts").replaceChildren(...data.facts.flatMap(([name, words]) => [element("dt", name), element("dd", words)]));
  $("tried").textContent = data.tried;
  $("rounded").textContent = data.rounded;
  for (const each of data.best) {
    const link = unitLink(each.name, each.part, each.property);
    link.append(element("small", `unit ${each.name} ${each.part}, ${each.kind} ${each.figure.toFixed(2)}, chance ${each.chance.toFixed(2)}${each.rises ? "" : ", falls"}`));
    $("best").append(element("li", link));
  }
  if (!data.best.length) $("best").after(element("p", "No unit predicts any property above chance."));
  for (const each of data.properties) {
    const above = data.findings.filter((one) => one.property === each.name).length;
    $("chances").tBodies[0].append(row([each.name, each.kind, each.best.toFixed(3), each.chance.toFixed(3), String(above), ...each.probe.map((score) => score.toFixed(3))]));
  }
  for (const each of data.findings) {
    $("all").tBodies[0].append(row([unitLink(each.name, each.part), `${each.property}${each.rises ? "" : " (falls)"}`, `${each.kind} ${each.figure.toFixed(3)}`, each.chance.toFixed(3)]));
  }
  for (const each of [overTraining, errorTables, ablation, pairs, switches]) {
    await breathe();
    each();
  }
}

function tableOf(caption, heads, where = $("tables")) {
  const table = element("table", element("caption", caption));
  const head = element("tr");
  for (const [word, columns] of heads) head.append(element("th", word, { scope: "col", colspan: columns }));
  table.append(element("thead", head), element("tbody"));
  where.append(element("div", table));
  return table.tBodies[0];
}

function errorTables() {
  const { nats: total, about, tables, memories } = data.errors;
  $("errors-about").textContent = about;
  for (const [caption, rows] of tables) {
    const body = tableOf(caption, [["", 1], ["characters", 1], ["share of the loss", 2], ["bits per character", 1], ["correct", 1]]);
    for (const { name, count, nats, right } of rows) {
      const box = element("span", "", { class: "bar" });
      box.style.width = `${(90 * nats) / total}px`;
      body.append(row([name, String(count), percent(nats / total), box, bits(nats / count).toFixed(2), percent(right / count)]));
    }
  }
  if (!memories) return;
  const heads = ["", "bits per character", "correct", "only n-gram correct", "only network correct"];
  const body = tableOf("N-gram models of the training text", heads.map((word) => [word, 1]));
  for (const { n, nats, right, only_it, only_network } of memories) {
    body.append(row([`${n}-gram`, bits(nats).toFixed(2), percent(right / (data.count - data.begins.length)), String(only_it), String(only_network)]));
  }
}

function ablation() {
  const { about, units, counts } = data.ablation;
  $("ablation-about").textContent = about;
  if (!units.length) return;
  const kinds = Object.keys(counts).sort((a, b) => counts[b] - counts[a]);
  const heads = [["silenced", 1], ["predicts", 1], ["bits more", 1], ["± standard error", 1], ...kinds.map((kind) => [kind, 1])];
  const body = tableOf("", heads, $("silenced"));
  for (const { name, nats, error, kinds: each } of units) {
    const known = data.findings.find((one) => one.name === name)?.property || "";
    const cells = kinds.map((kind) => shaded(bits(each[kind])));
    body.append(row([unitLink(name, "", name), known, bits(nats).toFixed(4), bits(error).toFixed(4), ...cells]));
  }
}

function pairs() {
  if (!data.other) return;
  $("other").hidden = false;
  $("other-about").textContent = data.other.about;
  if (!data.other.pairs.length) return;
  const heads = ["unit here", "unit there", "correlation", "its best here", "correlation"];
  const body = tableOf("", heads.map((word) => [word, 1]), $("pairs"));
  for (const { name, other, correlation, back, back_correlation } of data.other.pairs) {
    body.append(row([unitLink(name, "", name), other, correlation.toFixed(3), unitLink(back, "", back), back_correlation.toFixed(3)]));
  }
}

// A number on the color of its size, from 0 to 0.5
function shaded(value) {
  const step = Math.max(-8, Math.min(8, Math.round(value * 16)));
  return element("span", value.toFixed(3), { class: `n ${step > 0 ? `high${step}` : step < 0 ? `low${-step}` : ""}` });
}

function switches() {
  const { about, prime, units } = data.switched;
  $("switch-about").textContent = about;
  $("held").closest("p").hidden = !units.length;
  const property = (name) => data.best.find((each) => each.name === name)?.property;
  options($("held"), units.map((each) => each.name), units[0]?.name, (name) => [name, property(name)].filter(Boolean).join(": "));
  const show = () => {
    const chosen = units.find((each) => each.name === $("held").value);
    $("held-link").replaceChildren(unitLink(chosen.name, "", `unit ${chosen.name} on the text`));
    $("samples").replaceChildren(...chosen.samples.map(([title, text]) => {
      const pre = element("pre", element("i", prime));
      pre.append(text);
      const made = element("div", element("h3", title));
      made.append(pre);
      return made;
    }));
  };
  $("held").addEventListener("change", show);
  if (units.length) show();
}
