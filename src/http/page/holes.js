// The latest holes of what is shown, as a table; and how to find the one at, before or after a time.

import { get, pages, path, query } from "./api.js";
import { byId, fill, make, say } from "./dom.js";
import { missingRuns, prepared } from "./draw.js";
import { duration, iso, local, parse, utc } from "./time.js";

/** Holes that are listed; more would only be longer. */
const MOST = 50;
/** Pages of an answer that are read for one row. */
const PAGES = 5;
/** Pixels that a whole row is looked at with, to find the next hole. */
const FINE = 4096;

const REASONS = {
  peer_has: "a peer has it", nobody_has: "nobody has it", fetching: "being fetched", tombstoned: "deleted on purpose",
  retention: "not kept", disk_away: "the disk was away", not_asked: "not asked yet",
};

/** The reason of a hole in words; nothing where none is known. */
export const reason = (hole) => (hole?.reason ? (REASONS[hole.reason] ?? hole.reason.replaceAll("_", " ")) : "");

/** An answer's hole with its times as numbers. */
const read = (row) => (hole) => ({ ...hole, row, from: parse(hole.start), to: parse(hole.end) });

/** The holes of a row between two times. */
export async function holesBetween(row, from, to, signal, peer = null) {
  const place = peer ? ["peers", peer, "holes"] : ["holes"];
  const address = path(...place, row.stream.channel, row.stream.quality);
  const { all } = await pages(address, { from: iso(from), to: iso(to) }, "holes", PAGES, signal);
  return all.map(read(row));
}

/** The hole at a time, or the nearest one within `reach` ms. It is cut to what was looked at. */
export async function holeNear(row, at, reach, signal) {
  const found = await holesBetween(row, at - reach, at + reach, signal, row.peer?.name);
  const away = (hole) => (hole.from <= at && at < hole.to ? 0 : Math.min(Math.abs(hole.from - at), Math.abs(hole.to - at)));
  return found.sort((a, b) => away(a) - away(b))[0] ?? null;
}

/** What covers a time in a row, of this node. */
export const explain = (row, at, signal) =>
  get(path("explain", row.stream.channel, row.stream.quality) + query({ at: iso(at) }), signal);

/** The next hole of a row after a time, or the last one before it; the hole at that time is neither. */
export async function nextHole(row, at, forward) {
  const extent = row.timeline?.extent;
  if (!extent) return null;
  const here = (await explain(row, at)).hole;
  const edge = parse((forward ? here?.end : here?.start) ?? iso(at));
  const [from, to] = forward ? [Math.max(edge, extent.start), extent.end] : [extent.start, Math.min(edge, extent.end)];
  if (to - from < 1) return null;
  const address = path("timeline", row.stream.channel, row.stream.quality);
  const timeline = prepared(await get(address + query({ from: iso(from), to: iso(to), pixels: FINE })));
  const runs = missingRuns(timeline, from, to);
  const run = forward ? runs[0] : runs.at(-1);
  if (!run) return null;
  // As much of a run as one pixel and a little: a run may be many holes.
  const reach = timeline.step * 1.5;
  const found = forward
    ? await holesBetween(row, run.from, Math.min(run.to, run.from + reach))
    : await holesBetween(row, Math.max(run.from, run.to - reach), run.to);
  const hole = forward ? found[0] : found.at(-1);
  if (!hole) return null;
  // It was cut to what was looked at.
  const { hole: whole } = await explain(row, (hole.from + hole.to) / 2);
  return { ...hole, from: parse(whole?.start ?? hole.start), to: parse(whole?.end ?? hole.end) };
}

/** The table. */
export class HoleTable {
  constructor(rows, view, open) {
    Object.assign(this, { rows, view, open, abort: null });
    this.body = byId("holes").tBodies[0];
    this.note = byId("holes-note");
    this.body.addEventListener("click", (event) => {
      const hole = event.target.closest("tr")?.hole;
      if (hole) open(hole);
    });
  }

  /** Asks for the holes of what is shown. */
  async refresh() {
    this.abort?.abort();
    const abort = new AbortController();
    this.abort = abort;
    const { view } = this;
    const rows = this.rows.own.filter((row) => row.seen && row.timeline);
    const ask = async (row) => {
      const runs = missingRuns(row.timeline, view.from, view.to);
      if (runs.length === 0) return [];
      // The table has the latest ones: what lies before them need not be asked for.
      const from = Math.max(view.from, runs.at(-MOST)?.from ?? view.from);
      return holesBetween(row, from, view.to, abort.signal);
    };
    try {
      const found = (await Promise.all(rows.map(ask))).flat().sort((a, b) => b.from - a.from);
      if (abort.signal.aborted) return;
      this.show(found, rows.some((row) => missingRuns(row.timeline, view.from, view.to).length > MOST));
    } catch (error) {
      if (error.name !== "AbortError") say(this.note, `The holes are not known: ${error.message}`);
    }
  }

  show(found, more) {
    const shown = found.slice(0, MOST);
    const all = found.length > MOST || more ? `The latest ${shown.length}; zoom in for earlier ones.` : `${shown.length} in what is shown.`;
    say(this.note, shown.length ? all : "None: nothing is missing in what is shown.");
    byId("holes").hidden = shown.length === 0;
    byId("holes").classList.toggle("plain", !shown.some((hole) => reason(hole)));
    const signature = JSON.stringify(shown.map((hole) => [hole.row.name, hole.start, hole.end, hole.reason]));
    this.body.dataset.count = shown.length;
    if (signature === this.signature) return;
    this.signature = signature;
    const focused = this.body.contains(document.activeElement) ? document.activeElement.closest("tr").dataset.key : null;
    fill(this.body, ...shown.map((hole) => this.line(hole)));
    if (focused) [...this.body.rows].find((row) => row.dataset.key === focused)?.querySelector("button").focus();
  }

  line(hole) {
    const { stream } = hole.row;
    const button = make("button", { type: "button", class: "time", title: local(hole.from, 1) }, utc(hole.from));
    const line = make("tr", { "data-key": `${hole.row.name} ${hole.start}` },
      make("td", {}, button),
      make("td", { class: "number" }, duration(hole.to - hole.from)),
      make("td", { class: "place", title: `${stream.channel} / ${stream.quality}` }, stream.channel, make("span", { class: "muted" }, ` / ${stream.quality}`)),
      make("td", { class: "why" }, reason(hole)));
    line.hole = hole;
    return line;
  }
}
