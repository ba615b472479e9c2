// Figures are complete without this script. Where it runs, a figure that comes into view is replaced by the same figure
// with tooltips. Nothing is ever loaded: a specification that asks for a file is refused.
(() => {
  const specs = JSON.parse(document.getElementById("specifications").textContent);
  const refuse = async () => { throw new Error("this report loads nothing from elsewhere"); };
  const loader = { load: refuse, http: refuse, file: refuse, sanitize: refuse };
  const options = { actions: false, mode: "vega-lite", renderer: "svg", loader, tooltip: { theme: "custom" } };
  const enliven = async (canvas) => {
    const live = document.createElement("div");
    try {
      await vegaEmbed(live, specs[canvas.dataset.figure], options);
      canvas.replaceChildren(live);
    } catch (error) {
      console.warn("the static figure stays:", error);
    }
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      watcher.unobserve(entry.target);
      enliven(entry.target);
    }
  }, { rootMargin: "200px" });
  document.querySelectorAll("[data-figure]").forEach((canvas) => watcher.observe(canvas));
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
})();
