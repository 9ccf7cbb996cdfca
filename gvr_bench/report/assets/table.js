/** Headings of tables as buttons that sort: best first, then the reverse, then as before. */

function valueOf(cell) {
  if ("value" in cell.dataset) return Number(cell.dataset.value);
  return cell.matches("th") ? cell.textContent.trim() : null;
}

/** Rows in the order of one column; those without a value come last. */
function sorted(rows, index, direction) {
  const sign = direction === "ascending" ? 1 : -1;
  const keyed = rows.map((row) => ({ row, key: valueOf(row.cells[index]) }));
  keyed.sort((a, b) => {
    if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
    return sign * (typeof a.key === "number" ? a.key - b.key : a.key.localeCompare(b.key));
  });
  return keyed.map(({ row }) => row);
}

function nextDirection(head) {
  const first = ["down", undefined].includes(head.dataset.better) ? "ascending" : "descending";
  const second = first === "ascending" ? "descending" : "ascending";
  const now = head.getAttribute("aria-sort");
  return now === first ? second : now === second ? null : first;
}

function makeSortable(table) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, index) => {
    const title = head.querySelector(".title");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.textContent = title.textContent;
    button.addEventListener("click", () => {
      const direction = nextDirection(head);
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (direction) head.setAttribute("aria-sort", direction);
      table.classList.toggle("sorted", Boolean(direction));
      body.append(...(direction ? sorted(original, index, direction) : original));
    });
    title.replaceChildren(button);
  });
}

document.querySelectorAll("[data-sortable]").forEach(makeSortable);
