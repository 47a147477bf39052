// Stands before every module of ours: what a page needs once, whichever of our widgets comes first.
const wbPage = (globalThis.__workbench_page__ ??= { late: new WeakSet(), person: -Infinity, brought: new Set(), views: new Map() });

// anywidget gives a module two seconds. On a busy machine it comes later: its view is drawn all the same, but every message
// of the kernel to that model is refused from then on, for good. Such a model hears again here, and asks for what it missed.
const WB_LATE = "[anywidget] Failed to initialize model.";
function wbModel(model) {
  let real = null; // what a module is given is a proxy; a listener is given the model itself
  const listen = (given) => { real = given; };
  model.on("change:_workbench", listen);
  model.set("_workbench", performance.now());
  model.off("change:_workbench", listen);
  return real;
}
function wbArrived(model) {
  const real = wbModel(model);
  if (!real?.comm || wbPage.late.has(real)) return;
  wbPage.late.add(real);
  const known = Object.getPrototypeOf(Object.getPrototypeOf(real))._handle_comm_msg; // the one that anywidget puts its own before
  const nothing = { content: { data: { method: "none" } } };
  Promise.resolve(real._handle_comm_msg(nothing)).catch(() => {
    real.comm.on_msg((message) => known.call(real, message));
    real.comm.send({ method: "request_state" }, real.callbacks?.());
    console.warn("workbench: a widget's module came late; it hears the kernel again");
  });
}

// JupyterLab's shortcuts look at the focused element itself first: a letter there would insert, cut or delete a cell.
const WB_KEYS = ["data-lm-suppress-shortcuts", "data-p-suppress-shortcuts"];
function wbOurs(element) {
  if (element.closest(".wb-scaled")) return true;
  return Boolean(element.closest(".jp-OutputArea-output")?.querySelector(".wb, .wb-scaled"));
}
function wbGuard(event) {
  const element = event.target;
  if (!(element instanceof Element) || !wbOurs(element)) return;
  const saves = event.type === "keydown" && (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s";
  for (const name of WB_KEYS) saves ? element.removeAttribute(name) : element.setAttribute(name, "true");
}

// What may scroll is a stop of the Tab key only while something of it is out of sight.
function wbStops(event) {
  if (event.key !== "Tab") return;
  for (const e of document.querySelectorAll(".wb-scroll")) {
    e.tabIndex = e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1 ? 0 : -1;
  }
}

if (!wbPage.started) {
  wbPage.started = true;
  window.addEventListener("unhandledrejection", (event) => {
    if (event.reason?.message !== WB_LATE) return;
    event.preventDefault();
    console.warn(`workbench: ${WB_LATE} It is tried again when its module comes.`);
  });
  // Before JupyterLab's own listener, which sits on the document.
  for (const kind of ["focusin", "keydown"]) window.addEventListener(kind, wbGuard, true);
  window.addEventListener("keydown", wbStops, true);
  // When a person last moved the page: what scrolls by itself leaves it alone then.
  const moved = () => { wbPage.person = performance.now(); };
  for (const kind of ["wheel", "touchmove", "pointerdown", "keydown"]) window.addEventListener(kind, moved, { capture: true, passive: true });
}

