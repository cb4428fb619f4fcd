"use strict";

// The frames of a clip, and a row of their weights for each word.

pictures["video_description.frames"] = (holder, data, tools) => {
  const strip = document.createElement("div"), map = document.createElement("div");
  holder.append(strip, map);
  pictures.strip(strip, data, tools);
  return pictures.alignment(map, {
    rows: data.words, columns: data.labels, weights: data.weights, rows_label: "word", columns_label: "frame", values: "attention weight",
    rows_words: null, columns_words: null,
  }, tools);
};
