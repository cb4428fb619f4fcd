
// A pad to draw on, for a page that reads images: what is drawn is sent as a PNG, white on black.

const PAD = 196, NIB = 15; // pixels of the pad's sides, and of its pen

/** The pad, below the field for a file; a drawing is looked at when the pen is lifted. */
function offerPad() {
  if (seen.live !== "image" || !seen.pad) return;
  const group = document.createElement("fieldset"), canvas = document.createElement("canvas"), clear = document.createElement("button");
  group.id = "pad";
  group.className = "chips";
  group.append(Object.assign(document.createElement("legend"), { textContent: "draw" }));
  Object.assign(canvas, { width: PAD, height: PAD });
  Object.assign(canvas.style, { touchAction: "none", cursor: "crosshair", border: "1px solid" });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "a black square to draw on with a mouse, a pen or a finger");
  Object.assign(clear, { type: "button", textContent: "clear" });
  const pen = canvas.getContext("2d");
  const wipe = () => {
    pen.fillStyle = "#000000";
    pen.fillRect(0, 0, PAD, PAD);
  };
  Object.assign(pen, { strokeStyle: "#ffffff", lineWidth: NIB, lineCap: "round", lineJoin: "round" });
  const at = event => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * PAD / box.width, (event.clientY - box.top) * PAD / box.height];
  };
  let last = null;
  const move = event => {
    const next = at(event);
    pen.beginPath();
    pen.moveTo(...last);
    pen.lineTo(next[0] + 0.01, next[1]); // a line without a length is not drawn
    pen.stroke();
    last = next;
  };
  canvas.onpointerdown = event => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    last = at(event);
    move(event); // a click is a dot
  };
  canvas.onpointermove = event => { if (last) move(event); };
  canvas.onpointerup = canvas.onpointercancel = () => {
    if (!last) return;
    last = null;
    canvas.toBlob(file => hear(file), "image/png");
  };
  clear.onclick = wipe;
  wipe();
  group.append(canvas, clear);
  element("hear").append(group);
}
