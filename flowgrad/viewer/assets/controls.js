// What the reader does: choosing, stepping, searching, filtering, keys.
function refresh() {
  stale = true;
  const { head, text } = told();
  $("head").textContent = head;
  $("caption").textContent = text;
  showLegend();
  showCard(S.chosen);
  redraw();
}
function choose(v) {
  S.chosen = v;
  S.group = -1;
  S.up = S.down = null;
  if (v >= 0) {
    S.up = cone(v, false);
    S.down = cone(v, true);
    if (isFolded(v)) fold(blockOf[v], false);
  }
  refresh();
}
function chooseBlock(k) { choose(-1); S.group = k; refresh(); }
function setStep(k) { S.step = Math.max(-1, Math.min(steps.length - 1, k)); $("step").value = S.step; refresh(); }
function setSample(k) { S.sample = Math.max(0, Math.min(D.samples.length - 1, k)); $("sample").value = S.sample; refresh(); }
function theme(dark) {
  S.dark = dark;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  readTheme();
  if (!$("history").hidden) drawChart(-1);
  refresh();
}

function blockUnder(event) {
  const box = stage.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  return blocks.findIndex((b) => b.collapsed && x >= px(b.x0) && x <= px(b.x1) && y >= py(b.y0) && y <= py(b.y1));
}
let drag = null;
function startStage() {
  stage.addEventListener("wheel", (e) => {
    e.preventDefault();
    const box = stage.getBoundingClientRect();
    zoom(Math.exp(-e.deltaY / 500), e.clientX - box.left, e.clientY - box.top);
  }, { passive: false });
  stage.addEventListener("pointerdown", (e) => { drag = { x: e.clientX, y: e.clientY, far: false }; stage.setPointerCapture(e.pointerId); });
  stage.addEventListener("pointermove", (e) => {
    if (!drag) return hover(e);
    const dx = e.clientX - drag.x, dy = e.clientY - drag.y;
    if (!drag.far && Math.abs(dx) + Math.abs(dy) <= 4) return undefined;
    S.dx += dx;
    S.dy += dy;
    drag = { x: e.clientX, y: e.clientY, far: true };
    return moving();
  });
  stage.addEventListener("pointerup", (e) => {
    if (drag && !drag.far) { const k = blockUnder(e); if (k >= 0) chooseBlock(k); else choose(nearest(e)); }
    drag = null;
  });
  stage.addEventListener("dblclick", (e) => {
    const k = blockUnder(e), v = nearest(e);
    if (k >= 0) fold(k, false); else if (v >= 0 && blockOf[v] >= 0) { choose(-1); fold(blockOf[v], true); }
    refresh();
  });
  stage.addEventListener("pointerleave", () => { if (S.hover >= 0) { S.hover = -1; showCard(S.chosen); redraw(); } });
}
function hover(event) {
  const v = blockUnder(event) >= 0 ? -1 : nearest(event);
  if (v === S.hover) return;
  S.hover = v;
  showCard(v >= 0 ? v : S.chosen);
  redraw();
}

let asking = { text: "", found: [], next: 0 };
function find(text) { // the neurons whose name has the text: exact, then at the start, then anywhere
  const wanted = text.trim().toLowerCase();
  if (!wanted) return [];
  const places = names.map((n, v) => [n.toLowerCase().indexOf(wanted), n.length, v]).filter(([p]) => p >= 0);
  return places.sort((p, q) => Math.min(1, p[0]) - Math.min(1, q[0]) || p[1] - q[1] || p[2] - q[2]).map((p) => p[2]);
}
function startSearch() {
  const field = $("search");
  field.oninput = () => {
    asking = { text: field.value, found: find(field.value), next: 0 };
    $("names").replaceChildren();
    asking.found.slice(0, 30).forEach((v) => { put($("names"), "option").value = names[v]; });
    $("hits").textContent = field.value.trim() ? plural(asking.found.length, "hit") : "";
  };
  field.onkeydown = (e) => { // Enter goes to the first, Enter again to the next
    if (e.key !== "Enter" || !asking.found.length) return;
    const v = asking.found[asking.next % asking.found.length];
    $("hits").textContent = `${(asking.next % asking.found.length) + 1} of ${asking.found.length}`;
    asking.next++;
    if (!small) goTo(v);
    choose(v);
  };
}
function startFilters() {
  const bind = (id, act) => { $(id).oninput = (e) => { act(Number(e.target.value)); countKept(); refresh(); }; };
  bind("byweight", (q) => { S.wmin = quantile(weight, q / 100); });
  bind("byimportance", (q) => { S.imin = quantile(importance, q / 100); });
  bind("fromlevel", (k) => { S.lmin = k; });
  bind("tolevel", (k) => { S.lmax = k; });
  for (const id of ["fromlevel", "tolevel"]) $(id).max = deepest;
  $("tolevel").value = deepest;
  countKept();
}
function countKept() {
  let neurons = 0, edges = 0;
  for (let v = 0; v < V; v++) if (shown(v)) neurons++;
  for (let e = 0; e < E; e++) if (kept(e)) edges++;
  $("kept").textContent = `${whole(neurons)} of ${plural(V, "neuron")}, ${whole(edges)} of ${plural(E, "edge")} shown`;
  $("saidweight").textContent = fmt(S.wmin, 3);
  $("saidimportance").textContent = fmt(S.imin, 3);
  $("saidlevel").textContent = `${S.lmin} – ${S.lmax}`;
}
function download(blob, name) {
  const a = document.createElement("a");
  a.href = URL.createObjectURL(blob);
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 5000);
}
let clock = 0;
function play() {
  if (clock) { clearInterval(clock); clock = 0; } else {
    if (S.step >= steps.length - 1) setStep(-1);
    clock = setInterval(() => { setStep(S.step + 1); if (S.step >= steps.length - 1) play(); }, 1100);
  }
  $("play").textContent = clock ? "pause" : "play";
}
function startControls() {
  for (const [key, said] of Object.entries(MODES)) put($("mode"), "option", said).value = key;
  for (const key of Object.keys(RAMPS)) put($("palette"), "option", key);
  $("mode").onchange = (e) => { S.mode = e.target.value; refresh(); };
  $("palette").onchange = (e) => { S.palette = e.target.value; refresh(); };
  $("sample").onchange = (e) => setSample(Number(e.target.value));
  $("step").max = steps.length - 1;
  $("step").oninput = (e) => setStep(Number(e.target.value));
  $("play").onclick = play;
  $("theme").onclick = () => theme(!S.dark);
  $("svg").onclick = () => download(new Blob([svgPicture()], { type: "image/svg+xml" }), `${D.title}.svg`);
  $("png").onclick = () => pngPicture((blob) => download(blob, `${D.title}.png`));
  $("help").onclick = () => $("keys").showModal();
  $("folds").hidden = !blocks.length;
  $("folds").onclick = () => foldAll();
  listSamples();
}
function foldAll() { fold(-1, !blocks.some((b) => b.collapsed)); S.group = -1; refresh(); }
function listSamples() {
  $("sample").replaceChildren();
  D.samples.forEach((s, k) => { put($("sample"), "option", `row ${s.row}`).value = k; });
  $("sample").value = S.sample;
}
function walk(key) { // along the strongest edge, or up and down in the level
  const v = S.chosen;
  if (v < 0) return choose(0);
  if (key === "ArrowUp" || key === "ArrowDown") {
    const all = Array.from(level.keys()).filter((u) => level[u] === level[v] && shown(u));
    all.sort((p, q) => Y[p] - Y[q] || X[p] - X[q]);
    const next = all.indexOf(v) + (key === "ArrowUp" ? -1 : 1);
    return choose(all[Math.max(0, Math.min(all.length - 1, next))]);
  }
  const into = key === "ArrowLeft", edges = (into ? inEdges(v) : outEdges(v)).filter(kept);
  if (!edges.length) return undefined;
  const e = edges.reduce((p, q) => (Math.abs(weight[q]) > Math.abs(weight[p]) ? q : p));
  return choose(into ? source[e] : target[e]);
}
const KEYS = {
  "/": () => $("search").focus(), "[": () => setStep(S.step - 1), "]": () => setStep(S.step + 1), " ": play,
  ",": () => setSample(S.sample - 1), ".": () => setSample(S.sample + 1), "0": fit, t: () => theme(!S.dark), b: () => foldAll(),
  "+": () => zoom(1.25, stage.clientWidth / 2, stage.clientHeight / 2), "-": () => zoom(0.8, stage.clientWidth / 2, stage.clientHeight / 2),
  "?": () => $("keys").showModal(), Escape: () => { choose(-1); setStep(-1); },
};
function startKeys() {
  addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || $("keys").open) return;
    if (["INPUT", "SELECT"].includes(e.target.tagName)) { if (e.key === "Escape") { e.target.blur(); stage.focus(); } return; }
    if (e.key === " " && e.target.tagName === "BUTTON") return;
    if (e.key.startsWith("Arrow")) walk(e.key); else if (KEYS[e.key]) KEYS[e.key](); else return;
    e.preventDefault();
  });
}
