"use strict";
// Sorts tables by a column and filters the list of examples. Without scripts all rows are shown.

const compare = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" }).compare;

function keyOf(row, column) {
  const cell = row.cells[column];
  return cell.dataset.key ?? cell.textContent.trim();
}

// Compares numbers by size and texts by name. Empty keys come last in both directions.
function ordered(a, b, sign) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const x = Number(a), y = Number(b);
  return sign * (Number.isNaN(x) || Number.isNaN(y) ? compare(a, b) : x - y);
}

function sortBy(head, anew = false) {
  const table = head.closest("table");
  const first = head.classList.contains("n") ? "descending" : "ascending";
  const second = first === "ascending" ? "descending" : "ascending";
  const direction = head.getAttribute("aria-sort") === first && !anew ? second : first;
  const sign = direction === "ascending" ? 1 : -1;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", direction);
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => ordered(keyOf(a, head.cellIndex), keyOf(b, head.cellIndex), sign));
  table.tBodies[0].append(...rows);
}

for (const head of document.querySelectorAll("table.sortable thead th")) {
  if (!head.textContent.trim() || head.classList.contains("unsorted")) continue;
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  button.addEventListener("click", () => sortBy(head));
  head.append(button);
}

const filters = document.getElementById("filters");
const listed = [...document.querySelectorAll("#issues tbody tr")];
const texts = new Map(listed.map((row) => [row, row.textContent.toLowerCase()]));

function refilter() {
  const { search, label, flagged, decision, problem } = filters.elements;
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of listed) {
    const labels = [row.dataset.given, row.dataset.suggested];
    const fits = words.every((word) => texts.get(row).includes(word))
      && (label.selectedIndex === 0 || labels.includes(label.value))
      && (!flagged.checked || row.dataset.flagged === "yes")
      && (!problem?.value || row.dataset.problems.split(" ").includes(problem.value))
      && (!decision?.value || row.dataset.decided === decision.value);
    row.hidden = !fits;
    shown += fits;
  }
  document.getElementById("shown").textContent = `${shown} of ${listed.length} shown`;
}

if (filters) {
  const heads = document.querySelector("#issues thead tr").cells;
  filters.elements.order.addEventListener("change", (event) => sortBy(heads[event.target.value], true));
  filters.addEventListener("input", refilter);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", () => setTimeout(refilter));
  filters.hidden = false;
  refilter();
}
