// Walks through the tokens of a TokenBox: one tab stop per completion, arrow keys within it, the values of the token under
// the pointer or in focus in the read-out. A click or Enter locks a token: the pointer changes the read-out no more, until
// the next click on it or Escape. The page's HTML is inert; whatever is added here is text.
const SIDES = { "-1": "low", 0: "no", 1: "high" };
const HINT = "Point at a token, or press Tab and walk with the arrow keys: its values stand here. A click or Enter locks it.";
// What is shown together, and not as a value of its own.
const TOGETHER = new Set(["before", "after", "likely_id", "likely_logp"]);
const LINES_A_PAGE = 10;

// Four significant digits and a typographic minus, as the kernel writes numbers.
function figure(value) {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const short = Number(value.toPrecision(4)), size = Math.abs(short);
  return (size && (size < 1e-4 || size >= 1e6) ? short.toExponential() : String(short)).replace("e+", "e").replaceAll("-", "−");
}

function written({ kind, unit }, value, pane) {
  if (kind === "word") return pane?.words[value] ?? "nothing";
  if (kind === "side") return SIDES[value] ?? "not known";
  if (kind === "id") return String(value);
  if (Number.isNaN(value)) return "not known";
  const text = (kind === "signed" && value > 0 ? "+" : "") + figure(value) + (unit ? ` ${unit}` : "");
  return kind === "logp" ? `${text} (${probability(value)})` : text;
}

function probability(logp) {
  const text = figure(Math.exp(logp));
  return text === "1" && logp < 0 ? "p > 0.9999" : `p = ${text}`;
}

// How likely the token was before the step, and is after it (or was when it was last used, where that is all one knows).
function moved(values) {
  const of = (kind) => values.find(([column]) => column.kind === kind) ?? [{ label: "" }, NaN];
  const [[, before], [column, after]] = [of("before"), of("after")];
  if (Number.isNaN(before)) return "";
  const start = `p ${figure(Math.exp(before))}`;
  const end = figure(Math.exp(after));
  // Used before the policy had moved, it says nothing of afterwards.
  const says = !Number.isNaN(after) && (column.label === "after the step" || start !== `p ${end}`);
  return says ? `${start} → ${end} ${column.label}` : start;
}
function alternatives(values, pane) {
  const of = (kind) => values.filter(([column]) => column.kind === kind).map(([, value]) => value);
  const [ids, logps] = [of("likely_id"), of("likely_logp")];
  return ids.map((id, i) => [id, pane.texts[id] ?? `id ${id}`, Math.exp(logps[i])]).filter(([id]) => !Number.isNaN(id));
}
// White space as the tokens show it.
const visible = (text) => text.replaceAll(" ", "·").replaceAll("\n", "⏎").replaceAll("\t", "⇥") || "empty";

const exact = (column, value) => (column.kind === "side" || Number.isNaN(value) ? written(column, value) : String(value));
const unitOf = (column, value) => (Number.isNaN(value) ? "" : column.unit);

function made(tag, css, text) {
  const element = document.createElement(tag);
  element.className = css;
  element.textContent = text;
  return element;
}

function numbersOf(page) {
  const v = page.values;
  if (!v?.byteLength) return new Float64Array(0);
  const bytes = v.buffer ? new Uint8Array(v.buffer, v.byteOffset, v.byteLength) : new Uint8Array(v);
  return new Float64Array(bytes.slice().buffer);
}

function hand(event, text) {
  event.clipboardData.setData("text/plain", text);
  event.preventDefault();
  event.stopImmediatePropagation();
}
// By the old command, which needs neither a permission nor https: notebooks are shown in frames that have neither.
function copied(text) {
  const give = (event) => hand(event, text);
  document.addEventListener("copy", give, true);
  try { return document.execCommand("copy"); } finally { document.removeEventListener("copy", give, true); }
}

const topLeft = (token) => token.getClientRects()[0] ?? token.getBoundingClientRect();

// The token nearest to the one at `place` in the line below (by = 1) or above (by = -1); itself where there is no such line.
function lineAway(tokens, place, by) {
  const from = topLeft(tokens[place]);
  let best = place, nearest = Infinity, line = null;
  for (let i = place + by; tokens[i]; i += by) {
    const at = topLeft(tokens[i]);
    if (Math.abs(at.top - from.top) < at.height / 2) continue;
    line ??= at.top;
    if (Math.abs(at.top - line) >= at.height / 2) break;
    if (Math.abs(at.left - from.left) < nearest) [best, nearest] = [i, Math.abs(at.left - from.left)];
  }
  return best;
}
function linesAway(tokens, place, by) {
  for (let i = 0; i < LINES_A_PAGE; i++) place = lineAway(tokens, place, by);
  return place;
}

const MOVES = {
  ArrowRight: (tokens, i) => Math.min(i + 1, tokens.length - 1), ArrowLeft: (tokens, i) => Math.max(i - 1, 0),
  ArrowDown: (tokens, i) => lineAway(tokens, i, 1), ArrowUp: (tokens, i) => lineAway(tokens, i, -1),
  PageDown: (tokens, i) => linesAway(tokens, i, 1), PageUp: (tokens, i) => linesAway(tokens, i, -1),
  Home: () => 0, End: (tokens) => tokens.length - 1,
};

function render({ model, el }) {
  wbArrived(model);
  const root = document.createElement("div");
  el.appendChild(root);
  let panes = [], places = new Map(), shown = null, locked = null; // token -> [its pane, its place there]

  const tokenAt = (node) => node?.closest?.(".wb-box > .t") ?? null;
  const focused = () => { const token = tokenAt(root.getRootNode().activeElement); return root.contains(token) ? token : null; };
  const boxes = () => [...root.querySelectorAll(".wb-box")];

  // What is known of a token: its columns, each with its value.
  function valuesOf(token) {
    const [pane, place] = places.get(token);
    return { position: pane.first + place, values: pane.columns.map((column) => [column, column.numbers[place]]) };
  }
  // What a screen reader says of a token; made when it is wanted, since a page may hold thousands.
  function name(token) {
    const { position, values } = valuesOf(token);
    const pane = places.get(token)[0];
    const single = values.filter(([column, value]) => !TOGETHER.has(column.kind) && !(column.kind === "word" && Number.isNaN(value)));
    const parts = single.map(([column, value]) => `${column.label} ${written(column, value, pane)}`);
    const likely = moved(values);
    token.setAttribute("aria-label", [token.textContent, `position ${position}`, ...(likely ? [likely] : []), ...parts].join(", "));
  }

  function textOf(token) {
    const { position, values } = valuesOf(token);
    const lines = [["token", token.textContent], ["position", position], ...values.map(([c, v]) => [c.label, exact(c, v), unitOf(c, v)])];
    return lines.map((line) => line.join("\t").trimEnd()).join("\n");
  }

  function read(token) {
    const readout = root.querySelector(".wb-readout");
    shown = token;
    if (!readout) return;
    if (!token) return readout.replaceChildren(made("span", "wb-dim", HINT));
    if (!token.hasAttribute("aria-label")) name(token);
    const { position, values } = valuesOf(token), pane = places.get(token)[0];
    const parts = values.filter(([column, value]) => !TOGETHER.has(column.kind) && !(column.kind === "word" && Number.isNaN(value)))
      .map(([column, value]) => {
        const part = made("span", column.kind === "word" ? "wb-value wb-wraps" : "wb-value", "");
        const number = made("b", "", written(column, value, pane));
        number.title = exact(column, value);
        part.append(made("span", "wb-dim", column.label + " "), number);
        return part;
      });
    const likely = alternatives(values, pane).map(([, text, p]) => {
      const part = made("span", "wb-value", "");
      part.append(made("span", "wb-text wb-other", visible(text)), made("span", "", ` ${figure(p)}`));
      return part;
    });
    const before = moved(values);
    const head = [made("span", "wb-text wb-this", token.textContent), made("span", "wb-value", `position ${position}`)];
    if (before) head.push(made("b", "wb-value wb-moved", before));
    if (likely.length) head.push(made("span", "wb-dim", "likeliest then:"), ...likely);
    if (locked === token) head.push(made("span", "wb-locked", "locked, Esc frees"));
    const copy = made("button", "wb-copy", "copy exact values");
    copy.type = "button";
    copy.tabIndex = -1; // Ctrl+C on the token does the same
    const first = made("div", "wb-reading", ""), second = made("div", "wb-reading", "");
    first.append(...head, copy);
    second.append(...parts);
    readout.replaceChildren(first, second);
    // Another one may take a line more: that room stays, too.
    if (readout.style.minHeight) readout.style.minHeight = `${Math.max(readout.offsetHeight, parseFloat(readout.style.minHeight))}px`;
  }

  // The tokens stand below the read-out. Were it to grow with what it says, they would move away from under the pointer,
  // which would empty it again, and so on: so it has from the start the room that a token's values take at this width.
  let wide = 0;
  function reserve() {
    const readout = root.querySelector(".wb-readout"), first = panes.find((pane) => pane.tokens?.length)?.tokens[0];
    if (!readout || !first || !root.clientWidth) return;
    wide = root.clientWidth;
    const before = shown;
    readout.style.minHeight = "";
    read(first);
    readout.style.minHeight = `${readout.offsetHeight}px`;
    read(before);
  }

  // Which token is locked is known to the kernel, for what asks about it.
  function lock(token) {
    locked?.classList.remove("wb-held");
    locked = token;
    locked?.classList.add("wb-held");
    const at = token ? [panes.indexOf(places.get(token)[0]), valuesOf(token).position] : [-1, -1];
    if (String(at) !== String(model.get("locked"))) {
      model.set("locked", at);
      model.save_changes();
    }
    read(token ?? root.querySelector(".wb-box > .t:hover") ?? focused());
  }
  function relock() {
    const [pane, position] = model.get("locked");
    const found = panes[pane]?.tokens?.[position - panes[pane].first] ?? null;
    locked = found;
    locked?.classList.add("wb-held");
    if (found) read(found);
  }

  function focusOn(token) {
    for (const other of token.parentElement.querySelectorAll(":scope > [tabindex]")) {
      other.removeAttribute("tabindex");
      other.removeAttribute("aria-selected");
    }
    token.setAttribute("tabindex", "0");
    token.setAttribute("aria-selected", "true");
    token.focus();
  }

  function draw() {
    const page = model.get("page"), before = focused(), numbers = numbersOf(page);
    const was = before && [panes.indexOf(places.get(before)[0]), places.get(before)[1]];
    const scrolled = boxes().map((box) => box.scrollTop);
    let at = 0;
    panes = page.panes.map((pane) => ({ ...pane, columns: pane.columns.map((column) =>
      ({ ...column, numbers: numbers.subarray(at, (at += pane.count)) })) }));
    root.innerHTML = page.html;
    places = new Map();
    boxes().forEach((box, i) => {
      panes[i].tokens = [...box.querySelectorAll(":scope > .t")];
      panes[i].tokens.forEach((token, place) => places.set(token, [panes[i], place]));
      box.scrollTop = scrolled[i] ?? 0;
      if (panes[i].count) name(panes[i].tokens[0]);
    });
    locked = null;
    read(null);
    wide = 0; // drawn while its tab is closed it has none, and gets its room when it opens
    reserve();
    relock();
    const again = was && panes[was[0]]?.tokens;
    if (again?.length) focusOn(again[Math.min(was[1], again.length - 1)]);
  }

  root.addEventListener("keydown", (event) => {
    const token = tokenAt(event.target);
    if (token && event.key === "Enter") { event.preventDefault(); event.stopPropagation(); return lock(token === locked ? null : token); }
    if (event.key === "Escape" && locked) { event.stopPropagation(); return lock(null); }
    if (!token || !MOVES[event.key] || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    event.stopPropagation();
    const [{ tokens }, place] = places.get(token);
    const next = tokens[MOVES[event.key](tokens, place)];
    focusOn(next);
    if (locked) lock(next); // it goes along
  });
  root.addEventListener("focusin", (event) => { const token = tokenAt(event.target); if (token && !locked) read(token); });
  root.addEventListener("focusout", (event) => { if (!locked && !root.contains(event.relatedTarget)) read(null); });
  root.addEventListener("pointerover", (event) => {
    const token = tokenAt(event.target);
    if (token && !locked && token !== shown) read(token);
  });
  root.addEventListener("pointerout", (event) => {
    const to = event.relatedTarget;
    if (locked) return;
    if (tokenAt(event.target) && !tokenAt(to) && !to?.closest?.(".wb-box")) read(focused());
  });
  root.addEventListener("click", (event) => {
    const token = tokenAt(event.target);
    if (token && getSelection().isCollapsed) { focusOn(token); lock(token === locked ? null : token); }
    if (event.target.closest(".wb-copy") && copied(textOf(shown))) event.target.textContent = "copied";
  });
  root.addEventListener("mousedown", (event) => { if (event.target.closest(".wb-copy")) event.preventDefault(); }); // the focus stays
  root.addEventListener("copy", (event) => {
    if (shown && getSelection().isCollapsed) hand(event, textOf(shown)); // a marked text is copied as it is
  });

  followsThePointer(root);
  model.on("change:page", draw);
  draw();
  // A tab that was closed has no width until it is opened.
  const sizes = new ResizeObserver(() => { if (root.clientWidth !== wide) reserve(); });
  sizes.observe(root);
  return () => {
    sizes.disconnect();
    model.off("change:page", draw);
  };
}
export default { render };
