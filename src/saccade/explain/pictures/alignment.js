
pictures.alignment = (holder, data, tools) => {
  const largest = Math.max(1, ...data.weights.flat());
  tools.heat(holder, {
    values: data.weights, rows: data.rows, columns: data.columns, rowsLabel: data.rows_label, columnsLabel: data.columns_label,
    what: data.values, largest, name: tools.description,
  });
};
