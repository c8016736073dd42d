// A pen draws on the 2D canvas or writes SVG: one picture, two ways out.
const ink = $("ink"), pen2d = ink.getContext("2d");
const FONT = "system-ui, 'Segoe UI', 'Helvetica Neue', sans-serif";
const font = (style) => `${style.bold ? 600 : 400} ${style.size || 12}px ${FONT}`;

const canvasPen = {
  width(text, style) { pen2d.font = font(style); return pen2d.measureText(text).width; },
  curve(d, stroke, width, alpha, dash) {
    pen2d.globalAlpha = alpha; pen2d.strokeStyle = stroke; pen2d.lineWidth = width;
    pen2d.setLineDash(dash || []);
    pen2d.stroke(new Path2D(d));
    pen2d.setLineDash([]);
    pen2d.globalAlpha = 1;
  },
  shape(d, fill, alpha) { pen2d.globalAlpha = alpha; pen2d.fillStyle = fill; pen2d.fill(new Path2D(d)); pen2d.globalAlpha = 1; },
  circle(x, y, r, fill, stroke, width, alpha, dash) {
    pen2d.globalAlpha = alpha;
    pen2d.beginPath(); pen2d.arc(x, y, r, 0, 7);
    if (fill) { pen2d.fillStyle = fill; pen2d.fill(); }
    if (stroke) { pen2d.setLineDash(dash || []); pen2d.strokeStyle = stroke; pen2d.lineWidth = width; pen2d.stroke(); pen2d.setLineDash([]); }
    pen2d.globalAlpha = 1;
  },
  box(x, y, w, h, r, fill, stroke, width, alpha) {
    pen2d.globalAlpha = alpha;
    pen2d.beginPath(); pen2d.roundRect(x, y, w, h, r);
    if (fill) { pen2d.fillStyle = fill; pen2d.fill(); }
    if (stroke) { pen2d.strokeStyle = stroke; pen2d.lineWidth = width; pen2d.stroke(); }
    pen2d.globalAlpha = 1;
  },
  text(x, y, t, style) {
    pen2d.globalAlpha = style.alpha ?? 1;
    pen2d.font = font(style); pen2d.textAlign = style.align || "center"; pen2d.textBaseline = "middle";
    if (style.halo) { pen2d.strokeStyle = style.halo; pen2d.lineWidth = 4; pen2d.lineJoin = "round"; pen2d.strokeText(t, x, y); }
    pen2d.fillStyle = style.fill || tint.ink;
    pen2d.fillText(t, x, y);
    pen2d.globalAlpha = 1;
  },
};
function textBox(x, y, wide, size, align, owner) { // left, top, right, bottom, and the neuron it belongs to
  const left = x - wide * { left: 0, center: 0.5, right: 1 }[align];
  return [left, y - size / 2, left + wide, y + size / 2, owner];
}
class Room { // boxes that are taken; what would cover another's has no room
  constructor() { this.taken = []; }
  take(box) { this.taken.push(box); }
  free(box) {
    const covers = (b) => b[0] < box[2] && box[0] < b[2] && b[1] < box[3] && box[1] < b[3];
    return !this.taken.some((b) => b[4] !== box[4] && covers(b));
  }
}
const ESCAPED = /[&<>"]/g, UNFIT = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;
const escaped = (t) => t.replace(ESCAPED, (c) => `&#${c.charCodeAt(0)};`).replace(UNFIT, "\ufffd");
function svgPen(out) { // writes elements into `out`
  const n = (x) => Number(x.toFixed(1));
  const paint = (fill, stroke, width) => `fill="${fill || "none"}" stroke="${stroke || "none"}" stroke-width="${n(width || 0)}"`;
  const dashed = (dash) => (dash ? ` stroke-dasharray="${dash.join(" ")}"` : "");
  const anchors = { center: "middle", left: "start", right: "end" };
  return {
    width: canvasPen.width,
    curve: (d, stroke, width, alpha, dash) => {
      out.push(`<path d="${d}" ${paint(null, stroke, width)} opacity="${alpha}"${dashed(dash)}/>`);
    },
    shape: (d, fill, alpha) => out.push(`<path d="${d}" fill="${fill}" opacity="${alpha}"/>`),
    circle: (x, y, r, fill, stroke, width, alpha, dash) => {
      const look = `${paint(fill, stroke, width)} opacity="${alpha}"${dashed(dash)}`;
      out.push(`<circle cx="${n(x)}" cy="${n(y)}" r="${n(r)}" ${look}/>`);
    },
    box: (x, y, w, h, r, fill, stroke, width, alpha) => {
      const look = `${paint(fill, stroke, width)} opacity="${alpha}"`;
      out.push(`<rect x="${n(x)}" y="${n(y)}" width="${n(w)}" height="${n(h)}" rx="${n(r)}" ${look}/>`);
    },
    text: (x, y, t, style) => {
      const halo = style.halo ? ` stroke="${style.halo}" stroke-width="4" stroke-linejoin="round" paint-order="stroke"` : "";
      const type = `font-family="system-ui,sans-serif" font-size="${style.size || 12}" font-weight="${style.bold ? 600 : 400}"`;
      const place = `text-anchor="${anchors[style.align || "center"]}" dominant-baseline="central"`;
      const look = `fill="${style.fill || tint.ink}" opacity="${style.alpha ?? 1}"${halo}`;
      out.push(`<text x="${n(x)}" y="${n(y)}" ${type} ${place} ${look}>${escaped(t)}</text>`);
    },
  };
}
