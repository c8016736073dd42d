// One neuron's equations with the numbers of the sample put in. Everything is text; nothing is parsed as HTML.
function put(parent, tag, text, cls) { const e = document.createElement(tag); e.textContent = text; if (cls) e.className = cls; parent.append(e); return e; }
function showCard(v) {
  const card = $("card"), s = sampleAt(S.sample);
  card.replaceChildren();
  if (v < 0) { put(card, "p", `${V.toLocaleString("en")} neurons, ${E.toLocaleString("en")} edges. L = ${fmt(s.loss)} (${D.loss}), sample ${s.row}${D.drawn ? ", drawn from a seed" : ""}.`); put(card, "p", "click a neuron · / find · arrows walk · [ ] step · 0 fit · Esc"); return; }
  put(card, "h2", names[v]);
  const input = activation[v] < 0, sigma = input ? "" : D.activations[activation[v]];
  put(card, "p", `${input ? "an input" : `a ${sigma} neuron`}${isOutput[v] ? ", an output" : ""}, level ${level[v]}`);
  const terms = (list) => {
    list.sort((p, q) => Math.abs(q[2]) - Math.abs(p[2])).slice(0, 12).forEach(([u, said, value]) => { const p = put(card, "p", "", "term"); put(p, "button", names[u]).onclick = () => choose(u); p.append(`: ${said} = ${fmt(value)}`); });
    if (list.length > 12) put(card, "p", `… and ${list.length - 12} more`, "term");
  };
  if (input) put(card, "p", `(3) a = x = ${fmt(s.a[v])}`);
  else {
    const into = [];
    for (let e = inPtr[v]; e < inPtr[v + 1]; e++) into.push([source[e], `${fmt(weight[e])} · ${fmt(s.a[source[e]])}`, weight[e] * s.a[source[e]]]);
    put(card, "p", `(1) m = ${D.aggregations[aggregation[v]]} of ${into.length} terms w·a${response[v] ? ` = ${fmt((s.z[v] - bias[v]) / response[v])}` : ""}`);
    terms(into);
    put(card, "p", `(2) z = b + r·m = ${fmt(bias[v])} + ${fmt(response[v])} · m = ${fmt(s.z[v])}`);
    put(card, "p", `(3) a = ${sigma}(z) = ${fmt(s.a[v])}`);
    put(card, "p", `(7) σ′(z) = ${fmt(s.slope[v])}`);
  }
  const out = Array.from(outEdge.slice(outPtr[v], outPtr[v + 1]), (e) => [target[e], `∂z/∂a ${fmt(s.through(e))} · cached ∂L/∂z ${fmt(s.dz[target[e]])}`, s.through(e) * s.dz[target[e]]]);
  if (isOutput[v]) put(card, "p", `(9) base case ∂L/∂y = ${fmt(s.da[v] - out.reduce((m, t) => m + t[2], 0))}`);
  put(card, "p", `(10) ∂L/∂a = ${isOutput[v] ? "base + " : ""}Σ over ${out.length} successors = ${fmt(s.da[v])}`);
  terms(out);
  if (!input) {
    put(card, "p", `(8) ∂L/∂z = ${fmt(s.slope[v])} · ${fmt(s.da[v])} = ${fmt(s.dz[v])}, cached, written once`);
    put(card, "p", `(5) ∂L/∂b = ${fmt(s.dz[v])}; ∂L/∂w = (6) · ∂L/∂z of the edges that lead in:`);
    const g = [];
    for (let e = inPtr[v]; e < inPtr[v + 1]; e++) g.push([source[e], `${fmt(response[v] * s.share(e) * s.a[source[e]])} · ${fmt(s.dz[v])}`, s.dw[e]]);
    terms(g);
  }
  put(card, "p", `importance ${fmt(importance[v])}`);
}
function caption() {
  if (S.step < 0) return "whole picture — move the slider to walk forward, turn the arrows round, and walk back";
  const g = groups[S.step], s = sampleAt(S.sample), v = g.nodes[0], many = g.nodes.length > 1, n = `${S.step + 1}/${groups.length}`;
  if (g.phase === "turn") return `${n} turn: L = ${fmt(s.loss)}. Every arrow turns round; the base cases (9) enter at the outputs.`;
  const who = many ? `${g.nodes.length} ${activation[v] < 0 ? "inputs" : `neurons of level ${level[v]}`}` : names[v];
  if (g.phase === "f") return `${n} forward: ${who}` + (many || activation[v] < 0 ? "" : `: z = ${fmt(s.z[v])}, a = ${D.activations[activation[v]]}(z) = ${fmt(s.a[v])}; reads the cached a of ${Array.from(source.slice(inPtr[v], inPtr[v + 1]), (u) => names[u]).slice(0, 6).join(", ")}`);
  const to = Array.from(outEdge.slice(outPtr[v], outPtr[v + 1]), (e) => names[target[e]]).slice(0, 6).join(", ");
  return `${n} backward: ${who}` + (many ? "" : `: ∂L/∂a = ${fmt(s.da[v])}${to ? `, reusing the cached ∂L/∂z of ${to}` : ", its base case"}; ∂L/∂z = ${fmt(s.dz[v])}`);
}
function showChart() {
  const h = D.history, c = $("chart"), p = c.getContext("2d");
  if (!h || !h.loss || !h.loss.length) return;
  c.hidden = false;
  c.dataset.last = h.loss[h.loss.length - 1];
  p.clearRect(0, 0, c.width, c.height);
  const lines = ["loss", "val_loss"].filter((n) => h[n]), all = lines.flatMap((n) => h[n]).filter((y) => y !== null), lo = Math.min(...all), hi = Math.max(...all);
  lines.forEach((n, j) => {
    p.beginPath();
    h[n].forEach((y, k) => { if (y !== null) p.lineTo(8 + (k / Math.max(1, h[n].length - 1)) * 300, 120 - ((y - lo) / (hi - lo || 1)) * 95); });
    p.strokeStyle = p.fillStyle = j ? css("--accent") : css("--ink");
    p.stroke();
    p.fillText(`${n} ${fmt(h[n][h[n].length - 1])}`, 90 + 110 * j, 12);
  });
}
