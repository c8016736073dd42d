// The picture: WebGL2 for the edges of large graphs, a 2D canvas for all else; SVG by the same pen.
const RAMPS = {
  "blue–orange": [[33, 102, 172], [146, 197, 222], null, [244, 165, 110], [179, 70, 6]],
  "purple–green": [[118, 42, 131], [194, 165, 207], null, [150, 210, 145], [27, 120, 55]],
};
const MODES = { a: "activation a", z: "z", dz: "∂L/∂z", weight: "weight", dw: "∂L/∂w", importance: "importance" };
const S = { mode: "a", palette: "blue–orange", sample: 0, step: -1, chosen: -1, hover: -1, k: 40, dx: 0, dy: 0, dark: false, lit: null, wmin: 0, imin: 0, lmax: 1e9, moving: false };
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
function rgb(t) {
  const ramp = RAMPS[S.palette].map((c) => c || (S.dark ? [70, 76, 86] : [240, 238, 234]));
  const p = (Math.max(-1, Math.min(1, Number.isNaN(t) ? 0 : t)) + 1) * 2, i = Math.min(3, Math.floor(p));
  return ramp[i].map((c, j) => Math.round(c + (ramp[i + 1][j] - c) * (p - i)));
}
const colour = (t) => `rgb(${rgb(t).join(",")})`;
function modeNow() { return S.step < 0 ? S.mode : groups[S.step].phase === "b" ? "dz" : "a"; }
function values(mode) { const s = sampleAt(S.sample); return { weight, importance, dw: s.dw, dz: s.dz, a: s.a, z: s.z }[mode]; }
const reaches = new WeakMap();
function reach(array) { // what counts as full colour: the largest, of large graphs the 99th percentile
  if (!reaches.has(array)) {
    const all = array.map(Math.abs).filter(Number.isFinite).sort();
    reaches.set(array, all.length ? all[V > 500 ? Math.floor(0.99 * (all.length - 1)) : all.length - 1] || 1 : 1);
  }
  return reaches.get(array);
}
const shown = (v) => importance[v] >= S.imin && level[v] <= S.lmax;
const kept = (e) => Math.abs(weight[e]) >= S.wmin && shown(source[e]) && shown(target[e]);
const known = (v) => S.step < 0 || (groups[S.step].phase === "b" ? at.b[v] <= S.step : at.f[v] <= S.step);
const px = (x) => x * S.k + S.dx, py = (y) => y * S.k + S.dy;
const radius = () => Math.max(1.2, Math.min(30, 0.3 * S.k));
const strongest = Array.from(source.keys()).sort((p, q) => Math.abs(weight[q]) - Math.abs(weight[p]));

const ink = $("ink"), pen2d = ink.getContext("2d"), gl = small ? null : $("gl").getContext("webgl2", { antialias: false });
let program, count = 0, stale = true;
if (gl) {
  program = gl.createProgram();
  const add = (kind, text) => { const s = gl.createShader(kind); gl.shaderSource(s, text); gl.compileShader(s); gl.attachShader(program, s); };
  add(gl.VERTEX_SHADER, "#version 300 es\nin vec2 p; in vec4 c; uniform vec3 t; uniform vec2 size; out vec4 f; void main() { vec2 q = (p * t.x + t.yz) / size * 2.0 - 1.0; gl_Position = vec4(q.x, -q.y, 0, 1); f = c; }");
  add(gl.FRAGMENT_SHADER, "#version 300 es\nprecision mediump float; in vec4 f; out vec4 o; void main() { o = vec4(f.rgb * f.a, f.a); }");
  ["p", "c"].forEach((n, k) => gl.bindAttribLocation(program, k, n));
  gl.linkProgram(program);
  gl.useProgram(program);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
}
const places = gl && gl.createBuffer(), tints = gl && gl.createBuffer();
function upload() { // visible edges, strongest first, so that a prefix is a fair picture while the view moves
  const some = strongest.filter(kept), at2 = new Float32Array(some.length * 4), tint = new Uint8Array(some.length * 8);
  const mode = modeNow(), byEdge = mode === "weight" || mode === "dw", given = byEdge ? values(mode) : weight, most = reach(given);
  const plain = S.dark ? [150, 160, 175] : [90, 98, 110], thin = Math.min(1, Math.sqrt(2000 / some.length)); // many lines: each fainter
  some.forEach((e, k) => {
    const u = source[e], v = target[e], t = given[e] / most, dim = S.lit && !(S.lit[u] && S.lit[v]);
    at2[4 * k] = X[u]; at2[4 * k + 1] = Y[u]; at2[4 * k + 2] = X[v]; at2[4 * k + 3] = Y[v];
    const c = byEdge ? rgb(t) : plain;
    const a = dim ? 3 : Math.max(5, thin * (25 + 90 * Math.min(1, Math.abs(t))));
    for (let j = 0; j < 8; j++) tint[8 * k + j] = j % 4 === 3 ? a : c[j % 4];
  });
  [[places, at2, 2, gl.FLOAT, false], [tints, tint, 4, gl.UNSIGNED_BYTE, true]].forEach(([buffer, data, n, type, norm], k) => {
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(k);
    gl.vertexAttribPointer(k, n, type, norm, 0, 0);
  });
  count = some.length;
  stale = false;
}
function drawGl() {
  if (stale) upload();
  const c = gl.canvas;
  gl.viewport(0, 0, c.width, c.height);
  gl.clearColor(0, 0, 0, 0);
  gl.clear(gl.COLOR_BUFFER_BIT);
  const r = devicePixelRatio;
  gl.uniform3f(gl.getUniformLocation(program, "t"), S.k * r, S.dx * r, S.dy * r);
  gl.uniform2f(gl.getUniformLocation(program, "size"), c.width, c.height);
  gl.drawArrays(gl.LINES, 0, 2 * (S.moving ? Math.min(count, 12000) : count));
}
// A pen draws on the canvas or writes SVG: one picture, two ways out.
const escape = (t) => t.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`).replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "\ufffd");
const canvasPen = {
  curve(points, stroke, width, alpha) { pen2d.globalAlpha = alpha; pen2d.strokeStyle = stroke; pen2d.lineWidth = width; pen2d.stroke(new Path2D(points)); pen2d.globalAlpha = 1; },
  shape(path, fill, alpha) { pen2d.globalAlpha = alpha; pen2d.fillStyle = fill; pen2d.fill(new Path2D(path)); pen2d.globalAlpha = 1; },
  circle(x, y, r, fill, stroke, width, alpha) {
    pen2d.globalAlpha = alpha; pen2d.fillStyle = fill;
    if (r < 2.2) pen2d.fillRect(x - r, y - r, 2 * r, 2 * r);
    else { pen2d.beginPath(); pen2d.arc(x, y, r, 0, 7); pen2d.fill(); if (stroke) { pen2d.strokeStyle = stroke; pen2d.lineWidth = width; pen2d.stroke(); } }
    pen2d.globalAlpha = 1;
  },
  text(x, y, t, size, fill, alpha, halo, start) { pen2d.globalAlpha = alpha; pen2d.font = `${size}px system-ui, sans-serif`; pen2d.textAlign = start ? "left" : "center"; pen2d.textBaseline = "middle"; if (halo) { pen2d.strokeStyle = halo; pen2d.lineWidth = 4; pen2d.lineJoin = "round"; pen2d.strokeText(t, x, y); } pen2d.fillStyle = fill; pen2d.fillText(t, x, y); pen2d.globalAlpha = 1; },
};
function svgPen(out) {
  return {
    curve: (d, stroke, width, alpha) => out.push(`<path d="${d}" fill="none" stroke="${stroke}" stroke-width="${width.toFixed(2)}" opacity="${alpha}"/>`),
    shape: (d, fill, alpha) => out.push(`<path d="${d}" fill="${fill}" opacity="${alpha}"/>`),
    circle: (x, y, r, fill, stroke, width, alpha) => out.push(`<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="${r.toFixed(1)}" fill="${fill}" stroke="${stroke || "none"}" stroke-width="${width}" opacity="${alpha}"/>`),
    text: (x, y, t, size, fill, alpha, halo, start) => out.push(`<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" font-family="system-ui,sans-serif" font-size="${size}" text-anchor="${start ? "start" : "middle"}" dominant-baseline="central" fill="${fill}" opacity="${alpha}">${escape(t)}</text>`),
  };
}
function route(e, r) { // the edge's way in pixels, from rim to rim, through its bends
  const bend = D.bends[e] || [], xs = [px(X[source[e]]) + r], ys = [py(Y[source[e]])];
  for (let k = 0; k < bend.length; k += 2) { xs.push(px(bend[k])); ys.push(py(bend[k + 1])); }
  xs.push(px(X[target[e]]) - r); ys.push(py(Y[target[e]]));
  let d = `M${xs[0].toFixed(1)} ${ys[0].toFixed(1)}`;
  for (let k = 1; k < xs.length; k++) { const h = (xs[k] - xs[k - 1]) / 2; d += `C${(xs[k - 1] + h).toFixed(1)} ${ys[k - 1].toFixed(1)} ${(xs[k] - h).toFixed(1)} ${ys[k].toFixed(1)} ${xs[k].toFixed(1)} ${ys[k].toFixed(1)}`; }
  const t = 0.32 + 0.13 * (e % 3), dx = xs[1] - xs[0], dy = ys[1] - ys[0]; // the label lies on the curve, not all at one height
  const xm = xs[0] + dx * (1.5 * t * (1 - t) + t ** 3), ym = ys[0] + dy * t * t * (3 - 2 * t);
  return { d, x0: xs[0], y0: ys[0], x1: xs[xs.length - 1], y1: ys[ys.length - 1], xm, ym };
}
function drawEdges(pen, list) {
  if (!list.length) return;
  const mode = modeNow(), byEdge = mode === "weight" || mode === "dw", given = byEdge ? values(mode) : weight, most = reach(given), r = radius();
  const s = sampleAt(S.sample), g = S.step < 0 ? null : groups[S.step], back = g && g.phase !== "f", accent = css("--accent"), soft = css("--soft"), halo = css("--bg"), text = css("--ink");
  const active = g ? new Set(g.nodes) : new Set();
  for (const e of list) {
    const u = source[e], v = target[e], on = g && active.has(back ? u : v), chosen = S.chosen === u || S.chosen === v;
    const dim = (S.lit && !(S.lit[u] && S.lit[v])) || (g && !on), way = route(e, r), t = Math.abs(given[e]) / most;
    const stroke = on ? accent : byEdge ? colour(given[e] / most) : soft, alpha = on ? 1 : dim ? 0.18 : 0.75;
    pen.curve(way.d, stroke, small ? 1 + 3.5 * t : on || chosen ? 1.5 : 0.7, alpha);
    if (!small) continue;
    const [x, y, way1] = back ? [way.x0, way.y0, 1] : [way.x1, way.y1, -1];
    pen.shape(`M${x} ${y}l${9 * way1} -4.5v9z`, stroke, alpha);
    if (S.k < 45 || (dim && !on) || (E > 40 && !on && !chosen)) continue;
    const label = on ? (back ? `${fmt(s.through(e), 3)} · ${fmt(s.dz[v], 3)}` : `${fmt(weight[e], 3)} · ${fmt(s.a[u], 3)}`) : fmt(given[e], 3);
    pen.text(way.xm, way.ym, label, 11, on ? accent : text, 1, halo);
  }
}
function drawNodes(pen, width, height) {
  const mode = modeNow(), byNode = mode !== "weight" && mode !== "dw", given = byNode ? values(mode) : null, most = byNode ? reach(given) : 1, r = radius();
  const g = S.step < 0 ? null : groups[S.step], active = g ? new Set(g.nodes) : new Set(), accent = css("--accent"), text = css("--ink"), bg = css("--panel"), soft = css("--soft"), halo = css("--bg");
  const grey = S.dark ? "rgb(95,103,115)" : "rgb(214,211,205)", cache = new Map();
  const tone = (t) => { const k = Math.round(t * 40); if (!cache.has(k)) cache.set(k, colour(k / 40)); return cache.get(k); };
  for (let v = 0; v < V; v++) {
    const x = px(X[v]), y = py(Y[v]);
    if (x < -40 || y < -40 || x > width + 40 || y > height + 40 || !shown(v)) continue;
    const t = byNode ? given[v] / most : 0, on = active.has(v) && small, ring = on || v === S.chosen || v === S.hover, has = known(v);
    const alpha = S.lit && !S.lit[v] ? 0.2 : 1;
    pen.circle(x, y, r, !has ? bg : byNode ? tone(Math.max(-1, Math.min(1, t))) : grey, ring ? accent : S.k > 14 ? soft : null, ring ? 3 : 1, alpha);
    const beside = small && S.k < 45; // where columns are dense, names stand beside their neurons
    if (r < 9 && !ring && !(small && S.k > 11)) continue;
    const name = names[v].length > 26 ? names[v].slice(0, 25) + "…" : names[v];
    if (beside) pen.text(x + r + 4, y, name, 11, text, alpha, halo, true);
    else pen.text(x, y - r - 9, name, 12, text, alpha, halo);
    if (r > 15 && has) { const c = byNode ? rgb(t) : [200, 200, 200], dark = 0.3 * c[0] + 0.6 * c[1] + 0.1 * c[2] < 130; pen.text(x, y, fmt(byNode ? given[v] : sampleAt(S.sample).a[v], 3), 11, dark ? "#fff" : "#111", alpha); }
  }
}
function overlay() { // edges that the 2D canvas draws
  if (small || !gl) return strongest.filter(kept).slice(0, 5000);
  if (S.chosen < 0) return [];
  return [...Array.from({ length: inPtr[S.chosen + 1] - inPtr[S.chosen] }, (_, k) => inPtr[S.chosen] + k), ...outEdge.slice(outPtr[S.chosen], outPtr[S.chosen + 1])].filter(kept).slice(0, 3000);
}
let asked = false;
function redraw() { if (!asked) { asked = true; requestAnimationFrame(() => { asked = false; paint(); }); } }
function paint() {
  const box = $("stage").getBoundingClientRect(), r = devicePixelRatio;
  for (const c of [$("gl"), ink]) if (c.width !== Math.round(box.width * r) || c.height !== Math.round(box.height * r)) { c.width = Math.round(box.width * r); c.height = Math.round(box.height * r); }
  if (gl) drawGl();
  pen2d.setTransform(r, 0, 0, r, 0, 0);
  pen2d.clearRect(0, 0, box.width, box.height);
  drawEdges(canvasPen, overlay());
  drawNodes(canvasPen, box.width, box.height);
}
function fit() {
  const box = $("stage").getBoundingClientRect();
  let [x0, x1, y0, y1] = [1e9, -1e9, 1e9, -1e9];
  for (let v = 0; v < V; v++) { x0 = Math.min(x0, X[v]); x1 = Math.max(x1, X[v]); y0 = Math.min(y0, Y[v]); y1 = Math.max(y1, Y[v]); }
  const side = small && box.height / (y1 - y0 + 2) < 45 ? 120 : 0; // room for names beside the last column
  S.k = Math.min(110, (box.width - side) / (x1 - x0 + 1.6), box.height / (y1 - y0 + 2));
  S.dx = (box.width - side) / 2 - (S.k * (x0 + x1)) / 2;
  S.dy = box.height / 2 - (S.k * (y0 + y1)) / 2;
  redraw();
}
