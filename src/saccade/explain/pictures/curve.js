
pictures.curve = (holder, data, tools) => {
  const names = Object.keys(data.lines), lines = Object.values(data.lines).map(([x, y, counts]) => x.map((at, i) => ({ at, y: y[i], count: counts[i] })));
  const width = Math.min(720, holder.clientWidth), all = lines.flat().filter(point => point.y !== null), above = 22;
  const svg = sheet(holder, width, 10, tools.description).attr("role", "application").attr("tabindex", 0);
  const head = names.length > 1 ? legendOf(svg, names, width, 0) + 4 : 0;
  const left = 54, box = { left, top: head + above, width: width - left - 16, height: Math.min(260, width * 0.55) };
  svg.attr("height", box.top + box.height + 40).attr("viewBox", `0 0 ${width} ${box.top + box.height + 40}`);
  const [least, most] = d3.extent(all, point => point.y), low = least >= 0 && least <= 0.4 * most ? 0 : least, spare = (most - low || 1) * 0.04;
  const up = d3.scaleLinear([low === 0 ? 0 : low - spare, most + spare], [box.height, 0]).nice(5);
  const values = data.names || lines.flat().map(point => point.at);
  const across = data.names ? d3.scalePoint(data.names, [0, box.width]).padding(0.5) : d3.scaleLinear(d3.extent(values), [0, box.width]);
  const group = svg.append("g").attr("transform", `translate(${left},${box.top})`);
  chartAxes(group, across, up, box, data.names);
  svg.append("text").attr("x", left + box.width).attr("y", box.top + box.height + 34).attr("text-anchor", "end").text(data.x_label);
  svg.append("text").attr("x", 0).attr("y", head + 11).text(data.y_label);
  lines.forEach((points, number) => {
    const colour = LINES[number % LINES.length], sorted = [...points].sort((a, b) => across(a.at) - across(b.at));
    const line = d3.line().defined(point => point.y !== null).x(point => across(point.at).toFixed(1)).y(point => up(point.y).toFixed(1));
    group.append("path").attr("d", line(sorted)).attr("fill", "none").attr("stroke", colour).attr("stroke-width", 1.8);
    if (points.length > 40) return;
    for (const point of points.filter(point => point.y !== null))
      group.append("circle").attr("cx", across(point.at)).attr("cy", up(point.y)).attr("r", 3.2).attr("fill", colour);
  });
  const mark = group.append("line").attr("y2", box.height).attr("stroke", "#e69f00").attr("stroke-width", 1.5).attr("visibility", "hidden");
  const places = data.names || [...new Set(values)].sort(d3.ascending);
  const caption = reading(holder, `${data.y_label} over ${data.x_label}. Point at a place to read it.`);
  const nearest = (points, at) => (data.names ? points.find(point => point.at === at) : points[d3.leastIndex(points, point => Math.abs(point.at - at))]);
  const show = number => {
    mark.attr("visibility", number === null ? "hidden" : "visible");
    if (number === null) return;
    const at = places[number], x = across(at);
    mark.attr("x1", x).attr("x2", x);
    const said = lines.map((points, i) => {
      const point = nearest(points, at), counted = point && point.count !== undefined ? ` (${point.count} examples)` : "";
      const elsewhere = point && point.at !== at ? ` (at ${short(point.at)})` : "";
      return point ? `${names[i] ? `${names[i]} ` : ""}${short(point.y)}${elsewhere}${counted}` : "";
    });
    caption.textContent = `${data.x_label} ${typeof at === "string" ? at : short(at)}: ${said.filter(Boolean).join("; ")}`;
  };
  const where = places.map(at => across(at));
  walked(svg, where, left, show);
};

/** Axes of a chart, in a group whose origin is the upper left corner of a box. */
function chartAxes(group, across, up, { width, height }, names) {
  const count = Math.max(2, Math.floor(width / 80)), every = names ? Math.ceil(names.length * 56 / width) : 1;
  const bottom = d3.axisBottom(across).tickSizeOuter(0), shown = names ? bottom.tickValues(names.filter((_, i) => i % every === 0)).tickFormat(name => clipped(name.replace(/(\d)-$/, "$1+").replace(/(\d)-(\d)/, "$1–$2"), 54 * every, 11)) : bottom.ticks(count);
  for (const axis of [group.append("g").attr("transform", `translate(0,${height})`).call(shown), group.append("g").call(d3.axisLeft(up).ticks(5).tickSizeOuter(0))])
    axis.attr("font-size", 11).attr("font-family", null).selectAll("path").attr("stroke-opacity", 0.3);
}

/** Pointer and arrow keys along places of a chart: `show` is called with the number of the nearest, or null. */
function walked(svg, places, left, show) {
  const node = svg.node();
  let cursor = null;
  const go = number => { cursor = number; show(number); };
  node.onpointermove = node.onpointerdown = event => {
    const x = event.clientX - node.getBoundingClientRect().left - left;
    go(d3.leastIndex(places, place => Math.abs(place - x)));
  };
  node.onpointerleave = () => show(null);
  node.onkeydown = event => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") go(null);
    if (!move) return;
    event.preventDefault();
    go(cursor === null ? 0 : Math.min(places.length - 1, Math.max(0, cursor + move)));
  };
}
