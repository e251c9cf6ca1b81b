// The latest holes of the rows that are on the screen, as a table, which says what it is about: which rows, and whether that is all.

import { byId, fill, make, say } from "./dom.js";
import { missingPieces } from "./draw.js";
import { UNKNOWN, latestHoles, reason } from "./holes.js";
import { counted, duration } from "./time.js";
import { bare, beside, both, first } from "./zone.js";

/** Holes that are listed; more would only be longer. */
const MOST = 50;
/** A row that goes on being recorded is asked about no more often. */
const GAP = 1000;
/** So long ago is now: what has just been written is not missing. */
const FRESH = 4000;
/** Reasons change without anything being told of it. */
const AGE = 25000;

/** What is known of the holes of a row, and of which window. */
const isKnown = (known, row, view) => {
  if (!known || known.version !== row.version || performance.now() - known.when > AGE) return false;
  const pixel = view.span / Math.max(1, row.canvas.clientWidth);
  if (Math.abs(known.from - view.from) < pixel && Math.abs(known.to - view.to) < pixel) return true;
  // Where nothing has changed, a window that goes on with the present shows nothing new.
  const end = row.timeline?.extent?.end ?? Infinity;
  return known.complete && view.from >= known.from && (view.to <= known.to || end <= known.to);
};

/** The table. */
export class HoleTable {
  constructor(rows, view, open) {
    Object.assign(this, { rows, view, open, asking: null, known: new WeakMap(), when: -Infinity, timer: 0 });
    this.table = byId("holes");
    this.body = this.table.tBodies[0];
    this.note = byId("holes-note");
    this.body.addEventListener("click", (event) => {
      const hole = event.target.closest("tr")?.hole;
      if (hole) open(hole);
    });
    let drawing = false;
    window.addEventListener("scroll", () => {
      if (drawing) return;
      drawing = true;
      requestAnimationFrame(() => {
        drawing = false;
        this.rowsChanged();
      });
    }, { passive: true });
  }

  /** The rows of this node that are on the screen, between what stays at its edges. */
  get shown() {
    const top = byId("axis").getBoundingClientRect().bottom;
    const player = byId("player");
    const bottom = window.innerHeight - (player.hidden ? 0 : player.offsetHeight);
    return this.rows.own.filter((row) => {
      if (!row.seen) return false;
      const box = row.track.getBoundingClientRect();
      return box.bottom > top && box.top < bottom;
    });
  }

  isUnknown(row) {
    return !row.error && (!row.timeline || !isKnown(this.known.get(row), row, this.view));
  }

  /** Whether one has to wait to see its holes: of a row that goes on being recorded those of a moment ago are good enough. */
  isPending(row) {
    const known = this.known.get(row);
    const isFresh = known && performance.now() - known.when < FRESH && known.from <= this.view.from + this.view.span * 0.02 && known.to >= this.view.to - this.view.span * 0.02;
    return this.isUnknown(row) && !isFresh;
  }

  /** Other rows are on the screen: what is known of them is shown at once, the rest is asked for. */
  rowsChanged() {
    const { shown } = this;
    this.showKnown(shown);
    if (shown.some((row) => this.isUnknown(row))) this.refresh();
  }

  /** Another clock comes first. */
  redraw() {
    this.signature = "";
    this.showKnown(this.shown);
  }

  /** Asks for the holes of what is shown, where they are not known. */
  async refresh() {
    const { view, shown } = this;
    clearTimeout(this.timer);
    this.showKnown(shown);
    const unknown = shown.filter((row) => row.timeline && this.isUnknown(row));
    if (unknown.length === 0) return;
    if (this.asking) {
      // What is on its way is good enough if it is about what is shown now; what is newer is asked for when it is here.
      if (Math.abs(this.asking.from - view.from) < view.span * 0.02 && Math.abs(this.asking.to - view.to) < view.span * 0.02) {
        this.asking.again = true;
        return;
      }
      this.asking.abort.abort();
    }
    const wait = unknown.every((row) => this.known.has(row)) ? this.when + GAP - performance.now() : 0;
    if (wait > 0) {
      this.timer = setTimeout(() => this.refresh(), wait);
      return;
    }
    const asking = { from: view.from, to: view.to, abort: new AbortController(), again: false };
    [this.asking, this.when] = [asking, performance.now()];
    try {
      await Promise.all(unknown.map((row) => this.ask(row, asking)));
      if (!asking.abort.signal.aborted) this.showKnown(this.shown);
    } catch (error) {
      // Nobody waits for what was given up; what failed is asked for again with the next change, or a while later.
      if (error.name !== "AbortError") this.say(`Holes cannot be shown: ${error.progress ?? error.message}`, !error.progress);
      asking.abort.abort();
    } finally {
      if (this.asking === asking) {
        this.asking = null;
        if (asking.again) this.refresh();
      }
    }
  }

  async ask(row, { from, to, abort }) {
    const { version } = row;
    const pieces = missingPieces(row.timeline, from, to);
    const { holes, complete } = await latestHoles(row, pieces, MOST, abort.signal);
    this.known.set(row, { from, to, version, holes, complete, when: performance.now() });
  }

  say(words, isTrouble = false) {
    say(this.note, words);
    this.note.className = isTrouble ? "trouble" : "muted";
  }

  /** Shows what is known of these rows, and of how many of them it is not known yet. */
  showKnown(rows) {
    const { view } = this;
    const known = rows.map((row) => this.known.get(row)).filter(Boolean);
    const unknown = rows.filter((row) => this.isPending(row)).length;
    const found = known.flatMap(({ holes }) => holes).filter((hole) => hole.to > view.from && hole.from < view.to);
    found.sort((a, b) => b.from - a.from);
    this.table.setAttribute("aria-busy", String(unknown > 0));
    this.show(found, known.some(({ complete }) => !complete), rows, unknown);
  }

  /** Why there is none. */
  none(rows) {
    const { view } = this;
    const extents = rows.map((row) => row.timeline?.extent).filter(Boolean);
    if (!extents.length) return "there is no video in them.";
    return extents.some(({ start, end }) => end > view.from && start < view.to) ? "nothing is missing in what is shown." : "nothing was recorded at this time.";
  }

  show(found, more, rows, unknown) {
    const list = found.slice(0, MOST);
    const all = this.rows.own.length;
    const where = `in the ${counted(rows.length, "row")} on the screen${rows.length < all ? `, of ${all}` : ""}`;
    const latest = `The latest ${list.length} ${where}; this list is not complete, zoom in for earlier ones.`;
    const whole = list.length ? `${list.length} ${where}.` : `None ${where}: ${this.none(rows)}`;
    const some = list.length ? `${list.length} ${where} so far, asking…` : `Asking about ${counted(unknown, "row")}…`;
    if (rows.length === 0) this.say("No row is on the screen.");
    else if (unknown > 0) this.say(some);
    else if (found.length > MOST || more) this.say(list.length ? latest : `Too many ${where} to be listed: zoom in.`);
    else this.say(whole);
    this.table.hidden = list.length === 0;
    const signature = JSON.stringify(list.map((hole) => [hole.row.name, hole.start, hole.end, hole.reason]));
    this.body.dataset.count = list.length;
    if (signature === this.signature) return;
    this.signature = signature;
    say(byId("holes-from"), `From (${first().name(this.view.to)})`);
    const focused = this.body.contains(document.activeElement) ? document.activeElement.closest("tr").dataset.key : null;
    fill(this.body, ...list.map((hole) => this.line(hole)));
    if (focused) [...this.body.rows].find((row) => row.dataset.key === focused)?.querySelector("button").focus();
  }

  line(hole) {
    const { channel, quality } = hole.row.stream;
    const other = beside(hole.from);
    const button = make("button", { type: "button", class: "time", title: both(hole.from, 1) }, bare(hole.from));
    const line = make("tr", { "data-key": `${hole.row.name} ${hole.start}` },
      make("td", {}, button, other ? make("span", { class: "local" }, other) : null, make("span", { class: "place", title: `${channel} / ${quality}` }, `${channel} / ${quality}`)),
      make("td", { class: "number" }, duration(hole.to - hole.from)),
      make("td", { class: "why", title: hole.detail ?? null }, reason(hole) || UNKNOWN));
    line.hole = hole;
    return line;
  }
}
