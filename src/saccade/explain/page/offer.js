
// What a live page offers: examples to click, the microphone, the sound that is played.

const SPEAKING = 20000; // ms of a recording at most

/** A data URI as a file; a page may not fetch one, as its policy says. */
function fileOf(address) {
  const [head, text] = address.split(","), bytes = Uint8Array.from(atob(text), sign => sign.charCodeAt(0));
  return new Blob([bytes], { type: head.slice(5).split(";")[0] });
}

/** A text as a button shows it: of several lines, the first words and the last line. */
function inShort(text) {
  const lines = text.trim().split(/\s*\n\s*/);
  return lines.length < 2 ? text : `${lines[0].split(/\s+/).slice(0, 3).join(" ")} … ${lines.at(-1)}`;
}

/** A button for each example: a text or a file. */
function offerExamples() {
  const group = element("examples"), examples = seen.examples || [];
  for (const [number, { text, file }] of examples.entries()) {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    if (text !== undefined) Object.assign(button, { textContent: inShort(text), title: text, dir: "auto", onclick: () => { element("text").value = text; look(text); } });
    else {
      if (file.startsWith("data:image")) button.append(Object.assign(new Image(), { src: file, alt: `example ${number + 1}` }));
      else button.textContent = `${seen.live} ${number + 1}`;
      button.onclick = () => hear(fileOf(file));
    }
    group.append(button);
  }
  group.hidden = !examples.length;
  element("again").hidden = !seen.again;
  element("offered").hidden = !examples.length && !seen.again;
  element("microphone").hidden = seen.live !== "recording" || !seen.rate || !(navigator.mediaDevices && window.MediaRecorder);
  element("microphone").onclick = () => speak();
  const sound = element("sound");
  const move = () => {
    for (const one of present().flatMap(view => view.shown)) if (one.handle.play) one.handle.play(sound.ended ? null : sound.currentTime);
    if (!sound.paused && !sound.ended) requestAnimationFrame(move);
  };
  sound.onplay = sound.onseeked = sound.onended = move;
}

/** A recording that was answered can be heard. */
function play(file) {
  const sound = element("sound");
  if (sound.src) URL.revokeObjectURL(sound.src);
  page.heard = file;
  sound.src = URL.createObjectURL(file);
  sound.hidden = false;
}

/** A list for each choice beside the field for a file; another value looks at the last file again, or at the first example. */
function offerChoices() {
  if (!FILES[seen.live]) return;
  for (const { name, values } of seen.choices || []) {
    const label = document.createElement("label"), select = document.createElement("select");
    select.dataset.choice = name;
    for (const value of values) select.append(new Option(visible(value), value));
    select.onchange = () => {
      const example = (seen.examples || []).find(one => one.file);
      if (page.file || example) hear(page.file || fileOf(example.file));
    };
    label.append(`${name} `, select);
    element("hear").append(label);
  }
}

/** What is chosen, as the end of an address. */
function chosen() {
  const said = new URLSearchParams();
  for (const select of element("hear").querySelectorAll("[data-choice]")) said.set(select.dataset.choice, select.value);
  return said.size ? `?${said}` : "";
}

/** The sound as an exported page keeps it. */
async function soundKept() {
  if (!page.heard || page.heard.size > 1e6) return "";
  const bytes = new Uint8Array(await page.heard.arrayBuffer());
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return `data:audio/wav;base64,${btoa(text)}`;
}

/** Records until the button is pressed again, at the rate that the run reads. The browser asks for permission. */
async function speak() {
  const button = element("microphone");
  if (page.recorder) return page.recorder.stop();
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true }), parts = [];
    const recorder = page.recorder = new MediaRecorder(stream);
    const late = setTimeout(() => recorder.stop(), SPEAKING);
    recorder.ondataavailable = event => parts.push(event.data);
    recorder.onstop = async () => {
      clearTimeout(late);
      page.recorder = null;
      button.textContent = "record";
      button.setAttribute("aria-pressed", "false");
      for (const track of stream.getTracks()) track.stop();
      hear(await waveOf(new Blob(parts, { type: recorder.mimeType }), seen.rate));
    };
    recorder.start();
    button.textContent = "stop";
    button.setAttribute("aria-pressed", "true");
  } catch (error) {
    page.recorder = null;
    element("wait").textContent = `the microphone cannot be used: ${error.message}`;
  }
}

/** A recording of the browser as a wav file of one channel, with 16 bits a sample. */
async function waveOf(file, rate) {
  const context = new AudioContext(), decoded = await context.decodeAudioData(await file.arrayBuffer());
  context.close();
  const offline = new OfflineAudioContext(1, Math.max(1, Math.ceil(decoded.duration * rate)), rate), source = offline.createBufferSource();
  source.buffer = decoded;
  source.connect(offline.destination);
  source.start();
  const samples = (await offline.startRendering()).getChannelData(0), view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const word = (at, text) => { for (let i = 0; i < text.length; i++) view.setUint8(at + i, text.charCodeAt(i)); };
  word(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  word(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  word(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, i) => view.setInt16(44 + 2 * i, Math.round(32767 * Math.max(-1, Math.min(1, sample))), true));
  return new Blob([view.buffer], { type: "audio/wav" });
}
