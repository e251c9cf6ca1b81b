// The layout: how many copies lie where it says, which nodes it has, and what waits. There is nothing of it where every node keeps everything.

import { get, path } from "./api.js";
import { byId, fill, make, table } from "./dom.js";
import { SECOND, bytes, counted, duration, grouped as count } from "./time.js";

/** So many hours with too few copies are named. */
const MOST_SHORT = 100;
/** Digits of hashes that are shown: people compare the beginning. */
const DIGITS = 12;

const PEERS = {
  none: ["", "no layout"], same: ["good", "the same"], behind: ["busy", "behind this node"], ahead: ["busy", "ahead, and being taken"],
  "not-taken": ["bad", "ahead, and not taken: layouts_from does not name it"], refused: ["bad", "refused"], failed: ["bad", "not taken"],
  undecided: ["bad", "not known which is right"],
};
const NODES = { in: "good", draining: "busy", lost: "bad" };

/** A share that is called whole only where it is. */
const percent = (part, whole) => `${(Math.floor(1000 * (whole ? part / whole : 1)) / 10).toFixed(1)} %`;

const state = (kind, words) => make("span", {}, make("span", { class: `dot ${kind}` }), " ", words);

export class LayoutCard {
  constructor(meter) {
    this.meter = meter;
    this.open = false;
  }

  /** Asks for it where the node has said that there is one. */
  async look(summary) {
    byId("layout-card").hidden = !summary;
    if (!summary) return;
    try {
      this.draw(await get(path("layout")));
    } catch (error) {
      fill(byId("layout"), make("p", { class: "note" }, `Not available: ${error.message}`));
    }
  }

  draw(report) {
    byId("layout-card").hidden = report.state === "none";
    if (report.state !== "known") {
      fill(byId("layout"), make("p", { class: "big" }, state("bad", "cannot be read")), make("p", {}, report.why ?? ""));
      return;
    }
    fill(byId("layout"), ...this.copies(report.dispersion), facts(report), nodes(report), peers(report.peers), this.short(report.dispersion));
  }

  /** How far it is. */
  copies(counts) {
    if (!counts) return [make("p", { class: "big" }, state("busy", "not counted yet"))];
    const said = counts.done ? `done: all copies of ${counted(counts.hours, "hour")} are in place` : `${percent(counts.copies_in_place, counts.copies)} of copies in place`;
    const bar = counts.done ? null : this.meter(counts.copies ? counts.copies_in_place / counts.copies : 1, false, "Copies in place");
    return [make("p", { class: "big" }, state(counts.done ? "good" : "busy", said)), bar];
  }

  /** The hours that lack copies, folded away. */
  short(counts) {
    const lacking = counts ? counts.hours - counts.hours_in_place : 0;
    if (!lacking) return null;
    const lines = counts.short.slice(0, MOST_SHORT).map(({ hour, copies, wanted }) => make("li", {}, make("code", {}, hour), ` ${count(copies)} of ${count(wanted)}`));
    const more = lacking - lines.length;
    const box = make("details", this.open ? { open: "" } : {}, make("summary", {}, `${counted(lacking, "hour")} with too few copies in place`),
      make("ul", {}, ...lines, more > 0 ? make("li", {}, `and ${count(more)} more: gapless layout status --json`) : null));
    box.addEventListener("toggle", () => { this.open = box.open; });
    return box;
  }
}

function facts({ version, hash, copies, channels, dispersion, handoffs, staged, is_in_layout: isIn, name }) {
  const own = channels.map((channel) => `${channel.channel}: ${channel.copies}`);
  const list = (lines) => make("ul", {}, ...lines.map((line) => make("li", {}, line)));
  const pairs = [
    ["Version", make("span", {}, `${count(version)} `, make("code", {}, hash?.slice(0, DIGITS) ?? ""))],
    ["Copies", [copies, ...own].join("; ")],
    isIn ? null : ["This node", `${name} is not in the layout and owns nothing`],
    dispersion ? ["Complete", `${count(dispersion.hours_in_place)} of ${counted(dispersion.hours, "hour")}, ${count(dispersion.slots_in_place)} of ${counted(dispersion.slots, "slot")}`] : null,
    dispersion?.hours_unknown ? ["Not known", `${counted(dispersion.hours_unknown, "hour")}, of which an owner has not said what it has`] : null,
    dispersion?.unheard.length ? ["Nothing known of", dispersion.unheard.join(", ")] : null,
    dispersion?.bytes_missing ? ["To move", missing(dispersion)] : null,
    handoffs ? ["Hours of others here", handoff(handoffs)] : null,
    handoffs?.waiting.length ? ["They wait", list(handoffs.waiting.map(({ why, hours }) => `${counted(hours, "hour")}: ${why}`))] : null,
    handoffs?.error ? ["No pass", handoffs.error] : null,
    handoffs?.stands_in_for.length ? ["Stood in for", handoffs.stands_in_for.join(", ")] : null,
    staged.length ? ["Waits to be applied", list(staged)] : null,
  ];
  return make("dl", { class: "facts" }, ...pairs.filter(Boolean).map(([term, value]) => [make("dt", {}, term), make("dd", {}, value)]));
}

function missing({ bytes_missing: size, bytes_per_second: rate, seconds_left: left }) {
  const pace = rate > 0 ? `, ${bytes(rate)} each second` : "";
  return `${bytes(size)}${pace}${left === undefined ? "" : `, about ${duration(Math.ceil(left) * SECOND)} left`}`;
}

function handoff({ hours, bytes: size, left_hours: left, leaves, pass }) {
  if (!pass) return "not known yet";
  const here = hours ? `${counted(hours, "hour")}, ${bytes(size)}` : "none";
  const paused = hours && !leaves ? "; they stay: [placement] handoffs is off, or gapless layout pause was said" : "";
  return `${here}${left ? `; ${counted(left, "hour")} left since the start` : ""}${paused}`;
}

function nodes({ nodes: list, name }) {
  const owns = (node) => node.owns.map(({ copies, slots }) => `${count(slots)} at ${counted(copies, "copy", "copies")}`).join("; ") || "nothing";
  const line = (node) => [make("strong", {}, node.name === name ? `${node.name} (this one)` : node.name), node.zone, bytes(node.weight_bytes), state(NODES[node.state] ?? "", node.state), owns(node)];
  return make("div", { class: "scroll" }, table([["Node", ""], ["Zone", ""], ["Weight", "number"], ["State", ""], ["Owns slots of 4,096", "text"]], list.map(line), "It has no node."));
}

function peers(list) {
  const line = ({ name, version, hash, state: kind, why }) => [
    make("strong", {}, name),
    version === undefined ? "–" : make("span", {}, `${count(version)} `, make("code", {}, hash?.slice(0, DIGITS) ?? "")),
    state(...(PEERS[kind] ?? ["", kind])), why ?? "–",
  ];
  return make("div", { class: "scroll" }, table([["Peer", ""], ["Its layout", ""], ["State", "text"], ["Why", "text"]], list.map(line), "No peer has been asked yet."));
}
