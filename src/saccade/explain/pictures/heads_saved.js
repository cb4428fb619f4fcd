
// What is saved of heads: links or strips, the matrix with its scale, and a legend of the heads.

/** The links, the token in focus with its weights beside the words, and a legend of the heads. */
function savedArcs(view) {
  const { layer, state, focus } = view, group = d3.create("svg:g"), found = layer.links(state.heads, focus, state.least);
  const number = 46, room = side => Math.min(220, Math.max(60, ...layer[side].map(token => widthOf(token)))) + 12;
  const left = room("queries") + number, right = room("keys") + number, middle = place => HEAD + ROW * (place + 0.5);
  const shares = focus ? layer.mine(state.heads, focus) : [], most = d3.max(shares) || 1, { shown, wide, room: blocks } = blocksOf(state.heads);
  for (const [side, x, anchor, way] of [["queries", left - 6, "end", -1], ["keys", left + ARCS + 6, "start", 1]]) {
    const text = (said, at, y, size) => group.append("text").attr("x", at).attr("y", y).attr("text-anchor", anchor).attr("font-size", size).attr("unicode-bidi", "isolate").text(said);
    text(layer.sides[side], x, 13, 12).attr("fill", style("--grey"));
    layer[side].forEach((token, place) => {
      const chosen = focus && focus.side === side && focus.number === place, other = focus && focus.side !== side, said = clipped(token, 220);
      if (chosen || (other && shares[place] >= 0.02 * most)) {
        const long = widthOf(said) + 12 + (other ? number : 0);
        group.append("rect").attr("x", way < 0 ? x - long + 6 : x - 6).attr("y", middle(place) - ROW / 2 + 1).attr("width", long).attr("height", ROW - 2).attr("rx", 3)
          .attr("fill", chosen ? style("--mark") : style("--tint")).attr("fill-opacity", chosen ? 1 : (shares[place] / most).toFixed(3));
      }
      text(said, x, middle(place) + 5, 15).attr("font-weight", chosen ? 700 : null);
      if (other && shares[place] >= state.least * most) text(shares[place].toFixed(2), x + way * (widthOf(said) + 8), middle(place) + 5, 13);
    });
  }
  link.context(null);
  const [near, far] = ["keys", "queries"].map(side => (focus && focus.side === side ? blocks : 4));
  const curves = group.append("g").attr("fill", "none").attr("transform", `translate(${left},0)`);
  for (const { head, query, key, weight } of found.links) {
    const { width, opacity } = strokeOf(weight / found.strongest, found.links.length, shown.length), shift = shiftOf(shown, head);
    curves.append("path").attr("d", link({ source: [near, middle(query) + shift], target: [ARCS - far, middle(key) + shift] }))
      .attr("stroke", colourOf(head)).attr("stroke-width", width.toFixed(2)).attr("stroke-opacity", opacity.toFixed(3))
      .attr("stroke-dasharray", dashOf(head).join(" ") || null);
  }
  if (focus && shown.length > 1) savedBlocks(group, view, found.strongest, focus.side === "queries" ? left + ARCS - blocks + 4 : left + 2, wide, middle);
  const high = HEAD + ROW * Math.max(layer.queries.length, layer.keys.length), width = left + ARCS + right;
  const legend = savedLegend(group, shown, found.strongest, width, high + 12);
  return { group: group.node(), width, height: high + 12 + legend };
}

function savedBlocks(group, { layer, state, focus }, strongest, start, wide, middle) {
  const other = focus.side === "queries" ? "keys" : "queries", { shown } = blocksOf(state.heads);
  layer[other].forEach((_, number) => shown.forEach((head, place) => {
    const weight = other === "keys" ? layer.at(head, focus.number, number) : layer.at(head, number, focus.number), share = weight / Math.max(strongest, 1e-9);
    if (share < 0.02) return;
    group.append("rect").attr("x", start + place * wide).attr("y", middle(number) - ROW / 2 + 2).attr("width", wide - 1).attr("height", ROW - 4)
      .attr("fill", colourOf(head)).attr("fill-opacity", (0.1 + 0.9 * share).toFixed(3));
  }));
}

/** The heads with their colours and dashes, and what the widest link is; the height that they take. */
function savedLegend(group, heads, strongest, width, top) {
  let x = 0, y = top;
  const entry = (said, draw) => {
    const wide = widthOf(said, 12) + 44;
    if (x && x + wide > width) { x = 0; y += 18; }
    draw(group.append("line").attr("x1", x).attr("x2", x + 24).attr("y1", y + 6).attr("y2", y + 6));
    group.append("text").attr("x", x + 30).attr("y", y + 10).attr("font-size", 12).text(said);
    x += wide;
  };
  for (const head of heads)
    entry(`head ${head}`, line => line.attr("stroke", colourOf(head)).attr("stroke-width", 4).attr("stroke-dasharray", dashOf(head).join(" ") || null));
  entry(`widest line: weight ${strongest.toFixed(2)}`, line => line.attr("stroke", "currentColor").attr("stroke-width", THICK));
  return y + 20 - top;
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
    group.append("path").attr("transform", `translate(${left},0)`).attr("d", area(values)).attr("fill", style("--dark"));
  });
  const bottom = HEAD + STRIP * layer[along].length;
  group.append("g").attr("transform", `translate(${left},${bottom})`).call(axisOf(d3.axisBottom, layer[axis], layer.axis[axis], width, 90));
  return { group: group.node(), width: left + width + 8, height: bottom + 34 };
}

/** The matrix with its axes, its grid and its scale. */
function savedMatrix(view) {
  const { layer, state } = view, canvas = document.createElement("canvas"), room = roomOf(layer.queries, layer.keys, layer.axis);
  const cell = Math.min(24, Math.max(4, 640 / Math.max(layer.keys.length, layer.queries.length)));
  const width = cell * layer.keys.length, height = cell * layer.queries.length, group = d3.create("svg:g"), name = 18;
  const inner = group.append("g").attr("transform", `translate(${name},${name})`), { left, top } = room;
  const { values } = layer.mean(state.heads), scale = view.scale;
  paint(canvas, values, layer.queries.length, layer.keys.length, scale);
  inner.append("image").attr("x", left).attr("y", top).attr("width", width).attr("height", height)
    .attr("preserveAspectRatio", "none").attr("image-rendering", "pixelated").attr("href", canvas.toDataURL("image/png"));
  if (cell >= 8) inner.append("path").attr("d", gridOf(left, top, cell, cell, layer.queries.length, layer.keys.length)).attr("stroke", style("--pale")).attr("stroke-width", 0.5).attr("fill", "none");
  drawAxes(inner.append("g").node(), layer.queries, layer.keys, layer.axis, { ...room, width, height });
  group.append("text").attr("x", name + left).attr("y", 11).attr("font-size", 12).text(layer.sides.keys);
  group.append("text").attr("transform", `translate(11,${name + top + height / 2}) rotate(-90)`).attr("text-anchor", "middle").attr("font-size", 12).text(layer.sides.queries);
  scaleBar(group, name + left, name + top + height + 10, `${scale.toFixed(2)}  ${layer.values}`);
  return { group: group.node(), width: Math.max(name + left + width + room.right, 300) + 20, height: name + top + height + 34 };
}
