const chooser = document.getElementById("step");
const show = () => document.querySelectorAll(".step").forEach((e) => { e.hidden = e.dataset.step !== chooser.value; });
if (chooser) { chooser.addEventListener("input", show); show(); }
document.querySelectorAll(".js-plotly-plot").forEach((plot) => Plotly.Plots.resize(plot)); // each was drawn before the grid was whole
