// The picture of a large graph: from afar ribbons between bands of levels, then the strongest edges, then names.
const FAR = 7; // pixels a neuron, below which edges are drawn as ribbons
let strongest = new Uint32Array(0), tones = new Uint8Array(4 * V), stale = true;
function rank() { // edges by |weight|, the strongest first
  strongest = Uint32Array.from({ length: E }, (_, e) => e);
  const size = weight.map(Math.abs);
  strongest.sort((p, q) => size[q] - size[p]);
}
function survey(pen, width, height) {
  const seen = new Uint8Array(V);
  let count = 0;
  for (let v = 0; v < V; v++) if (shown(v) && inView(v, 10)) { seen[v] = 1; count++; }
  const far = S.k < FAR, curves = allCurves(seen, far), wide = dotSize(far);
  if (gl) {
    clearGl();
    drawCurves(curves);
    if (stale) toneDots();
    drawDots(stale ? tones : null, wide);
    stale = false;
  } else flat(pen, curves, seen, wide);
  blocks.forEach((b) => frame(pen, b));
  if (folded) counts(pen);
  if (far) headers(pen);
  near(pen, seen, count, wide);
}
function allCurves(seen, far) {
  const distant = far && S.chosen < 0 ? ribbonCurves(bands().strands(), true) : [];
  return [...distant, ...(folded ? ribbonCurves(folded.strands(), false) : []), ...edgeCurves(seen, far)];
}
// A mosaic without gaps from afar, then squares, then discs.
const dotSize = (far) => (!far ? Math.min(60, 0.6 * S.k) : S.k < 4.5 ? Math.ceil(S.k) : 0.86 * S.k);
function ribbonCurves(strands, far) {
  const plain = hex(tint.edge), accent = hex(tint.accent), mode = modeNow();
  return (S.moving ? strands.slice(-500) : strands).map((one) => {
    const c = one.active ? accent : byEdge(mode) ? rgb(one.mean * 2) : plain;
    const alpha = one.active ? 0.06 + 0.3 * one.share ** 1.5 : now() ? 0.04 : far ? 0.03 + 0.42 * one.share ** 1.5 : 0.35;
    return [one.x0, one.y0, one.x1, one.y1, ribbonWidth(one), c, alpha];
  });
}
function edgeCurves(seen, far) { // the strongest edges that may be seen; of a chosen neuron those of its cones
  const most = far && S.chosen < 0 ? 350 : S.moving ? 500 : S.chosen >= 0 ? 4000 : S.k < 16 ? 1200 : 2500;
  const mode = modeNow(), coloured = byEdge(mode);
  const given = coloured ? values(mode) : weight, top = extent(coloured ? mode : "weight");
  const plain = hex(tint.edge), accent = hex(tint.accent), up = hex(tint.up), down = hex(tint.down), found = [];
  for (let k = 0; k < E && found.length < most; k++) {
    const e = strongest[k], u = source[e], v = target[e];
    if (!(seen[u] || seen[v]) || isFolded(u) || isFolded(v) || !isLitEdge(e) || !kept(e)) continue;
    found.push(e);
  }
  const thin = Math.max(0.28, Math.min(1, Math.sqrt(600 / found.length)));
  return found.reverse().flatMap((e) => {
    const u = source[e], v = target[e], t = Math.min(1, Math.abs(given[e]) / top);
    const own = u === S.chosen || v === S.chosen, on = isActive(e);
    const c = on ? accent : coloured ? rgb(given[e] / top) : S.up && !now() ? (S.up[v] ? up : down) : plain;
    const alpha = own || on ? 0.9 : now() ? 0.1 : thin * (0.25 + 0.6 * t);
    const wide = own ? 2 : far ? 0.9 : S.k < 16 ? 0.6 + 0.6 * t : 0.7 + 1.3 * t, way = [X[u], Y[u], ...(D.bends[e] || []), X[v], Y[v]];
    return Array.from({ length: way.length / 2 - 1 }, (_, k) => [...way.slice(2 * k, 2 * k + 4), wide, c, alpha]);
  });
}
function toneDots() {
  const mode = modeNow(), given = byEdge(mode) ? null : values(mode), top = given ? extent(mode) : 1;
  const grey = S.dark ? [72, 79, 92] : [206, 203, 196], blank = hex(tint.blank);
  for (let v = 0; v < V; v++) {
    const has = known(v), shows = has === "all" || (mode === "dz" ? has === "dz" : has);
    const c = !shows ? blank : given ? rgb(given[v] / top) : grey;
    tones.set([c[0], c[1], c[2], !shown(v) ? 0 : isLit(v) ? 255 : 40], 4 * v);
  }
}
function flat(pen, curves, seen, wide) { // without WebGL2, and for SVG
  for (const [x0, y0, x1, y1, w, c, a] of curves) {
    const [xa, ya, xb, yb, m] = [px(x0), py(y0), px(x1), py(y1), px((x0 + x1) / 2)].map((x) => x.toFixed(1));
    pen.curve(`M${xa} ${ya}C${m} ${ya} ${m} ${yb} ${xb} ${yb}`, `rgb(${c.join(",")})`, w, Number(a.toFixed(2)));
  }
  toneDots();
  for (let v = 0; v < V; v++) {
    if (!seen[v]) continue;
    const [r, g, b, a] = tones.subarray(4 * v, 4 * v + 4), half = wide / 2, c = `rgb(${r},${g},${b})`;
    if (wide > 7) pen.circle(px(X[v]), py(Y[v]), half, c, null, 0, a / 255);
    else pen.box(px(X[v]) - half, py(Y[v]) - half, wide, wide, 0, c, null, 0, a / 255);
  }
}
function frame(pen, b) {
  if (!b.collapsed) return;
  const x0 = px(b.x0), y0 = py(b.y0), w = px(b.x1) - x0, h = py(b.y1) - y0, chosen = S.group >= 0 && blocks[S.group] === b;
  pen.box(x0 - 3, y0 - 3, w + 6, h + 6, 6, null, chosen ? tint.accent : tint.soft, chosen ? 3 : 1, 1);
  if (h > 60 || S.k > 24) pen.text(x0 + w / 2, y0 - 14, `${whole(b.size)} × ${sigma(b.first)}`, { size: 12, bold: true, halo: tint.bg });
}
function counts(pen) { // on the widest ribbons of blocks, how many edges they are
  for (const one of folded.strands().slice(-12)) {
    const x = (px(one.x0) + px(one.x1)) / 2, y = (py(one.y0) + py(one.y1)) / 2;
    if (ribbonWidth(one) > 9 && px(one.x1) - px(one.x0) > 90) pen.text(x, y, plural(one.n, "edge"), { size: 11, halo: tint.bg });
  }
}
function headers(pen) { // over each level what it is; beside the step's level the way it goes
  let last = -Infinity;
  levels.forEach((l, k) => {
    const x = (px(l.x0) + px(l.x1)) / 2, y = Math.max(14, py(l.y0) - 26);
    if (x - last < 46) return;
    last = x;
    const on = now() && now().nodes.length && level[now().nodes[0]] === k, fill = on ? tint.accent : tint.soft;
    pen.text(x, y, on ? (backward() ? `◀ ${k}` : `${k} ▶`) : `level ${k}`, { size: 11, bold: on, fill, halo: tint.bg });
    pen.text(x, y + 13, whole(l.n), { size: 11, fill, halo: tint.bg });
    if (on) pen.box(px(l.x0 - 1), py(l.y0 - 1), px(l.x1 + 1) - px(l.x0 - 1), py(l.y1 + 1) - py(l.y0 - 1), 6, null, tint.accent, 2, 1);
  });
}
function near(pen, seen, count, wide) { // names and numbers where there is room; rings round what was picked
  const r = wide / 2, mode = modeNow(), said = byEdge(mode) ? "a" : mode, s = values(said);
  const ring = (v, width) => pen.circle(px(X[v]), py(Y[v]), Math.max(4, r + 2), null, tint.accent, width, 1);
  if (S.hover >= 0) ring(S.hover, 1.5);
  if (S.chosen >= 0) ring(S.chosen, 3);
  const room = new Room(), free = (box) => box[0] >= 0 && box[2] <= stage.clientWidth && room.free(box);
  const label = (v, forced) => {
    const roomy = r > 24, fill = onColour(tones.subarray(4 * v, 4 * v + 3));
    if (r > 13 && known(v)) pen.text(px(X[v]), py(Y[v]), fmt(s[v], roomy ? 3 : 2), { size: roomy ? 12 : 10, bold: true, fill });
    if (r < 5 && v !== S.chosen) pen.circle(px(X[v]), py(Y[v]), Math.max(3, r + 1.5), null, tint.ink, 1.2, 1);
    const style = { size: 11, halo: tint.bg, bold: v === S.chosen }, wide = pen.width(named(v), style);
    const x = px(X[v]), y = py(Y[v]), away = Math.max(4, r) + 4, beside = [[x + away, y, "left"], [x - away, y, "right"]];
    const spots = S.k > 34 ? [[x, y - r - 8, "center"]] : level[v] === 0 ? beside.reverse() : beside;
    const spot = spots.find((one) => free(textBox(one[0], one[1], wide, 11, one[2], v))) || (forced && spots[0]);
    if (!spot) return;
    room.take(textBox(spot[0], spot[1], wide, 11, spot[2], v));
    pen.text(spot[0], spot[1], named(v), { ...style, align: spot[2] });
  };
  const some = [];
  if (S.k > 34 && count < 900) { for (let v = 0; v < V; v++) if (seen[v] && isLit(v) && !isFolded(v)) some.push(v); }
  else if (count) some.push(...important(seen));
  const picked = [...new Set([S.chosen, S.hover])].filter((v) => v >= 0);
  some.sort((p, q) => importance[q] - importance[p]);
  picked.forEach((v) => label(v, true));
  some.filter((v) => !picked.includes(v)).forEach((v) => label(v, false));
}
let byImportance = null;
function important(seen) { // the most important neurons in view, few enough and far enough apart for their names
  byImportance ||= Uint32Array.from({ length: V }, (_, v) => v).sort((p, q) => importance[q] - importance[p]);
  const found = [];
  for (let k = 0; k < Math.min(V, 4000) && found.length < 24; k++) {
    const v = byImportance[k];
    if (!seen[v] || !isLit(v) || isFolded(v) || importance[v] === 0) continue;
    if (found.every((u) => Math.abs(py(Y[u]) - py(Y[v])) > 16 || Math.abs(px(X[u]) - px(X[v])) > 90)) found.push(v);
  }
  return found;
}
