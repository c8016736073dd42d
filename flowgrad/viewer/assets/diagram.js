// The picture of a small graph: every neuron with its name and numbers, every edge with its arrow.
function diagram(pen, width, height) {
  const visible = [...Array(E).keys()].filter((e) => kept(e) && !isFolded(source[e]) && !isFolded(target[e]));
  const ways = new Map(visible.map((e) => [e, route(e, backward())]));
  if (folded) ribbons(pen, folded.strands());
  if (drawsLoss) loss(pen);
  const order = [...visible].sort((p, q) => isActive(p) - isActive(q)); // the step's own edges on top
  order.forEach((e) => drawEdge(pen, e, ways.get(e)));
  const labels = visible.map((e) => [e, labelOf(e)]).filter(([, text]) => text);
  const looks = [S.k, S.sx, S.mode, S.sample, S.step, S.chosen, S.wmin, S.imin, S.lmin, S.lmax];
  const key = [...looks, versionOf.values, blocks.map((b) => b.collapsed)].join();
  const size = S.k > 70 ? 12 : 11;
  const wanted = labels.map(([e, text]) => [e, pen.width(text, { size, bold: isActive(e) }) + 8, size + 6]);
  const places = placeLabels(wanted, ways, obstacles(), key);
  labels.forEach(([e, text], k) => {
    const [x, y] = places.get(e), [, w, h] = wanted[k], on = isActive(e);
    pen.box(x + S.dx - w / 2, y + S.dy - h / 2, w, h, 5, on ? tint.panel : tint.bg, on ? tint.accent : null, 1, on ? 1 : 0.88);
    pen.text(x + S.dx, y + S.dy, text, { size, bold: on, fill: on ? tint.accent : tint.ink, alpha: on || isLitEdge(e) ? 1 : 0.35 });
  });
  const drawn = [...Array(V).keys()].filter((v) => shown(v) && !isFolded(v) && inView(v, 80));
  drawn.forEach((v) => drawNeuron(pen, v));
  drawNames(pen, drawn);
  blocks.forEach((b, k) => drawBlock(pen, b, k));
}
function edgeLook(e) { // colour, width, opacity
  const mode = modeNow(), coloured = byEdge(mode), given = coloured ? values(mode) : weight;
  const most = extent(coloured ? mode : "weight");
  const t = Math.min(1, Math.abs(given[e]) / most), on = isActive(e), wide = E > 60 ? 0.6 + 2.2 * t : 1 + 3.4 * t;
  if (on) return [tint.accent, Math.max(2, wide), 1];
  const cones = S.up && !now() && isLitEdge(e) ? (S.up[source[e]] && S.up[target[e]] ? tint.up : tint.down) : tint.edge;
  const stroke = coloured ? colour(given[e] / most) : cones;
  const faint = !isLitEdge(e) ? 0.15 : now() ? 0.3 : 1;
  return [stroke, wide, faint * (E > 60 && !coloured ? 0.75 : 1)];
}
function drawEdge(pen, e, way) {
  const [stroke, wide, alpha] = edgeLook(e), [x, y, side] = way.tip, half = arrow() / 3 + wide / 2;
  pen.curve(way.d, stroke, wide, alpha);
  pen.shape(`M${x.toFixed(1)} ${y.toFixed(1)}l${(arrow() * side).toFixed(1)} ${(-half).toFixed(1)}v${(2 * half).toFixed(1)}z`, stroke, alpha);
}
function labelOf(e) { // the equation on an edge, where there is room for it
  const on = isActive(e), s = sampleAt(S.sample), near = S.chosen === source[e] || S.chosen === target[e];
  if (S.k * S.sx < 60) return "";
  if (on && backward()) return `${fmt(s.through(e), 3)} · ${bracketed(s.dz[target[e]], 3)}`; // of (10)
  if (on) return `${fmt(weight[e], 3)} · ${bracketed(s.a[source[e]], 3)}`; // of (1)
  if (now() || !(teaching || near)) return "";
  return S.mode === "dw" ? fmt(s.dw[e], 3) : fmt(weight[e], 3);
}
function obstacles() { // boxes that labels should not cover: neurons, their names and what stands below them
  const r = radius() + 3, found = [];
  for (let v = 0; v < V; v++) {
    const x = px(X[v]), y = py(Y[v]), half = Math.max(r, 4 * Math.min(26, names[v].length));
    const cached = now() && activeReads(v), under = cached ? 3.1 * cached.length : r + 8;
    found.push([x - r, y - r, x + r, y + r], [x - half, y - r - 22, x + half, y - r]);
    found.push([x - under, y + r, x + under, y + r + (cached ? 24 : 18)]);
  }
  return found;
}
const named = (v) => (names[v].length > 26 ? `${names[v].slice(0, 25)}…` : names[v]);
const isRinged = (v) => activeNodes().has(v) || v === S.chosen || v === S.hover;
const isRoomy = () => S.k >= 45;
function drawNeuron(pen, v) {
  const x = px(X[v]), y = py(Y[v]), r = radius(), s = sampleAt(S.sample), has = known(v);
  const active = activeNodes().has(v), ring = isRinged(v), alpha = isLit(v) ? 1 : 0.22;
  const said = saidOf(v), c = isColoured(v) ? rgb(values(said)[v] / extent(said)) : hex(tint.blank);
  const cached = now() && !active && activeReads(v);
  if (cached) pen.circle(x, y, r + 6, null, tint.accent, 2, 1, [4, 3]);
  pen.circle(x, y, r, `rgb(${c.join(",")})`, ring ? tint.accent : tint.soft, ring ? 3.5 : has ? 1.2 : 1, alpha, has ? null : [3, 3]);
  if (r > 14 && said) pen.text(x, y, fmt(values(said)[v], 3), { size: r > 24 ? 13 : 11, bold: true, fill: onColour(c), alpha });
  const below = cached ? cached : belowOf(v, has, s);
  if (isRoomy() && r > 20) pen.text(x, y + r + (cached ? 16 : 11), below, { alpha, halo: tint.bg, size: 11, fill: cached ? tint.accent : tint.soft });
}
function drawNames(pen, drawn) { // those that are picked, then the more important first, each where it has room
  if (!(S.k > 7.5)) drawn = drawn.filter(isRinged);
  const room = new Room(), r = radius(), first = (v) => (isRinged(v) ? 2 : isOutput[v]);
  for (const v of drawn) room.take([px(X[v]) - r, py(Y[v]) - r, px(X[v]) + r, py(Y[v]) + r, v]);
  const order = [...drawn].sort((p, q) => first(q) - first(p) || importance[q] - importance[p]);
  for (const v of order) {
    const ring = isRinged(v), alpha = isLit(v) ? 1 : 0.22, size = isRoomy() ? (teaching ? 14 : 12) : Math.min(11, Math.max(8, S.k));
    const style = { alpha, halo: tint.bg, size, bold: ring || isRoomy() }, wide = pen.width(named(v), style);
    const spots = namePlaces(v).map(([x, y, align]) => ({ x, y, align, box: textBox(x, y, wide, size, align, v) }));
    const spot = spots.find((one) => room.free(one.box)) || (ring && spots[0]);
    if (!spot) continue;
    room.take(spot.box);
    pen.text(spot.x, spot.y, named(v), { ...style, align: spot.align });
  }
}
function namePlaces(v) { // above; or to the right, of inputs to the left, where no edges are; or else on the other side
  const x = px(X[v]), y = py(Y[v]), r = radius(), ring = isRinged(v), cached = now() && !activeNodes().has(v) && activeReads(v);
  if (isRoomy()) return [[x, y - r - (ring ? 12 : 10) - (cached ? 5 : 0), "center"]];
  const away = r + 6 + (cached ? 6 : 0), right = [x + away, y, "left"], left = [x - away, y, "right"];
  return level[v] === 0 ? [left, right] : [right, left];
}
function saidOf(v) { // which of its numbers a neuron shows
  const has = known(v), mode = modeNow();
  return byEdge(mode) ? "a" : has === "all" ? mode : has;
}
function isColoured(v) { // where ∂L/∂z is shown, a cached a is only a number
  return saidOf(v) !== "" && !byEdge(modeNow()) && (modeNow() !== "dz" || known(v) !== "a");
}
function belowOf(v, has, s) {
  if (has === "dz" && !isInput(v)) return `a ${fmt(s.a[v], 3)}  σ′ ${fmt(s.slope[v], 3)}`;
  return isInput(v) ? "input" : sigma(v);
}
function activeReads(v) { // says of a cached value that this step reads it, and for the how many-eth time
  const edges = now().phase === "b" ? inEdges(v) : outEdges(v);
  if (now().phase === "turn" || !edges.some(isActive)) return "";
  const { done, all } = reads(v);
  return `cached: read ${done} of ${all}`;
}
function loss(pen) { // L as the last neuron; its edges carry the base cases (9)
  const s = sampleAt(S.sample), x = px(lossAt.x), y = py(lossAt.y), r = radius();
  const back = backward(), turn = back && now().phase === "turn";
  const alpha = S.up ? 0.3 : now() && !turn ? 0.5 : 1, stroke = turn ? tint.accent : tint.soft;
  for (const v of D.outputs) {
    const xa = px(X[v]) + r, ya = py(Y[v]), xb = x - r, h = (xb - xa) / 2;
    pen.curve(`M${xa} ${ya}C${xa + h} ${ya} ${xb - h} ${y} ${xb} ${y}`, stroke, 1.5, alpha, [5, 4]);
    if (turn || (back && at.b[v] === S.step)) {
      const text = `∂L/∂y ${fmt(base(v, s), 3)}`, w = pen.width(text, { size: 12, bold: true }) + 8;
      const [mx, my] = bezier(xa, ya, xb, y, 0.5);
      pen.box(mx - w / 2, my - 9, w, 18, 5, tint.panel, tint.accent, 1, 1);
      pen.text(mx, my, text, { size: 12, bold: true, fill: tint.accent });
    }
  }
  pen.box(x - r, y - r * 0.8, 2 * r, 1.6 * r, 8, tint.panel, stroke, turn ? 3 : 1.2, alpha);
  pen.text(x, y, fmt(s.loss, 3), { size: 13, bold: true, alpha });
  pen.text(x, y - r * 0.8 - 11, "L", { size: 14, bold: true, alpha });
  pen.text(x, y + r * 0.8 + 11, D.loss.replaceAll("_", " "), { size: 11, fill: tint.soft, alpha });
}
function ribbons(pen, strands) {
  for (const one of strands) {
    const xa = px(one.x0), ya = py(one.y0), xb = px(one.x1), yb = py(one.y1), h = (xb - xa) / 2;
    const stroke = one.active ? tint.accent : byEdge(modeNow()) ? colour(one.mean) : tint.edge;
    const alpha = one.active ? 0.8 : now() ? 0.15 : 0.2 + 0.35 * one.rank;
    pen.curve(`M${xa} ${ya}C${xa + h} ${ya} ${xb - h} ${yb} ${xb} ${yb}`, stroke, ribbonWidth(one), alpha);
    if (ribbonWidth(one) > 9) pen.text((xa + xb) / 2, (ya + yb) / 2, plural(one.n, "edge"), { size: 11, fill: tint.soft, halo: tint.bg });
  }
}
const ribbonWidth = (one) => Math.max(1, Math.min(60, one.high * S.k * 0.7) * (0.08 + 0.92 * one.share));
function drawBlock(pen, b, k) { // the frame of a collapsed block, what is in it, and its name
  if (!b.collapsed) return;
  const x0 = px(b.x0), y0 = py(b.y0), w = px(b.x1) - x0, h = py(b.y1) - y0, chosen = S.group === k;
  if (x0 > stage.clientWidth || y0 > stage.clientHeight || x0 + w < 0 || y0 + h < 0) return;
  pen.box(x0, y0, w, h, Math.min(8, w / 4), tint.panel, chosen ? tint.accent : tint.soft, chosen ? 3 : 1.2, 1);
  const side = 0.78 * S.k, wide = Math.min(side * S.sx, 0.78 * S.k);
  for (let v = b.first; v < b.end; v++) {
    if (!shown(v)) continue;
    const said = saidOf(v), c = isColoured(v) ? colour(values(said)[v] / extent(said)) : tint.blank;
    pen.box(px(X[v]) - wide / 2, py(Y[v]) - side / 2, wide, side, Math.min(4, side / 5), c, null, 0, isLit(v) ? 1 : 0.25);
  }
  if (w > 26 || h > 60) pen.text(x0 + w / 2, y0 - 11, `${whole(b.size)} × ${sigma(b.first)}`, { size: 12, bold: true, halo: tint.bg });
}
