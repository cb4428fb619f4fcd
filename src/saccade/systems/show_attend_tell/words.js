"use strict";

// Weights over an image, a tile for each word, as of any image; below, the heaviest region and the gate of each word.

pictures["show_attend_tell.words"] = (holder, data, tools) => {
  pictures.image_overlay(holder, data, tools);
  heaviestRegions(holder, data, tools);
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

/** For each word the image, pale, with the one region that has the largest weight. */
function heaviestRegions(holder, data, tools) {
  const image = tools.unpacked(data.image), maps = tools.unpacked(data.maps), [count, rows, columns] = maps.shape, [, high, wide] = image.shape;
  const { wide: across, high: down, places, width, height } = tiled(count, high / wide, holder.clientWidth, 240, 72), above = 20;
  const svg = sheet(holder, width, height + above + 8, "the heaviest region of each word"), ratio = Math.min(window.devicePixelRatio || 1, 2);
  const [w, h] = [across, down].map(side => Math.max(1, Math.round(side * ratio)));
  svg.append("text").attr("y", 12).text("the heaviest region of each word");
  places.forEach(({ x, y }, number) => {
    const own = maps.values.slice(number * rows * columns, (number + 1) * rows * columns), chosen = own.indexOf(Math.max(...own));
    svg.append("text").attr("x", x).attr("y", y + above - 5).text(clipped(visible(data.labels[number]), across, 11));
    svg.append("image").attr("x", x).attr("y", y + above).attr("width", across).attr("height", down).attr("href", pixelsOf(w, h, (column, row) => {
      const [left, top] = [(column + 0.5) / w, (row + 0.5) / h], here = Math.floor(top * rows) * columns + Math.floor(left * columns) === chosen;
      return colourAt(image, left, top).map((part, channel) => steps[here ? 255 : 0][channel] * (0.5 + 0.5 * part));
    }));
  });
}
