// --- figures ---

const signed = (value, digits) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);

function difference(name, before, after) {
  if (before === null || after === null || before === undefined) return null;
  const figure = index.figures[name];
  if (!figure.isRatio) {
    const change = after - before;
    return { text: `${signed(change, figure.digits)} ${figure.unit === "LUFS" ? "LU" : figure.unit.replace("FS", "").replace("TP", "")}`, size: change,
      isHeard: figure.step > 0 && Math.abs(change) >= figure.step };
  }
  if (!(before > 0 && after > 0)) return null;
  const ratio = after / before;
  const steps = Math.abs(Math.log(ratio)) / Math.log1p(figure.step);
  const text = name === "f0_median_hz"
    ? `${signed(12 * Math.log2(ratio), 1)} st` : `${signed(100 * (ratio - 1), 1)} %`;
  return { text, size: ratio, isHeard: steps >= 1 };
}

function cell(text, tag = "td") {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function changes() {
  const [head, body] = [$("changes").querySelector("thead"), $("changes").querySelector("tbody")];
  const top = document.createElement("tr");
  top.append(cell("Stage", "th"));
  for (const figure of Object.values(index.figures)) {
    const th = cell(figure.name, "th");
    th.scope = "col";
    th.title = figure.help;
    const unit = document.createElement("span");
    unit.className = "unit";
    unit.textContent = ` ${figure.unit}`;
    th.append(unit);
    top.append(th);
  }
  const last = cell("Change", "th");
  last.scope = "col";
  top.append(last);
  head.replaceChildren(top);
  body.replaceChildren(...view.take.stages.map((stage) => {
    const row = document.createElement("tr");
    const name = cell(stage.id, "th");
    name.scope = "row";
    row.append(name);
    const source = stageOf(stage.source);
    for (const [key, figure] of Object.entries(index.figures)) {
      const value = stage.figures[key];
      const td = cell(value === null ? "–" : value.toFixed(figure.digits));
      const change = stage.before && difference(key, source.figures[key], value);
      if (change) {
        const small = document.createElement("span");
        small.className = "change" + (change.isHeard ? " is-heard" : "");
        small.textContent = change.text;
        td.append(small);
      }
      row.append(td);
    }
    row.append(cell(stage.before ? stage.change.toFixed(1) : ""));
    return row;
  }));
}

// --- the list of takes ---

const COLUMNS = [
  ["Take", (t) => t.name, (t) => t.name],
  ["State", (t) => t.state, (t) => t.state],
  ["Change", (t) => t.change, (t) => (t.state === "failed" ? "" : t.change.toFixed(1))],
  ["Warnings", (t) => t.warnings, (t) => String(t.warnings || "")],
  ...["f0_median_hz", "syllables_per_s", "loudness_lufs", "length_s"].map((name) => [
    index.figures[name].name,
    (t) => { const c = difference(name, t.before[name], t.figures[name]); return c ? c.size : -Infinity; },
    (t) => { const c = difference(name, t.before[name], t.figures[name]); return c ? c.text : ""; },
  ]),
];

function list(column = -1, isDown = true) {
  const order = index.takes.map((_, number) => number);
  if (column >= 0) {
    const of = COLUMNS[column][1];
    order.sort((a, b) => {
      const [one, other] = [of(index.takes[a]), of(index.takes[b])];
      const sign = typeof one === "string" ? one.localeCompare(other) : one - other;
      return (isDown ? -sign : sign) || a - b;
    });
  }
  const head = $("list").querySelector("thead tr");
  head.replaceChildren(...COLUMNS.map(([name], number) => {
    const th = document.createElement("th");
    th.scope = "col";
    const isSorted = number === column;
    th.setAttribute("aria-sort", isSorted ? (isDown ? "descending" : "ascending") : "none");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name + (isSorted ? (isDown ? " ▼" : " ▲") : "");
    button.addEventListener("click", () => {
      list(number, isSorted ? !isDown : number > 1);
      $("list").querySelectorAll("th button")[number].focus();
    });
    th.append(button);
    return th;
  }));
  $("list").querySelector("tbody").replaceChildren(...order.map((number) => {
    const take = index.takes[number];
    const row = document.createElement("tr");
    row.dataset.take = String(number);
    row.classList.toggle("open", number === view.number);
    COLUMNS.forEach(([, , show], place) => {
      const td = cell(place ? show(take) : "");
      if (!place) {
        const link = document.createElement("a");
        link.href = `#take-${number}`;
        link.textContent = take.name;
        link.addEventListener("click", () => open(number));
        td.append(link);
      }
      row.append(td);
    });
    return row;
  }));
  view.order = order;
}

function neighbour(step) {
  const place = view.order.indexOf(view.number) + step;
  if (place >= 0 && place < view.order.length) location.hash = `take-${view.order[place]}`;
}
