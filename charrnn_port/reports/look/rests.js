// What a prediction rests on: the characters before it, colored by gradient × input. Only for some passages.
let restRows = null; // Int8Array, a row of data.rests.reach for each character of the passages

async function openRests() {
  restRows ||= await opened(data.rests.packed, Int8Array);
}

// The row of a character, or -1
function restRow(place) {
  const { begins, length } = data.rests;
  let row = 0;
  for (const begin of begins) {
    const count = Math.min(length, data.count - begin);
    if (begin <= place && place < begin + count) return row + place - begin;
    row += count;
  }
  return -1;
}

function restOf(place) {
  const back = current - place, row = restRow(current);
  return row < 0 || back < 1 || back > data.rests.reach ? 0 : restRows[row * data.rests.reach + back - 1] / 127;
}

async function showRests() {
  await openRests();
  if ($("by").value !== "rests") return;
  const links = data.rests.begins.flatMap((begin) => [" ", element("a", String(begin), { href: `#color=rests&at=${begin + 20}` })]);
  const made = {
    name: "rests", follows: true, signed: true, low: -1, high: 1, strong: 1, values: restOf, lowest: "less likely", highest: "more likely",
    about: ["Orange: characters before it that made this one more likely; blue: less likely (gradient × input). For the passages at", ...links, "."],
  };
  look(made);
  if (restRow(current) < 0) go(data.rests.begins[0] + 20, "center");
}

// The colors follow the character: paint again what may have changed.
function followRests(before) {
  for (const place of [before, current]) repaint([place - data.rests.reach, place + 1]);
}
