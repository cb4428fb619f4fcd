
// The page: one view or two, the link to what is seen, and texts or recordings that are sent to be looked at.

function element(id) { return document.getElementById(id); }

const untouched = document.documentElement.cloneNode(true);
const seen = JSON.parse(element("data").textContent);
const views = [];
const page = { show: "both", least: 0.05, text: "", going: null, writing: null, typing: null };
const LETTERS = "ab", PAUSE = 400;  // ms

/** Those that are on the page and have something to show. */
function present() { return views.filter(view => view.root.isConnected && !view.root.hidden && view.layers.length); }

function read(given) {
  while (views.length < given.length) {
    const view = new View(() => changed(view));
    views.push(view);
    element("views").append(view.root);
  }
  given.forEach((one, number) => views[number].load(one));
  seen.views = given;
  element("whole").hidden = !given.length;
  element("which").hidden = given.length < 2;
  arrange(page.show);
}

function arrange(show) {
  page.show = views.length > 1 ? show : "both";
  views.forEach((view, number) => { view.root.hidden = page.show !== "both" && page.show !== LETTERS[number]; });
  element("views").classList.toggle("both", views.length > 1 && page.show === "both");
  for (const button of element("which").querySelectorAll("button")) button.setAttribute("aria-pressed", button.dataset.show === page.show);
  for (const view of present()) { view.fit(); view.overview.fill(); }
  element("all").hidden = !views.some(view => view.layers.length);
  element("weak").hidden = !present().some(view => !view.axis);
  note();
}

/** What one view has in focus the other has too, where it is of the same tokens. */
function changed(view) {
  note();
  element("weak").hidden = !present().some(one => !one.axis);
  const other = views.find(one => one !== view && present().includes(one));
  if (!other) return;
  const alike = ["queries", "keys"].filter(side => view.layer[side].join("\n") === other.layer[side].join("\n"));
  const { shown, kept, stepping } = view.state, meant = here => (here && alike.includes(here.side) ? here : null);
  const before = JSON.stringify(other.state);
  other.state.shown = meant(shown);
  if (!kept && meant(other.state.kept)) other.state.kept = null;
  if (meant(kept)) Object.assign(other.state, { kept, stepping });
  if (JSON.stringify(other.state) !== before) other.draw();
}

/** The view as it may be linked to. */
function hash() {
  const said = new URLSearchParams();
  views.forEach((view, number) => {
    if (!view.layers.length) return;
    const { layer, heads, kept } = view.state, before = number ? `${LETTERS[number]}.` : "";
    said.set(`${before}layer`, layer);
    said.set(`${before}heads`, [...heads].sort((one, two) => one - two).join("."));
    if (kept) said.set(`${before}token`, `${kept.side}.${kept.number}`);
  });
  if (views.length > 1) said.set("show", page.show);
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
  views.forEach((view, number) => {
    if (!view.layers.length) return;
    const before = number ? `${LETTERS[number]}.` : "", heads = said.get(`${before}heads`), layer = said.get(`${before}layer`);
    const [side, token] = (said.get(`${before}token`) || "").split(".");
    view.state.kept = side === "queries" || side === "keys" ? { side, number: Number(token) || 0 } : null;
    const own = heads === null ? [] : heads.split(".").filter(Boolean).map(Number);
    view.choose(layer === null ? view.first() : Number(layer), own);
  });
  arrange(["a", "b"].includes(said.get("show")) ? said.get("show") : "both");
}

/** A text or a recording goes to the server, and its looks come back; a later one makes an earlier one void. */
async function ask(path, options) {
  if (page.going) page.going.abort();
  const mine = page.going = new AbortController(), fresh = !views.some(view => view.layers.length);
  element("wait").textContent = "reading …";
  try {
    const answer = await fetch(path, { method: "POST", signal: mine.signal, ...options });
    const found = await answer.json().catch(() => ({ error: `the server said ${answer.status}` }));
    if (mine !== page.going) return false;
    element("wait").textContent = answer.ok ? "" : found.error;
    if (!answer.ok) return false;
    document.title = found.title;
    read(found.views);
    if (fresh) restore(new URLSearchParams());
    return true;
  } catch (error) {
    if (error.name !== "AbortError") element("wait").textContent = "no answer came; is saccade serve still running?";
    return false;
  }
}

function look(text) {
  page.text = text;
  return ask("look", { headers: { "Content-Type": "application/json" }, body: JSON.stringify({ text }) });
}

function hear(file) {
  if (!file) return;
  if (file.size > seen.largest) {
    element("wait").textContent = `a recording has at most ${seen.largest / 1e6} MB, not ${(file.size / 1e6).toFixed(1)} MB`;
    return;
  }
  ask("hear", { headers: { "Content-Type": "audio/wav" }, body: file });
}

/** Soon after the last key, what is typed is looked at without being asked for. */
function typed() {
  clearTimeout(page.typing);
  page.typing = setTimeout(() => {
    const text = element("text").value;
    if (text.trim() && text !== page.text) look(text);
  }, PAUSE);
}

function listen() {
  element("ask").onsubmit = event => { event.preventDefault(); look(element("text").value); };
  element("text").oninput = typed;
  element("recording").onchange = event => hear(event.target.files[0]);
  if (seen.live === "recording") {
    document.ondragover = event => { event.preventDefault(); document.body.classList.add("over"); };
    document.ondragleave = event => { if (!event.relatedTarget) document.body.classList.remove("over"); };
    document.ondrop = event => {
      event.preventDefault();
      document.body.classList.remove("over");
      hear(event.dataTransfer.files[0]);
    };
  }
  element("least").oninput = event => {
    const least = Number(event.target.value), text = least.toFixed(2);
    element("hidden").textContent = text;
    event.target.setAttribute("aria-valuetext", text);
    for (const view of views) { view.state.least = least; if (view.layers.length) view.draw(); }
  };
  element("which").onclick = event => { if (event.target.dataset.show) arrange(event.target.dataset.show); };
  element("png").onclick = () => savePNG(present());
  element("svg").onclick = () => saveSVG(present());
  element("html").onclick = () => saveHTML(untouched, { ...seen, live: "", title: document.title, start: hash() });
  matchMedia("(prefers-color-scheme: dark)").onchange = () => {
    for (const view of present()) { view.draw(); view.overview.fill(); }
  };
}

async function start() {
  listen();
  element("ask").hidden = seen.live !== "text";
  element("hear").hidden = seen.live !== "recording";
  read(seen.views);
  await follow(location.hash.slice(1) || seen.start || "");
  // a link that is pasted into the page's address, which writing there ourselves is not
  window.onhashchange = event => { clearTimeout(page.writing); follow(new URL(event.newURL).hash.slice(1)); };
  if (seen.live === "text" && !page.text) element("text").focus();
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

start();
