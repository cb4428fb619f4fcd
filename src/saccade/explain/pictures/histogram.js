
pictures.histogram = (holder, data, tools) => {
  const names = Object.keys(data.lines), lines = Object.values(data.lines).map(([x, y]) => x.map((at, i) => ({ at, y: y[i] || 0 })));
  const width = Math.min(720, holder.clientWidth), left = 54;
  const svg = sheet(holder, width, 10, tools.description).attr("role", "application").attr("tabindex", 0);
  const head = names.length > 1 ? legendOf(svg, names, width, 0) + 4 : 0;
  const box = { left, top: head + 22, width: width - left - 16, height: Math.min(220, width * 0.5) };
  svg.attr("height", box.top + box.height + 40).attr("viewBox", `0 0 ${width} ${box.top + box.height + 40}`);
  const starts = [...new Set(lines.flat().map(bar => bar.at))].sort(d3.ascending), places = data.names || starts;
  const size = data.names ? 1 : Math.min(...d3.pairs(starts, (a, b) => b - a), Infinity), each = Number.isFinite(size) ? size : 1;
  const across = data.names ? d3.scalePoint(data.names, [0, box.width]).padding(0.5) : d3.scaleLinear([starts[0], starts.at(-1) + each], [0, box.width]);
  const wide = data.names ? across.step() * 0.8 : across(starts[0] + each), own = wide / lines.length;
  const up = d3.scaleLinear([0, d3.max(lines.flat(), bar => bar.y) || 1], [box.height, 0]).nice(5);
  const group = svg.append("g").attr("transform", `translate(${left},${box.top})`), from = at => across(at) - (data.names ? wide / 2 : 0);
  chartAxes(group, across, up, box, data.names);
  lines.forEach((bars, number) => bars.forEach(bar => group.append("rect").attr("x", from(bar.at) + number * own).attr("y", up(bar.y))
    .attr("width", Math.max(1, own - 1)).attr("height", box.height - up(bar.y)).attr("fill", LINES[number % LINES.length])));
  svg.append("text").attr("x", left + box.width).attr("y", box.top + box.height + 34).attr("text-anchor", "end").text(data.x_label);
  svg.append("text").attr("x", 0).attr("y", head + 11).text(data.y_label);
  const mark = group.append("rect").attr("y", 0).attr("height", box.height).attr("width", wide).attr("fill", "none").attr("stroke", "#e69f00").attr("stroke-width", 1.5).attr("visibility", "hidden");
  const caption = reading(holder, `${data.y_label} for each ${data.x_label}. Point at a bar to read it.`);
  walked(svg, places.map(at => from(at) + wide / 2), left, number => {
    mark.attr("visibility", number === null ? "hidden" : "visible");
    if (number === null) return;
    const at = places[number], said = lines.map((bars, i) => `${names[i] ? `${names[i]} ` : ""}${short((bars.find(bar => bar.at === at) || { y: 0 }).y)}`);
    mark.attr("x", from(at));
    caption.textContent = `${data.x_label} ${typeof at === "string" ? at : short(at)}: ${said.join("; ")} ${names.length > 1 ? "" : data.y_label}`.trim();
  });
};
