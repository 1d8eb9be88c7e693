// Max's and Live's objects, as far as stepedit.js uses them: node live_stub.js SCRIPT SCENARIO
// runs the scenario's messages and prints what went out, one JSON line each.
"use strict";
const fs = require("fs");
const vm = require("vm");
const [, , script, text] = process.argv;
const scenario = JSON.parse(text);
const live = scenario.live; // objects by path: properties, and what may be called
const sent = [];
const tell = (...what) => console.log(JSON.stringify(what));

class LiveAPI {
  constructor(path) {
    const given = live[path];
    this.object = typeof given === "string" ? live[given] : given;
    this.unquotedpath = typeof given === "string" ? given : path;
    this.id = this.object === undefined ? "0" : "7";
  }
  get(name) {
    if (this.object === undefined) return [0];
    if (!(name in this.object)) throw new Error("Live has no property " + name);
    return [this.object[name]]; // Live's API gives lists
  }
  getcount(name) { return this.object[name + "_count"]; }
  call(name, ...args) {
    tell("call", this.unquotedpath, name, ...args);
    if (name === "create_scene") live[scenario.newSlot] = { has_clip: 0 };
    if (name === "create_audio_clip") {
      if (scenario.isOld) throw new Error("no such function");
      this.object.has_clip = 1;
    }
  }
}

class Task {
  constructor(job) { this.job = job; }
  repeat() { tell("task", this.interval); }
  cancel() { tell("cancel"); }
}

const world = {
  LiveAPI, Task, JSON, Math, Number, String, Error, Array,
  post: (...what) => tell("post", ...what),
  arrayfromargs: (args) => Array.from(args),
  outlet: (index, ...what) => {
    if (index === 0 && what[0] === "/stepedit/render") sent.push(what[1]);
    tell("outlet", index, ...what);
  },
};
vm.createContext(world);
vm.runInContext(fs.readFileSync(script, "utf8"), world);
for (const message of scenario.messages) {
  const [name, ...args] = message.map((one) => (one === "ID" ? sent[sent.length - 1] : one));
  if (name.startsWith("/")) {
    world.messagename = name;
    world.anything(...args);
  } else {
    world[name](...args);
  }
}
