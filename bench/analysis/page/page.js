"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const read = (id) => JSON.parse(byId(id).textContent);
  const element = (name, text, onclick) => {
    const made = Object.assign(document.createElement(name), { textContent: text });
    if (onclick) Object.assign(made, { type: "button", onclick });
    return made;
  };
  const shares = read("shares");
  const limits = read("limits");
  const squares = all("#matrix td[data-below]").map((cell) => ({
    cell,
    scores: Number(cell.dataset.scores),
    below: cell.dataset.below.split(" ").map(Number),
  }));
  const steps = read("steps");
  const pooled = all("#matrix td[data-steps]").map((cell) => ({
    cell,
    least: Number(cell.dataset.least),
    rates: cell.dataset.steps.split(" ").map(Number),
    places: cell.dataset.places.split(" ").map(Number),
  }));
  const scored = all("#gallery td[data-rank]").filter((cell) => limits[cell.dataset.limits][0]);
  const tables = all("table.sorted");
  const lines = all("tbody tr", byId("matrix"));
  lines.forEach((line, place) => { line.dataset.place = place; });
  const boxes = all("#choose [type=checkbox]");
  const narrow = matchMedia("(max-width: 40rem)");

  // The r-th smallest of n calibration scores is the threshold: bench/analysis/stats/calibration.py.
  const rank = (n, rate) => n + 1 - Math.floor(Number(((n + 1) * rate).toFixed(9)));

  function decision(cell, rate) {
    const [n, highest] = limits[cell.dataset.limits];
    const needed = rank(n, rate);
    const flagged = Number(cell.dataset.rank) >= needed;
    const limit = highest[needed - 1 - (n - highest.length)]; // only up to 25 % are stored
    cell.classList.toggle("flagged", flagged);
    cell.querySelector("small").textContent =
      needed > n ? "no threshold" : (flagged ? "flagged" : "") + (limit === undefined ? ""
        : flagged ? `, > ${limit}` : `≤ ${limit}`);
  }

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
    for (const { cell, least, rates, places } of pooled) {
      const place = places[rates.findLastIndex((from) => from <= rate + 1e-9)];
      const [k, label, interval, next, shade] = steps[place];
      const [mean, following] = all("small", cell);
      cell.dataset.k = k;
      cell.className = `square h${shade}`;
      cell.querySelector("b").textContent = label;
      mean.textContent = rate + 1e-9 < least ? "no threshold" : interval;
      following.textContent = `next ${next}`;
    }
    for (const cell of scored) decision(cell, rate);
  }

  // Sorting.
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

  for (const head of tables.flatMap((table) => [...table.tHead.rows[0].cells])) {
    if (head.cellIndex === 1) continue;
    const button = element("button", head.textContent, () => press(head));
    button.title = head.cellIndex ? "Sort by this detector" : "Back to the first order";
    button.className = "sort";
    head.replaceChildren(button);
  }

  // Columns: variants are folded under the first detector of their family.
  const variants = (family) =>
    boxes.filter((box) => box.dataset.family === family && "folded" in box.dataset);
  const folds = [];
  for (const head of all("th.detector")) {
    const others = variants(head.dataset.family);
    const first = boxes.find((box) => box.dataset.family === head.dataset.family);
    if (!others.length || first.value !== head.dataset.detector) continue;
    const fold = element("button", "", () => {
      const open = others.some((box) => !box.checked);
      others.forEach((box) => { box.checked = open; });
      show();
    });
    fold.className = "fold";
    fold.title = "Show or hide the variants of this detector";
    fold.setAttribute("aria-label", `Variants of ${head.dataset.family}`);
    folds.push({ fold, others });
    head.append(fold);
  }

  const first = () => boxes.filter(
    (box) => !("folded" in box.dataset)
      && (!narrow.matches || box.dataset.family === byId("group").value),
  ).map((box) => box.value);
  const chosen = () => boxes.filter((box) => box.checked).map((box) => box.value);
  const check = (names) => boxes.forEach((box) => { box.checked = names.includes(box.value); });

  function columns() {
    const hidden = new Set(boxes.filter((box) => !box.checked).map((box) => box.value));
    for (const table of all("table").filter((each) => each.querySelector("th.detector"))) {
      const places = all("th.detector", table).map((head) => [
        head.cellIndex, hidden.has(head.dataset.detector),
      ]);
      for (const row of table.rows) {
        for (const [place, away] of places) row.cells[place].hidden = away;
      }
    }
    for (const { fold, others } of folds) {
      const open = others.every((box) => box.checked);
      fold.textContent = open ? "−" : `+${others.length}`;
      fold.setAttribute("aria-expanded", open);
    }
  }

  // Lines, victims and figures.
  function choose() {
    const { kappa, family } = Object.fromEntries(
      ["kappa", "family"].map((id) => [id, byId(id).value]),
    );
    for (const line of lines) {
      line.hidden = (kappa !== "*" && line.dataset.kappa !== kappa)
        || (family !== "*" && line.dataset.family !== family);
    }
    const victims = byId("victims")?.value ?? "*";
    for (const part of all("[data-victims]")) {
      const single = "single" in part.dataset;
      part.hidden = victims === "*" ? single : part.dataset.victims !== victims;
      if (single) part.open = true;
    }
  }

  function move() {
    const percent = Number(byId("rate").value);
    count(percent / 100);
    tables.forEach(sort);
    byId("shown").textContent = `${percent}\u00a0%`;
    for (const figure of all("figure[data-rate]")) {
      const absent = Number(figure.dataset.rate) !== percent;
      figure.querySelector(".absent").hidden = !absent;
      figure.querySelector(".scroll").hidden = absent;
    }
  }

  function search() {
    const words = byId("words").value.toLowerCase().split(/\s+/).filter(Boolean);
    const victims = byId("victims")?.value ?? "*";
    let found = 0;
    for (const target of all("#gallery .target")) {
      const head = target.querySelector("summary").textContent;
      let here = 0;
      for (const line of all("tbody tr", target)) {
        const text = `${head} ${line.cells[0].textContent}`.toLowerCase();
        line.hidden = !words.every((word) => text.includes(word));
        here += line.hidden ? 0 : 1;
      }
      target.hidden = !here || (victims !== "*" && target.dataset.victims !== victims);
      found += target.hidden ? 0 : here;
    }
    byId("found").textContent = words.length ? `${found} found` : "";
  }

  // The address holds all that differs from the first view.
  const fields = ["rate", "victims", "kappa", "family", "words"].map(byId).filter(Boolean);
  const origin = Object.fromEntries(fields.map((field) => [field.id, field.value]));

  function write() {
    const state = new URLSearchParams();
    for (const { id, value } of fields) if (value !== origin[id]) state.set(id, value);
    if (chosen().join() !== first().join() || (narrow.matches && byId("group").selectedIndex)) {
      state.set("detectors", chosen().join());
    }
    const target = all("#gallery .target").find((each) => each.open);
    if (target) state.set("target", target.dataset.target);
    const query = state.toString();
    const address = `${location.pathname}${query && `?${query}`}${location.hash}`;
    if (address !== location.pathname + location.search + location.hash) {
      history.replaceState(null, "", address);
    }
  }

  function restore() {
    const state = new URLSearchParams(location.search);
    for (const field of fields) {
      if (!state.has(field.id)) continue;
      field.value = state.get(field.id);
      if (field.value !== state.get(field.id) || !field.validity.valid) field.value = origin[field.id];
    }
    byId("slide").value = byId("rate").value;
    const names = state.get("detectors")?.split(",");
    const family = boxes.find((box) => names?.includes(box.value))?.dataset.family;
    if (family) byId("group").value = family;
    check(family ? names : first());
    const target = all("#gallery .target").find((each) => each.dataset.target === state.get("target"));
    if (target) target.open = true;
  }

  function show() {
    columns();
    choose();
    if (byId("words")) search();
    write();
  }

  function follow() {
    move();
    write();
  }

  if (byId("choose")) {
    for (const form of all("form")) {
      form.hidden = false;
      form.addEventListener("submit", (event) => event.preventDefault());
    }
    restore();
    move();
    show();
    byId("choose").addEventListener("change", (event) => {
      if (event.target.id === "group") check(first());
      show();
    });
    byId("words")?.addEventListener("input", show);
    narrow.addEventListener("change", () => { check(first()); show(); });
    byId("slide").addEventListener("input", () => {
      byId("rate").value = byId("slide").value;
      follow();
    });
    byId("rate").addEventListener("input", () => {
      if (!byId("rate").value || !byId("rate").validity.valid) return;
      byId("slide").value = byId("rate").value;
      follow();
    });
    for (const button of all(".absent button")) {
      button.addEventListener("click", () => {
        byId("rate").value = byId("slide").value = button.closest("figure").dataset.rate;
        follow();
      });
    }
    for (const target of all("#gallery .target")) target.addEventListener("toggle", write);
  }

  // A meaning opens next to its word.
  for (const word of all(".word")) {
    word.addEventListener("click", () => {
      const { style } = byId(word.getAttribute("popovertarget"));
      const box = word.getBoundingClientRect();
      const low = box.bottom > 0.7 * innerHeight;
      style.left = `max(.5rem, min(${box.left}px, 100vw - 23rem))`;
      style.top = low ? "auto" : `${box.bottom + 4}px`;
      style.bottom = low ? `${innerHeight - box.top + 4}px` : "auto";
    });
  }

  // A hint where a table is wider than its place.
  function hint(place) {
    const rest = place.scrollWidth - place.clientWidth;
    place.classList.toggle("wider", rest > 1);
    place.classList.toggle("more", rest - place.scrollLeft > 1);
  }
  const sizes = new ResizeObserver((entries) => {
    for (const { target } of entries) hint(target.closest(".scroll"));
  });
  for (const place of all(".scroll")) {
    place.addEventListener("scroll", () => hint(place), { passive: true });
    sizes.observe(place);
    sizes.observe(place.firstElementChild);
  }
})();
