// Many edges as one ribbon: between dense blocks that are shown as a box, and between bands of levels from afar.
class Bundles {
  // unitOf(v): the unit that neuron v belongs to; place(unit): { x0, x1, y, high } in the picture's units;
  // takes(e): whether the edge belongs to a ribbon at all.
  constructor(unitOf, place, takes) {
    const found = new Map();
    this.of = new Int32Array(E).fill(-1); // edge → ribbon
    this.ends = [];
    for (let e = 0; e < E; e++) {
      if (!takes(e)) continue;
      const a = unitOf(source[e]), b = unitOf(target[e]), key = a * 4194304 + b;
      let k = found.get(key);
      if (k === undefined) { k = this.ends.length; found.set(key, k); this.ends.push([a, b]); }
      this.of[e] = k;
    }
    this.place = place;
    this.key = null;
    this.found = [];
  }
  strands() { // the ribbons as they are now, the strongest last: n edges, Σ|w|, the mean of the edges' value in −1 … 1
    const mode = modeNow(), key = [mode, S.sample, S.wmin, S.imin, S.lmin, S.lmax, S.step, versionOf.values].join();
    if (key === this.key) return this.found;
    const most = byEdge(mode) ? extent(mode) : 1, given = byEdge(mode) ? values(mode) : null;
    const all = this.ends.map(([a, b]) => ({ a, b, n: 0, sum: 0, mean: 0, active: 0 }));
    for (let e = 0; e < E; e++) {
      const k = this.of[e];
      if (k < 0 || !kept(e)) continue;
      all[k].n++;
      all[k].sum += Math.abs(weight[e]);
      if (given) all[k].mean += given[e] / most;
      if (isActive(e)) all[k].active++;
    }
    const some = all.filter((one) => one.n);
    some.forEach((one) => {
      const from = this.place(one.a), to = this.place(one.b);
      one.mean /= one.n;
      Object.assign(one, { x0: from.x1, y0: from.y, x1: to.x0, y1: to.y, high: Math.min(from.high, to.high) });
    });
    some.sort((p, q) => p.sum - q.sum);
    some.forEach((one, k) => { one.rank = (k + 1) / some.length; });
    const top = some.length ? some[some.length - 1].sum : 1;
    some.forEach((one) => { one.share = one.sum / top; });
    this.key = key;
    this.found = some.slice(-1200);
    return this.found;
  }
}
const versionOf = { values: 0 }; // counts what `takeValues` has replaced

// Dense blocks: consecutive neurons with the same sources, and inputs with the same successors.
const column = Array.from({ length: deepest + 1 }, () => []); // the neurons of each level
for (let v = 0; v < V; v++) column[level[v]].push(v);
const blocks = D.groups.map(([first, end]) => {
  const box = { first, end, size: end - first, collapsed: false, x0: Infinity, x1: -Infinity, y0: Infinity, y1: -Infinity };
  for (let v = first; v < end; v++) {
    box.x0 = Math.min(box.x0, X[v] - 0.5); box.x1 = Math.max(box.x1, X[v] + 0.5);
    box.y0 = Math.min(box.y0, Y[v] - 0.5); box.y1 = Math.max(box.y1, Y[v] + 0.5);
  }
  box.y = (box.y0 + box.y1) / 2;
  box.high = box.y1 - box.y0;
  return box;
}).filter((b) => { // a box that others stand in cannot be closed
  const inside = (v) => X[v] > b.x0 && X[v] < b.x1 && Y[v] > b.y0 && Y[v] < b.y1;
  return !column[level[b.first]].some((v) => (v < b.first || v >= b.end) && inside(v));
});
const blockOf = new Int32Array(V).fill(-1);
blocks.forEach((b, k) => { for (let v = b.first; v < b.end; v++) blockOf[v] = k; });
const isFolded = (v) => blockOf[v] >= 0 && blocks[blockOf[v]].collapsed;
let folded = null; // the ribbons of collapsed blocks
function fold(k, collapsed) {
  (k < 0 ? blocks : [blocks[k]]).forEach((b) => { b.collapsed = collapsed; });
  gather();
}
function gather() {
  const any = blocks.some((b) => b.collapsed);
  const unitOf = (v) => (isFolded(v) ? V + blockOf[v] : v);
  const place = (unit) => (unit >= V ? blocks[unit - V] : { x0: X[unit] - 0.3, x1: X[unit] + 0.3, y: Y[unit], high: 0.6 });
  folded = any ? new Bundles(unitOf, place, (e) => isFolded(source[e]) || isFolded(target[e])) : null;
}

// From afar: every level is cut into bands of equal height, and all edges between two bands are one ribbon.
const levels = Array.from({ length: deepest + 1 }, () => ({ x0: Infinity, x1: -Infinity, y0: Infinity, y1: -Infinity, n: 0 }));
for (let v = 0; v < V; v++) {
  const l = levels[level[v]];
  l.x0 = Math.min(l.x0, X[v]); l.x1 = Math.max(l.x1, X[v]);
  l.y0 = Math.min(l.y0, Y[v]); l.y1 = Math.max(l.y1, Y[v]);
  l.n++;
}
const BANDS = 12;
const bandsOf = (l) => Math.max(1, Math.min(BANDS, Math.round((l.y1 - l.y0 + 1) / 3)));
let afar = null;
function bands() {
  if (afar) return afar;
  const bandOf = (v) => {
    const l = levels[level[v]], n = bandsOf(l);
    return level[v] * BANDS + Math.min(n - 1, Math.floor(((Y[v] - l.y0 + 0.5) / (l.y1 - l.y0 + 1)) * n));
  };
  const place = (unit) => {
    const l = levels[Math.floor(unit / BANDS)], high = (l.y1 - l.y0 + 1) / bandsOf(l);
    return { x0: l.x0 - 0.5, x1: l.x1 + 0.5, y: l.y0 - 0.5 + high * ((unit % BANDS) + 0.5), high };
  };
  afar = new Bundles(bandOf, place, (e) => !isFolded(source[e]) && !isFolded(target[e]));
  return afar;
}
