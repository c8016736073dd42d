// The steps: forward, the turn at the loss, backward; of a small graph a neuron a step, else a level.
const steps = [], at = { f: new Int32Array(V), b: new Int32Array(V) };
{
  const parts = [[...Array(D.inputs).keys()]];
  for (let v = D.inputs; v < V; v++) {
    const last = parts[parts.length - 1];
    if (!small && parts.length > 1 && level[last[0]] === level[v]) last.push(v); else parts.push([v]);
  }
  parts.forEach((nodes) => steps.push({ phase: "f", nodes }));
  steps.push({ phase: "turn", nodes: [] });
  [...parts].reverse().forEach((nodes) => steps.push({ phase: "b", nodes }));
  steps.forEach((one, k) => one.nodes.forEach((v) => { at[one.phase][v] = k; }));
}
const now = () => (S.step < 0 ? null : steps[S.step]);
const backward = () => now() !== null && now().phase !== "f"; // arrows are turned round
const activeNodes = () => new Set(now() ? now().nodes : []);
const isActive = (e) => now() !== null && now().phase !== "turn" && at[now().phase][now().phase === "b" ? source[e] : target[e]] === S.step;

function known(v) { // what stands in the caches by now: nothing, a, or ∂L/∂z as well
  if (S.step < 0) return "all";
  if (backward()) return now().phase === "b" && at.b[v] <= S.step ? "dz" : "a";
  return at.f[v] <= S.step ? "a" : "";
}
function reads(v) { // how often the cached value of v has been read by now, and how often it will have been
  const back = backward(), edges = back ? inEdges(v) : outEdges(v);
  const done = edges.filter((e) => (back ? at.b[source[e]] : at.f[target[e]]) <= S.step).length;
  return { done, all: edges.length };
}
function tally() { // edges visited by the pass so far, each exactly once
  const back = backward();
  let visited = 0;
  for (let e = 0; e < E; e++) if ((back ? at.b[source[e]] : at.f[target[e]]) <= S.step) visited++;
  return now().phase === "turn" ? 0 : visited;
}

function told() { // the step in words and numbers: a heading, and the equations
  const g = now(), s = sampleAt(S.sample);
  if (!g) return { head: "whole picture", text: "Move the slider, or press ], to walk forward, turn the arrows round, and walk back." };
  const v = g.nodes[0], many = g.nodes.length > 1, count = `${S.step + 1}/${steps.length}`;
  if (g.phase === "turn") {
    const text = `L = ${fmt(s.loss)} (${D.loss}). Every arrow turns round; the base cases (9), ∂L/∂y, enter at the outputs.`;
    return { head: `${count} turn`, text };
  }
  const kind = isInput(v) ? plural(g.nodes.length, "input") : `${plural(g.nodes.length, "neuron")} of level ${level[v]}`;
  const visited = `${whole(tally())} of ${plural(E, "edge")} visited, each once.`;
  if (g.phase === "f") {
    if (isInput(v)) return { head: `${count} forward: ${kind}`, text: "(3) a = x" };
    const sums = many ? "each reads the cached a of its predecessors: (1), (2), (3)" : forwardTold(v, s);
    return { head: `${count} forward: ${many ? kind : names[v]}`, text: `${sums}. ${visited}` };
  }
  const sums = many ? "each reads the cached ∂L/∂z of its successors (10) and writes its own once (8)" : backwardTold(v, s);
  return { head: `${count} backward: ${many ? kind : names[v]}`, text: `${sums}. ${visited}` };
}
const forwardTold = (v, s) => `${forwardSum(v, s)};  (3) a = ${sigma(v)}(z) = ${fmt(s.a[v])}`;
function backwardTold(v, s) {
  const slope = `;  (8) ∂L/∂z = σ′(z) · ∂L/∂a = ${bracketed(s.slope[v])} · ${bracketed(s.da[v])} = ${fmt(s.dz[v])}`;
  const to = outEdges(v).map((e) => names[target[e]]), more = to.length > 6 ? " …" : "";
  const read = to.length ? `; reads the cached ∂L/∂z of ${to.slice(0, 6).join(", ")}${more}` : "";
  return `${backwardSum(v, s)}${isInput(v) ? "" : slope}${read}`;
}
function forwardSum(v, s) { // (1) and (2) with their numbers, where they fit on a line
  const edges = inEdges(v);
  if (coefficient[v] !== 1 || response[v] !== 1 || edges.length > 4) return `(2) z = ${fmt(s.z[v])}`;
  const terms = edges.map((e) => `${bracketed(weight[e], 3)}·${bracketed(s.a[source[e]], 3)}`);
  return `(2) z = ${[fmt(bias[v], 3), ...terms].join(" + ")} = ${fmt(s.z[v])}`;
}
function base(v, s) { // (9) ∂L/∂y of an output, before what successors send back
  return s.da[v] - outEdges(v).reduce((sum, e) => sum + s.through(e) * s.dz[target[e]], 0);
}
function backwardSum(v, s) { // (10) with its numbers, where they fit on a line
  const edges = outEdges(v), terms = edges.map((e) => `${bracketed(s.through(e), 3)}·${bracketed(s.dz[target[e]], 3)}`);
  if (isOutput[v]) terms.unshift(`base ${bracketed(base(v, s), 3)}`);
  return `(10) ∂L/∂a = ${edges.length > 4 || !terms.length ? "" : `${terms.join(" + ")} = `}${fmt(s.da[v])}`;
}
