"use strict";
// One transport for all stages of a take. Every moment is kept on the recording's clock, and each
// stage says by its map, pairs of (second of the recording, second in the stage), where that is.

const $ = (id) => document.getElementById(id);
const data = (id) => JSON.parse($(id).textContent);
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const PALETTE = 9;
const colour = (index) => (index === 0 ? 0 : 1 + ((index - 1) % (PALETTE - 1)));
const F0_STEP_S = 0.01, LOUDNESS_STEP_S = 0.1, LOUDNESS_FIRST_S = 0.2;
const FADE_S = 0.012;
const DELTA_PEAK_DB = -12; // to which a delta is raised on request
const GUTTER = 52; // px left of every picture, for its axis

// --- the clock of the recording and those of the stages ---

function along(map, value, from, to) {
  if (!map.length) return value;
  let low = 0, high = map.length - 1;
  if (value < map[0][from]) return map[0][to] + value - map[0][from];
  if (value >= map[high][from]) return map[high][to] + value - map[high][from];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (map[middle][from] <= value) low = middle; else high = middle;
  }
  const width = map[high][from] - map[low][from];
  const share = width > 0 ? (value - map[low][from]) / width : 0;
  return map[low][to] + share * (map[high][to] - map[low][to]);
}
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const fromSource = (sound, second) => clamp(along(sound.map, second, 0, 1), 0, sound.length);
const toSource = (sound, second) => Math.max(0, along(sound.map, second, 1, 0));

// --- sound ---

class Player {
  constructor(changed) {
    this.changed = changed;
    this.sound = null; // {map, length, element, gain}
    this.isPlaying = false;
    this.isLooping = false;
    this.region = null; // seconds of the recording
    this.rest = 0; // place in the sound while nothing plays
    this.buffers = new Map();
    this.wanted = 0;
  }

  audio() {
    if (!this.context) {
      this.context = new AudioContext();
      this.analyser = this.context.createAnalyser();
      this.analyser.connect(this.context.destination);
    }
    return this.context;
  }

  open() {
    this.stop();
    this.buffers.clear(); // decoded sound is large: that of one take at a time
    this.sound = null;
    this.region = null;
    this.rest = 0;
    this.wanted += 1;
  }

  buffer(sound) {
    if (!this.buffers.has(sound.element)) {
      const coded = bytes($(sound.element).textContent).buffer;
      this.buffers.set(sound.element, this.audio().decodeAudioData(coded));
    }
    return this.buffers.get(sound.element);
  }

  bounds(sound = this.sound) {
    if (!this.region) return [0, sound.length];
    return this.region.map((second) => fromSource(sound, second));
  }

  // Where in its own sound it is.
  place() {
    if (!this.isPlaying) return this.rest;
    const gone = this.startedAt + this.context.currentTime - this.startTime;
    const [first, end] = this.bounds();
    if (this.isLooping && gone >= end && end > first && this.startedAt < end) {
      return first + ((gone - first) % (end - first));
    }
    return Math.min(gone, this.sound.length);
  }

  sourcePlace() { return this.sound ? toSource(this.sound, this.place()) : 0; }

  // Hear another sound from the same moment of the recording on.
  async hear(sound) {
    const mine = ++this.wanted;
    if (!this.sound || !this.isPlaying) {
      const second = this.sourcePlace();
      this.sound = sound;
      this.rest = fromSource(sound, second);
      this.changed();
      return;
    }
    const buffer = await this.buffer(sound);
    if (mine !== this.wanted) return;
    const second = this.sourcePlace();
    this.sound = sound;
    if (this.isPlaying) this.start(buffer, fromSource(sound, second));
    else this.rest = fromSource(sound, second);
    this.changed();
  }

  async play() {
    if (this.isPlaying || !this.sound) return;
    const mine = ++this.wanted;
    await this.audio().resume();
    const buffer = await this.buffer(this.sound);
    if (mine !== this.wanted) return;
    const [first, end] = this.isLooping ? this.bounds() : [0, this.sound.length];
    const outside = this.rest < first || this.rest >= end - 0.005;
    this.start(buffer, outside ? first : this.rest);
    this.changed();
  }

  start(buffer, place) {
    this.fadeOut();
    const context = this.audio();
    const node = context.createBufferSource();
    const gain = context.createGain();
    node.buffer = buffer;
    node.loop = this.isLooping;
    [node.loopStart, node.loopEnd] = this.bounds();
    const now = context.currentTime;
    gain.gain.setValueAtTime(0, now);
    gain.gain.linearRampToValueAtTime(this.sound.gain(), now + FADE_S);
    node.connect(gain).connect(this.analyser);
    node.onended = () => { if (this.node === node) this.ended(); };
    node.start(now, place);
    Object.assign(this, { node, gain, startedAt: place, startTime: now, isPlaying: true });
  }

  fadeOut() {
    if (!this.node) return;
    const now = this.context.currentTime;
    this.gain.gain.cancelScheduledValues(now);
    this.gain.gain.setValueAtTime(this.gain.gain.value, now);
    this.gain.gain.linearRampToValueAtTime(0, now + FADE_S);
    this.node.onended = null;
    this.node.stop(now + 2 * FADE_S);
    this.node = null;
  }

  stop() {
    if (this.isPlaying) this.rest = this.place();
    this.fadeOut();
    this.isPlaying = false;
    this.wanted += 1;
    this.changed();
  }

  ended() {
    this.node = null;
    this.isPlaying = false;
    this.rest = 0;
    this.changed();
  }

  async seek(place) {
    this.rest = clamp(place, 0, this.sound.length);
    if (this.isPlaying) {
      const buffer = await this.buffer(this.sound);
      if (this.isPlaying) this.start(buffer, Math.min(this.rest, this.sound.length - 0.001));
    }
    this.changed();
  }

  // After a change of loop or level: go on from here with it.
  async again() { if (this.sound) await this.seek(this.place()); }
}

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

// --- pictures ---

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const isDark = matchMedia("(prefers-color-scheme: dark)");

function axisLength() {
  if ($("axis").value === "heard") return player.sound.length;
  return stageOf(view.take.stages[view.chosen].source).length;
}
function toAxis(sound, second) {
  if ($("axis").value === "source") return toSource(sound, second);
  return sound.element === player.sound.element ? second : fromSource(player.sound, toSource(sound, second));
}
const fromAxis = (second) => ($("axis").value === "source" ? fromSource(player.sound, second) : second);

function picture(id, units, low, high, toUnit, ticks) {
  const canvas = $(id);
  const ratio = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const to = canvas.getContext("2d");
  to.scale(ratio, ratio);
  to.font = "11px system-ui, sans-serif";
  to.textBaseline = "middle";
  const [top, bottom] = [4, height - 16];
  const x = (second) => GUTTER + (second / Math.max(axisLength(), 1e-6)) * (width - GUTTER - 1);
  const y = (value) => bottom - ((toUnit(value) - toUnit(low)) / (toUnit(high) - toUnit(low))) * (bottom - top);
  const grid = () => {
    to.strokeStyle = style("--line");
    to.fillStyle = style("--soft");
    to.lineWidth = 0.5;
    to.textAlign = "right";
    for (const tick of ticks) {
      line(to, [[GUTTER, y(tick)], [width, y(tick)]]);
      to.fillText(tick >= 1000 ? `${tick / 1000}k` : String(tick), GUTTER - 6, clamp(y(tick), top + 5, bottom - 4));
    }
    to.textAlign = "center";
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30].find((s) => axisLength() / s <= Math.max(width / 80, 2)) || 60;
    for (let second = 0; second <= axisLength() + 1e-6; second += step) {
      line(to, [[x(second), top], [x(second), bottom + 3]]);
      const text = `${Number(second.toFixed(1))}${second === 0 ? " s" : ""}`;
      to.fillText(text, clamp(x(second), GUTTER, width - 12), height - 7);
    }
  };
  canvas.setAttribute("aria-label", `${canvas.parentNode.querySelector("figcaption").textContent}, ` +
    `${axisLength().toFixed(1)} s, ${units}`);
  return { to, x, y, grid, top, bottom, width };
}

function line(to, points) {
  to.beginPath();
  points.forEach(([px, py], k) => (k ? to.lineTo(px, py) : to.moveTo(px, py)));
  to.stroke();
}

function draw() {
  if (!view.take || !view.take.stages.length || !player.sound) return;
  const stage = view.take.stages[view.chosen];
  const source = stageOf(stage.source);
  const numberOf = (one) => view.take.stages.indexOf(one);
  $("heard").textContent = stage.id;
  drawWave(source, stage, numberOf);
  drawSpectrogram("before", source, numberOf(source));
  drawSpectrogram("after", stage, numberOf(stage));
  drawCurves("f0", "hertz", f0Range(), Math.log2, [50, 75, 100, 150, 200, 300, 400, 600],
    (one) => [one.f0, F0_STEP_S, 0, (value) => value > 0]);
  drawCurves("loudness", "LUFS", loudnessRange(), (value) => value, [-70, -60, -50, -40, -30, -20, -10, 0],
    (one) => [one.loudness, LOUDNESS_STEP_S, LOUDNESS_FIRST_S, (value) => value > -100]);
  moveHead();
}

function drawWave(source, stage, numberOf) {
  const p = picture("wave", "full scale 1", -1, 1, (value) => value, [-1, 0, 1]);
  p.grid();
  for (const [one, alpha] of [[source, 0.45], [stage, 0.8]]) {
    const sound = soundOf(numberOf(one), false);
    p.to.globalAlpha = alpha;
    p.to.fillStyle = style(`--c${colour(numberOf(one))}`);
    const columns = one.peaks.length / 2;
    for (let k = 0; k < columns; k += 1) {
      const first = p.x(toAxis(sound, (k * one.length) / columns));
      const end = p.x(toAxis(sound, ((k + 1) * one.length) / columns));
      const [low, high] = [one.peaks[2 * k] / 127, one.peaks[2 * k + 1] / 127];
      p.to.fillRect(first, p.y(high), Math.max(end - first, 0.5), Math.max(p.y(low) - p.y(high), 0.7));
    }
  }
  p.to.globalAlpha = 1;
}

// Grey into the colours of the page: paper to ink in light, black over violet to yellow in dark.
function tint(stage) {
  const mode = isDark.matches ? "dark" : "light";
  if (stage.tinted && stage.tinted.mode === mode) return stage.tinted.canvas;
  const { naturalWidth: width, naturalHeight: height } = stage.picture;
  if (!width) return null;
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const to = canvas.getContext("2d");
  to.drawImage(stage.picture, 0, 0);
  const pixels = to.getImageData(0, 0, width, height);
  const stops = mode === "dark"
    ? [[20, 23, 28], [74, 28, 110], [180, 54, 95], [250, 140, 50], [252, 250, 190]]
    : [[255, 255, 255], [215, 224, 238], [130, 155, 195], [50, 70, 120], [8, 10, 30]];
  for (let k = 0; k < pixels.data.length; k += 4) {
    const place = (pixels.data[k] / 255) * (stops.length - 1);
    const first = Math.min(Math.floor(place), stops.length - 2);
    for (let c = 0; c < 3; c += 1) {
      pixels.data[k + c] = stops[first][c] + (place - first) * (stops[first + 1][c] - stops[first][c]);
    }
  }
  to.putImageData(pixels, 0, 0);
  stage.tinted = { mode, canvas };
  return canvas;
}

const mel = (hz) => 2595 * Math.log10(1 + hz / 700);

function drawSpectrogram(id, stage, number) {
  const top = view.take.topHz;
  const ticks = [100, 500, 1000, 2000, 4000, 8000].filter((hz) => hz <= top);
  const p = picture(id, "hertz", 0, top, mel, ticks);
  const from = tint(stage);
  if (from) {
    const sound = soundOf(number, false);
    const times = [0, ...stage.map.map((knot) => knot[1]), stage.length]
      .filter((t) => t >= 0 && t <= stage.length).sort((a, b) => a - b);
    for (let k = 0; k + 1 < times.length; k += 1) {
      const [first, end] = [times[k], times[k + 1]];
      const [left, right] = [p.x(toAxis(sound, first)), p.x(toAxis(sound, end - 1e-6))];
      const width = ((end - first) / stage.length) * from.width;
      if (width < 1e-3 || right - left < 1e-3) continue;
      p.to.drawImage(from, (first / stage.length) * from.width, 0, width, from.height,
        left, p.top, right - left, p.bottom - p.top);
    }
  }
  p.grid();
}

function f0Range() {
  const all = view.take.stages.flatMap((stage) => stage.f0.filter((hz) => hz > 0));
  if (!all.length) return [75, 300];
  all.sort((a, b) => a - b);
  return [all[Math.floor(all.length * 0.005)] * 0.9, all[Math.floor(all.length * 0.995)] * 1.1];
}
function loudnessRange() {
  const all = view.take.stages.flatMap((stage) => stage.loudness);
  const top = all.reduce((a, b) => Math.max(a, b), -70);
  return [Math.max(top - 50, -80), top + 3];
}

function drawCurves(id, units, [low, high], toUnit, ticks, curveOf) {
  const p = picture(id, units, low, high, toUnit, ticks.filter((tick) => tick >= low && tick <= high));
  p.grid();
  const order = view.take.stages.map((_, number) => number).filter((n) => n !== view.chosen);
  for (const number of [...order, view.chosen]) {
    if (view.hidden.has(number)) continue;
    const stage = view.take.stages[number];
    const sound = soundOf(number, false);
    const [values, step, first, isThere] = curveOf(stage);
    p.to.strokeStyle = style(`--c${colour(number)}`);
    p.to.lineWidth = number === view.chosen ? 2.5 : 1.3;
    p.to.setLineDash(number === view.chosen ? [] : [[], [6, 3], [2, 2], [8, 3, 2, 3]][number % 4]);
    let points = [];
    let before = -Infinity;
    values.forEach((value, k) => {
      const second = toAxis(sound, first + k * step);
      // A curve ends where there is none, and where something was cut.
      if ((!isThere(value) || second - before > 3 * step) && points.length) {
        line(p.to, points);
        points = [];
      }
      if (isThere(value)) points.push([p.x(second), p.y(clamp(value, low, high))]);
      before = second;
    });
    if (points.length) line(p.to, points);
  }
  p.to.setLineDash([]);
}

function placeOnPanels(second) {
  const width = $("wave").clientWidth;
  return GUTTER + clamp(second / Math.max(axisLength(), 1e-6), 0, 1) * (width - GUTTER - 1);
}

function moveHead() {
  const place = player.place();
  $("head").style.transform = `translateX(${placeOnPanels(toAxis(player.sound, place))}px)`;
  $("clock").textContent = `${place.toFixed(2)} of ${player.sound.length.toFixed(2)} s`;
  const seek = $("seek");
  seek.max = String(player.sound.length);
  seek.value = String(place);
  seek.setAttribute("aria-valuetext", `${place.toFixed(1)} seconds`);
  const region = $("region");
  region.hidden = !player.region;
  if (player.region) {
    const [first, end] = player.region.map((second) =>
      placeOnPanels($("axis").value === "source" ? second : fromSource(player.sound, second)));
    region.style.left = `${first}px`;
    region.style.width = `${end - first}px`;
  }
}

// --- what keeps the page up to date ---

function update() {
  if (!view.take || !player.sound) return;
  $("play").textContent = player.isPlaying ? "Pause" : "Play";
  $("play").setAttribute("aria-pressed", String(player.isPlaying));
  $("play").disabled = !view.take.hasSound;
  for (const [number, button] of [...$("stages").children].entries()) {
    button.setAttribute("aria-checked", String(number === view.chosen));
    button.tabIndex = number === view.chosen ? 0 : -1;
  }
  $("delta").checked = view.isDelta;
  draw();
  if (player.isPlaying) tick();
}

let isTicking = false;
function tick() {
  if (isTicking) return;
  isTicking = true;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const step = () => {
    moveHead();
    if (!player.isPlaying) { isTicking = false; return; }
    if (calm) setTimeout(step, 250); else requestAnimationFrame(step);
  };
  step();
}

const toggle = () => {
  if (!view.take.hasSound) return;
  if (player.isPlaying) player.stop();
  else player.play().catch((error) => { $("status").textContent = `This cannot be played: ${error.message}`; });
};
const setDelta = (isDelta) => choose(view.chosen, isDelta);
const setLoop = (isLooping) => { player.isLooping = $("loop").checked = isLooping; player.again(); };

$("play").addEventListener("click", toggle);
$("seek").addEventListener("input", () => player.seek(Number($("seek").value)));
$("delta").addEventListener("change", () => setDelta($("delta").checked));
$("loop").addEventListener("change", () => {
  if (!$("loop").checked) player.region = null;
  setLoop($("loop").checked);
});
$("match").addEventListener("change", () => player.again());
$("axis").addEventListener("change", draw);
addEventListener("resize", draw);
isDark.addEventListener("change", draw);

// Click seeks; a drag chooses what is looped.
let dragged = null;
const secondAt = (event) => {
  const box = $("wave").getBoundingClientRect();
  const share = (event.clientX - box.left - GUTTER) / (box.width - GUTTER - 1);
  return fromAxis(clamp(share, 0, 1) * axisLength());
};
$("panels").addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || !player.sound) return;
  dragged = { x: event.clientX, second: secondAt(event) };
});
addEventListener("pointerup", (event) => {
  if (!dragged) return;
  const [first, end] = [dragged.second, secondAt(event)].sort((a, b) => a - b);
  const isDrag = Math.abs(event.clientX - dragged.x) > 5;
  dragged = null;
  if (!isDrag) { player.seek(first); return; }
  player.region = [first, end].map((second) => toSource(player.sound, second));
  player.rest = first;
  player.isLooping = $("loop").checked = true;
  player.seek(first);
});

function step(seconds) { player.seek(player.place() + seconds); }

const KEYS = {
  " ": toggle,
  a: () => choose(view.last),
  0: () => choose(view.last),
  d: () => setDelta(!view.isDelta),
  l: () => { if (player.isLooping) player.region = null; setLoop(!player.isLooping); },
  m: () => { $("match").checked = !$("match").checked; player.again(); },
  n: () => neighbour(1),
  p: () => neighbour(-1),
  home: () => player.seek(player.region ? player.bounds()[0] : 0),
};

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || !view.take) return;
  const on = event.target instanceof Element ? event.target : document.body;
  const key = event.key.toLowerCase();
  // Where a key has a meaning of its own, it keeps it.
  const isOwn = on.matches("select") || (on.matches("a, summary, th button, input[type=checkbox]") && key === " ");
  if (isOwn) return;
  const isSeek = on.matches("input[type=range]") && ["arrowleft", "arrowright", "home"].includes(key);
  if (isSeek) return;
  const inStages = on.closest("#stages");
  let act = view.take.stages.length || ["n", "p"].includes(key) ? KEYS[key] : null;
  if (/^[1-9]$/.test(key)) act = () => choose(Number(key) - 1);
  if (key === "arrowleft" || key === "arrowright") {
    const sign = key === "arrowleft" ? -1 : 1;
    act = () => step(sign * (event.shiftKey ? 0.1 : 1));
    if (inStages) act = () => { choose(clamp(view.chosen + sign, 0, view.take.stages.length - 1)); $("stages").children[view.chosen].focus(); };
  }
  if (!act || !view.take.stages.length && !["n", "p"].includes(key)) return;
  event.preventDefault();
  act();
});

function byHash() {
  const match = /^#take-(\d+)$/.exec(location.hash);
  if (match) open(Number(match[1]));
}
addEventListener("hashchange", byHash);

$("title").textContent = index.title;
const failed = index.takes.filter((take) => take.state === "failed").length;
$("summary").textContent = [
  `${index.takes.length} ${index.takes.length === 1 ? "take" : "takes"}`,
  failed ? `${failed} failed` : "",
  index.leftOut ? `${index.leftOut} without sound, because the page was full` : "",
].filter(Boolean).join(", ");
$("list").hidden = index.takes.length < 2;
list();
byHash();
if (view.number < 0) open(0);
