
// What a pen drew: as far as a slider says, or as another picture of the view has a point in focus.

pictures.strokes = (holder, data, tools) => {
  const strokes = strokesOf(data.points), points = strokes.flat(), last = points.length - 1;
  const [left, right] = d3.extent(points, point => point.x), [top, bottom] = d3.extent(points, point => point.y);
  const wide = Math.max(right - left, 1e-3), high = Math.max(bottom - top, 1e-3), edge = 6;
  const { input, tell } = tools.slider(holder, "points", { min: 1, max: last + 1, step: 1, value: last + 1, said: number => `${number} of ${last + 1}` }, number => draw({ until: number - 1 }));
  const scale = Math.min((Math.max(120, holder.clientWidth) - 2 * edge) / wide, 150 / high, 400);
  const svg = sheet(holder, wide * scale + 2 * edge, high * scale + 2 * edge, tools.description).attr("class", "pen");
  const line = d3.line().x(point => (edge + (point.x - left) * scale).toFixed(1)).y(point => (edge + (point.y - top) * scale).toFixed(1));
  const draw = ({ until = last, lit = [] }) => {
    svg.selectAll("*").remove();
    const pen = svg.append("g").attr("fill", "none").attr("stroke", "currentColor").attr("stroke-width", 1.8).attr("stroke-linecap", "round").attr("stroke-linejoin", "round");
    for (const stroke of strokes) {
      if (until < last) pen.append("path").attr("class", "later").attr("stroke-opacity", 0.25).attr("d", line(stroke));
      const now = stroke.filter(point => point.number <= until);
      if (now.length) pen.append("path").attr("class", "now-drawn").attr("d", now.length > 1 ? line(now) : line([now[0], now[0]]));
    }
    for (const point of lit) svg.append("circle").attr("cx", edge + (point.x - left) * scale).attr("cy", edge + (point.y - top) * scale).attr("r", 2.5).attr("fill", "#e69f00");
  };
  const hear = said => {
    if (!said || said.count !== points.length) return draw({ until: Number(input.value) - 1 });
    if (said.until !== null) {
      input.value = said.until + 1;
      tell();
      return draw({ until: said.until, lit: [points[said.until]] });
    }
    const most = d3.max(said.shares);
    draw({ lit: points.filter(point => said.shares[point.number] >= most / 2) });
  };
  draw({});
  tools.listen(hear);
};

/** Strokes of points x, y, end; y goes down. */
function strokesOf(drawn) {
  const strokes = [[]];
  drawn.forEach(([x, y, end], number) => {
    strokes[strokes.length - 1].push({ x, y, number });
    if (end > 0.5) strokes.push([]);
  });
  return strokes.filter(stroke => stroke.length);
}
