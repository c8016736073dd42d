// Colours. Both palettes are told apart with every common kind of colour blindness; sign is also in the numbers.
// What is far from 0 is far from the background: dark on light, bright on dark.
const RAMPS = {
  "blue–orange": {
    light: [[20, 84, 164], [124, 176, 222], [240, 238, 233], [242, 160, 92], [176, 66, 4]],
    dark: [[112, 186, 255], [58, 104, 158], [58, 64, 75], [168, 104, 56], [255, 172, 92]],
  },
  "purple–green": {
    light: [[106, 38, 122], [186, 154, 202], [240, 238, 233], [132, 200, 132], [22, 112, 52]],
    dark: [[222, 160, 240], [124, 88, 142], [58, 64, 75], [70, 130, 80], [128, 226, 136]],
  },
};
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
function showLegend() {
  const mode = modeNow(), most = extent(mode), low = isPositive(mode) ? 0 : -1;
  $("quantity").textContent = MODES[mode];
  $("low").textContent = low ? `−${fmt(most, 3)}` : "0";
  $("high").textContent = fmt(most, 3);
  const stops = [0, 0.25, 0.5, 0.75, 1].map((t) => colour(low + t * (1 - low)));
  $("ramp").style.background = `linear-gradient(90deg, ${stops.join(",")})`;
}
