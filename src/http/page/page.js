// Puts the page together: what is asked when, what keys and pointers do, what is told live.

import { get, listen, path } from "./api.js";
import { drawAxis } from "./axis.js";
import { afterwards, atMost, byId, fill, make, say } from "./dom.js";
import { forgetPalette } from "./draw.js";
import { HoleTable, explain, holeNear, nextHole, reason } from "./holes.js";
import { Hide } from "./hide.js";
import { Panel } from "./panel.js";
import { Player } from "./player.js";
import { Rows } from "./rows.js";
import { DAY, HOUR, MINUTE, SECOND, differs, duration, hourStart, iso, local, parse, utc, zone } from "./time.js";
import { LONGEST, View } from "./view.js";

/** The list of other nodes, and this node's health, are asked for again after so long if nothing tells of a change. */
const LOOK = 30 * SECOND;
/** What is shown ends by itself where a directory is far ahead of the clock. */
const AHEAD = DAY;
/** A pointer that rests for so long wants to know more. */
const REST = 120;
/** So near to a hole, in pixels, is meant to be on it. */
const NEAR = 4;

let ahead = 0;
const view = new View(() => Date.now() + ahead);
const rows = new Rows(byId("rows"), view);
const lanes = byId("lanes");
const cross = byId("cross");
const tip = byId("tip");
/** Where the mark stands, and in which row. */
let mark = null;
let current = null;
let step = MINUTE;

const panel = new Panel(rows, {
  close: closePanel,
  zoomTo: (from, to) => view.set(from - (to - from) * 1.5, to + (to - from) * 1.5),
  next: goToHole,
});
const table = new HoleTable(rows, view, openHole);
const refreshHoles = afterwards(250, () => table.refresh());
const remember = afterwards(300, () => history.replaceState(null, "", view.hash() + player.hash()));
const player = new Player(rows, view, { moved: remember });
new Hide(() => ({ row: player.row, from: player.cut.from, to: player.cut.to }), () => {
  rows.resync();
  refreshHoles();
});

// What is drawn.

let drawing = false;
/** Draws everything with the next picture. */
function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    step = drawAxis(byId("axis"), view);
    rows.draw();
    drawMark();
    player.marks.draw();
  });
}

function drawMark() {
  const track = current?.track ?? rows.all.find((row) => row.seen)?.track;
  const inside = mark !== null && mark >= view.from && mark <= view.to;
  cross.hidden = !inside || !track;
  if (cross.hidden) return;
  const [box, own] = [byId("rows").getBoundingClientRect(), track.getBoundingClientRect()];
  cross.style.transform = `translateX(${own.left - box.left + ((mark - view.from) / view.span) * own.width}px)`;
}

function describeWindow() {
  const precision = view.span < 20 * MINUTE ? SECOND : MINUTE;
  const words = `${utc(view.from, precision)} – ${utc(view.to, precision)} UTC`;
  fill(byId("window"), make("strong", {}, duration(view.span)), make("span", {}, words), differs(view.to) ? make("span", { class: "muted" }, `${local(view.from, precision)} – ${local(view.to, precision)}`) : null);
  byId("live").setAttribute("aria-pressed", String(view.live));
  for (const button of document.querySelectorAll("[data-span]")) {
    button.setAttribute("aria-pressed", String(Math.abs(view.span / Number(button.dataset.span) - 1) < 0.01));
  }
  say(byId("zone"), differs(view.to) ? zone(view.to) : "");
}

let followed = 0;
view.subscribe(() => {
  draw();
  rows.loadSoon();
  refreshHoles();
  if (!view.live) unhover();
  // While it follows the present, the address stays the same.
  if (!view.live || followed !== view.span) remember();
  followed = view.live ? view.span : 0;
  describeWindow();
});
window.addEventListener("hashchange", () => {
  view.read(location.hash);
  player.read(location.hash);
});
new ResizeObserver(() => {
  draw();
  rows.loadSoon();
}).observe(lanes);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  forgetPalette();
  draw();
});
rows.subscribe((row) => {
  refreshHoles();
  if (row === current) sayRow(row);
  settle();
  const own = rows.own.filter((each) => each.seen);
  const root = document.documentElement;
  if (!root.dataset.firstPicture && own.length && own.every((each) => each.timeline || each.error)) {
    requestAnimationFrame(() => (root.dataset.firstPicture ??= String(Math.round(performance.now()))));
  }
});

// Pointers.

const timeAt = (track, x) => {
  const box = track.getBoundingClientRect();
  return view.from + ((x - box.left) / box.width) * view.span;
};
const pixel = (row) => view.span / Math.max(1, row.track.clientWidth);
const pointers = new Map();
let moved = 0;

lanes.addEventListener("pointerdown", (event) => {
  const track = event.target.closest(".track, #axis");
  if (!track || event.button !== 0) return;
  pointers.set(event.pointerId, { x: event.clientX, track });
  moved = 0;
});
window.addEventListener("pointermove", (event) => {
  const known = pointers.get(event.pointerId);
  if (!known) {
    const track = event.target.closest?.(".track");
    if (track) hover(track.row, timeAt(track, event.clientX), event);
    else unhover();
    return;
  }
  // The end of a press is not told where a menu or another window took it.
  if (event.buttons === 0) {
    pointers.delete(event.pointerId);
    lanes.classList.remove("moving");
    return;
  }
  const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, each]) => each);
  const box = known.track.getBoundingClientRect();
  const by = event.clientX - known.x;
  if (others.length) {
    const [other] = others;
    const [before, after] = [Math.abs(known.x - other.x), Math.abs(event.clientX - other.x)];
    if (before > 4 && after > 4) view.zoom(before / after, timeAt(known.track, (event.clientX + other.x) / 2));
  } else if (by !== 0) {
    moved += Math.abs(by);
    if (moved > 3) {
      lanes.classList.add("moving");
      unhover();
      const time = (moved > 3 && moved - Math.abs(by) <= 3 ? Math.sign(by) * moved : by) * (view.span / box.width);
      view.set(view.from - time, view.to - time);
    }
  }
  known.x = event.clientX;
});
for (const end of ["pointerup", "pointercancel"]) {
  window.addEventListener(end, (event) => {
    pointers.delete(event.pointerId);
    lanes.classList.remove("moving");
  });
}
lanes.addEventListener("wheel", (event) => {
  const track = event.target.closest(".track, #axis");
  if (!track) return;
  event.preventDefault();
  const unit = [1, 16, track.clientWidth][event.deltaMode] ?? 1;
  const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
  if (sideways) view.pan(((event.deltaX || event.deltaY) * unit) / track.clientWidth);
  else view.zoom(Math.exp(Math.max(-240, Math.min(240, event.deltaY * unit)) * 0.0025), timeAt(track, event.clientX));
}, { passive: false });
lanes.addEventListener("click", (event) => {
  const track = event.target.closest(".track");
  if (!track || moved > 3) return;
  setCurrent(track.row);
  explainAt(track.row, timeAt(track, event.clientX), NEAR * pixel(track.row));
  playFrom(track.row, timeAt(track, event.clientX));
});
lanes.addEventListener("dblclick", (event) => {
  const track = event.target.closest(".track");
  if (track) view.zoom(0.4, timeAt(track, event.clientX));
});
lanes.addEventListener("pointerleave", unhover);

// The hint beside the pointer.

let rest = 0;
let asking = null;

function unhover() {
  tip.hidden = true;
  clearTimeout(rest);
  asking?.abort();
}

function hover(row, at, event) {
  mark = at;
  drawMark();
  const { state, words } = row.at(at);
  showTip(row, at, state, [words], event);
  clearTimeout(rest);
  asking?.abort();
  const { clientX, clientY } = event;
  rest = setTimeout(async () => {
    asking = new AbortController();
    const lines = await details(row, at, state, asking.signal).catch(() => null);
    if (lines && !tip.hidden) showTip(row, at, lines.state ?? state, lines.words ?? [words], { clientX, clientY });
  }, REST);
}

/** What one has to ask for: the hole near to a time and why it is there, or the segment that covers it. */
async function details(row, at, state, signal) {
  const hole = state === "hole" ? await holeNear(row, at, NEAR * pixel(row), signal) : null;
  if (row.peer) return hole ? { state: "hole", words: [`hole of ${cutLength(hole, at, row)}`] } : null;
  const found = await explain(row, hole ? middle(hole) : at, signal);
  if (found.hole?.seconds) {
    const { start, end, seconds } = found.hole;
    const times = `${utc(parse(start), 1)} – ${utc(parse(end), 1).slice(11)}`;
    return { state: "hole", words: [`hole of ${duration(seconds * 1000)}`, times, [reason(hole), hole?.detail].filter(Boolean).join(": ")] };
  }
  if (!found.played) return null;
  const more = found.others.length ? `and ${found.others.length} more that cover it` : "";
  const { type, name } = found.played;
  return { state: type === "full" ? "full" : "partial", words: [`${type} segment of ${duration(parse(found.played.end) - parse(found.played.start))}`, name, more] };
}

const middle = (hole) => (hole.from + hole.to) / 2;
const cutLength = (hole, at, row) => {
  const reach = NEAR * pixel(row);
  const isCut = hole.from <= at - reach + 1 || hole.to >= at + reach - 1;
  return `${isCut ? "at least " : ""}${duration(hole.to - hole.from)}`;
};

function showTip(row, at, state, words, { clientX, clientY }) {
  const precision = view.span < 20 * MINUTE ? 1 : SECOND;
  fill(tip, make("strong", {}, `${utc(at, precision)} UTC`), differs(at) ? make("span", { class: "muted" }, local(at, precision)) : null,
    make("span", { class: `state ${state}` }, row.peer ? `${row.peer.name}: ${words[0]}` : words[0]),
    ...words.slice(1).filter(Boolean).map((line) => make("span", { class: "more" }, line)));
  tip.dataset.state = state;
  tip.hidden = false;
  const [width, height] = [tip.offsetWidth, tip.offsetHeight];
  const left = Math.max(8, Math.min(clientX + 14, window.innerWidth - width - 8));
  const below = clientY + 20 + height < window.innerHeight;
  tip.style.transform = `translate(${left}px, ${below ? clientY + 20 : Math.max(8, clientY - height - 14)}px)`;
}

// Keys.

function setCurrent(row) {
  current?.element.classList.remove("current");
  current = row;
  row?.element.classList.add("current");
  if (row && (mark === null || mark < view.from || mark > view.to)) mark = (view.from + view.to) / 2;
  if (row) sayRow(row);
  drawMark();
}

/** What a slider says: the time at the mark, and what is there. */
function sayRow(row) {
  if (mark === null) return;
  const { track } = row;
  track.setAttribute("aria-valuemin", String(Math.round(view.from / 1000)));
  track.setAttribute("aria-valuemax", String(Math.round(view.to / 1000)));
  track.setAttribute("aria-valuenow", String(Math.round(mark / 1000)));
  track.setAttribute("aria-valuetext", `${utc(mark, SECOND)} UTC, ${row.at(mark).words}`);
}

lanes.addEventListener("focusin", (event) => {
  const track = event.target.closest(".track");
  if (track && track.row !== current) setCurrent(track.row);
});

function moveMark(by) {
  mark = Math.min(Math.max((mark ?? (view.from + view.to) / 2) + by, view.from), view.to);
  drawMark();
}

function panBy(share) {
  view.pan(share);
  if (mark !== null) mark += share * view.span;
}

function toRow(by) {
  const all = rows.all.filter((row) => row.track.offsetParent);
  const row = all[Math.min(Math.max(all.indexOf(current) + by, 0), all.length - 1)];
  row?.track.focus();
}

async function goToEdge(first) {
  const extent = (current ?? rows.own.find((row) => row.timeline?.extent))?.timeline?.extent;
  if (!extent) return;
  mark = first ? extent.start : extent.end;
  view.reveal(mark);
  draw();
}

const KEYS = {
  ArrowLeft: (event) => (event.shiftKey ? moveMark(-4 * pixel(current)) : panBy(-0.1)),
  ArrowRight: (event) => (event.shiftKey ? moveMark(4 * pixel(current)) : panBy(0.1)),
  PageUp: () => panBy(-0.8),
  PageDown: () => panBy(0.8),
  ArrowUp: () => toRow(-1),
  ArrowDown: () => toRow(1),
  "+": () => view.zoom(0.5, mark ?? (view.from + view.to) / 2),
  "=": () => view.zoom(0.5, mark ?? (view.from + view.to) / 2),
  "-": () => view.zoom(2, mark ?? (view.from + view.to) / 2),
  Home: () => goToEdge(true),
  End: () => goToEdge(false),
  n: () => goToHole(current, mark ?? view.from, true),
  p: () => goToHole(current, mark ?? view.to, false),
  Enter: () => explainAt(current, mark, NEAR * pixel(current), true),
  l: () => follow(),
  " ": () => playFrom(current, mark),
};

/**
 * Plays a row, or the one of this node that says the same, from a time on: before the first segment from there, and behind the last one
 * the present, if there is one.
 */
function playFrom(row, at) {
  const own = ownOf(row);
  const extent = own?.timeline?.extent;
  if (!extent || at === null) return;
  if (at < extent.end) player.play(own, Math.max(at, extent.start));
  else if (view.now() - extent.end < 2 * MINUTE) player.play(own);
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && panel.isOpen) {
    closePanel();
    return;
  }
  const isTyped = event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=range]), select, dialog");
  if (!isTyped && player.key(event.key)) {
    event.preventDefault();
    return;
  }
  const key = KEYS[event.key];
  const elsewhere = event.target.closest("button, a, input, select, summary, dialog, aside, .player");
  if (!key || event.ctrlKey || event.metaKey || event.altKey || (elsewhere && !["n", "p", "l", "+", "-"].includes(event.key)) || event.target.closest("input, select, dialog")) return;
  if (!current) setCurrent(rows.own.find((row) => row.seen) ?? null);
  if (!current) return;
  event.preventDefault();
  unhover();
  key(event);
  sayRow(current);
});

// Holes and their explanations.

/** The latest wish to see something explained: what an earlier one led to comes too late. */
let wish = 0;

function closePanel() {
  wish += 1;
  panel.close();
  current?.track.focus();
}

/** The row of this node that says the same as this one. */
const ownOf = (row) => (row.peer ? rows.own.find((each) => each.stream === row.stream) : row);

async function explainAt(row, at, reach, focus = false) {
  mark = at;
  drawMark();
  const own = ownOf(row);
  const mine = (wish += 1);
  const hole = own ? await holeNear(own, at, reach).catch(() => null) : null;
  if (!own || mine !== wish) return;
  await panel.open(own, hole ? middle(hole) : at, hole);
  if (focus) byId("panel-title")?.focus();
}

function openHole(hole) {
  wish += 1;
  if (rows.all.includes(hole.row)) setCurrent(hole.row);
  mark = middle(hole);
  view.reveal(hole.from, hole.to);
  draw();
  panel.open(hole.row, middle(hole), hole).then(() => byId("panel-title")?.focus());
}

async function goToHole(row, at, forward) {
  const own = ownOf(row ?? current ?? rows.own[0]);
  if (!own) return;
  const mine = (wish += 1);
  const hole = await nextHole(own, at, forward).catch(() => null);
  if (mine !== wish) return;
  if (!hole) {
    say(byId("said"), `No hole ${forward ? "after" : "before"} ${utc(at)} in ${own.name}.`);
    return;
  }
  setCurrent(own);
  mark = middle(hole);
  view.reveal(hole.from, hole.to);
  draw();
  sayRow(own);
  await panel.open(own, mark, hole);
}

// Buttons.

function follow(span = Math.min(view.span, 7 * DAY)) {
  if (view.live) view.set(view.from, view.to);
  else view.follow(span);
}

/** From the first segment to the last, as far as that is known, or else from the first hour to the last. */
function everything() {
  const latest = view.now() + AHEAD;
  const stretches = known.filter((stream) => stream.video).map((stream) => {
    const extent = rows.own.find((row) => row.stream.channel === stream.channel && row.stream.quality === stream.quality)?.timeline?.extent;
    return extent ?? { start: hourStart(stream.first_hour), end: hourStart(stream.last_hour) + 60 * MINUTE };
  });
  if (!stretches.length) return null;
  const to = Math.min(Math.max(...stretches.map(({ end }) => end)), latest);
  const earliest = Math.min(...stretches.map(({ start }) => start));
  // A directory of the year 0 is none that anybody wants to see all from.
  return { from: Math.min(Math.max(earliest, to - LONGEST * 0.98), to - SECOND), to };
}

function showAll() {
  const all = everything();
  if (!all) return;
  const { from, to } = all;
  view.set(from - (to - from) * 0.01, to + (to - from) * 0.01);
}

for (const button of document.querySelectorAll("[data-span]")) {
  button.addEventListener("click", () => {
    const span = Number(button.dataset.span);
    if (view.live) view.follow(span);
    else view.set((view.from + view.to - span) / 2, (view.from + view.to + span) / 2);
  });
}
const buttons = {
  all: showAll, earlier: () => panBy(-0.5), later: () => panBy(0.5), in: () => view.zoom(0.5, mark ?? (view.from + view.to) / 2),
  out: () => view.zoom(2, mark ?? (view.from + view.to) / 2), live: () => follow(),
  before: () => goToHole(current, mark ?? view.to, false), after: () => goToHole(current, mark ?? view.from, true),
};
for (const [id, work] of Object.entries(buttons)) byId(id).addEventListener("click", work);

// What this node has, and what it tells.

let known = [];
let shown = "";

async function look() {
  const [list, others] = await Promise.all([get(path("streams")), get(path("peers"))]);
  ahead = parse(list.now) - Date.now();
  known = list.streams;
  document.title = `${list.name} · gapless`;
  say(byId("node"), list.name);
  const peers = others.peers.filter((peer) => peer.state !== "itself");
  const signature = JSON.stringify([known.map(({ channel, quality }) => [channel, quality]), peers.map(({ name, url }) => [name, url])]);
  if (signature !== shown) {
    rows.show(known, peers);
    if (current && !rows.all.includes(current)) setCurrent(null);
  }
  else rows.update(peers);
  shown = signature;
  const video = known.some((stream) => stream.video);
  byId("note").hidden = video;
  say(byId("note"), list.ready ? "There is no video here yet." : "The index is catching up with the disk; nothing is known yet.");
  return list;
}

/** What is looked at first, where the address does not say: what is recorded now, or the last day that was. */
let first = null;
function begin() {
  if (view.read(location.hash)) return;
  showLatest();
  first = `${view.from} ${view.to}`;
}

function showLatest() {
  const to = everything()?.to;
  if (to === undefined || view.now() - to < 2 * DAY) view.follow(7 * DAY);
  else view.set(to - DAY * 0.98, to + DAY * 0.02);
}

/** The names of directories may promise what no segment keeps: once it is known where the last one is, that is shown. */
function settle() {
  if (first === null) return;
  const own = rows.own.filter((row) => row.seen);
  if (own.some((row) => !row.timeline && !row.error)) return;
  const isUntouched = view.live ? view.span === 7 * DAY : first === `${view.from} ${view.to}`;
  const extents = own.map((row) => row.timeline?.extent).filter(Boolean);
  if (own.some((row) => row.progress)) return;
  first = null;
  const isEmpty = !extents.some(({ start, end }) => end > view.from && start < view.to);
  if (!isUntouched || !extents.length) return;
  const age = view.now() - Math.min(...extents.map(({ start }) => start));
  if (isEmpty) showLatest();
  // What is recorded since this morning would be a sliver of a week.
  else if (view.live && age < view.span / 2) view.follow(Math.max(age * 1.1, HOUR));
}

async function showHealth() {
  const { troubles, ready } = await get(path("status"));
  const health = byId("health");
  const good = troubles.length === 0 && ready;
  say(health, good ? "all well" : troubles.length ? `${troubles.length} ${troubles.length === 1 ? "trouble" : "troubles"}` : "catching up");
  health.title = troubles[0] ?? "";
  health.dataset.state = good ? "good" : troubles.length ? "bad" : "busy";
}
const health = atMost(2 * SECOND, () => showHealth().catch(() => {}));
const again = atMost(SECOND, () => look().then(() => rows.load()).catch(() => {}));

function told(event, data) {
  const isAway = event === "away" || event === "hidden";
  document.documentElement.dataset.line = isAway ? event : "there";
  // What nobody tells is asked for again and again.
  rows.isTold = !isAway;
  if (event === "hours" && !rows.changed(data.hours)) again();
  if (event === "connected" || event === "resync") {
    rows.resync();
    again();
  }
  if (event === "status") {
    health();
    again();
  }
  // It is there, and only has too many that listen.
  if (event === "away" && data.status !== 503) {
    byId("health").dataset.state = "away";
    say(byId("health"), "no connection");
  } else if (event === "connected") health();
}

async function start() {
  for (;;) {
    try {
      await look();
      break;
    } catch (error) {
      say(byId("note"), `This node does not answer: ${error.message} It is asked again.`);
      await new Promise((done) => setTimeout(done, 2000));
    }
  }
  begin();
  player.read(location.hash);
  draw();
  listen(told);
  setInterval(() => {
    if (document.hidden) return;
    if (view.live) view.tick();
    else for (const row of rows.own) row.describe();
    rows.loadSoon();
  }, SECOND);
  setInterval(() => {
    if (document.hidden) return;
    again();
    health();
    refreshHoles();
  }, LOOK);
}
start();
