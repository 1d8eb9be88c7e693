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
