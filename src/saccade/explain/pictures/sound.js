
pictures.sound = (holder, data, tools) => {
  const seconds = data.step * data.weights[0].length, end = Math.max(seconds, data.features_end, data.waveform_end);
  const missing = Math.round((end - seconds) / data.step), values = data.weights.map(row => [...row, ...Array(missing).fill(0)]);
  const { box } = tools.heat(holder, {
    values, rows: data.rows, columns: { from: 0, to: data.step * values[0].length, unit: " s" }, rowsLabel: data.rows_label,
    columnsLabel: "time (seconds)", what: data.values, largest: Math.max(1, ...data.weights.flat()), name: tools.description,
    cell: Math.max(2, 800 / values[0].length),
  });
  const at = d3.scaleLinear([0, data.step * values[0].length], [0, box.width]);
  if (data.features) {
    const { shape: [frames, bands], values: energies, least, most } = tools.unpacked(data.features), high = 72;
    const svg = sheet(holder, box.left + box.width + 14, high + 4, "the features of the sound: low bands below");
    const href = pixelsOf(frames, bands, (x, y) => steps[Math.round(255 * (energies[x * bands + bands - 1 - y] - least) / ((most - least) || 1))]);
    svg.append("image").attr("x", box.left).attr("width", at(data.features_end)).attr("height", high).attr("preserveAspectRatio", "none").attr("href", href);
    svg.append("text").attr("transform", `translate(11,${high / 2}) rotate(-90)`).attr("text-anchor", "middle").text("features");
  }
  if (data.waveform) {
    const high = 56, loudest = Math.max(1e-9, d3.max(data.waveform, Math.abs)), svg = sheet(holder, box.left + box.width + 14, high, "the waveform");
    const x = d3.scaleLinear([0, data.waveform.length - 1], [box.left, box.left + at(data.waveform_end)]);
    const line = d3.line().x((_, i) => x(i).toFixed(1)).y(value => (high / 2 - value / loudest * high / 2.1).toFixed(1));
    svg.append("path").attr("d", line(data.waveform)).attr("fill", "none").attr("stroke", "currentColor").attr("stroke-width", 0.7);
    svg.append("text").attr("transform", `translate(11,${high / 2}) rotate(-90)`).attr("text-anchor", "middle").text("sound");
  }
};
