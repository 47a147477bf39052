// Draws a HandChart as SVG: bars, curves, and handles that a pointer drags and arrow keys move. Every text is put as text.
const SPACE = { left: 48, right: 14, top: 10, bottom: 38 }, GRAB = 12, TICKS = 5, BIG = 10, ROOM = 96, ROW = 15, PATIENCE = 1500;
const SIDEWAYS = ["line", "corner"];
const NS = "http://www.w3.org/2000/svg";

function made(tag, attributes, text) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}
const figure = (value) => String(Number(value.toPrecision(3))).replace("-", "−");
const between = (value, low, high) => Math.min(Math.max(value, low), high);

// Round places between two ends, about TICKS of them.
function ticksOf(low, high) {
  const rough = (high - low) / TICKS, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((s) => s >= rough);
  const out = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) out.push([i * step, figure(i * step)]);
  return out;
}

function render({ model, el }) {
  wbArrived(model);
  const root = document.createElement("div");
  root.className = "wb wb-hand";
  el.appendChild(root);
  let held = null, sketching = false, last = null, local = {}, settling = 0, mine = false;

  const size = () => ({ width: Math.max(root.clientWidth, 200), height: model.get("height") });
  function scales(picture) {
    const { width, height } = size(), [x0, x1] = picture.x, [y0, y1] = picture.y;
    const w = width - SPACE.left - SPACE.right, h = height - SPACE.top - SPACE.bottom;
    return {
      width, height,
      x: (value) => SPACE.left + (w * (value - x0)) / (x1 - x0),
      y: (value) => SPACE.top + h - (h * (value - y0)) / (y1 - y0),
      fromX: (pixel) => x0 + ((pixel - SPACE.left) / w) * (x1 - x0),
      fromY: (pixel) => y0 + ((SPACE.top + h - pixel) / h) * (y1 - y0),
    };
  }

  function axes(svg, picture, s) {
    const bottom = s.height - SPACE.bottom;
    for (const [value, text] of picture.y_ticks.length ? picture.y_ticks : ticksOf(...picture.y)) {
      svg.append(made("line", { class: "grid", x1: SPACE.left, x2: s.width - SPACE.right, y1: s.y(value), y2: s.y(value) }));
      svg.append(made("text", { x: SPACE.left - 6, y: s.y(value) + 4, "text-anchor": "end" }, text));
    }
    for (const [value, text] of picture.ticks.length ? picture.ticks : ticksOf(...picture.x)) {
      svg.append(made("text", { x: s.x(value), y: bottom + 16, "text-anchor": "middle" }, text));
    }
    svg.append(made("line", { class: "axis", x1: SPACE.left, x2: s.width - SPACE.right, y1: bottom, y2: bottom }));
    svg.append(made("text", { x: (SPACE.left + s.width - SPACE.right) / 2, y: s.height - 5, "text-anchor": "middle" }, picture.x_label));
    if (picture.y_label) svg.append(made("text", { x: 11, y: (SPACE.top + bottom) / 2, "text-anchor": "middle",
      transform: `rotate(-90 11 ${(SPACE.top + bottom) / 2})` }, picture.y_label));
  }

  function still(svg, picture, s) {
    const zero = s.y(between(0, ...picture.y));
    for (const bars of picture.bars) bars.y.forEach((value, i) => {
      const top = s.y(value), x = s.x(bars.x0[i]);
      svg.append(made("rect", { class: bars.kind, x, width: Math.max(s.x(bars.x1[i]) - x - 1, 1), y: Math.min(top, zero), height: Math.abs(zero - top) }));
    });
    for (const curve of picture.curves) {
      let path = "", pen = "M";
      curve.y.forEach((value, i) => {
        if (value === null) { pen = "M"; return; }
        path += `${pen}${s.x(curve.x[i]).toFixed(1)} ${s.y(value).toFixed(1)}`;
        pen = "L";
      });
      svg.append(made("path", { class: `${curve.kind}${curve.dashed ? " dashed" : ""}`, d: path }));
      const end = curve.y.findLastIndex((value) => value !== null);
      if (curve.named && end >= 0) svg.append(made("text", { x: s.x(curve.x[end]) - 4, y: s.y(curve.y[end]) - 7, "text-anchor": "end" }, curve.name));
    }
  }

  // Labels of lines that come near each other stand in rows of their own, the first one on the left of its line.
  function labelOf(handle, x, place, s, value) {
    const left = place === 0 ? x > SPACE.left + ROOM : s.width - x < ROOM;
    return made("text", { x: x + (left ? -10 : 10), y: SPACE.top + 11 + ROW * place, "text-anchor": left ? "end" : "start" }, `${handle.name} ${figure(value)}`);
  }

  function handleOf(handle, value, s, picture, place) {
    const group = made("g", { class: `handle ${handle.kind} ${handle.shape}`, tabindex: "0", role: "slider", "aria-label": handle.name,
      "aria-valuemin": handle.low, "aria-valuemax": handle.high, "aria-valuenow": value, "aria-valuetext": figure(value),
      "aria-orientation": SIDEWAYS.includes(handle.shape) ? "horizontal" : "vertical", "data-id": handle.id });
    if (handle.shape === "line") {
      const x = s.x(between(value, ...picture.x)), bottom = s.height - SPACE.bottom;
      group.append(made("rect", { class: "reach", x: x - GRAB, width: 2 * GRAB, y: 0, height: bottom }));
      group.append(made("line", { x1: x, x2: x, y1: SPACE.top, y2: bottom }));
      group.append(made("circle", { cx: x, cy: SPACE.top + 6, r: 6 }));
      group.append(labelOf(handle, x, place, s, value));
      return group;
    }
    if (handle.shape === "corner") {
      const x = s.x(between(value, ...picture.x)), y = s.y(between(handle.at, ...picture.y));
      group.append(made("circle", { class: "reach", cx: x, cy: y, r: GRAB }), made("circle", { cx: x, cy: y, r: 7 }));
      group.append(made("text", { x, y: y + 22, "text-anchor": "middle" }, `${handle.name} ${figure(value)}`));
      return group;
    }
    const x = s.x(handle.at), y = s.y(between(value, ...picture.y)), zero = s.y(between(0, ...picture.y));
    if (handle.shape === "bar") {
      const half = (s.x(handle.at + handle.width / 2) - x);
      group.append(made("rect", { class: "body", x: x - half, width: 2 * half, y: Math.min(y, zero), height: Math.abs(zero - y) }));
      group.append(made("rect", { class: "reach", x: x - half, width: 2 * half, y: Math.min(y, zero) - GRAB, height: Math.abs(zero - y) + GRAB }));
      group.append(made("rect", { class: "grip", x: x - half, width: 2 * half, y: y - 3, height: 6, rx: 3 }));
      group.append(made("text", { x, y: y - 8, "text-anchor": "middle" }, figure(value)));
      return group;
    }
    group.append(made("circle", { class: "reach", cx: x, cy: y, r: GRAB }));
    group.append(made("circle", { cx: x, cy: y, r: picture.sketch ? 4 : 7 }));
    if (!picture.sketch) group.append(made("text", { x: x + 11, y: y - 7 }, figure(value)));
    return group;
  }

  // A handle is where the hand put it until the kernel has answered that very move: an answer that comes may be to one before.
  const placeNow = (handle, values) => local[handle.id] ?? values[handle.id] ?? handle.low;
  const isHeld = () => held !== null || sketching;
  function answered() {
    const values = model.get("values"), near = ([id, value]) => Math.abs(values[id] - value) <= (placeOf(id)?.step ?? 0) / 2;
    if (!mine && !isHeld() && Object.entries(local).every(near)) local = {};
    schedule();
  }
  // What it made of the move may be another place: then that holds, a little later.
  function settleSoon() {
    clearTimeout(settling);
    settling = setTimeout(() => { if (!isHeld()) { local = {}; schedule(); } }, PATIENCE);
  }
  const placeOf = (id) => model.get("picture").handles.find((handle) => handle.id === id);
  function draw() {
    const picture = model.get("picture"), values = model.get("values");
    if (!picture.x) return;
    const s = scales(picture), active = root.getRootNode().activeElement;
    const focused = root.contains(active) ? active.getAttribute("data-id") : null;
    const svg = made("svg", { width: s.width, height: s.height, role: "group", "aria-label": `${model.get("label")}. ${picture.summary}` });
    axes(svg, picture, s);
    still(svg, picture, s);
    const lines = picture.handles.filter((handle) => handle.shape === "line");
    picture.handles.forEach((handle) => svg.append(handleOf(handle, placeNow(handle, values), s, picture, lines.indexOf(handle))));
    root.replaceChildren(svg);
    if (focused) root.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true }); // the page stays where it is
  }
  const drawing = redrawing(model, root, ["picture", "height", "label"], draw), { schedule } = drawing;

  // To the handle's own step, so that a drag ends at a round number.
  const rounded = (handle, value) => Number((Math.round(between(value, handle.low, handle.high) / handle.step) * handle.step).toPrecision(10));
  function move(changes) {
    const values = { ...model.get("values") };
    const moved = Object.fromEntries(changes.map(([handle, value]) => [handle.id, rounded(handle, value)]));
    local = { ...local, ...moved };
    Object.assign(values, local);
    settleSoon();
    model.set("moved", Object.keys(local));
    mine = true; // the model tells of this change, too
    model.set("values", values);
    mine = false;
    model.save_changes();
    schedule();
  }

  function place(event) {
    const box = root.firstChild.getBoundingClientRect(), s = scales(model.get("picture")), zoom = box.width / s.width || 1;
    return { x: s.fromX((event.clientX - box.left) / zoom), y: s.fromY((event.clientY - box.top) / zoom) };
  }
  function drag(event) {
    const to = place(event), handle = placeOf(held);
    if (!handle) return;
    move([[handle, SIDEWAYS.includes(handle.shape) ? to.x : to.y]]);
  }
  // Every handle between the pointer's last place and this one takes the height of the stroke there.
  function stroke(event) {
    const to = place(event), from = last ?? to;
    last = to;
    const [left, right] = from.x < to.x ? [from, to] : [to, from], handles = model.get("picture").handles;
    const gap = Math.abs((handles[1]?.at ?? 1) - (handles[0]?.at ?? 0)) / 2;
    const passed = handles.filter((h) => h.at >= left.x - gap && h.at <= right.x + gap);
    move(passed.map((h) => {
      const share = right.x === left.x ? 1 : between((h.at - left.x) / (right.x - left.x), 0, 1);
      return [h, left.y + share * (right.y - left.y)];
    }));
  }

  root.addEventListener("pointerdown", (event) => {
    const handle = event.target.closest(".handle"), picture = model.get("picture");
    sketching = Boolean(picture.sketch);
    if (!handle && !sketching) return;
    held = handle?.getAttribute("data-id") ?? null;
    root.setPointerCapture(event.pointerId);
    handle?.focus({ preventScroll: true });
    event.preventDefault();
    last = null;
    if (sketching) stroke(event);
  });
  root.addEventListener("pointermove", (event) => { if (sketching) stroke(event); else if (held) drag(event); });
  const release = () => { held = null; sketching = false; last = null; settleSoon(); };
  root.addEventListener("pointerup", release);
  root.addEventListener("pointercancel", release);

  root.addEventListener("keydown", (event) => {
    const id = event.target.closest?.(".handle")?.getAttribute("data-id"), handle = id && placeOf(id);
    if (!handle || event.ctrlKey || event.metaKey || event.altKey) return;
    const now = placeNow(handle, model.get("values"));
    const to = { ArrowRight: now + handle.step, ArrowUp: now + handle.step, ArrowLeft: now - handle.step, ArrowDown: now - handle.step,
      PageUp: now + BIG * handle.step, PageDown: now - BIG * handle.step, Home: handle.low, End: handle.high }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    move([[handle, to]]);
  });

  model.on("change:values", answered);
  draw();
  return () => {
    drawing.stop();
    model.off("change:values", answered);
    clearTimeout(settling);
  };
}
export default { render };
