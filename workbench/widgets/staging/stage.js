// The dashboard in its page: it comes into view when it is first drawn, a pill leads back to it while a run goes on unseen,
// and it can stand beside the notebook in a pane of its own.
const LOOK = 250, STEADY = 6000, MARGIN = 8; // milliseconds, milliseconds, pixels
const ELSEWHERE = {
  colab: "Colab has no panes for this. In the cell's menu “Mirror cell in tab” does the same.",
  code: "VS Code has no panes for this. Split the editor (Ctrl+\\ or ⌘\\): the notebook stands there twice, and each half scrolls by itself.",
  single: "JupyterLab shows one document at a time now. Untick Simple in the status bar below, then it can stand beside.",
  other: "Only JupyterLab has panes for this. Open the notebook there, or in a second window of the browser.",
};

const TWO_PANES = `<svg width="14" height="12" viewBox="0 0 14 12" aria-hidden="true" fill="none" stroke="currentColor">
  <rect x=".5" y="1" width="13" height="10" rx="1"/><path d="M7 1v10"/></svg> `;

function made(tag, css, text) {
  const element = document.createElement(tag);
  element.className = css;
  element.textContent = text;
  return element;
}

// What scrolls the dashboard; the window itself where nothing else does.
function scrollerOf(root) {
  for (let above = root.parentElement; above; above = above.parentElement) {
    const scrolls = /auto|scroll|overlay/.test(getComputedStyle(above).overflowY);
    if (scrolls && above.scrollHeight > above.clientHeight + 1) return above;
  }
  return document.scrollingElement;
}
function frameOf(scroller) {
  if (scroller === document.scrollingElement) return { top: 0, bottom: innerHeight };
  return scroller.getBoundingClientRect();
}
function topOf(root, scroller) {
  return root.getBoundingClientRect().top - frameOf(scroller).top;
}
function seen(root) {
  if (!root.isConnected || !root.offsetParent) return false;
  const frame = frameOf(scrollerOf(root)), here = root.getBoundingClientRect();
  const shown = Math.min(here.bottom, frame.bottom) - Math.max(here.top, frame.top);
  return shown > Math.min(120, here.height / 3);
}
function goTo(root) {
  const scroller = scrollerOf(root);
  scroller.scrollTop += topOf(root, scroller) - MARGIN;
}

// A page that was reloaded stays where it is.
function broughtBefore(key) {
  if (wbPage.brought.has(key)) return true;
  wbPage.brought.add(key);
  const name = `workbench brought ${key}`;
  try {
    const before = sessionStorage.getItem(name) !== null;
    sessionStorage.setItem(name, "1");
    return before;
  } catch { return false; } // a frame without storage
}

// JupyterLab leaves cells out of the page that are far away. The notebook's model knows the place of ours, and the cells
// that are drawn carry their numbers: the page is turned until ours is among them.
function cellOf(model) {
  const cells = model.widget_manager?.context?.model?.cells, wanted = model.get("dashboard");
  for (let i = 0; i < (cells?.length ?? 0); i++) {
    const outputs = cells.get(i).outputs;
    for (let j = 0; j < (outputs?.length ?? 0); j++) {
      if (outputs.get(j).data["application/vnd.jupyter.widget-view+json"]?.model_id === wanted) return i;
    }
  }
  return -1;
}
function windowOf() {
  return [...document.querySelectorAll(".jp-NotebookPanel .jp-WindowedPanel-outer")].find((each) => each.offsetParent);
}
function turnTo(model, root, then, tries = 60) {
  if (root.isConnected && root.clientHeight) return then(root);
  const scroller = windowOf(), index = cellOf(model);
  const drawn = [...(scroller?.querySelectorAll("[data-windowed-list-index]") ?? [])].map((cell) => Number(cell.dataset.windowedListIndex));
  if (!drawn.length || index < 0 || !tries) return;
  scroller.scrollTop += (index < Math.min(...drawn) ? -1 : 1) * scroller.clientHeight * 0.9;
  setTimeout(() => turnTo(model, root, then, tries - 1), 50);
}

// Run All goes on to the last cell and takes the page along: until it is steady the dashboard is put back, unless a person
// moves it.
function bringIntoView(model, root) {
  const begun = performance.now();
  const step = () => {
    if (performance.now() - begun > STEADY || wbPage.person > begun) return;
    if (!root.isConnected) turnTo(model, root, goTo);
    else {
      const scroller = scrollerOf(root), top = topOf(root, scroller);
      if (top < 0 || top > scroller.clientHeight / 2) goTo(root);
    }
    setTimeout(step, LOOK);
  };
  step();
}

function hostOf() {
  const docks = document.querySelector("#jp-main-dock-panel");
  if (docks) return docks.dataset.mode === "single-document" ? "single" : "lab";
  if (globalThis.google?.colab) return "colab";
  return document.body?.dataset.vscodeThemeKind || location.protocol === "vscode-webview:" ? "code" : "other";
}

// The class of Lumino's Panel, which a box of ipywidgets descends from.
function panelOf(widget) {
  let prototype = Object.getPrototypeOf(widget);
  while (!Object.hasOwn(prototype, "addWidget")) prototype = Object.getPrototypeOf(prototype);
  return prototype.constructor;
}

async function dock(model) {
  const manager = model.widget_manager, notebook = manager?.context;
  if (hostOf() !== "lab" || !notebook?.addSibling) return false;
  const view = await manager.create_view(await manager.get_model(model.get("dashboard")));
  const inner = view.luminoWidget ?? view.pWidget;
  const pane = new (panelOf(inner))(); // the pane's size is JupyterLab's, the dashboard's its own
  pane.addWidget(inner);
  pane.addClass("wb-pane");
  pane.title.label = model.get("name");
  pane.title.closable = true;
  // A pane that is closed is gone, and the page is told so.
  pane.close = () => {
    pane.dispose();
    model.set("docked", false);
    model.save_changes();
  };
  notebook.addSibling(pane, { mode: "split-right" });
  return true;
}

function copied(text) {
  const give = (event) => {
    event.clipboardData.setData("text/plain", text);
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  document.addEventListener("copy", give, true);
  try { return document.execCommand("copy"); } finally { document.removeEventListener("copy", give, true); }
}

function render({ model, el }) {
  wbArrived(model);
  const key = model.get("key");
  const views = wbPage.views.get(key) ?? wbPage.views.set(key, new Set()).get(key);
  const place = { root: null };
  let brought = false;
  views.add(place);

  // The picture for the saved notebook stands below: it hides as long as this one lives.
  const hiding = made("style", "", `.jp-OutputArea-child:has(.wb-saved-${key}), .wb-saved-${key} { display: none !important; }`);
  document.head.appendChild(hiding);

  const bar = made("div", "wb wb-stage", "");
  const beside = made("button", "wb-stage-button jupyter-button", "");
  beside.innerHTML = TWO_PANES;
  beside.append("beside");
  beside.type = "button";
  beside.title = "Put the dashboard beside the notebook, into a pane of its own";
  const copy = made("button", "wb-stage-button jupyter-button", "Copy this view");
  copy.type = "button";
  const words = made("span", "wb-dim wb-stage-words", "");
  words.setAttribute("role", "status");
  bar.append(words, copy, beside);
  el.appendChild(bar);

  const pill = made("button", "wb-pill", "");
  pill.type = "button";
  pill.addEventListener("click", () => turnTo(model, place.root, goTo));

  function say(text) {
    words.textContent = text;
    setTimeout(() => { if (words.textContent === text) words.textContent = ""; }, 8000);
  }
  function offerCode() { copy.title = model.get("code"); }
  function showPill(wanted) {
    if (!wanted) return pill.remove();
    const { root } = place;
    const below = root.isConnected && topOf(root, scrollerOf(root)) > 0;
    const text = `${model.get("running") ? "●" : "■"} ${model.get("said")} ${below ? "↓" : "↑"} dashboard`;
    if (pill.textContent !== text) pill.textContent = text;
    const panel = root.closest(".jp-NotebookPanel") ?? windowOf()?.closest(".jp-NotebookPanel") ?? document.body;
    if (pill.parentElement !== panel) panel.appendChild(pill);
  }
  function look() {
    place.root ??= el.closest(".wb-scaled");
    const { root } = place;
    if (!root || root.closest(".wb-pane")) return; // not in a page yet; a pane of its own is always in view
    if (!brought && (root.clientHeight > 100 || windowOf())) {
      brought = true;
      if (model.get("live") && !broughtBefore(key)) bringIntoView(model, root);
    }
    const unseen = ![...views].some((other) => other.root && seen(other.root));
    // After its end the pill of a run that nobody has looked at stays.
    showPill(unseen && (model.get("running") || pill.isConnected));
  }
  async function dockIfAsked() {
    if (!model.get("docked") || wbPage.docked?.has(key)) return;
    (wbPage.docked ??= new Set()).add(key);
    if (await dock(model)) return;
    say(ELSEWHERE[hostOf()] ?? ELSEWHERE.other);
    wbPage.docked.delete(key);
    model.set("docked", false);
    model.save_changes();
  }
  function docking() {
    if (!model.get("docked")) wbPage.docked?.delete(key);
    dockIfAsked();
  }

  beside.addEventListener("click", () => {
    model.set("docked", true);
    model.save_changes();
  });
  copy.addEventListener("click", () => {
    say(copied(model.get("code")) ? "copied: paste it into a cell" : model.get("code"));
  });
  const timer = setInterval(look, LOOK);
  model.on("change:docked", docking);
  model.on("change:code", offerCode);
  offerCode();
  dockIfAsked();
  return () => {
    clearInterval(timer);
    hiding.remove();
    pill.remove();
    views.delete(place);
    model.off("change:docked", docking);
    model.off("change:code", offerCode);
  };
}
export default { render };
