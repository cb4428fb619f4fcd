// A text in its lines, each character on the colour of its number; orange is below 0.

pictures.characters = (holder, data, tools) => {
  const size = 13, wide = 8, high = 20, most = Math.max(20, Math.floor(Math.min(720, holder.clientWidth) / wide)), ink = style("--dark");
  const caption = reading(holder, `Point at a character to read its ${data.values}.`), places = [];
  let x = 0, y = 0;
  [...data.characters].forEach((character, i) => {
    if (character === "\n" || x >= most) { x = 0; y += 1; }
    if (character !== "\n") places.push({ character, number: data.numbers[i], x: x++, y });
  });
  const svg = sheet(holder, most * wide, (y + 1) * high + 8, tools.description);
  places.forEach(({ character, number, x, y }) => {
    const group = svg.append("g").attr("role", "img").attr("aria-label", `${character}: ${short(number)}`);
    group.append("rect").attr("x", x * wide).attr("y", y * high).attr("width", wide + 0.3).attr("height", high - 3).attr("fill", number < 0 ? "#d55e00" : ink).attr("fill-opacity", Math.abs(number) * 0.8);
    group.append("text").attr("x", (x + 0.5) * wide).attr("y", y * high + 13).attr("text-anchor", "middle").attr("font-family", "monospace").attr("font-size", size).attr("fill", number > 0.6 ? style("--paper") : "currentColor").text(character);
    group.node().onpointerenter = () => caption.replaceChildren("“", isolated(character), `”: ${data.values} ${short(number)}`);
  });
};
