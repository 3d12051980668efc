// Draws every figure of the page in the reader's theme, and in ink on white for paper.
(() => {
  "use strict";
  const themes = {
    light: { ink: "#22252a", rule: "#dfe2e6", line: "#8a8f98", paper: "#ffffff", solidity: 1 },
    dark: { ink: "#e6e4df", rule: "#33373d", line: "#7b818a", paper: "#1c1f23", solidity: 1.5 },
  };
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)");
  const config = { displayModeBar: false, responsive: true, displaylogo: false };

  function themed(layout, theme, width) {
    layout.font.color = theme.ink;
    layout.hoverlabel = { bgcolor: theme.paper, bordercolor: theme.line, font: { color: theme.ink } };
    for (const name of Object.keys(layout).filter((key) => /^[xy]axis/.test(key))) {
      Object.assign(layout[name], { gridcolor: theme.rule, linecolor: theme.line, tickcolor: theme.line });
    }
    if (touch.matches) layout.dragmode = false; // a finger on a figure scrolls the page
    if (width) Object.assign(layout, { width, autosize: false });
    return layout;
  }

  function draw(theme, width) {
    for (const place of document.querySelectorAll(".plotly-graph-div")) {
      // Plotly changes what it is given, so each drawing reads its data anew.
      const figure = JSON.parse(document.getElementById(place.dataset.figure).textContent);
      for (const trace of figure.data) {
        if (trace.textfont) trace.textfont.color = theme.ink;
        // What is half transparent would be too faint on a dark page.
        for (const part of [trace, trace.marker || {}]) {
          if (typeof part.opacity === "number") part.opacity = Math.min(1, part.opacity * theme.solidity);
        }
      }
      Plotly.react(place, figure.data, themed(figure.layout, theme, width), config);
    }
  }

  const drawForScreen = () => draw(prefersDark.matches ? themes.dark : themes.light);
  drawForScreen();
  prefersDark.addEventListener("change", drawForScreen);
  addEventListener("beforeprint", () => draw(themes.light, 660));
  addEventListener("afterprint", drawForScreen);
})();
