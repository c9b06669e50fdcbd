// The state of the page in its address, such as #color=2:131.c&at=120&span=100-140, so that it can be sent as a link

function addressNow() {
  const parts = [`color=${view.unit ? view.key : view.name}`];
  if (chosenSnapshot !== here) parts.push(`checkpoint=${chosenSnapshot}`);
  if (pinned >= 0) parts.push(`at=${pinned}`);
  if (selected[1]) parts.push(`span=${selected.join("-")}`);
  return `#${parts.join("&")}`;
}

// Browsers refuse more than some 100 changes in 30 s, so that a change waits for those after it.
let later = 0;
function remember() {
  clearTimeout(later);
  later = setTimeout(() => history.replaceState(null, "", addressNow()), 400);
}

const inText = (text) => /^\d+$/.test(text || "") && Number(text) < data.count;

// Apply what an address names; what it does not name stays. Return whether it names anything.
async function apply(address) {
  const asked = new URLSearchParams(address.slice(1));
  const [, name, part] = /^(\d+:\d+)\.(\w+)$/.exec(asked.get("color")) || [];
  if (/^\d+$/.test(asked.get("checkpoint")) && Number(asked.get("checkpoint")) < snapshots.length) {
    await showSnapshot(Number(asked.get("checkpoint")));
  }
  if (byName.has(name)) await showUnit(find(...name.split(":").map(Number), part));
  else if ([...$("by").options].some((each) => each.value === asked.get("color"))) await colorBy(asked.get("color"));
  if (inText(asked.get("at"))) {
    pin(Number(asked.get("at")));
    bringIntoView(pinned, "center");
  }
  const [begin, end] = (asked.get("span") || "").split("-");
  if (inText(begin) && /^\d+$/.test(end) && Number(begin) < Number(end)) {
    select([Number(begin), Math.min(Number(end), data.count)]);
    bringIntoView(selected[0], "center");
  }
  return ["color", "checkpoint", "at", "span"].some((each) => asked.has(each));
}

// On a narrow window, the panel covers the lower part.
function showText() {
  if (matchMedia("(max-width: 900px)").matches) $("about").scrollIntoView();
  else $("color").scrollIntoView({ block: "nearest" });
}

async function copyLink() {
  const link = location.href.replace(/#.*/, "") + addressNow();
  try {
    await navigator.clipboard.writeText(link);
    $("copy").textContent = "copied";
  } catch { // some browsers only allow it on https
    history.replaceState(null, "", addressNow());
    $("copy").textContent = "copy it from the address bar";
  }
  setTimeout(() => { $("copy").textContent = "copy link"; }, 2000);
}

function listenToLinks() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const address = link.getAttribute("href");
    event.preventDefault(); // the address keeps the state
    if (!address.includes("=")) $(address.slice(1)).scrollIntoView();
    else apply(address).then(showText);
    if (address === "#text") $("text").focus();
  });
  window.addEventListener("hashchange", () => apply(location.hash));
  $("copy").addEventListener("click", copyLink);
}
