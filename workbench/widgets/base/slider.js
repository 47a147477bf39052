// One slider over a native range input, which brings keyboard, touch and screen readers with it.
// A drag or a run of arrow keys ends in one value; what is passed on the way is `preview`.
const KEYS_REST = 600; // milliseconds after the last key until its value holds
const PREVIEW_EVERY = 120; // milliseconds between two previews
const HANDLE = 14; // pixels, as in the style sheet
const FAR = 10; // steps of a page key

const nice = (x, digits) => Number(x.toPrecision(digits));
export const words = (x) => (x === null || x === undefined ? "" : String(nice(x, 4))).replace("-", "\u2212");

// Between a value and its place on the track, which is an exponent where the slider is logarithmic.
function scaleOf(model) {
  const log = model.get("log"), step = model.get("step");
  const place = (value) => (log ? Math.log10(Math.max(value, Number.MIN_VALUE)) : value);
  const low = place(model.get("min")), high = place(model.get("max"));
  const inside = (at) => Math.min(Math.max(at, low), high);
  // What a hand can set: two digits where steps are factors, a multiple of the step elsewhere.
  const value = (at) => (log ? nice(10 ** inside(at), 2) : nice(inside(Math.round(at / step) * step), 12));
  return { low, high, step, place, inside, value };
}

function render({ model, el }) {
  wbArrived(model);
  const make = (tag, name, parent) => {
    const made = document.createElement(tag);
    made.className = name;
    parent.appendChild(made);
    return made;
  };
  const root = make("div", "wb-slider", el);
  const ghost = make("span", "wb-slider-ghost", root), input = make("input", "wb-slider-input", root);
  const bubble = make("div", "wb wb-slider-bubble", root);
  input.type = "range";
  input.step = "any";
  // JupyterLab's shortcuts look at the focused element itself.
  input.dataset.lmSuppressShortcuts = "true";
  bubble.setAttribute("role", "status");
  bubble.popover = "manual"; // in the top layer, so that no cell cuts it off
  ghost.setAttribute("aria-hidden", "true");

  let moving = null, pressed = false, timer = 0, told = 0, waiting = 0;

  function show() {
    const scale = scaleOf(model), value = moving ?? model.get("value");
    const share = (x) => (scale.inside(scale.place(x)) - scale.low) / (scale.high - scale.low || 1);
    input.min = scale.low;
    input.max = scale.high;
    input.value = scale.inside(scale.place(value));
    input.disabled = model.get("disabled");
    input.title = model.get("tooltip");
    input.setAttribute("aria-label", model.get("description") || "value");
    input.setAttribute("aria-valuetext", words(value));
    root.style.setProperty("--wb-share", share(value));
    const from = moving === null ? model.get("in_force") : model.get("in_force") ?? model.get("value");
    ghost.hidden = from === null || from === value;
    if (!ghost.hidden) ghost.style.left = `calc(${HANDLE / 2}px + ${share(from)} * (100% - ${HANDLE}px))`;
    speak();
  }
  function speak() {
    const open = moving !== null && !model.get("live");
    if (!open) { if (bubble.matches(":popover-open")) bubble.hidePopover?.(); bubble.hidden = true; return; }
    const said = model.get("said");
    const value = document.createElement("b");
    value.textContent = `${model.get("symbol") || model.get("description")} ${words(moving)}`;
    bubble.replaceChildren(value, said ? ` ${said}` : "");
    bubble.hidden = false;
    if (bubble.showPopover && !bubble.matches(":popover-open")) bubble.showPopover();
    const at = root.getBoundingClientRect(), share = Number(root.style.getPropertyValue("--wb-share"));
    const zoom = bubble.currentCSSZoom ?? 1, wide = bubble.offsetWidth * zoom;
    const left = Math.min(Math.max(at.left + share * at.width - wide / 2, 4), innerWidth - wide - 4);
    Object.assign(bubble.style, { left: `${left / zoom}px`, top: `${(at.bottom + 4) / zoom}px` });
  }
  function tell() {
    waiting = 0;
    if (moving === null) return;
    told = performance.now();
    model.set(model.get("live") ? "value" : "preview", moving);
    model.save_changes();
  }
  function move(at) {
    moving = scaleOf(model).value(at);
    show();
    waiting ||= setTimeout(tell, Math.max(0, told + PREVIEW_EVERY - performance.now()));
  }
  function settle(value) {
    clearTimeout(timer);
    clearTimeout(waiting);
    timer = waiting = 0;
    moving = null;
    if (value !== null) model.set("value", value);
    model.set("preview", null);
    model.save_changes();
    show();
  }
  const commit = () => { if (moving !== null) settle(moving); };
  const cancel = () => { if (moving !== null) settle(null); };

  input.addEventListener("pointerdown", () => { pressed = true; });
  input.addEventListener("input", () => {
    move(Number(input.value));
    if (!pressed) { clearTimeout(timer); timer = setTimeout(commit, KEYS_REST); }
  });
  input.addEventListener("change", () => { pressed = false; commit(); });
  input.addEventListener("blur", () => { pressed = false; commit(); });
  input.addEventListener("keydown", (event) => {
    const scale = scaleOf(model), here = scale.place(moving ?? model.get("value")), { step } = scale;
    const to = { ArrowRight: here + step, ArrowUp: here + step, ArrowLeft: here - step, ArrowDown: here - step,
      PageUp: here + FAR * step, PageDown: here - FAR * step, Home: scale.low, End: scale.high }[event.key];
    if (event.key === "Escape" && moving !== null) { cancel(); event.stopPropagation(); return; }
    if (event.key === "Enter") { commit(); return; }
    if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    move(to);
    clearTimeout(timer);
    timer = setTimeout(commit, KEYS_REST);
  });

  const traits = ["value", "min", "max", "step", "log", "live", "description", "tooltip", "disabled", "in_force", "said", "symbol"];
  const events = traits.map((name) => "change:" + name);
  events.forEach((name) => model.on(name, show));
  show();
  return () => {
    clearTimeout(timer);
    clearTimeout(waiting);
    events.forEach((name) => model.off(name, show));
  };
}
export default { render };
