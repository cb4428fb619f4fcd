"use strict";
// Sentences, the nearest first, each after the cosines of its layers.

pictures["elmo.contexts"] = (holder, data, tools) => {
  const table = Object.assign(document.createElement("table"), { ariaLabel: tools.description }), ink = style("--dark");
  const row = (cells, kind) => {
    const line = table.insertRow();
    return cells.map(text => line.appendChild(Object.assign(document.createElement(kind), { textContent: text })));
  };
  row([...data.layers, "cosine with"], "th");
  data.sentences.forEach((sentence, i) => {
    const numbers = data.cosines[i], cells = row([...numbers.map(number => number.toFixed(2)), sentence], "td");
    numbers.forEach((number, j) => { cells[j].style.borderBottom = `3px solid color-mix(in srgb, ${ink} ${100 * Math.max(0, number)}%, transparent)`; });
  });
  holder.append(table);
};
