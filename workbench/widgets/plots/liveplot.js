// Draws the figures of a LivePlot. One plotly.js per page, shared by all views, handed over by the kernel, never by a CDN.
const shared = (globalThis.__workbench_plotly__ ??= { asked: -Infinity });
shared.ready ??= new Promise((resolve, reject) => Object.assign(shared, { resolve, reject }));
const ASK_AGAIN = 1500, PATIENCE = 10000, FRAME_BUDGET = 12, LOOK_AGAIN = [100, 400, 1500, 4000]; // milliseconds
// Pixels: a plot in a dashboard that is still wide enough, its usual least height, the space between two, what is left free below; under
// LOW a plot leaves out the word below its steps.
const NARROWEST = 290, READABLE = 180, GAP = 12, MARGIN = 12, TALLEST = 1.3, LOW = 160;
const CONFIG = { displaylogo: false, responsive: false, scrollZoom: false,
  modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };

async function evaluated(source) {
  // plotly.js looks for a module loader first: it gets one of its own, and RequireJS, which classic notebooks have, is
  // hidden.
  const head = "const module={exports:{}};const exports=module.exports;const define=undefined;\n";
  const url = URL.createObjectURL(new Blob([head, source, "\nexport default module.exports;"], { type: "text/javascript" }));
  try { return (await import(/* webpackIgnore: true */ /* @vite-ignore */ url)).default; } finally { URL.revokeObjectURL(url); }
}

// Ask through this view's model until some view has got plotly.js; returns the way to stop asking.
function fetchPlotly(model, waiting) {
  const begun = performance.now();
  const onMessage = (message, buffers) => {
    if (message.kind === "plotly.js") evaluated(buffers[0]).then(shared.resolve, shared.reject);
    if (message.kind === "no plotly.js") shared.reject(new Error(message.reason));
  };
  const ask = () => {
    const now = performance.now();
    if (now - begun > PATIENCE) waiting("The plots wait for the kernel to send plotly.js. Is it busy or shut down? Still asking.");
    if (now - shared.asked < ASK_AGAIN) return; // another view has just asked
    shared.asked = now;
    model.send({ kind: "need plotly.js" });
  };
  model.on("msg:custom", onMessage);
  const timer = setInterval(ask, 500);
  ask();
  const stop = () => { clearInterval(timer); model.off("msg:custom", onMessage); };
  // After a failure the next view begins anew.
  shared.ready.then(stop, () => { stop(); delete globalThis.__workbench_plotly__; });
  return stop;
}

// All numbers of a figure come as one buffer; `lengths` cuts it into columns.
function columnsOf(frame) {
  if (!frame.buffer) return [];
  const b = frame.buffer, bytes = b.buffer ? new Uint8Array(b.buffer, b.byteOffset, b.byteLength) : new Uint8Array(b);
  // A copy, because float32 numbers must begin at a multiple of four bytes, and a message's part need not.
  const all = new Float32Array(bytes.slice().buffer);
  let at = 0;
  return frame.lengths.map((n) => all.subarray(at, (at += n)));
}

// Where the spec says {column: i}, the numbers of that column belong.
function filled(value, columns) {
  if (Array.isArray(value)) return value.map((v) => filled(v, columns));
  if (value === null || typeof value !== "object") return value;
  if (typeof value.column === "number") return columns[value.column];
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, filled(v, columns)]));
}

// The spec has its sizes for scale 1: fonts and margins grow with the scale, positions in the data do not.
function enlarged(value, scale, key = "") {
  if (Array.isArray(value)) return value.map((v) => enlarged(v, scale));
  if (value === null || typeof value !== "object") return value;
  const out = Object.fromEntries(Object.entries(value).map(([k, v]) => [k, enlarged(v, scale, k)]));
  if (/font$/.test(key) && out.size) out.size *= scale;
  if (key === "margin") for (const side of Object.keys(out)) out[side] *= scale;
  return out;
}

// Widgets are mostly transparent: the page's colour is that of the first ancestor that has one.
function pageColour(el) {
  for (let e = el; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor;
    if (!/^rgba\(.*, 0\)$|^transparent$/.test(colour)) return colour;
  }
  return "rgb(255, 255, 255)";
}

// A panel with meta.strip has its legend between title and plot and labels above the data. How many rows a legend takes and
// which labels have room depends on the width: both are measured.
const TITLE_ROW = 24;
// What the y axis means may be longer than its panel is wide: it ends in dots rather than at the edge. It is read out in full.
function shortenTitle(plot, layout, width) {
  const drawn = plot.querySelector(".gtitle"), about = layout.meta?.about;
  if (!drawn || !about) return null;
  const box = drawn.getBoundingClientRect(), over = box.right - (plot.getBoundingClientRect().left + width);
  if (over <= 0) return null;
  const plain = Math.max(layout.meta.title.length, 1) * 1.2; // the name is bold and larger
  const letters = Math.floor(about.length - (over / box.width) * (about.length + plain)) - 2;
  const text = letters > 3 ? about.slice(0, letters).replace(/[\s,;:&][^\s]*$/, "") + "…" : "";
  return { ...layout, title: { ...layout.title, text: layout.title.text.replace(about, () => text) } };
}
function hideOverlapping(labels) {
  const kept = [];
  for (const label of labels) {
    const a = label.getBoundingClientRect();
    const hit = kept.some((b) => a.left < b.right && b.left < a.right && a.top < b.bottom - 4 && b.top < a.bottom - 4);
    if (hit) label.style.visibility = "hidden"; else kept.push(a);
  }
}

// Ink, grid lines and paper, as the style sheet has them on this page; one text, so that two are compared at a glance.
const themeOf = (el) => [getComputedStyle(el).color, getComputedStyle(el).borderTopColor, pageColour(el)].join("|");

function themed(layout, el, size) {
  const [ink, grid, paper] = themeOf(el).split("|");
  const axis = { gridcolor: grid, zerolinecolor: grid, linecolor: grid, tickcolor: grid };
  const out = { ...layout, ...size, autosize: false, uirevision: "keep", paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { size: 13, family: getComputedStyle(el).fontFamily, ...layout.font, color: ink },
    hoverlabel: { bgcolor: paper, bordercolor: grid, font: { size: 13, color: ink }, ...layout.hoverlabel },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: grid, activecolor: ink } };
  for (const key of Object.keys(out)) if (/^[xy]axis/.test(key)) out[key] = { ...axis, ...out[key] };
  return out;
}

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "wb wb-plots";
  root.setAttribute("role", "group");
  el.appendChild(root);
  let plotly = null, words = "Loading the plots …", wordsAreError = false, dead = false, frameId = 0, clicks = 0;
  let panels = [], theme = "";

  // A panel that nobody sees is not drawn until the page is scrolled near it.
  const inSight = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const panel = panels.find((p) => p.div === entry.target);
      if (panel) panel.seen = entry.isIntersecting;
    }
    schedule();
  }, { rootMargin: "200px" });

  function addPanel() {
    const div = document.createElement("div"), plot = document.createElement("div");
    div.className = "wb-plot";
    // Not an image: its legend and its buttons can be reached within.
    div.setAttribute("role", "group");
    div.appendChild(plot);
    root.appendChild(div);
    inSight.observe(div);
    return { div, plot, seen: false, stale: true, drawn: false };
  }
  function removePanel(panel) {
    inSight.unobserve(panel.div);
    if (panel.drawn) plotly.purge(panel.plot);
    panel.div.remove();
  }
  function say(panel, text, error) {
    panel.div.querySelector(":scope > p")?.remove();
    if (!text) return;
    const p = document.createElement("p");
    p.className = error ? "wb-note wb-error" : "wb-note";
    p.textContent = text;
    panel.div.appendChild(p);
  }

  // Under CSS zoom plotly mistakes where the mouse is: undo the zoom and draw everything larger instead.
  function scaled() {
    const zoom = el.currentCSSZoom ?? 1;
    root.style.zoom = 1 / zoom;
    return model.get("scale") * zoom;
  }
  // In a dashboard as many rows as can be read share what the window leaves below them.
  function rowHeight() {
    const scale = scaled(), usual = model.get("height") * scale, least = model.get("least_height") * scale;
    const dashboard = root.closest(".wb-dash");
    if (!least || !dashboard) return usual;
    const pane = root.closest(".jp-WindowedPanel-outer, .jp-LinkedOutputView, .jp-NotebookPanel-notebook") ?? document.documentElement;
    const above = root.getBoundingClientRect().top - dashboard.getBoundingClientRect().top;
    const room = pane.clientHeight - above - MARGIN;
    const across = getComputedStyle(root).gridTemplateColumns.split(" ").length;
    const rows = Math.ceil(model.get("spec").length / across);
    const fit = Math.min(Math.max(Math.floor(room / (READABLE * scale)), 2), Math.max(rows, 1));
    return Math.min(Math.max((room - (fit - 1) * GAP) / fit, least), usual * TALLEST);
  }
  // Everything is drawn anew from the traits, a few panels a frame and only those in sight.
  function refresh() {
    const spec = model.get("spec");
    while (panels.length > spec.length) removePanel(panels.pop());
    while (panels.length < spec.length) panels.push(addPanel());
    root.style.setProperty("--wb-columns", Math.min(model.get("columns"), spec.length || 1));
    root.style.setProperty("--wb-chart", (model.get("least_height") ? NARROWEST : 400) * scaled() + "px");
    const height = rowHeight();
    root.setAttribute("aria-label", model.get("label"));
    panels.forEach((panel, i) => {
      panel.div.style.height = Math.floor(height) + "px";
      panel.div.setAttribute("aria-label", spec[i].layout?.meta?.summary ?? "plot");
      panel.stale = true;
    });
    schedule();
  }
  function schedule() { if (!frameId && !dead) frameId = requestAnimationFrame(draw); }
  function draw() {
    frameId = 0;
    if (dead || document.hidden) return;
    const begun = performance.now(), columns = columnsOf(model.get("frame")), spec = model.get("spec");
    for (const [i, panel] of panels.entries()) {
      if (!panel.stale || !panel.seen || !panel.div.clientWidth) continue;
      // The others wait for the next frame, so that the page answers meanwhile.
      if (performance.now() - begun > FRAME_BUDGET) return schedule();
      panel.stale = false;
      if (plotly) drawPanel(panel, i, spec[i], columns); else say(panel, words, wordsAreError);
    }
  }
  function drawPanel(panel, index, figure, columns) {
    const size = { width: panel.div.clientWidth, height: panel.div.clientHeight }, scale = scaled();
    const data = filled(figure.data, columns);
    let wanted = figure.layout;
    const put = () => {
      panel.theme = themeOf(root);
      const layout = themed(enlarged(wanted, scale), root, size);
      if (size.height < LOW * scale && layout.xaxis?.title?.text === "step") {
        layout.xaxis = { ...layout.xaxis, title: { text: "" } };
        layout.margin = { ...layout.margin, b: 22 * scale };
      }
      if (layout.meta?.strip && panel.top) layout.margin = { ...layout.margin, t: panel.top };
      return plotly.react(panel.plot, data, layout, { ...CONFIG, ...figure.config });
    };
    try {
      put();
      if (figure.layout.meta?.strip) {
        const top = TITLE_ROW * scale + (panel.plot.querySelector(".legend")?.getBoundingClientRect().height ?? 0);
        // The height of the legend is known only when it is drawn: drawn again where it was not what was assumed.
        const shorter = shortenTitle(panel.plot, wanted, size.width), moved = Math.abs(top - (panel.top ?? 0)) > 2;
        wanted = shorter ?? wanted;
        panel.top = top;
        if (moved || shorter) put();
        hideOverlapping(panel.plot.querySelectorAll(".annotation-text-g"));
      }
      say(panel, "");
    } catch (error) { console.error(error); return say(panel, "This plot could not be drawn: " + error.message, true); }
    if (panel.drawn) return;
    panel.drawn = true;
    // Once a panel. The count makes a second click on the same point a change that the kernel hears of.
    panel.plot.on("plotly_click", (event) => {
      model.set("clicked", { x: event.points[0].x, panel: index, count: ++clicks });
      model.save_changes();
    });
  }
  function tell(text, error = false) {
    words = text; wordsAreError = error;
    if (!plotly) { panels.forEach((p) => { p.stale = true; }); schedule(); }
  }

  const traits = ["spec", "frame", "label", "columns", "height", "least_height", "scale"].map((name) => "change:" + name);
  traits.forEach((name) => model.on(name, refresh));
  // A hidden page draws nothing, and catches up when it is seen again.
  document.addEventListener("visibilitychange", schedule);
  const resized = new ResizeObserver(refresh);
  resized.observe(root);
  addEventListener("resize", refresh);
  // A page says that its theme changes before the new style sheet is there: look again until it has come.
  let looks = [];
  const checkTheme = () => {
    const now = themeOf(root);
    if (theme !== (theme = now) || panels.some((p) => p.drawn && p.theme !== now)) refresh();
  };
  const rethemed = new MutationObserver(() => {
    looks.forEach(clearTimeout);
    checkTheme();
    looks = LOOK_AGAIN.map((wait) => setTimeout(checkTheme, wait));
  });
  const watched = { attributes: true, attributeFilter: ["class", "style", "data-theme", "theme", "data-jp-theme-light", "data-jp-theme-name"] };
  rethemed.observe(document.body, watched);
  rethemed.observe(document.documentElement, watched);
  const stopAsking = fetchPlotly(model, tell);
  shared.ready.then((library) => { plotly = library; refresh(); }, (error) => tell("The plots cannot be drawn: " + error.message, true));
  refresh();

  return () => {
    // A frame that is already asked for must find nothing to draw on.
    dead = true;
    looks.forEach(clearTimeout);
    stopAsking();
    for (const observer of [inSight, resized, rethemed]) observer.disconnect();
    document.removeEventListener("visibilitychange", schedule);
    removeEventListener("resize", refresh);
    traits.forEach((name) => model.off(name, refresh));
    if (frameId) cancelAnimationFrame(frameId);
    panels.forEach(removePanel);
  };
}
export default { render };
