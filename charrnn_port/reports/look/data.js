"use strict";
// The data of the page. Long lists are compressed bytes in base64, which are decompressed on first use.
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

const starts = new Set(data.begins); // the first characters of the pieces of the text
const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
const bits = (nats) => nats / Math.LN2;
const label = (id) => data.vocab[id];
const nameOf = (column) => `${column.layer}:${column.unit}`;
const keyOf = (column) => `${nameOf(column)}.${column.part}`; // in the address
const byName = new Map(); // the columns of each unit, such as 2:131
for (const each of data.columns) byName.set(nameOf(each), [...(byName.get(nameOf(each)) || []), each]);

// Everything that names a unit is a link to it; of a unit that is not on this page, only the words.
function unitLink(name, part, words = `${name} ${part}`) {
  const same = byName.get(name);
  if (!same) return document.createTextNode(words);
  return element("a", words, { href: `#color=${keyOf(same.find((each) => each.part === part) || same[0])}` });
}

async function unpack(column) {
  column.bytes ||= await opened(column.packed, Uint8Array);
}

// The piece of the text that a character is in: its first character, and its end (exclusive)
function pieceOf(place) {
  let number = data.begins.length - 1;
  while (data.begins[number] > place) number--;
  return [data.begins[number], data.begins[number + 1] ?? data.count];
}

// Long work is done in pieces below 50 ms, between which the browser can react.
let pieceBegan = 0;
async function breathe() {
  if (performance.now() - pieceBegan < 12) return;
  await new Promise((done) => setTimeout(done));
  pieceBegan = performance.now();
}

let ids, nats, entropies, gains, others, mostLikely, chances, pieces; // lists by character
