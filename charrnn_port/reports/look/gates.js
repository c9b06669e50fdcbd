// The saturation of gates: a plot for each gate, with a point for each unit

function gatePlot({ layer, gate, open, shut }) {
  const svg = drawn("svg", { viewBox: "0 0 215 215", role: "img", "aria-label": `${gate} gates of layer ${layer}` });
  const text = (x, y, words, more = {}) => {
    const made = drawn("text", { x, y, ...more });
    made.textContent = words;
    return made;
  };
  svg.append(drawn("line", { x1: 30, y1: 10, x2: 205, y2: 185 }), drawn("line", { x1: 30, y1: 185, x2: 205, y2: 185 }), drawn("line", { x1: 30, y1: 10, x2: 30, y2: 185 }));
  svg.append(text(117, 207, "open, share of the time", { "text-anchor": "middle" }), text(14, 97, "shut", { "text-anchor": "middle", transform: "rotate(-90 14 97)" }));
  svg.append(text(30, 197, "0"), text(205, 197, "1", { "text-anchor": "end" }), text(22, 16, "1"));
  open.forEach((share, unit) => {
    const point = drawn("circle", { cx: 30 + 175 * share, cy: 185 - 175 * shut[unit], r: 2.8 });
    const title = drawn("title", {});
    title.textContent = `unit ${layer}:${unit}, ${gate} gate: open ${percent(share)}, shut ${percent(shut[unit])} of the time`;
    point.append(title);
    const href = unitLink(`${layer}:${unit}`, gate).href;
    if (!href) return svg.append(point);
    const link = drawn("a", { href: href.slice(href.indexOf("#")), tabindex: -1 });
    link.append(point);
    svg.append(link);
  });
  return svg;
}

async function gatePanels() {
  if (!data.gates.length) {
    $("gates-about").textContent = "This cell has no gates.";
    return;
  }
  $("gates-about").textContent = "Saturation of gates. Each point is a unit, and a link to it. Horizontal: share of the time that its gate is open (above 0.9). Vertical: share of the time that it is shut (below 0.1). Lower right: the gate is nearly always open. Upper left: nearly always shut. Near the line: the gate works as a switch.";
  for (const each of data.gates) {
    const caption = element("figcaption", element("b", `layer ${each.layer}, ${each.gate} gates`));
    const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
    const always = each.open.filter((share) => share > 0.9).length, never = each.shut.filter((share) => share > 0.9).length;
    caption.append(`: open ${percent(mean(each.open))}, shut ${percent(mean(each.shut))} of the time; ${always} units nearly always open, ${never} nearly always shut`);
    const figure = element("figure", gatePlot(each));
    figure.append(caption);
    if (!$("panels").children[each.layer - 1]) $("panels").append(element("div"));
    $("panels").children[each.layer - 1].append(figure);
    await breathe();
  }
}
