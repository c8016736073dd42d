// What the page was given, unpacked; E edges grouped by target, V neurons in canonical order.
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
const level = ints(D.level), X = floats(D.x), Y = floats(D.y), inPtr = ints(D.in_ptr), source = ints(D.source);
const weight = floats(D.weight), bias = floats(D.bias), importance = floats(D.importance);
const response = D.response ? floats(D.response) : new Float32Array(V).fill(1);
const activation = ints(D.activation), aggregation = ints(D.aggregation), E = source.length;
const isOutput = new Uint8Array(V), target = new Int32Array(E), outPtr = new Int32Array(V + 1), outEdge = new Int32Array(E);
D.outputs.forEach((v) => { isOutput[v] = 1; });
for (let v = 0; v < V; v++) for (let e = inPtr[v]; e < inPtr[v + 1]; e++) { target[e] = v; outPtr[source[e] + 1]++; }
for (let v = 0; v < V; v++) outPtr[v + 1] += outPtr[v];
{ const next = outPtr.slice(); for (let e = 0; e < E; e++) outEdge[next[source[e]]++] = e; }
const small = E <= 600 && V <= 300;

const opened = new Map();
function sampleAt(k) { // z, a, slope, da of the neurons; dz and dw follow from (8) and (5)
  if (opened.has(k)) return opened.get(k);
  const s = D.samples[k], one = { row: s.row, loss: Number(s.loss.replace("inf", "Infinity")) };
  for (const key of ["z", "a", "slope", "da"]) one[key] = floats(s[key]);
  one.dz = one.da.map((d, v) => d * one.slope[v]);
  const shares = s.share ? floats(s.share) : null;
  one.share = (e) => (shares ? shares[e] : D.aggregations[aggregation[target[e]]] === "mean" ? 1 / (inPtr[target[e] + 1] - inPtr[target[e]]) : 1);
  one.through = (e) => response[target[e]] * one.share(e) * weight[e];
  one.dw = new Float32Array(E);
  for (let e = 0; e < E; e++) one.dw[e] = response[target[e]] * one.share(e) * one.a[source[e]] * one.dz[target[e]];
  opened.set(k, one);
  return one;
}
function fmt(x, digits = 4) {
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  return String(Number(x.toPrecision(digits))).replace("-", "−");
}
function cone(start, forward) { // neurons that `start` reaches, or that reach it
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
// The steps: forward, the loss, backward; a neuron a step in a small graph, else a level.
const groups = [], at = { f: new Int32Array(V), b: new Int32Array(V) };
{
  const parts = [[...Array(D.inputs).keys()]];
  for (let v = D.inputs; v < V; v++) {
    const last = parts[parts.length - 1];
    if (!small && parts.length > 1 && level[last[0]] === level[v]) last.push(v); else parts.push([v]);
  }
  parts.forEach((nodes) => groups.push({ phase: "f", nodes }));
  groups.push({ phase: "turn", nodes: [] });
  [...parts].reverse().forEach((nodes) => groups.push({ phase: "b", nodes }));
  groups.forEach((g, k) => g.nodes.forEach((v) => { at[g.phase][v] = k; }));
}
