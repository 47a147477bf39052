// The guided tour: a card that leads, a ring around what it speaks of. The kernel opens each stop and says its card; where
// that stands in the page, keys and focus are seen to here. Whatever it says is put in as text.
const EDGE = 8, RING = 5; // pixels left free at the window's edge, and between a thing and its ring
const WRITES = "input:not([type]), input[type=text], input[type=search], textarea, select, [contenteditable=true]";

function made(parent, tag, css, text = "") {
  const element = document.createElement(tag);
  element.className = css;
  element.textContent = text;
  parent.appendChild(element);
  return element;
}
function buttonIn(parent, css, text, act) {
  const button = made(parent, "button", css, text);
  button.type = "button";
  button.addEventListener("click", act);
  return button;
}
const isSeen = (element) => element.getClientRects().length > 0;

// What scrolls an element, from the inside out.
function scrollersOf(element) {
  const found = [];
  for (let above = element.parentElement; above && above !== document.body; above = above.parentElement) {
    const scrolls = /auto|scroll|overlay/.test(getComputedStyle(above).overflowY);
    if (scrolls && above.scrollHeight > above.clientHeight + 1) found.push(above);
  }
  return found;
}
// The rectangle in which it is seen: what all of them leave of the window.
function frameOf(element) {
  const frame = { left: 0, top: 0, right: innerWidth, bottom: innerHeight };
  for (const above of scrollersOf(element)) {
    const rect = above.getBoundingClientRect();
    frame.top = Math.max(frame.top, rect.top);
    frame.bottom = Math.min(frame.bottom, rect.bottom);
    frame.left = Math.max(frame.left, rect.left);
    frame.right = Math.min(frame.right, rect.right);
  }
  return frame;
}
// The part of an element that is in sight; null where none is.
function inSight(element) {
  const rect = element.getBoundingClientRect(), frame = frameOf(element);
  const left = Math.max(rect.left, frame.left), top = Math.max(rect.top, frame.top);
  const right = Math.min(rect.right, frame.right), bottom = Math.min(rect.bottom, frame.bottom);
  return right - left > 2 && bottom - top > 2 ? { left, top, right, bottom } : null;
}
// With room below it for a card so tall, where there is so much: what stands above it then stays in sight, too.
function bringIntoSight(element, tall) {
  const rect = element.getBoundingClientRect(), frame = frameOf(element);
  const missing = rect.bottom + RING + tall + 3 * EDGE - frame.bottom, scroller = scrollersOf(element).at(-1);
  if (scroller && missing > 0 && rect.top - missing >= frame.top + EDGE) scroller.scrollTop += missing;
  else if (rect.top < frame.top || rect.bottom > frame.bottom)
    element.scrollIntoView({ block: rect.height < frame.bottom - frame.top ? "nearest" : "start", inline: "nearest" });
}
// Beside what it speaks of, and over it only where there is room nowhere else.
function placeBeside(rect, wide, tall) {
  const inside = (at, size, room) => Math.min(Math.max(at, EDGE), Math.max(room - size - EDGE, EDGE));
  const left = inside(rect.left, wide, innerWidth), top = inside(rect.top, tall, innerHeight), gap = RING + EDGE;
  if (rect.bottom + gap + tall + EDGE <= innerHeight) return [left, rect.bottom + gap];
  if (rect.top - gap - tall >= EDGE) return [left, rect.top - gap - tall];
  if (rect.right + gap + wide + EDGE <= innerWidth) return [rect.right + gap, top];
  if (rect.left - gap - wide >= EDGE) return [rect.left - gap - wide, top];
  return [innerWidth - wide - 3 * EDGE, innerHeight - tall - 5 * EDGE];
}
function put(element, name, pixels) {
  const value = `${Math.round(pixels / (element.currentCSSZoom ?? 1))}px`;
  if (element.style[name] !== value) element.style[name] = value;
}

// One tour at a time in a page.
function begin(model, el, root) {
  wbPage.tour?.end();
  const titles = model.get("titles"), opener = document.activeElement, name = `wb-tour-${Math.random().toString(36).slice(2)}`;
  const ring = made(el, "div", "wb-tour-ring"), card = made(el, "div", "wb wb-tour");
  let at = -1, target = null, pressed = null, over = false;
  card.setAttribute("role", "dialog");
  card.setAttribute("aria-labelledby", `${name}-title`);
  card.setAttribute("aria-describedby", `${name}-text`);
  card.tabIndex = -1;
  ring.setAttribute("aria-hidden", "true");
  const head = made(card, "div", "wb-tour-head"), count = made(head, "span", "");
  const close = buttonIn(head, "wb-tour-end", "✕", () => end());
  close.setAttribute("aria-label", "End the tour");
  const said = made(card, "div", ""), title = made(said, "p", "wb-tour-title"), text = made(said, "p", "wb-tour-text");
  said.setAttribute("aria-live", "polite");
  title.id = `${name}-title`;
  text.id = `${name}-text`;
  const foot = made(card, "div", "wb-tour-foot");
  const next = buttonIn(foot, "wb-tour-next", "Next", () => go(at + 1)), back = buttonIn(foot, "", "Back", () => go(at - 1));
  made(foot, "span", "wb-tour-keys", "← → lead on · Esc ends");

  // In the top layer, so that no cell cuts them off.
  for (const element of [ring, card]) {
    element.popover = "manual";
    element.showPopover?.();
  }
  ring.hidden = true;

  function release() {
    if (pressed?.isConnected && pressed.classList.contains("wb-held")) pressed.click();
    pressed = null;
  }
  function go(to) {
    if (to < 0) return;
    if (to >= titles.length) return end();
    release();
    at = to;
    target = null;
    ring.hidden = true;
    model.set("stop", at);
    model.save_changes();
    write();
    if (card.contains(document.activeElement) && isSeen(document.activeElement) && document.activeElement !== card) return;
    next.focus({ preventScroll: true });
  }
  function write() {
    const known = model.get("card"), isKnown = known.stop === at;
    count.textContent = `Tour · ${at + 1} of ${titles.length}`;
    title.textContent = titles[at];
    text.textContent = isKnown ? known.text : "…";
    next.textContent = at === titles.length - 1 ? "Done" : "Next";
    back.hidden = at === 0;
  }
  // Once what the stop is about is drawn; the page may still be on its way.
  function arrive() {
    const known = model.get("card");
    if (known.stop !== at) return;
    const first = (selector) => [...root.querySelectorAll(selector)].find((element) => isSeen(element));
    const all = known.targets.map(first), found = all.find(Boolean);
    if (!found || found === target) return;
    target = found;
    bringIntoSight(found, card.offsetHeight);
    if (!known.press || all[0] !== found || pressed) return;
    pressed = found;
    if (!found.classList.contains("wb-held")) found.click();
    next.focus({ preventScroll: true });
  }
  function draw() {
    if (over) return;
    if (!card.isConnected || !isSeen(root)) return end(false);
    // What was lit may have been drawn anew.
    if (target && !target.isConnected) [target, pressed] = [null, null];
    arrive();
    const rect = target && inSight(target);
    ring.hidden = !rect;
    if (rect) {
      put(ring, "left", rect.left - RING);
      put(ring, "top", rect.top - RING);
      put(ring, "width", rect.right - rect.left + 2 * RING);
      put(ring, "height", rect.bottom - rect.top + 2 * RING);
    }
    const here = card.getBoundingClientRect(), around = rect ?? inSight(root) ?? frameOf(root);
    const [left, top] = placeBeside(around, here.width, here.height);
    put(card, "left", left);
    put(card, "top", top);
    requestAnimationFrame(draw);
  }
  function end(givesFocusBack = true) {
    if (over) return;
    over = true;
    release();
    const hadFocus = card.contains(document.activeElement);
    model.off("change:card", write);
    root.removeEventListener("keydown", outside);
    card.remove();
    ring.remove();
    wbPage.tour = null;
    model.set("stop", -1);
    model.save_changes();
    if (!givesFocusBack || !hadFocus) return;
    const home = opener?.isConnected && opener !== document.body ? opener : el.querySelector(".wb-tour-open");
    home?.focus({ preventScroll: true });
  }

  card.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    // Whatever is pressed here is meant for the tour.
    event.stopPropagation();
    const buttons = [...card.querySelectorAll("button:not([hidden])")], place = buttons.indexOf(document.activeElement);
    if (event.key === "Escape") end();
    else if (event.key === "ArrowRight") go(Math.min(at + 1, titles.length - 1));
    else if (event.key === "ArrowLeft") go(at - 1);
    else if (event.key === "Enter" && place < 0) go(at + 1);
    else if (event.key === "Tab") {
      const to = place < 0 ? (event.shiftKey ? buttons.length - 1 : 0) : place + (event.shiftKey ? -1 : 1);
      buttons[(to + buttons.length) % buttons.length].focus();
    } else return;
    event.preventDefault();
  });
  // While a hand is at the picture itself.
  const outside = (event) => { if (event.key === "Escape" && !event.defaultPrevented && !card.contains(event.target)) end(); };
  root.addEventListener("keydown", outside);
  model.on("change:card", write);
  wbPage.tour = { end };
  go(0);
  draw();
}

function render({ model, el }) {
  wbArrived(model);
  const open = buttonIn(el, "wb-tour-open jupyter-button", "?", start);
  open.setAttribute("aria-label", "Guided tour of the dashboard");
  open.title = "A tour of this dashboard in six stops (key: ?)";
  const root = () => el.closest(".wb-scaled");

  function start() { begin(model, el, root()); }
  function key(event) {
    if (event.key !== "?" || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (!root()?.contains(event.target) || event.target.matches(WRITES)) return;
    event.preventDefault();
    start();
  }
  // Asked for in code: one page begins, in a view that is seen, and it is not begun again.
  function asked() {
    const mark = model.get("asked");
    if (gone || !mark || mark === model.get("taken")) return;
    if (!root() || !isSeen(root())) return void setTimeout(asked, 250);
    model.set("taken", mark);
    start();
  }
  let gone = false;
  document.addEventListener("keydown", key);
  model.on("change:asked", asked);
  asked();
  return () => {
    gone = true;
    document.removeEventListener("keydown", key);
    model.off("change:asked", asked);
  };
}
export default { render };
