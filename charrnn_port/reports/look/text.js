let view = null; // what the text is colored by: values by character, and their range
let current = -1; // the character that is described
const chunks = [];

// The text

const LEVELS = 8;

function level(value) {
  if (view.cuts) return view.cuts.filter((cut) => value >= cut).length * 2;
  const share = view.signed ? value / view.strong : (value - view.low) / (view.high - view.low);
  return Math.max(-LEVELS, Math.min(LEVELS, Math.round(share * LEVELS)));
}

// Color is never the only sign: large values are underlined, large negative values with dots, the largest surprises bold.
function classOf(step) {
  const shade = step > 0 ? `high${step}` : step < 0 ? `low${-step}` : "";
  return `${shade} ${step >= LEVELS ? "u b" : step >= 5 ? "u" : step <= -5 ? "d" : ""}`;
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
    const kind = pieces[span.place] === "\n" ? "nl " : "";
    span.className = `${kind}${classOf(level(view.values(span.place)))}${span.place === current ? " at" : ""}`;
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
    const last = place + 1 === data.count || data.begins.includes(place + 1); // of a piece of the text
    if (!last && !(length >= 150 && pieces[place] === "\n") && length < 600) continue;
    const kind = begin && data.begins.includes(begin) ? "chunk begin" : "chunk";
    const node = element("div", pieces.slice(begin, place + 1).join(""), { class: kind });
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
  $("legend").replaceChildren(made.lowest, ...ends.map((step) => element("i", "a", { class: classOf(step) })), made.highest);
  if (current >= 0) describe(current);
}

// The description of a character

function describe(place) {
  if (current >= 0 && current !== place) spanAt(current).classList.remove("at");
  current = place;
  spanAt(place).classList.add("at");
  const about = $("where");
  const value = view.values(place);
  const rows = [];
  let said = `${label(ids[place])}, character ${place}`;
  about.replaceChildren(element("b", label(ids[place])), ` character ${place}`, element("br"));
  if (!data.begins.includes(place)) {
    about.append(`surprise ${bits(nats[place]).toFixed(2)} bits, entropy ${bits(entropies[place]).toFixed(2)} bits`);
    said += `, surprise ${bits(nats[place]).toFixed(1)} bits`;
    const count = mostLikely.length / data.count;
    const first = [...mostLikely.slice(place * count, (place + 1) * count)];
    first.forEach((id, rank) => rows.push(bar(id, chances[place * count + rank], id === ids[place])));
    if (!first.includes(ids[place])) rows.push(bar(ids[place], Math.exp(-nats[place]), true));
    said += `, expected ${label(first[0])}`;
  } else {
    about.append("the first character has no context and no prediction");
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
  $("live").textContent = describe(found);
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
