// Puts the page together: what is asked when, what keys and buttons do, and what follows from what the node tells.

import { get, listen, path, pause } from "./api.js";
import { drawAxis } from "./axis.js";
import { Cursor } from "./cursor.js";
import { afterwards, atMost, byId, fill, make, say } from "./dom.js";
import { forgetPalette } from "./draw.js";
import { gestures } from "./gestures.js";
import { Hide } from "./hide.js";
import { Hint } from "./hint.js";
import { Guide } from "./guide.js";
import { Health } from "./health.js";
import { HoleTable } from "./hole_table.js";
import { listenToKeys } from "./keys.js";
import { FirstView } from "./first_view.js";
import { Panel } from "./panel.js";
import { Player } from "./player.js";
import { Rows } from "./rows.js";
import { change, setting } from "./settings.js";
import { RowFilter } from "./filter.js";
import { DAY, MINUTE, SECOND, duration, parse } from "./time.js";
import { View } from "./view.js";
import { first, offerSwitch, second, stretch, stretchBeside } from "./zone.js";

/** The list of other nodes, and this node's health, are asked for again after so long if nothing tells of a change. */
const LOOK = 30 * SECOND;
/** So long a line may take before rows are asked for without one. */
const PATIENCE = 500;
/** So near to a hole, in pixels, is meant to be on it. */
const NEAR = 4;
/** Where the node does not answer at first, it is asked again after so long, and twice as long each time up to the most. */
const AGAIN = 2 * SECOND;
const MOST_AGAIN = 15 * SECOND;

let ahead = 0;
let known = [];
const view = new View(() => Date.now() + ahead);
const rows = new Rows(byId("rows"), view);
const cursor = new Cursor(rows, view);
const pixel = (row) => view.span / Math.max(1, row.track.clientWidth);
const reach = (row) => NEAR * pixel(row);
const hint = new Hint(view, reach);
const firstView = new FirstView(rows, view, () => known);
const panel = new Panel(rows, {
  close: () => guide.close(),
  zoomTo: (from, to) => view.set(from - (to - from) * 1.5, to + (to - from) * 1.5),
  next: (row, at, forward) => guide.next(row, at, forward),
});
const guide = new Guide(rows, view, cursor, panel, draw);
const table = new HoleTable(rows, view, (hole) => guide.open(hole));
const refreshHoles = afterwards(150, () => table.refresh());
const remember = afterwards(300, () => history.replaceState(null, "", view.hash() + filter.hash() + player.hash()));
const player = new Player(rows, view, { moved: remember });
const filter = new RowFilter(rows, view, () => {
  draw();
  table.rowsChanged();
  remember();
});
new Hide(() => ({ row: player.row, from: player.cut.from, to: player.cut.to, streams: known }), () => {
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
    drawAxis(byId("axis"), view);
    rows.draw();
    cursor.draw();
    player.marks.draw();
  });
}

function describeWindow() {
  const precision = view.span < 20 * MINUTE ? SECOND : MINUTE;
  const other = stretchBeside(view.from, view.to, precision);
  fill(byId("window"), make("strong", {}, duration(view.span)), make("span", {}, stretch(view.from, view.to, precision)), other ? make("span", { class: "muted" }, other) : null);
  byId("live").setAttribute("aria-pressed", String(view.live));
  for (const button of document.querySelectorAll("[data-span]")) {
    button.setAttribute("aria-pressed", String(Math.abs(view.span / Number(button.dataset.span) - 1) < 0.01));
  }
  say(byId("zone-first"), first().name(view.to));
  say(byId("zone-second"), second(view.to)?.name(view.to) ?? "");
}

let followed = 0;
view.subscribe(() => {
  draw();
  rows.loadSoon();
  refreshHoles();
  filter.lookSoon();
  if (!view.live) hint.hide();
  // While it follows the present, the address stays the same.
  if (!view.live || followed !== view.span) remember();
  followed = view.live ? view.span : 0;
  describeWindow();
});
window.addEventListener("hashchange", (event) => {
  // As it was led to: meanwhile the page may have written down what it showed before.
  const { hash } = new URL(event.newURL);
  view.read(hash);
  filter.read(hash);
  player.read(hash);
});
new ResizeObserver(() => {
  draw();
  rows.loadSoon();
}).observe(byId("lanes"));
// What stays at the edges of the window while one scrolls: nothing is scrolled to underneath it.
const edges = new ResizeObserver(() => {
  const bar = getComputedStyle(byId("bar")).position === "sticky" ? byId("bar").offsetHeight : 0;
  document.documentElement.style.setProperty("--bar", `${bar}px`);
  document.documentElement.style.setProperty("--player", `${byId("player").offsetHeight}px`);
});
for (const id of ["bar", "player"]) edges.observe(byId(id));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  forgetPalette();
  draw();
});
offerSwitch(byId("clock"), () => {
  draw();
  describeWindow();
  for (const row of rows.own) row.describe();
  table.redraw();
  panel.again();
  player.show();
  player.cut.draw();
  cursor.say();
});
rows.subscribe((row) => {
  if (!row) table.rowsChanged();
  refreshHoles();
  if (row && row === cursor.row) cursor.say();
  filter.applySoon();
  firstView.settle();
  const own = rows.own.filter((each) => each.seen);
  const root = document.documentElement;
  if (!root.dataset.firstPicture && own.length && own.every((each) => each.timeline || each.error)) {
    requestAnimationFrame(() => (root.dataset.firstPicture ??= String(Math.round(performance.now()))));
  }
});

// Pointers and keys.

gestures(byId("lanes"), view, {
  hover(row, at, event) {
    cursor.put(at);
    hint.show(row, at, event);
  },
  unhover: () => hint.hide(),
  choose(row, at) {
    cursor.choose(row);
    guide.explain(row, at, reach(row));
    playFrom(row, at);
    welcomed();
    // The player may have come to lie over it.
    requestAnimationFrame(() => requestAnimationFrame(() => row.element.scrollIntoView({ block: "nearest" })));
  },
});
byId("lanes").addEventListener("focusin", (event) => {
  const track = event.target.closest(".track");
  if (track && track.row !== cursor.row) cursor.choose(track.row);
});

function panBy(share) {
  view.pan(share);
  if (cursor.at !== null) cursor.at += share * view.span;
}

function goToEdge(isFirst) {
  const extent = (cursor.row ?? rows.own.find((row) => row.timeline?.extent))?.timeline?.extent;
  if (!extent) return;
  cursor.at = isFirst ? extent.start : extent.end;
  view.reveal(cursor.at);
  draw();
}

const KEYS = {
  ArrowLeft: (event) => (event.shiftKey ? cursor.move(-4 * pixel(cursor.row)) : panBy(-0.1)),
  ArrowRight: (event) => (event.shiftKey ? cursor.move(4 * pixel(cursor.row)) : panBy(0.1)),
  PageUp: () => panBy(-0.8),
  PageDown: () => panBy(0.8),
  ArrowUp: () => cursor.toRow(-1),
  ArrowDown: () => cursor.toRow(1),
  "+": () => view.zoom(0.5, cursor.near),
  "=": () => view.zoom(0.5, cursor.near),
  "-": () => view.zoom(2, cursor.near),
  Home: () => goToEdge(true),
  End: () => goToEdge(false),
  n: () => guide.next(cursor.row, cursor.at ?? view.from, true),
  p: () => guide.next(cursor.row, cursor.at ?? view.to, false),
  Enter: () => guide.explain(cursor.row, cursor.at, reach(cursor.row), true),
  l: () => follow(),
  " ": () => playFrom(cursor.row, cursor.at),
};

/**
 * Plays a row, or the one of this node that says the same, from a time on: before the first segment from there, and behind the last one
 * the present, if there is one.
 */
function playFrom(row, at) {
  const own = guide.own(row);
  const extent = own?.timeline?.extent;
  if (!extent || at === null) return;
  if (at < extent.end) player.play(own, Math.max(at, extent.start));
  else if (view.now() - extent.end < 2 * MINUTE) player.play(own);
}

listenToKeys(KEYS, { cursor, rows, hint, player, isExplained: () => panel.isOpen, close: () => guide.close() });

// Buttons.

function follow(span = Math.min(view.span, 7 * DAY)) {
  if (view.live) view.set(view.from, view.to);
  else view.follow(span);
}

for (const button of document.querySelectorAll("[data-span]")) {
  button.addEventListener("click", () => {
    const span = Number(button.dataset.span);
    if (view.live) view.follow(span);
    else view.set((view.from + view.to - span) / 2, (view.from + view.to + span) / 2);
  });
}
const buttons = {
  all: () => firstView.showAll(), earlier: () => panBy(-0.5), later: () => panBy(0.5), in: () => view.zoom(0.5, cursor.near),
  out: () => view.zoom(2, cursor.near), live: () => follow(), before: () => guide.next(cursor.row, cursor.at ?? view.to, false),
  after: () => guide.next(cursor.row, cursor.at ?? view.from, true), "welcome-close": () => {
    welcomed();
    byId("welcome").hidden = true;
  },
};
for (const [id, work] of Object.entries(buttons)) byId(id).addEventListener("click", work);

/** Whoever has clicked once knows it the next time; nothing moves away underneath the pointer now. */
const welcomed = () => change("hinted", true);

// What this node has, and what it tells.

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
    if (cursor.row && !rows.all.includes(cursor.row)) cursor.choose(null);
    filter.look();
  }
  else rows.update(peers);
  shown = signature;
  health.sayEmpty(list);
  return list;
}

const health = new Health(rows, () => known);
const askHealth = atMost(2 * SECOND, () => health.ask().catch(() => {}));
const again = atMost(SECOND, () => look().then(() => rows.load()).catch(() => {}));

/** A line begins with an event that says nothing new. */
let isGreeted = false;
function onEvent(event, data) {
  const isAway = event === "away" || event === "hidden";
  document.documentElement.dataset.line = isAway ? event : "there";
  // What nobody tells is asked for again and again.
  rows.isTold = !isAway;
  if (event === "hours") {
    if (!rows.changed(data.hours)) again();
    filter.lookSoon();
  }
  if (event === "connected") {
    isGreeted = false;
    health.sayThere();
    askHealth();
  }
  if (event === "resync" || (event === "connected" && !rows.isHeld)) {
    rows.resync();
    again();
    filter.lookSoon();
  }
  if (event === "status" && isGreeted) {
    askHealth();
    again();
  }
  if (event === "status") isGreeted = true;
  if (rows.isHeld) rows.release();
  // A node that has too many listeners is there all the same; one that has just ended the line may be there again at once.
  if (event === "away" && data.failure?.status !== 503) health.sayAway(data.failure, data.wait);
}

async function start() {
  for (let wait = AGAIN; ; wait = Math.min(wait * 2, MOST_AGAIN)) {
    try {
      await look();
      break;
    } catch (error) {
      health.sayAway(error, wait);
      say(byId("note"), "Nothing to show yet.");
      await pause(wait);
    }
  }
  health.sayThere();
  filter.read(location.hash);
  firstView.begin();
  player.read(location.hash);
  draw();
  listen(onEvent);
  setTimeout(() => rows.isHeld && rows.release(), PATIENCE);
  setInterval(() => {
    if (document.hidden) return;
    if (view.live) view.tick();
    else for (const row of rows.own) row.describe();
    rows.loadSoon();
  }, SECOND);
  setInterval(() => {
    if (document.hidden) return;
    again();
    askHealth();
    refreshHoles();
  }, LOOK);
}
start();
