
// Words in lines, each on the colour of its number; orange is below 0.

pictures.text = (holder, data, tools) => {
  const width = Math.min(720, holder.clientWidth), size = 15, line = 28, most = Math.max(...data.numbers.map(Math.abs)) || 1;
  const words = data.words.map(visible).map(text => clipped(text, width - 8, size)), signed = data.numbers.some(number => number < 0);
  let x = 0, y = 0;
  const places = words.map(text => {
    const wide = widthOf(text, size) + 8;
    if (x && x + wide > width) { x = 0; y += line; }
    const place = { x, y, wide };
    x += wide + 3;
    return place;
  });
  const svg = sheet(holder, width, y + line + 28, tools.description), ink = style("--dark"), caption = reading(holder, `Point at a word to read its ${data.values}.`);
  const tint = number => [number < 0 ? "#d55e00" : ink, Math.abs(number) / most * 0.85];
  words.forEach((text, i) => {
    const { x, y, wide } = places[i], [fill, opacity] = tint(data.numbers[i]), group = svg.append("g").attr("tabindex", 0).attr("role", "img").attr("aria-label", `${text}: ${short(data.numbers[i])}`);
    group.append("rect").attr("x", x).attr("y", y).attr("width", wide).attr("height", line - 4).attr("rx", 3).attr("fill", fill).attr("fill-opacity", opacity);
    group.append("text").attr("x", x + 4).attr("y", y + 17).attr("font-size", size).attr("fill", opacity > 0.5 && fill === ink ? style("--paper") : "currentColor").text(text);
    const show = () => caption.replaceChildren("“", isolated(text), `”: ${data.values} ${short(data.numbers[i])}`);
    Object.assign(group.node(), { onpointerenter: show, onfocus: show });
  });
  const top = y + line + 10, parts = d3.range(24).map(i => (signed ? (i + 0.5) / 12 - 1 : (i + 0.5) / 24)), from = signed ? short(-most) : "0", left = widthOf(from, 11) + 6;
  svg.append("text").attr("y", top + 9).text(from);
  parts.forEach((share, i) => { const [fill, opacity] = tint(share * most); svg.append("rect").attr("x", left + 4 * i).attr("y", top).attr("width", 4.3).attr("height", 10).attr("fill", fill).attr("fill-opacity", opacity); });
  svg.append("text").attr("x", left + 102).attr("y", top + 9).text(`${short(most)}  ${data.values}`);
};
