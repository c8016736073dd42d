// Controls.
function refresh() {
  stale = true;
  const mode = modeNow(), most = reach(values(mode));
  $("low").textContent = `${MODES[mode]}  −${fmt(most, 3)}`;
  $("high").textContent = fmt(most, 3);
  $("ramp").style.background = `linear-gradient(90deg, ${[-1, -0.5, 0, 0.5, 1].map(colour).join(",")})`;
  $("caption").textContent = caption();
  showCard(S.chosen);
  showChart();
  redraw();
}
function choose(v) {
  S.chosen = v;
  S.lit = null;
  if (v >= 0) { const up = cone(v, false), down = cone(v, true); S.lit = up.map((x, k) => x | down[k]); }
  refresh();
}
function setStep(k) { S.step = Math.max(-1, Math.min(groups.length - 1, k)); $("step").value = S.step; refresh(); }
function near(event) {
  const box = $("stage").getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  let best = -1, least = Math.max(8, radius() + 3) ** 2;
  for (let v = 0; v < V; v++) { const d = (px(X[v]) - x) ** 2 + (py(Y[v]) - y) ** 2; if (d < least && shown(v)) { least = d; best = v; } }
  return best;
}
let rest = 0, drag = null;
function moving() { S.moving = true; clearTimeout(rest); rest = setTimeout(() => { S.moving = false; redraw(); }, 180); redraw(); }
function zoom(factor, x, y) { S.k *= factor; S.dx = x + (S.dx - x) * factor; S.dy = y + (S.dy - y) * factor; moving(); }
const stage = $("stage");
stage.addEventListener("wheel", (e) => { e.preventDefault(); const b = stage.getBoundingClientRect(); zoom(Math.exp(-e.deltaY / 500), e.clientX - b.left, e.clientY - b.top); }, { passive: false });
stage.addEventListener("pointerdown", (e) => { drag = { x: e.clientX, y: e.clientY, far: false }; stage.setPointerCapture(e.pointerId); });
stage.addEventListener("pointermove", (e) => {
  if (drag) { const dx = e.clientX - drag.x, dy = e.clientY - drag.y; if (drag.far || Math.abs(dx) + Math.abs(dy) > 4) { S.dx += dx; S.dy += dy; drag = { x: e.clientX, y: e.clientY, far: true }; moving(); } return; }
  const v = near(e);
  if (v !== S.hover) { S.hover = v; showCard(v >= 0 ? v : S.chosen); redraw(); }
});
stage.addEventListener("pointerup", (e) => { if (drag && !drag.far) choose(near(e)); drag = null; });
$("title").textContent = D.title;
document.title = D.title;
for (const [key, said] of Object.entries(MODES)) put($("mode"), "option", said).value = key;
D.samples.forEach((s, k) => { put($("sample"), "option", `row ${s.row}`).value = k; });
$("mode").onchange = (e) => { S.mode = e.target.value; refresh(); };
$("palette").onchange = (e) => { S.palette = e.target.value; refresh(); };
$("sample").onchange = (e) => { S.sample = Number(e.target.value); refresh(); };
$("search").oninput = (e) => {
  const text = e.target.value.toLowerCase(), found = text ? names.filter((n) => n.toLowerCase().includes(text)).slice(0, 30) : [];
  $("names").replaceChildren(...found.map((n) => { const o = document.createElement("option"); o.value = n; return o; }));
};
$("search").onchange = (e) => {
  const text = e.target.value.toLowerCase();
  let v = text ? names.findIndex((n) => n.toLowerCase() === text) : -1;
  if (v < 0 && text) v = names.findIndex((n) => n.toLowerCase().includes(text));
  if (v >= 0 && !small) { const b = stage.getBoundingClientRect(); S.k = Math.max(S.k, 40); S.dx = b.width / 2 - X[v] * S.k; S.dy = b.height / 2 - Y[v] * S.k; }
  choose(v);
};
const quantile = (array, q) => { const all = Array.from(array, Math.abs).sort((p, r) => p - r); return q ? all[Math.min(all.length - 1, Math.floor((q / 100) * all.length))] : 0; };
$("byweight").oninput = (e) => { S.wmin = quantile(weight, Number(e.target.value)); refresh(); };
$("byimportance").oninput = (e) => { S.imin = quantile(importance, Number(e.target.value)); refresh(); };
const deepest = level.reduce((m, x) => Math.max(m, x), 0);
$("bylevel").max = deepest;
$("bylevel").value = deepest;
$("bylevel").oninput = (e) => { S.lmax = Number(e.target.value); refresh(); };
$("step").max = groups.length - 1;
$("step").value = -1;
$("step").oninput = (e) => setStep(Number(e.target.value));
let clock = 0;
$("play").onclick = () => { if (clock) { clearInterval(clock); clock = 0; return; } clock = setInterval(() => { if (S.step >= groups.length - 1) { clearInterval(clock); clock = 0; } else setStep(S.step + 1); }, 900); };
function theme(dark) { S.dark = dark; document.documentElement.dataset.theme = dark ? "dark" : "light"; refresh(); }
$("theme").onclick = () => theme(!S.dark);
function download(blob, name) { const a = document.createElement("a"); a.href = URL.createObjectURL(blob); a.download = name; a.click(); setTimeout(() => URL.revokeObjectURL(a.href), 5000); }
function svg() {
  const b = stage.getBoundingClientRect(), out = [`<svg xmlns="http://www.w3.org/2000/svg" width="${b.width}" height="${b.height}"><rect width="100%" height="100%" fill="${css("--bg")}"/>`], pen = svgPen(out);
  drawEdges(pen, strongest.filter(kept).slice(0, 20000));
  drawNodes(pen, b.width, b.height);
  return out.join("\n") + "</svg>";
}
$("svg").onclick = () => download(new Blob([svg()], { type: "image/svg+xml" }), "network.svg");
$("png").onclick = () => {
  paint();
  const c = document.createElement("canvas"), p = c.getContext("2d");
  c.width = ink.width; c.height = ink.height;
  p.fillStyle = css("--bg");
  p.fillRect(0, 0, c.width, c.height);
  if (gl) p.drawImage(gl.canvas, 0, 0);
  p.drawImage(ink, 0, 0);
  c.toBlob((blob) => download(blob, "network.png"));
};
function walk(key) { // along the strongest edge, or within the level
  const v = S.chosen;
  if (v < 0) return choose(0);
  if (key === "ArrowUp" || key === "ArrowDown") { const all = Array.from(level.keys()).filter((u) => level[u] === level[v]).sort((p, q) => X[p] - X[q] || Y[p] - Y[q]); return choose(all[Math.max(0, Math.min(all.length - 1, all.indexOf(v) + (key === "ArrowUp" ? -1 : 1)))]); }
  const into = key === "ArrowLeft", edges = into ? Array.from({ length: inPtr[v + 1] - inPtr[v] }, (_, k) => inPtr[v] + k) : Array.from(outEdge.slice(outPtr[v], outPtr[v + 1]));
  if (edges.length) { const e = edges.reduce((p, q) => (Math.abs(weight[q]) > Math.abs(weight[p]) ? q : p)); choose(into ? source[e] : target[e]); }
}
addEventListener("keydown", (e) => {
  if (["INPUT", "SELECT"].includes(e.target.tagName)) { if (e.key === "Escape") e.target.blur(); return; }
  const b = stage.getBoundingClientRect();
  if (e.key === "/") { e.preventDefault(); $("search").focus(); }
  else if (e.key.startsWith("Arrow")) { e.preventDefault(); walk(e.key); }
  else if (e.key === "[" || e.key === "]") setStep(S.step + (e.key === "]" ? 1 : -1));
  else if (e.key === "+" || e.key === "-") zoom(e.key === "+" ? 1.25 : 0.8, b.width / 2, b.height / 2);
  else if (e.key === "0") fit();
  else if (e.key === "t") theme(!S.dark);
  else if (e.key === "Escape") { choose(-1); setStep(-1); }
});
addEventListener("resize", fit);
async function follow() { // a run that is trained again: its losses, from the server that gave this page
  try { D.history = await (await fetch(D.live)).json(); showChart(); } catch (problem) { clearInterval(following); }
}
const following = D.live ? setInterval(follow, 2000) : 0;
theme(matchMedia("(prefers-color-scheme: dark)").matches);
fit();
moving(); // the strongest edges first, all of them when that is drawn
paint();
document.documentElement.dataset.ready = "yes";
