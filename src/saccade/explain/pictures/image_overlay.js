
// Maps over an image: where it is white, the colour of a map is that of the scale.

pictures.image_overlay = (holder, data, tools) => {
  const image = tools.unpacked(data.image), maps = tools.unpacked(data.maps), [high, wide] = image.shape.slice(-2), [count, rows, columns] = maps.shape;
  const largest = maps.most || 1, ratio = Math.min(window.devicePixelRatio || 1, 2);
  const bar = tools.slider(holder, "maps", { min: 0, max: 1, step: 0.05, value: 1, said: share => `${Math.round(100 * share)} %` }, share => draw(share));
  const { wide: across, high: down, places, width, height } = tiled(count, high / wide, holder.clientWidth, 240, 72);
  const svg = sheet(holder, width, height + 30, tools.description);
  const [w, h] = [across, down].map(side => Math.max(1, Math.round(side * ratio)));
  const tiles = places.map(({ x, y }, number) => {
    svg.append("text").attr("x", x).attr("y", y - 5).text(clipped(visible(data.labels[number]), across, 11));
    return svg.append("image").attr("x", x).attr("y", y).attr("width", across).attr("height", down);
  });
  const weight = (number, x, y) => { // between four places
    const across = Math.min(columns - 1, Math.max(0, x * columns - 0.5)), down = Math.min(rows - 1, Math.max(0, y * rows - 0.5));
    const [i, j] = [Math.floor(across), Math.floor(down)], [a, b] = [across - i, down - j];
    const one = (row, column) => maps.values[(number * rows + Math.min(row, rows - 1)) * columns + Math.min(column, columns - 1)];
    return (1 - b) * ((1 - a) * one(j, i) + a * one(j, i + 1)) + b * ((1 - a) * one(j + 1, i) + a * one(j + 1, i + 1));
  };
  const draw = share => tiles.forEach((tile, number) => tile.attr("href", pixelsOf(w, h, (x, y) => {
    const colour = steps[Math.round(255 * share * weight(number, (x + 0.5) / w, (y + 0.5) / h) / largest)];
    return colourAt(image, (x + 0.5) / w, (y + 0.5) / h)
      .map((own, channel) => colour[channel] * (share * (1 - 0.5 * share + 0.5 * share * own) + (1 - share) * own));
  })));
  for (let i = 0; i < 24; i++) svg.append("rect").attr("x", 12 + 4 * i).attr("y", height + 14).attr("width", 4.3).attr("height", 10).attr("fill", BLUES((i + 0.5) / 24));
  svg.append("text").attr("y", height + 23).text("0");
  svg.append("text").attr("x", 114).attr("y", height + 23).text(`${short(largest)}  ${data.values}`);
  const caption = reading(holder, `Point at an image to read the ${data.values} there.`);
  svg.node().onpointermove = svg.node().onpointerdown = event => {
    const box = svg.node().getBoundingClientRect(), at = [event.clientX - box.left, event.clientY - box.top];
    const number = places.findIndex(({ x, y }) => at[0] >= x && at[0] < x + across && at[1] >= y && at[1] < y + down);
    if (number < 0) return;
    const [x, y] = [(at[0] - places[number].x) / across, (at[1] - places[number].y) / down];
    const found = maps.values[(number * rows + Math.floor(y * rows)) * columns + Math.floor(x * columns)];
    caption.replaceChildren("“", isolated(visible(data.labels[number])), `”: ${data.values} ${found.toFixed(3)} at ${Math.floor(x * wide)}, ${Math.floor(y * high)}`);
  };
  draw(Number(bar.input.value));
};
