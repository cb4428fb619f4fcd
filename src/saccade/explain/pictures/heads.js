
// The kind "heads": the layers of a model, their tokens, and what each head attends to; one layer is seen at a time.

const HINT = {
  fine: "Point at a word on the left to see what it attends to, or at one on the right to see what attends to it. A click keeps it; the arrow keys move.",
  axis: "Point at a row or a place to read its numbers. A click keeps it; the arrow keys move.",
  own: " Each row is drawn by its own largest weight.",
};
const FEW_LAYERS = 8; // up to so many, the overview fits under the matrix
const still = matchMedia("(prefers-reduced-motion: reduce)");

const HEADS = `
  <div class="looks">
    <div class="bar">
      <label>layer <select class="layer"></select></label>
      <fieldset class="heads chips"><legend>heads</legend></fieldset>
    </div>
    <div class="bar">
      <span class="chips"><button class="play" type="button">play</button>
      <label>step <input class="step" type="range" min="0" value="0"></label>
      <output class="place"></output></span>
      <label class="weak">hide links below <input class="least" type="range" min="0" max="0.9" step="0.05" value="0.2"> <output class="hidden"></output></label>
      <label class="check joins"><input class="words" type="checkbox" checked> whole words</label>
      <label class="check specials"><input class="special" type="checkbox" checked> special tokens</label>
    </div>
    <p class="said" aria-live="polite"></p>
    <div class="stage">
      <div class="panel">
        <div class="queries tokens" role="group"></div>
        <div class="middle">
          <canvas class="arcs" role="img"></canvas>
          <svg class="scale" aria-hidden="true"></svg>
        </div>
        <div class="keys tokens" role="group"></div>
      </div>
      <figure class="one">
        <figcaption class="caption read" aria-live="polite"></figcaption>
        <div class="scroll"><div class="cells">
          <svg class="corner" aria-hidden="true"></svg><svg class="across" aria-hidden="true"></svg>
          <svg class="down" aria-hidden="true"></svg><div class="table"><canvas class="matrix" tabindex="0" role="application"></canvas><svg class="over" aria-hidden="true"></svg></div>
        </div></div>
        <svg class="key-scale" width="320" height="18" fill="currentColor" aria-hidden="true"></svg>
      </figure>
      <figure class="every">
        <figcaption class="caption">All layers and heads: click one to see it. With the keyboard, the arrow keys move and Enter selects.</figcaption>
        <div class="scroll"><div class="plot"><canvas class="grid" tabindex="0" role="application"></canvas><svg aria-hidden="true"></svg></div></div>
        <p class="under quiet" aria-live="polite"></p>
      </figure>
    </div>
  </div>`;

pictures.heads = (holder, data, tools) => new HeadsView(holder, data, tools);
pictures.heads.how = "Each line joins a word on the left to the words on the right that it attends to: the wider the line, the larger the weight. Point at a word to read its weights.";

class HeadsView {
  constructor(holder, data, tools) {
    holder.innerHTML = HEADS;
    this.root = holder.firstElementChild;
    this.tools = tools;
    this.layers = [];
    this.state = { layer: 0, heads: new Set(), least: 0.2, words: true, special: true, kept: null, shown: null, stepping: false };
    this.matrix = new Matrix(this);
    this.overview = new Overview(this);
    this.listen();
    this.load(data);
  }

  find(name) { return this.root.querySelector(`.${name}`); }
  get layer() { return this.layers[this.state.layer]; }
  get focus() { return this.state.shown || this.state.kept; }
  /** The side that is an axis of numbers, where one is; "both": nothing but the matrix can be drawn. */
  get axis() {
    const { queries, keys } = this.layer.axis;
    return queries && keys ? "both" : keys ? "keys" : queries ? "queries" : "";
  }

  /** The largest weight of the matrix, by which the pictures of a comparison are drawn on one scale. */
  get peak() { return this.layer.mean(this.state.heads).largest; }
  get scale() { return this.tools.scaled(this); }

  /** Other layers in place of these; what is selected stays, where they have it too. */
  load(data) {
    const fresh = !this.layers.length;
    this.stop();
    this.given = data;
    this.read();
    this.find("layer").replaceChildren(...this.layers.map((one, number) => Object.assign(new Option(one.label, number), { title: one.name })));
    this.find("joins").hidden = !data.layers.some(one => one.queries_words || one.keys_words);
    this.find("specials").hidden = !data.layers.some(one => one.queries_special && one.queries_special.length + one.keys_special.length);
    this.state.kept = this.state.shown = null;
    if (fresh) this.open();
    else this.choose(Math.min(this.state.layer, data.layers.length - 1), null);
  }

  /** The layers as they are read now: by words or pieces, with or without special tokens. */
  read() {
    const { words, special } = this.state;
    this.layers = this.given.layers.map(given => new Layer(given, { words, special }));
    this.find("words").checked = words;
    this.find("special").checked = special;
  }

  /** Another reading of the same layers; the token in focus stays, or the word that it belongs to. */
  reread(words, special) {
    const { layer, state } = this, { kept } = state;
    Object.assign(state, { words, special, shown: null });
    this.read();
    state.kept = kept && this.layer.same(layer, kept);
    this.choose(state.layer, null);
  }

  /** The layer and the head that are seen at first: of layers over an axis all heads. */
  open() {
    const [layer, head] = this.given.first || [0, 0], given = this.layers[layer];
    this.choose(layer, given.attention && !given.axis.keys && !given.axis.queries ? [head] : [...Array(given.heads).keys()]);
  }

  /** Drawn anew in another width, or in other colours. */
  fresh() {
    this.fit();
    this.overview.fill();
  }

  /** What of this a link says. */
  link() {
    const { layer, heads, kept, words, special } = this.state, said = { layer, heads: [...heads].sort((one, two) => one - two).join(".") };
    if (!words) said.pieces = 1;
    if (!special) said.special = 0;
    return kept ? { ...said, token: `${kept.side}.${kept.number}` } : said;
  }

  /** As a link says; `said(name)` is null where it does not. */
  restore(said) {
    const heads = said("heads"), layer = said("layer"), [side, token] = (said("token") || "").split(".");
    Object.assign(this.state, { words: said("pieces") !== "1", special: said("special") !== "0" });
    this.read();
    this.state.kept = side === "queries" || side === "keys" ? { side, number: Number(token) || 0 } : null;
    if (layer === null && heads === null) return this.open();
    this.choose(layer === null ? this.given.first[0] : Number(layer), heads === null ? [] : heads.split(".").filter(Boolean).map(Number));
  }

  /** The heads beside these changed: the same word is in focus here, read in the same way, on the same scale. */
  follow(other) {
    const { shown, kept, stepping, least, words, special } = other.state, before = JSON.stringify(this.state);
    if (words !== this.state.words || special !== this.state.special) this.reread(words, special);
    const meant = here => here && this.layer.matching(other.layer, here), held = meant(kept);
    this.state.shown = meant(shown);
    if (held) Object.assign(this.state, { kept: held, stepping });
    else if (!kept && this.state.kept && other.layer.matching(this.layer, this.state.kept)) this.state.kept = null;
    this.state.least = least;
    if (JSON.stringify(this.state) !== before || this.drawn !== this.scale) this.draw();
  }

  /** The scale of a comparison may have changed. */
  rescale() { if (this.drawn !== this.scale) this.draw(); }

  /** What is saved of it: what is selected, the links or strips, and the matrix. */
  saved() {
    const { layer, axis, state, focus } = this, parts = axis === "both" ? [] : [axis ? savedStrips(this) : savedArcs(this)];
    if (axis === "both" || !axis) parts.push(savedMatrix(this));
    const heads = layer.heads > 1 ? `${state.heads.size > 1 ? "heads" : "head"} ${[...state.heads].sort(d3.ascending).join(", ")}` : "";
    const name = [layer.label, heads].filter(Boolean).join(", "), hidden = layer.renormalised ? "; special tokens are hidden, and each row is divided by its sum" : "";
    return { said: `${name}${hidden}`, below: focus ? this.find("said").textContent : "", file: name, parts };
  }

  choose(number, heads) {
    this.state.layer = number in this.layers ? number : 0;
    const there = heads === null ? [...this.state.heads] : heads;
    this.state.heads = new Set(there.filter(head => Number.isInteger(head) && head >= 0 && head < this.layer.heads));
    if (!this.state.heads.size) this.every();
    const { kept } = this.state;
    if (kept && !(kept.number in this.layer[kept.side])) this.state.kept = null;
    this.find("layer").value = this.state.layer;
    this.find("layer").title = this.layer.name;
    this.fill();
  }

  /** As a user selects. */
  pick(number, heads) {
    this.choose(number, heads);
    this.tools.changed();
  }

  every() { this.state.heads = new Set(Array(this.layer.heads).keys()); }

  /** The lists of tokens and all sizes; of another layer or head over the same tokens only what differs. */
  fill() {
    const { layer, axis } = this, panel = this.find("panel"), filled = JSON.stringify([layer.queries, layer.keys, layer.heads, layer.values, layer.sides, this.layers.length, this.root.clientWidth]);
    if (filled === this.filled && this.root.clientWidth) {
      this.overview.fill();
      return this.draw();
    }
    this.filled = filled;
    panel.classList.toggle("strips", !!axis);
    panel.classList.toggle("long", Math.max(...this.listed().map(side => layer[side].length), 0) > 60);
    panel.hidden = axis === "both";
    this.find("every").hidden = this.layers.length * this.overview.most < 2;
    this.find("stage").dataset.shape = axis === "both" ? "table" : axis ? "strips" : this.layers.length <= FEW_LAYERS ? "pair" : "all";
    this.buttons = {};
    for (const side of ["queries", "keys"]) {
      const here = this.find(side);
      here.setAttribute("aria-label", `${side === "queries" ? "rows" : "columns"}: ${layer.sides[side]}`);
      this.buttons[side] = this.listed().includes(side) ? layer[side].map((token, number) => this.token(side, token, number)) : [];
      const head = Object.assign(document.createElement("div"), { className: "side", textContent: layer.sides[side] });
      here.replaceChildren(...(this.buttons[side].length ? [head, ...this.buttons[side]] : []));
    }
    this.marked = { chosen: null, tinted: [], later: 0 };
    this.find("arcs").setAttribute("aria-label", axis ? `${layer.values}, a strip for each row` : "lines from each query to the keys that it attends to, wider for larger weights");
    this.find("step").max = layer[layer.stepped].length - 1;
    this.find("weak").hidden = !!axis;
    this.find("step").setAttribute("aria-label", `step through ${layer.stepped === "queries" ? "the rows" : "time"}, in order`);
    this.chips();
    this.fit();
    this.overview.fill();
  }

  /** The sides whose tokens are a list of buttons. */
  listed() { return ["queries", "keys"].filter(side => !this.layer.axis[side]); }

  token(side, token, number) {
    const { length } = this.layer[side], text = Object.assign(document.createElement("span"), { textContent: token });
    const button = Object.assign(document.createElement("button"), { type: "button", dir: "auto", tabIndex: number ? -1 : 0 });
    button.append(text);
    button.setAttribute("aria-label", `${token}, ${number + 1} of ${length}, ${this.layer.sides[side]}`);
    Object.assign(button.dataset, { side, number });
    return button;
  }

  chips() {
    const chip = (text, name, act) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: text });
      button.setAttribute("aria-label", name);
      button.onclick = () => { act(); this.change(); };
      return button;
    };
    const group = this.find("heads"), { state } = this;
    const own = Array.from({ length: this.layer.heads }, (_, head) => {
      const button = chip(head, `head ${head}`, () => { if (!state.heads.delete(head)) state.heads.add(head); else if (!state.heads.size) state.heads.add(head); });
      button.ondblclick = () => { state.heads = new Set([head]); this.change(); };
      button.title = "click: show or hide this head; double click: only this head";
      return button;
    });
    group.replaceChildren(group.firstElementChild, ...own, chip("all", "all heads", () => this.every()));
    group.hidden = this.layer.heads === 1;
    this.heads = own;
  }

  /** Sizes, which change with the window and the layer only. */
  fit() {
    if (!this.root.isConnected || !this.root.clientWidth) return;
    const { layer, axis } = this, panel = this.find("panel"), middle = this.find("middle");
    const rows = Math.max(...this.listed().map(side => layer[side].length), 0);
    const content = HEAD + (axis ? STRIP : ROW) * rows;
    const height = panel.classList.contains("long") ? Math.min(content, Math.round(innerHeight * 0.75)) : content;
    const scale = this.find("scale");
    scale.style.display = axis === "keys" || axis === "queries" ? "" : "none";
    middle.style.minHeight = `${content + (axis ? 34 : 0)}px`;
    this.size = { width: middle.clientWidth, height: axis ? Math.max(40, height - (height < content ? 34 : 0)) : height };
    this.find("arcs").style.height = `${this.size.height}px`;
    if (scale.style.display === "") {
      d3.select(scale).selectAll("*").remove();
      const group = d3.select(scale).append("g").attr("transform", "translate(0,1)");
      group.call(axisOf(d3.axisBottom, layer[axis], layer.axis[axis], this.size.width, 90)).attr("font-size", SMALL).attr("font-family", null);
      const said = layer.values === PLAIN ? "" : layer.sides[axis];
      group.append("text").attr("x", this.size.width).attr("y", 32).attr("fill", "currentColor").attr("text-anchor", "end").text(said);
    }
    this.matrix.fit();
    this.draw();
  }

  draw() {
    const { state, axis } = this, least = `${Math.round(100 * state.least)} % of the strongest`;
    this.drawn = this.scale;
    this.find("least").value = state.least;
    this.find("least").setAttribute("aria-valuetext", this.find("hidden").textContent = least);
    this.heads.forEach((button, head) => {
      const on = state.heads.has(head), colour = colourOf(head);
      button.setAttribute("aria-pressed", on);
      Object.assign(button.style, { background: on ? colour : "", color: on ? inkOn(colour) : "", borderColor: colour, borderStyle: ["solid", "dashed", "dotted"][Math.floor(head / HEADS_LIGHT.length) % 3] });
    });
    if (axis !== "both") this.drawPanel();
    this.matrix.draw();
    this.mark();
    this.tell();
    this.overview.mark();
    this.share();
  }

  /** The other pictures of the view hear which place of the keys is in focus, where these are an axis. */
  share() {
    const { layer, focus, state } = this;
    if (!focus || !layer.axis.keys) return this.tools.tell(null);
    const timed = focus.side === "keys";
    this.tools.tell({ count: layer.keys.length, until: timed ? focus.number : null, shares: timed ? null : layer.mine(state.heads, focus) });
  }

  /** Drawn anew since a user changed what is seen, which the page is told of. */
  change() {
    this.draw();
    this.tools.changed();
  }

  drawPanel() {
    const { layer, state, focus, axis } = this, panel = this.find("panel"), { width, height } = this.size;
    const row = axis ? STRIP : ROW, above = panel.scrollTop - HEAD;
    const pen = penOf(this.find("arcs"), width, height);
    this.left = 0;
    if (axis) {
      const along = axis === "keys" ? "queries" : "keys";
      const first = Math.max(0, Math.floor(above / row)), last = Math.min(layer[along].length, Math.ceil((above + height) / row));
      drawStrips(pen, layer, state.heads, focus, { side: axis, width, top: number => number * row - above, first, last });
      return;
    }
    const middle = number => row * (number + 0.5) - above, found = layer.links(state.heads, focus, state.least);
    const away = y => (y < 0 ? -1 : y > height ? 1 : 0);
    found.links = found.links.filter(({ query, key }) => !away(middle(query)) || away(middle(query)) !== away(middle(key)));
    drawArcs(pen, found, state.heads, focus, width, middle);
    if (focus) drawBlocks(pen, layer, state.heads, focus, found.strongest, width, middle);
    this.left = found.left;
  }

  /** The token in focus, the weight of each other one relative to the largest, and those that come later in time. */
  mark() {
    const { layer, state, focus, marked } = this;
    if (marked.chosen) marked.chosen.classList.remove("chosen");
    marked.chosen = focus ? this.buttons[focus.side][focus.number] || null : null;
    if (marked.chosen) marked.chosen.classList.add("chosen");
    for (const button of marked.tinted) {
      button.style.removeProperty("--seen");
      delete button.dataset.weight;
    }
    marked.tinted = [];
    const others = focus ? this.buttons[focus.side === "queries" ? "keys" : "queries"] : [];
    if (others.length) {
      const shares = layer.mine(state.heads, focus), most = d3.max(shares) || 1;
      others.forEach((button, number) => {
        if (shares[number] < 0.02 * most) return;
        button.style.setProperty("--seen", (shares[number] / most).toFixed(3));
        if (shares[number] >= state.least * most) button.dataset.weight = shares[number].toFixed(2);
        marked.tinted.push(button);
      });
    }
    const listed = this.buttons[layer.stepped], here = state.stepping && state.kept ? state.kept.number + 1 : listed.length;
    if (here !== marked.here) listed.forEach((button, number) => button.classList.toggle("later", number >= here));
    marked.here = here;
    const place = state.kept && state.kept.side === layer.stepped ? state.kept.number : 0, slider = this.find("step");
    slider.value = place;
    slider.setAttribute("aria-valuetext", `${place + 1} of ${layer[layer.stepped].length}, ${layer[layer.stepped][place]}`);
    this.find("place").textContent = `${state.kept && state.kept.side === layer.stepped ? place + 1 : 0} of ${layer[layer.stepped].length}`;
  }

  tell() {
    const { layer, focus } = this, said = this.find("said");
    this.matrix.tell();
    said.toggleAttribute("data-hint", !focus);
    if (!focus) {
      const left = this.left ? ` The ${LINKS} strongest links are drawn; point at a word to see its weaker ones.` : "";
      const own = this.axis && this.axis !== "both" && layer.values === PLAIN ? HINT.own : "";
      said.textContent = (this.axis ? HINT.axis : HINT.fine) + own + left;
      return;
    }
    const axis = !layer.attention && layer.axis[focus.side];
    const verb = !layer.attention ? `: ${layer.values} ` : focus.side === "queries" ? " attends to: " : " is attended to by: ";
    const what = axis ? [layer.sides[focus.side].replace(/ \(.*/, ""), " "] : ["“"];
    said.replaceChildren(...what, isolated(layer[focus.side][focus.number]), axis ? "" : "”", verb, ...this.found(focus, layer.attention));
  }

  /** The strongest places of a row or column, each with its weight and head. */
  found(focus, plain) {
    const { layer, state } = this, other = focus.side === "queries" ? "keys" : "queries", tokens = layer[other];
    const best = tokens.map((token, number) => {
      let found = { token, number, weight: 0, head: 0 };
      for (const head of state.heads) {
        const weight = focus.side === "queries" ? layer.at(head, focus.number, number) : layer.at(head, number, focus.number);
        if (weight > found.weight) found = { token, number, weight, head };
      }
      return found;
    });
    const sorted = best.filter(one => one.weight > 0).sort((one, two) => two.weight - one.weight);
    const head = one => (state.heads.size > 1 ? ` (head ${one.head})` : "");
    if (!sorted.length) return ["nothing"];
    if (!layer.axis[other])
      return sorted.slice(0, 5).filter((one, i) => !i || one.weight >= 0.005).flatMap((one, i) => [i ? "; " : "", isolated(one.token), ` ${one.weight.toFixed(2)}${head(one)}`]);
    const [top] = sorted, half = one => one && one.weight >= top.weight / 2;
    let from = top.number, to = top.number;
    while (half(best[from - 1])) from--;
    while (half(best[to + 1])) to++;
    const span = from === to ? "" : `; at least half of that from ${tokens[from]} to ${tokens[to]}`;
    const weight = `${top.weight.toFixed(2)}${head(top)}`;
    return [`${plain ? `${top.token} ${weight}` : `${weight} at ${layer.sides[other].replace(/ \(.*/, "")} ${top.token}`}${span}`];
  }

  show(here) {
    this.state.shown = here;
    this.change();
  }

  keep(here, stepping = false) {
    this.state.kept = here;
    this.state.stepping = stepping;
    this.change();
  }

  step(number) {
    const { stepped } = this.layer, last = this.layer[stepped].length - 1;
    this.state.shown = null;
    this.keep({ side: stepped, number: Math.min(Math.max(0, number), last) }, true);
    const button = this.buttons[stepped][this.state.kept.number], panel = this.find("panel");
    if (button && panel.classList.contains("long")) panel.scrollTop = button.offsetTop - panel.clientHeight / 2;
    return number < last;
  }

  /** Through all steps, half a second each; where motion is not wanted, one step a press. */
  play() {
    const { kept } = this.state, { stepped } = this.layer, last = this.layer[stepped].length - 1;
    const next = () => {
      const at = this.state.kept && this.state.kept.side === stepped ? this.state.kept.number : -1;
      return this.step(at >= last ? 0 : at + 1);
    };
    if (this.playing) return this.stop();
    if (!next() || still.matches) return;
    this.find("play").textContent = "pause";
    // of many steps, all in twenty seconds
    this.playing = setInterval(() => { if (!next()) this.stop(); }, Math.max(50, Math.min(600, 20000 / (last + 1))));
  }

  stop() {
    clearInterval(this.playing);
    this.playing = null;
    this.find("play").textContent = still.matches ? "next" : "play";
  }

  listen() {
    const here = event => {
      const button = event.target.closest("button[data-side]");
      return button && { side: button.dataset.side, number: Number(button.dataset.number) };
    };
    const same = (one, two) => !!one && !!two && one.side === two.side && one.number === two.number;
    const show = at => { if (!same(at, this.state.shown) && at !== this.state.shown) this.show(at); };
    const panel = this.find("panel"), arcs = this.find("arcs");
    panel.onpointerover = event => { if (event.target !== arcs) show(here(event)); };
    panel.onpointerleave = () => show(null);
    panel.addEventListener("focusin", event => show(here(event)));
    panel.addEventListener("focusout", () => show(null));
    panel.onclick = event => {
      const at = here(event) || (event.target === arcs && this.axis ? this.state.shown : null);
      if (at) { this.stop(); this.keep(same(at, this.state.kept) ? null : at); }
    };
    panel.onkeydown = event => this.move(event, here(event));
    panel.onscroll = () => this.drawPanel();
    arcs.onpointermove = arcs.onpointerdown = event => { if (this.axis) show(this.along(event)); };
    this.find("layer").onchange = event => this.pick(Number(event.target.value), null);
    for (const name of ["words", "special"]) this.find(name).onchange = () => {
      this.reread(this.find("words").checked, this.find("special").checked);
      this.tools.changed();
    };
    this.find("least").oninput = event => { this.state.least = Number(event.target.value); this.change(); };
    this.find("step").oninput = event => { this.stop(); this.step(Number(event.target.value)); };
    this.find("play").onclick = () => this.play();
    this.root.onkeydown = event => { if (event.key === "Escape") { this.stop(); this.state.shown = null; this.keep(null); } };
    still.addEventListener("change", () => this.stop());
    steady(this.find("said"));
    this.stop();
  }

  /** The place of the axis that is under the pointer. */
  along(event) {
    const box = event.target.getBoundingClientRect(), { length } = this.layer[this.axis];
    const number = Math.floor((event.clientX - box.left) / box.width * length);
    return { side: this.axis, number: Math.min(length - 1, Math.max(0, number)) };
  }

  move(event, at) {
    if (!at) return;
    const along = { ArrowDown: 1, ArrowUp: -1 }[event.key], across = { ArrowLeft: "queries", ArrowRight: "keys" }[event.key];
    const ends = { Home: 0, End: this.buttons[at.side].length - 1 }[event.key];
    const next = along ? this.buttons[at.side][at.number + along]
      : across ? this.buttons[across][Math.min(at.number, this.buttons[across].length - 1)]
      : ends === undefined ? null : this.buttons[at.side][ends];
    if (along || across || next) event.preventDefault();
    if (!next) return;
    for (const button of this.buttons[next.dataset.side]) if (button.tabIndex === 0) button.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

}
