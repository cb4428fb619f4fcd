
// The alignment of tokens with a recording: a row for each token over seconds, the spectrogram and the waveform below.

pictures.sound = (holder, data, tools) => {
  const seconds = data.step * data.weights[0].length, end = Math.max(seconds, data.features_end, data.waveform_end);
  const missing = Math.ceil((end - seconds) / data.step - 1e-6), values = data.weights.map(row => [...row, ...Array(missing).fill(0)]);
  const labels = data.rows.map(visible), left = Math.max(64, Math.min(120, Math.max(...labels.map(text => widthOf(text, SMALL)))) + 30);
  const width = Math.max(120, Math.min(1100, holder.clientWidth - left - 20)), row = Math.max(18, Math.min(28, 420 / labels.length)), gap = 14;
  const [bands, wave] = [data.features ? 110 : 0, data.waveform ? 64 : 0], tall = row * labels.length;
  const tops = { features: tall + 8 + gap, waveform: tall + 8 + gap + (bands && bands + gap) }, bottom = tops.waveform + (wave && wave + gap) - gap + 2;
  const svg = sheet(holder, left + width + 20, bottom + 76, tools.description).attr("role", "application").attr("tabindex", 0);
  const span = data.step * values[0].length, at = d3.scaleLinear([0, span], [left, left + width]), largest = Math.max(1, ...data.weights.flat());
  const image = (href, top, wide, high) => svg.append("image").attr("x", left).attr("y", top).attr("width", wide).attr("height", high).attr("preserveAspectRatio", "none").attr("href", href);
  const frame = (top, high) => svg.append("path").attr("d", `M${left},${top}h${width}v${high}h${-width}z`).attr("fill", "none").attr("stroke", "currentColor").attr("stroke-opacity", 0.3);
  const name = (text, top, high) => svg.append("text").attr("transform", `translate(12,${top + high / 2}) rotate(-90)`).attr("text-anchor", "middle").text(text);
  const canvas = document.createElement("canvas");
  paint(canvas, values.flat(), labels.length, values[0].length, largest);
  image(canvas.toDataURL("image/png"), 8, width, tall).attr("image-rendering", "pixelated");
  frame(8, tall);
  labels.forEach((text, i) => {
    svg.append("text").attr("x", left - 6).attr("y", 8 + row * (i + 0.5) + 4).attr("text-anchor", "end").text(clipped(text, left - 30, SMALL));
    if (i) svg.append("path").attr("d", `M${left},${8 + row * i}h${width}`).attr("stroke", style("--pale")).attr("stroke-width", 0.6);
  });
  name(data.rows_label, 8, tall);
  if (data.features) {
    const { shape: [frames, many], values: energies, least, most } = tools.unpacked(data.features), scale = ramp();
    const shades = Array.from({ length: 256 }, (_, i) => { const { r, g, b } = d3.rgb(scale(i / 255)); return [r, g, b]; });
    const href = pixelsOf(frames, many, (x, y) => shades[Math.round(255 * (energies[x * many + many - 1 - y] - least) / ((most - least) || 1))]);
    image(href, tops.features, at(data.features_end) - left, bands);
    frame(tops.features, bands);
    name("band", tops.features, bands);
    scaleBar(svg, left + Math.min(width - 230, 320), bottom + 54, `${short(most)}  log energy`, short(least));
    svg.append("text").attr("x", left - 6).attr("y", tops.features + 12).attr("text-anchor", "end").text("high");
    svg.append("text").attr("x", left - 6).attr("y", tops.features + bands - 3).attr("text-anchor", "end").text("low");
  }
  if (data.waveform) {
    const loudest = Math.max(1e-9, d3.max(data.waveform, Math.abs)), x = d3.scaleLinear([0, data.waveform.length - 1], [left, at(data.waveform_end)]);
    const line = d3.line().x((_, i) => x(i).toFixed(1)).y(value => (tops.waveform + wave / 2 - value / loudest * wave / 2.1).toFixed(1));
    svg.append("path").attr("d", line(data.waveform)).attr("fill", "none").attr("stroke", "currentColor").attr("stroke-width", 0.8);
    frame(tops.waveform, wave);
    name("sound", tops.waveform, wave);
  }
  const axis = svg.append("g").attr("transform", `translate(0,${bottom})`).call(d3.axisBottom(at).ticks(Math.max(2, Math.floor(width / 80))).tickSizeOuter(0).tickFormat(value => `${value} s`));
  axis.attr("font-size", SMALL).attr("font-family", null).selectAll("path").attr("stroke-opacity", 0.3);
  svg.append("text").attr("x", left + width).attr("y", bottom + 36).attr("text-anchor", "end").text("time (seconds)");
  scaleBar(svg, left, bottom + 54, `${short(largest)}  ${data.values}`);
  const marked = () => svg.append("rect").attr("fill", "none").attr("stroke", "#e69f00").attr("stroke-width", 2).attr("visibility", "hidden");
  const mark = marked(), cursor = svg.append("path").attr("stroke", "#e69f00").attr("stroke-width", 1.5).attr("visibility", "hidden");
  const sentence = tools.reading(holder, captionOf(data.values, data.rows_label, `${short(data.step)} seconds`));
  const line = time => cursor.attr("visibility", time === null ? "hidden" : "visible").attr("d", time === null ? null : `M${at(time)},8V${bottom}`);
  pointed(svg, { left, top: 8, width, height: tall }, labels.length, values[0].length, here => {
    mark.attr("visibility", here ? "visible" : "hidden");
    line(here ? data.step * (here.column + 0.5) : null);
    if (!here) return;
    mark.attr("x", at(data.step * here.column)).attr("y", 8 + row * here.row).attr("width", Math.max(2, at(data.step) - left)).attr("height", row);
    sentence.replaceChildren("“", isolated(labels[here.row]), `”, ${short(data.step * here.column)} s: ${data.values} ${values[here.row][here.column].toFixed(3)}`);
  });
  return { play: time => line(time === null ? null : Math.min(time, span)) };
};
pictures.sound.how = "Each row is a word or letter of the answer: the colour is strong where it attends to the sound. Below are the spectrogram and the waveform, over the same time.";
