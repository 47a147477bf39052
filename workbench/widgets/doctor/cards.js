// The doctor's cards: inert HTML in which the buttons that Python made send what they are for.
function render({ model, el }) {
  wbArrived(model);
  const root = document.createElement("div");
  el.appendChild(root);
  const buttonOf = (node) => node?.closest?.("button[data-act]") ?? null;

  function draw() {
    // A redraw of a live run leaves the focus where it was, and a table where it was scrolled to.
    const key = root.contains(document.activeElement) ? buttonOf(document.activeElement)?.dataset.act : undefined;
    root.innerHTML = model.get("html");
    if (key !== undefined) root.querySelector(`button[data-act="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
  }
  root.addEventListener("click", (event) => {
    const button = buttonOf(event.target);
    if (!button || button.disabled) return;
    model.set("asked", [button.dataset.act, String(performance.now())]); // the same button twice counts twice
    model.save_changes();
  });
  model.on("change:html", draw);
  draw();
  return () => model.off("change:html", draw);
}
export default { render };
