
// How heads are drawn, on a canvas and as SVG: links between tokens, blocks beside them, strips over an axis, the matrix.

const ROW = 24, STRIP = 30, HEAD = 22, ARCS = 320; // pixels: of a token, of a strip, above them, and the width of saved links
const THIN = 1, THICK = 6; // pixels of the weakest and the strongest link
const link = d3.linkHorizontal();

// Told apart by people who see no red or no green, and by their lightness alone; further heads are dashed, then dotted.
const HEADS_LIGHT = ["#5e47cd", "#719b1b", "#411d68", "#128672", "#b197f1", "#414b0f"];
const HEADS_DARK = ["#8ee9c8", "#f8b76b", "#c65fe7", "#f2f247", "#3dc0d5", "#f17a7c"];
const DASHES = [[], [8, 4], [2, 3]];

function colourOf(head) { return (dark() ? HEADS_DARK : HEADS_LIGHT)[head % HEADS_LIGHT.length]; }

function dashOf(head) { return DASHES[Math.floor(head / HEADS_LIGHT.length) % DASHES.length]; }

/** A colour that is read on the colour of a head. */
function inkOn(colour) { return d3.lab(colour).l > 55 ? "#000000" : "#ffffff"; }

/** How a link is drawn, from its share of the strongest one; those of many words or heads at once are thinner. */
function strokeOf(share, count, heads) {
  const thick = count > 300 ? 2 : heads > 6 ? 2.5 : heads > 3 ? 3.5 : count > 80 ? 4 : THICK;
  return { width: THIN + (thick - THIN) * share, opacity: 0.25 + 0.75 * share };
}

/** Where the blocks of these heads stand beside the words, and how wide one is. */
function blocksOf(heads) {
  const shown = [...heads].sort((a, b) => a - b), wide = Math.max(5, Math.min(12, Math.floor(110 / shown.length)));
  return { shown, wide, room: shown.length > 1 ? shown.length * wide + 6 : 4 };
}

/** The vertical shift of a head's links, so that several heads at one word are seen side by side. */
function shiftOf(shown, head) {
  const place = shown.indexOf(head);
  return shown.length > 1 ? ((place + 0.5) / shown.length - 0.5) * (ROW - 8) : 0;
}

function drawArcs(pen, { links, strongest }, heads, focus, width, middle) {
  const { shown, room } = blocksOf(heads), left = focus && focus.side === "keys" ? room : 4, right = focus && focus.side === "queries" ? room : 4;
  link.context(pen);
  for (const { head, query, key, weight } of links) {
    const { width: wide, opacity } = strokeOf(weight / strongest, links.length, shown.length), shift = shiftOf(shown, head);
    pen.strokeStyle = colourOf(head);
    pen.lineWidth = wide;
    pen.globalAlpha = opacity;
    pen.setLineDash(dashOf(head));
    pen.beginPath();
    link({ source: [left, middle(query) + shift], target: [width - right, middle(key) + shift] });
    pen.stroke();
  }
  pen.setLineDash([]);
  pen.globalAlpha = 1;
}

/** Beside each token that the focused one is linked to, a block for each head: the fuller, the larger its weight. */
function drawBlocks(pen, layer, heads, focus, strongest, width, middle) {
  const { shown, wide, room } = blocksOf(heads), other = focus.side === "queries" ? "keys" : "queries";
  if (shown.length < 2) return;
  const start = other === "keys" ? width - room + 4 : 2;
  layer[other].forEach((_, number) => {
    shown.forEach((head, place) => {
      const weight = other === "keys" ? layer.at(head, focus.number, number) : layer.at(head, number, focus.number);
      const share = Math.min(1, weight / Math.max(strongest, 1e-9)), x = start + place * wide, y = middle(number) - ROW / 2 + 2, high = ROW - 4;
      pen.globalAlpha = 0.12;
      pen.fillStyle = style("--grey");
      pen.fillRect(x, y, wide - 1, high);
      pen.globalAlpha = share < 0.02 ? 0 : 0.1 + 0.9 * share;
      pen.fillStyle = colourOf(head);
      const parts = Math.floor(head / HEADS_LIGHT.length) % DASHES.length + 1;
      for (let part = 0; part < parts; part++) pen.fillRect(x, y + part * high / parts, wide - 1, high / parts - (parts > 1 ? 2 : 0));
    });
  });
  pen.globalAlpha = 1;
}

/** Pixels of a strip for a weight: attention is drawn by its row's own largest weight, so that spread weights are seen too. */
function unitOf(layer, values, largest) {
  const own = layer.values === PLAIN ? Math.max(d3.max(values), largest / 20) : largest;
  return (STRIP - 4) / Math.max(own, 1e-9);
}

/** For each token a strip over the axis: the mean of the selected heads, and for the focused one each head's line. */
function drawStrips(pen, layer, heads, focus, { side, width, top, first, last }) {
  const along = side === "keys" ? "queries" : "keys", place = scaleOf(layer.axis[side], 0, width);
  const at = layer.axis[side].map(value => place(value)), { largest } = layer.mean(heads);
  const ink = style("--dark"), base = row => top(row) + STRIP - 2;
  for (let row = first; row < last; row++) {
    const values = layer.mine(heads, { side: along, number: row }), chosen = focus && focus.side === along && focus.number === row;
    const unit = unitOf(layer, values, largest);
    pen.fillStyle = ink;
    pen.globalAlpha = focus && focus.side === along && !chosen ? 0.3 : 0.85;
    pen.beginPath();
    d3.area().x((_, i) => at[i]).y0(base(row)).y1(value => base(row) - value * unit).context(pen)(values);
    pen.fill();
    if (chosen && heads.size > 1)
      for (const head of heads) {
        const own = d3.range(at.length).map(i => (side === "keys" ? layer.at(head, row, i) : layer.at(head, i, row)));
        pen.strokeStyle = colourOf(head);
        pen.setLineDash(dashOf(head));
        pen.globalAlpha = 1;
        pen.beginPath();
        d3.line().x((_, i) => at[i]).y(value => base(row) - Math.min(value * unit, STRIP - 3)).context(pen)(own);
        pen.stroke();
      }
    pen.setLineDash([]);
    pen.globalAlpha = 0.25;
    pen.fillRect(0, base(row), width, 1);
  }
  pen.globalAlpha = 1;
  if (focus && focus.side === side) {
    pen.fillStyle = "#e69f00";
    pen.fillRect(at[focus.number] - 1, 0, 2, pen.canvas.height);
  }
}
