
// The mean of the chosen heads as a matrix with axes: the whole layer at once.

class Matrix {
  constructor(view) {
    this.view = view;
    this.figure = view.root.querySelector(".one");
    [this.canvas, this.svg] = this.figure.querySelector(".plot").children;
    this.caption = this.figure.querySelector(".caption");
    this.canvas.onpointermove = this.canvas.onpointerdown = event => this.read(event);
    this.canvas.onpointerleave = () => view.show(null);
    this.canvas.onclick = () => { view.stop(); view.keep(view.state.shown); };
    steady(this.caption);
  }

  /** Sizes and axes; it is left out where strips show the same. */
  fit() {
    const { layer, axis } = this.view, { figure } = this;
    figure.hidden = !!axis && axis !== "both";
    figure.classList.toggle("alone", axis === "both");
    if (figure.hidden) return;
    const room = roomOf(layer.queries, layer.keys, layer.axis);
    const wide = Math.max(40, Math.min(figure.clientWidth - 2, axis ? 800 : 560) - room.left - room.right);
    const width = layer.axis.keys ? wide : Math.min(wide, 24 * layer.keys.length);
    const cell = layer.axis.queries ? width / layer.queries.length : Math.max(width / layer.keys.length, layer.axis.keys ? 18 : 0);
    const height = Math.max(8, Math.min(1200, cell * layer.queries.length));
    this.box = { ...room, width, height };
    Object.assign(this.canvas.style, { left: `${room.left}px`, top: `${room.top}px`, width: `${width}px`, height: `${height}px` });
    this.canvas.setAttribute("aria-label", `${layer.values}, the mean of the chosen heads, as a matrix`);
    this.svg.setAttribute("width", room.left + width);
    this.svg.setAttribute("height", room.top + height + 4);
    drawAxes(this.svg, layer.queries, layer.keys, layer.axis, this.box);
    this.now = d3.select(this.svg).append("rect").attr("class", "now").attr("visibility", "hidden");
  }

  draw() {
    if (this.figure.hidden) return;
    const { layer, state, focus } = this.view, { of } = layer.mean(state.heads), key = `${of} ${dark()}`;
    if (this.painted !== key || this.of !== layer) paintMatrix(this.canvas, layer, state.heads);
    Object.assign(this, { painted: key, of: layer });
    const { left, top, width, height } = this.box, down = height / layer.queries.length, across = width / layer.keys.length;
    this.now.attr("visibility", focus ? "visible" : "hidden");
    if (!focus) return;
    const row = focus.side === "queries";
    this.now.attr("x", row ? left : left + across * focus.number).attr("y", row ? top + down * focus.number : top);
    this.now.attr("width", row ? width : across).attr("height", row ? down : height);
  }

  tell() {
    const { values, sides } = this.view.layer;
    const down = sides.queries === "looks" ? "who looks" : sides.queries, across = sides.keys === "is looked at" ? "what is looked at" : sides.keys;
    this.caption.textContent = `${values}, the mean of the chosen heads: ${down} goes down, ${across} across; the stronger the colour, the more`;
  }

  /** The weight under the pointer. */
  read(event) {
    const box = event.target.getBoundingClientRect(), { layer, state } = this.view, { queries, keys } = layer;
    const place = (at, from, size, count) => Math.min(count - 1, Math.max(0, Math.floor((at - from) / size * count)));
    const key = place(event.clientX, box.left, box.width, keys.length), query = place(event.clientY, box.top, box.height, queries.length);
    if (!state.shown || state.shown.side !== "queries" || state.shown.number !== query) this.view.show({ side: "queries", number: query });
    const weight = layer.mean(state.heads).values[query * keys.length + key].toFixed(3), verb = layer.sides.queries === "looks" ? " looks at " : " at ";
    this.caption.replaceChildren("“", isolated(queries[query]), "”", verb, "“", isolated(keys[key]), `”: ${weight}, the mean of the chosen heads`);
  }
}
