// Draws the tree of one prompt's completions: blocks from left to right, as high as they are probable. One tab stop, arrow
// keys within; the moment is a slider of the page's own, so that the tree follows it without the kernel. All text is put
// as text, never as HTML.
const HEIGHT = 420, LEAST_LABEL = 15, LEVELS = 6, GAP = 1, PAD = 5, LEAST_WIDTH = 12, DOUBLINGS = 3;
const COLOURS = {
  reward: "expected reward",
  advantage: "advantage: expected reward minus J",
  change: "change since the first moment",
};
const HINT = "Point at a block, or press Tab and walk: right = what follows, left = back, up and down = the others, Enter = enlarge, " +
  "Escape = whole tree, Page Up and Page Down = moment.";

const made = (tag, css, text = "") => {
  const element = document.createElement(tag);
  if (css) element.className = css;
  element.textContent = text;
  return element;
};
const typographic = (text) => text.replaceAll("-", "−");
const number = (value, signed = false) => {
  if (value === null || !Number.isFinite(value)) return "not known";
  const short = Number(value.toPrecision(4));
  return typographic((signed && short > 0 ? "+" : "") + short);
};
function percent(share) {
  const hundredths = 100 * share;
  if (hundredths === 0) return "0 %";
  return hundredths < 0.01 ? "< 0.01 %" : `${Number(hundredths.toPrecision(3))} %`;
}

// What is known of each block at one moment: its probability, that given its parent, V, advantage, change.
function factsOf(tree, moment, index) {
  const block = tree.blocks[index], p = tree.probability[moment][index], value = tree.value[moment][index];
  const before = block.parent < 0 ? 1 : tree.probability[moment][block.parent];
  const first = tree.probability[0][index];
  return {
    p,
    given: before > 0 ? p / before : 0,
    value,
    advantage: value === null ? null : value - tree.expected[moment],
    doublings: p === 0 && first === 0 ? 0 : Math.log2(Math.max(p, 1e-9) / Math.max(first, 1e-9)),
    first,
  };
}

function levelOf(tree, colour, facts) {
  if (facts.value === null) return ["s", 0];
  if (colour === "reward") {
    const span = tree.largest - tree.least || 1;
    return ["s", Math.round((LEVELS * (facts.value - tree.least)) / span)];
  }
  const limit = colour === "advantage" ? tree.farthest || 1 : DOUBLINGS;
  const share = (colour === "advantage" ? facts.advantage : facts.doublings) / limit;
  const level = Math.round(LEVELS * Math.max(-1, Math.min(1, share)));
  return level < 0 ? ["n", -level] : ["p", level];
}

function wordsOf(tree, moment, index) {
  const block = tree.blocks[index], facts = factsOf(tree, moment, index);
  const words = [
    ["probability", percent(facts.p)],
    ["given what stands before it", percent(facts.given)],
    block.completion < 0 ? ["expected reward", number(facts.value)] : ["reward", number(block.reward)],
    ["advantage", number(facts.advantage, true)],
  ];
  if (moment > 0) words.push([`at ${tree.moments[0]}`, percent(facts.first)]);
  return words;
}

function render({ model, el }) {
  wbArrived(model);
  const root = made("div", "wb wb-tree");
  el.appendChild(root);

  const bar = made("div", "wb-tree-bar");
  const momentLabel = made("label", "", "moment "), slider = made("input"), momentName = made("output");
  Object.assign(slider, { type: "range", min: 0, step: 1 });
  momentLabel.append(slider, momentName);
  const colourLabel = made("label", "", "colour "), menu = made("select");
  for (const [value, words] of Object.entries(COLOURS)) menu.append(Object.assign(made("option", "", words), { value }));
  colourLabel.append(menu);
  const whole = Object.assign(made("button", "wb-tree-button", "whole tree"), { type: "button" });
  bar.append(momentLabel, colourLabel, whole);
  const says = made("div", "wb-tree-says"), readout = made("div", "wb-tree-readout"), scroller = made("div", "wb-tree-scroller");
  const field = made("div", "wb-tree-field"), legend = made("div", "wb-tree-legend");
  says.setAttribute("role", "status");
  readout.setAttribute("role", "group");
  readout.setAttribute("aria-label", "values of the block");
  field.setAttribute("role", "tree");
  field.style.height = HEIGHT + "px";
  legend.setAttribute("role", "group");
  legend.setAttribute("aria-label", "legend");
  scroller.append(field);
  root.append(bar, says, readout, scroller, legend);

  let tree = null, items = [], places = [], children = [], zoomed = -1, shown = -1, current = 0;

  const moment = () => Math.max(0, Math.min(model.get("moment"), tree.moments.length - 1));
  const height = (index) => places[index].bottom - places[index].top;
  const seen = (index) => height(index) > 0.4;

  // Anew for another tree: one element for each block, which then only changes its place and colour.
  function build() {
    tree = model.get("tree");
    zoomed = shown = -1;
    current = 0;
    field.replaceChildren();
    items = [];
    children = tree.blocks.map(() => []);
    children[-1] = [];
    tree.blocks.forEach((block, index) => children[block.parent].push(index));
    for (const block of tree.blocks) {
      const item = made("div", "wb-block"), label = made("span", "wb-block-text", block.texts.join(""));
      item.append(label);
      item.setAttribute("role", "treeitem");
      item.tabIndex = -1;
      items.push(item);
      field.append(item);
    }
    const question = tree.answer ? `${tree.question} (gold answer ${tree.answer})` : tree.question;
    field.setAttribute("aria-label", `completions of: ${question}`);
    slider.max = tree.moments.length - 1;
    momentLabel.style.display = tree.moments.length > 1 ? "" : "none";
    widths();
    draw();
  }

  // From left to right: each block begins where its parent ends. Text is measured once.
  function widths() {
    const probe = made("span", "wb-block-text", "0".repeat(50));
    probe.style.cssText = "position:absolute;visibility:hidden";
    field.append(probe);
    const character = probe.getBoundingClientRect().width / 50 / (el.currentCSSZoom ?? 1) || 7.8;
    probe.remove();
    let right = 0;
    places = [];
    tree.blocks.forEach((block, index) => {
      const left = block.parent < 0 ? 0 : places[block.parent].right + GAP;
      const width = Math.max(LEAST_WIDTH, block.texts.join("").length * character + 2 * PAD);
      places.push({ left, right: left + width, top: 0, bottom: 0, level: block.parent < 0 ? 1 : places[block.parent].level + 1 });
      right = Math.max(right, left + width);
      items[index].style.left = left + "px";
      items[index].style.width = width + "px";
    });
    field.style.width = right + 190 + "px"; // room for what stands behind the last block
  }

  // From top to bottom: the children of a block lie within it, in their order.
  function heights() {
    const p = tree.probability[moment()];
    const tops = [];
    const stack = (index, top) => {
      let at = top;
      for (const child of children[index]) {
        tops[child] = at;
        stack(child, at);
        at += p[child];
      }
    };
    stack(-1, 0);
    const from = zoomed < 0 ? 0 : tops[zoomed], span = zoomed < 0 ? 1 : p[zoomed] || 1;
    const pixels = (share) => Math.max(0, Math.min(HEIGHT, (HEIGHT * (share - from)) / span));
    tree.blocks.forEach((_, index) => {
      places[index].top = pixels(tops[index]);
      places[index].bottom = pixels(tops[index] + p[index]);
    });
  }

  function draw() {
    if (!tree?.blocks.length) return;
    const at = moment(), colour = model.get("colour");
    const hadFocus = field.contains(root.getRootNode().activeElement);
    if (zoomed >= 0 && !tree.probability[at][zoomed]) zoomed = -1; // it is not said any more
    heights();
    tree.blocks.forEach((block, index) => {
      const item = items[index], { top, level } = places[index], tall = height(index);
      const facts = factsOf(tree, at, index), [letter, depth] = levelOf(tree, colour, facts);
      item.className = `wb-block ${depth ? letter + depth : ""}${tall < LEAST_LABEL ? " thin" : ""}${block.completion < 0 ? "" : " leaf"}`;
      item.style.top = top + "px";
      item.style.height = Math.max(0, tall - (tall > 3 ? 1 : 0)) + "px";
      item.style.visibility = seen(index) ? "" : "hidden";
      item.dataset.end = block.completion >= 0 && tall >= LEAST_LABEL ? `${percent(facts.p)}, reward ${number(block.reward)}` : "";
      item.setAttribute("aria-level", level);
      const words = wordsOf(tree, at, index).map(([name, value]) => `${name} ${value}`);
      item.setAttribute("aria-label", [block.texts.join("") || "nothing", ...words].join(", "));
    });
    if (!seen(current)) current = tree.blocks.findIndex((_, index) => seen(index));
    mark();
    // A block that has vanished hands the focus on.
    if (hadFocus && root.getRootNode().activeElement !== items[current]) items[current].focus();
    slider.value = at;
    momentName.textContent = tree.moments[at];
    slider.setAttribute("aria-valuetext", tree.moments[at]);
    menu.value = colour;
    whole.disabled = zoomed < 0;
    says.textContent = tree.says[at];
    drawLegend(colour);
    read(shown);
  }

  function drawLegend(colour) {
    const swatch = (css, text) => made("span", `k ${css}`, text);
    const ends = {
      reward: [["", number(tree.least)], ["s3", number((tree.least + tree.largest) / 2)], ["s6", number(tree.largest)]],
      advantage: [["n6", number(-tree.farthest, true)], ["", "0"], ["p6", number(tree.farthest, true)]],
      change: [["n6", "an eighth or less"], ["", "as before"], ["p6", "eight times or more"]],
    }[colour];
    legend.replaceChildren(made("span", "wb-dim", COLOURS[colour] + ":"), ...ends.map(([css, text]) => swatch(css, text)),
      made("span", "wb-dim", "height: probability; gaps: what is too improbable to be drawn"));
  }

  function mark() {
    items.forEach((item, index) => {
      item.tabIndex = index === current ? 0 : -1;
      item.setAttribute("aria-selected", index === current ? "true" : "false");
    });
  }

  function read(index) {
    shown = index;
    if (index < 0) return readout.replaceChildren(made("span", "wb-dim", HINT));
    const path = [];
    for (let at = index; at >= 0; at = tree.blocks[at].parent) path.unshift(tree.blocks[at].texts.join(""));
    const text = made("span", "wb-text wb-tree-path", path.slice(0, -1).join(""));
    text.append(made("b", "", path[path.length - 1]));
    const parts = wordsOf(tree, moment(), index).map(([name, value]) => {
      const part = made("span", "wb-value");
      part.append(made("span", "wb-dim", name + " "), made("b", "", value));
      return part;
    });
    return readout.replaceChildren(text, ...parts);
  }

  function choose(index, focus = true) {
    current = index;
    mark();
    if (focus) items[index].focus({ preventScroll: false });
    read(index);
    model.set("chosen", index);
    model.save_changes();
  }
  function zoom(index) {
    zoomed = index;
    draw();
  }
  function setMoment(to) {
    model.set("moment", Math.max(0, Math.min(to, tree.moments.length - 1)));
    model.save_changes();
    draw();
  }

  const largest = (list) => list.filter(seen).reduce((best, index) => (best < 0 || height(index) > height(best) ? index : best), -1);
  // The block above or below with a beginning as near as there is one.
  function beside(index, by) {
    const own = places[index], middle = (own.top + own.bottom) / 2;
    let best = -1, nearest = Infinity;
    places.forEach((place, other) => {
      if (other === index || !seen(other) || place.level !== own.level) return;
      const away = by * ((place.top + place.bottom) / 2 - middle);
      if (away > 0 && away < nearest) [best, nearest] = [other, away];
    });
    return best;
  }
  const MOVES = {
    ArrowRight: () => largest(children[current]),
    ArrowLeft: () => tree.blocks[current].parent,
    ArrowUp: () => beside(current, -1),
    ArrowDown: () => beside(current, 1),
    Home: () => largest(children[-1]),
    End: () => { let at = current; for (let next = at; next >= 0; next = largest(children[next])) at = next; return at; },
  };
  const ACTS = {
    Enter: () => zoom(zoomed === current ? -1 : current),
    Escape: () => zoom(-1),
    PageDown: () => setMoment(moment() + 1),
    PageUp: () => setMoment(moment() - 1),
  };

  field.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    if (MOVES[event.key]) {
      const to = MOVES[event.key]();
      if (to >= 0 && seen(to)) choose(to);
    } else if (ACTS[event.key]) ACTS[event.key]();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  const blockOf = (event) => items.indexOf(event.target.closest?.(".wb-block"));
  field.addEventListener("pointerover", (event) => { const index = blockOf(event); if (index >= 0) read(index); });
  field.addEventListener("pointerleave", () => read(field.contains(root.getRootNode().activeElement) ? current : -1));
  field.addEventListener("focusin", (event) => { const index = blockOf(event); if (index >= 0) { current = index; mark(); read(index); } });
  field.addEventListener("focusout", (event) => { if (!field.contains(event.relatedTarget)) read(-1); });
  field.addEventListener("click", (event) => { const index = blockOf(event); if (index >= 0) choose(index); });
  field.addEventListener("dblclick", (event) => { const index = blockOf(event); if (index >= 0) zoom(zoomed === index ? -1 : index); });
  // JupyterLab takes the arrow keys of a range input for its own before they move it.
  const STEPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: -1, PageDown: 1, Home: -Infinity, End: Infinity };
  slider.addEventListener("keydown", (event) => {
    if (!STEPS[event.key] || event.ctrlKey || event.altKey || event.metaKey) return;
    setMoment(moment() + STEPS[event.key]);
    event.preventDefault();
    event.stopPropagation();
  });
  slider.addEventListener("input", () => setMoment(Number(slider.value)));
  menu.addEventListener("change", () => { model.set("colour", menu.value); model.save_changes(); draw(); });
  whole.addEventListener("click", () => zoom(-1));

  const answers = { "change:tree": build, "change:moment": draw, "change:colour": draw };
  for (const [name, act] of Object.entries(answers)) model.on(name, act);
  build();
  // A monospaced font has another width once it is there, and in another theme.
  const resized = new ResizeObserver(() => { if (tree?.blocks.length) { widths(); draw(); } });
  resized.observe(root);
  return () => {
    resized.disconnect();
    for (const [name, act] of Object.entries(answers)) model.off(name, act);
  };
}
export default { render };
