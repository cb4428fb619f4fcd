// A picture is enlarged by a click, or by Enter where it has the focus; Escape or a click closes it.

document$.subscribe(() => {
  for (const image of document.querySelectorAll(".md-content img:not([width])")) {
    if (image.closest("a") || image.tabIndex === 0) continue;
    image.tabIndex = 0;
    image.setAttribute("role", "button");
    image.onclick = () => enlarge(image);
    image.onkeydown = event => { if (event.key === "Enter") enlarge(image); };
  }
});

function enlarge(image) {
  const dialog = document.createElement("dialog"), large = document.createElement("img"), said = document.createElement("p");
  dialog.className = "enlarged";
  large.src = image.src;
  large.alt = image.alt;
  said.textContent = image.alt;
  dialog.append(large, said);
  dialog.onclick = () => dialog.close();
  dialog.onclose = () => { dialog.remove(); image.focus({ preventScroll: true }); };
  document.body.append(dialog);
  dialog.showModal();
}
