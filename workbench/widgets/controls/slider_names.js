// Gives the handles of the sliders in a view their names, and logarithmic ones their values: they would announce exponents.
// Sliders come and go (tabs, folded knobs), so the page is watched.
const QUIET = 200; // milliseconds
const NEAR = 0.03; // powers of ten between a slider's place and its box: about half a step of the slider
const said = new WeakMap(); // handle -> the text that was put there

function name(root) {
  for (const slider of root.querySelectorAll(".widget-slider")) {
    const label = slider.querySelector(".widget-label")?.textContent.trim();
    for (const handle of label ? slider.querySelectorAll(".noUi-handle, .ui-slider-handle") : []) handle.setAttribute("aria-label", label);
  }
}

function value(root) {
  for (const handle of root.querySelectorAll(".wb-log .noUi-handle")) {
    const text = handle.getAttribute("aria-valuetext"), exponent = parseFloat(text);
    if (text === said.get(handle) || Number.isNaN(exponent)) continue;
    const box = handle.closest(".wb-log").parentElement.querySelector("input[type=number]"); // it lags behind a moving slider
    const exact = box && Math.abs(Math.log10(box.value) - exponent) < NEAR;
    said.set(handle, exact ? box.value : String(Number((10 ** exponent).toPrecision(3))));
    handle.setAttribute("aria-valuetext", said.get(handle));
  }
}

function render({ model, el }) {
  wbArrived(model);
  let timer = 0, root = null;
  const watcher = new MutationObserver((changes) => {
    if (changes.some((change) => change.type === "attributes")) value(root); // at once: a screen reader is about to say it
    timer ||= changes.some((change) => change.type === "childList") ? setTimeout(act, QUIET) : 0;
  });
  function act() {
    timer = 0;
    root = el.parentElement; // the view that this one was put into
    if (!root) { timer = setTimeout(act, QUIET); return; } // not in the page yet
    watcher.observe(root, { childList: true, subtree: true, attributeFilter: ["aria-valuetext"] }); // once more is no harm
    name(root);
    value(root);
  }
  act();
  return () => { clearTimeout(timer); watcher.disconnect(); };
}
export default { render };
