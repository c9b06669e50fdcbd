// Shared by the pages: displaying a text, and the controls of the form.

const element = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");

/** Appends characters, shaded by the surprise of each in bits; null marks the prime text. `tops` are most likely ones. */
function append(texts, bits, tops = []) {
  const some = document.createDocumentFragment();
  let last = null;
  texts.forEach((text, i) => {
    const shade = bits[i] === null ? "prime" : `s${[1, 2, 4, 7].filter((bound) => bits[i] >= bound).length}`;
    if (last?.className !== shade) {
      last = document.createElement("span"); // adjacent characters of the same shade share one element
      last.className = shade;
      [last.first, last.texts] = [expected.length, []];
      some.append(last);
    }
    last.textContent += text;
    last.texts.push(text);
    expected.push(tops[i] ?? null);
  });
  element("text").append(some);
}

/** Clears the page for a new text; `command` is the command line that generates the same text. */
function begin(command) {
  for (const id of ["problem", "text", "count"]) element(id).textContent = "";
  expected.length = 0;
  hideAlternatives();
  element("pause").disabled = element("copy").disabled = false;
  element("status").textContent = "Generating.";
  element("command").textContent = command;
  showTemperature();
  document.body.dataset.state = "writing";
}

/** Ends a text; the message is for screen readers. */
function finish(message) {
  element("status").textContent = message;
  element("pause").disabled = true;
  document.body.dataset.state = "done";
}

/** Returns the values of the form by the names in `fields`, whose values are ids. */
function valuesOf(fields) {
  const value = ({ type, value }) => (["number", "range"].includes(type) ? Number(value) : value);
  return Object.fromEntries(Object.entries(fields).map(([name, id]) => [name, value(element(id))]));
}

/** Sets the values of the form that the address names, such as ?seed=7. */
function readAddress(fields) {
  for (const [name, value] of new URLSearchParams(location.search)) if (fields[name]) element(fields[name]).value = value;
}

/** Keeps the values of the form in the address, as a link to this text. */
function writeAddress(fields) {
  history.replaceState(null, "", `?${new URLSearchParams(valuesOf(fields))}`);
}

/** Quotes a text as one word for the shell. */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Copies the text to the clipboard. */
async function copy() {
  const text = element("text");
  try {
    await navigator.clipboard.writeText(text.textContent);
  } catch {
    // The clipboard API works only on localhost and over TLS; copying a selection works everywhere.
    getSelection().selectAllChildren(text);
    document.execCommand("copy");
  }
  element("status").textContent = "Text copied.";
  element("copy").textContent = "Copied";
  setTimeout(() => (element("copy").textContent = "Copy"), 1500);
}

/** Shows the description of a network, a list of names and values. */
function tellFacts(rows) {
  element("facts").replaceChildren();
  for (const [name, value] of Object.entries(rows)) {
    const [term, definition] = [document.createElement("dt"), document.createElement("dd")];
    [term.textContent, definition.textContent] = [name, value];
    element("facts").append(term, definition);
  }
}

function showTemperature() {
  element("shown").textContent = Number(element("temperature").value).toFixed(2);
}

/** Connects the controls to `write`, which starts a text, and `pause`. A text below the fold is scrolled into view. */
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
  listenToCharacters(writeInView);
  element("shade").addEventListener("change", ({ target }) => {
    element("text").parentElement.classList.toggle("shaded", target.checked);
  });
  element("temperature").addEventListener("input", showTemperature);
  showTemperature();
}
