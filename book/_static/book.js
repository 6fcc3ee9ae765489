// From disk a browser may not read other pages, so results of a search come without excerpts.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

document.addEventListener("DOMContentLoaded", () => {
  // Entries of the bibliography are items of a list; Sphinx still writes a role that was withdrawn.
  document.querySelectorAll("[role=doc-biblioentry]").forEach((entry) => entry.setAttribute("role", "listitem"));
  // The theme's toggles in the list of pages have no name.
  document.querySelectorAll("nav li.has-children").forEach((item) => {
    item.querySelector("summary")?.setAttribute("aria-label", `Pages of ${item.querySelector("a").textContent}`);
  });
  document.querySelectorAll("table.sortable").forEach(sortable);
});

// Give each heading of a table a button that sorts the rows by the first number in that column, else by its text.
function sortable(table) {
  table.querySelectorAll("thead th").forEach((heading, column) => {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const upwards = heading.getAttribute("aria-sort") === "descending";
      table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", upwards ? "ascending" : "descending");
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort((a, b) => compare(a.cells[column], b.cells[column]) * (upwards ? 1 : -1)));
    });
  });
}

// Empty cells count as less than any number.
function compare(a, b) {
  const [x, y] = [a, b].map((cell) => parseFloat(cell.textContent));
  return isNaN(x) && isNaN(y) && a.textContent.trim() && b.textContent.trim()
    ? a.textContent.localeCompare(b.textContent)
    : (isNaN(x) ? -Infinity : x) - (isNaN(y) ? -Infinity : y) || 0;
}
