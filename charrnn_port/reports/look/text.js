// The text: colored by the view, in chunks that are painted when they come near
let view = null; // what the text is colored by: values by character, and their range
let current = -1; // the character that is described
let pinned = -1; // the character that stays described, or -1
let selected = [0, 0]; // the selected span: begin, and end (exclusive)
let hit = [0, 0]; // the current result of the search
const chunks = [];
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

function marksOf(place) {
  const within = ([begin, end]) => begin <= place && place < end;
  return [
    pieces[place] === "\n" && "nl", place === current && "at", place === pinned && "pin",
    within(selected) && "in", within(hit) && "hit",
  ].filter(Boolean).join(" ");
}

function paintOne(span) {
  span.className = `${classOf(level(view.values(span.place)))} ${marksOf(span.place)}`;
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
  chunk.spans.forEach(paintOne);
  chunk.painted = view;
}

// Paint again the characters from begin to end, after their marks have changed.
function repaint([begin, end]) {
  for (const chunk of chunks) {
    if (chunk.end <= begin || end <= chunk.begin || chunk.painted !== view) continue;
    chunk.spans.slice(Math.max(0, begin - chunk.begin), end - chunk.begin).forEach(paintOne);
  }
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
    const last = place + 1 === data.count || starts.has(place + 1); // of a piece of the text
    if (!last && !(length >= 150 && pieces[place] === "\n") && length < 600) continue;
    const kind = begin && starts.has(begin) ? "chunk begin" : "chunk";
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
  $("about").replaceChildren(...[made.about].flat());
  const ends = made.signed ? [-8, -5, -2, 0, 2, 5, 8] : [0, 2, 4, 6, 8];
  $("legend").replaceChildren(made.lowest, ...ends.map((step) => element("i", "a", { class: classOf(step) })), made.highest);
  if (current >= 0) describe(current);
  drawMap();
  remember();
}

// In the center, only the text scrolls, and twice: heights of chunks are estimates until they are near.
function bringIntoView(place, where = "nearest") {
  if (where === "nearest") return spanAt(place).scrollIntoView({ block: "nearest" });
  const center = () => {
    const box = $("text").getBoundingClientRect();
    $("text").scrollTop += spanAt(place).getBoundingClientRect().top - box.top - box.height / 2;
  };
  center();
  requestAnimationFrame(center);
}

function lineBegin(place) {
  let begin = place;
  while (!starts.has(begin) && pieces[begin - 1] !== "\n") begin--;
  return begin;
}

function lineEnd(place) {
  let end = place;
  while (end < data.count - 1 && pieces[end] !== "\n" && !starts.has(end + 1)) end++;
  return end;
}
