
pictures.strip = (holder, data, tools) => {
  const { shape, values } = tools.unpacked(data.images), [high, wide] = shape.slice(-2), colours = shape.length === 4, size = high * wide;
  const { wide: across, high: down, places, width, height } = tiled(shape[0], high / wide, holder.clientWidth, data.lines.length ? 200 : 96);
  const svg = sheet(holder, width, height, tools.description);
  places.forEach(({ x, y }, number) => {
    const start = number * size * (colours ? 3 : 1);
    const href = pixelsOf(wide, high, (column, row) => [0, 1, 2].map(channel => 255 * values[start + (colours ? channel * size : 0) + row * wide + column]));
    svg.append("text").attr("x", x).attr("y", y - 5).text(clipped(visible(data.labels[number]), across + 8, 11));
    svg.append("image").attr("x", x).attr("y", y).attr("width", across).attr("height", down).attr("preserveAspectRatio", "none")
      .attr("image-rendering", "pixelated").attr("href", href);
    const inside = svg.append("svg").attr("x", x).attr("y", y).attr("width", across).attr("height", down);
    inside.append("rect").attr("width", across).attr("height", down).attr("fill", "none").attr("stroke", "currentColor").attr("stroke-opacity", 0.3);
    const scale = across / wide, path = d3.line().x(point => point[0] * scale).y(point => point[1] * scale);
    for (const [stroke, thick] of [["#ffffff", 3.5], ["#d55e00", 1.6]]) for (const line of data.lines[number] || [])
      inside.append("path").attr("d", path(line)).attr("fill", "none").attr("stroke", stroke).attr("stroke-width", thick);
    if (!data.boxes) return;
    const [left, top, boxWide, boxHigh] = data.boxes[number];
    const box = { x: Math.min(left, left + boxWide), y: Math.min(top, top + boxHigh), width: Math.abs(boxWide), height: Math.abs(boxHigh) };
    for (const [stroke, thick] of [["#ffffff", 3.5], ["#d55e00", 1.6]]) {
      const drawn = inside.append("rect").attr("fill", "none").attr("stroke", stroke).attr("stroke-width", thick);
      for (const [name, value] of Object.entries(box)) drawn.attr(name, value * scale);
    }
  });
};
