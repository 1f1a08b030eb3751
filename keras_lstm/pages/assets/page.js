// Search in tables and lists, and buttons that copy a command.
"use strict";
(() => {
  for (const list of document.querySelectorAll("[data-search]")) {
    const input = document.getElementById(list.dataset.search);
    const count = input.parentElement.querySelector("output");
    const rows = [...list.querySelectorAll("tbody tr, li")];
    // Made once: reading the text of a thousand rows takes a while.
    let texts = null;
    const search = () => {
      texts ??= rows.map((row) => {
        const alts = [...row.querySelectorAll("img")].map((x) => x.alt);
        return [row.textContent, ...alts].join(" ").toLowerCase();
      });
      const wanted = input.value.trim().toLowerCase();
      let found = 0;
      rows.forEach((row, i) => {
        row.hidden = !texts[i].includes(wanted);
        found += !row.hidden;
      });
      const all = rows.length.toLocaleString("en");
      count.textContent = wanted
        ? `${found.toLocaleString("en")} of ${all}` : "";
    };
    input.addEventListener("input", search);
    input.parentElement.hidden = false;
  }
  for (const button of document.querySelectorAll(".copy")) {
    // Where a page may not write to the clipboard, there is no button.
    if (!navigator.clipboard) continue;
    const text = button.parentElement.querySelector("pre").textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text);
      const label = button.firstChild;
      label.nodeValue = "Copied";
      setTimeout(() => { label.nodeValue = "Copy"; }, 1500);
    });
  }
})();
