/** A value of a cell to sort by: a number, a name, or null where there is none. */
function valueOf(cell) {
  if ("value" in cell.dataset) {
    return Number(cell.dataset.value);
  }
  return cell.matches("th") ? cell.textContent.trim() : null;
}

/** Rows in the order of one column, equal ones as they were; what has no value comes last. */
function sorted(rows, index, way) {
  const sign = way === "ascending" ? 1 : -1;
  const keyed = rows.map((row) => ({ row, key: valueOf(row.cells[index]) }));
  keyed.sort((a, b) => {
    if (a.key === null || b.key === null) {
      return (a.key === null) - (b.key === null);
    }
    return sign * (typeof a.key === "number" ? a.key - b.key : a.key.localeCompare(b.key));
  });
  return keyed.map(({ row }) => row);
}

/** Best first, then the other way round, then as it was. */
function nextWay(head) {
  const first = ["down", undefined].includes(head.dataset.better) ? "ascending" : "descending";
  const second = first === "ascending" ? "descending" : "ascending";
  const now = head.getAttribute("aria-sort");
  return now === first ? second : now === second ? null : first;
}

/** Make the headings of a table buttons that sort its rows; `tell` hears what was done. */
function makeSortable(table, tell) {
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
      const way = nextWay(head);
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (way) {
        head.setAttribute("aria-sort", way);
      }
      table.classList.toggle("sorted", Boolean(way));
      body.append(...(way ? sorted(original, index, way) : original));
      tell(way ? `Sorted by ${button.textContent}, ${way}.` : "In the original order.");
    });
    title.replaceWith(button);
  });
}

/** Show the rows of a board that match its filter, and say how many explainers do. */
function filterRows(board, told) {
  const wanted = board.querySelector(".filter input").value.trim().toLowerCase();
  const kind = board.querySelector(".kinds input:checked")?.value || "";
  const names = new Map();
  for (const row of board.querySelectorAll(".block tbody tr")) {
    const { name, kind: its } = row.dataset;
    const fits = name.toLowerCase().includes(wanted) && (!kind || its === kind);
    row.hidden = !fits;
    names.set(name, fits);
  }
  const shown = [...names.values()].filter(Boolean).length;
  told.textContent = `${shown} of ${names.size} explainers`;
  foldBlocks(board);
}

/** Hide the columns of a board whose boxes are not ticked. */
function hideColumns(board) {
  const off = [...board.querySelectorAll(".columns input:not(:checked)")].map((box) => box.value);
  for (const table of board.querySelectorAll("table.scores")) {
    [...table.tHead.rows[0].cells].forEach((head, index) => {
      if (head.dataset.metric !== undefined) {
        const gone = off.includes(head.dataset.metric);
        [...table.rows].forEach((row) => (row.cells[index].hidden = gone));
      }
    });
  }
  foldBlocks(board);
}

/** Hide the blocks of a board that have no row or no score left. */
function foldBlocks(board) {
  for (const block of board.querySelectorAll(".block")) {
    const rows = [...block.querySelectorAll("tbody tr")].some((row) => !row.hidden);
    const scores = [...block.querySelectorAll("thead [data-metric]")].some((head) => !head.hidden);
    block.hidden = !(rows && scores);
  }
}

for (const board of document.querySelectorAll("[data-sortable]")) {
  const told = board.querySelector(".told");
  const tell = (line) => told && (told.textContent = line);
  board.querySelectorAll("table.scores").forEach((table) => makeSortable(table, tell));
  const tools = board.querySelector(".tools");
  if (tools) {
    tools.hidden = false;
    tools.querySelector(".filter input").addEventListener("input", () => filterRows(board, told));
    tools.querySelector(".kinds")?.addEventListener("change", () => filterRows(board, told));
    tools.querySelector(".columns").addEventListener("change", () => hideColumns(board));
  }
}
