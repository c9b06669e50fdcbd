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
  if (!data.best.length) $("best").after(element("p", "No unit predicts any property above chance."));
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
  $("gates-about").textContent = "Saturation of gates. Each point is a unit. Horizontal: share of the time that its gate is open (above 0.9). Vertical: share of the time that it is shut (below 0.1). Lower right: the gate is nearly always open. Upper left: nearly always shut. Near the line: the gate works as a switch.";
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

function tableOf(caption, heads) {
  const table = element("table", element("caption", caption));
  const head = element("tr");
  for (const [word, columns] of heads) head.append(element("th", word, { scope: "col", colspan: columns }));
  table.append(element("thead", head), element("tbody"));
  $("tables").append(element("div", table));
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
    body.append(row([`${n}-gram`, bits(nats).toFixed(2), percent(right / (data.count - 1)), String(only_it), String(only_network)]));
  }
}

function switches() {
  const { about, prime, units } = data.switched;
  $("switch-about").textContent = about;
  $("held").parentElement.hidden = !units.length;
  const property = (name) => data.best.find((each) => each.name === name)?.property;
  options($("held"), units.map((each) => each.name), units[0]?.name, (name) => [name, property(name)].filter(Boolean).join(": "));
  const show = () => {
    const chosen = units.find((each) => each.name === $("held").value);
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
