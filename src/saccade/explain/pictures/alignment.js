
// An alignment as a heat map, over words or over the tokenizer's pieces.

pictures.alignment = (holder, data, tools) => {
  const pieces = { rows: data.rows, columns: data.columns, weights: data.weights };
  const words = data.rows_words || data.columns_words ? joinedWords(data) : null, shown = { ...(words || pieces) };
  const handle = { get own() { return Math.max(...shown.weights.flat()); }, get peak() { return Math.max(1, this.own); } };
  if (words) {
    const label = Object.assign(document.createElement("label"), { className: "check" }), box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
    const bar = Object.assign(document.createElement("div"), { className: "bar" });
    box.onchange = () => { Object.assign(shown, box.checked ? words : pieces); handle.drawn = null; draw(); };
    label.append(box, " whole words");
    bar.append(label);
    holder.append(bar);
  }
  const place = document.createElement("div");
  holder.append(place);
  const draw = () => {
    const largest = tools.scaled(handle);
    if (handle.drawn === largest) return;
    handle.drawn = largest;
    place.replaceChildren();
    tools.heat(place, {
      values: shown.weights, rows: shown.rows, columns: shown.columns, rowsLabel: data.rows_label, columnsLabel: data.columns_label,
      what: data.values, largest, name: tools.description,
    });
  };
  draw();
  handle.rescale = draw;
  return handle;
};
pictures.alignment.how = "The stronger the colour of a cell, the larger the weight of its row for its column. Point at a cell to read its number.";

/** Weights over words: summed over the pieces of a column, averaged over those of a row. */
function joinedWords({ rows, columns, rows_words, columns_words, weights }) {
  const single = tokens => tokens.map(token => [token, 1]), down = rows_words || single(rows), across = columns_words || single(columns);
  const places = groups => d3.cumsum(groups, group => group[1]), [ends, stops] = [places(down), places(across)];
  const joined = down.map(([, count], row) => across.map(([, wide], column) =>
    d3.sum(weights.slice(ends[row] - count, ends[row]), line => d3.sum(line.slice(stops[column] - wide, stops[column]))) / count));
  return { rows: down.map(([text]) => text), columns: across.map(([text]) => text), weights: joined };
}
