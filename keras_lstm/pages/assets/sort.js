// Tables that are sorted by the column whose name is clicked: by `data-value`
// where a cell has one, otherwise by its text. What has no value comes last.
"use strict";
(() => {
  const order = new Intl.Collator("en", { numeric: true });
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    const valueOf = (row, column) => {
      const cell = row.cells[column];
      if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
      const text = cell.textContent.trim();
      return text === "-" ? null : text;
    };
    const compare = (a, b) => (typeof a === "number" && typeof b === "number"
      ? a - b : order.compare(a, b));
    const sort = (column, sign) => {
      const rows = [...body.rows].map((row) => [valueOf(row, column), row]);
      rows.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        return sign * compare(a, b);
      });
      body.append(...rows.map(([, row]) => row));
      heads.forEach((head, k) => head.setAttribute("aria-sort",
        k !== column ? "none" : sign > 0 ? "ascending" : "descending"));
    };
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(column,
        head.getAttribute("aria-sort") === "ascending" ? -1 : 1));
      head.append(button);
      head.setAttribute("aria-sort", "none");
    });
  }
})();
