// Draws again when the model changes or the element gets another size, once a frame at most, until the view goes. Other
// scripts begin with this one.
function redrawing(model, root, names, draw) {
  let dead = false, frame = 0;
  const now = () => { frame = 0; if (!dead) draw(); };
  const schedule = () => { if (!frame && !dead) frame = requestAnimationFrame(now); };
  const events = names.map((name) => "change:" + name);
  events.forEach((event) => model.on(event, schedule));
  const resized = new ResizeObserver(schedule);
  resized.observe(root);
  const stop = () => {
    dead = true;
    if (frame) cancelAnimationFrame(frame);
    resized.disconnect();
    events.forEach((event) => model.off(event, schedule));
  };
  return { schedule, stop };
}
