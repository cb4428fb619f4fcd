
// What is shown, as a picture or as a page of its own.

const EDGE = 16; // pixels around a picture
const SLUG = 60; // characters of each part of a file's name at most

/** Whether a picture is saved in other colours than it is shown in: light ones, unless dark ones are asked for. */
function savedInOtherColours() { return document.documentElement.dataset.scheme === "light" && matchMedia("(prefers-color-scheme: dark)").matches; }

/** What `act` gives while the page is drawn in the colours that are saved. */
function inSavedColours(act) {
  if (!element("as-dark").checked) document.documentElement.dataset.scheme = "light";
  try {
    return act();
  } finally {
    delete document.documentElement.dataset.scheme;
  }
}

/** The views that are seen, side by side, as one SVG. */
function picture(views) {
  const parts = views.map(drawn), gap = 2 * EDGE;
  const width = d3.sum(parts, part => part.width) + gap * (parts.length - 1) + 2 * EDGE;
  const height = d3.max(parts, part => part.height) + 2 * EDGE;
  const svg = d3.create("svg:svg").attr("xmlns", "http://www.w3.org/2000/svg").attr("width", width).attr("height", height);
  svg.attr("viewBox", `0 0 ${width} ${height}`).attr("font-family", "system-ui, sans-serif").attr("color", style("--ink")).attr("fill", style("--ink"));
  svg.append("title").text(document.title);
  svg.append("rect").attr("width", width).attr("height", height).attr("fill", style("--paper"));
  let left = EDGE;
  for (const part of parts) {
    d3.select(part.group).attr("transform", `translate(${left},${EDGE})`);
    svg.node().append(part.group);
    left += part.width + gap;
  }
  return { svg: svg.node(), width, height };
}

/** One view: what it is of, each of its pictures, and the room that they take. */
function drawn(view) {
  const group = d3.create("svg:g"), parts = view.shown.map(one => ({ heading: one.heading, ...one.saved() }));
  const width = Math.max(320, ...parts.flatMap(one => one.parts.map(part => part.width)));
  let top = 0;
  const write = (text, size) => {
    for (const line of lines(text, width, size)) group.append("text").attr("y", top += size * 1.4).attr("font-size", size).text(line);
  };
  write(view.given.name || document.title, 13);
  write(view.given.answer || "", 17);
  for (const one of parts) {
    top += one.heading ? EDGE / 2 : 0;
    write(one.heading, 14);
    write(one.said || "", 13);
    for (const part of one.parts) {
      d3.select(part.group).attr("transform", `translate(0,${top + EDGE})`);
      group.node().append(part.group);
      top += part.height + EDGE;
    }
    write(one.below || "", 13);
  }
  return { group: group.node(), width, height: top };
}

/** What a kind drew that does not say itself how it is saved: each SVG of its holder, or its description where there is none. */
function partsOf(holder, description) {
  const parts = [...holder.querySelectorAll(":scope > svg, :scope > .scroll > svg, :scope > div > .scroll > svg")].map(svg => {
    const { width, height } = svg.getBoundingClientRect(), copy = svg.cloneNode(true), group = d3.create("svg:g").node();
    copy.setAttribute("width", width);
    copy.setAttribute("height", height);
    for (const hidden of copy.querySelectorAll("[visibility=hidden]")) hidden.remove();
    group.append(copy);
    return { group, width, height };
  });
  return { said: parts.length ? "" : description, parts };
}

function lines(text, width, size) {
  const found = [];
  let line = "";
  for (const part of text.match(/\s+|[^\s]{1,12}/gu) || []) {
    if (line.trim() && widthOf(line + part, size) > width) { found.push(line); line = ""; }
    line += line ? part : part.trimStart();
  }
  return line ? [...found, line] : found;
}

function offer(blob, name) {
  const there = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href: there, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(there), 60000);
}

/** Named after the input, and after the layer and the heads that are seen. */
function fileName(views) {
  const slug = text => text.normalize("NFC").toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, SLUG).replace(/-+$/, "");
  const input = page.text || document.title.replace(/^[^:]*: /, "").replace(/ -> .*/, "");
  const seen = [...new Set(views.flatMap(view => view.shown.map(one => one.named)).filter(Boolean))].slice(0, 2);
  return [input, ...seen].map(slug).filter(Boolean).join("--") || "saccade";
}

function saveSVG(views) {
  const text = inSavedColours(() => new XMLSerializer().serializeToString(picture(views).svg));
  offer(new Blob([text], { type: "image/svg+xml" }), `${fileName(views)}.svg`);
}

async function savePNG(views) {
  const { svg, width, height } = inSavedColours(() => picture(views)), image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(svg))}`;
  await image.decode();
  const ratio = Math.min(2, 16000 / Math.max(width, height)); // a canvas is no larger
  const canvas = Object.assign(document.createElement("canvas"), { width: width * ratio, height: height * ratio });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob(blob => offer(blob, `${fileName(views)}.png`), "image/png");
}

/** The page as it came, with what is shown now for its data, and with a policy that lets it ask for nothing. */
function saveHTML(untouched, data) {
  const page = untouched.cloneNode(true), policy = page.querySelector("meta[http-equiv]");
  policy.setAttribute("content", policy.getAttribute("content").replace("connect-src 'self'", "connect-src 'none'"));
  page.querySelector("title").textContent = page.querySelector("h1").textContent = data.title;
  page.querySelector("#data").textContent = JSON.stringify(data).replaceAll("<", "\\u003c");
  offer(new Blob(["<!doctype html>\n", page.outerHTML], { type: "text/html" }), `${fileName(present())}.html`);
}
