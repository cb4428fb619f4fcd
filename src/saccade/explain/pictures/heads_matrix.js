
// The mean of the selected heads as a matrix: the whole layer at once, with its axes, a grid and a scale.

const CELL_LEAST = 14, CELL_MOST = 28; // pixels of a cell; a matrix that would need smaller ones scrolls

class Matrix {
  constructor(view) {
    this.view = view;
    this.figure = view.root.querySelector(".one");
    this.caption = this.figure.querySelector(".caption");
    for (const part of ["corner", "across", "down", "over", "key-scale"]) this[part] = d3.select(this.figure.querySelector(`.${part}`));
    this.canvas = this.figure.querySelector(".matrix");
    this.canvas.onpointermove = this.canvas.onpointerdown = event => this.read(this.under(event));
    this.canvas.onpointerleave = () => { this.cursor = null; view.show(null); };
    this.canvas.onclick = () => { view.stop(); view.keep(view.state.shown); };
    this.canvas.onkeydown = event => this.move(event);
    this.canvas.onblur = () => { this.cursor = null; view.show(null); };
    steady(this.caption);
  }

  /** Sizes and axes; it is left out where strips show the same. */
  fit() {
    const { layer, axis } = this.view, { figure } = this;
    figure.hidden = !!axis && axis !== "both";
    if (figure.hidden) return;
    const room = roomOf(layer.queries, layer.keys, layer.axis), rows = layer.queries.length, columns = layer.keys.length;
    const free = Math.max(60, figure.clientWidth - room.left - room.right - 4);
    const across = layer.axis.keys ? free / columns : Math.max(CELL_LEAST, Math.min(CELL_MOST, Math.floor(free / columns)));
    const down = layer.axis.queries ? Math.max(1, Math.min(across, 600 / rows)) : layer.axis.keys ? 20 : across;
    const width = across * columns, height = down * rows, left = Math.max(room.left, 62), top = Math.max(room.top, 34);
    this.cell = { across, down };
    this.corner.attr("width", left).attr("height", top).selectAll("*").remove();
    const names = this.corner.attr("font-size", SMALL).attr("fill", style("--grey"));
    names.append("text").attr("x", left - 4).attr("y", 12).attr("text-anchor", "end").text(`${layer.sides.keys} →`);
    names.append("text").attr("x", left - 4).attr("y", top - 6).attr("text-anchor", "end").text(`${layer.sides.queries} ↓`);
    this.across.attr("width", width + room.right).attr("height", top).selectAll("*").remove();
    drawAcross(this.across.node(), layer.keys, layer.axis.keys, { left: 0, top, width });
    this.down.attr("width", left).attr("height", height + 2).selectAll("*").remove();
    drawDown(this.down.node(), layer.queries, layer.axis.queries, { left, top: 0, height });
    Object.assign(this.canvas.style, { width: `${width}px`, height: `${height}px` });
    this.canvas.setAttribute("aria-label", `${layer.values}, the mean of the selected heads, as a matrix; the arrow keys move over its cells`);
    this.over.attr("width", width + 2).attr("height", height + 2).selectAll("*").remove();
    const drawn = Math.min(across, down) >= 8 ? gridOf(0, 0, across, down, rows, columns) : `M0,0h${width}v${height}h${-width}z`;
    this.over.append("path").attr("class", "lines").attr("d", drawn);
    this.now = this.over.append("rect").attr("class", "now").attr("visibility", "hidden");
    this.here = this.over.append("rect").attr("class", "now").attr("visibility", "hidden");
  }

  draw() {
    if (this.figure.hidden) return;
    const { layer, state, focus, scale } = this.view, { of, values } = layer.mean(state.heads), key = `${of} ${scale} ${dark()}`;
    if (this.painted !== key || this.of !== layer) {
      paint(this.canvas, values, layer.queries.length, layer.keys.length, scale);
      this["key-scale"].selectAll("*").remove();
      scaleBar(this["key-scale"], 0, 2, `${scale.toFixed(2)}  ${layer.values}`);
    }
    Object.assign(this, { painted: key, of: layer });
    const { across, down } = this.cell, row = focus && focus.side === "queries", { cursor } = this;
    this.now.attr("visibility", focus ? "visible" : "hidden");
    this.here.attr("visibility", cursor ? "visible" : "hidden");
    if (focus) {
      this.now.attr("x", row ? 0 : across * focus.number).attr("y", row ? down * focus.number : 0);
      this.now.attr("width", row ? across * layer.keys.length : across).attr("height", row ? down : down * layer.queries.length);
    }
    if (cursor) this.here.attr("x", across * cursor.key).attr("y", down * cursor.query).attr("width", across).attr("height", down);
  }

  tell() {
    const { layer, state } = this.view, many = state.heads.size > 1 ? `, mean of ${state.heads.size} heads` : "";
    const how = layer.renormalised ? " Special tokens are hidden, and each row is divided by its sum without them." : "";
    if (!this.cursor) this.caption.textContent = `${capital(layer.values)}${many}: a row for each ${layer.sides.queries}, a column for each ${layer.sides.keys}.${how}`;
  }

  under(event) {
    const box = this.canvas.getBoundingClientRect(), { queries, keys } = this.view.layer;
    const place = (at, from, size, count) => Math.min(count - 1, Math.max(0, Math.floor((at - from) / size * count)));
    return { query: place(event.clientY, box.top, box.height, queries.length), key: place(event.clientX, box.left, box.width, keys.length) };
  }

  /** The weight of a cell. */
  read({ query, key }) {
    const { layer, state } = this.view, { queries, keys } = layer;
    this.cursor = { query, key };
    if (!state.shown || state.shown.side !== "queries" || state.shown.number !== query) this.view.show({ side: "queries", number: query });
    else this.draw();
    const weight = layer.mean(state.heads).values[query * keys.length + key].toFixed(3), many = state.heads.size > 1 ? `, mean of ${state.heads.size} heads` : "";
    const [from, to] = [layer.axis.queries, layer.axis.keys].map((axis, side) => (axis ? [layer.sides[side ? "keys" : "queries"].replace(/ \(.*/, ""), " "] : ["“"]));
    this.caption.replaceChildren(...from, isolated(queries[query]), layer.axis.queries ? "" : "”", layer.attention ? " attends to " : ", ", ...to, isolated(keys[key]), layer.axis.keys ? "" : "”", `: ${weight}${many}`);
  }

  move(event) {
    const by = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key], { queries, keys } = this.view.layer;
    if ((event.key === "Enter" || event.key === " ") && this.cursor) this.view.keep({ side: "queries", number: this.cursor.query });
    else if (!by) return;
    event.preventDefault();
    if (!by) return;
    const bound = (at, count) => Math.min(count - 1, Math.max(0, at));
    const to = this.cursor ? { query: bound(this.cursor.query + by[0], queries.length), key: bound(this.cursor.key + by[1], keys.length) } : { query: 0, key: 0 };
    this.read(to);
    this.here.node().scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}

function capital(text) { return text.charAt(0).toUpperCase() + text.slice(1); }
