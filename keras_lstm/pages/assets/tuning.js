// Parallel coordinates: lines of chosen values, and the line of a table's row.
"use strict";
(() => {
  const choices = document.getElementById("parallel-choices");
  if (!choices) return;
  const selects = [...choices.querySelectorAll("select")];
  const lines = [...document.querySelectorAll("#parallel-lines polyline")];
  const rows = [...document.querySelectorAll("#trials-table tbody tr")];
  const said = document.getElementById("parallel-said");
  const count = (number) => number.toLocaleString("en");
  const choose = () => {
    let shown = 0;
    for (const line of lines) {
      const isShown = selects.every((select) => !select.value
        || line.getAttribute(`data-${select.dataset.option.replaceAll("_", "-")}`)
          === select.value);
      line.classList.toggle("faded", !isShown);
      shown += isShown;
    }
    // The best is the last line.
    const best = lines.findLast((line) => !line.classList.contains("faded"));
    said.textContent = shown === lines.length ? "" : `${count(shown)} of `
      + `${count(lines.length)}${best ? `, best: trial ${best.dataset.trial}` : ""}`;
  };
  const mark = (name) => {
    for (const each of [...lines, ...rows]) {
      each.classList.toggle("marked", each.dataset.trial === name);
    }
  };
  for (const each of [...lines, ...rows]) {
    each.addEventListener("pointerenter", () => mark(each.dataset.trial));
    each.addEventListener("pointerleave", () => mark(null));
    each.addEventListener("focusin", () => mark(each.dataset.trial));
    each.addEventListener("focusout", () => mark(null));
  }
  for (const select of selects) select.addEventListener("change", choose);
  choices.hidden = false;
})();
