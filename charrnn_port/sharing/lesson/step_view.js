// The arithmetic of one step: one character in, one unit's gates, the next character's probabilities, the loss.

const GATES = {
  lstm: [["in", "σ"], ["forget", "σ"], ["out", "σ"], ["transform", "tanh"]],
  gru: [["update", "σ"], ["reset", "σ"], ["candidate", "tanh"]],
  rnn: [["h", "tanh"]],
};
const digits = (value) => value.toFixed(3).replace("-", "−");
const factor = (value) => (value < 0 ? `(${digits(value)})` : digits(value));

function tag(name, content, attributes = {}) {
  const made = document.createElement(name);
  made.append(...[content].flat());
  Object.assign(made, attributes);
  return made;
}

function table(head, rows) {
  const row = (cells, kind) => tag("tr", cells.map((cell, i) => tag(i ? kind : "th", cell, i ? {} : { scope: "row" })));
  const heads = tag("tr", head.map((cell) => tag("th", cell, { scope: "col" })));
  const made = tag("table", [tag("thead", heads), tag("tbody", rows.map((cells) => row(cells, "td")))]);
  return tag("div", made, { className: "scrolls", tabIndex: 0, role: "group", ariaLabel: head[0] });
}

/** Returns the name of a symbol, a byte. */
function nameOf(symbol) {
  if (symbol === 10) return "↵";
  if (symbol === 32) return "␣";
  return symbol > 32 && symbol < 127 ? String.fromCharCode(symbol) : `byte ${symbol}`;
}

/** Shows the step that reads a character of a text. */
function showStep(place, model, symbols, text, position, unit) {
  const V = symbols.length, count = text.ids.length;
  const H = text.h.length / count, n = text.gates.length / count;
  const id = text.ids[position];
  const at = (array, j, width = n) => array[position * width + j];
  const before = (array) => (position ? array[(position - 1) * H + unit] : 0);
  const gates = GATES[model].map(([name, f], gate) => {
    const j = gate * H + unit;
    const [input, state] = [at(text.fromInput, j), at(text.fromState, j)];
    return { name, f, input, state, value: at(text.gates, j) };
  });
  const name = nameOf(symbols[id]);
  const parts = [
    tag("h3", "The character"),
    tag("p", `${name} is number ${id + 1} of ${V} characters. The network sees ${V} numbers: a 1 at place ` +
      `${id + 1}, and 0 elsewhere (one-hot). So each gate takes its weight for this character.`),
    tag("h3", `Unit ${unit + 1}`),
    table([model === "rnn" ? "unit" : "gate", `from ${name}`, "from state", "sum", "value"],
      gates.map(({ name, f, input, state, value }) =>
        [`${name}, ${f}`, digits(input), digits(state), digits(input + state), digits(value)])),
    ...stateOf(model, gates.map(({ value }) => value), before, text, at(text.c, unit, H),
      at(text.h, unit, H)),
    tag("h3", "The next character"),
    ...prediction(symbols, text.probs.subarray(position * V, (position + 1) * V), text.ids[position + 1]),
  ];
  place.replaceChildren(...parts);
}

/** Returns the lines that compute the unit's state. `before` returns a state's value before this character. */
function stateOf(model, values, before, text, c, h) {
  const line = (content) => tag("p", content, { className: "sum" });
  const [first, second, third, fourth] = values.map(factor);
  if (model === "lstm") {
    const old = factor(before(text.c));
    return [
      line(`c = forget × c before + in × transform = ${second} × ${old} + ${first} × ${fourth} = ${digits(c)}`),
      line(`h = out × tanh(c) = ${third} × ${factor(Math.tanh(c))} = ${digits(h)}`),
    ];
  }
  if (model === "gru") {
    const old = factor(before(text.h));
    const sum = `${first} × ${third} + ${digits(1 - values[0])} × ${old}`;
    return [line(`h = update × candidate + (1 − update) × h before = ${sum} = ${digits(h)}`)];
  }
  return [line(`h = tanh(sum) = ${digits(h)}`)];
}

/** Returns the most likely characters with their probabilities, and the loss of the one that came, `target`. */
function prediction(symbols, probs, target) {
  const likely = [...probs.keys()].sort((a, b) => probs[b] - probs[a]).slice(0, 6);
  if (target !== undefined && !likely.includes(target)) likely.push(target);
  const bars = tag("ul", likely.map((id) => {
    const bar = tag("i", "");
    bar.style.width = `${100 * probs[id]}%`;
    return tag("li", [tag("b", nameOf(symbols[id])), tag("span", bar), digits(probs[id])],
      id === target ? { className: "target" } : {});
  }), { className: "bars" });
  if (target === undefined) return [bars];
  const [name, p] = [nameOf(symbols[target]), probs[target]];
  return [bars, tag("p", `Next comes ${name}. Its loss is −ln ${digits(p)} = ${digits(-Math.log(p))}. To lower it, ` +
    `training raises the score of ${name} (gradient ${digits(p)} − 1 = ${digits(p - 1)}) and lowers all others ` +
    "(gradient: their probability).")];
}

/** Shows how an iteration changed the weight from a unit to the score of a character. */
function showChange(place, symbols, { id, unit, before, after, gradient, meanSquare, rate }) {
  const small = (value) => value.toPrecision(3).replaceAll("-", "−");
  const weight = (value) => value.toFixed(5).replace("-", "−");
  const root = small(Math.sqrt(meanSquare));
  place.replaceChildren(
    tag("p", `The weight from unit ${unit + 1} to the score of ${nameOf(symbols[id])}:`),
    table(["weight before", "gradient", "change", "weight after"],
      [[weight(before), small(gradient), small(after - before), weight(after)]]),
    tag("p", `RMSprop: change = −${rate} × gradient / √(mean square of gradients) = −${rate} × ${small(gradient)} / ` +
      `${root}. The division makes steps about equally long for weights with small and large gradients.`),
  );
}
