// Shared by the pages: what the network expected at a character of the text, and to continue a text from there.

const expected = []; // for each character of the text, the most likely ones, as [name, probability]; null in the prompt
let chosen = -1; // the character whose alternatives stay visible, or -1

/** Returns the span of a character and the character's rectangle, from a point on the page; null if there is none. */
function characterAt(x, y) {
  const span = document.elementFromPoint(x, y);
  if (span?.first === undefined) return null;
  const range = document.createRange();
  let offset = 0;
  for (let i = 0; i < span.texts.length; i++) {
    range.setStart(span.firstChild, offset);
    range.setEnd(span.firstChild, (offset += span.texts[i].length));
    for (const box of range.getClientRects()) {
      if (x >= box.left && x < box.right && y >= box.top - 4 && y < box.bottom + 4) return { place: span.first + i, box };
    }
  }
  return null;
}

/** Shows the alternatives of a character beside it. */
function showAlternatives({ place, box }) {
  const shown = element("alternatives");
  const rows = (expected[place] || []).map(([name, probability]) => {
    const row = document.createElement("tr");
    for (const words of [visibly(name), `${(100 * probability).toFixed(1)} %`]) row.append(cell(words));
    return row;
  });
  element("likely").replaceChildren(...rows);
  element("likely-about").textContent = rows.length ? "Expected here" : "Part of the prompt";
  shown.hidden = false;
  const below = box.bottom + shown.offsetHeight + 8 < innerHeight;
  const widest = document.documentElement.clientWidth - shown.offsetWidth - 8;
  shown.style.left = `${Math.max(8, Math.min(box.left, widest))}px`;
  shown.style.top = `${below ? box.bottom + 4 : box.top - shown.offsetHeight - 4}px`;
}

function cell(words) {
  const made = document.createElement("td");
  made.textContent = words;
  return made;
}

/** Returns a name for a character that would not be seen. */
function visibly(name) {
  return { "\n": "↵", " ": "␣", "\t": "⇥" }[name] ?? name;
}

function hideAlternatives() {
  chosen = -1;
  element("alternatives").hidden = true;
  element("onward").hidden = true;
}

/** Returns the text up to a character, with it. */
function textUpTo(place) {
  const spans = [...element("text").children].filter((span) => span.first <= place);
  return spans.flatMap((span) => span.texts.slice(0, place + 1 - span.first)).join("");
}

/** A click keeps the alternatives visible and offers to continue from there; `write` starts a text. */
function listenToCharacters(write) {
  const text = element("text");
  text.addEventListener("pointermove", ({ clientX, clientY }) => {
    if (chosen >= 0) return;
    const found = characterAt(clientX, clientY);
    if (found) showAlternatives(found);
    else hideAlternatives();
  });
  text.addEventListener("pointerleave", () => {
    if (chosen < 0) hideAlternatives();
  });
  text.addEventListener("click", ({ clientX, clientY }) => {
    if (!getSelection().isCollapsed) return;
    const found = characterAt(clientX, clientY);
    if (!found || found.place === chosen) return hideAlternatives();
    chosen = found.place;
    element("onward").hidden = false;
    showAlternatives(found);
  });
  element("onward").addEventListener("click", () => {
    element("primetext").value = textUpTo(chosen);
    write();
  });
  addEventListener("scroll", hideAlternatives, { passive: true });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hideAlternatives();
  });
}
