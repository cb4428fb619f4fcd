
// What is drawn on canvases and into SVG: arcs, strips, the matrix, axes.

const ROW = 22, STRIP = 30, HEAD = 20, GAP = 14; // pixels
const link = d3.linkHorizontal();
const dark = () => matchMedia("(prefers-color-scheme: dark)").matches;
const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const measuring = document.createElement("canvas").getContext("2d");

/** Of equal lightness, so that none is seen better than another. */
function colour(head, heads, night = dark()) {
  return d3.hcl((255 + head * 360 / heads) % 360, 62, night ? 72 : 42).formatHex();
}

function widthOf(text, size = 15) {
  measuring.font = `${size}px system-ui, sans-serif`;
  return measuring.measureText(text).width;
}

/** The text, cut where it is wider. */
function clipped(text, width, size = 15) {
  if (widthOf(text, size) <= width) return text;
  const signs = [...text];
  while (signs.length && widthOf(`${signs.join("")}…`, size) > width) signs.pop();
  return `${signs.join("")}…`;
}

/** The canvas with room for so many pixels, and a pen that counts in those of the page. */
function penOf(canvas, width, height) {
  const ratio = Math.min(window.devicePixelRatio || 1, 3);
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  return pen;
}

function drawArcs(pen, layer, links, width, middle, wide) {
  link.context(pen);
  pen.lineWidth = wide ? 2.5 : links.length > 200 ? 1 : 1.5; // one pixel is drawn far sooner
  for (const { head, query, key, weight } of links) {
    pen.strokeStyle = colours(layer)[head];
    pen.globalAlpha = Math.min(1, 0.05 + weight / layer.largest);
    pen.beginPath();
    link({ source: [2, middle(query)], target: [width - 2, middle(key)] });
    pen.stroke();
  }
  pen.globalAlpha = 1;
}

/** The colours of a layer's heads; kept, since they are asked for at each link. */
function colours(layer) {
  const night = dark();
  if (!layer.colours || layer.night !== night) {
    layer.night = night;
    layer.colours = Array.from({ length: layer.heads }, (_, head) => colour(head, layer.heads, night));
  }
  return layer.colours;
}

/** Where along an axis a value or a token stands. */
function scaleOf(values, count, length) {
  if (!values) return d3.scaleBand(d3.range(count), [0, length]);
  const half = (values[values.length - 1] - values[0]) / (values.length - 1) / 2;
  return d3.scaleLinear([values[0] - half, values[values.length - 1] + half], [0, length]);
}

/** An axis of d3: ticks of numbers, or as many tokens as there is room for. */
function axisOf(make, tokens, values, length, room) {
  const scale = scaleOf(values, tokens.length, length), axis = make(scale).tickSizeOuter(0);
  if (values) {
    const unit = tokens[0].endsWith(" s") ? " s" : "", ticks = Math.max(2, Math.floor(length / 70));
    const said = scale.tickFormat(ticks);
    return axis.ticks(ticks).tickFormat(value => said(value) + unit);
  }
  const every = Math.max(1, Math.ceil(GAP / scale.step()));
  return axis.tickSize(3).tickValues(d3.range(0, tokens.length, every)).tickFormat(i => clipped(tokens[i], room, 10));
}

/** What the axes of rows and columns need of room around a matrix. */
function roomOf(rows, columns, values) {
  const widest = tokens => Math.min(90, Math.max(8, ...tokens.slice(0, 600).map(token => widthOf(token, 10))));
  const left = Math.ceil(values.queries ? 42 : widest(rows) + 12);
  const across = values.keys ? 0 : widest(columns); // turned by 50 degrees
  return { left, top: Math.ceil(values.keys ? 22 : across * 0.8 + 14), right: Math.ceil(Math.min(40, across * 0.6)) };
}

function drawAxes(group, rows, columns, values, { left, top, width, height }) {
  const node = d3.select(group);
  node.selectAll("*").remove();
  const across = node.append("g").attr("transform", `translate(${left},${top})`);
  across.call(axisOf(d3.axisTop, columns, values.keys, width, 90));
  if (!values.keys)
    across.selectAll("text").attr("text-anchor", "start").attr("transform", "rotate(-50)").attr("dx", "6").attr("dy", "4");
  const down = node.append("g").attr("transform", `translate(${left},${top})`);
  down.call(axisOf(d3.axisLeft, rows, values.queries, height, 90));
  node.selectAll("path").attr("stroke-opacity", 0.3);
}

/** The mean of the chosen heads as a picture of one pixel a weight. */
function paintMatrix(canvas, layer, heads) {
  const rows = layer.queries.length, columns = layer.keys.length, { values, largest } = layer.mean(heads);
  canvas.width = columns;
  canvas.height = rows;
  const pen = canvas.getContext("2d"), image = pen.createImageData(columns, rows);
  const [red, green, blue] = style("--dark").split(",").map(Number), scale = 255 / Math.max(largest, 1e-9);
  const ink = (blue << 16) | (green << 8) | red, points = new Uint32Array(image.data.buffer);
  for (let i = 0; i < values.length; i++) points[i] = ink | (Math.round(scale * values[i]) << 24);
  pen.putImageData(image, 0, 0);
}

/** Pixels of a strip for a weight: a look is drawn by its own largest weight, so that one that is spread is seen too. */
function unitOf(layer, values, largest) {
  const own = layer.values === PLAIN ? Math.max(d3.max(values), largest / 20) : largest;
  return (STRIP - 4) / Math.max(own, 1e-9);
}

/** Of each token a strip over the axis: the mean of the chosen heads, and of the focused one each head's line. */
function drawStrips(pen, layer, heads, focus, { side, width, top, first, last }) {
  const along = side === "keys" ? "queries" : "keys", place = scaleOf(layer.axis[side], 0, width);
  const at = layer.axis[side].map(value => place(value)), { largest } = layer.mean(heads);
  const ink = `rgb(${style("--dark")})`, base = row => top(row) + STRIP - 2;
  for (let row = first; row < last; row++) {
    const values = layer.mine(heads, { side: along, number: row }), chosen = focus && focus.side === along && focus.number === row;
    const unit = unitOf(layer, values, largest);
    pen.fillStyle = ink;
    pen.globalAlpha = focus && focus.side === along && !chosen ? 0.3 : 0.85;
    pen.beginPath();
    d3.area().x((_, i) => at[i]).y0(base(row)).y1(value => base(row) - value * unit).context(pen)(values);
    pen.fill();
    if (chosen && heads.size > 1)
      for (const head of heads) {
        const own = d3.range(at.length).map(i => (side === "keys" ? layer.at(head, row, i) : layer.at(head, i, row)));
        pen.strokeStyle = colours(layer)[head];
        pen.globalAlpha = 1;
        pen.beginPath();
        d3.line().x((_, i) => at[i]).y(value => base(row) - Math.min(value * unit, STRIP - 3)).context(pen)(own);
        pen.stroke();
      }
    pen.globalAlpha = 0.25;
    pen.fillRect(0, base(row), width, 1);
  }
  pen.globalAlpha = 1;
  if (focus && focus.side === side) {
    pen.fillStyle = "#e69f00";
    pen.fillRect(at[focus.number] - 1, 0, 2, pen.canvas.height);
  }
}
