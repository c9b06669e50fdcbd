// The loss curve, as SVG.

const HEIGHT = 220, LEFT = 32, BOTTOM = 24, TOP = 12;

function svg(name, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

/** Draws training losses, one per iteration, validation losses [{i, loss}], and the loss of equal probabilities. */
function drawChart(chart, losses, evaluations, start) {
  const width = Math.max(chart.clientWidth, 200), right = width - 10;
  chart.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  chart.style.height = `${HEIGHT}px`;
  const top = Math.ceil(Math.max(start, ...losses.slice(0, 100)) + 0.2);
  const last = Math.max(losses.length, 10);
  const x = (i) => LEFT + ((right - LEFT) * i) / last;
  const y = (loss) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - Math.min(loss, top) / top);
  const parts = [];
  for (let loss = 0; loss <= top; loss++) {
    parts.push(svg("line", { class: "grid", x1: LEFT, x2: right, y1: y(loss), y2: y(loss) }));
    parts.push(svg("text", { x: LEFT - 8, y: y(loss) + 4, "text-anchor": "end" }, loss));
  }
  for (const i of [0, Math.round(last / 2), last]) {
    const anchor = i === last ? "end" : i ? "middle" : "start";
    const label = i === last ? `iteration ${number(i)}` : number(i);
    parts.push(svg("text", { x: x(i), y: HEIGHT - 5, "text-anchor": anchor }, label));
  }
  parts.push(svg("line", { class: "start", x1: LEFT, x2: right, y1: y(start), y2: y(start) }));
  const curve = means(losses, (right - LEFT) / 2);
  const points = (pairs) => pairs.map(([i, loss]) => `${x(i).toFixed(1)},${y(loss).toFixed(1)}`).join(" ");
  parts.push(svg("polyline", { class: "train", points: points(curve) }));
  for (const [i, loss] of curve.slice(-1)) parts.push(svg("circle", { class: "train", cx: x(i), cy: y(loss), r: 3 }));
  parts.push(svg("polyline", { class: "val", points: points(evaluations.map(({ i, loss }) => [i, loss])) }));
  for (const { i, loss } of evaluations) parts.push(svg("circle", { class: "val", cx: x(i), cy: y(loss), r: 3 }));
  chart.replaceChildren(...parts);
  const now = losses.length ? `${recent(losses).toFixed(2)} at iteration ${losses.length}` : "no iterations yet";
  chart.setAttribute("aria-label", `Loss curve: starts near ${start.toFixed(2)}, now ${now}`);
}

/** Returns the means of at most `count` groups of consecutive losses, each with its middle. */
function means(losses, count) {
  const size = Math.ceil(losses.length / count) || 1;
  const result = [];
  for (let i = 0; i < losses.length; i += size) {
    const group = losses.slice(i, i + size);
    result.push([i + (group.length + 1) / 2, group.reduce((sum, loss) => sum + loss, 0) / group.length]);
  }
  return result;
}

/** Returns the mean of the last losses, at most 50. */
function recent(losses) {
  const last = losses.slice(-50);
  return last.reduce((sum, loss) => sum + loss, 0) / last.length;
}
