// The way of an edge in a small graph: from rim to rim, through its bends; and places for labels on it.
const portIn = new Float32Array(E), portOut = new Float32Array(E); // angle at which an edge meets its neuron's rim
if (small) {
  const far = (e, fromSource) => { // height of the next point on the edge
    const bend = D.bends[e] || [];
    return bend.length ? bend[fromSource ? 1 : bend.length - 1] : Y[fromSource ? target[e] : source[e]];
  };
  const fan = (edges, fromSource, ports) => {
    edges.sort((p, q) => far(p, fromSource) - far(q, fromSource));
    const step = Math.min(0.42, 1.7 / edges.length);
    edges.forEach((e, k) => { ports[e] = (k - (edges.length - 1) / 2) * step; });
  };
  for (let v = 0; v < V; v++) { fan(inEdges(v), false, portIn); fan(outEdges(v), true, portOut); }
}
const arrow = () => Math.min(9, 2 + 0.3 * S.k); // length of an arrow head in pixels
function route(e, back) { // pixels: the curve `d`, where its arrow stands, and points along it
  const r = radius(), bend = D.bends[e] || [], u = source[e], v = target[e];
  const xs = [px(X[u]) + r * Math.cos(portOut[e])], ys = [py(Y[u]) + r * Math.sin(portOut[e])];
  for (let k = 0; k < bend.length; k += 2) { xs.push(px(bend[k])); ys.push(py(bend[k + 1])); }
  xs.push(px(X[v]) - r * Math.cos(portIn[e])); ys.push(py(Y[v]) + r * Math.sin(portIn[e]));
  const n = xs.length - 1, tip = back ? [xs[0], ys[0], 1] : [xs[n], ys[n], -1];
  if (back) xs[0] += arrow() - 1; else xs[n] -= arrow() - 1;
  let d = `M${xs[0].toFixed(1)} ${ys[0].toFixed(1)}`;
  const points = [];
  for (let k = 1; k <= n; k++) {
    const [xa, ya, xb, yb] = [xs[k - 1], ys[k - 1], xs[k], ys[k]], h = (xb - xa) / 2;
    d += `C${(xa + h).toFixed(1)} ${ya.toFixed(1)} ${(xb - h).toFixed(1)} ${yb.toFixed(1)} ${xb.toFixed(1)} ${yb.toFixed(1)}`;
    for (let j = 0; j < 12; j++) points.push(bezier(xa, ya, xb, yb, j / 12));
  }
  points.push([xs[n], ys[n]]);
  return { d, tip, points };
}
function bezier(xa, ya, xb, yb, t) {
  const m = (xa + xb) / 2, s = 1 - t;
  return [xa * s ** 3 + 3 * m * t * s + xb * t ** 3, ya + (yb - ya) * t * t * (3 - 2 * t)];
}

// Labels are placed one by one where they cover the fewest other things, then each once more among the rest.
const PLACES = [0.5, 0.42, 0.58, 0.34, 0.66, 0.27, 0.73, 0.2, 0.8, 0.14, 0.86];
const labelled = { key: "", found: new Map() };
function placeLabels(wanted, ways, obstacles, key) { // wanted: [edge, width, height]; gives edge → [x, y]
  if (labelled.key === key) return labelled.found;
  const boxes = new Map();
  const covers = (a, b) => Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const cost = (e, box, t) => {
    let sum = 12 * Math.abs(t - 0.5);
    for (const other of obstacles) sum += covers(box, other);
    for (const [k, other] of boxes) if (k !== e) sum += 2 * covers(box, other);
    for (const [k, way] of ways) {
      if (k !== e) for (const [x, y] of way.points) if (x > box[0] && x < box[2] && y > box[1] && y < box[3]) sum += 25;
    }
    return sum;
  };
  for (let round = 0; round < 3; round++) {
    for (const [e, w, h] of wanted) {
      const points = ways.get(e).points;
      let best = null, least = Infinity;
      for (const t of PLACES) {
        const [x, y] = points[Math.round(t * (points.length - 1))];
        for (const lift of [0, -h * 0.8, h * 0.8]) { // on the line, above it, below it
          const box = [x - w / 2 - 3, y + lift - h / 2 - 2, x + w / 2 + 3, y + lift + h / 2 + 2], c = cost(e, box, t) + (lift ? 14 : 0);
          if (c < least) { least = c; best = box; }
        }
      }
      boxes.set(e, best);
    }
  }
  labelled.key = key;
  labelled.found = new Map([...boxes].map(([e, b]) => [e, [(b[0] + b[2]) / 2 - S.dx, (b[1] + b[3]) / 2 - S.dy]]));
  return labelled.found;
}
