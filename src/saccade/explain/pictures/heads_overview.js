
// Every head of every layer as a small picture: a row for each layer, a column for each head, on one canvas.

const LARGEST = 64, SMALLEST = 24, BETWEEN = 3; // pixels of a picture, and between two
const NAMES = 230; // pixels of a layer's name at most

class Overview {
  constructor(view) {
    this.view = view;
    this.figure = view.root.querySelector(".every");
    [this.canvas, this.svg] = this.figure.querySelector(".plot").children;
    this.cursor = { layer: 0, head: 0 };
    this.listen();
    // nothing is computed until it is near the window, and then one layer at a time, between other work
    new IntersectionObserver(([seen]) => { this.near = seen.isIntersecting; this.go(); }, { rootMargin: "200px" }).observe(this.figure);
  }

  get most() { return Math.max(...this.view.layers.map(layer => layer.heads)); }

  fill() {
    const { layers } = this.view, width = this.figure.clientWidth, most = this.most, night = dark();
    if (this.figure.hidden || !width || (this.of === layers && this.width === width && this.night === night)) return;
    const room = Math.min(NAMES, width * 0.55), names = layers.map(layer => inLines(layer.label, room));
    const left = Math.ceil(Math.max(40, ...names.flat().map(line => widthOf(line, SMALL)))) + 12, top = 24;
    const cell = Math.max(SMALLEST, Math.min(LARGEST, Math.floor((width - left - 2) / most)));
    Object.assign(this, { of: layers, width, night, cell, left, top, next: 0 });
    const size = { width: cell * most, height: cell * layers.length };
    this.pen = penOf(this.canvas, size.width, size.height);
    this.pen.fillStyle = style("--pale");
    layers.forEach((layer, number) => this.pen.fillRect(0, number * cell, layer.heads * cell, cell));
    Object.assign(this.canvas.style, { left: `${left}px`, top: `${top}px`, width: `${size.width}px`, height: `${size.height}px` });
    const svg = d3.select(this.svg).attr("width", Math.max(size.width + left + 2, Math.min(left - 12, width - 320) + 320, 320)).attr("height", top + size.height + 30).attr("font-size", SMALL).attr("fill", "currentColor");
    svg.selectAll("*").remove();
    svg.append("text").attr("x", left - 8).attr("y", 14).attr("text-anchor", "end").attr("fill", style("--grey")).text("head →");
    for (let head = 0; head < most; head++) svg.append("text").attr("x", left + cell * (head + 0.5)).attr("y", 16).attr("text-anchor", "middle").text(head);
    names.forEach((lines, number) => {
      const middle = top + cell * (number + 0.5) + 4, text = svg.append("text").attr("text-anchor", "end");
      lines.forEach((line, i) => text.append("tspan").attr("x", left - 8).attr("y", middle + (i - (lines.length - 1) / 2) * 12).text(line));
      text.append("title").text(layers[number].name);
    });
    scaleBar(svg, Math.max(0, Math.min(left - 12, width - 320)), top + size.height + 12, "each head's largest weight");
    this.now = svg.append("rect").attr("class", "now");
    this.ring = svg.append("rect").attr("class", "now").attr("stroke-dasharray", "3 2").attr("visibility", "hidden");
    if (printing.matches) while (this.next < layers.length) this.paint(this.next++); // paper does not wait
    this.go();
    this.mark();
  }

  go() {
    if (!this.near || this.waiting || !(this.next < this.view.layers.length)) return;
    const later = window.requestIdleCallback || (act => setTimeout(act, 1));
    this.waiting = true;
    later(() => {
      this.waiting = false;
      if (this.of !== this.view.layers || !(this.next < this.of.length)) return;
      this.paint(this.next++);
      this.figure.dataset.painted = this.next;
      this.go();
    });
  }

  /** The heads of a layer, each by its own largest weight; of several weights that share a pixel the largest. */
  paint(number) {
    const layer = this.view.layers[number], rows = layer.queries.length, columns = layer.keys.length, { table } = layer, ink = inks();
    const size = Math.max(1, Math.round((this.cell - BETWEEN) * Math.min(window.devicePixelRatio || 1, 3)));
    const small = Object.assign(document.createElement("canvas"), { width: size, height: size }), pen = small.getContext("2d");
    for (let head = 0; head < layer.heads; head++) {
      const pooled = pool(table.subarray(head * rows * columns, (head + 1) * rows * columns), rows, columns, size);
      const image = pen.createImageData(size, size), points = new Uint32Array(image.data.buffer);
      const scale = 255 / Math.max(1e-9, pooled.reduce((one, two) => Math.max(one, two), 0));
      for (let i = 0; i < points.length; i++) points[i] = ink[Math.round(scale * pooled[i])];
      pen.putImageData(image, 0, 0);
      this.pen.drawImage(small, head * this.cell + BETWEEN / 2, number * this.cell + BETWEEN / 2, this.cell - BETWEEN, this.cell - BETWEEN);
    }
  }

  /** A frame around the selected heads of the layer, or around one of them. */
  mark() {
    const { state, layers } = this.view, only = state.heads.size === 1 ? [...state.heads][0] : null;
    this.canvas.setAttribute("aria-label", `${layers.length} layers of ${this.most} heads; the arrow keys move, Enter selects. Selected: ${this.view.layer.label}, ${only === null ? `${state.heads.size} heads` : `head ${only}`}`);
    if (!this.now || this.figure.hidden) return;
    this.frame(this.now, state.layer, only === null ? 0 : only, only === null ? this.view.layer.heads : 1);
  }

  frame(rect, layer, head, heads) {
    rect.attr("x", this.left + head * this.cell).attr("y", this.top + layer * this.cell);
    rect.attr("width", heads * this.cell).attr("height", this.cell);
  }

  point(at) {
    this.ring.attr("visibility", at ? "visible" : "hidden");
    if (at) this.frame(this.ring, at.layer, at.head, 1);
    this.figure.querySelector(".under").textContent = at ? `${this.view.layers[at.layer].label}, head ${at.head}` : "";
  }

  listen() {
    const { canvas } = this, at = event => {
      const box = canvas.getBoundingClientRect();
      const layer = Math.floor((event.clientY - box.top) / this.cell), head = Math.floor((event.clientX - box.left) / this.cell);
      return this.view.layers[layer] && head < this.view.layers[layer].heads && layer >= 0 && head >= 0 ? { layer, head } : null;
    };
    const choose = here => { this.cursor = here; this.view.pick(here.layer, [here.head]); };
    canvas.onpointermove = event => this.point(at(event));
    canvas.onpointerleave = () => this.point(null);
    canvas.onclick = event => { const here = at(event); if (here) choose(here); };
    canvas.onfocus = () => { if (canvas.matches(":focus-visible")) this.point(this.cursor); };
    canvas.onblur = () => this.point(null);
    canvas.onkeydown = event => {
      const { layers } = this.view, [down, right] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] || [0, 0];
      if (event.key === "Enter" || event.key === " ") choose(this.cursor);
      else if (!down && !right) return;
      const layer = Math.min(layers.length - 1, Math.max(0, this.cursor.layer + down));
      this.cursor = { layer, head: Math.min(layers[layer].heads - 1, Math.max(0, this.cursor.head + right)) };
      this.point(this.cursor);
      event.preventDefault();
    };
  }
}

/** A layer's name in one line, or, where there is no room for it, in two: the place, and what it attends to. */
function inLines(label, room) {
  const at = label.indexOf(", ");
  const lines = widthOf(label, SMALL) <= room || at < 0 ? [label] : [label.slice(0, at + 1), label.slice(at + 2)];
  return lines.map(line => clipped(line, room, SMALL));
}

/** Rows and columns as a square of pixels; of the weights that share a pixel the largest. */
function pool(values, rows, columns, size) {
  const found = new Float32Array(size * size);
  for (let y = 0; y < size; y++) {
    const top = Math.floor(y * rows / size), bottom = Math.max(top + 1, Math.floor((y + 1) * rows / size));
    for (let row = top; row < bottom; row++)
      for (let x = 0; x < size; x++) {
        const left = Math.floor(x * columns / size), right = Math.max(left + 1, Math.floor((x + 1) * columns / size));
        for (let column = left; column < right; column++) {
          const value = values[row * columns + column];
          if (value > found[y * size + x]) found[y * size + x] = value;
        }
      }
  }
  return found;
}
