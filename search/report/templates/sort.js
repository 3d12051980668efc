// Sorts a table by the column whose head is pressed, and hides the rows that do not hold all searched words.
(() => {
  "use strict";

  function compare(a, b) {
    const numbers = a !== "" && b !== "" && !isNaN(a) && !isNaN(b);
    return numbers ? a - b : a.localeCompare(b, "en");
  }

  function sort(table, heads, index) {
    const head = heads[index];
    const numeric = head.classList.contains("number");
    const key = (row) => (numeric ? row.cells[index].dataset.key : row.cells[index].textContent);
    // A second press turns the order round; numbers begin with the largest.
    const before = head.getAttribute("aria-sort");
    const ascending = before ? before === "descending" : !numeric;
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((one, other) => {
      const [a, b] = [key(one), key(other)];
      if (a === "" || b === "") return (a === "") - (b === ""); // what is missing comes last, either way
      return ascending ? compare(a, b) : compare(b, a);
    });
    body.append(...rows);
  }

  function filter(table, words, count) {
    const rows = [...table.tBodies[0].rows];
    for (const row of rows) {
      const text = [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    const shown = rows.filter((row) => !row.hidden).length;
    count.value = `${shown} of ${rows.length} rows`;
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      button.addEventListener("click", () => sort(table, heads, index));
      head.replaceChildren(button);
    });
    heads[0].setAttribute("aria-sort", "ascending"); // the page writes rows by rank
    const input = document.getElementById(table.dataset.filter);
    const count = input.parentElement.querySelector("output");
    const search = () => filter(table, input.value.toLowerCase().split(/\s+/).filter(Boolean), count);
    input.addEventListener("input", search);
    input.parentElement.hidden = false;
    search();
  }
})();
