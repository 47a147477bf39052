// The exported page: draws the charts in the colours of the page, light or dark, and shows the step that a reader chooses.
const charts = JSON.parse(document.getElementById("charts").textContent);
const CONFIG = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["sendChartToCloud"] };

const TOUCH = matchMedia("(pointer: coarse)").matches; // a finger that drags wants to scroll the page, not to zoom a chart

function themed(layout) {
  const style = getComputedStyle(document.body), root = getComputedStyle(document.documentElement);
  const ink = style.color, paper = style.backgroundColor, grid = root.getPropertyValue("--page-grid").trim();
  const axis = { gridcolor: grid, zerolinecolor: grid, linecolor: grid, tickcolor: grid, automargin: true };
  const out = { ...layout, ...(TOUCH ? { dragmode: false } : {}), autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { size: 13, family: style.fontFamily, ...layout.font, color: ink },
    hoverlabel: { bgcolor: paper, bordercolor: grid, font: { size: 13, color: ink }, ...layout.hoverlabel },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: grid, activecolor: ink } };
  delete out.width;
  delete out.height;
  for (const key of Object.keys(out)) if (/^[xy]axis/.test(key)) out[key] = { ...axis, ...out[key] };
  return out;
}
function draw() {
  document.querySelectorAll("[data-chart]").forEach((div) => {
    const chart = charts[Number(div.dataset.chart)];
    Plotly.react(div, chart.data, themed(chart.layout), CONFIG);
  });
}
draw();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

const chooser = document.getElementById("step");
const show = () => document.querySelectorAll(".step").forEach((e) => { e.hidden = e.dataset.step !== chooser.value; });
if (chooser) { chooser.addEventListener("input", show); show(); }
