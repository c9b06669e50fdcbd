// The text that the network writes or reads, colored by surprise or by a unit, and the values of all units.

/** Returns the class of a value between -1 and 1: n4 to n1 below 0, s0 near 0, p1 to p4 above. */
function shadeOf(value) {
  const level = Math.min(4, Math.floor(Math.abs(value) * 5));
  return level ? `${value < 0 ? "n" : "p"}${level}` : "s0";
}

/** Returns the class of a surprise in bits. */
const surpriseOf = (bits) => `s${[1, 2, 4, 7].filter((bound) => bits >= bound).length}`;

/** Shows a text (text.js), an element for each character; `unit` is that to color by, or null. */
function showText(place, text, unit, position) {
  const H = text.h.length / text.ids.length;
  const parts = text.texts.map((shown, i) => {
    const part = document.createElement("span");
    part.textContent = shown;
    part.className = unit === null ? surpriseOf(text.bits[i]) : shadeOf(text.h[i * H + unit]);
    part.dataset.i = i;
    return part;
  });
  parts[position].classList.add("here");
  place.replaceChildren(...parts);
}

/** Shows the values of all units after a character, as squares; the chosen unit has a border. */
function showUnits(place, text, position, unit) {
  const H = text.h.length / text.ids.length;
  while (place.children.length > H) place.lastChild.remove();
  while (place.children.length < H) place.append(document.createElement("i"));
  for (let j = 0; j < H; j++) {
    place.children[j].className = shadeOf(text.h[position * H + j]) + (j === unit ? " here" : "");
    place.children[j].title = `unit ${j + 1}: ${text.h[position * H + j].toFixed(2)}`;
  }
  const value = text.h[position * H + unit].toFixed(2);
  place.setAttribute("aria-label", `Values of all ${H} units; unit ${unit + 1} is ${value}`);
}
