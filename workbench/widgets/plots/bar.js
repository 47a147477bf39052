// The tools of charts that share their steps: how much their lines are smoothed, and the way out of a zoom.
function makeBar(root, put) {
  const bar = document.createElement("div"), label = document.createElement("label"), value = document.createElement("output");
  const input = document.createElement("input"), reset = document.createElement("button");
  bar.className = "wb-plots-bar";
  Object.assign(input, { type: "range", min: 0, max: 0.99, step: 0.01 });
  input.title = "Moving average: the weight of a step in the next one. The steps themselves stay, pale";
  label.append("smoothing", input);
  Object.assign(reset, { type: "button", className: "wb-tag" });
  bar.append(reset, label, value);
  root.prepend(bar);
  input.addEventListener("input", () => put("smoothing", Number(input.value)));
  reset.addEventListener("click", () => put("zoom", []));

  function draw(isLinked, hasLines, smoothing, zoom) {
    bar.hidden = !isLinked || !(hasLines || zoom.length);
    label.hidden = value.hidden = !hasLines;
    if (document.activeElement !== input || Number(input.value) !== smoothing) input.value = smoothing;
    value.textContent = smoothing ? smoothing.toFixed(2) : "off";
    reset.hidden = !zoom.length;
    if (!zoom.length) return;
    const steps = [Math.ceil(zoom[0]), Math.floor(zoom[1])].join(" to ");
    reset.textContent = `steps ${steps} ✕`;
    reset.setAttribute("aria-label", `Zoomed to steps ${steps}. Show all steps`);
  }
  return { draw };
}
