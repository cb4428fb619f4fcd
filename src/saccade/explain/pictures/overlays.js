
// Heat maps over an image, each on its own scale: where the image is white, the colour is that of the scale.

pictures.overlays = (holder, data, tools) => {
  const image = tools.unpacked(data.image), maps = data.maps.map(tools.unpacked), [channels, high, wide] = image.shape;
  const ratio = Math.min(window.devicePixelRatio || 1, 2), labels = ["image", ...data.labels];
  const bar = tools.slider(holder, "maps", { min: 0, max: 1, step: 0.05, value: 1, said: share => `${Math.round(100 * share)} %` }, share => draw(share));
  const { wide: across, high: down, places, width, height } = tiled(labels.length, high / wide, holder.clientWidth, 240, 96);
  const rows = data.classes.length, below = height + (rows ? 44 : 30), svg = sheet(holder, Math.max(width, Math.min(holder.clientWidth, 420)), below + 20 * rows, tools.description);
  const [w, h] = [across, down].map(side => Math.max(1, Math.round(side * ratio)));
  const pixel = (x, y) => Math.floor((y + 0.5) / h * high) * wide + Math.floor((x + 0.5) / w * wide);
  const channel = (number, at) => image.values[(number % channels) * high * wide + at];
  const grey = at => (channels === 1 ? image.values[at] : 0.299 * channel(0, at) + 0.587 * channel(1, at) + 0.114 * channel(2, at));
  const tiles = places.map(({ x, y }, number) => {
    svg.append("text").attr("x", x).attr("y", y - 5).text(clipped(visible(labels[number]), across, 11));
    return svg.append("image").attr("x", x).attr("y", y).attr("width", across).attr("height", down);
  });
  tiles[0].attr("href", pixelsOf(w, h, (x, y) => [0, 1, 2].map(number => 255 * channel(number, pixel(x, y)))));
  const weight = (map, x, y) => { // between four places
    const [count, size] = map.shape, left = Math.min(size - 1, Math.max(0, x * size - 0.5)), top = Math.min(count - 1, Math.max(0, y * count - 0.5));
    const [i, j] = [Math.floor(left), Math.floor(top)], [a, b] = [left - i, top - j];
    const one = (row, column) => map.values[Math.min(row, count - 1) * size + Math.min(column, size - 1)];
    return (1 - b) * ((1 - a) * one(j, i) + a * one(j, i + 1)) + b * ((1 - a) * one(j + 1, i) + a * one(j + 1, i + 1));
  };
  const draw = share => maps.forEach((map, number) => tiles[number + 1].attr("href", pixelsOf(w, h, (x, y) => {
    const shade = grey(pixel(x, y)), bright = 1 - 0.5 * share + 0.5 * share * shade;
    return steps[Math.round(255 * share * Math.min(1, weight(map, (x + 0.5) / w, (y + 0.5) / h)))].map(part => part * (share * bright + (1 - share) * shade));
  })));
  for (let i = 0; i < 24; i++) svg.append("rect").attr("x", 12 + 4 * i).attr("y", height + 14).attr("width", 4.3).attr("height", 10).attr("fill", BLUES((i + 0.5) / 24));
  svg.append("text").attr("y", height + 23).text("0");
  svg.append("text").attr("x", 114).attr("y", height + 23).text(`1: ${data.values}`);
  data.classes.forEach((name, row) => {
    const share = data.probabilities[row], y = below + 20 * row;
    svg.append("text").attr("x", 52).attr("y", y + 11).attr("text-anchor", "end").text(percent(share));
    svg.append("rect").attr("x", 60).attr("y", y).attr("width", 120).attr("height", 13).attr("fill", "currentColor").attr("fill-opacity", 0.1);
    svg.append("rect").attr("x", 60).attr("y", y).attr("width", 120 * share).attr("height", 13).attr("fill", "currentColor").attr("fill-opacity", 0.55);
    svg.append("text").attr("x", 188).attr("y", y + 11).text(clipped(visible(name), Math.max(60, holder.clientWidth - 190), SMALL));
  });
  const caption = reading(holder, "Point at a map to read its value there.");
  svg.node().onpointermove = svg.node().onpointerdown = event => {
    const box = svg.node().getBoundingClientRect(), at = [event.clientX - box.left, event.clientY - box.top];
    const number = places.findIndex(({ x, y }) => at[0] >= x && at[0] < x + across && at[1] >= y && at[1] < y + down) - 1;
    if (number < 0) return;
    const place = places[number + 1], [x, y] = [(at[0] - place.x) / across, (at[1] - place.y) / down], [count, size] = maps[number].shape;
    const found = maps[number].values[Math.floor(y * count) * size + Math.floor(x * size)] * data.peaks[number];
    caption.replaceChildren("“", isolated(visible(data.labels[number])), `”: ${short(found)} of at most ${short(data.peaks[number])} at ${Math.floor(x * wide)}, ${Math.floor(y * high)}`);
  };
  draw(Number(bar.input.value));
};

/** A probability with three digits that count. */
function percent(share) { return `${(100 * share).toFixed(share >= 0.1 ? 1 : 2)} %`; }
