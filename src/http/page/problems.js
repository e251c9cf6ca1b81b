// What is wrong with a node, in sentences: what it says itself, and what its numbers say. And what to do where there is no timeline at all:
// an archive whose files have other names, or lie in another layout, must not look like a healthy one.

import { make } from "./dom.js";
import { counted, duration, parse } from "./time.js";
import { both } from "./zone.js";

/** A path as this field writes it. */
const EXAMPLE = "CHANNEL/QUALITY/2019-11-13T02/45:23.500000-2.0-full-HASH.ts";
/** Places that are named; the rest is counted. */
const MOST_NAMED = 3;

/** Some of many, as words. */
function named(places) {
  const more = places.length - MOST_NAMED;
  return places.slice(0, MOST_NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

const warning = (what) => ({ level: "warning", what });

/** Files whose names say nothing, of a node that does not say so itself. */
function ofNames(streams) {
  const bad = streams.filter((stream) => stream.bad > 0);
  const count = bad.reduce((sum, stream) => sum + stream.bad, 0);
  const where = named(bad.map(({ channel, quality }) => `${channel}/${quality}`));
  const words = `${counted(count, "file")} in ${where} ${count === 1 ? "is" : "are"} ignored, because ${count === 1 ? "its name is" : "their names are"} not understood`;
  return count ? [{ ...warning(words), advice: `expected is ${EXAMPLE}` }] : [];
}

/** Recorders that seem to have stopped, by the rows that have had nothing new for a while. */
function ofRecorders(late) {
  const age = duration(Math.max(...late.map((row) => row.age)));
  return late.length ? [warning(`Nothing new for up to ${age} in ${named(late.map((row) => row.name))}: is the recorder running?`)] : [];
}

/**
 * All that is wrong, as the node says it: `what`, and where that is known `level` (error, warning or notice), `since`, `examples` and `advice`. Of
 * a node that says no more than sentences, what its numbers and rows say beside them.
 */
export const problemsOf = ({ problems, troubles, streams }, late = []) => problems ?? [...troubles.map(warning), ...ofNames(streams), ...ofRecorders(late)];

/** What is worth a look is no problem yet. */
export const isProblem = ({ level }) => level !== "notice";

const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1);

/** A problem in one line. */
export const inShort = ({ what, advice }) => (advice ? `${what}; ${advice}` : what);

/** A problem as an item of a list. */
export function problemItem({ level, what, since, examples, advice }) {
  const more = [since ? `since ${both(parse(since))}` : null, examples?.length ? `such as ${examples.join(", ")}` : null, advice].filter(Boolean).join("; ");
  return make("li", { class: level }, what, more ? make("span", { class: "local" }, sentence(more)) : null);
}

/** What stands where the timelines would be: why there is none, and the way out. */
export function emptiness({ ready }, status) {
  if (!ready) return ["The index is catching up with the disk. What is there appears here by itself."];
  const found = status ? problemsOf(status) : [];
  const isAny = status?.streams.some((stream) => stream.segments > 0 || stream.bad > 0 || stream.hours > 0);
  const title = isAny ? "There is no video that can be shown." : "There is no channel here yet.";
  const base = status?.base_dir ?? "the base directory";
  return [
    make("strong", {}, title),
    ...found.map((problem) => make("span", { class: "trouble" }, inShort(problem))),
    make("span", {}, "This node shows what lies at ", make("code", {}, `${base}/${EXAMPLE}`),
      ": a directory for each hour in UTC, and in it files named by minute and second, length in seconds, type and hash."),
    make("ul", {},
      make("li", {}, "Files with other names, or in other directories (such as CHANNEL/DATE/HOUR), are left alone and not shown: rename or link them into this layout."),
      make("li", {}, "Gapless records nothing by itself: a recorder has to write here, or a peer that has recorded something has to be named (--peer)."),
      make("li", {}, "What arrives is shown within a second, without loading this page again.")),
  ];
}
