
pictures.glimpses = (holder, data, tools) => {
  const image = tools.unpacked(data.image), [high, wide] = image.shape, count = data.centres.length;
  const reach = data.sizes.map(sizes => Math.max(...sizes) / 2), ends = side => data.centres.flatMap((centre, i) => [centre[side] - reach[i], centre[side] + reach[i]]);
  const [left, right] = d3.extent([0, wide, ...ends(0)]), [top, bottom] = d3.extent([0, high, ...ends(1)]), edge = 14;
  tools.slider(holder, "glimpses", { min: 1, max: count, step: 1, value: count, said: number => `${number} of ${count}` }, number => draw(number));
  const scale = Math.min((Math.min(480, holder.clientWidth) - 2 * edge) / (right - left), 400 / (bottom - top));
  const x = value => edge + (value - left) * scale, y = value => edge + (value - top) * scale;
  const svg = sheet(holder, 2 * edge + (right - left) * scale, 2 * edge + (bottom - top) * scale, tools.description);
  const href = pixelsOf(wide, high, (column, row) => Array(3).fill(255 * image.values[row * wide + column]));
  svg.append("image").attr("x", x(0)).attr("y", y(0)).attr("width", wide * scale).attr("height", high * scale).attr("preserveAspectRatio", "none")
    .attr("image-rendering", "pixelated").attr("href", href);
  svg.append("rect").attr("x", x(0)).attr("y", y(0)).attr("width", wide * scale).attr("height", high * scale).attr("fill", "none").attr("stroke", "currentColor").attr("stroke-opacity", 0.4);
  const over = svg.append("g"), crops = data.seen ? below() : [], caption = reading(holder, "");
  /** What each glimpse saw, in tiles below the image. */
  function below() {
    const { shape, values } = tools.unpacked(data.seen), [rows, columns] = shape.slice(1), size = rows * columns;
    const { wide: across, high: down, places, width, height } = tiled(count, rows / columns, holder.clientWidth, 96, data.labels.length ? 84 : 56);
    const under = sheet(holder, width, height, "");
    return places.map(({ x: left, y: top }, number) => {
      const crop = under.append("g"), href = pixelsOf(columns, rows, (column, row) => Array(3).fill(255 * values[number * size + row * columns + column]));
      crop.append("text").attr("x", left).attr("y", top - 5).text(clipped(visible(data.labels[number]), across + 8, 11));
      crop.append("image").attr("x", left).attr("y", top).attr("width", across).attr("height", down).attr("preserveAspectRatio", "none")
        .attr("image-rendering", "pixelated").attr("href", href);
      crop.append("rect").attr("x", left).attr("y", top).attr("width", across).attr("height", down).attr("fill", "none").attr("stroke", "#009e73").attr("stroke-width", 1.6);
      return crop;
    });
  }
  const draw = shown => {
    crops.forEach((crop, number) => crop.attr("opacity", number < shown ? 1 : 0.15));
    over.selectAll("*").remove();
    const path = d3.line()(data.centres.slice(0, shown).map(([a, b]) => [x(a), y(b)]));
    for (const [stroke, thick] of [["#ffffff", 4], ["#009e73", 1.6]]) {
      data.centres.slice(0, shown).forEach(([a, b], number) => data.sizes[number].forEach(size =>
        over.append("rect").attr("x", x(a - size / 2)).attr("y", y(b - size / 2)).attr("width", size * scale).attr("height", size * scale)
          .attr("fill", "none").attr("stroke", stroke).attr("stroke-width", thick)));
      over.append("path").attr("d", path).attr("fill", "none").attr("stroke", stroke).attr("stroke-width", thick);
    }
    data.centres.slice(0, shown).forEach(([a, b], number) => {
      over.append("circle").attr("cx", x(a)).attr("cy", y(b)).attr("r", 3).attr("fill", "#009e73");
      const size = Math.min(...data.sizes[number]) / 2;
      over.append("text").attr("x", x(a + size) + 3).attr("y", y(b - size) + 2).attr("font-weight", 700).attr("fill", "#009e73")
        .attr("stroke", "#ffffff").attr("stroke-width", 3).attr("paint-order", "stroke").text(number + 1);
    });
    const [a, b] = data.centres[shown - 1];
    caption.textContent = `glimpse ${shown}: x ${short(a)}, y ${short(b)}, ${data.sizes[shown - 1].map(short).join(" and ")} pixels wide`;
  };
  draw(count);
};
