// The push strip: a cell for each position and step. Pointer or arrow keys read a cell; a click or Enter chooses its step.
const UP = [0, 114, 178], DOWN = [213, 94, 0], NEITHER = [128, 128, 128];
const HEIGHT = 168;

function mixed(net) {
  const to = net < 0 ? DOWN : UP, share = Math.min(1, Math.abs(net) * 1.6);
  return NEITHER.map((from, i) => Math.round(from + (to[i] - from) * share));
}
function two(value) {
  return String(Number(value.toPrecision(2)));
}

function render({ model, el }) {
  wbArrived(model);
  const root = document.createElement("div");
  root.className = "wb wb-strip-view";
  root.innerHTML = `<div class="wb-strip-head"><b>push strip</b>
    <span class="wb-dim">a row per position, a column per step</span>
    <span><span class="wb-key" style="background:rgb(${UP})"></span>pushed up</span>
    <span><span class="wb-key" style="background:rgb(${DOWN})"></span>pushed down (barred)</span>
    <span class="wb-dim">brightness: |push| · (1 − p)</span></div>
    <div class="wb-strip-words"></div>
    <div class="wb-strip-frame"><div class="wb-strip-rows"></div><canvas tabindex="0" role="img"></canvas>
    <div class="wb-strip-steps"></div></div><div class="wb-strip-said wb-dim" role="status"></div>`;
  el.appendChild(root);
  const find = (name) => root.querySelector(name);
  const canvas = find("canvas"), said = find(".wb-strip-said");
  let cursor = null, cells = new Uint8Array(0), serial = model.get("picked")[1];

  const page = () => model.get("page");
  function bytes() {
    const v = page().cells;
    if (!v?.byteLength) return new Uint8Array(0);
    return v.buffer ? new Uint8Array(v.buffer, v.byteOffset, v.byteLength) : new Uint8Array(v);
  }
  function cellOf(column, row) {
    const at = 2 * (column * page().rows + row);
    return [cells[at], cells[at + 1]];
  }
  function draw() {
    const { steps, rows, band, words } = page(), columns = steps.length;
    find(".wb-strip-words").textContent = words;
    const empty = !columns || !rows;
    find(".wb-strip-frame").style.display = find(".wb-strip-head").style.display = empty ? "none" : "";
    if (empty) return;
    const width = canvas.clientWidth, scale = window.devicePixelRatio || 1;
    if (!width) return;
    const tall = Math.max(3, Math.min(14, Math.floor(HEIGHT / rows))), height = tall * rows;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const pen = canvas.getContext("2d"), wide = width / columns;
    pen.scale(scale, scale);
    for (let column = 0; column < columns; column++) for (let row = 0; row < rows; row++) {
      const [up, down] = cellOf(column, row), size = up + down;
      if (!size) continue;
      const net = (up - down) / size;
      pen.fillStyle = `rgba(${mixed(net)}, ${Math.min(1, size / 255)})`;
      pen.fillRect(column * wide, row * tall, Math.max(wide - (wide > 5 ? 1 : 0), 1), tall - (tall > 5 ? 1 : 0));
      if (net < -0.2 && wide >= 6 && tall >= 6 && size > 50) { // the sign is not told by colour alone
        pen.fillStyle = "#fff";
        pen.fillRect(column * wide + wide * 0.3, row * tall + tall / 2 - 1, wide * 0.4 - 1, 1.5);
      }
    }
    const ink = getComputedStyle(root).color;
    const shown = steps.indexOf(model.get("step"));
    pen.strokeStyle = ink;
    pen.lineWidth = 1.5;
    if (shown >= 0) pen.strokeRect(shown * wide + 0.5, 0.75, Math.max(wide - 1.5, 2), height - 1.5);
    if (cursor) pen.strokeRect(cursor[0] * wide, cursor[1] * tall, Math.max(wide, 3), tall);
    label(find(".wb-strip-rows"), marks(rows, Math.max(1, Math.floor(height / 28))), (i) => i * band, (i) => ({ top: `${(i + 0.5) * tall}px` }));
    label(find(".wb-strip-steps"), marks(columns, Math.max(2, Math.floor(width / 70))), (i) => (i ? steps[i] : `step ${steps[0]}`),
      (i) => ({ left: `${Math.max(16, (i + 0.5) * wide)}px` }));
    canvas.setAttribute("aria-label", `push by position and step, ${columns} steps. ${words}`);
  }
  function marks(count, most) {
    const every = Math.max(1, Math.ceil(count / most));
    return Array.from({ length: Math.ceil(count / every) }, (_, i) => i * every);
  }
  function label(where, places, text, style) {
    where.replaceChildren(...places.map((i) => {
      const mark = document.createElement("span");
      mark.textContent = text(i);
      Object.assign(mark.style, style(i));
      return mark;
    }));
  }
  function say() {
    const { steps, band, full } = page();
    if (!cursor) { said.textContent = "Point at a cell, or use the arrow keys; a click or Enter shows its step."; return; }
    const [column, row] = cursor, [up, down] = cellOf(column, row), unit = full / 255;
    const where = band > 1 ? `positions ${row * band} to ${(row + 1) * band - 1}` : `position ${row}`;
    const sign = up > down ? "up" : up < down ? "down" : "in neither direction";
    said.textContent = `step ${steps[column]}, ${where}: pushed up ${two(up * unit)}, down ${two(down * unit)}; on the whole ${sign}`;
  }
  function move(to) {
    const { steps, rows } = page();
    if (!steps.length || !rows) return;
    cursor = to && [Math.max(0, Math.min(steps.length - 1, to[0])), Math.max(0, Math.min(rows - 1, to[1]))];
    draw();
    say();
  }
  function at(event) {
    const box = canvas.getBoundingClientRect(), { steps, rows } = page();
    return [Math.floor((event.clientX - box.left) / box.width * steps.length), Math.floor((event.clientY - box.top) / box.height * rows)];
  }
  function choose() {
    if (!cursor) return;
    serial += 1;
    model.set("picked", [page().steps[cursor[0]], serial]);
    model.save_changes();
  }
  const MOVES = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
  canvas.addEventListener("pointermove", (event) => move(at(event)));
  canvas.addEventListener("pointerleave", () => move(null));
  canvas.addEventListener("click", (event) => { move(at(event)); choose(); });
  canvas.addEventListener("keydown", (event) => {
    const by = MOVES[event.key], picks = event.key === "Enter" || event.key === " ";
    if (!(by || picks) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    if (picks) return choose();
    const shown = Math.max(0, page().steps.indexOf(model.get("step")));
    move(cursor ? [cursor[0] + by[0], cursor[1] + by[1]] : [shown, 0]);
  });
  function anew() {
    cells = bytes();
    const { steps, rows } = page();
    if (cursor && (cursor[0] >= steps.length || cursor[1] >= rows)) cursor = null;
    draw();
    say();
  }
  const sizes = new ResizeObserver(draw);
  sizes.observe(canvas);
  model.on("change:page", anew);
  model.on("change:step", draw);
  anew();
  return () => {
    sizes.disconnect();
    model.off("change:page", anew);
    model.off("change:step", draw);
  };
}
export default { render };
