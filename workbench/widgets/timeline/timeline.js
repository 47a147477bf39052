// The timeline: a run on one line. The line is a slider for the step that all pages show; the marks are buttons on it.
const MARGIN = 10, CLUSTER = 18, DRAG = 5; // pixels: free at both ends, between two marks, and what makes a click a drag
const LANES = { knob: 0, branch: 0, problem: 0, warning: 0, evaluation: 1, checkpoint: 2 };
const URGENT = ["problem", "warning", "branch", "knob", "evaluation", "checkpoint"];
// Shapes in a square of 12: no kind is told by its colour alone.
const SHAPES = { knob: "M6 0.500L11.500 6L6 11.500L0.500 6Z", branch: "M3 11.500V0.500M3 8C3 5 9 6.500 9 2M6.500 4L9 1L11.500 4",
  problem: "M1.500 1.500L10.500 10.500M10.500 1.500L1.500 10.500", warning: "M6 0.500L11.800 11H0.200Z",
  evaluation: "M6 1.500A4.500 4.500 0 1 1 6 10.500A4.500 4.500 0 1 1 6 1.500Z", checkpoint: "M2.500 2.500H9.500V9.500H2.500Z" };

function iconOf(kind) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), path = document.createElementNS(svg.namespaceURI, "path");
  svg.setAttribute("viewBox", "0 0 12 12");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", SHAPES[kind] ?? SHAPES.knob);
  svg.appendChild(path);
  return svg;
}
function made(parent, name, className, attributes = {}) {
  const element = document.createElement(name);
  element.className = className;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent.appendChild(element);
  return element;
}
const buttonIn = (parent, className, text) => {
  const button = made(parent, "button", className, { type: "button" });
  button.textContent = text;
  return button;
};

// Marks of one lane that would lie on one another are one button, which stands where the first one does.
function clustersOf(marks, placeOf) {
  const open = {}, clusters = [];
  for (const mark of marks) {
    const lane = LANES[mark.kind] ?? 0, last = open[lane];
    if (last && placeOf(mark.step) - placeOf(last.step) < CLUSTER) last.marks.push(mark);
    else clusters.push((open[lane] = { lane, step: mark.step, marks: [mark] }));
  }
  return clusters;
}
const urgentOf = (marks) => URGENT.find((kind) => marks.some((mark) => mark.kind === kind)) ?? marks[0].kind;

function render({ model, el }) {
  wbArrived(model);
  const root = made(el, "div", "wb wb-timeline", { role: "group", "aria-label": "timeline of the run" });
  const row = made(root, "div", "wb-tl-row"), below = made(root, "div", "wb-tl-below");
  const newest = buttonIn(row, "wb-tl-newest", ""), track = made(row, "div", "wb-tl-track"), play = buttonIn(row, "wb-tl-play", "▶");
  const speed = buttonIn(row, "wb-tl-speed", "");
  const readout = made(row, "span", "wb-tl-readout", { "aria-hidden": "true" });
  const line = made(track, "div", "wb-tl-line"), keptLayer = made(track, "div", "wb-tl-layer"), band = made(track, "div", "wb-tl-band");
  const hover = made(track, "div", "wb-tl-hover"), thumb = made(track, "div", "wb-tl-thumb",
    { role: "slider", tabindex: "0", "aria-label": "step shown on all pages", "aria-orientation": "horizontal" });
  const markLayer = made(track, "div", "wb-tl-layer"), tip = made(root, "div", "wb-tl-tip", { "aria-hidden": "true" });
  const chip = buttonIn(below, "wb-tag", ""), card = made(below, "div", "wb-tl-card", { role: "status" });
  tip.hidden = hover.hidden = true;
  let buttons = [], drawn = "", shownDetail = null, drag = null, stop = 0;

  const get = (name) => model.get(name);
  const put = (values) => { model.set(values); model.save_changes(); };
  const first = () => Math.min(1, get("last"));
  const within = (step) => Math.min(Math.max(step, first()), get("last"));
  const width = () => Math.max(track.clientWidth - 2 * MARGIN, 1);
  const placeOf = (step) => MARGIN + width() * Math.max(0, (step - first()) / Math.max(get("last") - first(), 1));
  // Under CSS zoom the mouse counts other pixels than the layout does.
  const stepAt = (event) => {
    const box = track.getBoundingClientRect(), share = (event.clientX - box.left) / box.width * track.clientWidth;
    return within(Math.round(first() + (share - MARGIN) / width() * (get("last") - first())));
  };
  const goTo = (step) => put({ cursor: within(step), following: false });

  function drawMarks() {
    const clusters = clustersOf(get("marks"), placeOf), picked = new Set(get("picked"));
    const state = JSON.stringify([clusters, [...picked], track.clientWidth, get("last"), get("kept")]);
    if (state === drawn) return;
    drawn = state;
    const focused = markLayer.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    keptLayer.replaceChildren();
    for (const [from, to] of get("kept")) {
      const stretch = made(keptLayer, "div", "wb-tl-kept");
      Object.assign(stretch.style, { left: `${placeOf(from) - 1}px`, width: `${Math.max(placeOf(to) - placeOf(from), 0) + 2}px` });
    }
    markLayer.replaceChildren();
    buttons = clusters.map(({ lane, step, marks }) => {
      const kind = urgentOf(marks), button = buttonIn(markLayer, `wb-tl-mark wb-tl-${kind} wb-tl-lane${lane}`, "");
      button.append(iconOf(kind), marks.length > 1 ? String(marks.length) : "");
      button.dataset.key = marks[0].key;
      button.marks = marks;
      button.style.left = `${placeOf(step)}px`;
      button.setAttribute("aria-label", marks.map((mark) => mark.text).join("; "));
      button.setAttribute("aria-pressed", String(marks.every((mark) => picked.has(mark.key))));
      button.tabIndex = -1;
      return button;
    });
    buttons.sort((a, b) => a.marks[0].step - b.marks[0].step);
    stop = Math.min(Math.max(buttons.findIndex((button) => button.dataset.key === focused), 0, focused ? 0 : stop), buttons.length - 1);
    if (buttons.length) buttons[stop].tabIndex = 0;
    if (focused !== null) buttons[stop]?.focus();
  }
  function drawBand([from, to] = []) {
    band.hidden = from === undefined;
    if (!band.hidden) Object.assign(band.style, { left: `${placeOf(from)}px`, width: `${Math.max(placeOf(to) - placeOf(from), 2)}px` });
  }
  function drawCard() {
    const detail = get("detail");
    if (detail === shownDetail) return;
    shownDetail = detail;
    card.hidden = !detail;
    card.replaceChildren();
    if (!detail) return;
    made(card, "div", "wb-tl-detail").innerHTML = detail;
    const keys = new Set(get("picked")), steps = [...new Set(get("marks").filter((mark) => keys.has(mark.key)).map((mark) => mark.step))];
    const actions = made(card, "div", "wb-tl-actions");
    for (const step of steps.slice(0, 3)) buttonIn(actions, "wb-tag", `show step ${within(step)}`).addEventListener("click", () => goTo(step));
    const close = buttonIn(actions, "wb-tag", "✕");
    close.setAttribute("aria-label", "Close what the mark says");
    close.addEventListener("click", () => closeCard());
  }
  function closeCard() {
    put({ picked: [], detail: "" });
    (buttons[stop] ?? thumb).focus();
  }
  function draw() {
    const last = get("last"), cursor = get("cursor"), following = get("following"), playing = get("playing"), interval = get("interval");
    root.hidden = last === 0;
    drawMarks();
    thumb.style.left = `${placeOf(cursor)}px`;
    for (const [name, value] of [["min", first()], ["max", last], ["now", cursor], ["text", `step ${cursor} of ${last}`]])
      thumb.setAttribute(`aria-value${name}`, value);
    readout.textContent = `step ${cursor}`;
    readout.classList.remove("wb-dim");
    newest.textContent = (following ? "● " : "○ ") + (get("live") ? "live" : "last");
    newest.setAttribute("aria-pressed", String(following));
    newest.title = get("live") ? "Follow the newest step" : "Show the last step";
    play.textContent = playing ? "❚❚" : "▶";
    play.setAttribute("aria-label", playing ? "Pause the replay" : "Replay the run");
    play.title = playing ? "Pause the replay" : `Replay the run, ${get("speed")} step${get("speed") === 1 ? "" : "s"} a second`;
    speed.textContent = `${get("speed")}×`;
    speed.setAttribute("aria-label", `Speed of the replay: ${get("speed")} steps a second`);
    drawBand(drag?.interval ?? interval);
    chip.hidden = !interval.length;
    chip.textContent = `steps ${interval.join(" to ")} ✕`;
    chip.setAttribute("aria-label", `Only steps ${interval.join(" to ")}. Show all steps`);
    drawCard();
    below.hidden = chip.hidden && card.hidden;
  }

  // --- the mouse: a click chooses a step, the handle is dragged, anywhere else a drag chooses an interval
  track.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const isMark = Boolean(event.target.closest(".wb-tl-mark"));
    drag = { from: stepAt(event), at: event.clientX, isThumb: event.target === thumb, isMark };
    // A captured pointer would take the click from the mark.
    if (!isMark) track.setPointerCapture(event.pointerId);
  });
  track.addEventListener("pointermove", (event) => {
    const step = stepAt(event);
    pointAt(root, step);
    if (!drag || (!drag.moved && Math.abs(event.clientX - drag.at) < DRAG)) return;
    if (!drag.moved) track.setPointerCapture(event.pointerId);
    drag.moved = true;
    if (drag.isThumb) return goTo(step);
    drag.interval = [Math.min(drag.from, step), Math.max(drag.from, step)];
    drawBand(drag.interval);
  });
  track.addEventListener("pointerup", () => {
    if (!drag) return;
    const { moved, from, interval, isThumb, isMark } = drag;
    drag = null;
    if (isMark && !moved) return;
    if (interval) put({ interval });
    else if (!moved && !isThumb) goTo(from);
    thumb.focus({ preventScroll: true });
  });
  track.addEventListener("pointercancel", () => { drag = null; draw(); });
  track.addEventListener("pointerleave", () => pointAt(root, null));

  // --- the keyboard
  thumb.addEventListener("keydown", (event) => {
    const far = Math.max(1, Math.round(get("last") / 10)), cursor = get("cursor");
    const to = { ArrowRight: cursor + 1, ArrowUp: cursor + 1, ArrowLeft: cursor - 1, ArrowDown: cursor - 1, PageUp: cursor + far,
      PageDown: cursor - far, Home: first(), End: get("last") }[event.key];
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Escape" && get("interval").length) put({ interval: [] });
    else if (to === undefined) return;
    else if (event.shiftKey) extend(cursor, within(to));
    else goTo(to);
    event.preventDefault();
    event.stopPropagation();
  });
  // Shift and an arrow draw the interval from where the handle stood.
  function extend(cursor, to) {
    const interval = get("interval"), anchor = interval.length ? (interval[0] === cursor ? interval[1] : interval[0]) : cursor;
    put({ interval: [Math.min(anchor, to), Math.max(anchor, to)], cursor: to, following: false });
  }
  markLayer.addEventListener("keydown", (event) => {
    const at = buttons.indexOf(event.target), to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    if (event.key === "Escape" && get("picked").length) closeCard();
    else if (to === undefined || !buttons[to]) return;
    else {
      buttons[at].tabIndex = -1;
      stop = to;
      buttons[to].tabIndex = 0;
      buttons[to].focus();
    }
    event.preventDefault();
    event.stopPropagation();
  });
  markLayer.addEventListener("click", (event) => {
    const button = event.target.closest(".wb-tl-mark");
    if (!button) return;
    stop = buttons.indexOf(button);
    const isPicked = button.getAttribute("aria-pressed") === "true";
    hideTip();
    put({ picked: isPicked ? [] : button.marks.map((mark) => mark.key) });
  });
  const showTip = (event) => {
    const button = event.target.closest?.(".wb-tl-mark");
    // What is chosen is told in full below.
    tip.hidden = !button || button.getAttribute("aria-pressed") === "true";
    if (tip.hidden) return;
    tip.textContent = button.marks.map((mark) => mark.text).join("\n");
    const left = track.offsetLeft + parseFloat(button.style.left);
    tip.style.left = `${Math.max(0, Math.min(left - tip.offsetWidth / 2, root.clientWidth - tip.offsetWidth))}px`;
  };
  const hideTip = () => { tip.hidden = true; };
  for (const kind of ["pointerover", "focusin"]) markLayer.addEventListener(kind, showTip);
  for (const kind of ["pointerout", "focusout"]) markLayer.addEventListener(kind, hideTip);
  newest.addEventListener("click", () => put({ following: !get("following") }));
  play.addEventListener("click", () => put({ playing: !get("playing") }));
  speed.addEventListener("click", () => put({ speed: get("speed") === 1 ? 4 : 1 }));
  chip.addEventListener("click", () => { put({ interval: [] }); thumb.focus(); });

  function pointed(event) {
    if (homeOf(event.target) !== homeOf(root)) return;
    const { step } = event.detail;
    hover.hidden = step === null;
    readout.textContent = `step ${step ?? get("cursor")}`;
    readout.classList.toggle("wb-dim", step !== null);
    if (step !== null) hover.style.left = `${placeOf(within(step))}px`;
  }
  document.addEventListener("wb-step", pointed);
  const traits = ["marks", "kept", "last", "cursor", "following", "picked", "detail", "interval", "playing", "speed", "live"];
  for (const name of traits) model.on(`change:${name}`, draw);
  const resized = new ResizeObserver(draw);
  resized.observe(track);
  draw();
  return () => {
    for (const name of traits) model.off(`change:${name}`, draw);
    document.removeEventListener("wb-step", pointed);
    resized.disconnect();
  };
}
export default { render };
