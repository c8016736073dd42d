// WebGL2 for large graphs: curves (edges and ribbons), instances of one strip; and dots (neurons), points.
const SEGMENTS = [6, 14, 48]; // of a curve: while the view moves, at rest, and where there are few
const gl = small ? null : $("gl").getContext("webgl2", { antialias: false, premultipliedAlpha: true });

const CURVE = `#version 300 es
in vec2 place; in vec4 ends; in float wide; in vec4 tone;
uniform vec4 view; uniform vec2 size; uniform float flow;
out vec4 f_tone; out float f_off; out float f_half;
void main() { // place = (t along the curve, side); a Bézier curve that leaves and arrives level
  vec2 p = ends.xy * view.xy + view.zw, q = ends.zw * view.xy + view.zw;
  float t = place.x, s = 1.0 - t, mid = (p.x + q.x) / 2.0;
  float x = p.x * s * s * s + 3.0 * mid * t * s + q.x * t * t * t;
  float y = p.y + (q.y - p.y) * t * t * (3.0 - 2.0 * t);
  vec2 along = vec2(3.0 * (mid - p.x) * s * s + 3.0 * (q.x - mid) * t * t, 6.0 * (q.y - p.y) * t * s);
  vec2 across = normalize(vec2(-along.y, along.x) + vec2(0.0, 1e-6));
  f_half = wide / 2.0;
  f_off = place.y * (f_half + 1.0);
  vec2 at = (vec2(x, y) + across * f_off) / size * 2.0 - 1.0;
  gl_Position = vec4(at.x, -at.y, 0, 1);
  float ahead = flow > 0.0 ? t : flow < 0.0 ? s : 1.0;
  f_tone = vec4(tone.rgb, tone.a * (0.45 + 0.55 * ahead));
}`;
const CURVE_INK = `#version 300 es
precision highp float; in vec4 f_tone; in float f_off; in float f_half; out vec4 ink;
void main() { float a = f_tone.a * clamp(f_half + 0.5 - abs(f_off), 0.0, 1.0); ink = vec4(f_tone.rgb * a, a); }`;
const DOT = `#version 300 es
in vec2 centre; in vec4 tone;
uniform vec4 view; uniform vec2 size; uniform float wide;
out vec4 f_tone;
void main() {
  vec2 at = (centre * view.xy + view.zw) / size * 2.0 - 1.0;
  gl_Position = vec4(at.x, -at.y, 0, 1);
  gl_PointSize = wide + (wide > 7.0 ? 1.0 : 0.0);
  f_tone = tone;
}`;
const DOT_INK = `#version 300 es
precision highp float; in vec4 f_tone; uniform float wide; out vec4 ink;
void main() { // a square from afar, from near a disc with a soft rim
  float a = f_tone.a;
  vec3 c = f_tone.rgb;
  if (wide > 7.0) {
    float inside = wide / 2.0 + 0.5 - length((gl_PointCoord - 0.5) * (wide + 1.0));
    a *= clamp(inside, 0.0, 1.0);
    c = mix(vec3(0.45), c, 0.4 + 0.6 * clamp(inside - 1.0, 0.0, 1.0));
  }
  ink = vec4(c * a, a);
}`;

function linked(vertex, fragment, attributes) { // a program, its buffers and its uniforms
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  Object.keys(attributes).forEach((name, k) => gl.bindAttribLocation(program, k, name));
  gl.linkProgram(program);
  const array = gl.createVertexArray(), buffers = {};
  gl.bindVertexArray(array);
  Object.entries(attributes).forEach(([name, [count, kind, instanced]], k) => {
    buffers[name] = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers[name]);
    gl.enableVertexAttribArray(k);
    gl.vertexAttribPointer(k, count, kind, kind === gl.UNSIGNED_BYTE, 0, 0);
    gl.vertexAttribDivisor(k, instanced ? 1 : 0);
  });
  const at = (name) => gl.getUniformLocation(program, name);
  return { program, array, buffers, view: at("view"), size: at("size"), wide: at("wide"), flow: at("flow") };
}
function fill(buffer, data) { gl.bindBuffer(gl.ARRAY_BUFFER, buffer); gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW); }
let curveProgram = null, dotProgram = null;
function startGl() {
  const strip = [];
  for (const n of SEGMENTS) for (let k = 0; k <= n; k++) strip.push(k / n, -1, k / n, 1);
  curveProgram = linked(CURVE, CURVE_INK, {
    place: [2, gl.FLOAT], ends: [4, gl.FLOAT, true], wide: [1, gl.FLOAT, true], tone: [4, gl.UNSIGNED_BYTE, true],
  });
  fill(curveProgram.buffers.place, new Float32Array(strip));
  dotProgram = linked(DOT, DOT_INK, { centre: [2, gl.FLOAT], tone: [4, gl.UNSIGNED_BYTE] });
  const centres = new Float32Array(2 * V);
  for (let v = 0; v < V; v++) { centres[2 * v] = X[v]; centres[2 * v + 1] = Y[v]; }
  fill(dotProgram.buffers.centre, centres);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
}
function begin(one) {
  const c = gl.canvas, r = devicePixelRatio;
  gl.useProgram(one.program);
  gl.bindVertexArray(one.array);
  gl.uniform4f(one.view, S.k * S.sx * r, S.k * r, S.dx * r, S.dy * r);
  gl.uniform2f(one.size, c.width, c.height);
}
function clearGl() {
  gl.viewport(0, 0, gl.canvas.width, gl.canvas.height);
  gl.clearColor(0, 0, 0, 0);
  gl.clear(gl.COLOR_BUFFER_BIT);
}
function drawCurves(curves) { // each [x0, y0, x1, y1, width in pixels, [r, g, b], alpha 0 … 1]
  const n = curves.length, ends = new Float32Array(4 * n), wide = new Float32Array(n), tone = new Uint8Array(4 * n);
  curves.forEach(([x0, y0, x1, y1, w, c, a], k) => {
    ends.set([x0, y0, x1, y1], 4 * k);
    wide[k] = w * devicePixelRatio;
    tone.set([c[0], c[1], c[2], 255 * a], 4 * k);
  });
  begin(curveProgram);
  gl.uniform1f(curveProgram.flow, now() ? (backward() ? -1 : 1) : 0);
  fill(curveProgram.buffers.ends, ends);
  fill(curveProgram.buffers.wide, wide);
  fill(curveProgram.buffers.tone, tone);
  const fine = n < 400 ? 2 : S.moving ? 0 : 1, first = SEGMENTS.slice(0, fine).reduce((sum, m) => sum + 2 * (m + 1), 0);
  gl.drawArraysInstanced(gl.TRIANGLE_STRIP, first, 2 * (SEGMENTS[fine] + 1), n);
}
function drawDots(tones, wide) { // tones (4V) bytes, or null for those of last time
  begin(dotProgram);
  gl.uniform1f(dotProgram.wide, wide * devicePixelRatio);
  if (tones) fill(dotProgram.buffers.tone, tones);
  gl.drawArrays(gl.POINTS, 0, V);
}
if (gl) startGl();
