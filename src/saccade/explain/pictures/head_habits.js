
// A small table of layers and heads for each habit, all shares on one scale.

pictures.head_habits = (holder, data, tools) => {
  const row = Object.assign(document.createElement("div"), { className: "tables" });
  Object.assign(row.style, { display: "flex", flexWrap: "wrap", gap: "8px 20px" });
  holder.append(row);
  const shares = Object.keys(data.tables).filter(habit => data.values[habit] !== "nats");
  const common = Math.max(1e-3, ...shares.flatMap(habit => data.tables[habit].flat()));
  Object.entries(data.tables).forEach(([habit, values]) => {
    const place = document.createElement("div"), wide = Math.min(holder.clientWidth, Math.max(250, 20 * values[0].length + 70));
    place.style.width = `${wide}px`;
    row.append(place);
    tools.heat(place, {
      values, rows: values.map((_, layer) => String(layer)), columns: values[0].map((_, head) => String(head)),
      rowsLabel: "layer", columnsLabel: "head", what: data.values[habit], title: habit, cell: 20,
      largest: habit === "entropy" ? Math.max(1e-3, ...values.flat()) : common, name: `${habit}. ${tools.description}`,
    });
  });
};
pictures.head_habits.how = "Each cell is a head: how much of its attention is on the token itself, on the one before or after it, on the first token and on separators; and how spread it is (entropy). Point at a cell to read its number.";
