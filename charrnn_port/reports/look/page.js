// Controls, keys, and the beginning

// Free the pinned character and the selection.
function release() {
  getSelection().removeAllRanges();
  pin(-1);
  select([0, 0]);
}

function listenToText() {
  for (const kind of ["pointerover", "pointerdown"]) {
    $("text").addEventListener(kind, (event) => {
      if (event.target.place !== undefined && pinned < 0) describe(event.target.place);
    });
  }
  $("text").addEventListener("click", (event) => {
    if (event.target.place === undefined || !getSelection().isCollapsed) return;
    select([0, 0]);
    pin(event.target.place === pinned ? -1 : event.target.place);
  });
  $("text").addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const here = Math.max(current, 0), begin = lineBegin(here);
    const places = {
      ArrowLeft: () => here - 1,
      ArrowRight: () => (current < 0 ? 0 : here + 1),
      Home: () => begin,
      End: () => lineEnd(here),
      ArrowUp: () => (begin ? Math.min(lineBegin(begin - 1) + here - begin, begin - 1) : 0),
      ArrowDown: () => Math.min(lineEnd(here) + 1 + here - begin, lineEnd(Math.min(lineEnd(here) + 1, data.count - 1))),
    };
    if (event.key === "Enter") pin(here === pinned ? -1 : here);
    if (!(event.key in places)) return;
    event.preventDefault();
    const anchor = event.shiftKey && selected[1] ? (here === selected[0] ? selected[1] - 1 : selected[0]) : here;
    go(places[event.key]());
    if (event.shiftKey) select([Math.min(anchor, current), Math.max(anchor, current) + 1]);
  });
}

function listen() {
  $("by").addEventListener("change", () => colorBy($("by").value));
  for (const id of ["layer", "unit", "part"]) $(id).addEventListener("change", () => showUnit(chosenColumn()));
  $("free").addEventListener("click", () => pin(-1));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return release();
    if (event.ctrlKey || event.altKey || event.metaKey || /^(SELECT|INPUT)$/.test(event.target.tagName)) return;
    const keys = {
      n: () => stepBest(1), p: () => stepBest(-1), "]": () => stepUnit(1), "[": () => stepUnit(-1),
      s: () => colorBy("surprise"), e: () => colorBy("entropy"),
      "/": () => { event.preventDefault(); $("search").focus(); },
    };
    if (event.key in keys) keys[event.key]();
  });
  window.addEventListener("beforeprint", () => chunks.forEach(paint));
  for (const each of [listenToText, listenToLinks, listenToMap, listenToSearch, listenToSelection]) each();
}

async function begin() {
  const lists = data.lists;
  const thousandths = async (packed, Kind) => Float32Array.from(await opened(packed, Kind), (value) => value / 1000);
  ids = await opened(lists.ids, Uint32Array);
  nats = await thousandths(lists.nats, Uint16Array);
  entropies = await thousandths(lists.entropies, Uint16Array);
  gains = lists.gains && (await thousandths(lists.gains, Int16Array));
  others = data.other && (await thousandths(data.other.gains, Int16Array));
  mostLikely = await opened(lists.most_likely, Uint32Array);
  chances = Float32Array.from(await opened(lists.chances, Uint16Array), (value) => value / 65535);
  pieces = JSON.parse(new TextDecoder().decode(await opened(lists.pieces, Uint8Array)));
  listColorings();
  await breathe();
  layText();
  await breathe();
  await sections();
  await breathe();
  const address = location.hash;
  if (data.first) await apply(`#color=${data.first}`);
  else await colorBy("surprise");
  await breathe();
  describe(Math.min(40, data.count - 1));
  listen();
  await breathe();
  if (await apply(address)) showText();
  if (address && !address.includes("=")) document.getElementById(address.slice(1))?.scrollIntoView();
  await gatePanels();
  document.body.dataset.ready = "yes";
}

begin();
