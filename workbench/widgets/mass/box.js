// The mass of a group: a bar for each distinct completion, carried by a slider from before the step through its updates.
// Where motion is unwelcome: two columns, before and after, with connectors. Text from the model is only ever set as text.
const SVG = "http://www.w3.org/2000/svg", UP = "#0072B2", DOWN = "#D55E00";

function made(tag, css, text) {
  const element = document.createElement(tag);
  element.className = css;
  if (text !== undefined) element.textContent = text;
  return element;
}
function figure(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "none";
  if (value === 0) return "0";
  const short = Number(value.toPrecision(3));
  return (Math.abs(short) < 1e-3 ? short.toExponential() : String(short)).replaceAll("-", "−");
}
const signed = (value) => (value > 0 ? "+" : "") + figure(value);
const way = (now, was) => (Math.abs(now - was) <= 1e-6 * Math.max(now, was) ? "same" : now > was ? "up" : "down");

function render({ model, el }) {
  wbArrived(model);
  const root = made("div", "wb wb-mass");
  el.appendChild(root);
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  let serial = model.get("picked")[1], playing = null, columns = still.matches, log = null;

  const page = () => model.get("page");
  const last = () => page().bars[0].p.length - 1;
  function stop() {
    clearInterval(playing);
    playing = null;
  }
  // Very small probabilities of long texts would all be bars of no length.
  const isLog = () => log ?? Math.max(...page().bars.flatMap((bar) => bar.p)) < 1e-3;
  function scale() {
    const all = page().bars.flatMap((bar) => [...bar.p, ...bar.wall.filter((wall) => wall !== null)]).filter((p) => p > 0);
    const top = Math.max(...all, 1e-300), floor = Math.min(...all, top) / 10;
    if (!isLog()) return (p) => Math.max(0, p) / top;
    return (p) => (p <= floor ? 0 : (Math.log(p) - Math.log(floor)) / (Math.log(top) - Math.log(floor)));
  }
  function words(at) {
    const of = last();
    if (at === 0) return `before the step`;
    return at === of ? `after update ${at} of ${of}: the step's end` : `after update ${at} of ${of}`;
  }
  function pick(rows) {
    serial += 1;
    model.set("picked", [rows[0], serial]);
    model.save_changes();
  }
  function go(at) {
    model.set("at", at);
    model.save_changes();
    place();
  }
  function play() {
    if (playing) return stop(), heads();
    go(model.get("at") >= last() ? 0 : model.get("at"));
    playing = setInterval(() => {
      if (model.get("at") >= last()) { stop(); heads(); } else go(model.get("at") + 1);
    }, 700);
    heads();
  }
  function heads() {
    const button = root.querySelector(".wb-play");
    if (button) button.textContent = playing ? "❚❚" : "▶";
    button?.setAttribute("aria-label", playing ? "pause" : "play the updates");
  }
  function button(css, text, name, act) {
    const one = made("button", css, text);
    one.type = "button";
    one.setAttribute("aria-label", name);
    one.title = name;
    one.addEventListener("click", act);
    return one;
  }

  function draw() {
    stop();
    root.replaceChildren();
    if (!page().bars.length) return;
    const head = made("div", "wb-mass-head");
    if (!columns) {
      const slider = made("input", "wb-scrub");
      Object.assign(slider, { type: "range", min: 0, max: last(), step: 1, value: model.get("at") });
      slider.setAttribute("aria-label", "update of the step");
      slider.addEventListener("input", () => { stop(); heads(); go(Number(slider.value)); });
      head.append(button("wb-play", "▶", "play the updates", play), slider, made("b", "wb-where"));
    } else head.append(made("b", "", "before the step → after it"));
    head.append(
      button("", columns ? "bars" : "columns", columns ? "show bars with a slider" : "show two columns, before and after", () => { columns = !columns; draw(); }),
      button("", isLog() ? "linear axis" : "log axis", "change the axis", () => { log = !isLog(); draw(); }),
    );
    root.append(head, columns ? twoColumns() : bars());
    const wall = page().clips ? " ‖ε: the clip range stops tokens of this completion here; what lies beyond came from other tokens and from momentum." : " This loss has no clip range.";
    root.append(made("div", "wb-mass-key", `Dashed: before the step. Solid: now, blue above it, orange with stripes below.${wall}`));
    place();
  }
  function bars() {
    const body = made("div", "wb-mass-body");
    for (const bar of page().bars) {
      const row = made("div", "wb-mass-row");
      row.dataset.row = bar.rows[0];
      row.dataset.rows = bar.rows.join(" ");
      const times = bar.rows.length > 1 ? `×${bar.rows.length} ` : "";
      const text = made("button", "wb-mass-text", times + (bar.text || "empty"));
      text.type = "button";
      text.title = `row ${bar.rows.join(", ")}: open its tokens`;
      const track = made("div", "wb-track");
      track.append(made("span", "wb-now"), made("span", "wb-was"), made("span", "wb-wall"));
      row.append(text, made("span", "wb-mass-a", bar.advantage === null ? "A none" : `A ${signed(bar.advantage)}`), track, made("span", "wb-p"));
      row.addEventListener("click", () => pick(bar.rows));
      body.append(row);
    }
    const rest = made("div", "wb-mass-row wb-rest");
    rest.append(made("span", "", "every other text"), made("span"), made("span"), made("span", "wb-p"));
    body.append(rest);
    return body;
  }
  function place() {
    if (!page().bars.length || columns) return;
    const at = Math.min(model.get("at"), last()), of = scale(), rows = [...root.querySelectorAll(".wb-mass-row")];
    root.querySelector(".wb-where").textContent = words(at);
    root.querySelector(".wb-scrub").value = at;
    root.querySelector(".wb-scrub").setAttribute("aria-valuetext", words(at));
    page().bars.forEach((bar, i) => {
      const [was, now, wall] = [bar.p[0], bar.p[at], bar.wall[at]], find = (css) => rows[i].querySelector(css);
      find(".wb-now").style.width = `${100 * of(now)}%`;
      find(".wb-now").className = `wb-now wb-${way(now, was)}-now`;
      find(".wb-was").style.width = `${100 * of(was)}%`;
      find(".wb-wall").style.display = wall === null ? "none" : "";
      find(".wb-wall").style.left = `${100 * of(wall ?? 0)}%`;
      find(".wb-wall").title = wall === null ? "" : `${bar.clipped[at]} of ${bar.tokens} tokens are beyond the clip range`;
      const stopped = wall === null ? "" : ` · ε ${bar.clipped[at]}/${bar.tokens}`;
      find(".wb-p").textContent = `${figure(was)} → ${figure(now)}${stopped}`;
    });
    rows.at(-1).querySelector(".wb-p").textContent = `${figure(page().rest[0])} → ${figure(page().rest[at])}`;
  }
  function svg(tag, set, text) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(set)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    return element;
  }
  // Labels of one column, apart enough to be read.
  function spread(heights, gap, bottom) {
    const order = heights.map((_, i) => i).sort((a, b) => heights[a] - heights[b]), at = [...heights];
    order.forEach((i, place) => { if (place) at[i] = Math.max(at[i], at[order[place - 1]] + gap); });
    const over = Math.max(0, (at[order.at(-1)] ?? 0) - bottom);
    return at.map((y) => y - over);
  }
  function twoColumns() {
    const { bars: all } = page(), of = scale(), end = last();
    const tall = Math.max(120, 22 * all.length + 40), top = 24, bottom = tall - 12;
    const y = (p) => bottom - of(p) * (bottom - top);
    const picture = svg("svg", { viewBox: `0 0 760 ${tall}`, role: "img", "aria-label": "probability of each completion before and after the step" });
    picture.append(svg("text", { x: 80, y: 12, "text-anchor": "end" }, "before"), svg("text", { x: 272, y: 12 }, "after"));
    const left = spread(all.map((bar) => y(bar.p[0])), 15, bottom), right = spread(all.map((bar) => y(bar.p[end])), 15, bottom);
    all.forEach((bar, i) => {
      const group = svg("g", { "data-row": bar.rows[0], "data-rows": bar.rows.join(" ") });
      const kind = way(bar.p[end], bar.p[0]), colour = kind === "up" ? UP : kind === "down" ? DOWN : "#808080";
      const line = svg("path", { d: `M86 ${y(bar.p[0])} L264 ${y(bar.p[end])}`, stroke: colour, "stroke-width": 2, fill: "none" });
      if (kind === "down") line.setAttribute("stroke-dasharray", "6 3");
      const times = bar.rows.length > 1 ? `×${bar.rows.length} ` : "";
      const wall = bar.wall[end] === null ? "" : ` ε ${bar.clipped[end]}/${bar.tokens}`;
      group.append(line, svg("circle", { cx: 86, cy: y(bar.p[0]), r: 3, fill: colour }), svg("circle", { cx: 264, cy: y(bar.p[end]), r: 3, fill: colour }),
        svg("text", { x: 78, y: left[i] + 4, "text-anchor": "end" }, figure(bar.p[0])),
        svg("text", { x: 272, y: right[i] + 4 }, `${figure(bar.p[end])}${wall}  ${times}${bar.text || "empty"}`));
      group.addEventListener("click", () => pick(bar.rows));
      picture.append(group);
    });
    return picture;
  }
  const motion = () => { columns = still.matches; draw(); };
  still.addEventListener("change", motion);
  followsThePointer(root);
  model.on("change:page", draw);
  model.on("change:at", place);
  draw();
  return () => {
    stop();
    still.removeEventListener("change", motion);
    model.off("change:page", draw);
    model.off("change:at", place);
  };
}
export default { render };
