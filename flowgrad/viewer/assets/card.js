// One neuron's equations with the numbers of the sample put in. Everything is text; nothing is parsed as HTML.
function put(parent, tag, text = "", cls = "") {
  const e = document.createElement(tag);
  e.textContent = text;
  if (cls) e.className = cls;
  parent.append(e);
  return e;
}
const SHOWN = 12; // terms of a sum that the card lists
function terms(card, list, none) { // rows of [neuron, product, value], the largest first; the name walks there
  if (!list.length) { if (none) put(card, "p", none, "quiet"); return; }
  const table = put(card, "div", "", "terms");
  const rows = list.sort((p, q) => Math.abs(q[2]) - Math.abs(p[2])).slice(0, SHOWN);
  const most = Math.max(1e-30, ...rows.map((one) => Math.abs(one[2])));
  for (const [u, said, value] of rows) {
    put(table, "button", names[u]).onclick = () => choose(u);
    put(table, "span", said);
    const last = put(table, "b", fmt(value));
    put(last, "i").style.width = `${(100 * Math.abs(value)) / most}%`;
  }
  if (list.length > SHOWN) put(card, "p", `… and ${whole(list.length - SHOWN)} smaller ones`, "quiet");
}
function equation(card, number, text) {
  const p = put(card, "p", "", "eq");
  put(p, "span", `(${number})`);
  put(p, "span", text);
}
function showCard(v) {
  const card = $("card");
  card.replaceChildren();
  if (v >= 0) neuronCard(card, v);
  else if (S.group >= 0) blockCard(card, blocks[S.group], S.group);
  else overviewCard(card);
}
function overviewCard(card) {
  const s = sampleAt(S.sample), hidden = V - D.inputs - D.outputs.length;
  put(card, "h2", "The network");
  const parts = `${plural(D.inputs, "input")}, ${whole(hidden)} hidden, ${plural(D.outputs.length, "output")}`;
  put(card, "p", `${parts}; ${plural(E, "edge")}; depth ${deepest}.`);
  const loss = D.loss === "Σ y" ? "Σ y" : `L, ${D.loss.replaceAll("_", " ")},`;
  put(card, "p", `${loss} = ${fmt(s.loss)} at row ${s.row}${D.drawn ? ", a sample drawn from a seed" : ""}.`);
  put(card, "h3", "most important");
  const inner = Array.from(names.keys()).filter((v) => !isInput(v) && !isOutput[v]);
  const best = inner.sort((p, q) => importance[q] - importance[p]).slice(0, 6);
  terms(card, best.map((v) => [v, sigma(v), importance[v]]), "no hidden neurons");
  put(card, "p", "Click a neuron for its equations. ? lists the keys.", "quiet");
}
function blockCard(card, b, k) {
  put(card, "h2", `${whole(b.size)} × ${sigma(b.first)}`);
  const read = `a dense block: each neuron reads the same ${plural(inEdges(b.first).length, "source")}`;
  put(card, "p", isInput(b.first) ? "inputs that lead to the same neurons" : read);
  const button = put(card, "button", b.collapsed ? "expand" : "collapse", "wide");
  button.id = "fold";
  button.onclick = () => { fold(k, !b.collapsed); refresh(); };
  const all = Array.from({ length: b.size }, (_, j) => b.first + j);
  const mode = byEdge(modeNow()) ? "a" : modeNow(), s = values(mode);
  put(card, "h3", `its neurons, by |${MODES[mode]}|`);
  terms(card, all.map((v) => [v, "", s[v]]));
}
function neuronCard(card, v) {
  const s = sampleAt(S.sample), input = isInput(v);
  put(card, "h2", names[v]);
  const kind = input ? "an input" : isOutput[v] ? `an output, ${sigma(v)}` : sigma(v);
  put(card, "p", `${kind}; level ${level[v]}; importance ${fmt(importance[v], 3)}`);
  if (v === S.chosen && S.up) {
    const p = put(card, "p", "", "cones"), count = (seen) => whole(seen.reduce((n, x) => n + x, 0) - 1);
    put(p, "span", `◀ ${count(S.up)} upstream`, "up");
    put(p, "span", `${count(S.down)} downstream ▶`, "down");
  }
  if (blockOf[v] >= 0) {
    const link = put(card, "button", `in a dense block of ${blocks[blockOf[v]].size}`, "link");
    link.onclick = () => chooseBlock(blockOf[v]);
  }
  put(card, "h3", "forward");
  if (input) equation(card, 3, `a = x = ${fmt(s.a[v])}`);
  else forwardCard(card, v, s);
  cachedTold(card, outEdges(v), "successor");
  put(card, "h3", "backward, arrows turned round");
  const out = outEdges(v).map((e) => {
    const v2 = target[e];
    return [v2, `${fmt(s.through(e))} · ${bracketed(s.dz[v2])}`, s.through(e) * s.dz[v2]];
  });
  if (isOutput[v]) equation(card, 4, lossTold(v, s));
  if (isOutput[v]) equation(card, 9, `base case ∂L/∂y = ${fmt(base(v, s))}`);
  equation(card, 10, `∂L/∂a = ${isOutput[v] ? "base + " : ""}Σ ∂z/∂a · cached ∂L/∂z = ${fmt(s.da[v])}`);
  terms(card, out, isOutput[v] ? "" : "leads nowhere: 0");
  if (input) return;
  equation(card, 8, `∂L/∂z = σ′(z) · ∂L/∂a = ${bracketed(s.slope[v])} · ${bracketed(s.da[v])} = ${fmt(s.dz[v])}`);
  cachedTold(card, inEdges(v), "predecessor");
  equation(card, 5, `∂L/∂b = ${fmt(s.dz[v])};  ∂L/∂w = ∂z/∂w (6) · ∂L/∂z`);
  terms(card, inEdges(v).map((e) => [source[e], `${fmt(s.local(e))} · ${bracketed(s.dz[v])}`, s.dw[e]]));
}
function cachedTold(card, readers, noun) { // in the words of explain
  put(card, "p", `cached: written once, read by ${plural(readers.length, noun)}`, "quiet");
}
function lossTold(v, s) { // what this output adds to L = Σ l
  const l = `l = ${fmt(s.losses[D.outputs.indexOf(v)])}`;
  return D.outputs.length > 1 ? `${l};  L = Σ l over ${plural(D.outputs.length, "output")} = ${fmt(s.loss)}` : l;
}
function forwardCard(card, v, s) {
  const into = inEdges(v), agg = D.aggregations[aggregation[v]], r = response[v];
  const m = r ? ` = ${fmt((s.z[v] - bias[v]) / r)}` : "";
  equation(card, 1, `m = ${coefficient[v] === 1 ? "Σ" : `${agg} of`} w · a${into.length > 1 ? ` over ${into.length}` : ""}${m}`);
  const products = into.map((e) => [source[e], `${fmt(weight[e])} · ${bracketed(s.a[source[e]])}`, weight[e] * s.a[source[e]]]);
  terms(card, products, "reads nothing: m = 0");
  const times = r === 1 ? "" : `${fmt(r)} · `, sum = r ? bracketed((s.z[v] - bias[v]) / r) : "m";
  equation(card, 2, `z = b + ${times}m = ${fmt(bias[v])} + ${times}${sum} = ${fmt(s.z[v])}`);
  equation(card, 3, `a = ${sigma(v)}(z) = ${fmt(s.a[v])}`);
  equation(card, 7, `σ′(z) = ${fmt(s.slope[v])}`);
}
