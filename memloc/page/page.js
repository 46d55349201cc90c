// Headings of sortable tables become buttons: from the highest, from the lowest, and back to the order of the page.
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

// Controls with data-filter hide rows of the table that they name: by a key of the rows, or by words that rows contain.
for (const table of document.querySelectorAll("table[id]")) {
  const controls = [...document.querySelectorAll("[data-filter]")].filter(control => control.dataset.filter === table.id);
  const said = [...document.querySelectorAll("[data-count]")].filter(output => output.dataset.count === table.id);
  const rows = [...table.tBodies[0].rows], texts = rows.map(row => row.textContent.toLowerCase());
  const fits = (control, row, i) => control.dataset.key
    ? !control.value || row.dataset[control.dataset.key] === control.value
    : control.value.toLowerCase().split(/\s+/).every(word => texts[i].includes(word));
  const filter = () => {
    rows.forEach((row, i) => { row.hidden = !controls.every(control => fits(control, row, i)); });
    const left = rows.filter(row => !row.hidden).length;
    for (const output of said) output.textContent = left === rows.length ? `${left}` : `${left} of ${rows.length}`;
  };
  for (const control of controls) control.addEventListener("input", filter);
  if (controls.length) filter(); // A browser may keep what was typed before.
}

// The contents mark the section that is read.
const links = new Map([...document.querySelectorAll("nav.contents a")].map(link => [link.hash.slice(1), link]));
const sections = [...links.keys()].map(id => document.getElementById(id)).filter(Boolean);
if (sections.length) {
  const mark = () => {
    const above = sections.filter(section => section.getBoundingClientRect().top < innerHeight / 3);
    const now = links.get((above.at(-1) ?? sections[0]).id);
    for (const link of links.values()) link.toggleAttribute("aria-current", link === now);
  };
  addEventListener("scroll", mark, { passive: true });
  mark();
}
