// Gives the handles of the sliders in a view their names.
// Sliders come and go (tabs, folded knobs), so the page is watched.
const QUIET = 200; // milliseconds

function name(root) {
  for (const slider of root.querySelectorAll(".widget-slider")) {
    const label = slider.querySelector(".widget-label")?.textContent.trim();
    for (const handle of label ? slider.querySelectorAll(".noUi-handle, .ui-slider-handle") : []) handle.setAttribute("aria-label", label);
  }
}

function render({ model, el }) {
  wbArrived(model);
  let timer = 0, root = null;
  const watcher = new MutationObserver(() => { timer ||= setTimeout(act, QUIET); });
  function act() {
    timer = 0;
    root = el.parentElement; // the view that this one was put into
    if (!root) { timer = setTimeout(act, QUIET); return; } // not in the page yet
    watcher.observe(root, { childList: true, subtree: true }); // once more is no harm
    name(root);
  }
  act();
  return () => { clearTimeout(timer); watcher.disconnect(); };
}
export default { render };
