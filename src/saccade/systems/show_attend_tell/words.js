"use strict";

// Weights over an image, a tile for each word, as of any image; below, the gate of each word as a bar.

pictures["show_attend_tell.words"] = (holder, data, tools) => {
  pictures.image_overlay(holder, data, tools);
  if (!data.gates.length) return;
  const line = 18, left = 90, svg = sheet(holder, left + 160, line * data.gates.length + 22, "the gate of each word");
  svg.append("text").attr("y", 12).text("β, the gate of each word");
  data.gates.forEach((gate, number) => {
    const y = 22 + line * number;
    svg.append("text").attr("y", y + 11).text(clipped(visible(data.labels[number]), left - 6, 11));
    svg.append("rect").attr("x", left).attr("y", y).attr("width", 100).attr("height", 13).attr("fill", "currentColor").attr("fill-opacity", 0.1);
    svg.append("rect").attr("x", left).attr("y", y).attr("width", 100 * gate).attr("height", 13).attr("fill", "currentColor").attr("fill-opacity", 0.55);
    svg.append("text").attr("x", left + 108).attr("y", y + 11).text(gate.toFixed(2));
  });
};
