"use strict";

// The words of an answer; for the one that is pointed at the scores, the weights over what was looked at, the context, and the
// state of the decoder if there is one.

pictures.build_up = (holder, data, tools) => {
  const [scores, weights, contexts] = [data.scores, data.weights, data.contexts].map(tools.unpacked), image = data.image && tools.unpacked(data.image);
  const [, k] = weights.shape, [rows, columns] = image ? data.grid : [k, 1];
  const line = document.createElement("p"), named = image ? 0 : 90, aspect = image ? image.shape[1] / image.shape[2] : 0;
  const vectors = [["context c", contexts, data.context_size]], beside = 100;
  if (data.states) vectors.push(["state s", tools.unpacked(data.states), data.state_size]);
  const side = Math.max(90, Math.min(240, (holder.clientWidth - named - beside * vectors.length - 10) / 2 - 24)), wide = image ? side * Math.min(1, 1 / aspect) : 90;
  const high = image ? wide * aspect : 24 * k, step = wide + 24;
  holder.append(line);
  const svg = sheet(holder, named + 2 * step + beside * vectors.length + 10, high + 42, tools.description), caption = reading(holder, "Point at a word, or at a cell.");
  const cells = (values, left, start, least, most) => {
    const group = svg.append("g").attr("class", "cells").attr("transform", `translate(${left},22)`);
    for (let i = 0; i < k; i++) {
      const share = (values[start + i] - least) / (most - least || 1), [row, column] = [Math.floor(i / columns), i % columns];
      group.append("rect").attr("x", column * wide / columns).attr("y", row * high / rows).attr("width", wide / columns).attr("height", high / rows)
        .attr("fill", ramp()(share)).attr("fill-opacity", values === weights.values && image ? 0.25 + 0.6 * share : 1).attr("stroke", "currentColor").attr("stroke-opacity", 0.15)
        .on("pointerenter", () => caption.replaceChildren(`${image ? `row ${row + 1}, column ${column + 1}` : visible(data.sources[i])}: score ${scores.values[start + i].toFixed(2)}, weight ${weights.values[start + i].toFixed(3)}`));
    }
  };
  const show = number => {
    buttons.forEach((button, other) => button.setAttribute("aria-pressed", other === number));
    svg.selectAll("*").remove();
    const part = values => values.slice(number * k, (number + 1) * k), own = part(weights.values), e = part(scores.values);
    for (const [left, text] of [[named, "scores e"], [named + step, step < 170 ? "weights α" : "weights α = softmax(e)"]]) svg.append("text").attr("x", left).attr("y", 14).text(text);
    data.sources.forEach((source, row) => svg.append("text").attr("x", named - 6).attr("y", 22 + (row + 0.5) * high / rows + 5).attr("text-anchor", "end").text(clipped(visible(source), named - 8)));
    if (image) svg.append("image").attr("x", named + step).attr("y", 22).attr("width", wide).attr("height", high).attr("preserveAspectRatio", "none")
      .attr("href", pixelsOf(image.shape[2], image.shape[1], (x, y) => colourAt(image, (x + 0.5) / image.shape[2], (y + 0.5) / image.shape[1]).map(part => 255 * part)));
    cells(scores.values, named, number * k, Math.min(...e), Math.max(...e));
    cells(weights.values, named + step, number * k, 0, Math.max(...own));
    vectors.forEach(([name, values, size], place) => {
      const left = named + 2 * step + place * beside, features = values.shape[1], c = values.values.slice(number * features, (number + 1) * features);
      const most = Math.max(...c.map(Math.abs)) || 1, tall = Math.min(22, high / features);
      svg.append("text").attr("x", left).attr("y", 14).text(name);
      c.forEach((value, row) => {
        svg.append("rect").attr("x", left).attr("y", 22 + row * tall).attr("width", 40).attr("height", tall).attr("fill", ramp()(0.75 * Math.abs(value) / most));
        svg.append("text").attr("x", left + 46).attr("y", 22 + (row + 0.5) * tall + 5).text(value.toFixed(2).replace("-0.00", "0.00"));
      });
      if (features < size) svg.append("text").attr("x", left).attr("y", 38 + features * tall).text(`${features} of ${size}`);
    });
  };
  const buttons = data.words.map((word, number) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(isolated(visible(word)));
    button.onpointerenter = button.onfocus = button.onclick = () => show(number);
    line.append(button, " ");
    return button;
  });
  show(0);
};
pictures.build_up.how = "Point at a word of the answer: the scores of what can be looked at, their softmax, and the weighted sum from which the word is written, with the decoder's state if there is one.";
