// Figures of executed notebooks in the colours of the page: they come in light ones and turn with the theme.
(() => {
  "use strict";
  const ink = "#e6e6e6", soft = "#9aa0a8", paper = () => getComputedStyle(document.body).backgroundColor;
  const text = { major_label_text_color: ink, title_text_color: ink };
  const dark = {
    Figure: () => ({ background_fill_color: paper(), border_fill_color: paper(), outline_line_color: "#4a5058" }),
    Grid: () => ({ grid_line_color: "#5a616a" }),
    Title: () => ({ text_color: ink }),
    Legend: () => ({ background_fill_color: paper(), label_text_color: ink, border_line_color: null }),
    ColorBar: () => ({ background_fill_color: paper(), ...text }),
    LinearAxis: () => axis, LogAxis: () => axis, CategoricalAxis: () => axis,
  };
  const axis = { axis_label_text_color: ink, major_label_text_color: ink, axis_line_color: soft, major_tick_line_color: soft };
  const black = ["line_color", "fill_color", "hatch_color", "text_color"]; // of what is drawn in black
  const light = new Map(); // what was there before, by model

  function wanted(model) {
    const found = dark[model.type]?.() ?? {};
    for (const name of black) {
      const value = model[name]?.value ?? model[name];
      if (["black", "#000000"].includes(value)) found[name] = ink;
    }
    return found;
  }

  function paint() {
    if (typeof Bokeh == "undefined") return;
    const night = document.documentElement.dataset.theme == "dark";
    const models = Bokeh.documents.flatMap(d => [...d._all_models.values()]);
    for (const model of models) {
      if (night && !light.has(model)) {
        const change = Object.fromEntries(
          Object.entries(wanted(model)).filter(([name]) => model[name] != null)); // null: not drawn
        light.set(model, Object.fromEntries(Object.keys(change).map(name => [name, model[name]])));
        model.setv(change);
      } else if (!night && light.has(model)) {
        model.setv(light.get(model));
        light.delete(model);
      }
    }
  }

  let soon = 0;
  const later = () => { clearTimeout(soon); soon = setTimeout(paint, 60); };
  new MutationObserver(later).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  // scripts draw figures one after the other once the page is there
  addEventListener("DOMContentLoaded", () => {
    new MutationObserver(later).observe(document.body, { childList: true, subtree: true });
    later();
  });
})();
