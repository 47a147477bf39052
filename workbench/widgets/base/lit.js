// One focus: what shows a completion carries its row (data-row); pointing at one place lights all places of it in the
// dashboard. Other scripts begin with this one.
const LIT = "wb-lit";
function dashboardOf(root) {
  return root.closest(".wb-scaled") ?? root;
}
function light(root, row) {
  for (const other of dashboardOf(root).querySelectorAll("." + LIT)) other.classList.remove(LIT);
  if (row === null || row === undefined) return;
  for (const place of dashboardOf(root).querySelectorAll("[data-row], [data-rows]")) {
    const rows = (place.dataset.rows ?? place.dataset.row).split(" ");
    if (rows.includes(String(row))) place.classList.add(LIT);
  }
}
function followsThePointer(root) {
  const at = (node) => node?.closest?.("[data-row], [data-rows]");
  root.addEventListener("pointerover", (event) => {
    const place = at(event.target);
    if (place) light(root, (place.dataset.rows ?? place.dataset.row).split(" ")[0]);
  });
  root.addEventListener("pointerleave", () => light(root, null));
  root.addEventListener("focusin", (event) => {
    const place = at(event.target);
    if (place) light(root, (place.dataset.rows ?? place.dataset.row).split(" ")[0]);
  });
}
