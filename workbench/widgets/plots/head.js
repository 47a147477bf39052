// The line above a chart: its title, what the y axis means, and the legend as buttons, which keyboards reach.
const SVG_NS = "http://www.w3.org/2000/svg";
const DASHES = { dash: "6 3", dot: "2 2", dashdot: "6 2 2 2" };
// A piece of the line, or of the area with its pattern, so that names are not told apart by colour alone.
function swatchOf(trace) {
  const svg = document.createElementNS(SVG_NS, "svg"), colour = trace.line?.color ?? trace.marker?.color ?? "currentColor";
  svg.setAttribute("viewBox", "0 0 22 10");
  svg.setAttribute("aria-hidden", "true");
  const add = (name, attributes) => {
    const part = document.createElementNS(SVG_NS, name);
    for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
    svg.appendChild(part);
  };
  if (trace.stackgroup) {
    add("rect", { x: 5, y: 0, width: 12, height: 10, fill: colour, "fill-opacity": 0.25, stroke: colour });
    const pattern = { "/": "M6 10L16 0", "\\": "M6 0L16 10", ".": "M10 5h2" }[trace.fillpattern?.shape];
    if (pattern) add("path", { d: pattern, stroke: colour, "stroke-width": 2 });
    return svg;
  }
  add("line", { x1: 0, x2: 22, y1: 5, y2: 5, stroke: colour, "stroke-width": 2, "stroke-dasharray": DASHES[trace.line?.dash] ?? "" });
  return svg;
}

function makeHead(div, toggle) {
  const head = document.createElement("div");
  head.className = "wb-plot-head";
  div.prepend(head);
  let drawn = "", fitted = 0;

  function legendItem(trace, key, isHidden) {
    const button = document.createElement("button"), name = plainText(trace.name);
    button.type = "button";
    button.className = "wb-legend-item";
    button.dataset.key = key;
    button.setAttribute("aria-pressed", String(!isHidden));
    button.title = `${isHidden ? "Show" : "Hide"} ${name} (double click, or Shift and Enter: it alone)`;
    button.append(swatchOf(trace), name);
    return button;
  }
  function keysOf() { return [...head.querySelectorAll(".wb-legend-item")].map((button) => button.dataset.key); }
  function pick(event, alone) {
    const key = event.target.closest?.(".wb-legend-item")?.dataset.key;
    if (key !== undefined) toggle(key, keysOf(), alone);
  }
  head.addEventListener("click", (event) => pick(event, event.shiftKey));
  head.addEventListener("dblclick", (event) => pick(event, true));

  function draw(figure, hidden) {
    const { title = "", about = "" } = figure.layout.meta, named = figure.data.filter((trace) => trace.showlegend !== false);
    const items = figure.layout.showlegend ? named.map((trace) => [trace, keyOf(trace, title)]) : [];
    const state = JSON.stringify([title, about, items.map(([trace, key]) => [key, trace.line, trace.fillpattern, hidden.includes(key)])]);
    if (state === drawn) return fit();
    drawn = state;
    fitted = 0;
    const focused = head.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    const bold = document.createElement("b"), dim = document.createElement("span");
    bold.textContent = plainText(title);
    dim.textContent = plainText(about);
    dim.className = "wb-dim";
    const name = document.createElement("div");
    name.className = "wb-plot-title";
    name.title = dim.textContent;
    name.append(bold, " ", dim);
    const legend = document.createElement("div");
    legend.className = "wb-legend-items";
    legend.append(...items.map(([trace, key]) => legendItem(trace, key, hidden.includes(key))));
    head.replaceChildren(name, legend);
    // Drawn anew under a person's hands: the keyboard stays where it was.
    if (focused !== undefined) [...head.querySelectorAll("button")].find((button) => button.dataset.key === focused)?.focus();
    fit();
  }
  // Where the legend comes into the first row without what the axis means, it does: a row more is the curve's.
  function fit() {
    if (fitted === head.clientWidth) return;
    fitted = head.clientWidth;
    const [name, legend] = head.children, isBelow = () => legend.children.length > 0 && legend.offsetTop >= name.offsetTop + name.offsetHeight;
    head.classList.remove("wb-tight");
    if (!isBelow()) return;
    head.classList.add("wb-tight");
    if (isBelow()) head.classList.remove("wb-tight");
  }
  return { head, draw };
}
