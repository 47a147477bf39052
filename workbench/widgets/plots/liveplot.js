// Draws the figures of a LivePlot. One plotly.js per page, shared by all views, handed over by the kernel, never by a CDN.
const shared = (globalThis.__workbench_plotly__ ??= { asked: -Infinity });
shared.ready ??= new Promise((resolve, reject) => Object.assign(shared, { resolve, reject }));
const ASK_AGAIN = 1500, PATIENCE = 10000, FRAME_BUDGET = 12, LOOK_AGAIN = [100, 400, 1500, 4000]; // milliseconds
// Pixels: a plot in a dashboard that is still wide enough, its usual least height, the space between two, what is left free below; under
// LOW a plot leaves out the word below its steps.
const NARROWEST = 290, READABLE = 180, GAP = 8, MARGIN = 12, TALLEST = 1.3, LOW = 160;
const CONFIG = { displaylogo: false, responsive: false, scrollZoom: false,
  modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };
const DOUBLE_CLICK = 320, STILL = 4, SHORT = 200; // milliseconds in which a second click makes a double click; pixels that a click may move, and of a chart that has no room for what its axis means

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

// What all charts mark alike stands once, in the first of them.
function withShapes(figure, spec) {
  const of = figure.layout.shapes?.of;
  return of === undefined ? figure : { ...figure, layout: { ...figure.layout, shapes: spec[of].layout.shapes } };
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

// A panel with meta.strip has a head of its own for title and legend, and labels above the data: which of them have room
// depends on the width, and is measured.
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
  wbArrived(model);
  const root = document.createElement("div");
  root.className = "wb wb-plots";
  root.setAttribute("role", "group");
  el.appendChild(root);
  let plotly = null, words = "Loading the plots …", wordsAreError = false, dead = false, frameId = 0, clicks = 0;
  let panels = [], theme = "", draws = 0, picking = 0;
  const shownOf = () => Object.fromEntries(["smoothing", "zoom", "hidden"].map((name) => [name, model.get(name)]));
  const put = (name, value) => { model.set(name, value); model.save_changes(); };
  const bar = makeBar(root, put);

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
    const head = makeHead(div, toggle), cross = makeCrosshair(div, plot);
    div.addEventListener("pointermove", (event) => model.get("linked") && pointAt(div, cross.stepUnder(event.clientX)));
    div.addEventListener("pointerleave", () => model.get("linked") && pointAt(div, null));
    return { div, plot, head, cross, seen: false, stale: true, drawn: false };
  }
  // A click hides a line or shows it again; `alone` leaves it as the only one, or brings the others back.
  function toggle(key, keys, alone) {
    const hidden = new Set(model.get("hidden")), others = keys.filter((other) => other !== key);
    const wasAlone = !hidden.has(key) && others.every((other) => hidden.has(other));
    if (alone) {
      hidden.delete(key);
      for (const other of others) if (wasAlone) hidden.delete(other); else hidden.add(other);
    } else if (!hidden.delete(key)) hidden.add(key);
    put("hidden", [...hidden]);
  }
  function pointed(event) {
    if (!model.get("linked") || homeOf(event.target) !== homeOf(root)) return;
    for (const panel of panels) if (panel.drawn && panel.isLinked) panel.cross.show(event.detail.step, panel.div === event.target);
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
    // The bar over the charts (zoom, smoothing) takes its row, too.
    const over = root.querySelector(":scope > .wb-plots-bar")?.offsetHeight ?? 0;
    const room = pane.clientHeight - above - MARGIN - (over && over + GAP);
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
    root.style.setProperty("--wb-plot-scale", scaled());
    const height = rowHeight();
    root.setAttribute("aria-label", model.get("label"));
    const hasLines = spec.some(({ data }) => data.some((trace) => trace.meta?.smooth));
    bar.draw(model.get("linked"), hasLines, model.get("smoothing"), model.get("zoom"));
    panels.forEach((panel, i) => {
      panel.div.style.height = Math.floor(height) + "px";
      panel.div.classList.toggle("wb-short", height < SHORT * scaled());
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
      if (plotly) drawPanel(panel, i, withShapes(spec[i], spec), columns); else say(panel, words, wordsAreError);
    }
  }
  function drawPanel(panel, index, figure, columns) {
    const scale = scaled(), meta = figure.layout.meta ?? {}, shown = shownOf();
    panel.isLinked = Boolean(model.get("linked") && meta.strip);
    const how = panel.isLinked ? shown : { ...shown, smoothing: 0, zoom: [] };
    if (meta.strip) panel.head.draw(figure, shown.hidden);
    const size = { width: panel.div.clientWidth, height: panel.div.clientHeight - panel.head.head.offsetHeight };
    const data = preparedTraces(filled(figure.data, columns), meta.title, how);
    try {
      panel.theme = themeOf(root);
      const layout = themed(enlarged(figure.layout, scale), root, size);
      if (meta.strip) underHead(layout, scale);
      if (size.height < LOW * scale && layout.xaxis?.title?.text === "step") {
        layout.xaxis = { ...layout.xaxis, title: { text: "" } };
        layout.margin = { ...layout.margin, b: 22 * scale };
      }
      if (panel.isLinked) linkAxes(layout, how.zoom);
      plotly.react(panel.plot, data, layout, { ...CONFIG, ...(panel.isLinked ? linkedConfig(figure) : {}), ...figure.config });
      if (meta.strip) hideOverlapping(panel.plot.querySelectorAll(".annotation-text-g"));
      if (panel.isLinked) panel.cross.drawn(data, layout.shapes);
      say(panel, "");
    } catch (error) { console.error(error); return say(panel, "This plot could not be drawn: " + error.message, true); }
    if (panel.drawn) return;
    panel.drawn = true;
    listenTo(panel, index);
  }
  // Title and legend stand in the head, so the plot has the room.
  function underHead(layout, scale) {
    delete layout.title;
    layout.showlegend = false;
    layout.margin = { ...layout.margin, t: 8 * scale };
  }
  // Zoomed along the steps alone, all charts together; what is shown is the traits' and never plotly's own memory of it,
  // which forgets a zoom when the run grows.
  function linkAxes(layout, zoom) {
    layout.uirevision = ++draws;
    layout.dragmode = "zoom";
    layout.xaxis = { ...layout.xaxis, showspikes: false };
    if (zoom.length) {
      layout.xaxis = { ...layout.xaxis, range: zoom };
      delete layout.xaxis.tickvals;
      delete layout.xaxis.ticktext;
    }
    for (const key of Object.keys(layout)) if (/^yaxis/.test(key)) layout[key] = { ...layout[key], fixedrange: true };
  }
  function linkedConfig(figure) {
    const name = plainText(figure.layout.meta.title), picture = { name: "picture", title: `Save ${name} as a picture`,
      icon: plotly.Icons.camera, click: (gd) => plotly.downloadImage({ data: gd.data, layout: { ...gd.layout, title: figure.layout.title,
        showlegend: figure.layout.showlegend, margin: { ...gd.layout.margin, t: 60 }, paper_bgcolor: pageColour(root) } },
      { format: "png", filename: name.replace(/\W+/g, "-"), width: gd.clientWidth, height: gd.clientHeight + 50, scale: 2 }) };
    return { doubleClick: false, showTips: false, modeBarButtons: [[picture]] };
  }
  // Once a panel.
  function listenTo(panel, index) {
    // The count makes a second click on the same point a change that the kernel hears of.
    const heightAt = ({ clientY }) => {
      const { yaxis } = panel.plot._fullLayout;
      return yaxis.p2d(clientY - panel.plot.getBoundingClientRect().top - yaxis._offset);
    };
    const pick = (x, event) => put("clicked", { x, y: heightAt(event), panel: index, count: ++clicks });
    panel.plot.on("plotly_click", ({ points, event }) => { if (!panel.isLinked) pick(points[0].x, event); });
    // Where charts are over steps a click anywhere picks one: plotly knows clicks near a point alone. It lays a cover over
    // the page while a button is down, so the release is heard of by the document.
    panel.plot.addEventListener("pointerdown", (down) => {
      if (!panel.isLinked || down.button || !down.target.closest?.(".draglayer")) return;
      document.addEventListener("pointerup", (up) => {
        const step = panel.cross.stepUnder(up.clientX);
        clearTimeout(picking);
        if (step === null || Math.hypot(up.clientX - down.clientX, up.clientY - down.clientY) > STILL) return;
        picking = setTimeout(() => pick(step, up), DOUBLE_CLICK);
      }, { once: true, capture: true });
    }, true);
    panel.plot.on("plotly_doubleclick", () => {
      clearTimeout(picking);
      if (panel.isLinked) put("zoom", []);
    });
    panel.plot.on("plotly_relayout", (change) => {
      const range = change["xaxis.range"] ?? [change["xaxis.range[0]"], change["xaxis.range[1]"]];
      if (panel.isLinked && range.every(Number.isFinite)) put("zoom", range);
    });
  }
  function tell(text, error = false) {
    words = text; wordsAreError = error;
    if (!plotly) { panels.forEach((p) => { p.stale = true; }); schedule(); }
  }

  const traits = ["spec", "frame", "label", "columns", "height", "least_height", "scale", "linked", "smoothing", "zoom", "hidden"].map((name) => "change:" + name);
  traits.forEach((name) => model.on(name, refresh));
  // A hidden page draws nothing, and catches up when it is seen again.
  document.addEventListener("visibilitychange", schedule);
  document.addEventListener("wb-step", pointed);
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
    clearTimeout(picking);
    stopAsking();
    for (const observer of [inSight, resized, rethemed]) observer.disconnect();
    document.removeEventListener("visibilitychange", schedule);
    removeEventListener("resize", refresh);
    document.removeEventListener("wb-step", pointed);
    traits.forEach((name) => model.off(name, refresh));
    if (frameId) cancelAnimationFrame(frameId);
    panels.forEach(removePanel);
  };
}
export default { render };
