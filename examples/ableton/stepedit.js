// The js object of StepEdit.maxpat: has stepedit-fx render the selected clip, and puts the result
// into the next empty slot of its track. For Max's js object (ES5). Live 12.0.5 or later.
//
// In: "start", "render", and what udpreceive hears. Out: 0 to udpsend, 1 a line of status.

autowatch = 1;
inlets = 1;
outlets = 2;

var PORT = 9102; // that of udpreceive: udpsend sends from another one, so we tell the daemon
var RENEW_MS = 10000; // the daemon forgets our port after 30 s without a ping
var SOUND = /\.(wav|flac|aiff?|ogg)$/i;

var waiting = {}; // of each request by its id: where its clip is
var renewal = null;

function status(text) {
    outlet(1, text);
}

function start() {
    subscribe();
    if (renewal === null) {
        renewal = new Task(subscribe);
        renewal.interval = RENEW_MS;
        renewal.repeat(-1);
    }
}

function notifydeleted() {
    if (renewal !== null) {
        renewal.cancel();
    }
}

function number() {
    return 1 + Math.floor(Math.random() * 2147483646);
}

function subscribe() {
    outlet(0, "/stepedit/subscribe", number(), "/stepedit/trouble", PORT);
}

// Live's API gives lists, also of one thing.
function one(value) {
    return value instanceof Array ? value[0] : value;
}

// "Macintosh HD:/Users/..." as Live gives it on macOS in places; no other system has a colon there.
function posix(path) {
    var volume = /^[^\/\\]{2,}:(\/.*)$/.exec(path);
    return volume ? volume[1] : path;
}

// The seconds in the file of a place in the clip: of beats where it is warped, else of seconds.
function seconds(place, markers) {
    var i, a, b;
    if (markers === null) {
        return place;
    }
    for (i = 1; i < markers.length - 1 && markers[i].beat_time < place; i++) {}
    a = markers[i - 1];
    b = markers[i];
    return a.sample_time + (place - a.beat_time) * (b.sample_time - a.sample_time) /
        (b.beat_time - a.beat_time);
}

// The warp markers of a clip, null where it is not warped; an Error where they cannot be read.
function markersOf(clip) {
    var markers;
    if (Number(one(clip.get("warping"))) !== 1) {
        return null;
    }
    try {
        markers = JSON.parse(one(clip.get("warp_markers"))).warp_markers;
    } catch (error) {
        markers = null;
    }
    if (!(markers instanceof Array) || markers.length < 2) {
        throw new Error("its warp markers cannot be read. Turn warping off.");
    }
    return markers;
}

function selectedClip() {
    var clip = new LiveAPI("live_set view detail_clip");
    if (Number(clip.id) === 0) {
        throw new Error("no clip is selected.");
    }
    if (Number(one(clip.get("is_audio_clip"))) !== 1) {
        throw new Error("the clip is MIDI. Select an audio clip.");
    }
    return clip;
}

// The track and the slot (-1 in the arrangement) of a clip, from a path such as
// live_set tracks 3 clip_slots 1 clip.
function placeOf(clip) {
    var path = String(clip.unquotedpath || clip.path);
    var track = / tracks (\d+)/.exec(path);
    var slot = / clip_slots (\d+)/.exec(path);
    if (track === null) {
        throw new Error("the clip is on no track of its own.");
    }
    return { track: Number(track[1]), slot: slot === null ? -1 : Number(slot[1]) };
}

function render() {
    var clip, place, markers, start, end, path, id;
    try {
        clip = selectedClip();
        place = placeOf(clip);
        markers = markersOf(clip);
        path = posix(String(one(clip.get("file_path"))));
        start = Math.max(seconds(Number(one(clip.get("loop_start"))), markers), 0);
        end = seconds(Number(one(clip.get("loop_end"))), markers);
        if (!(end > start)) {
            throw new Error("the clip is empty.");
        }
    } catch (error) {
        status("Not sent: " + error.message);
        return;
    }
    id = number();
    waiting[id] = place;
    subscribe(); // so that the answer comes here also where the daemon was started after us
    outlet(0, "/stepedit/render", id, path, start, end, "live");
    status("Rendering ...");
}

// The first empty slot of a track below one, then above it; a new scene where all are full.
function emptySlot(place) {
    var slots = new LiveAPI("live_set tracks " + place.track).getcount("clip_slots");
    var i, index, slot;
    for (i = 0; i < slots; i++) {
        index = (place.slot + 1 + i) % slots;
        slot = new LiveAPI("live_set tracks " + place.track + " clip_slots " + index);
        if (Number(one(slot.get("has_clip"))) === 0) {
            return slot;
        }
    }
    new LiveAPI("live_set").call("create_scene", -1);
    return new LiveAPI("live_set tracks " + place.track + " clip_slots " + slots);
}

function insert(place, path) {
    var slot;
    if (!SOUND.test(path)) {
        status("Not imported, no sound file: " + path);
        return;
    }
    slot = emptySlot(place);
    try {
        slot.call("create_audio_clip", path);
    } catch (error) {
        status("Live could not import it: " + error.message);
    }
    if (Number(one(slot.get("has_clip"))) === 1) {
        status("In the next empty slot: " + path);
    } else { // Live before 12.0.5
        status("Drag it in yourself: " + path);
    }
}

// What udpreceive hears. Only answers to what was asked for here do anything.
function anything() {
    var args = arrayfromargs(arguments);
    var isError = messagename === "/stepedit/error";
    var id = isError ? args[1] : args[0];
    var place = waiting[id];
    if (messagename === "/stepedit/trouble") {
        status(String(args[0]));
    } else if (place === undefined) {
        return;
    } else if (messagename === "/stepedit/render/progress") {
        status("Rendering: " + Math.round(100 * args[1]) + " %");
    } else if (messagename === "/stepedit/render/done") {
        delete waiting[id];
        insert(place, String(args[1]));
    } else if (messagename === "/stepedit/render/failed" || isError) {
        delete waiting[id];
        status("Failed: " + args[args.length - 1]);
    }
}
