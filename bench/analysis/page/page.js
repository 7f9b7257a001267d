"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const shares = JSON.parse(byId("shares").textContent);
  const squares = all("#matrix td[data-below]").map((cell) => ({
    cell,
    scores: Number(cell.dataset.scores),
    below: cell.dataset.below.split(" ").map(Number),
  }));
  const pooled = all("#matrix td[data-steps]").map((cell) => ({
    cell,
    least: Number(cell.dataset.least),
    steps: JSON.parse(cell.dataset.steps),
  }));
  const scored = all("#gallery td[data-rank]");
  const lines = all("#matrix tbody tr");
  lines.forEach((line, place) => { line.dataset.place = place; });

  // The r-th smallest of n calibration scores is the threshold: bench/analysis/stats/calibration.py.
  const rank = (n, rate) => n + 1 - Math.floor(Number(((n + 1) * rate).toFixed(9)));

  function count(rate) {
    for (const { cell, scores, below } of squares) {
      const needed = rank(scores, rate);
      const k = below.filter((lower) => lower >= needed).length;
      const [label, interval, shade] = shares[cell.dataset.sizes || cell.dataset.n][k];
      cell.dataset.k = k;
      cell.className = `square h${shade}`;
      cell.querySelector("b").textContent = label;
      cell.querySelector("small").textContent = needed > scores ? "no threshold" : interval;
    }
    for (const { cell, least, steps } of pooled) {
      const place = steps.findLastIndex(([from]) => from <= rate + 1e-9);
      const [, k, label, interval, next, shade] = steps[place];
      const [mean, following] = all("small", cell);
      cell.dataset.k = k;
      cell.className = `square h${shade}`;
      cell.querySelector("b").textContent = label;
      mean.textContent = rate + 1e-9 < least ? "no threshold" : interval;
      following.textContent = `next ${next}`;
    }
    for (const cell of scored) {
      const needed = rank(Number(cell.dataset.scores), rate);
      cell.querySelector(".flag").hidden = Number(cell.dataset.rank) < needed;
    }
  }

  const value = (line, column) => {
    const { k, n } = line.cells[column].dataset;
    return k === undefined ? -1 : k / n;
  };

  function sort(table) {
    const head = table.tHead.querySelector("[aria-sort]");
    const sign = head && head.getAttribute("aria-sort") === "ascending" ? 1 : -1;
    const order = (a, b) => Number(a.dataset.place) - Number(b.dataset.place);
    const by = head
      ? (a, b) => sign * (value(a, head.cellIndex) - value(b, head.cellIndex)) || order(a, b)
      : order;
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(by));
  }

  function press(head) {
    const table = head.closest("table");
    const before = head.getAttribute("aria-sort");
    all("[aria-sort]", table).forEach((other) => other.removeAttribute("aria-sort"));
    if (head.cellIndex > 1) {
      head.setAttribute("aria-sort", before === "descending" ? "ascending" : "descending");
    }
    sort(table);
  }

  const tables = all("#matrix table");
  for (const table of tables) {
    for (const head of table.tHead.rows[0].cells) {
      if (head.cellIndex === 1) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      button.title = head.cellIndex ? "Sort by this detector" : "Back to the first order";
      button.addEventListener("click", () => press(head));
      head.replaceChildren(button);
    }
  }

  function choose() {
    const kappa = byId("kappa").value;
    const family = byId("family").value;
    for (const line of lines) {
      const { kappa: own, family: kind } = line.dataset;
      line.hidden = (kappa !== "*" && own !== kappa) || (family !== "*" && kind !== family);
    }
    for (const box of all("#choose [data-column]")) {
      const column = Number(box.dataset.column) + 2;
      for (const row of all("#matrix tr")) row.cells[column].hidden = !box.checked;
    }
  }

  function move(percent) {
    count(percent / 100);
    tables.forEach(sort);
    byId("shown").textContent = `${percent}\u00a0%`;
  }

  if (byId("choose")) {
    byId("choose").hidden = false;
    byId("choose").addEventListener("submit", (event) => event.preventDefault());
    byId("choose").addEventListener("change", choose);
    byId("slide").addEventListener("input", () => {
      byId("rate").value = byId("slide").value;
      move(Number(byId("rate").value));
    });
    byId("rate").addEventListener("input", () => {
      if (!byId("rate").value || !byId("rate").validity.valid) return;
      byId("slide").value = byId("rate").value;
      move(Number(byId("rate").value));
    });
  }

  function search() {
    const words = byId("words").value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const target of all("#gallery .target")) {
      const head = target.querySelector("summary").textContent;
      let here = 0;
      for (const line of all("tbody tr", target)) {
        const text = `${head} ${line.cells[0].textContent}`.toLowerCase();
        line.hidden = !words.every((word) => text.includes(word));
        here += line.hidden ? 0 : 1;
      }
      target.hidden = !here;
      found += here;
    }
    byId("found").textContent = words.length ? `${found} found` : "";
  }

  if (byId("search")) {
    byId("search").hidden = false;
    byId("search").addEventListener("submit", (event) => event.preventDefault());
    byId("words").addEventListener("input", search);
  }
})();
