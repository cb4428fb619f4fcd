
// What is shown, as a picture or as a page of its own.

const ARCS = 320, EDGE = 16; // pixels: the width of the arcs, and around a picture

/** The views that are seen, side by side, as one SVG. */
function picture(views) {
  const parts = views.map(drawn), gap = 2 * EDGE;
  const width = d3.sum(parts, part => part.width) + gap * (parts.length - 1) + 2 * EDGE;
  const height = d3.max(parts, part => part.height) + 2 * EDGE;
  const svg = d3.create("svg:svg").attr("xmlns", "http://www.w3.org/2000/svg").attr("width", width).attr("height", height);
  svg.attr("viewBox", `0 0 ${width} ${height}`).attr("font-family", "system-ui, sans-serif").attr("color", style("--ink")).attr("fill", style("--ink"));
  svg.append("title").text(document.title);
  svg.append("rect").attr("width", width).attr("height", height).attr("fill", style("--paper"));
  let left = EDGE;
  for (const part of parts) {
    d3.select(part.group).attr("transform", `translate(${left},${EDGE})`);
    svg.node().append(part.group);
    left += part.width + gap;
  }
  return { svg: svg.node(), width, height };
}

/** One view: what it is of, its panel and its matrix, and the room that they take. */
function drawn(view) {
  const group = d3.create("svg:g"), { layer, axis } = view;
  const parts = axis === "both" ? [] : [axis ? strips(view) : arcs(view)];
  if (axis === "both" || !axis) parts.push(matrix(view));
  if (view.given.drawn) parts.unshift(written(view));
  const width = Math.max(320, ...parts.map(part => part.width));
  let top = 0;
  const said = [[view.given.name || document.title, 12], [view.given.answer || "", 17], [layer.heads > 1 ? `${layer.name}, heads ${[...view.state.heads].sort(d3.ascending).join(" ")}` : layer.name, 12]];
  for (const [text, size] of said)
    for (const line of lines(text, width, size)) group.append("text").attr("y", top += size * 1.4).attr("font-size", size).text(line);
  for (const part of parts) {
    d3.select(part.group).attr("transform", `translate(0,${top + EDGE})`);
    group.node().append(part.group);
    top += part.height + EDGE;
  }
  return { group: group.node(), width, height: top };
}

function lines(text, width, size) {
  const found = [];
  let line = "";
  for (const part of text.match(/\s+|[^\s]{1,12}/gu) || []) {
    if (line.trim() && widthOf(line + part, size) > width) { found.push(line); line = ""; }
    line += line ? part : part.trimStart();
  }
  return line ? [...found, line] : found;
}

function arcs(view) {
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

function strips(view) {
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

/** What a pen wrote. */
function written(view) {
  const strokes = strokesOf(view.given.drawn), group = d3.create("svg:g"), points = strokes.flat();
  const [left, right] = d3.extent(points, point => point.x), [top, bottom] = d3.extent(points, point => point.y);
  const scale = Math.min(640 / Math.max(right - left, 1e-6), 140 / Math.max(bottom - top, 1e-6));
  const line = d3.line().x(point => ((point.x - left) * scale).toFixed(1)).y(point => ((point.y - top) * scale).toFixed(1));
  const pen = group.append("g").attr("fill", "none").attr("stroke", "currentColor").attr("stroke-width", 1.8).attr("stroke-linecap", "round");
  for (const stroke of strokes) pen.append("path").attr("d", line(stroke));
  return { group: group.node(), width: (right - left) * scale, height: (bottom - top) * scale };
}

function matrix(view) {
  const { layer, state } = view, canvas = document.createElement("canvas"), room = roomOf(layer.queries, layer.keys, layer.axis);
  const cell = Math.min(24, 480 / Math.max(layer.keys.length, layer.queries.length));
  const width = cell * layer.keys.length, height = cell * layer.queries.length, group = d3.create("svg:g");
  drawAxes(group.node(), layer.queries, layer.keys, layer.axis, { ...room, width, height });
  paintMatrix(canvas, layer, state.heads);
  const image = group.append("image").attr("x", room.left).attr("y", room.top).attr("width", width).attr("height", height);
  image.attr("preserveAspectRatio", "none").attr("image-rendering", "pixelated").attr("href", canvas.toDataURL("image/png"));
  return { group: group.node(), width: room.left + width + room.right + 20, height: room.top + height + 8 };
}

function offer(blob, name) {
  const there = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href: there, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(there), 60000);
}

function saveSVG(views) {
  const text = new XMLSerializer().serializeToString(picture(views).svg);
  offer(new Blob([text], { type: "image/svg+xml" }), "attention.svg");
}

async function savePNG(views) {
  const { svg, width, height } = picture(views), image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(svg))}`;
  await image.decode();
  const ratio = Math.min(2, 16000 / Math.max(width, height)); // a canvas is no larger
  const canvas = Object.assign(document.createElement("canvas"), { width: width * ratio, height: height * ratio });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob(blob => offer(blob, "attention.png"), "image/png");
}

/** The page as it came, with what is shown now for its data, and with a policy that lets it ask for nothing. */
function saveHTML(untouched, data) {
  const page = untouched.cloneNode(true), policy = page.querySelector("meta[http-equiv]");
  policy.setAttribute("content", policy.getAttribute("content").replace("connect-src 'self'", "connect-src 'none'"));
  page.querySelector("title").textContent = page.querySelector("h1").textContent = data.title;
  page.querySelector("#data").textContent = JSON.stringify(data).replaceAll("<", "\\u003c");
  offer(new Blob(["<!doctype html>\n", page.outerHTML], { type: "text/html" }), "attention.html");
}
