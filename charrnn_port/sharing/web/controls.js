// What the pages have in common: how a text is shown, and what its controls do.

const element = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");

/** Show characters, and how many bits of surprise each was; null for those that were given. */
function append(texts, bits) {
  const some = document.createDocumentFragment();
  let last = null;
  texts.forEach((text, i) => {
    const shade = bits[i] === null ? "prime" : `s${[1, 2, 4, 7].filter((bound) => bits[i] >= bound).length}`;
    if (last?.className !== shade) {
      last = document.createElement("span"); // neighbours of the same shade are one element
      last.className = shade;
      some.append(last);
    }
    last.textContent += text;
  });
  element("text").append(some);
}

/** A text is under way, which this command writes too. */
function begin(command) {
  for (const id of ["problem", "text", "count"]) element(id).textContent = "";
  element("pause").disabled = element("copy").disabled = false;
  element("status").textContent = "It writes.";
  element("command").textContent = command;
  tellTemperature();
  document.body.dataset.state = "writing";
}

/** It has ended; says so to those who do not see it. */
function finish(message) {
  element("status").textContent = message;
  element("pause").disabled = true;
  document.body.dataset.state = "done";
}

/** A text for the shell, as one word. */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

async function copy() {
  const text = element("text");
  try {
    await navigator.clipboard.writeText(text.textContent);
  } catch {
    // Browsers give a clipboard to pages from this machine and over TLS only, but all can copy what is selected.
    getSelection().selectAllChildren(text);
    document.execCommand("copy");
  }
  element("status").textContent = "The text is copied.";
  element("copy").textContent = "Copied";
  setTimeout(() => (element("copy").textContent = "Copy"), 1500);
}

/** What there is to know of a network, by name. */
function tellFacts(rows) {
  element("facts").replaceChildren();
  for (const [name, value] of Object.entries(rows)) {
    const [term, definition] = [document.createElement("dt"), document.createElement("dd")];
    [term.textContent, definition.textContent] = [name, value];
    element("facts").append(term, definition);
  }
}

function tellTemperature() {
  element("shown").textContent = Number(element("temperature").value).toFixed(2);
}

/** Begin a text when somebody asks for it: one that begins far down, as on a phone, comes into view. */
function listen(write, pause) {
  const writeInView = () => {
    const { top } = element("text").getBoundingClientRect();
    if (write() && top > innerHeight / 2) element("text").parentElement.scrollIntoView();
  };
  element("form").addEventListener("submit", (event) => {
    event.preventDefault();
    writeInView();
  });
  element("another").addEventListener("click", () => {
    element("seed").value = Number(element("seed").value) + 1;
    writeInView();
  });
  element("primetext").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) writeInView();
  });
  element("pause").addEventListener("click", pause);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !element("pause").disabled) pause();
  });
  element("copy").addEventListener("click", copy);
  element("shade").addEventListener("change", ({ target }) => {
    element("text").parentElement.classList.toggle("shaded", target.checked);
  });
  element("temperature").addEventListener("input", tellTemperature);
  tellTemperature();
}
