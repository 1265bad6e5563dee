"use strict";
(() => {
  const root = document.documentElement;
  const plots = Array.from(document.querySelectorAll(".plot"));
  const system = window.matchMedia("(prefers-color-scheme: dark)");

  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  // the figures leave text and grid to the page, so that one page serves light and dark
  function themed(layout) {
    const changes = { "font.color": colour("--ink"), "hoverlabel.bgcolor": colour("--card"),
      "hoverlabel.bordercolor": colour("--line"), "hoverlabel.font.color": colour("--ink") };
    for (const key of Object.keys(layout)) {
      if (!/^[xy]axis\d*$/.test(key)) continue;
      changes[key + ".gridcolor"] = colour("--grid");
      changes[key + ".linecolor"] = colour("--line");
      changes[key + ".tickcolor"] = colour("--line");
      changes[key + ".zerolinecolor"] = colour("--line");
    }
    return changes;
  }

  function setDeep(object, path, value) {
    const keys = path.split(".");
    const last = keys.pop();
    for (const key of keys) object = object[key] = object[key] || {};
    object[last] = value;
  }

  async function draw(plot) {
    const figure = JSON.parse(document.getElementById(plot.id + "-data").textContent);
    for (const [path, value] of Object.entries(themed(figure.layout))) setDeep(figure.layout, path, value);
    await Plotly.newPlot(plot, figure.data, figure.layout,
      { responsive: true, displaylogo: false, displayModeBar: false, scrollZoom: false, doubleClick: "reset" });
    plot.dataset.drawn = "yes";
  }

  for (const group of document.querySelectorAll(".choices")) {
    const buttons = Array.from(group.querySelectorAll("button"));
    const plot = document.getElementById(group.dataset.plot);
    for (const button of buttons) button.addEventListener("click", () => {
      const shown = button.dataset.traces.split(" ").map(Number);
      Plotly.restyle(plot, { visible: plot.data.map((_, i) => shown.includes(i)) });
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
    });
  }

  const recolour = () => plots.forEach((plot) => plot.dataset.drawn && Plotly.relayout(plot, themed(plot.layout)));
  system.addEventListener("change", recolour);
  document.querySelector(".theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
    root.dataset.theme = dark ? "light" : "dark";
    recolour();
  });

  Promise.all(plots.map((plot) => draw(plot).catch((error) => {
    plot.classList.add("failed");
    plot.textContent = "This figure could not be drawn: " + error.message;
    console.error(plot.id, error);
  }))).then(() => { root.dataset.drawn = String(plots.filter((plot) => plot.dataset.drawn).length); });
})();
