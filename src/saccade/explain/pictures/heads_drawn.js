
// How heads are drawn, on a canvas and as SVG: lines between tokens, strips over an axis, the matrix.

const ROW = 22, STRIP = 30, HEAD = 20, ARCS = 320; // pixels: of a token, of a strip, above them, and the width of the lines
const link = d3.linkHorizontal();

/** Of equal lightness, so that none is seen better than another. */
function colour(head, heads, night = dark()) {
  return d3.hcl((255 + head * 360 / heads) % 360, 62, night ? 72 : 42).formatHex();
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

/** The mean of the chosen heads as a picture of one pixel a weight. */
function paintMatrix(canvas, layer, heads) {
  const { values, largest } = layer.mean(heads);
  paint(canvas, values, layer.queries.length, layer.keys.length, largest);
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

/** The lines from who looks to what is looked at, as SVG. */
function savedArcs(view) {
  const { layer, state, focus } = view, group = d3.create("svg:g");
  const room = side => Math.min(220, Math.max(60, ...layer[side].map(token => widthOf(token)))) + 8;
  const left = room("queries"), right = room("keys"), middle = number => HEAD + ROW * (number + 0.5);
  for (const [side, x, anchor] of [["queries", left - 4, "end"], ["keys", left + ARCS + 4, "start"]]) {
    const text = (said, y, size) => group.append("text").attr("x", x).attr("y", y).attr("text-anchor", anchor).attr("font-size", size).attr("unicode-bidi", "isolate").text(said);
    text(layer.sides[side], 12, 11).attr("fill", style("--grey"));
    layer[side].forEach((token, number) => {
      const chosen = focus && focus.side === side && focus.number === number;
      text(clipped(token, 220), middle(number) + 5, 15).attr("font-weight", chosen ? 700 : null);
    });
  }
  link.context(null);
  const curves = group.append("g").attr("fill", "none").attr("transform", `translate(${left},0)`).attr("stroke-width", focus ? 2.5 : 1.5);
  for (const { head, query, key, weight } of layer.links(state.heads, focus, state.least).links)
    curves.append("path").attr("d", link({ source: [2, middle(query)], target: [ARCS - 2, middle(key)] }))
      .attr("stroke", colours(layer)[head]).attr("stroke-opacity", Math.min(1, 0.05 + weight / layer.largest).toFixed(3));
  return { group: group.node(), width: left + ARCS + right, height: HEAD + ROW * Math.max(layer.queries.length, layer.keys.length) };
}

function savedStrips(view) {
  const { layer, axis, state } = view, group = d3.create("svg:g"), along = axis === "keys" ? "queries" : "keys", width = 640;
  const left = Math.min(220, Math.max(30, ...layer[along].map(token => widthOf(token)))) + 8, { largest } = layer.mean(state.heads);
  const place = scaleOf(layer.axis[axis], 0, width), at = layer.axis[axis].map(value => place(value));
  layer[along].forEach((token, row) => {
    const base = HEAD + STRIP * (row + 1) - 2, area = d3.area().x((_, i) => at[i].toFixed(1)).y0(base);
    const values = layer.mine(state.heads, { side: along, number: row }), unit = unitOf(layer, values, largest);
    area.y1(value => (base - value * unit).toFixed(2));
    group.append("text").attr("x", left - 4).attr("y", base - 6).attr("text-anchor", "end").attr("font-size", 15).text(clipped(token, 220));
    group.append("path").attr("transform", `translate(${left},0)`).attr("d", area(values)).attr("fill", `rgb(${style("--dark")})`);
  });
  const bottom = HEAD + STRIP * layer[along].length;
  group.append("g").attr("transform", `translate(${left},${bottom})`).call(axisOf(d3.axisBottom, layer[axis], layer.axis[axis], width, 90));
  return { group: group.node(), width: left + width + 8, height: bottom + 34 };
}

function savedMatrix(view) {
  const { layer, state } = view, canvas = document.createElement("canvas"), room = roomOf(layer.queries, layer.keys, layer.axis);
  const cell = Math.min(24, 480 / Math.max(layer.keys.length, layer.queries.length));
  const width = cell * layer.keys.length, height = cell * layer.queries.length, group = d3.create("svg:g");
  drawAxes(group.node(), layer.queries, layer.keys, layer.axis, { ...room, width, height });
  paintMatrix(canvas, layer, state.heads);
  const image = group.append("image").attr("x", room.left).attr("y", room.top).attr("width", width).attr("height", height);
  image.attr("preserveAspectRatio", "none").attr("image-rendering", "pixelated").attr("href", canvas.toDataURL("image/png"));
  return { group: group.node(), width: room.left + width + room.right + 20, height: room.top + height + 8 };
}
