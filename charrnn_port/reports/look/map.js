// The map: the whole text in one strip, each bar the mean of a few characters; a click goes there

function drawMap() {
  const canvas = $("map"), scale = devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width || !view) return;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d"), style = getComputedStyle(canvas);
  pen.scale(scale, scale);
  const color = (name) => `rgb(${style.getPropertyValue(name)})`;
  const zero = view.signed ? height / 2 : height - 3, tall = view.signed ? height / 2 - 3 : height - 6;
  const bars = Math.min(data.count, Math.floor(width / 2)), wide = width / bars;
  const means = Array.from({ length: bars }, (_, bar) => {
    const begin = Math.floor((bar * data.count) / bars), end = Math.max(begin + 1, Math.floor(((bar + 1) * data.count) / bars));
    let sum = 0;
    for (let place = begin; place < end; place++) sum += view.values(place);
    return sum / (end - begin);
  });
  const sizes = means.map(Math.abs).sort((a, b) => a - b), full = sizes[Math.floor(0.98 * (bars - 1))] || 1;
  means.forEach((mean, bar) => {
    const share = Math.max(-1, Math.min(1, mean / full));
    pen.fillStyle = color(share < 0 ? "--low" : "--high");
    pen.fillRect(bar * wide, share < 0 ? zero : zero - share * tall, Math.max(1, wide - 0.5), Math.max(0.5, Math.abs(share) * tall));
  });
  const x = (place) => (place / data.count) * width;
  pen.fillStyle = style.color;
  for (const place of hits) pen.fillRect(x(place), 0, 1.5, 3);
  if (selected[1]) pen.fillRect(x(selected[0]), height - 3, Math.max(3, x(selected[1] - selected[0])), 3);
  frame();
}

// The part of the text that is in view
function frame() {
  const box = $("text").getBoundingClientRect();
  let low = 0, high = chunks.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (chunks[middle].node.getBoundingClientRect().bottom > box.top) high = middle;
    else low = middle + 1;
  }
  let last = low;
  while (last + 1 < chunks.length && chunks[last + 1].node.getBoundingClientRect().top < box.bottom) last++;
  $("frame").style.left = `${(100 * chunks[low].begin) / data.count}%`;
  $("frame").style.width = `${(100 * (chunks[last].end - chunks[low].begin)) / data.count}%`;
}

function listenToMap() {
  let waits = false;
  const once = (work) => () => {
    if (waits) return;
    waits = true;
    requestAnimationFrame(() => { waits = false; work(); });
  };
  $("text").addEventListener("scroll", once(frame), { passive: true });
  new ResizeObserver(once(drawMap)).observe($("map"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawMap);
  const there = (event) => {
    if (event.type === "pointermove" && !event.buttons) return;
    const box = $("map").getBoundingClientRect();
    const place = Math.floor(((event.clientX - box.left) / box.width) * data.count);
    bringIntoView(Math.max(0, Math.min(data.count - 1, place)), "center");
  };
  for (const kind of ["pointerdown", "pointermove"]) $("map").addEventListener(kind, there);
}
