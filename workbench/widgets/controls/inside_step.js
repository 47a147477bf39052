// Inside a step: its phases, the one in hand marked, and the end of the newest completion. All of it is text.
function render({ model, el }) {
  wbArrived(model);
  const root = document.createElement("div"), list = document.createElement("ol");
  const speed = document.createElement("span"), newest = document.createElement("span"), end = document.createElement("bdi");
  root.className = "wb wb-inside";
  list.className = "wb-phases";
  list.setAttribute("aria-label", "phases of a step");
  speed.className = "wb-inside-speed";
  newest.className = "wb-newest";
  // It changes several times a second: whoever wants to hear it goes there.
  newest.setAttribute("role", "note");
  newest.setAttribute("aria-label", "newest completion");
  newest.appendChild(end);
  root.append(list, speed, newest);
  el.appendChild(root);

  function put(element, text) { if (element.textContent !== text) element.textContent = text; }
  function placeOf(name) {
    const known = [...list.children].find((item) => item.dataset.phase === name);
    if (known) return known;
    const item = document.createElement("li");
    item.dataset.phase = name;
    item.append(document.createElement("span"));
    return list.appendChild(item);
  }
  function draw() {
    const names = model.get("names"), phase = model.get("phase"), seconds = model.get("seconds"), [done, wanted] = model.get("counted");
    const shown = phase && !(phase in names) ? { ...names, [phase]: phase } : names;
    for (const [name, words] of Object.entries(shown)) {
      const item = placeOf(name), now = name === phase;
      const took = now && wanted ? `${done} of ${wanted}` : now ? "" : seconds[name] ?? "";
      put(item.firstChild, took ? `${words} ${took}` : words);
      // The room that it takes at most: what stands behind it keeps its place.
      item.dataset.widest = [`${words} ${seconds[name] ?? ""}`, wanted && name === "rollout" ? `${words} ${wanted} of ${wanted}` : item.dataset.widest ?? ""]
        .reduce((a, b) => (b.length > a.length ? b : a));
      item.title = seconds[name] ? `${words}: ${seconds[name]} in the last step` : words;
      if (now) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    }
    for (const item of [...list.children]) if (!(item.dataset.phase in shown)) item.remove();
    put(speed, model.get("speed"));
    speed.title = model.get("about");
    put(end, model.get("newest"));
    newest.title = model.get("newest");
    newest.classList.toggle("wb-newest-cut", end.offsetWidth > newest.clientWidth);
  }

  // While no page shows it, the kernel need not send what is in hand.
  const sight = { here: false };
  const views = wbPage.views.get(model.model_id) ?? wbPage.views.set(model.model_id, new Set()).get(model.model_id);
  views.add(sight);
  function tell() {
    const seen = document.visibilityState === "visible" && [...views].some((each) => each.here);
    if (model.get("seen") === seen) return;
    model.set("seen", seen);
    model.save_changes();
  }
  // Another page of the same notebook may have looked away.
  const answer = () => { if (!model.get("seen") && sight.here) tell(); };
  const watch = new IntersectionObserver((entries) => {
    sight.here = entries.at(-1).isIntersecting;
    tell();
  });
  watch.observe(root);
  document.addEventListener("visibilitychange", tell);

  const traits = ["phase", "counted", "seconds", "speed", "about", "newest"].map((name) => `change:${name}`);
  for (const name of traits) model.on(name, draw);
  model.on("change:seen", answer);
  draw();
  return () => {
    watch.disconnect();
    views.delete(sight);
    document.removeEventListener("visibilitychange", tell);
    for (const name of traits) model.off(name, draw);
    model.off("change:seen", answer);
    tell();
  };
}
export default { render };
