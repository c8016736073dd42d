// One frame.
function paint() {
  const box = stage.getBoundingClientRect(), r = devicePixelRatio, start = performance.now();
  for (const c of [$("gl"), ink]) {
    const w = Math.round(box.width * r), h = Math.round(box.height * r);
    if (c.width !== w || c.height !== h) { c.width = w; c.height = h; }
  }
  pen2d.setTransform(r, 0, 0, r, 0, 0);
  pen2d.clearRect(0, 0, box.width, box.height);
  if (small) diagram(canvasPen, box.width, box.height); else survey(canvasPen, box.width, box.height);
  stage.dataset.chosen = S.chosen < 0 ? "" : `${px(X[S.chosen]).toFixed(1)} ${py(Y[S.chosen]).toFixed(1)}`;
  stage.dataset.frame = (performance.now() - start).toFixed(1);
}
function svgPicture() {
  const { width, height } = stage.getBoundingClientRect(), out = [];
  out.push(`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`);
  out.push(`<rect width="100%" height="100%" fill="${tint.bg}"/>`);
  const pen = svgPen(out);
  if (small) diagram(pen, width, height);
  else {
    const seen = new Uint8Array(V), far = S.k < FAR;
    for (let v = 0; v < V; v++) if (shown(v) && inView(v, 10)) seen[v] = 1;
    flat(pen, allCurves(seen, far), seen, dotSize(far));
    blocks.forEach((b) => frame(pen, b));
    if (far) headers(pen);
    near(pen, seen, seen.reduce((n, x) => n + x, 0), dotSize(far));
  }
  drawLegend(pen, height);
  return `${out.join("\n")}</svg>`;
}
function pngPicture(done) {
  paint();
  drawLegend(canvasPen, stage.clientHeight);
  const c = document.createElement("canvas"), p = c.getContext("2d");
  c.width = ink.width; c.height = ink.height;
  p.fillStyle = tint.bg;
  p.fillRect(0, 0, c.width, c.height);
  if (gl) p.drawImage(gl.canvas, 0, 0);
  p.drawImage(ink, 0, 0);
  c.toBlob(done);
  paint();
}
