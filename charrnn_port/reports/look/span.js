// The units that are on over the selected span and off around it, and where else they are on together
const AROUND = [8, 60]; // characters on each side that a span is compared with: as many as it has, within these bounds
const CHANCE = 0.02, UNITS = 8, TOGETHER = 3, PASSAGES = 10;

// How clearly a unit is on over a span of this length and off around it, for spans that begin at each place. The
// contrast is the mean over the span minus the mean around it, in the same piece of the text, or 0 for spans in two. Its score is contrast / (noise + 3 usual): the noise is
// how much the unit varies within both, and the usual contrast is the root mean square over the text.
async function contrasts(column, length) {
  await unpack(column);
  const { bytes, steps } = column, count = bytes.length, reach = Math.max(AROUND[0], Math.min(AROUND[1], length));
  const sums = new Float64Array(count + 1), squares = new Float64Array(count + 1);
  for (let place = 0; place < count; place++) {
    sums[place + 1] = sums[place] + bytes[place];
    squares[place + 1] = squares[place] + bytes[place] ** 2;
  }
  const found = new Float32Array(count - length + 1), scores = new Float32Array(found.length);
  let total = 0, spans = 0, piece = [0, 0];
  for (let begin = 0; begin < found.length; begin++) {
    if (begin >= piece[1]) piece = pieceOf(begin);
    const end = begin + length, from = Math.max(piece[0], begin - reach), to = Math.min(piece[1], end + reach);
    if (end >= to && begin === from || end > piece[1]) continue; // nothing around it, or in two pieces
    const inside = sums[end] - sums[begin], insideSquares = squares[end] - squares[begin], others = to - from - length;
    const mean = inside / length, around = (sums[to] - sums[from] - inside) / others;
    const varies = insideSquares / length - mean ** 2 + (squares[to] - squares[from] - insideSquares) / others - around ** 2;
    found[begin] = mean - around;
    scores[begin] = Math.sqrt(Math.max(0, varies) + (steps / 15) ** 2); // values are rounded to steps
    total += found[begin] ** 2;
    spans++;
  }
  const usual = Math.sqrt(total / spans) || 1;
  for (let place = 0; place < found.length; place++) scores[place] = found[place] / (scores[place] + 3 * usual);
  return { scores, times: (place) => found[place] / usual };
}

// Rank units by their score. The chance of one is the share of all other spans of this length at which any unit has as
// high a score.
async function rank([begin, end], stale) {
  const length = end - begin, ranked = [], largest = new Float32Array(data.count - length + 1);
  for (const column of data.columns.filter((each) => each.part === data.columns[0].part)) {
    const { scores, times } = await contrasts(column, length);
    for (let place = 0; place < scores.length; place++) largest[place] = Math.max(largest[place], Math.abs(scores[place]));
    ranked.push({ column, score: scores[begin], contrast: times(begin) });
    await breathe();
    if (stale()) return null;
  }
  const others = largest.filter((_, place) => (place + length <= begin || end <= place) && pieceOf(place)[1] >= place + length).sort();
  for (const each of ranked) {
    let low = 0, high = others.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (others[middle] < Math.abs(each.score)) low = middle + 1;
      else high = middle;
    }
    each.chance = (1 + others.length - low) / (1 + others.length);
  }
  ranked.sort((a, b) => Math.abs(b.score) - Math.abs(a.score));
  return ranked.filter((each) => each.chance <= CHANCE).slice(0, UNITS);
}

// Return other passages of this length at which these units do the same, the clearest first.
async function passages(units, [begin, end]) {
  const length = end - begin, least = new Float32Array(data.count - length + 1).fill(Infinity);
  for (const { column, score } of units) {
    const { scores } = await contrasts(column, length);
    for (let place = 0; place < scores.length; place++) least[place] = Math.min(least[place], scores[place] * Math.sign(score));
    await breathe();
  }
  const enough = Math.min(...units.map((each) => Math.abs(each.score))) / 2, chosen = [[begin, end]];
  const order = [...least.keys()].filter((place) => least[place] >= enough).sort((a, b) => least[b] - least[a]);
  for (const place of order) {
    if (chosen.every(([from, to]) => place >= to || place + length <= from)) chosen.push([place, place + length]);
    if (chosen.length > PASSAGES) break;
  }
  return chosen.slice(1);
}

const quoted = ([begin, end]) => {
  const words = pieces.slice(begin, Math.min(end, begin + 60)).join("").replace(/\n/g, "↵");
  return `“${words}${end - begin > 60 ? "…" : ""}”`;
};

// Select a span, as far as it is in one piece of the text.
async function select([from, to]) {
  const span = to ? [from, Math.min(to, pieceOf(from)[1])] : [from, to];
  if (span[0] === selected[0] && span[1] === selected[1]) return;
  const before = selected;
  selected = span;
  repaint(before);
  repaint(span);
  drawMap();
  remember();
  $("span").hidden = !span[1];
  $("known").hidden = Boolean(span[1]);
  if (!span[1]) return;
  const stale = () => selected !== span;
  $("span-what").textContent = `${quoted(span)}, characters ${span[0]} to ${span[1] - 1}`;
  $("span-units").replaceChildren();
  $("span-passages").replaceChildren();
  $("span-else").hidden = true;
  const piece = pieceOf(span[0]);
  if (2 * (span[1] - span[0]) > piece[1] - piece[0]) return say("Select less than half of this text.");
  say("…");
  const units = await rank(span, stale);
  if (stale() || !units) return;
  const others = `any unit marks another span of this length as clearly`;
  say(units.length
    ? `On over the span, off around it, by so many times the usual difference. By chance: at this share of the text, ${others}.`
    : `No unit stands out above chance: at more than ${percent(CHANCE)} of the text, ${others}.`);
  for (const { column, contrast, chance } of units) {
    const link = unitLink(nameOf(column), column.part);
    link.append(element("small", `${contrast > 0 ? "high" : "low"} here, ${Math.abs(contrast).toFixed(1)} times the usual; by chance ${chance < 0.0005 ? "< 0.1 %" : percent(chance)}`));
    $("span-units").append(element("li", link));
  }
  markCurrent();
  if (units.length) await listPassages(units.slice(0, TOGETHER), span, stale);
  $("span").dataset.done = span;
}

async function listPassages(together, span, stale) {
  const elsewhere = await passages(together, span);
  if (stale()) return;
  $("span-else").hidden = false;
  $("span-else").textContent = elsewhere.length
    ? `Where ${together.map(({ column }) => nameOf(column)).join(", ")} do the same${together.length > 1 ? " together" : ""}:`
    : "Nowhere else do they do the same together.";
  for (const place of elsewhere) {
    $("span-passages").append(element("li", element("a", quoted(place), { href: `#span=${place.join("-")}` })));
  }
}

const say = (words) => { $("span-about").textContent = words; };

// The place at which the browser's selection begins or ends
function placeOf(node, offset) {
  const span = node.nodeType === Node.TEXT_NODE ? node.parentNode : node;
  if (span.place !== undefined) return span.place + (offset && offset >= span.textContent.length ? 1 : 0);
  if (span.chunk?.spans) return span.chunk.begin + offset;
  return span === $("text") ? chunks[offset]?.begin ?? data.count : -1;
}

function listenToSelection() {
  let later = 0;
  document.addEventListener("selectionchange", () => {
    clearTimeout(later);
    later = setTimeout(() => {
      const chosen = getSelection();
      if (!chosen.rangeCount || chosen.isCollapsed) return;
      const { startContainer, startOffset, endContainer, endOffset } = chosen.getRangeAt(0);
      const begin = placeOf(startContainer, startOffset), end = placeOf(endContainer, endOffset);
      if (begin >= 0 && begin < end) select([begin, end]);
    }, 120);
  });
  $("span-close").addEventListener("click", () => select([0, 0]));
}
