
// Nodes at their places; a node that is pointed at, or focused, shows its edges.

pictures.graph = (holder, data, tools) => {
  const names = data.nodes.map(text => clipped(visible(text), 150, 12)), sizes = names.map(text => widthOf(text, 12) + 16), high = 22;
  const widest = Math.max(...sizes), left = data.y_label ? 24 : 6, below = data.x_label ? 40 : 6;
  const spread = side => new Set(data.places.map(place => place[side])).size;
  const width = Math.min(holder.clientWidth, Math.max(160, spread(0) * (widest + 46)) + left), dip = around() ? 36 : 0, above = data.edges.some(([from, to]) => from === to) ? Math.max(dip, 16) : dip;
  const height = Math.max(64, Math.min(560, spread(1) * 52)) + below + dip + above;
  const x = d3.scaleLinear(extentOf(data.places.map(place => place[0])), [left + widest / 2 + 4, width - widest / 2 - 4]);
  const y = d3.scaleLinear(extentOf(data.places.map(place => place[1])), [height - below - dip - high, high + above]);
  const svg = sheet(holder, width, height, tools.description).attr("role", "group"), [least, most] = d3.extent(data.edges, edge => edge[2]);
  const share = weight => (most > Math.min(0, least) ? (weight - Math.min(0, least)) / (most - Math.min(0, least)) : 1);
  const ink = style("--dark"), under = svg.append("g"), edges = data.edges.map(([from, to, weight]) => {
    const group = under.append("g").attr("stroke-opacity", 0.2 + 0.8 * share(weight)).attr("fill-opacity", 0.2 + 0.8 * share(weight));
    const a = { x: x(data.places[from][0]), y: y(data.places[from][1]) }, b = { x: x(data.places[to][0]), y: y(data.places[to][1]) };
    arrow(group, a, b, sizes[to], sizes[from], high, ink, 0.8 + 1.6 * share(weight), blocked(from, to, a, b));
    return { group, from, to, weight };
  });
  function blocked(from, to, a, b) {
    const length = Math.hypot(b.x - a.x, b.y - a.y) || 1;
    return data.places.some((place, i) => {
      if (i === from || i === to) return false;
      const px = x(place[0]) - a.x, py = y(place[1]) - a.y, along = (px * (b.x - a.x) + py * (b.y - a.y)) / length ** 2;
      return along > 0.05 && along < 0.95 && Math.abs(px * (b.y - a.y) - py * (b.x - a.x)) / length < high * 0.7;
    });
  }
  /** Whether nodes that stand in a line are linked past one another. */
  function around() {
    return data.edges.some(([from, to]) => [0, 1].some(side => data.places[from][side] === data.places[to][side] && data.places.some(place =>
      place[side] === data.places[from][side] && (place[1 - side] - data.places[from][1 - side]) * (place[1 - side] - data.places[to][1 - side]) < 0)));
  }
  const caption = reading(holder, "Point at a node to see its edges.");
  const show = node => {
    for (const { group, from, to } of edges) group.attr("display", node === null || from === node || to === node ? null : "none");
    if (node === null) return;
    const own = edges.filter(({ from, to }) => from === node || to === node).sort((one, two) => two.weight - one.weight).slice(0, 8);
    const said = own.flatMap(({ from, to, weight }, i) => [i ? "; " : "", from === node ? "to " : "from ", isolated(visible(data.nodes[from === node ? to : from])), ` ${short(weight)}`]);
    caption.replaceChildren("“", isolated(visible(data.nodes[node])), "”: ", ...(said.length ? said : ["no edges"]));
  };
  names.forEach((text, node) => {
    const [cx, cy] = [x(data.places[node][0]), y(data.places[node][1])];
    const group = svg.append("g").attr("tabindex", 0).attr("role", "img").attr("aria-label", `node ${visible(data.nodes[node])}`);
    group.append("rect").attr("x", cx - sizes[node] / 2).attr("y", cy - high / 2).attr("width", sizes[node]).attr("height", high).attr("rx", 5)
      .attr("fill", style("--paper")).attr("stroke", style("--grey"));
    group.append("text").attr("x", cx).attr("y", cy + 4).attr("text-anchor", "middle").attr("font-size", 12).text(text);
    Object.assign(group.node(), { onpointerenter: () => show(node), onfocus: () => show(node), onpointerleave: () => show(null), onblur: () => show(null) });
  });
  if (data.x_label) {
    const values = [...new Set(data.places.map(place => place[0]))].sort(d3.ascending), every = Math.ceil(values.length * 28 / width);
    values.filter((_, i) => i % every === 0).forEach(value => svg.append("text").attr("x", x(value)).attr("y", height - 22).attr("text-anchor", "middle").text(short(value)));
    svg.append("text").attr("x", width - 4).attr("y", height - 6).attr("text-anchor", "end").text(data.x_label);
  }
  if (data.y_label) svg.append("text").attr("transform", `translate(11,${(height - below) / 2}) rotate(-90)`).attr("text-anchor", "middle").text(data.y_label);
};

function extentOf(values) {
  const [least, most] = d3.extent(values);
  return most > least ? [least, most] : [least - 1, most + 1];
}

/** An arrow from a node to another; it ends at the edge of its box, and bends where something stands in between. */
function arrow(group, a, b, wide, own, high, ink, thick, bent) {
  if (a.x === b.x && a.y === b.y) { // to itself
    const top = a.y - high / 2;
    group.append("path").attr("d", `M${a.x - 8},${top} C${a.x - 16},${top - 22} ${a.x + 16},${top - 22} ${a.x + 8},${top - 3}`).attr("fill", "none").attr("stroke", ink).attr("stroke-width", thick);
    return group.append("path").attr("d", `M${a.x + 7},${top} l-1,-8 l8,3 z`).attr("fill", ink);
  }
  const dx = b.x - a.x, dy = b.y - a.y, length = Math.hypot(dx, dy), bend = bent ? Math.min(0.3, 64 / length) : 0.06;
  const middle = { x: (a.x + b.x) / 2 - dy * bend, y: (a.y + b.y) / 2 + dx * bend };
  const cut = (from, to, width) => { // where a line leaves a box around `to`
    const [u, v] = [from.x - to.x, from.y - to.y], share = Math.min(width / 2 / Math.max(Math.abs(u), 1e-6), high / 2 / Math.max(Math.abs(v), 1e-6), 1);
    return { x: to.x + u * share, y: to.y + v * share };
  };
  const start = cut(middle, a, own), end = cut(middle, b, wide + 4), turn = Math.atan2(end.y - middle.y, end.x - middle.x), size = 5 + thick;
  const tip = { x: end.x - size * Math.cos(turn), y: end.y - size * Math.sin(turn) }, side = [size / 2.2 * Math.sin(turn), -size / 2.2 * Math.cos(turn)];
  group.append("path").attr("d", `M${start.x},${start.y} Q${middle.x},${middle.y} ${tip.x},${tip.y}`).attr("fill", "none").attr("stroke", ink).attr("stroke-width", thick);
  group.append("path").attr("d", `M${end.x},${end.y} L${tip.x + side[0]},${tip.y + side[1]} L${tip.x - side[0]},${tip.y - side[1]} z`).attr("fill", ink);
}
