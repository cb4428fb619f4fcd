
// The page: one view or two with their pictures, the link to what is seen, and what is sent to a server to be looked at.

function element(id) { return document.getElementById(id); }

/** What the page was given: its views, and the examples that a live page offers. */
const seen = JSON.parse(element("data").textContent);
const views = [];
const page = { file: null, show: "both", own: false, text: "", heard: null, going: null, writing: null, typing: null, recorder: null, untouched: null };
const LETTERS = "ab", PAUSE = 400;  // ms
/** What can be sent as a file. */
const FILES = {
  recording: { name: "a recording", label: "recording (.wav)", accept: ".wav,audio/wav,audio/x-wav", type: "audio/wav" },
  image: { name: "an image", label: "image", accept: "image/*", type: "application/octet-stream" },
  "MIDI file": { name: "a MIDI file", label: "MIDI file (.mid)", accept: ".mid,.midi,audio/midi,audio/x-midi", type: "audio/midi" },
};

/**
 * One picture in its view.
 *
 * The script of its kind draws into the holder, and is called again, the holder being empty, where the width or the
 * colours change. It may give back an object whose methods are called where they are there: `fresh()` in place of that;
 * `load(data)` for another picture of its kind in its place; `link()` and `restore(said)` for what a link says of it;
 * `follow(other)` where a picture of its kind in the view beside it changed, which said so by `tools.changed()`;
 * `peak`, its largest number, where `tools.scaled(handle)` is the end of its scale, alone or in a comparison; `rescale()`
 * where that may have changed; `play(seconds)` while its sound is played, null at its end; `saved()` for what is saved of it.
 */
class Shown {
  constructor(view, given) {
    this.view = view;
    this.root = Object.assign(document.createElement("section"), { className: "picture" });
    this.head = document.createElement("h3");
    this.holder = Object.assign(document.createElement("div"), { className: "holder" });
    this.head.dir = "auto";
    this.root.append(this.head, this.holder);
    view.find("pictures").append(this.root);
    this.take(given);
    new ResizeObserver(() => { if (this.holder.clientWidth && this.holder.clientWidth !== this.width) this.fresh(); }).observe(this.holder);
  }

  /** What was given of it; the heading is left out where a picture without a title is alone, or is of the heads and comes first. */
  take(given) {
    this.given = given;
    this.heading = given.title || (this.view.given.pictures.length > 1 && (given.kind !== "heads" || this.view.given.pictures[0] !== given) ? given.name.replaceAll("_", " ") : "");
    this.head.textContent = this.heading;
    this.root.dataset.kind = given.kind;
    this.holder.setAttribute("role", "group");
    this.holder.setAttribute("aria-label", given.description);
  }

  get tools() {
    const { description, name } = this.given;
    return {
      d3, heat, unpacked, slider, reading, description, name,
      changed: () => changed(this), scaled: handle => scaled(this, handle),
      tell: said => { for (const one of this.view.shown) if (one !== this && one.heard) one.heard(said); },
      listen: act => { this.heard = act; },
    };
  }

  draw() {
    this.width = this.holder.clientWidth;
    this.heard = null;
    this.holder.replaceChildren();
    try {
      this.handle = pictures[this.given.kind](this.holder, this.given.data, this.tools) || {};
    } catch (error) { // the others are seen nevertheless
      console.error(error);
      this.handle = {};
      this.holder.replaceChildren(Object.assign(document.createElement("p"), { textContent: this.given.description }));
    }
  }

  fresh() {
    this.width = this.holder.clientWidth;
    if (!this.width) return;
    if (this.handle.fresh) this.handle.fresh();
    else this.draw();
  }

  load(given) {
    this.take(given);
    if (this.handle.load) this.handle.load(given.data);
    else this.draw();
  }

  /** What a saved file is named after, beside the input. */
  get named() { return (this.handle.saved && this.handle.saved().file) || ""; }

  /** What is saved: a kind that does not say it is drawn once more, in the colours that are saved. */
  saved() {
    if (this.handle.saved) return this.handle.saved();
    if (!savedInOtherColours()) return partsOf(this.holder, this.given.description);
    const holder = this.holder.cloneNode(false);
    holder.style.width = `${this.width}px`;
    this.root.append(holder);
    try {
      pictures[this.given.kind](holder, this.given.data, { ...this.tools, listen: () => {}, tell: () => {}, changed: () => {} });
      return partsOf(holder, this.given.description);
    } finally {
      holder.remove();
    }
  }
}

class View {
  constructor() {
    this.root = element("view").content.firstElementChild.cloneNode(true);
    this.shown = [];
  }

  find(name) { return this.root.querySelector(`.${name}`); }

  /** What is shown in place of what was; a picture of the same kind and name stays, and with it what was chosen in it. */
  load(given) {
    const alike = (one, other) => other && one.kind === other.given.kind && one.name === other.given.name;
    this.given = given;
    const kinds = new Set(given.pictures.map(one => one.kind)), how = [...kinds].map(kind => (pictures[kind] || {}).how).find(Boolean);
    this.find("how").textContent = how || "";
    for (const what of ["name", "answer", "note"]) this.find(what).textContent = given[what] || "";
    const stays = given.pictures.length === this.shown.length && given.pictures.every((one, number) => alike(one, this.shown[number]));
    if (stays) return this.shown.forEach((one, number) => one.load(given.pictures[number]));
    this.find("pictures").replaceChildren();
    this.shown = [];
    for (const one of given.pictures) this.shown.push(new Shown(this, one));
    for (const one of this.shown) one.draw();
  }
}

/** Those that are on the page and have something to show. */
function present() { return views.filter(view => view.root.isConnected && !view.root.hidden && view.shown.length); }

function read(given) {
  while (views.length < given.length) {
    const view = new View();
    views.push(view);
    element("views").append(view.root);
  }
  element("whole").hidden = !given.length;
  element("which").hidden = given.length < 2;
  element("scales").hidden = !given.some(one => one.pictures.length) || given.length < 2;
  element("views").classList.toggle("both", given.length > 1);
  given.forEach((one, number) => views[number].load(one));
  for (const view of views.slice(1)) // said once
    if (view.find("how").textContent === views[0].find("how").textContent) view.find("how").textContent = "";
  seen.views = given;
  rescale();
  arrange(page.show);
}

function arrange(show) {
  page.show = views.length > 1 ? show : "both";
  views.forEach((view, number) => { view.root.hidden = page.show !== "both" && page.show !== LETTERS[number]; });
  element("views").classList.toggle("both", views.length > 1 && page.show === "both");
  for (const button of element("which").querySelectorAll("button")) button.setAttribute("aria-pressed", button.dataset.show === page.show);
  for (const one of present().flatMap(view => view.shown)) if (one.holder.clientWidth !== one.width) one.fresh();
  element("all").hidden = !views.some(view => view.shown.length);
  note();
}

/** The end of a picture's scale: its own largest number (`own`, where the usual scale is longer), or that of the picture of its kind beside it. */
function scaled(shown, handle) {
  if (views.length < 2) return handle.peak;
  if (page.own) return handle.own || handle.peak;
  const others = views.filter(view => view !== shown.view).map(view => view.shown.find(one => one.given.kind === shown.given.kind && one.given.name === shown.given.name));
  return Math.max(handle.peak, ...others.map(other => (other && other.handle && other.handle.peak) || 0));
}

function rescale() {
  for (const button of element("scales").querySelectorAll("button")) button.setAttribute("aria-pressed", (button.dataset.scale === "own") === page.own);
  if (views.length > 1) for (const one of views.flatMap(view => view.shown)) if (one.handle.rescale) one.handle.rescale();
}

/** A picture says that what is seen of it changed: the link says so, and the one of its kind beside it hears it. */
function changed(shown) {
  note();
  for (const view of present().filter(view => view !== shown.view)) {
    const other = view.shown.find(one => one.given.kind === shown.given.kind);
    if (other && other.handle.follow) other.handle.follow(shown.handle);
  }
}

/** The pictures of which a link says something, each with what its names begin with. */
function linked() {
  return views.flatMap((view, number) => view.shown.filter(one => one.handle && one.handle.link)
    .map((one, place) => ({ one, before: (number ? `${LETTERS[number]}.` : "") + (place ? `${place + 1}.` : "") })));
}

/** The views as they may be linked to. */
function hash() {
  const said = new URLSearchParams();
  for (const { one, before } of linked())
    for (const [name, value] of Object.entries(one.handle.link())) said.set(before + name, value);
  if (views.length > 1) said.set("show", page.show);
  if (page.own) said.set("scale", "own");
  if (page.text) said.set("text", page.text);
  return said.toString();
}

/** Into the address; browsers refuse a page that writes there too often, and one in a notebook has no address. */
function note() {
  if (location.protocol === "about:") return;
  clearTimeout(page.writing);
  page.writing = setTimeout(() => {
    if (present().length && location.hash.slice(1) !== hash()) history.replaceState(null, "", `#${hash()}`);
  }, 100);
}

/** As a link says; what it does not say is as at first. */
function restore(said) {
  page.own = said.get("scale") === "own";
  for (const { one, before } of linked()) one.handle.restore(name => said.get(before + name));
  rescale();
  arrange(["a", "b"].includes(said.get("show")) ? said.get("show") : "both");
}

/** A text or a recording goes to the server, and its looks come back; a later one makes an earlier one void. */
async function ask(path, options) {
  if (page.going) page.going.abort();
  const mine = page.going = new AbortController(), fresh = !views.some(view => view.shown.length);
  element("wait").textContent = "computing …";
  try {
    const answer = await fetch(path, { method: "POST", signal: mine.signal, ...options });
    const found = await answer.json().catch(() => ({ error: `the server said ${answer.status}` }));
    if (mine !== page.going) return false;
    element("wait").textContent = answer.ok ? "" : found.error;
    if (!answer.ok) return false;
    document.title = found.title;
    page.heard = null;
    read(found.views);
    if (fresh) restore(new URLSearchParams());
    return true;
  } catch (error) {
    if (error.name !== "AbortError") element("wait").textContent = "no answer: check that saccade serve is still running";
    return false;
  }
}

function look(text) {
  page.text = text;
  return ask("look", { headers: { "Content-Type": "application/json" }, body: JSON.stringify({ text }) });
}

async function hear(file) {
  if (!file) return;
  if (file.size > seen.largest) {
    element("wait").textContent = `${FILES[seen.live].name} has at most ${seen.largest / 1e6} MB, not ${(file.size / 1e6).toFixed(1)} MB`;
    return;
  }
  page.file = file;
  if (await ask(`hear${chosen()}`, { headers: { "Content-Type": FILES[seen.live].type }, body: file }) && seen.live === "recording") play(file);
}

/** A field of several lines, where an example has several; there Enter begins a line. */
function widen() {
  const lines = Math.max(...seen.examples.map(one => (one.text || "").split("\n").length));
  const field = Object.assign(document.createElement("textarea"), {
    id: "text", rows: Math.min(10, Math.max(4, lines)), maxLength: seen.longest, autocomplete: "off", dir: "auto", placeholder: "type a text, with a line for each sentence, and press Ctrl+Enter",
  });
  field.onkeydown = event => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); look(field.value); } };
  element("text").replaceWith(field);
}

/** Soon after the last key, what is typed is looked at without being asked for; a text of several lines is not, as a part of it is no input. */
function typed() {
  clearTimeout(page.typing);
  if (seen.lines) return;
  page.typing = setTimeout(() => {
    const text = element("text").value;
    if (text.trim() && text !== page.text) look(text);
  }, PAUSE);
}

function listen() {
  element("ask").onsubmit = event => { event.preventDefault(); look(element("text").value); };
  element("text").oninput = typed;
  element("recording").onchange = event => hear(event.target.files[0]);
  if (FILES[seen.live]) {
    element("file-label").textContent = FILES[seen.live].label;
    element("recording").accept = FILES[seen.live].accept;
    document.ondragover = event => { event.preventDefault(); document.body.classList.add("over"); };
    document.ondragleave = event => { if (!event.relatedTarget) document.body.classList.remove("over"); };
    document.ondrop = event => {
      event.preventDefault();
      document.body.classList.remove("over");
      hear(event.dataTransfer.files[0]);
    };
  }
  element("again").onclick = () => look("");
  element("scales").onclick = event => {
    if (!event.target.dataset.scale) return;
    page.own = event.target.dataset.scale === "own";
    rescale();
    note();
  };
  element("which").onclick = event => { if (event.target.dataset.show) arrange(event.target.dataset.show); };
  element("png").onclick = () => savePNG(present());
  element("svg").onclick = () => saveSVG(present());
  element("html").onclick = async () => saveHTML(page.untouched, { ...seen, live: "", examples: [], choices: [], again: false, sound: await soundKept(), title: document.title, start: hash() });
  const coloured = () => {
    element("dark-too").hidden = !dark();
    for (const one of present().flatMap(view => view.shown)) one.fresh();
  };
  matchMedia("(prefers-color-scheme: dark)").onchange = printing.onchange = coloured;
  element("dark-too").hidden = !dark();
}

/** Called by the last script, after those of systems; the page is then as it came. */
async function start() {
  page.untouched = document.documentElement.cloneNode(true);
  if (seen.lines) widen();
  listen();
  element("text").value = page.text = seen.text || "";
  element("about").textContent = seen.about || "";
  element("ask").hidden = seen.live !== "text";
  element("hear").hidden = !FILES[seen.live];
  offerPad();
  offerChoices();
  offerExamples();
  read(seen.views);
  if (seen.sound) play(fileOf(seen.sound));
  await follow(location.hash.slice(1) || seen.start || "");
  // a link that is pasted into the page's address, which writing there ourselves is not
  window.onhashchange = event => { clearTimeout(page.writing); follow(new URL(event.newURL).hash.slice(1)); };
  if (seen.live === "text") element("text").focus({ preventScroll: true });
}

/** A link: its text is asked for, where it is another, and then it says what is seen. */
async function follow(link) {
  const said = new URLSearchParams(link), text = said.get("text");
  if (seen.live === "text" && text && text !== page.text) {
    element("text").value = text;
    if (!await look(text)) return;
  }
  if (views.length) restore(said);
}
