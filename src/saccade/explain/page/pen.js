
// What a pen wrote, beside the window that led it.

class Pen {
  constructor(view) {
    this.view = view;
    this.svg = view.root.querySelector(".pen");
  }

  fit() {
    const { drawn } = this.view.given;
    this.strokes = strokesOf(drawn);
    this.svg.toggleAttribute("hidden", !this.strokes.length);
    if (!this.strokes.length) return;
    const [left, right] = d3.extent(this.strokes.flat(), point => point.x), [top, bottom] = d3.extent(this.strokes.flat(), point => point.y);
    const edge = 0.04 * (bottom - top) + 1e-3;
    this.svg.setAttribute("viewBox", [left - edge, top - edge, right - left + 2 * edge, bottom - top + 2 * edge].join(" "));
    this.svg.setAttribute("aria-label", `what the pen wrote: ${drawn.length} points in ${this.strokes.length} strokes`);
    this.radius = 0.02 * (bottom - top);
  }

  /** All of it up to the point in focus; or with the points that belong most to the character in focus. */
  mark() {
    if (!this.strokes.length) return;
    const { layer, focus, state } = this.view, points = this.strokes.flat(), svg = d3.select(this.svg);
    const timed = focus && layer.axis.keys && layer.keys.length === points.length;
    const until = timed && focus.side === "keys" ? focus.number : points.length - 1;
    const line = d3.line().x(point => point.x).y(point => point.y);
    svg.selectAll("*").remove();
    for (const stroke of this.strokes) {
      svg.append("path").attr("class", "later").attr("d", line(stroke));
      svg.append("path").attr("d", line(stroke.filter(point => point.number <= until)));
    }
    if (!timed) return;
    const shares = focus.side === "queries" ? layer.mine(state.heads, focus) : null, most = shares && d3.max(shares);
    const lit = shares ? points.filter(point => shares[point.number] >= most / 2) : [points[until]];
    for (const point of lit) svg.append("circle").attr("cx", point.x).attr("cy", point.y).attr("r", this.radius);
  }
}

/** Strokes of points x, y, end; y goes down. */
function strokesOf(drawn) {
  const strokes = [[]];
  (drawn || []).forEach(([x, y, end], number) => {
    strokes[strokes.length - 1].push({ x, y, number });
    if (end > 0.5) strokes.push([]);
  });
  return strokes.filter(stroke => stroke.length);
}
