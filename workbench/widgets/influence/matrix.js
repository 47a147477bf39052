// The influence matrix: one tab stop, arrow keys from cell to cell; a click, Enter or the space bar picks one.
// The page's HTML is inert; a cell is known by its place.
const STEPS = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };

function render({ model, el }) {
  wbArrived(model);
  const root = document.createElement("div");
  el.appendChild(root);
  let rows = [], places = new Map(); // cell -> [row, column]
  const cellOf = (node) => node?.closest?.(".wb-cell") ?? null;

  function mark() {
    const [row, column] = model.get("picked");
    for (const cell of places.keys()) {
      cell.setAttribute("aria-pressed", "false");
      cell.tabIndex = -1;
    }
    const picked = rows[row]?.[column];
    picked?.setAttribute("aria-pressed", "true");
    const stop = picked ?? rows[0]?.[0];
    if (stop) stop.tabIndex = 0;
  }
  function draw() {
    root.innerHTML = model.get("html");
    rows = [...root.querySelectorAll("tr")].map((row) => [...row.querySelectorAll(".wb-cell")]).filter((cells) => cells.length);
    places = new Map(rows.flatMap((cells, row) => cells.map((cell, column) => [cell, [row, column]])));
    mark();
  }
  function pick(cell) {
    model.set("picked", places.get(cell));
    model.save_changes();
  }

  root.addEventListener("click", (event) => {
    const cell = cellOf(event.target);
    if (cell && getSelection().isCollapsed) pick(cell);
  });
  root.addEventListener("keydown", (event) => {
    const cell = cellOf(event.target), step = STEPS[event.key], picks = event.key === "Enter" || event.key === " ";
    if (!cell || !(step || picks) || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    event.stopPropagation();
    if (picks) return pick(cell);
    const [row, column] = places.get(cell);
    rows[row + step[0]]?.[column + step[1]]?.focus();
  });
  model.on("change:html", draw);
  model.on("change:picked", mark);
  draw();
  return () => {
    model.off("change:html", draw);
    model.off("change:picked", mark);
  };
}
export default { render };
