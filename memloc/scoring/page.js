// Headings of sortable tables become buttons: from the highest, from the lowest, and back to the order of depth.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { descending: "ascending", ascending: "" }, order = next[head.getAttribute("aria-sort")] ?? "descending";
      for (const other of heads) other.removeAttribute("aria-sort");
      if (order) head.setAttribute("aria-sort", order);
      table.classList.toggle("sorted", Boolean(order));
      const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const missing = row => value(row) === "", numbers = rows.every(row => !isNaN(value(row)));
      const compare = (a, b) => (numbers ? value(a) - value(b) : value(a).localeCompare(value(b), "en", { numeric: true }));
      const sign = order === "ascending" ? 1 : -1;
      const sorted = (a, b) => missing(a) - missing(b) || (missing(a) ? 0 : sign * compare(a, b));
      body.append(...(order ? [...rows].sort(sorted) : rows));
    });
  });
}
