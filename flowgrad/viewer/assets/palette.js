// Colours: below 0, at 0, above 0, on light and on dark ground; they stand in palette.py, with what they must satisfy.
const RAMPS = D.ramps;
const MODES = { a: "activation a", z: "z", dz: "∂L/∂z", weight: "weight", dw: "∂L/∂w", importance: "importance" };
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const tint = {}; // the theme's colours by name, read once a theme
function readTheme() {
  for (const name of ["bg", "ink", "soft", "line", "panel", "accent", "up", "down", "blank", "edge"]) tint[name] = css(`--${name}`);
}
function rgb(t) { // −1 … 1 → [r, g, b]
  const ramp = RAMPS[S.palette][S.dark ? "dark" : "light"];
  const p = (Math.max(-1, Math.min(1, Number.isNaN(t) ? 0 : t)) + 1) * 2, i = Math.min(3, Math.floor(p));
  return ramp[i].map((c, j) => Math.round(c + (ramp[i + 1][j] - c) * (p - i)));
}
const colour = (t) => `rgb(${rgb(t).join(",")})`;
const hex = (text) => [1, 3, 5].map((k) => parseInt(text.slice(k, k + 2), 16));
const isDark = ([r, g, b]) => 0.3 * r + 0.6 * g + 0.1 * b < 140;
const onColour = (c) => (isDark(c) ? "#ffffff" : "#14181f");

const byEdge = (mode) => mode === "weight" || mode === "dw";
const isPositive = (mode) => mode === "importance";
function modeNow() { return S.step < 0 || byEdge(S.mode) ? S.mode : now().phase === "b" ? "dz" : "a"; }
function values(mode) {
  const s = sampleAt(S.sample);
  return { weight, importance, dw: s.dw, dz: s.dz, a: s.a, z: s.z }[mode];
}
let extents = new Map();
function extent(mode) { // what counts as full colour: the largest, of large graphs the 99th percentile
  const key = `${mode} ${S.sample}`;
  if (!extents.has(key)) {
    const all = values(mode).map(Math.abs).filter(Number.isFinite).sort();
    extents.set(key, all.length ? all[V > 500 ? Math.floor(0.99 * (all.length - 1)) : all.length - 1] || 1 : 1);
  }
  return extents.get(key);
}
function legend() { // what the colours mean now: the quantity, the ramp's ends in words, and its colours
  const mode = modeNow(), most = extent(mode), low = isPositive(mode) ? 0 : -1;
  const of = byEdge(mode) ? "edges" : "neurons";
  const stops = (n) => Array.from({ length: n }, (_, k) => colour(low + (k / (n - 1)) * (1 - low)));
  return { of, said: MODES[mode], low: low ? `−${fmt(most, 3)}` : "0", high: fmt(most, 3), stops };
}
function showLegend() {
  const { of, said, low, high, stops } = legend();
  $("of").textContent = of;
  $("quantity").textContent = said;
  $("low").textContent = low;
  $("high").textContent = high;
  $("ramp").style.background = `linear-gradient(90deg, ${stops(5).join(",")})`;
}
function drawLegend(pen, height) { // into a picture that leaves the page
  const { of, said, low, high, stops } = legend(), y = height - 18, look = { size: 12, align: "left", halo: tint.bg };
  let x = 16;
  const write = (text, style) => { pen.text(x, y, text, { ...look, ...style }); x += pen.width(text, { ...look, ...style }) + 8; };
  write(of, { fill: tint.soft });
  write(said, { bold: true });
  write(low, { fill: tint.soft });
  stops(30).forEach((c, k) => pen.box(x + 5 * k, y - 5, 5.5, 10, 0, c, null, 0, 1));
  x += 158;
  write(high, { fill: tint.soft });
}
