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
