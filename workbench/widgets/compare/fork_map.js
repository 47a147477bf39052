// Draws a ForkMap as SVG. One tab stop; arrow keys walk along a lane and from lane to lane, Enter chooses. Text is put as text.
const NS = "http://www.w3.org/2000/svg", LANE = 58, TOP = 26, BOTTOM = 26, LEFT = 14, RIGHT = 26, THIN = 3, THICK = 16, DOT = 6;

function made(tag, attributes, text) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}
const percent = (share) => (share === null ? "not evaluated" : `${(100 * share).toFixed(1)} %`);
const thickness = (share) => THIN + (THICK - THIN) * (share ?? 0);

function render({ model, el }) {
  wbArrived(model);
  const root = document.createElement("div");
  root.className = "wb wb-forks";
  el.appendChild(root);
  // The accuracy known at a step of a lane: that of the last evaluation up to it, of the parent's before the fork.
  function known(tree, lane, step) {
    const before = lane.nodes.filter((node) => node.step <= step && node.accuracy !== null).at(-1);
    if (before) return before.accuracy;
    return lane.parent === null ? null : known(tree, tree.lanes[lane.parent], Math.min(step, lane.start));
  }

  function ribbon(tree, lane, x, y) {
    const steps = [lane.start, ...lane.nodes.map((node) => node.step)];
    const half = steps.map((step) => thickness(known(tree, lane, step)) / 2);
    const up = steps.map((step, i) => `${x(step)} ${y - half[i]}`), down = steps.map((step, i) => `${x(step)} ${y + half[i]}`).reverse();
    return made("path", { class: "ribbon", d: `M${[...up, ...down].join("L")}Z`, fill: lane.colour });
  }

  function edge(tree, lane, x, y, from) {
    const at = x(lane.start), width = thickness(known(tree, lane, lane.start));
    const bend = Math.min(22, Math.abs(y - from) / 2);
    const path = made("path", { class: "edge", d: `M${at} ${from}C${at} ${from + bend * 1.6} ${at} ${y} ${at + 1} ${y}`, stroke: lane.colour, "stroke-width": width });
    return path;
  }

  // Where the parent was rewound to before the fork: the steps that it had once.
  function gone(tree, place, x, y) {
    const forks = tree.lanes.filter((lane) => lane.parent === place).map((lane) => lane.start), lane = tree.lanes[place];
    const far = Math.max(lane.last, ...forks);
    return far > lane.last ? [made("line", { class: "gone", x1: x(lane.last), x2: x(far), y1: y, y2: y, stroke: lane.colour })] : [];
  }

  function nodeOf(lane, place, node, x, y, chosen) {
    const mark = chosen.run === place && chosen.step === node.step;
    const words = `${lane.name}, step ${node.step}, held-out accuracy ${percent(node.accuracy)}`;
    const group = made("g", { class: `node${mark ? " chosen" : ""}`, role: "button", tabindex: "-1", "aria-label": words, "aria-pressed": String(mark),
      "data-run": place, "data-step": node.step });
    group.append(made("title", {}, words));
    group.append(made("circle", { class: "reach", cx: x(node.step), cy: y, r: 12 }));
    group.append(made("circle", { cx: x(node.step), cy: y, r: mark ? DOT + 2 : DOT, stroke: lane.colour }));
    return group;
  }

  function draw() {
    const tree = model.get("tree"), chosen = model.get("chosen");
    const width = Math.max(root.clientWidth, 240), height = TOP + LANE * Math.max(tree.lanes.length, 1) + BOTTOM - 18;
    const active = root.getRootNode().activeElement;
    const before = root.contains(active) ? [active.getAttribute("data-run"), active.getAttribute("data-step")] : null;
    const x = (step) => LEFT + ((width - LEFT - RIGHT) * step) / tree.last, y = (place) => TOP + LANE * place + 8;
    const svg = made("svg", { width, height, role: "group", "aria-label": "map of the forks; thickness is held-out accuracy" });
    tree.lanes.forEach((lane, place) => {
      const body = made("g", { class: "lane" }); // see-through as a whole, so that nothing shows where its parts meet
      if (lane.parent !== null) body.append(edge(tree, lane, x, y(place), y(lane.parent)));
      body.append(ribbon(tree, lane, x, y(place)), ...gone(tree, place, x, y(place)));
      svg.append(body);
      const end = x(lane.start) > width * 0.6;
      const label = made("text", { class: lane.focus ? "focus" : "", x: x(lane.start) + (end ? -10 : 8), y: y(place) - 13, "text-anchor": end ? "end" : "start" }, lane.name);
      if (lane.edge) label.append(made("tspan", { class: "change", dx: 8 }, lane.edge));
      if (lane.focus) label.append(made("tspan", { class: "change", dx: 8 }, "in focus"));
      svg.append(label);
      const last = lane.nodes.at(-1);
      if (last) svg.append(made("text", { class: "end", x: Math.min(x(last.step), width - RIGHT), y: y(place) + 24, "text-anchor": "end" }, percent(last.accuracy)));
    });
    tree.lanes.forEach((lane, place) => lane.nodes.forEach((node) => svg.append(nodeOf(lane, place, node, x, y(place), chosen))));
    svg.append(made("text", { class: "end", x: LEFT, y: height - 4 }, "step 0"));
    svg.append(made("text", { class: "end", x: width - RIGHT, y: height - 4, "text-anchor": "end" }, `step ${tree.last}`));
    root.replaceChildren(svg);
    const nodes = [...root.querySelectorAll(".node")];
    const again = before && nodes.find((n) => n.dataset.run === before[0] && n.dataset.step === before[1]);
    (again ?? root.querySelector(".node.chosen") ?? nodes[0])?.setAttribute("tabindex", "0");
    again?.focus({ preventScroll: true }); // the page stays where it is
  }

  function choose(node) {
    model.set("chosen", { run: Number(node.dataset.run), step: Number(node.dataset.step) });
    model.save_changes();
  }
  function focusOn(node) {
    if (!node) return;
    root.querySelectorAll(".node").forEach((other) => other.setAttribute("tabindex", "-1"));
    node.setAttribute("tabindex", "0");
    node.focus();
  }
  // Along the lane, or to the nearest node of the lane above or below.
  function neighbour(node, key) {
    const run = Number(node.dataset.run), step = Number(node.dataset.step), nodes = [...root.querySelectorAll(".node")];
    const lane = nodes.filter((other) => Number(other.dataset.run) === run), place = lane.indexOf(node);
    const near = (to) => nodes.filter((other) => Number(other.dataset.run) === to)
      .sort((a, b) => Math.abs(a.dataset.step - step) - Math.abs(b.dataset.step - step))[0];
    return { ArrowRight: () => lane[place + 1], ArrowLeft: () => lane[place - 1], ArrowDown: () => near(run + 1), ArrowUp: () => near(run - 1),
      Home: () => lane[0], End: () => lane.at(-1) }[key]?.();
  }
  root.addEventListener("keydown", (event) => {
    const node = event.target.closest?.(".node");
    if (!node || event.ctrlKey || event.metaKey || event.altKey) return;
    const chooses = event.key === "Enter" || event.key === " ";
    if (!chooses && !/^(Arrow|Home|End)/.test(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    if (chooses) choose(node); else focusOn(neighbour(node, event.key));
  });
  root.addEventListener("click", (event) => { const node = event.target.closest(".node"); if (node) { focusOn(node); choose(node); } });

  const drawing = redrawing(model, root, ["tree", "chosen"], draw);
  draw();
  return drawing.stop;
}
export default { render };
