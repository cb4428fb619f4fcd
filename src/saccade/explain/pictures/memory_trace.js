
pictures.memory_trace = (holder, data, tools) => {
  const traces = Object.entries(data.traces), largest = Math.max(1, ...traces.flatMap(([, trace]) => trace.flat()));
  const caption = tools.reading(holder, captionOf(data.values, data.rows, "time step"));
  traces.forEach(([name, trace], number) => {
    const values = trace[0].map((_, slot) => trace.map(weights => weights[slot])), last = number === traces.length - 1; // slots down
    tools.heat(holder, {
      values, rows: { from: 0, to: values.length, name: data.rows }, columns: { from: 0, to: trace.length, name: "step" }, rowsLabel: data.rows,
      columnsLabel: last ? "time step" : "", what: data.values, largest, cell: 18, title: name, scaled: last,
      name: `${name}: ${data.values} of each ${data.rows} over time`, caption,
    });
  });
  holder.append(caption);
};
pictures.memory_trace.how = "Each row is a slot of the memory, and time runs to the right: the colour is strong where a head writes or reads.";
