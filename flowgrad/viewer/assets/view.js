// What is shown, and where it stands on the screen.
const S = {
  mode: "a", palette: Object.keys(D.ramps)[0], dark: false, sample: 0, step: -1,
  chosen: -1, group: -1, hover: -1, up: null, down: null, // cones of the chosen neuron
  k: 40, sx: 1, dx: 0, dy: 0, moving: false, // pixels a unit, stretch of x, offset
  wmin: 0, imin: 0, lmin: 0, lmax: deepest,
};
const stage = $("stage");
const px = (x) => x * S.k * S.sx + S.dx, py = (y) => y * S.k + S.dy;
const radius = () => Math.max(1.2, Math.min(34, Math.max(0.3 * S.k, Math.min(7, 0.4 * S.k))));
const shown = (v) => !(importance[v] < S.imin) && level[v] >= S.lmin && level[v] <= S.lmax;
const kept = (e) => !(Math.abs(weight[e]) < S.wmin) && shown(source[e]) && shown(target[e]);
const isLit = (v) => now() !== null || !S.up || S.up[v] || S.down[v]; // a step shows its own
const isLitEdge = (e) => now() !== null || !S.up || (S.up[source[e]] && S.up[target[e]]) || (S.down[source[e]] && S.down[target[e]]);
const drawsLoss = teaching && D.outputs.length <= 6;
const bounds = { x0: Infinity, x1: -Infinity, y0: Infinity, y1: -Infinity };
for (let v = 0; v < V; v++) {
  bounds.x0 = Math.min(bounds.x0, X[v]); bounds.x1 = Math.max(bounds.x1, X[v]);
  bounds.y0 = Math.min(bounds.y0, Y[v]); bounds.y1 = Math.max(bounds.y1, Y[v]);
}
for (const points of Object.values(D.bends)) {
  for (let k = 1; k < points.length; k += 2) { bounds.y0 = Math.min(bounds.y0, points[k]); bounds.y1 = Math.max(bounds.y1, points[k]); }
}
const lossAt = { x: bounds.x1 + 1.8, y: D.outputs.reduce((sum, v) => sum + Y[v], 0) / Math.max(1, D.outputs.length) };

function fit() { // all of it; a small graph is stretched sideways to fill the stage
  const box = stage.getBoundingClientRect(), right = drawsLoss ? lossAt.x : bounds.x1;
  const wide = Math.max(1, right - bounds.x0), high = bounds.y1 - bounds.y0;
  const names = small && (box.height - 100) / (high + 1) < 45; // stand beside their neurons: the ends need room
  const room = (k) => (names ? roomFor(k) : small ? Math.max(0, 0.65 * roomFor(k) - 50) : 0);
  const left = room(0), sides = left + (names || !drawsLoss ? room(deepest) : 0);
  const width = box.width - (small ? 110 : blocks.length ? 140 : 60) - sides, height = box.height - (small ? 150 : 120);
  S.k = Math.min(150, height / Math.max(1, high), small ? Infinity : width / wide);
  S.sx = small ? Math.max(0.45, Math.min(2.2, width / wide / S.k)) : 1;
  S.k = Math.min(S.k, width / wide / S.sx);
  S.dx = left + (box.width - sides) / 2 - (S.k * S.sx * (bounds.x0 + right)) / 2;
  S.dy = (box.height - 26) / 2 - (S.k * (bounds.y0 + bounds.y1)) / 2 + 10;
  redraw();
}
function roomFor(k) { // pixels for the names beside a column
  let most = 0;
  for (let v = 0; v < V; v++) if (level[v] === k) most = Math.max(most, 6.2 * Math.min(26, names[v].length));
  return most;
}
function goTo(v) { // bring a neuron of a large graph to the middle, near enough to read its name
  const box = stage.getBoundingClientRect();
  S.k = Math.max(S.k, 42);
  S.dx = box.width / 2 - X[v] * S.k * S.sx;
  S.dy = box.height / 2 - Y[v] * S.k;
}
let rest = 0;
function moving() { // a rougher picture while the view moves
  S.moving = true;
  clearTimeout(rest);
  rest = setTimeout(() => { S.moving = false; redraw(); }, 160);
  redraw();
}
function zoom(factor, x, y) {
  const by = Math.max(0.2, Math.min(400, S.k * factor)) / S.k;
  S.k *= by;
  S.dx = x + (S.dx - x) * by;
  S.dy = y + (S.dy - y) * by;
  moving();
}
function inView(v, margin = 40) {
  const x = px(X[v]), y = py(Y[v]);
  return x > -margin && y > -margin && x < stage.clientWidth + margin && y < stage.clientHeight + margin;
}
function nearest(event) { // the neuron under the pointer, or −1
  const box = stage.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  let best = -1, least = Math.max(8, radius() + 3) ** 2;
  for (let v = 0; v < V; v++) {
    const d = (px(X[v]) - x) ** 2 + (py(Y[v]) - y) ** 2;
    if (d < least && shown(v)) { least = d; best = v; }
  }
  return best;
}
let asked = false;
function redraw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => { asked = false; paint(); });
}
