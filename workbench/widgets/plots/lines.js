// What is drawn of a figure's numbers: the part inside a zoom, smoothed lines, without what a person hid. Pure.

// A run has one name in every chart; a line of a run alone is known by its chart, too.
const keyOf = (trace, title) => trace.legendgroup ? plainText(trace.legendgroup) : `${plainText(title)}: ${plainText(trace.name)}`;

// The moving average with weight s ** distance, which for steps one apart is TensorBoard's with its bias taken out.
function smoothedLine(x, y, s) {
  const out = new Float32Array(y.length).fill(NaN);
  let sum = 0, weight = 0, before = null;
  for (let i = 0; i < y.length; i++) {
    if (!Number.isFinite(y[i])) continue;
    const decay = before === null ? 0 : s ** (x[i] - before);
    sum = sum * decay + y[i];
    weight = weight * decay + 1;
    before = x[i];
    out[i] = sum / weight;
  }
  return out;
}

// Which points a zoom shows: those inside, and on either side the one that a line comes from or goes to.
function insideOf(x, [low, high]) {
  const isIn = (i) => x[i] >= low && x[i] <= high, kept = [];
  const crosses = (i, j) => (x[i] < low && x[j] > high) || (x[j] < low && x[i] > high);
  for (let i = 0; i < x.length; i++) {
    if (Number.isNaN(x[i]) || isIn(i) || isIn(i - 1) || isIn(i + 1) || crosses(i, i + 1) || crosses(i, i - 1)) kept.push(i);
  }
  return kept;
}

function cutTrace(trace, zoom) {
  if (!zoom.length || !trace.x) return trace;
  const kept = insideOf(trace.x, zoom), part = (values) => Float32Array.from(kept, (i) => values[i]);
  const out = { ...trace, x: part(trace.x), y: part(trace.y) };
  if (trace.error_y) out.error_y = { ...trace.error_y, array: part(trace.error_y.array), arrayminus: part(trace.error_y.arrayminus) };
  return out;
}

// Each line that may be smoothed stays, pale, below its average; both before the cut, so that a zoom changes no value.
function preparedTraces(traces, title, { smoothing, zoom, hidden }) {
  const out = [];
  for (const trace of traces) {
    const shown = hidden.includes(keyOf(trace, title)) ? { ...trace, visible: false } : trace;
    if (!(smoothing > 0) || !trace.meta?.smooth) { out.push(cutTrace(shown, zoom)); continue; }
    const average = { ...shown, y: smoothedLine(trace.x, trace.y, smoothing), mode: "lines", hoverinfo: "skip", showlegend: false,
      line: { ...trace.line, width: Math.max(2, trace.line.width) }, meta: { ...trace.meta, average: true } };
    delete average.hovertemplate;
    out.push(cutTrace({ ...shown, mode: "lines", opacity: 0.25 }, zoom), cutTrace(average, zoom));
  }
  return out;
}
