// What is wrong with a node, in sentences: what it says itself, and what its numbers say. And what to do where there is no timeline at all:
// an archive whose files have other names, or lie in another layout, must not look like a healthy one.

import { make } from "./dom.js";
import { counted, duration } from "./time.js";

/** A path as this field writes it. */
const EXAMPLE = "CHANNEL/QUALITY/2019-11-13T02/45:23.500000-2.0-full-HASH.ts";
/** Places that are named; the rest is counted. */
const MOST_NAMED = 3;

/** Some of many, as words. */
function named(places) {
  const more = places.length - MOST_NAMED;
  return places.slice(0, MOST_NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** Files whose names say nothing, where the node does not say so itself. */
function ofNames({ streams, problems }) {
  const bad = streams.filter((stream) => stream.bad > 0);
  if (problems || !bad.length) return [];
  const count = bad.reduce((sum, stream) => sum + stream.bad, 0);
  const where = named(bad.map(({ channel, quality }) => `${channel}/${quality}`));
  return [`${counted(count, "file")} in ${where} ${count === 1 ? "is" : "are"} ignored, because ${count === 1 ? "its name is" : "their names are"} not understood. Expected is ${EXAMPLE}`];
}

/** Recorders that seem to have stopped, where the node does not say so itself. */
function ofRecorders({ problems }, late) {
  if (problems || !late.length) return [];
  const age = duration(Math.max(...late.map((row) => row.age)));
  return [`Nothing new for up to ${age} in ${named(late.map((row) => row.name))}: is the recorder running?`];
}

/** All that is wrong; `late` are rows that have had nothing new for a while. */
export const problemsOf = (status, late = []) => [...new Set([...status.troubles, ...(status.problems ?? []).map(words), ...ofNames(status), ...ofRecorders(status, late)])];

/** What the node calls a problem, as one sentence, in whatever shape it says it. */
const words = (problem) => (typeof problem === "string" ? problem : [problem.what ?? problem.message ?? problem.text, problem.advice ?? problem.action].filter(Boolean).join(" "));

/** What stands where the timelines would be: why there is none, and the way out. */
export function emptiness({ ready }, status) {
  if (!ready) return ["The index is catching up with the disk. What is there appears here by itself."];
  const found = status ? problemsOf(status) : [];
  const isAny = status?.streams.some((stream) => stream.segments > 0 || stream.bad > 0 || stream.hours > 0);
  const title = isAny ? "There is no video that can be shown." : "There is no channel here yet.";
  const base = status?.base_dir ?? "the base directory";
  return [
    make("strong", {}, title),
    ...found.map((sentence) => make("span", { class: "trouble" }, sentence)),
    make("span", {}, "This node shows what lies at ", make("code", {}, `${base}/${EXAMPLE}`),
      ": a directory for each hour in UTC, and in it files named by minute and second, length in seconds, type and hash."),
    make("ul", {},
      make("li", {}, "Files with other names, or in other directories (such as CHANNEL/DATE/HOUR), are left alone and not shown: rename or link them into this layout."),
      make("li", {}, "Gapless records nothing by itself: a recorder has to write here, or a peer that has recorded something has to be named (--peer)."),
      make("li", {}, "What arrives is shown within a second, without loading this page again.")),
  ];
}
