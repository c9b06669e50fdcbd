// The panel: what the network expected at a character, and the unit's values nearby

function describe(place) {
  const before = current;
  current = place;
  if (before >= 0) repaint([before, before + 1]);
  paintOne(spanAt(place));
  if (view.follows && before !== place) followRests(before);
  const where = element("b", label(ids[place]));
  let said = `${label(ids[place])}, character ${place}`;
  const epoch = view.snapshot ? `, epoch ${snapshots[here].epoch}` : ""; // the colors are those of another
  $("bars-epoch").textContent = epoch;
  $("where").replaceChildren(where, ` character ${place}${epoch}`, element("br"));
  const rows = [];
  if (!starts.has(place)) {
    $("where").append(`surprise ${bits(nats[place]).toFixed(2)} bits${view.snapshot?.list ? "" : `, entropy ${bits(entropies[place]).toFixed(2)} bits`}`);
    said += `, surprise ${bits(nats[place]).toFixed(1)} bits`;
    const count = mostLikely.length / data.count;
    const first = [...mostLikely.slice(place * count, (place + 1) * count)];
    first.forEach((id, rank) => rows.push(bar(id, chances[place * count + rank], id === ids[place])));
    if (!first.includes(ids[place])) rows.push(bar(ids[place], Math.exp(-nats[place]), true));
    said += `, expected ${label(first[0])}`;
  } else {
    $("where").append("the first character has no context and no prediction");
  }
  if (view.snapshot?.list && !starts.has(place)) {
    $("where").append(element("br"), `surprise ${bits(view.snapshot.list[place]).toFixed(2)} bits at epoch ${view.snapshot.epoch}`);
  }
  if (view.unit) {
    const value = view.values(place);
    $("where").append(element("br"), `${view.name}: `, element("b", value.toFixed(3), { id: "value" }), view.snapshot ? ` at epoch ${view.snapshot.epoch}` : "");
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
  const low = view.unit ? Math.max(view.low, -1.3 * view.strong) : view.low; // without outliers
  const high = view.unit ? Math.min(view.high, 1.3 * view.strong) : view.high;
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

// A pinned character stays described when the mouse moves on, until another is pinned or Escape is pressed.
function pin(place) {
  const before = pinned;
  pinned = place;
  if (before >= 0) repaint([before, before + 1]);
  $("free").hidden = place < 0;
  if (place >= 0) describe(place);
  remember();
}

function go(place, where = "nearest") {
  const found = Math.max(0, Math.min(data.count - 1, place));
  if (pinned >= 0) pin(found);
  $("live").textContent = describe(found);
  bringIntoView(found, where);
}
