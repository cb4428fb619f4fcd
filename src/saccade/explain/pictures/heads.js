
// The kind "heads": the layers of a model, their tokens, and where each head looks; one layer is seen at a time.

const HINT = {
  fine: "Point at a word to see where it looks, and who looks at it. A click keeps it; the arrow keys move.",
  axis: "Point at a row or a place to read its numbers. A click keeps it; the arrow keys move.",
  own: " Each row is drawn by its own largest weight.",
};
const still = matchMedia("(prefers-reduced-motion: reduce)");

const HEADS = `
  <div class="looks">
    <div class="bar">
      <label>layer <select class="layer"></select></label>
      <fieldset class="heads chips"><legend>heads</legend></fieldset>
      <label class="weak">hide below <input class="least" type="range" min="0" max="0.5" step="0.01" value="0.05" aria-valuetext="0.05"> <output class="hidden">0.05</output></label>
    </div>
    <div class="bar">
      <button class="play" type="button">play</button>
      <label>step <input class="step" type="range" min="0" value="0"></label>
      <output class="place"></output>
    </div>
    <p class="said" aria-live="polite"></p>
    <div class="panel">
      <div class="queries tokens" role="group"></div>
      <div class="middle">
        <canvas class="arcs" role="img"></canvas>
        <svg class="scale" aria-hidden="true"></svg>
      </div>
      <div class="keys tokens" role="group"></div>
    </div>
    <div class="figures">
      <figure class="one">
        <figcaption class="caption read"></figcaption>
        <div class="plot"><canvas class="matrix" role="img"></canvas><svg aria-hidden="true"></svg></div>
      </figure>
      <figure class="every">
        <figcaption class="caption">all layers and heads: click one, or move with the arrow keys and press Enter</figcaption>
        <div class="plot"><canvas class="grid" tabindex="0" role="application"></canvas><svg aria-hidden="true"></svg></div>
        <p class="under quiet" aria-live="polite"></p>
      </figure>
    </div>
  </div>`;

pictures.heads = (holder, data, tools) => new HeadsView(holder, data, tools);

class HeadsView {
  constructor(holder, data, tools) {
    holder.innerHTML = HEADS;
    this.root = holder.firstElementChild;
    this.tools = tools;
    this.layers = [];
    this.state = { layer: 0, heads: new Set(), least: 0.05, kept: null, shown: null, stepping: false };
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

  /** Other layers in place of these; what is chosen stays, where they have it too. */
  load({ layers }) {
    const fresh = !this.layers.length;
    this.stop();
    this.layers = layers.map(given => new Layer(given));
    this.find("layer").replaceChildren(...this.layers.map((one, number) => new Option(one.name, number)));
    this.state.kept = this.state.shown = null;
    this.choose(fresh ? this.first() : Math.min(this.state.layer, layers.length - 1), null);
  }

  /** Drawn anew in another width, or in other colours. */
  fresh() {
    this.fit();
    this.overview.fill();
  }

  /** What of this a link says. */
  link() {
    const { layer, heads, kept } = this.state, said = { layer, heads: [...heads].sort((one, two) => one - two).join(".") };
    return kept ? { ...said, token: `${kept.side}.${kept.number}` } : said;
  }

  /** As a link says; `said(name)` is null where it does not. */
  restore(said) {
    const heads = said("heads"), layer = said("layer"), [side, token] = (said("token") || "").split(".");
    this.state.kept = side === "queries" || side === "keys" ? { side, number: Number(token) || 0 } : null;
    this.choose(layer === null ? this.first() : Number(layer), heads === null ? [] : heads.split(".").filter(Boolean).map(Number));
  }

  /** What the heads beside these have in focus these have too, where they are of the same tokens. */
  follow(other) {
    const alike = ["queries", "keys"].filter(side => this.layer[side].join("\n") === other.layer[side].join("\n"));
    const { shown, kept, stepping, least } = other.state, meant = here => (here && alike.includes(here.side) ? here : null);
    const before = JSON.stringify(this.state);
    this.state.shown = meant(shown);
    if (!kept && meant(this.state.kept)) this.state.kept = null;
    if (meant(kept)) Object.assign(this.state, { kept, stepping });
    this.state.least = least;
    if (JSON.stringify(this.state) !== before) this.draw();
  }

  /** What is saved of it: what is chosen, the lines or strips, and the matrix. */
  saved() {
    const { layer, axis, state } = this, parts = axis === "both" ? [] : [axis ? savedStrips(this) : savedArcs(this)];
    if (axis === "both" || !axis) parts.push(savedMatrix(this));
    return { said: layer.heads > 1 ? `${layer.name}, heads ${[...state.heads].sort(d3.ascending).join(" ")}` : layer.name, parts };
  }

  /** Where an answer looks at what was given, rather than either at itself: the last such layer, or the first. */
  first() {
    const same = layer => layer.queries.join("\n") === layer.keys.join("\n");
    return Math.max(0, this.layers.findLastIndex(layer => !same(layer)));
  }

  choose(number, heads) {
    this.state.layer = number in this.layers ? number : 0;
    const there = heads === null ? [...this.state.heads] : heads;
    this.state.heads = new Set(there.filter(head => Number.isInteger(head) && head >= 0 && head < this.layer.heads));
    if (!this.state.heads.size) this.every();
    const { kept } = this.state;
    if (kept && !(kept.number in this.layer[kept.side])) this.state.kept = null;
    this.find("layer").value = this.state.layer;
    this.fill();
  }

  /** As a user chooses. */
  pick(number, heads) {
    this.choose(number, heads);
    this.tools.changed();
  }

  every() { this.state.heads = new Set(Array(this.layer.heads).keys()); }

  fill() {
    const { layer, axis } = this, panel = this.find("panel");
    panel.classList.toggle("strips", !!axis);
    panel.classList.toggle("long", Math.max(...this.listed().map(side => layer[side].length), 0) > 60);
    panel.hidden = axis === "both";
    this.buttons = {};
    for (const side of ["queries", "keys"]) {
      const here = this.find(side);
      here.setAttribute("aria-label", `${side === "queries" ? "rows" : "columns"}: ${layer.sides[side]}`);
      this.buttons[side] = this.listed().includes(side) ? layer[side].map((token, number) => this.token(side, token, number)) : [];
      const head = Object.assign(document.createElement("div"), { className: "side", textContent: layer.sides[side] });
      here.replaceChildren(...(this.buttons[side].length ? [head, ...this.buttons[side]] : []));
    }
    this.marked = { chosen: null, tinted: [], later: 0 };
    this.find("arcs").setAttribute("aria-label", axis ? `${layer.values}, a strip for each row` : "lines from who looks to what is looked at, darker for more");
    this.find("step").max = layer[layer.stepped].length - 1;
    this.find("weak").hidden = !!axis;
    this.find("step").setAttribute("aria-label", `step through ${layer.stepped === "queries" ? "what looks" : "time"}, in order`);
    this.chips();
    this.fit();
    this.overview.fill();
  }

  /** The sides whose tokens are a list of buttons. */
  listed() { return ["queries", "keys"].filter(side => !this.layer.axis[side]); }

  token(side, token, number) {
    const { length } = this.layer[side];
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: token, dir: "auto", tabIndex: number ? -1 : 0 });
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
    const { heads } = this.state, group = this.find("heads");
    const own = Array.from({ length: this.layer.heads }, (_, head) =>
      chip(head, `head ${head}`, () => { if (!this.state.heads.delete(head)) this.state.heads.add(head); }));
    const both = [chip("all", "all heads", () => this.every()), chip("none", "no head", () => { this.state.heads = new Set(); })];
    group.replaceChildren(group.firstElementChild, ...own, ...both);
    group.hidden = this.layer.heads === 1 && heads.size === 1;
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
    this.size = { width: middle.clientWidth, height: axis ? Math.max(40, height - (height < content ? 34 : 0)) : height };
    this.find("arcs").style.height = `${this.size.height}px`;
    middle.style.minHeight = `${content + (axis ? 34 : 0)}px`;
    if (scale.style.display === "") {
      d3.select(scale).selectAll("*").remove();
      const group = d3.select(scale).append("g").attr("transform", "translate(0,1)");
      group.call(axisOf(d3.axisBottom, layer[axis], layer.axis[axis], this.size.width, 90));
      const said = layer.values === PLAIN ? "" : layer.sides[axis];
      group.append("text").attr("x", this.size.width).attr("y", 32).attr("fill", "currentColor").attr("text-anchor", "end").text(said);
    }
    this.matrix.fit();
    this.draw();
  }

  draw() {
    const { layer, state, focus, axis } = this, least = state.least.toFixed(2);
    this.find("least").value = state.least;
    this.find("least").setAttribute("aria-valuetext", this.find("hidden").textContent = least);
    this.heads.forEach((button, head) => {
      const on = state.heads.has(head);
      button.setAttribute("aria-pressed", on);
      button.style.background = on ? colours(layer)[head] : "";
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
    const middle = number => row * (number + 0.5) - above, { links, left } = layer.links(state.heads, focus, state.least);
    const away = y => (y < 0 ? -1 : y > height ? 1 : 0);
    const near = links.filter(({ query, key }) => !away(middle(query)) || away(middle(query)) !== away(middle(key)));
    drawArcs(pen, layer, near, width, middle, !!focus);
    this.left = left;
  }

  /** The token in focus, how much of its look each other one has, and those that come later in time. */
  mark() {
    const { layer, state, focus, marked } = this;
    if (marked.chosen) marked.chosen.classList.remove("chosen");
    marked.chosen = focus ? this.buttons[focus.side][focus.number] || null : null;
    if (marked.chosen) marked.chosen.classList.add("chosen");
    for (const button of marked.tinted) button.style.removeProperty("--seen");
    marked.tinted = [];
    const others = focus ? this.buttons[focus.side === "queries" ? "keys" : "queries"] : [];
    if (others.length) {
      const shares = layer.mine(state.heads, focus);
      others.forEach((button, number) => {
        if (shares[number] < 0.02 * layer.largest) return;
        button.style.setProperty("--seen", Math.min(1, shares[number] / layer.largest).toFixed(3));
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
    if (!focus) {
      const left = this.left ? ` The ${LINKS} strongest links are drawn; ${this.left} weaker ones are seen with their word.` : "";
      const own = this.axis && this.axis !== "both" && layer.values === PLAIN ? HINT.own : "";
      said.textContent = (this.axis ? HINT.axis : HINT.fine) + own + left;
      return;
    }
    const plain = layer.values === PLAIN && layer.sides.queries === "looks", axis = !plain && layer.axis[focus.side];
    const verb = !plain ? `: ${layer.values} ` : focus.side === "queries" ? " looks at: " : " is looked at by: ";
    const what = axis ? [layer.sides[focus.side].replace(/ \(.*/, ""), " "] : ["“"];
    said.replaceChildren(...what, isolated(layer[focus.side][focus.number]), axis ? "" : "”", verb, ...this.found(focus, plain));
  }

  /** What is said of a look: its strongest places, each with its weight and head. */
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
    const head = one => (layer.heads > 1 ? ` (head ${one.head})` : "");
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
