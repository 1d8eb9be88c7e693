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
