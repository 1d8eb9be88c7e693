// --- a take ---

const index = data("index");
const view = { number: -1, take: null, chosen: 0, last: 0, isDelta: false };
const player = new Player(() => update());
globalThis.player = player; // for whoever wants to look at it from the console
globalThis.view = view;

const level = (stage) => stage.figures.loudness_lufs;
const db = (value) => 10 ** (value / 20);

function soundOf(number, isDelta) {
  const stage = view.take.stages[number];
  const shown = isDelta ? stage.delta : stage;
  const source = stageOf(stage.source);
  const match = () => {
    if (!$("match").checked) return 1;
    if (isDelta) return db(clamp(DELTA_PEAK_DB - stage.delta.level, 0, 60)); // what was taken is soft
    if (level(stage) === null || level(source) === null) return 1;
    const room = stage.figures.true_peak_db === null ? 0 : -stage.figures.true_peak_db;
    return db(Math.min(level(source) - level(stage), Math.max(room, 0)));
  };
  return {
    map: shown.map, length: shown.length, gain: match,
    element: `sound-${view.number}-${number}${isDelta ? "-delta" : ""}`,
  };
}
const stageOf = (id) => view.take.stages.find((stage) => stage.id === id);

function open(number) {
  if (!(number >= 0 && number < index.takes.length) || number === view.number) return;
  player.open();
  const take = data(`take-${number}`);
  for (const stage of take.stages) decode(stage);
  Object.assign(view, { number, take, chosen: 0, last: 0, isDelta: false });
  view.hidden = new Set();
  $("name").textContent = take.name;
  $("path").textContent = take.path;
  $("delta").checked = false;
  notes();
  const has = take.stages.length > 0;
  $("player").hidden = $("changes").hidden = !has;
  $("said").hidden = !take.transcript;
  $("words").textContent = take.transcript;
  for (const row of $("list").querySelectorAll("tbody tr")) {
    row.classList.toggle("open", Number(row.dataset.take) === number);
  }
  if (!has) return;
  stageButtons();
  curveBoxes();
  changes();
  const written = take.stages.findIndex((stage) => stage.writes.length > 0);
  choose(Math.max(written, 0));
  view.last = 0;
}

function decode(stage) {
  stage.peaks = new Int8Array(bytes(stage.peaks).buffer);
  const f0 = new DataView(bytes(stage.f0).buffer);
  stage.f0 = Array.from({ length: f0.byteLength / 2 }, (_, k) => f0.getUint16(2 * k, true) / 10);
  const loud = new DataView(bytes(stage.loudness).buffer);
  stage.loudness = Array.from({ length: loud.byteLength / 2 }, (_, k) => loud.getInt16(2 * k, true) / 10);
  stage.picture = new Image();
  stage.picture.onload = () => { stage.tinted = null; draw(); };
  stage.picture.src = `data:image/png;base64,${stage.spectrogram}`;
}

function notes() {
  const { take } = view;
  const list = $("notes");
  list.replaceChildren();
  const add = (text, isBad) => {
    const item = document.createElement("li");
    item.textContent = text;
    item.classList.toggle("bad", isBad);
    list.append(item);
  };
  if (take.error) add(take.error, true);
  const told = new Set();
  for (const stage of take.stages) {
    for (const text of stage.warnings) { add(`${stage.id}: ${text}`, true); told.add(text); }
  }
  for (const text of take.warnings) if (!told.has(text)) add(text, true);
  const [first] = take.stages;
  if (first && first.wholeLength > first.length + 0.01) {
    add(`The recording lasts ${first.wholeLength.toFixed(0)} s; here are its first ` +
      `${first.length.toFixed(0)} s.`, false);
  }
  take.tried.forEach((trial, rank) => {
    const lost = trial.missing.length ? `; words not understood any more: ${trial.missing.join(", ")}` : "";
    const what = rank ? "not kept" : `kept, the best of ${take.tried.length}`;
    add(`Take ${trial.number}, ${what}: score ${trial.score.toFixed(3)}${lost}.`, false);
  });
  if (first && !take.hasSound) {
    add("This page was full: it shows this take but does not hold its sound.", false);
  }
}

function stageButtons() {
  const group = $("stages");
  group.replaceChildren();
  view.take.stages.forEach((stage, number) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("role", "radio");
    button.className = `c${colour(number)}`;
    button.textContent = `${number + 1} ${stage.id}`;
    const label = document.createElement("span");
    label.className = "label";
    label.textContent = stage.label + (stage.writes.length ? ` → ${stage.writes.join(", ")}` : "");
    button.append(label);
    button.addEventListener("click", () => choose(number));
    group.append(button);
  });
}

function curveBoxes() {
  const boxes = $("curves");
  boxes.replaceChildren(boxes.querySelector("legend"));
  view.take.stages.forEach((stage, number) => {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", () => {
      if (box.checked) view.hidden.delete(number); else view.hidden.add(number);
      draw();
    });
    const swatch = document.createElement("span");
    swatch.className = `swatch c${colour(number)}`;
    label.append(box, " ", swatch, stage.id);
    boxes.append(label);
  });
}

function choose(number, isDelta = view.isDelta) {
  if (number < 0 || number >= view.take.stages.length) return;
  if (number !== view.chosen) view.last = view.chosen;
  const can = Boolean(view.take.stages[number].delta);
  view.chosen = number;
  view.isDelta = isDelta;
  player.hear(soundOf(number, isDelta && can));
  status();
}

function status() {
  const stage = view.take.stages[view.chosen];
  let text = "";
  if (view.isDelta && stage.delta) {
    const { gain, share, level: peak } = stage.delta;
    text = `Delta: ${stage.before} less ${stage.id}, which was level-matched by ` +
      `${signed(gain, 1)} dB; peak ${peak.toFixed(1)} dBFS; ` +
      `${Math.round(100 * share)} % of it runs at one pace and is compared.` +
      (peak < DELTA_PEAK_DB ? ` Match loudness (M) raises it to ${DELTA_PEAK_DB} dBFS.` : "");
  } else if (view.isDelta) {
    text = stage.before ? `No delta for ${stage.id}: ${stage.deltaWhy}.` : "The recording has no delta.";
  }
  $("status").textContent = text;
}
