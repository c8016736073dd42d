// What the page was given, unpacked: V neurons in canonical order, E edges grouped by target.
const $ = (id) => document.getElementById(id);
const D = JSON.parse($("data").textContent);

function raw(text) {
  const chars = atob(text), bytes = new Uint8Array(chars.length);
  for (let k = 0; k < chars.length; k++) bytes[k] = chars.charCodeAt(k);
  return bytes.buffer;
}
const floats = (text) => new Float32Array(raw(text));
const ints = (text) => new Int32Array(raw(text));

const names = D.names, V = names.length;
const level = ints(D.level), X = floats(D.x), Y = floats(D.y);
const inPtr = ints(D.in_ptr), source = ints(D.source), E = source.length;
const activation = ints(D.activation), aggregation = ints(D.aggregation);
const coefficient = D.coefficient ? floats(D.coefficient) : new Float32Array(V).fill(1); // c of m = c·Σt; NaN: other m
const response = D.response ? floats(D.response) : new Float32Array(V).fill(1);
const weight = floats(D.weight), bias = floats(D.bias), importance = floats(D.importance);
const deepest = level.reduce((most, x) => Math.max(most, x), 0);

const isOutput = new Uint8Array(V), target = new Int32Array(E);
const outPtr = new Int32Array(V + 1), outEdge = new Int32Array(E);
D.outputs.forEach((v) => { isOutput[v] = 1; });
for (let v = 0; v < V; v++) for (let e = inPtr[v]; e < inPtr[v + 1]; e++) { target[e] = v; outPtr[source[e] + 1]++; }
for (let v = 0; v < V; v++) outPtr[v + 1] += outPtr[v];
{ const next = outPtr.slice(); for (let e = 0; e < E; e++) outEdge[next[source[e]]++] = e; }

const small = E <= 600 && V <= 300; // drawn with names and arrow heads; larger graphs by WebGL2
const teaching = small && E <= 40; // … with an equation on each edge, and the loss as a neuron of its own
const isInput = (v) => activation[v] < 0;
const sigma = (v) => (isInput(v) ? "input" : D.activations[activation[v]]);
const inEdges = (v) => Array.from({ length: inPtr[v + 1] - inPtr[v] }, (_, k) => inPtr[v] + k);
const outEdges = (v) => Array.from(outEdge.subarray(outPtr[v], outPtr[v + 1]));

const opened = new Map();
function sampleAt(k) { // z, a, σ′(z), ∂L/∂a of every neuron; ∂L/∂z and ∂L/∂w follow from (8) and (5)
  if (opened.has(k)) return opened.get(k);
  const s = D.samples[k], one = { row: s.row, loss: Number(s.loss.replace("inf", "Infinity")) };
  for (const key of ["z", "a", "slope", "da", "losses"]) one[key] = floats(s[key]);
  one.dz = one.da.map((d, v) => d * one.slope[v]);
  const shares = s.share ? floats(s.share) : null; // ∂m/∂t where it does not follow from the topology
  one.share = (e) => (shares ? shares[e] : coefficient[target[e]]);
  one.local = (e) => response[target[e]] * one.share(e) * one.a[source[e]]; // (6) ∂z/∂w
  one.through = (e) => response[target[e]] * one.share(e) * weight[e]; // ∂z_target/∂a_source of (10)
  one.dw = new Float32Array(E);
  for (let e = 0; e < E; e++) one.dw[e] = one.local(e) * one.dz[target[e]];
  opened.set(k, one);
  return one;
}
function takeValues(given) { // values that training has moved, into the arrays that everything reads
  weight.set(floats(given.weight));
  bias.set(floats(given.bias));
  importance.set(floats(given.importance));
  D.samples = given.samples;
  D.loss = given.loss;
  opened.clear();
}
function fmt(x, digits = 4) {
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  const size = Math.abs(x), tiny = size !== 0 && (size < 1e-4 || size >= 1e7);
  return (tiny ? x.toExponential(Math.max(1, digits - 2)) : String(Number(x.toPrecision(digits)))).replace("e+", "e").replaceAll("-", "−");
}
const whole = (n) => n.toLocaleString("en");
const plural = (n, word) => `${whole(n)} ${word}${n === 1 ? "" : "s"}`;
const bracketed = (x, digits = 4) => (x < 0 ? `(${fmt(x, digits)})` : fmt(x, digits)); // as a factor
function cone(start, forward) { // neurons that `start` reaches, or that reach it; itself too
  const seen = new Uint8Array(V), todo = [start];
  seen[start] = 1;
  while (todo.length) {
    const v = todo.pop(), ptr = forward ? outPtr : inPtr;
    for (let k = ptr[v]; k < ptr[v + 1]; k++) {
      const u = forward ? target[outEdge[k]] : source[k];
      if (!seen[u]) { seen[u] = 1; todo.push(u); }
    }
  }
  return seen;
}
function quantile(array, q) { // of the absolute values; 0 for q = 0
  const all = array.map(Math.abs).filter(Number.isFinite).sort();
  return q > 0 && all.length ? all[Math.min(all.length - 1, Math.floor(q * all.length))] : 0;
}
