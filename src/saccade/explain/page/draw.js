"use strict";
// What the kinds of pictures share: text and its size, axes, images, tiles.

/** A kind of picture -> (holder, data, tools) => what draws it into the holder; see `Shown` for tools and what comes back. */
const pictures = {};
const GAP = 14, SMALL = 12; // pixels that a label needs along an axis, and of its text
const LINES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"];
// placed by lightness, so that equal steps of weight are equal steps of grey in print
const BLUES = d3.scaleLinear([0, 0.175, 0.41, 0.675, 1], ["#ffffff", "#c6dbef", "#6baed6", "#2171b5", "#08306b"]);
// the same on a dark page: nothing is as dark as the page, and the lightest is the most
const BLUES_AT_NIGHT = d3.scaleLinear([0, 0.2, 0.5, 0.8, 1], ["#1f242b", "#1d4468", "#3a7fb8", "#8fc1e6", "#e3f0fb"]);
const printing = matchMedia("print");
/** Whether pictures are drawn on a dark page; print and saved pictures are light. */
const dark = () => document.documentElement.dataset.scheme !== "light" && !printing.matches && matchMedia("(prefers-color-scheme: dark)").matches;
const ramp = () => (dark() ? BLUES_AT_NIGHT : BLUES);
const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const measuring = document.createElement("canvas").getContext("2d");

function widthOf(text, size = 15) {
  measuring.font = `${size}px system-ui, sans-serif`;
  return measuring.measureText(text).width;
}

/** The text, cut where it is wider. */
function clipped(text, width, size = 15) {
  if (widthOf(text, size) <= width) return text;
  const signs = [...text];
  while (signs.length && widthOf(`${signs.join("")}…`, size) > width) signs.pop();
  return `${signs.join("")}…`;
}

/** The canvas with room for so many pixels, and a pen that counts in those of the page. */
function penOf(canvas, width, height) {
  const ratio = Math.min(window.devicePixelRatio || 1, 3);
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  return pen;
}

/** Where along an axis a value or a token stands. */
function scaleOf(values, count, length) {
  if (!values) return d3.scaleBand(d3.range(count), [0, length]);
  const half = (values[values.length - 1] - values[0]) / (values.length - 1) / 2;
  return d3.scaleLinear([values[0] - half, values[values.length - 1] + half], [0, length]);
}

/** An axis of d3: ticks of numbers, or as many tokens as there is room for. */
function axisOf(make, tokens, values, length, room) {
  const scale = scaleOf(values, tokens.length, length), axis = make(scale).tickSizeOuter(0);
  if (values) {
    const unit = tokens[0].endsWith(" s") ? " s" : "", ticks = Math.max(2, Math.floor(length / 70));
    const said = scale.tickFormat(ticks);
    return axis.ticks(ticks).tickFormat(value => said(value) + unit);
  }
  const every = Math.max(1, Math.ceil(GAP / scale.step()));
  return axis.tickSize(3).tickValues(d3.range(0, tokens.length, every)).tickFormat(i => clipped(tokens[i], room, SMALL));
}

/** The room around a matrix that the labels of its rows and columns need. */
function roomOf(rows, columns, values) {
  const widest = tokens => Math.min(120, Math.max(10, ...tokens.slice(0, 600).map(token => widthOf(token, SMALL))));
  const left = Math.ceil(values.queries ? 48 : widest(rows) + 12);
  const across = values.keys ? 0 : widest(columns); // turned by 50 degrees
  return { left, top: Math.ceil(values.keys ? 24 : across * 0.8 + 16), right: Math.ceil(Math.min(60, across * 0.64 + 6)) };
}

/** The axis of the columns, above a matrix. */
function drawAcross(group, columns, values, { left, top, width }) {
  const across = d3.select(group).append("g").attr("transform", `translate(${left},${top})`);
  across.call(axisOf(d3.axisTop, columns, values, width, 120)).attr("font-size", SMALL).attr("font-family", null);
  if (!values) across.selectAll("text").attr("text-anchor", "start").attr("transform", "rotate(-50)").attr("dx", "6").attr("dy", "4");
  across.selectAll("path").attr("stroke-opacity", 0.3);
}

/** The axis of the rows, on the left of a matrix. */
function drawDown(group, rows, values, { left, top, height }) {
  const down = d3.select(group).append("g").attr("transform", `translate(${left},${top})`);
  down.call(axisOf(d3.axisLeft, rows, values, height, 120)).attr("font-size", SMALL).attr("font-family", null);
  down.selectAll("path").attr("stroke-opacity", 0.3);
}

function drawAxes(group, rows, columns, values, box) {
  d3.select(group).selectAll("*").remove();
  drawAcross(group, columns, values.keys, box);
  drawDown(group, rows, values.queries, box);
}

/** The lines between cells, as a path. */
function gridOf(left, top, across, down, rows, columns) {
  const lines = [];
  for (let i = 0; i <= columns; i++) lines.push(`M${(left + i * across).toFixed(1)},${top}v${(down * rows).toFixed(1)}`);
  for (let i = 0; i <= rows; i++) lines.push(`M${left},${(top + i * down).toFixed(1)}h${(across * columns).toFixed(1)}`);
  return lines.join("");
}

/** A token as it can be seen: of what takes no room, its name. */
function visible(token) {
  if (/[^\p{Z}\p{C}\p{M}]/u.test(token)) return token;
  if (!token) return "(empty)";
  if (/\p{M}/u.test(token)) return `\u25cc${token}`;
  const name = sign => `U+${sign.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  return [...token].map(sign => (sign === " " ? "\u2423" : name(sign))).join(" ");
}

/** The ramp in 256 opaque points, as a canvas stores them. */
function inks() {
  const scale = ramp();
  return Uint32Array.from({ length: 256 }, (_, i) => {
    const { r, g, b } = d3.rgb(scale(i / 255));
    return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  });
}

/** Weights as a picture of one pixel per weight, on the ramp from 0 to the largest. */
function paint(canvas, values, rows, columns, largest) {
  canvas.width = columns;
  canvas.height = rows;
  const pen = canvas.getContext("2d"), image = pen.createImageData(columns, rows);
  const points = new Uint32Array(image.data.buffer), ink = inks(), scale = 255 / Math.max(largest, 1e-9);
  for (let i = 0; i < values.length; i++) points[i] = ink[Math.min(255, Math.round(scale * values[i]))];
  pen.putImageData(image, 0, 0);
}

/** An array that Python packed: its shape, its numbers, and their range. */
function unpacked({ shape, least, most, steps }) {
  const text = atob(steps), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const values = Float32Array.from(new Uint16Array(bytes.buffer), step => least + step / 65535 * (most - least));
  return { shape, values, least, most };
}

/** Red, green and blue of an image (y, x) or (3, y, x), from 0 to 1, at a share of its width and of its height. */
function colourAt(image, x, y) {
  const [high, wide] = image.shape.slice(-2), at = Math.floor(y * high) * wide + Math.floor(x * wide), size = image.shape.length === 3 ? high * wide : 0;
  return [0, 1, 2].map(channel => image.values[channel * size + at]);
}

/** The address of a picture of so many pixels; `at(x, y)` gives red, green and blue from 0 to 255. */
function pixelsOf(width, height, at) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height }), pen = canvas.getContext("2d");
  const image = pen.createImageData(width, height);
  for (let y = 0, i = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const [red, green, blue] = at(x, y);
      image.data[i++] = red;
      image.data[i++] = green;
      image.data[i++] = blue;
      image.data[i++] = 255;
    }
  pen.putImageData(image, 0, 0);
  return canvas.toDataURL("image/png");
}

/** The colours of a scale from 0 to 1, as `BLUES`, in 256 steps. */
const steps = Array.from({ length: 256 }, (_, i) => { const { r, g, b } = d3.rgb(BLUES(i / 255)); return [r, g, b]; });

/** A new SVG in a holder, with text of 12 pixels. */
function sheet(holder, width, height, name) {
  const svg = d3.select(holder).append("svg").attr("width", width).attr("height", height).attr("viewBox", `0 0 ${width} ${height}`);
  svg.attr("font-size", SMALL).attr("fill", "currentColor").attr("role", "img");
  return name ? svg.attr("aria-label", name) : svg;
}

/** A sentence below a picture, which a screen reader says when it changes. */
function reading(holder, text) {
  const node = document.createElement("p");
  node.className = "caption";
  node.setAttribute("aria-live", "polite");
  node.textContent = text;
  holder.append(node);
  steady(node);
  return node;
}

/** A text that changes under the pointer keeps its height, or the things pointed at would move; in another width it starts anew. */
function steady(node) {
  let width = 0, height = 0;
  new ResizeObserver(() => {
    if (node.offsetWidth !== width) {
      width = node.offsetWidth;
      height = 0;
      node.style.minHeight = ""; // which would be measured otherwise
    }
    height = Math.max(height, node.offsetHeight);
    node.style.minHeight = `${height}px`;
  }).observe(node);
}

/** A token within a sentence, whichever way it is written. */
function isolated(token) {
  return Object.assign(document.createElement("bdi"), { textContent: token });
}

/** A slider with its name before it, in a bar above a picture; `act` is called with its number. */
function slider(holder, name, { min, max, step, value, said }, act) {
  const bar = Object.assign(document.createElement("div"), { className: "bar" }), label = document.createElement("label");
  const input = Object.assign(document.createElement("input"), { type: "range", min, max, step, value });
  const output = Object.assign(document.createElement("output"), { className: "place" });
  const tell = () => {
    const text = said ? said(Number(input.value)) : input.value;
    output.textContent = text;
    input.setAttribute("aria-valuetext", text);
  };
  input.oninput = () => { tell(); act(Number(input.value)); };
  label.append(`${name} `, input, output);
  bar.append(label);
  holder.append(bar);
  tell();
  return { input, tell };
}

/** Where so many tiles of one form stand in a width, each with room for its label above it. */
function tiled(count, aspect, width, most, least = 56) {
  const gap = 10, above = 18;
  const one = Math.max(least, Math.min(most, width, (width + gap) / count - gap));
  const high = Math.max(8, Math.round(aspect <= 1 ? one * aspect : Math.min(one * aspect, most))), wide = Math.round(high / aspect);
  const step = Math.max(wide, least) + gap, across = Math.max(1, Math.min(count, Math.floor((width + gap) / step)));
  const places = Array.from({ length: count }, (_, i) => ({ x: i % across * step, y: above + Math.floor(i / across) * (high + above + gap) }));
  return { wide, high, step, places, width: Math.min(width, across * step - gap), height: places.at(-1).y + high + 2 };
}

/** The labels of a chart's axes. */
function axisLabels(svg, { left, top, width, height }, across, up) {
  svg.append("text").attr("x", left + width).attr("y", top + height + 32).attr("text-anchor", "end").text(across);
  svg.append("text").attr("x", 0).attr("y", 11).text(up);
}

/** Names of lines with their colours, in rows; the height that they take. */
function legendOf(svg, names, width, top) {
  let x = 0, y = top;
  names.forEach((name, number) => {
    const text = clipped(name, width - 22, SMALL), wide = widthOf(text, SMALL) + 34;
    if (x && x + wide > width) { x = 0; y += 16; }
    svg.append("rect").attr("x", x).attr("y", y + 2).attr("width", 14).attr("height", 4).attr("fill", LINES[number % LINES.length]);
    svg.append("text").attr("x", x + 19).attr("y", y + 9).text(text);
    x += wide;
  });
  return y + 16 - top;
}

/** A number as it is read: three digits that count. */
function short(number) {
  if (number === null || number === undefined || Number.isNaN(number)) return "none";
  if (Number.isInteger(number)) return d3.format(",")(number);
  return Math.abs(number) >= 1000 ? d3.format(",.0f")(number) : String(Number(number.toPrecision(4)));
}
