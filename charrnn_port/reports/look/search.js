// Search in the text, without regard to case
let hits = []; // the first character of each result
let chosenHit = -1;

function search(words) {
  const places = []; // the character at each unit of the joined text, since a piece may have none or two
  pieces.forEach((piece, place) => { for (let unit = 0; unit < piece.length; unit++) places.push(place); });
  const lower = (text) => text.replace(/./gsu, (each) => (each.toLowerCase().length === each.length ? each.toLowerCase() : each));
  const whole = lower(pieces.join("")), asked = lower(words);
  hits = [];
  search.lengths = [];
  for (let begin = asked ? whole.indexOf(asked) : -1; begin >= 0; begin = whole.indexOf(asked, begin + 1)) {
    const first = places[begin], end = places[begin + asked.length - 1] + 1;
    if (end > pieceOf(first)[1]) continue;
    hits.push(first);
    search.lengths.push(end - first);
  }
  chosenHit = -1;
  showHit();
  drawMap();
}

function stepHit(by) {
  if (!hits.length) return;
  const next = hits.findIndex((each) => each >= Math.max(current, 0));
  chosenHit = chosenHit < 0 ? Math.max(next, 0) : (chosenHit + by + hits.length) % hits.length;
  showHit();
  go(hits[chosenHit], "center");
}

function showHit() {
  const before = hit;
  hit = chosenHit < 0 ? [0, 0] : [hits[chosenHit], hits[chosenHit] + search.lengths[chosenHit]];
  repaint(before);
  repaint(hit);
  const words = $("search").value;
  $("hits").textContent = !words ? "" : chosenHit < 0 ? `${hits.length} found` : `${chosenHit + 1} of ${hits.length}`;
}

function listenToSearch() {
  let later = 0;
  $("search").addEventListener("input", () => {
    clearTimeout(later);
    later = setTimeout(() => search($("search").value), 150);
  });
  $("search").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    clearTimeout(later);
    if (search.words !== $("search").value) search((search.words = $("search").value));
    stepHit(event.shiftKey ? -1 : 1);
  });
}
