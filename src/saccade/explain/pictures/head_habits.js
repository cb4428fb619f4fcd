
// A small table of layers and heads for each habit, all shares on one scale, with one sentence for all.

pictures.head_habits = (holder, data, tools) => {
  const row = document.createElement("div");
  Object.assign(row.style, { display: "flex", flexWrap: "wrap", gap: "8px 20px" });
  holder.append(row);
  const caption = reading(holder, "Point at a cell to read its number, by layer and head.");
  const shares = Object.keys(data.tables).filter(habit => data.values[habit] !== "nats");
  const common = Math.max(1e-3, ...shares.flatMap(habit => data.tables[habit].flat()));
  Object.entries(data.tables).forEach(([habit, values]) => {
    const place = document.createElement("div"), wide = Math.max(230, 20 * values[0].length + 70);
    place.style.width = `${Math.min(holder.clientWidth, wide)}px`;
    row.append(place);
    tools.heat(place, {
      values, rows: values.map((_, layer) => String(layer)), columns: values[0].map((_, head) => String(head)), caption,
      rowsLabel: "layer", columnsLabel: "head", what: data.values[habit], title: habit, cell: 20,
      largest: data.values[habit] === "nats" ? Math.max(1e-3, ...values.flat()) : common, name: `${habit}. ${tools.description}`,
    });
  });
};
pictures.head_habits.how = "Each cell is a head: the share of its attention on the symbol itself, on the one before or after it, on the first symbol and on separators; and how spread its attention is (entropy).";
