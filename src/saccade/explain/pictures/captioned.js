"use strict";

// Images with captions, bright where the marked word looked.

pictures.captioned = (holder, data, tools) => {
  const images = tools.unpacked(data.images), maps = tools.unpacked(data.maps), [count, , high, wide] = images.shape, [, rows, columns] = maps.shape;
  const across = Math.min(240, Math.max(120, holder.clientWidth / Math.min(count, 3) - 14)), down = across * high / wide, size = high * wide;
  const lines = text => visible(text).split(" ").reduce((found, word) => {
    if (found.length && widthOf(`${found[found.length - 1]} ${word}`, 12) < across) found[found.length - 1] += ` ${word}`;
    else found.push(word);
    return found;
  }, []);
  const texts = data.captions.map((caption, number) => [...lines(caption), ...(data.marked[number] ? [data.marked[number]] : [])]);
  const each = Math.max(1, Math.floor((holder.clientWidth + 14) / (across + 14))), block = down + 20 + 16 * Math.max(...texts.map(one => one.length));
  const svg = sheet(holder, Math.min(count, each) * (across + 14) - 14, Math.ceil(count / each) * block, tools.description);
  texts.forEach((own, number) => {
    const x = (number % each) * (across + 14), y = Math.floor(number / each) * block, start = number * 3 * size;
    svg.append("image").attr("x", x).attr("y", y).attr("width", across).attr("height", down).attr("preserveAspectRatio", "none")
      .attr("href", pixelsOf(wide, high, (column, row) => {
        const light = maps.values[(number * rows + Math.floor(row / high * rows)) * columns + Math.floor(column / wide * columns)];
        return [0, 1, 2].map(channel => 255 * images.values[start + channel * size + row * wide + column] * (data.dark + (1 - data.dark) * light));
      }));
    own.forEach((line, row) => {
      const text = svg.append("text").attr("x", x).attr("y", y + down + 14 + 16 * row).text(line);
      if (row === own.length - 1 && data.marked[number]) text.attr("font-weight", 700).attr("text-decoration", "underline");
    });
  });
};
