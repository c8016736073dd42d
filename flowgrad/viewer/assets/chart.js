// The training history: losses as curves, the epoch under the pointer, and the numbers of the last and best epoch.
const epochOf = (k) => D.history.epoch[k]; // of a long history not every epoch is here
function showChart() {
  const h = D.history, box = $("history");
  box.hidden = !h || !h.loss || !h.loss.length;
  if (box.hidden) return;
  $("chart").dataset.last = h.loss[h.loss.length - 1];
  $("chart").dataset.epochs = epochOf(h.loss.length - 1);
  drawChart(-1);
  historyTable(h);
}
function chartScale(h, lines, width, height) {
  const all = lines.flatMap((n) => h[n]).filter((y) => y !== null), lo = Math.min(...all), hi = Math.max(...all);
  const log = lo > 0 && hi > 20 * lo, f = log ? Math.log : (y) => y, span = f(hi) - f(lo) || 1, n = h.loss.length;
  return {
    lo, hi, log,
    x: (k) => 44 + (k / Math.max(1, n - 1)) * (width - 52),
    y: (value) => 10 + (1 - (f(value) - f(lo)) / span) * (height - 34),
  };
}
function drawChart(under) { // `under`: the epoch's index under the pointer, or −1
  const c = $("chart"), p = c.getContext("2d"), r = devicePixelRatio, width = c.clientWidth, height = c.clientHeight, h = D.history;
  c.width = width * r; c.height = height * r;
  p.scale(r, r);
  const lines = ["loss", "val_loss"].filter((name) => h[name]), at = chartScale(h, lines, width, height), n = h.loss.length;
  p.font = font({ size: 11 });
  p.textBaseline = "middle";
  p.strokeStyle = tint.line; p.fillStyle = tint.soft;
  p.textAlign = "right";
  for (const value of [at.lo, at.log ? Math.sqrt(at.lo * at.hi) : (at.lo + at.hi) / 2, at.hi]) {
    p.beginPath(); p.moveTo(44, at.y(value)); p.lineTo(width - 6, at.y(value)); p.stroke();
    p.fillText(fmt(value, 2), 40, at.y(value));
  }
  p.textAlign = "left"; p.fillText(`epoch ${epochOf(0)}`, 44, height - 8);
  p.textAlign = "right"; p.fillText(String(epochOf(n - 1)), width - 6, height - 8);
  const shades = [tint.up, tint.down];
  lines.forEach((name, j) => {
    p.beginPath();
    h[name].forEach((y, k) => { if (y !== null) p.lineTo(at.x(k), at.y(y)); });
    p.strokeStyle = p.fillStyle = shades[j]; p.lineWidth = 1.8; p.stroke();
    const k = under >= 0 ? under : n - 1;
    if (h[name][k] !== null) { p.beginPath(); p.arc(at.x(k), at.y(h[name][k]), 3, 0, 7); p.fill(); }
  });
  p.lineWidth = 1;
  $("point").replaceChildren();
  const k = under >= 0 ? under : n - 1;
  put($("point"), "span", `epoch ${epochOf(k)}`);
  const said = (name) => `${name.replace("_", " ")} ${h[name][k] === null ? "–" : fmt(h[name][k])}`;
  lines.forEach((name, j) => { put($("point"), "span", said(name), ["up", "down"][j]); });
}
function historyTable(h) {
  const table = $("figures"), key = h.val_loss ? "val_loss" : "loss";
  const least = (b, y, k) => (y !== null && (h[key][b] === null || y < h[key][b]) ? k : b);
  const best = h[key].reduce(least, 0), last = h.loss.length - 1;
  table.replaceChildren();
  const cells = (row, tag) => { const tr = put(table, "tr"); row.forEach((text) => put(tr, tag, text)); };
  const said = (name, k) => (h[name][k] === null ? "–" : fmt(h[name][k]));
  cells(["", `first`, `best: ${epochOf(best)}`, `last: ${epochOf(last)}`], "th");
  for (const name of Object.keys(h)) {
    if (name !== "epoch") cells([name.replaceAll("_", " "), said(name, 0), said(name, best), said(name, last)], "td");
  }
}
function startChart() {
  $("chart").addEventListener("pointermove", (e) => {
    const n = D.history.loss.length, width = $("chart").clientWidth;
    drawChart(Math.max(0, Math.min(n - 1, Math.round(((e.offsetX - 44) / (width - 52)) * (n - 1)))));
  });
  $("chart").addEventListener("pointerleave", () => drawChart(-1));
}
