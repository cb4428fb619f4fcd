"use strict";
// The frames of a clip, and a bar for each.

pictures["action_rnn.weighted"] = (holder, data, tools) => {
  for (const [kind, part] of [["strip", data.strip], ["histogram", data.bars]]) {
    const place = document.createElement("div");
    holder.append(place);
    pictures[kind](place, part, tools);
  }
};
