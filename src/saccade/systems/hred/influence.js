"use strict";
// The turns of a dialogue, each shaded by its influence on the answer.

pictures["hred.influence"] = (holder, data, tools) => {
  const head = Object.assign(document.createElement("p"), { textContent: data.title }), place = document.createElement("div");
  holder.append(head, place);
  pictures.text(place, data, tools);
};
