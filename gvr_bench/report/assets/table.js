/** The value of a cell to sort by: a number, a name, or null where there is none. */
function valueOf(cell) {
  if ("value" in cell.dataset) {
    return Number(cell.dataset.value);
  }
  return cell.matches("th") ? cell.textContent.trim() : null;
}

/** Rows in the order of one column; those without a value come last. */
function sorted(rows, index, direction) {
  const sign = direction === "ascending" ? 1 : -1;
  const keyed = rows.map((row) => ({ row, key: valueOf(row.cells[index]) }));
  keyed.sort((a, b) => {
    if (a.key === null || b.key === null) {
      return (a.key === null) - (b.key === null);
    }
    return sign * (typeof a.key === "number" ? a.key - b.key : a.key.localeCompare(b.key));
  });
  return keyed.map(({ row }) => row);
}

/** Best first, then the reverse, then the original order. */
function nextDirection(head) {
  const first = ["down", undefined].includes(head.dataset.better) ? "ascending" : "descending";
  const second = first === "ascending" ? "descending" : "ascending";
  const now = head.getAttribute("aria-sort");
  return now === first ? second : now === second ? null : first;
}

/** Make the headings of a table buttons that sort its rows; `announce` gets a line about it. */
function makeSortable(table, announce) {
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
      if (direction) {
        head.setAttribute("aria-sort", direction);
      }
      table.classList.toggle("sorted", Boolean(direction));
      body.append(...(direction ? sorted(original, index, direction) : original));
      announce(direction ? `Sorted by ${button.textContent}, ${direction}.` : "In the original order.");
    });
    title.replaceWith(button);
  });
}

/** Show the rows of a board that match its filters, and how many explainers do. */
function filterRows(board, announce) {
  const text = board.querySelector(".filter input").value.trim().toLowerCase();
  const role = board.querySelector(".kinds input:checked")?.value || "";
  const names = new Map();
  for (const row of board.querySelectorAll(".block tbody tr")) {
    const { name, kind } = row.dataset;
    row.hidden = !(name.toLowerCase().includes(text) && (!role || kind === role));
    names.set(name, !row.hidden);
  }
  const shown = [...names.values()].filter(Boolean).length;
  announce(`${shown} of ${names.size} explainers`);
  hideEmptyBlocks(board);
}

/** Hide the columns of a board whose boxes are not ticked. */
function hideColumns(board) {
  const off = [...board.querySelectorAll(".columns input:not(:checked)")].map((box) => box.value);
  for (const cell of board.querySelectorAll("[data-metric]")) {
    const rows = cell.closest("table").rows;
    [...rows].forEach((row) => (row.cells[cell.cellIndex].hidden = off.includes(cell.dataset.metric)));
  }
  hideEmptyBlocks(board);
}

function hideEmptyBlocks(board) {
  for (const block of board.querySelectorAll(".block")) {
    block.hidden = !["tbody tr", "thead [data-metric]"].every((part) => block.querySelector(`${part}:not([hidden])`));
  }
}

for (const board of document.querySelectorAll("[data-sortable]")) {
  const status = board.querySelector(".count");
  const announce = (line) => status && (status.textContent = line);
  board.querySelectorAll("table.scores").forEach((table) => makeSortable(table, announce));
  const tools = board.querySelector(".tools");
  if (tools) {
    tools.hidden = false;
    tools.querySelector(".filter input").addEventListener("input", () => filterRows(board, announce));
    tools.querySelector(".kinds")?.addEventListener("change", () => filterRows(board, announce));
    tools.querySelector(".columns").addEventListener("change", () => hideColumns(board));
  }
}
