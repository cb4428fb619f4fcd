
pictures.alignment = (holder, data, tools) => {
  const own = Math.max(...data.weights.flat()), handle = { peak: Math.max(1, own), own };
  const draw = () => {
    const largest = tools.scaled(handle);
    if (handle.drawn === largest) return;
    handle.drawn = largest;
    holder.replaceChildren();
    tools.heat(holder, {
      values: data.weights, rows: data.rows, columns: data.columns, rowsLabel: data.rows_label, columnsLabel: data.columns_label,
      what: data.values, largest, name: tools.description,
    });
  };
  draw();
  return Object.assign(handle, { rescale: draw });
};
pictures.alignment.how = "Dark cells are large weights: each row shows which columns that word attends to. Point at a cell to read its number.";
