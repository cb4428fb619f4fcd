
// A heat map with axes and a scale; a sentence below says the number under the pointer, or under a cursor that the
// arrow keys move.

const CELL = 24, LEAST = 14, TALLEST = 900; // pixels of a cell at most, of one with a label at least, and of a map at most

/**
 * A table of numbers from 0 in a holder.
 *
 * `rows` and `columns` have for each row and column its label; an axis of numbers has `from` and `to` in place of
 * labels, its ends, and `unit`. `largest` is where the scale ends. What comes back draws a mark at a cell, or none.
 */
function heat(holder, { values, rows, columns, rowsLabel = "", columnsLabel = "", what, largest, name = "", title = "", cell = CELL, scaled = true, caption }) {
  const down = axisIn(rows, values.length), along = axisIn(columns, values[0].length), widest = axis => Math.max(...axis.labels.map(text => widthOf(text, SMALL)));
  const turned = along.labels && widest(along) > 18;
  // long rows, such as sentences, take what few columns leave
  const most = along.labels ? Math.min(560, Math.max(120, holder.clientWidth - cell * along.size - 110)) : 120;
  const left = (down.labels ? Math.min(most, widest(down)) + 12 : 48) + (rowsLabel ? 18 : 0);
  const across = along.labels ? (turned ? Math.min(110, widest(along)) : 13) : 0;
  const head = title ? 22 : 0, top = head + (along.labels ? across * (turned ? 0.77 : 1) + 12 : 6) + (columnsLabel && along.labels ? 18 : 0), right = turned ? Math.min(66, across * 0.64) : 14;
  const room = Math.max(60, holder.clientWidth - left - right);
  // cells with labels are no smaller than can be read: a wide table scrolls
  const width = along.labels ? Math.max(LEAST * along.size, Math.min(room, cell * along.size)) : Math.min(room, Math.max(cell, 2) * along.size);
  const one = width / along.size, high = Math.max(Math.min(one, cell), down.labels ? (along.labels ? LEAST : 20) : 0);
  const height = down.labels ? high * down.size : Math.min(TALLEST, high * down.size);
  const below = (along.labels ? 6 : 22) + (columnsLabel && !along.labels ? 18 : 0) + (scaled ? 28 : 0);
  const said = `${short(largest)}  ${what}`, long = 154 + widthOf(said, SMALL), start = left + long > holder.clientWidth ? 0 : left;
  const wide = Math.max(left + width + right, scaled ? start + long : 0);
  const frame = Object.assign(document.createElement("div"), { className: "scroll" });
  holder.append(frame);
  const svg = sheet(frame, along.labels ? wide : Math.min(wide, holder.clientWidth), top + height + below, name).attr("role", "application").attr("tabindex", 0);
  const canvas = document.createElement("canvas");
  paint(canvas, values.flat(), down.size, along.size, largest);
  svg.append("image").attr("x", left).attr("y", top).attr("width", width).attr("height", height).attr("preserveAspectRatio", "none")
    .attr("image-rendering", "pixelated").attr("href", canvas.toDataURL("image/png"));
  const box = { left, top, width, height };
  const grid = one >= 8 && height / down.size >= 8 ? gridOf(left, top, one, height / down.size, down.size, along.size) : `M${left},${top}h${width}v${height}h${-width}z`;
  svg.append("path").attr("d", grid).attr("fill", "none").attr("stroke", style("--pale")).attr("stroke-width", 0.6);
  ticks(svg.append("g").attr("transform", `translate(${left},${along.labels ? top : top + height})`), along, width, turned, along.labels ? d3.axisTop : d3.axisBottom);
  ticks(svg.append("g").attr("transform", `translate(${left},${top})`), down, height, false, d3.axisLeft, most);
  if (title) svg.append("text").attr("x", left).attr("y", 12).attr("font-weight", 600).text(title);
  svg.append("text").attr("x", left + (along.labels ? 0 : width)).attr("text-anchor", along.labels ? "start" : "end").attr("y", along.labels ? head + 12 : top + height + 36).text(columnsLabel);
  svg.append("text").attr("transform", `translate(12,${top + height / 2}) rotate(-90)`).attr("text-anchor", "middle").text(rowsLabel);
  if (scaled) scaleBar(svg, start, top + height + below - 14, said);
  const mark = svg.append("rect").attr("fill", "none").attr("stroke", "#e69f00").attr("stroke-width", 2).attr("visibility", "hidden");
  const own = rowsLabel || "a row", other = columnsLabel || "a column", sentence = caption || reading(holder, captionOf(what, own, other));
  const at = here => {
    mark.attr("visibility", here ? "visible" : "hidden");
    if (!here) return;
    const { row, column } = here;
    mark.attr("x", left + one * column).attr("y", top + height / down.size * row).attr("width", Math.max(one, 2)).attr("height", height / down.size);
    sentence.replaceChildren(...down.said(row), ", ", ...along.said(column), `: ${what} ${values[row][column].toFixed(3)}`);
  };
  pointed(svg, box, down.size, along.size, at);
  return { svg, box, at };
}

function captionOf(what, down, across) {
  return `${what}: a row for each ${down}, a column for each ${across}. Point at a cell to read its number.`.replace("for each a ", "for each ");
}

/** Labels, or numbers between two ends. */
function axisIn(side, size) {
  if (Array.isArray(side)) {
    const labels = side.map(visible);
    return { size, labels, said: number => ["“", isolated(labels[number]), "”"] };
  }
  const { from, to, unit = "", name = "" } = side, each = (to - from) / size;
  return { size, from, to, unit, said: number => [`${name ? `${name} ` : ""}${each === 1 ? from + number : short(from + each * number)}${unit}`] };
}

function ticks(group, { labels, size, from, to, unit }, length, turned, make, most = 110) {
  if (labels) {
    const scale = d3.scaleBand(d3.range(size), [0, length]), every = Math.max(1, Math.ceil(GAP / scale.step()));
    group.call(make(scale).tickSizeOuter(0).tickSize(3).tickValues(d3.range(0, size, every)).tickFormat(i => clipped(labels[i], most, SMALL)));
    if (turned) group.selectAll("text").attr("text-anchor", "start").attr("transform", "rotate(-50)").attr("dx", "6").attr("dy", "4");
  } else {
    const scale = d3.scaleLinear([from, to], [0, length]), count = Math.max(2, Math.floor(length / 70)), said = scale.tickFormat(count);
    // a number of cells stands in the middle of its cell
    const middle = (to - from) === size ? length / size / 2 : 0, shown = scale.ticks(count).filter(tick => !middle || (Number.isInteger(tick) && tick < to));
    group.call(make(scale).tickSizeOuter(0).tickSize(3).tickValues(shown).tickFormat(value => said(value) + unit));
    if (middle) group.selectAll(".tick").attr("transform", value => (make === d3.axisLeft ? `translate(0,${scale(value) + middle})` : `translate(${scale(value) + middle},0)`));
  }
  group.attr("font-size", SMALL).attr("font-family", null).selectAll("path").attr("stroke-opacity", 0.3);
}

/** The ramp, with the numbers at its ends, and their name. */
function scaleBar(svg, x, y, said, from = "0") {
  const parts = 32, wide = 128, scale = ramp();
  svg.append("text").attr("x", x).attr("y", y + 10).attr("font-size", SMALL).text(from);
  x = Math.round(x + widthOf(from, SMALL) - 7); // whole pixels, or its parts would have seams
  for (let i = 0; i < parts; i++)
    svg.append("rect").attr("x", x + 12 + i * wide / parts).attr("y", y).attr("width", wide / parts + 0.4).attr("height", 12).attr("fill", scale((i + 0.5) / parts));
  svg.append("rect").attr("x", x + 12).attr("y", y).attr("width", wide).attr("height", 12).attr("fill", "none").attr("stroke", "currentColor").attr("stroke-opacity", 0.3);
  svg.append("text").attr("x", x + 18 + wide).attr("y", y + 10).attr("font-size", SMALL).text(said);
}

/** Pointer and arrow keys over a table in a box: `act` is called with the place, or with null. */
function pointed(svg, { left, top, width, height }, rows, columns, act) {
  const node = svg.node(), bound = (value, size) => Math.min(size - 1, Math.max(0, value));
  let cursor = null;
  const go = here => { cursor = here; act(here); };
  node.onpointermove = node.onpointerdown = event => {
    const box = node.getBoundingClientRect(), x = event.clientX - box.left - left, y = event.clientY - box.top - top;
    if (x < 0 || y < 0 || x > width || y > height) return go(null);
    go({ row: bound(Math.floor(y / height * rows), rows), column: bound(Math.floor(x / width * columns), columns) });
  };
  node.onpointerleave = () => act(null);
  node.onkeydown = event => {
    const move = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (event.key === "Escape") go(null);
    if (!move) return;
    event.preventDefault();
    go(cursor ? { row: bound(cursor.row + move[0], rows), column: bound(cursor.column + move[1], columns) } : { row: 0, column: 0 });
  };
}
