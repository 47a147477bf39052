// One crosshair through all charts of a dashboard, and the texts of the marks under it.
const NEAR = 6; // pixels from a mark at which its text shows

function shortNumber(value, template = "") {
  return template.includes("%}") ? `${(100 * value).toFixed(1)}%` : String(Number(value.toPrecision(4)));
}

// What a line says at a step; of a thinned out line the nearest point counts when it is near.
function readingAt(trace, step) {
  const { x, y } = trace;
  let best = -1;
  for (let i = 0; i < x.length; i++) if (Number.isFinite(y[i]) && (best < 0 || Math.abs(x[i] - step) < Math.abs(x[best] - step))) best = i;
  const reach = Math.max(0.5, (x[x.length - 1] - x[0]) / 200);
  return best >= 0 && Math.abs(x[best] - step) <= reach ? shortNumber(y[best], trace.hovertemplate) : "";
}

function makeCrosshair(div, plot) {
  const line = document.createElement("div"), reading = document.createElement("div"), mark = document.createElement("div");
  line.className = "wb-cross";
  reading.className = "wb-cross-reading";
  mark.className = "wb-cross-mark";
  for (const part of [line, reading, mark]) {
    part.hidden = true;
    part.setAttribute("aria-hidden", "true");
    div.appendChild(part);
  }
  let at = null, pointed = false, traces = [], shapes = [];
  const axes = () => plot._fullLayout?.xaxis && plot._fullLayout;

  function stepUnder(clientX) {
    const layout = axes();
    if (!layout) return null;
    const { _offset, _length } = layout.xaxis, along = clientX - plot.getBoundingClientRect().left - _offset;
    return along < -NEAR || along > _length + NEAR ? null : Math.round(layout.xaxis.p2d(along));
  }
  // Beside the line, on the side where there is room.
  function putBeside(element, left, top, from, to) {
    element.style.top = `${top}px`;
    const wide = element.offsetWidth, right = left + wide + 8 > to;
    element.style.left = `${Math.max(from, right ? left - wide - 4 : left + 4)}px`;
  }
  function place() {
    const layout = axes(), here = layout && at !== null ? layout.xaxis.d2p(at) : NaN;
    const isIn = here >= -1 && here <= layout?.xaxis._length + 1;
    line.hidden = !isIn;
    reading.hidden = mark.hidden = true;
    if (!isIn) return;
    const { _offset: x0, _length: wide } = layout.xaxis, top = plot.offsetTop + layout._size.t, high = layout._size.h;
    Object.assign(line.style, { left: `${x0 + here}px`, top: `${top}px`, height: `${high}px` });
    const first = traces.find((trace) => trace.visible !== false && trace.hoverinfo !== "skip" && trace.x?.length);
    const said = !pointed && first ? readingAt(first, at) : "";
    if (said) {
      reading.textContent = said;
      reading.hidden = false;
      putBeside(reading, x0 + here, top, x0, x0 + wide);
    }
    const near = pointed && shapes.filter((shape) => shape.name && Math.abs(layout.xaxis.d2p(shape.x0) - here) <= NEAR);
    if (near?.length) {
      mark.textContent = near.map((shape) => plainText(shape.name)).join("\n");
      mark.hidden = false;
      putBeside(mark, x0 + here, top + high - mark.offsetHeight - 2, x0, x0 + wide);
    }
  }
  return {
    stepUnder,
    show(step, isPointed) { at = step; pointed = isPointed; place(); },
    drawn(newTraces, newShapes) { traces = newTraces; shapes = newShapes ?? []; place(); },
  };
}
