"use strict";
// The words shaded by their surprise given those before them, and below it given those after them.

pictures["elmo.both_ways"] = (holder, data, tools) => {
  for (const part of [data.forward, data.backward]) {
    const place = document.createElement("div");
    holder.append(Object.assign(document.createElement("p"), { textContent: part.values }), place);
    pictures.text(place, part, tools);
  }
};
