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

const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
const bits = (nats) => nats / Math.LN2;
const label = (id) => data.vocab[id];
const nameOf = (column) => `${column.layer}:${column.unit}`;

let ids, nats, entropies, gains, mostLikely, chances, pieces; // lists by character
