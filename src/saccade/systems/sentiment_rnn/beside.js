"use strict";
// Attention to each word, and below it what leaving the word out does.

pictures["sentiment_rnn.beside"] = (holder, data, tools) => {
  for (const [part, title] of [[data.attention, "attention"], [data.omission, data.title]]) {
    const head = Object.assign(document.createElement("p"), { textContent: title }), place = document.createElement("div");
    holder.append(head, place);
    pictures.text(place, part, tools);
  }
};
