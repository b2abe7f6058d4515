"use strict";
(() => {
  const all = (what, root = document) => Array.from(root.querySelectorAll(what));
  const clock = (seconds) => {
    const tenths = Math.round(seconds * 10);
    const two = (number) => String(number).padStart(2, "0");
    const minutes = Math.floor(tenths / 600);
    return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(Math.floor(tenths / 10) % 60)}.${tenths % 10}`;
  };

  // Search and filter: rows of the overview, and the deployments that they stand for.
  const form = document.getElementById("controls");
  const rows = all("#overview-table tbody tr");
  const filter = () => {
    const words = form.querySelector("#search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const state = form.querySelector("#state").value;
    const species = form.querySelector("#species")?.value ?? "";
    const left = new Set();
    let shown = 0;
    for (const row of rows) {
      const fits = words.every((word) => row.dataset.text.includes(word)) && (!state || row.dataset.state === state);
      const seen = !form.querySelector("#seen").checked || "seen" in row.dataset || row.dataset.state === "lost";
      const hit = fits && seen && (!species || row.dataset.species === species || row.dataset.state === "lost");
      row.hidden = !hit;
      shown += hit;
      if (fits && row.dataset.anchor) left.add(row.dataset.anchor);
    }
    for (const one of all("details.deployment")) one.hidden = !left.has(one.id);
    form.querySelector("#shown").textContent = `${shown} of ${rows.length} rows, ${left.size} deployments`;
  };
  if (form) {
    form.hidden = false;
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    filter();
  }

  // Sorting by a column; rows without a value stay last.
  for (const button of all("#overview-table thead button")) {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const column = head.cellIndex;
      const numbers = button.dataset.kind === "number";
      const down = head.getAttribute("aria-sort") === "ascending";
      const key = (row) => {
        const cell = row.cells[column];
        if (!cell) return null;
        return numbers ? (cell.dataset.value === undefined ? null : Number(cell.dataset.value)) : cell.textContent;
      };
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === null || y === null) return (x === null) - (y === null);
        const order = numbers ? x - y : x.localeCompare(y, undefined, { numeric: true });
        return down ? -order : order;
      };
      all("#overview-table thead th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      document.querySelector("#overview-table tbody").append(...[...rows].sort(compare));
    });
  }

  // A link to a deployment unfolds it.
  const unfold = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target?.tagName !== "DETAILS") return;
    target.hidden = false;
    target.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  unfold();
  for (const link of all('a[href^="#d"]')) {
    link.addEventListener("click", () => { if (link.getAttribute("href") === location.hash) unfold(); });
  }
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("details.deployment:not([open]):not([hidden])");
    folded.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((one) => { one.open = false; }));

  // Values of the counts under the pointer, or under the cursor that arrow keys move.
  for (const chart of all("svg.counts")) {
    const told = JSON.parse(chart.dataset.series);
    const length = told.counts[0]?.length ?? 0;
    const line = chart.querySelector(".cursor");
    const reading = chart.parentElement.nextElementSibling;
    let at = 0;
    const show = (index) => {
      if (!length) return;
      at = Math.max(0, Math.min(length - 1, index));
      const x = told.left + (told.width * Math.min(told.end, (at + 0.5) * told.step)) / told.end;
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
      line.setAttribute("visibility", "visible");
      const values = told.names.map((name, number) => {
        const count = told.counts[number][at];
        return `${name} ${count < 0 ? "not looked at" : count}`;
      });
      reading.textContent = `${clock(at * told.step)}: ${values.join(", ")}`;
    };
    chart.addEventListener("pointermove", (event) => {
      const box = chart.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * chart.viewBox.baseVal.width;
      show(Math.floor((((x - told.left) / told.width) * told.end) / told.step));
    });
    chart.addEventListener("keydown", (event) => {
      const moves = { ArrowRight: at + 1, ArrowLeft: at - 1, PageDown: at + 20, PageUp: at - 20, Home: 0, End: length - 1 };
      if (!(event.key in moves)) return;
      event.preventDefault();
      show(moves[event.key]);
    });
    chart.addEventListener("focus", () => show(at));
  }
})();
