// What a node says is wrong with it, as lines; and what stands where there is no timeline at all: an archive whose files have other names, or lie
// in another layout, must not look like a healthy one.

import { coded, make } from "./dom.js";
import { parse } from "./time.js";
import { both } from "./zone.js";

/** A path as the program reads it. */
const EXAMPLE = "CHANNEL/QUALITY/2019-11-13T02/45:23.500000-2.0-full-HASH.ts";

/** What is worth a look is no problem yet. */
export const isProblem = ({ level }) => level !== "notice";

const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1);

/** A problem in one line of plain text. */
export const inShort = ({ what, advice }) => (advice ? `${what}; ${advice}` : what).replaceAll("`", "");

/** A problem as an item of a list. */
export function problemItem({ level, what, since, advice }) {
  const more = [since ? `since ${both(parse(since))}` : null, advice].filter(Boolean).join("; ");
  return make("li", { class: level }, coded(what), more ? make("span", { class: "local" }, coded(sentence(more))) : null);
}

/** What stands where the timelines would be: why there is none, and the way out. */
export function emptiness({ ready }, status) {
  if (!ready) return ["The index is catching up with the disk. What is there appears here by itself."];
  const isAny = status?.streams.some((stream) => stream.hours > 0);
  return [
    make("strong", {}, isAny ? "There is no video that can be shown." : "There is no channel here yet."),
    make("ul", { class: "troubles" }, ...(status?.problems ?? []).map(problemItem)),
    make("span", {}, "This node shows what lies at ", make("code", {}, `${status?.base_dir ?? "BASE"}/${EXAMPLE}`),
      ": a directory for each hour in UTC, and in it files named by minute and second, length in seconds, type and hash. Other files are left alone."),
    make("span", {}, "Gapless records nothing by itself: a recorder has to write here, or a peer that has recorded something has to be named. What arrives is shown within a second."),
  ];
}
