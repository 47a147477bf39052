// The groups: a click on a row, or Enter on its number, opens its tokens; one tab stop, arrow keys from row to row.
const MOVES = { ArrowDown: 1, ArrowUp: -1 };

function render({ model, el }) {
  wbArrived(model);
  const root = document.createElement("div");
  root.className = "wb wb-picks";
  el.appendChild(root);
  let serial = model.get("picked")[1];
  const buttons = () => [...root.querySelectorAll(".wb-open")];

  function mark() {
    const row = String(model.get("selected"));
    for (const place of root.querySelectorAll("tr[data-row]")) {
      const rows = (place.dataset.rows ?? place.dataset.row).split(" ");
      place.classList.toggle("wb-chosen", rows.includes(row));
    }
  }
  function stopAt(button) {
    for (const other of buttons()) other.tabIndex = -1;
    if (button) button.tabIndex = 0;
  }
  function draw() {
    const open = new Set([...root.querySelectorAll("details[open]")].map((one) => one.dataset.group));
    const focused = document.activeElement?.closest?.(".wb-open");
    const place = focused && root.contains(focused) ? buttons().indexOf(focused) : -1;
    root.innerHTML = model.get("html");
    for (const one of root.querySelectorAll("details")) {
      one.open = open.has(one.dataset.group);
    }
    stopAt(buttons()[Math.max(place, 0)]);
    if (place >= 0) buttons()[place]?.focus();
    mark();
  }
  function pick(row) {
    serial += 1;
    model.set("picked", [Number(row), serial]);
    model.save_changes();
  }
  root.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-row]");
    if (row && getSelection().isCollapsed) pick(row.dataset.row);
  });
  root.addEventListener("keydown", (event) => {
    const button = event.target.closest(".wb-open");
    const by = MOVES[event.key];
    if (!button || !by || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    event.stopPropagation();
    // Those in a closed strip cannot have the focus.
    const seen = buttons().filter((one) => one.offsetParent);
    const next = seen[seen.indexOf(button) + by];
    if (!next) return;
    stopAt(next);
    next.focus();
  });
  followsThePointer(root);
  model.on("change:html", draw);
  model.on("change:selected", mark);
  draw();
  return () => {
    model.off("change:html", draw);
    model.off("change:selected", mark);
  };
}
export default { render };
