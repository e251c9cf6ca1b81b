// How to find the latest holes of a row, and the one at, before or after a time; and why they are there, in words.

import { get, pages, path, query } from "./api.js";
import { missingRuns, prepared } from "./draw.js";
import { iso, parse, parseUp } from "./time.js";

/** Pages of an answer that are read for one row. */
const PAGES = 5;
/** Pixels with something missing that are asked about first, and questions that the latest holes of a row may take. */
const BEGIN = 8;
const ASKS = 12;
/** Pixels that a whole row is looked at with, to find the next hole. */
const FINE = 4096;

const REASONS = {
  peer_has: "a peer has it", nobody_has: "nobody has it", fetching: "being fetched", tombstoned: "deleted on purpose",
  retention: "not kept", disk_away: "the disk was away", not_asked: "not asked yet", lost: "damaged here; nobody else has it",
  source_offline: "the source was offline", source_stalled: "the source stood still", source_skipped: "the source left it out",
  not_received: "it did not come", disk_full: "the disk was full", not_recording: "nobody recorded", ad: "it is an ad",
  object_lost: "its object in the bucket is lost",
};

/** The reason of a hole in words; nothing where none is known. */
export const reason = (hole) => (hole?.reason ? (REASONS[hole.reason] ?? hole.reason.replaceAll("_", " ")) : "");

/** An answer's hole with its times as numbers. */
const read = (row) => (hole) => ({ ...hole, row, from: parse(hole.start), to: parse(hole.end) });

/** What stands where no reason is known. */
export const UNKNOWN = "not worked out yet";

/** The holes of a row between two times, the earliest first; not complete where there are too many. */
async function ask(row, from, to, signal, peer = null) {
  const place = peer ? ["peers", peer, "holes"] : ["holes"];
  const address = path(...place, row.stream.channel, row.stream.quality);
  const { all, complete } = await pages(address, { from: iso(from), to: iso(to) }, "holes", PAGES, signal);
  return { holes: all.map(read(row)), complete };
}

/** The holes of a row between two times. */
export const holesBetween = async (row, from, to, signal, peer = null) => (await ask(row, from, to, signal, peer)).holes;

/**
 * The latest holes of a row in these pieces of time, which come latest first: asked for from the end backwards until there are `most`, and
 * with a bounded number of questions. Says whether these are all that there are.
 */
export async function latestHoles(row, pieces, most, signal) {
  const left = [...pieces];
  let found = [];
  let many = BEGIN;
  for (let asks = 0; left.length > 0 && found.length < most; asks += 1) {
    if (asks >= ASKS) return { holes: found, complete: false };
    const count = Math.min(many, left.length);
    const [from, to] = [left[count - 1].from, left[0].to];
    const { holes, complete } = await ask(row, from, to, signal);
    if (!complete) {
      // Too many for the last of them to be told: fewer pieces, or the later half of one.
      if (count > 1) many = Math.ceil(count / 4);
      else left.splice(0, 1, { from: (from + to) / 2, to }, { from, to: (from + to) / 2 });
      continue;
    }
    found = joined(holes, found);
    left.splice(0, count);
    many = found.length > 0 ? Math.ceil(((most - found.length + 1) * count) / Math.max(1, holes.length)) : count * 4;
    many = Math.min(Math.max(many, 1), count * 8);
  }
  return { holes: found, complete: left.length === 0 };
}

/** Holes and later ones: the one that was cut where they meet is one again. */
function joined(holes, later) {
  const [last, first] = [holes.at(-1), later[0]];
  if (!last || !first || first.from - last.to > 1) return [...holes, ...later];
  return [...holes.slice(0, -1), { ...first, from: last.from, start: last.start }, ...later.slice(1)];
}

/** The hole at a time, or the nearest one within `reach` ms. It is cut to what was looked at. */
export async function holeNear(row, at, reach, signal) {
  const found = await holesBetween(row, at - reach, at + reach, signal, row.peer?.name);
  const away = (hole) => (hole.from <= at && at < hole.to ? 0 : Math.min(Math.abs(hole.from - at), Math.abs(hole.to - at)));
  return found.sort((a, b) => away(a) - away(b))[0] ?? null;
}

/** What covers a time in a row, of this node: milliseconds, or an ISO time where those are not fine enough. */
export const explain = (row, at, signal) =>
  get(path("explain", row.stream.channel, row.stream.quality) + query({ at: typeof at === "string" ? at : iso(at) }), signal);

/** The next hole of a row after a time, or the last one before it; the hole at that time is neither. */
export async function nextHole(row, at, forward) {
  const extent = row.timeline?.extent;
  if (!extent) return null;
  const here = (await explain(row, at)).hole;
  // Times of segments are finer than those of a browser: behind a hole is where nothing of it is left.
  const edge = forward ? parseUp(here?.end ?? iso(at)) : parse(here?.start ?? iso(at));
  const [from, to] = forward ? [Math.max(edge, extent.start), extent.end] : [extent.start, Math.min(edge, extent.end)];
  if (!(to - from >= 1)) return null;
  const address = path("timeline", row.stream.channel, row.stream.quality);
  const timeline = prepared(await get(address + query({ from: iso(from), to: iso(to), pixels: FINE })));
  const runs = missingRuns(timeline, from, to);
  const run = forward ? runs[0] : runs.at(-1);
  if (!run) return null;
  // As much of a run as one pixel and a little: a run may be many holes.
  const reach = timeline.step * 1.5;
  const hole = forward
    ? (await holesBetween(row, run.from, Math.min(run.to, run.from + reach)))[0]
    : (await latestHoles(row, [{ from: Math.max(run.from, run.to - reach), to: run.to }], 1)).holes.at(-1);
  if (!hole) return null;
  // It was cut to what was looked at.
  const { hole: whole } = await explain(row, hole.start);
  return { ...hole, from: parse(whole?.start ?? hole.start), to: parse(whole?.end ?? hole.end), ledger: whole?.ledger };
}
