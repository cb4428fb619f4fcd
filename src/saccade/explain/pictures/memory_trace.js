
pictures.memory_trace = (holder, data, tools) => {
  const traces = Object.entries(data.traces), largest = Math.max(1, ...traces.flatMap(([, trace]) => trace.flat()));
  traces.forEach(([name, trace], number) => {
    const values = trace[0].map((_, slot) => trace.map(weights => weights[slot])); // slots down, time to the right
    holder.append(Object.assign(document.createElement("h4"), { textContent: name }));
    tools.heat(holder, {
      values, rows: { from: 0, to: values.length, name: "slot" }, columns: { from: 0, to: trace.length, name: "step" },
      rowsLabel: "slot", columnsLabel: number === traces.length - 1 ? "time step" : "", what: data.values, largest, cell: 18,
      name: `${name}: ${data.values} of each slot over time`, scaled: number === traces.length - 1,
    });
  });
};
